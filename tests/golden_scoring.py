"""CRF, CAM merging and scores against what the published implementations gave."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from hsc.cam.merge import merge_relu, merge_softmax
from hsc.cam.seeds import threshold_seeds
from hsc.crf.dense import CrfConfig, cam_probabilities, refine_labels, refine_probabilities
from hsc.scoring.metrics import ThresholdCurve, confusion, scores
from tests.golden import assert_close, cases, load


@pytest.fixture(params=["", "cpu"], ids=["pydensecrf", "lattice"])
def crf_on(request, monkeypatch):
    """The CRF of pydensecrf, and that of torch."""
    monkeypatch.setenv("HSC_CRF_DEVICE", request.param)


@pytest.mark.usefixtures("crf_on")
@pytest.mark.parametrize("path", cases("05e_crf_label"))
def test_crf_on_hard_labels(path):
    """The background is index 20 there; the labels' order makes no difference to the field."""
    inputs, outputs, meta = load(path)
    settings = meta["params"]
    config = CrfConfig(iterations=settings["t"], bilateral_sxy=50, bilateral_srgb=5)
    refined = refine_labels(
        inputs["img"], inputs["labels"], settings["n_labels"], config, settings["gt_prob"]
    )
    assert_close("05e_crf_label", "labels", refined, outputs["labels"])
    changed = (refined != inputs["labels"]).sum()
    assert_close("05e_crf_label", "n_changed", changed, outputs["n_changed"])


@pytest.mark.usefixtures("crf_on")
@pytest.mark.parametrize("path", cases("09_crf_inference"))
def test_crf_on_cams(path):
    inputs, outputs, meta = load(path)
    config = CrfConfig(iterations=meta["t"])
    for alpha in meta["alphas"]:
        scored = cam_probabilities(inputs["cam"], alpha)
        refined = refine_probabilities(inputs["img"], scored, config)
        name = f"prob_alpha{alpha}"
        assert_close("09_crf_inference", name, refined, outputs[name])


def stored_maps(inputs, background_last):
    """The eight maps as the functions want them: mirrored back, background first."""
    maps = []
    for index in range(8):
        map_ = torch.from_numpy(inputs[f"cam{index}"])[0]
        if index % 2:
            map_ = map_.flip(-1)
        maps.append(map_.roll(1, dims=0) if background_last else map_)
    classes = (1 + np.flatnonzero(inputs["label"])).tolist()
    return maps, classes, tuple(inputs["orig_size"].tolist())


@pytest.mark.parametrize("path", cases("08a_seam_postprocess"))
def test_merging_of_seam(path):
    """Compared after a clamp at 0: the published minimum is strongly negative."""
    inputs, outputs, _ = load(path)
    maps, classes, size = stored_maps(inputs, background_last=False)
    cam = merge_relu(maps, classes, size)
    assert [index - 1 for index in classes] == outputs["cam_keys"].tolist()
    assert_close("08a_seam_postprocess", "cam", cam, outputs["cam"].clip(0))
    seeds = threshold_seeds(cam.numpy(), classes, 0.26)
    assert_close("08a_seam_postprocess", "pred_alpha0_26", seeds, outputs["pred_alpha0_26"])


@pytest.mark.parametrize(
    ("fixture", "path"),
    [
        pytest.param(fixture, *case.values, id=f"{fixture}-{case.id}", marks=case.marks)
        for fixture in ("08b_eps_postprocess", "08e_hsc_postprocess")
        for case in cases(fixture)
    ],
)
def test_merging_of_eps_and_hsc(fixture, path):
    inputs, outputs, meta = load(path)
    maps, classes, size = stored_maps(inputs, background_last=True)
    cam = merge_softmax(maps, classes, size)
    assert [index - 1 for index in classes] == outputs["cam_keys"].tolist()
    assert_close(fixture, "cam", cam, outputs["cam"])
    seeds = threshold_seeds(cam.numpy(), classes, meta["thr"])
    assert_close(fixture, "pred", seeds, outputs["pred"])


def labels(path):
    return np.array(Image.open(path))


def mean_with_zeros(iou):
    """The published mean, in percent: an absent class counts as 0 there, ours leaves it out."""
    return 100 * np.nan_to_num(iou).mean(axis=-1)


@pytest.mark.parametrize("path", cases("10_eval", "*/expected.json"))
def test_scores_of_label_pictures(path):
    expected = json.loads(path.read_text())
    total = sum(
        confusion(labels(path.parent / f"pred/{n}.png"), labels(path.parent / f"gt/{n}.png"), 20)
        for n in expected["names"]
    )
    result = scores(total)
    by_class = [expected["png"][name] for name in expected["categories"]]
    np.testing.assert_allclose(100 * np.nan_to_num(result.iou), by_class, rtol=0, atol=1e-6)
    assert mean_with_zeros(result.iou) == pytest.approx(expected["png"]["mIoU"], abs=1e-6)
    # EPS leaves absent classes out, as we do
    eps = expected["eps_ioumetric_on_png"]["mean_iou_nanmean"]
    assert result.miou == pytest.approx(eps, abs=1e-8)


@pytest.mark.parametrize("path", cases("10_eval", "*/expected.json"))
def test_threshold_curve(path):
    expected = json.loads(path.read_text())
    thresholds = expected["curve_thresholds"]
    curve = ThresholdCurve(20, thresholds)
    with np.load(path.with_name("cams.npz"), allow_pickle=False) as stored:
        for name in expected["names"]:
            cam = stored[f"cam_{name}"].astype(np.float32)
            truth = labels(path.parent / f"gt/{name}.png")
            curve.add(cam, stored[f"keys_{name}"] + 1, truth)
    matrices = curve.confusions()
    published = [mean_with_zeros(scores(matrix).iou) for matrix in matrices]
    np.testing.assert_allclose(published, expected["curve_miou"], rtol=0, atol=1e-6)
    for threshold, table in expected["cam_at_threshold"].items():
        result = scores(matrices[thresholds.index(float(threshold))])
        by_class = [table[name] for name in expected["categories"]]
        np.testing.assert_allclose(100 * np.nan_to_num(result.iou), by_class, rtol=0, atol=1e-6)
