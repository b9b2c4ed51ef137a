"""Each part on tiny pictures: what it says, and that a wrong result is noticed."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hsc.store
from benchmarks import reference
from benchmarks.part import Disagreement
from benchmarks.parts import cam_store, crf_workers, threshold_curve_files
from benchmarks.scene import scenes, write_folder
from hsc.base.errors import HscError
from hsc.cam.seeds import threshold_seeds
from hsc.data.classes import VOC_CLASSES
from hsc.data.voc import write_mask
from hsc.scoring.metrics import ThresholdCurve, confusion, scores

TINY: dict[str, Any] = {"pictures": 3, "size": (40, 56)}


def test_scenes_are_the_same_again_and_differ_from_each_other() -> None:
    first, again = scenes(3, (40, 56)), scenes(3, (40, 56))
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.cam, two.cam)
        np.testing.assert_array_equal(one.truth, two.truth)
        np.testing.assert_array_equal(one.image, two.image)
    assert len({scene.image.tobytes() for scene in first}) == 3
    assert [scene.image_id for scene in first] == ["0000", "0001", "0002"]


@pytest.mark.parametrize("merge", ["relu", "softmax"])
def test_scenes_are_such_that_thresholds_matter(merge: Any) -> None:
    curve = ThresholdCurve(len(VOC_CLASSES), [0.05, 0.3, 0.9])
    for scene in scenes(6, (120, 160), merge):
        assert scene.cam.dtype == np.float32
        assert scene.cam.shape == (len(scene.classes), 120, 160)
        assert 0 <= scene.cam.min() <= scene.cam.max() <= 1
        assert set(np.unique(scene.truth)) <= {0, 255, *scene.classes}
        # smooth, but nowhere near constant
        assert np.abs(np.diff(scene.cam, axis=2)).mean() < 0.02
        assert scene.cam.std() > 0.1
        curve.add(scene.cam, scene.classes, scene.truth)
    low, middle, high = curve.miou()
    assert middle > max(low, high) + 0.1


def test_the_plain_pass_by_hand() -> None:
    cam = np.array([[[0.5, 0.2, 0.3, 0.9]], [[0.4, 0.6, 0.3, 0.1]]], dtype=np.float32)
    truth = np.array([[3, 1, 3, 255]], dtype=np.uint8)
    pictures = {"a": (cam, np.array([3, 1]), truth)}
    matrices, mious = reference.sweep(pictures, pictures.__getitem__, [0.1, 0.3, 0.55], 3)
    # labels 3 1 3 -; at 0.3 the third is a tie with the background; at 0.55 only the second is left
    assert [np.diagonal(matrix).tolist() for matrix in matrices] == [
        [0, 1, 0, 2], [0, 1, 0, 1], [0, 1, 0, 0],
    ]  # fmt: skip
    assert matrices[2, 3].tolist() == [2, 0, 0, 0]
    assert matrices.sum(axis=(1, 2)).tolist() == [3, 3, 3]
    assert mious.tolist() == [1, (0 + 1 + 1 / 2) / 3, (0 + 1 + 0) / 3]


def test_the_plain_scores_are_those_of_the_metrics() -> None:
    scene = scenes(1, (40, 56))[0]
    matrix = confusion(threshold_seeds(scene.cam, scene.classes, 0.3), scene.truth, 20)
    picture = scene.cam, scene.classes, scene.truth
    np.testing.assert_array_equal(reference.one_pass("a", lambda _: picture, 0.3, 20), matrix)
    assert reference.mean_iou(matrix) == pytest.approx(scores(matrix).miou)


def test_a_dictionary_has_a_float32_map_for_each_class(tmp_path: Path) -> None:
    cam = np.random.default_rng(0).random((2, 4, 5))
    reference.save_dictionary(tmp_path / "a.npy", cam, np.array([7, 2]))
    found = np.load(tmp_path / "a.npy", allow_pickle=True).item()
    assert list(found) == [7, 2]
    np.testing.assert_array_equal(found[2], cam[1].astype(np.float32))
    assert (tmp_path / "a.npy").stat().st_size == pytest.approx(2 * 4 * 5 * 4, abs=500)


def test_threshold_part() -> None:
    result = threshold_curve_files.measure(1, **TINY)
    assert result.ratio > 1
    assert (result.wanted, result.unit) == (50, "s")
    assert "equal counts, 3 pictures of 56x40" in result.agreement


def test_a_pixel_too_many_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    count = reference.one_pass

    def wrong(*arguments: Any) -> Any:
        matrix = count(*arguments)
        matrix[0, 0] += arguments[2] == 0.59
        return matrix

    monkeypatch.setattr(reference, "one_pass", wrong)
    with pytest.raises(Disagreement, match="confusion matrices"):
        threshold_curve_files.measure(1, **TINY)


def test_a_wrong_score_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "mean_iou", lambda matrix: 0.5)
    with pytest.raises(Disagreement, match="mIoU"):
        threshold_curve_files.measure(1, **TINY)


def test_cam_store_counts_bytes() -> None:
    result = cam_store.measure(1, pictures=4, size=(188, 250))
    assert (result.unit, result.wanted) == ("B", 4)
    maps = sum(len(scene.classes) for scene in scenes(4, (188, 250)))
    assert result.reference_seconds == pytest.approx(maps * 188 * 250 * 4, rel=0.01)
    assert result.ratio > 4
    assert "softmax" in result.agreement


def test_maps_that_score_differently_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hsc.store, "_STEPS", 16)
    with pytest.raises(Disagreement, match=r"relu: the best mIoU .* more than 0\.01"):
        cam_store.measure(1, pictures=4, size=(188, 250))


@pytest.mark.parametrize("difference", [0.011, float("nan")])
def test_the_tolerance_of_the_store(difference: float) -> None:
    cam_store.check("relu", 0.0099)
    with pytest.raises(Disagreement, match="relu"):
        cam_store.check("relu", difference)


def test_crf_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSC_PROCESSES", "2")
    result = crf_workers.measure(1, **TINY)
    assert result.wanted == 1.8
    assert "the same bytes, 3 pictures of 56x40" in result.agreement


def test_other_labels_from_two_processes_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def refine(root: Path, processes: int) -> None:
        for name in ("0000", "0001", "0002"):
            labels = np.zeros((40, 56), dtype=np.uint8)
            labels[3, 4] = processes == 2 and name == "0002"
            write_mask(root / str(processes) / f"{name}.png", labels)

    monkeypatch.setenv("HSC_PROCESSES", "2")
    monkeypatch.setattr(crf_workers, "refine", refine)
    with pytest.raises(Disagreement, match="different labels"):
        crf_workers.measure(1, **TINY)


def test_a_stage_that_fails_says_why(tmp_path: Path) -> None:
    run = crf_workers.prepare(tmp_path, **TINY)
    (tmp_path / "seeds" / "0001.png").unlink()
    with pytest.raises(HscError, match=r"the stage failed: (.|\n)*seeds/0001\.png: no such file"):
        run(1)


def test_missing_labels_are_noticed(tmp_path: Path) -> None:
    for name in ("1", "2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(b"a")
    crf_workers.compare(tmp_path / "1", tmp_path / "2", 1)
    with pytest.raises(Disagreement):
        crf_workers.compare(tmp_path / "1", tmp_path / "2", 2)
    (tmp_path / "2" / "b.png").write_bytes(b"b")
    with pytest.raises(Disagreement):
        crf_workers.compare(tmp_path / "1", tmp_path / "2", 1)


def test_one_cpu_cannot_measure_two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSC_PROCESSES", "1")
    with pytest.raises(HscError, match="crf_workers: needs 2 CPUs"):
        crf_workers.measure(1, **TINY)


def test_scenes_are_a_data_set(tmp_path: Path) -> None:
    shown = scenes(3, (40, 56))
    folder = write_folder(tmp_path / "data", shown)
    for scene in shown:
        tagged = np.flatnonzero(folder.tags(scene.image_id)) + 1
        assert tagged.tolist() == scene.classes.tolist()
        np.testing.assert_array_equal(folder.mask(scene.image_id), scene.truth)
