"""PSA's masks over a data set: the walk, the CRF after it, any number of processes, errors."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hsc.base.errors import HscError
from hsc.crf.dense import refine_labels, refine_probabilities
from hsc.data.label_maps import read_labels
from hsc.data.preprocessing import normalise
from hsc.data.voc import VocFolder
from hsc.nets.weights import save_weights
from hsc.params.recipe import CrfParams, WalkParams
from hsc.psa.masks import refine_masks, walk_all
from hsc.psa.network import affinity_network, load_affinity_network
from hsc.psa.random_walk import walk_cam
from hsc.store import CamReader, CamWriter

pytestmark = pytest.mark.usefixtures("cpu")

SPEC = {
    "backbone": "small",
    "widths": [4, 4, 8, 8],
    "output_stride": 8,
    "affinity_widths": [3, 4, 5],
    "radius": 3,
}
CRF = CrfParams(
    unary="labels",
    label_confidence=0.7,
    alpha=7,
    iterations=2,
    gaussian_sxy=3,
    gaussian_compat=3,
    bilateral_sxy=20,
    bilateral_srgb=13,
    bilateral_compat=10,
)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "affinity.pt"
    torch.manual_seed(2)
    save_weights(path, "affinity", SPEC, affinity_network(SPEC).state_dict())
    return path


@pytest.fixture
def walk() -> WalkParams:
    return WalkParams(
        beta=8,
        steps=16,
        background="power",
        background_alpha=8,
        background_score=0.3,
        crf=True,
    )


Refine = Callable[..., dict[str, bytes]]


@pytest.fixture
def refine(
    tiny_folder: VocFolder,
    tiny_cams: Path,
    weights: Path,
    walk: WalkParams,
    cpu: Any,
    tmp_path: Path,
) -> Refine:
    """Run the stage with changes; the files that it wrote."""

    def run(name: str, **changes: Any) -> dict[str, bytes]:
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "cams": tiny_cams,
            "weights": weights,
            "walk": walk,
            "crf": CRF,
            "runtime": cpu,
            "output": tmp_path / name,
            "processes": 1,
            **changes,
        }
        count = refine_masks(**arguments)
        files = {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        assert count == len(files)
        return files

    return run


def walked(
    folder: VocFolder, cams: Path, weights: Path, walk: WalkParams
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(id, scores after the walk, class indices) of the pictures with tags, written out."""
    network, _ = load_affinity_network(weights)
    with CamReader(cams) as reader, torch.no_grad():
        for image_id in folder.ids("train_aug"):
            cam, classes = reader.read(image_id)
            if not len(classes):
                continue
            padded = np.zeros((1, 3, 40, 40), np.float32)  # pictures of 36, cells of 8
            padded[0, :, :36, :36] = normalise(folder.image(image_id))
            background = (1 - cam.max(0, keepdims=True)) ** walk.background_alpha
            if walk.background == "constant":
                background = np.full_like(cam[:1], walk.background_score)
            scores = torch.from_numpy(np.concatenate([background, cam]))
            affinity = network(torch.from_numpy(padded))[0]
            found = walk_cam(scores, affinity, network.offsets, 8, walk.beta, walk.steps)
            yield image_id, found.numpy(), np.array([0, *classes], np.uint8)


@pytest.mark.parametrize("background", ["power", "constant"])
@pytest.mark.parametrize("crf", ["off", "labels", "alpha"])
def test_masks_are_made_one_by_one(
    refine: Refine,
    tiny_folder: VocFolder,
    tiny_cams: Path,
    weights: Path,
    walk: WalkParams,
    tmp_path: Path,
    background: str,
    crf: str,
) -> None:
    walk = walk.model_copy(update={"background": background, "crf": crf != "off"})
    params = replace(CRF, unary="alpha" if crf == "alpha" else "labels")
    files = refine("out", walk=walk, crf=params)
    ids = tiny_folder.ids("train_aug")
    assert sorted(files) == sorted(f"{image_id}.png" for image_id in ids)
    seen = 0
    for image_id, scores, indices in walked(tiny_folder, tiny_cams, weights, walk):
        image, expected = tiny_folder.image(image_id), indices[scores.argmax(0)]
        if crf == "labels":
            expected = refine_labels(image, expected, 9, CRF, 0.7)
        elif crf == "alpha":
            expected = indices[refine_probabilities(image, scores, CRF).argmax(0)]
        found = read_labels(tmp_path / "out", image_id)
        np.testing.assert_array_equal(found, expected)
        seen += found.any()
    assert seen > 6
    assert not read_labels(tmp_path / "out", min(ids)).any(), "no tags: all background"


def test_every_parameter_counts(refine: Refine, walk: WalkParams) -> None:
    plain = refine("plain")
    assert refine("again") == plain
    assert refine("score", walk=walk.model_copy(update={"background_score": 0.9})) == plain
    for key, value in {
        "beta": 1.0,
        "steps": 1,
        "background": "constant",
        "background_alpha": 2.0,
        "crf": False,
    }.items():
        assert refine(key, walk=walk.model_copy(update={key: value})) != plain, key


def test_number_of_processes_does_not_matter(refine: Refine) -> None:
    assert refine("one") == refine("two", processes=2)


def test_progress_sees_every_picture(refine: Refine, tiny_folder: VocFolder) -> None:
    seen = []

    def progress(done: int, total: int, /, **figures: float) -> None:
        seen.append((done, total))

    refine("out", progress=progress)
    count = len(tiny_folder.ids("train_aug"))
    assert seen == [(done, count) for done in range(count + 1)]


def test_pictures_are_taken_as_they_are_needed(
    tiny_folder: VocFolder, tiny_cams: Path, walk: WalkParams, weights: Path, cpu: Any
) -> None:
    network, _ = load_affinity_network(weights)
    calls: list[int] = []
    network.register_forward_hook(lambda *_: calls.append(1))
    ids = sorted(tiny_folder.ids("train_aug"))
    tasks = walk_all(network, 8, tiny_folder, tiny_cams, walk, ids, cpu)
    next(tasks)
    assert calls == [], "the first has no tag"
    next(tasks)
    assert len(calls) == 1


def test_affinities_that_are_not_finite(refine: Refine, weights: Path, tmp_path: Path) -> None:
    network, spec = load_affinity_network(weights)
    state = network.state_dict()
    state["affinity.embed.weight"] = torch.full_like(state["affinity.embed.weight"], torch.nan)
    save_weights(tmp_path / "wild.pt", "affinity", spec, state)
    with pytest.raises(HscError, match=r"train_\d+: its affinities are not finite"):
        refine("out", weights=tmp_path / "wild.pt")


def test_cams_that_do_not_belong_are_errors(
    refine: Refine, tiny_folder: VocFolder, tmp_path: Path
) -> None:
    path = tmp_path / "cams.h5"
    with pytest.raises(HscError, match=r"cams\.h5: no such file"):
        refine("out", cams=path)
    with CamWriter(path, ["cat", "dog"], "digest"):
        pass
    with pytest.raises(HscError, match=r"cams\.h5: its classes are cat, dog"):
        refine("out", cams=path)
    with CamWriter(path, tiny_folder.class_names, "digest") as writer:
        for image_id in sorted(tiny_folder.ids("train_aug"))[:-1]:
            writer.add(image_id, np.zeros((1, 36, 36)), [1])
    with pytest.raises(HscError, match="no map of train_"):
        refine("out", cams=path)
    with CamWriter(path, tiny_folder.class_names, "digest") as writer:
        for image_id in sorted(tiny_folder.ids("train_aug")):
            writer.add(image_id, np.zeros((1, 36, 35)), [1])
    with pytest.raises(HscError, match=r"\(height, width\) is \(36, 35\), the picture's is"):
        refine("out", cams=path)


def test_weights_of_another_network_are_an_error(refine: Refine, tmp_path: Path) -> None:
    path = tmp_path / "affinity.pt"
    save_weights(path, "affinity", {**SPEC, "radius": 4, "affinity_widths": [3, 4, 6]}, {})
    with pytest.raises(HscError, match=r"affinity\.pt: weights of another network: missing"):
        refine("out", weights=path)
