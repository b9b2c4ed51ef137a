"""The CRF over a data set: from seeds, from CAMs, in any number of processes."""

import multiprocessing
import os
import shutil
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.base.pool import map_ordered
from hsc.base.progress import Progress
from hsc.crf.dense import (
    CrfConfig,
    cam_probabilities,
    refine_cam,
    refine_labels,
    refine_probabilities,
)
from hsc.crf.par import refine_scores as refine_scores_by_par
from hsc.crf.stage import _refine_cam, _refine_seed, refine_all, refine_scores, score_labels
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, write_mask
from hsc.params.recipe import CrfParams
from hsc.psa.alpha_labels import alpha_labels, label_all
from hsc.store import CamReader, CamWriter
from stages.refine_crf import main
from tests.stage_runs import change, write_settings

PARAMS = CrfParams(
    unary="labels",
    label_confidence=0.7,
    alpha=7,
    iterations=3,
    gaussian_sxy=3,
    gaussian_compat=3,
    bilateral_sxy=20,
    bilateral_srgb=13,
    bilateral_compat=10,
)
CONFIG = CrfConfig(iterations=3, bilateral_sxy=20)
ALPHA = replace(PARAMS, unary="alpha")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """The masks with holes; their ignored borders are background."""
    folder = tmp_path_factory.mktemp("seeds")
    random = np.random.default_rng(0)
    for image_id in tiny_folder.ids("train_aug"):
        labels = tiny_folder.mask(image_id)
        labels[(labels == 255) | (random.random(labels.shape) < 0.2)] = 0
        write_mask(folder / f"{image_id}.png", labels)
    return folder


def test_labels_are_refined_one_by_one(tiny_folder: VocFolder, seeds: Path, tmp_path: Path) -> None:
    ids = tiny_folder.ids("train_aug")
    absent = tmp_path / "absent.h5"
    assert refine_all(tiny_folder, absent, seeds, PARAMS, tmp_path, 1) == len(ids)
    assert sorted(path.stem for path in tmp_path.iterdir()) == sorted(ids)
    changed = 0
    for image_id in ids:
        seed = read_labels(seeds, image_id)
        expected = refine_labels(tiny_folder.image(image_id), seed, 9, CONFIG, 0.7)
        found = read_labels(tmp_path, image_id)
        np.testing.assert_array_equal(found, expected)
        assert found.shape == tiny_folder.size(image_id)
        changed += (found != seed).any()
    assert changed > 6


def test_cams_are_refined_one_by_one(
    tiny_folder: VocFolder, tiny_cams: Path, tmp_path: Path
) -> None:
    ids = tiny_folder.ids("train_aug")
    assert refine_all(tiny_folder, tiny_cams, tmp_path / "absent", ALPHA, tmp_path, 1) == len(ids)
    with CamReader(tiny_cams) as reader:
        for image_id in ids:
            expected = refine_cam(tiny_folder.image(image_id), *reader.read(image_id), 7, CONFIG)
            np.testing.assert_array_equal(read_labels(tmp_path, image_id), expected)
    assert not read_labels(tmp_path, ids[0]).any(), "no tags: all background"
    assert any(read_labels(tmp_path, image_id).any() for image_id in ids[1:])


def test_every_parameter_counts(tiny_folder: VocFolder, seeds: Path, tmp_path: Path) -> None:
    def refined(name: str, **changes: float) -> bytes:
        params = replace(PARAMS, **changes)
        refine_all(tiny_folder, tmp_path / "none", seeds, params, tmp_path / name, 1)
        files = sorted((tmp_path / name).iterdir())
        return b"".join(path.read_bytes() for path in files)

    plain = refined("plain")
    assert refined("again") == plain
    assert refined("alpha", alpha=3.0) == plain, "not used with labels"
    for key, value in {
        "label_confidence": 0.4,
        "iterations": 1,
        "gaussian_sxy": 1.0,
        "gaussian_compat": 0.0,
        "bilateral_sxy": 5.0,
        "bilateral_srgb": 40.0,
        "bilateral_compat": 1.0,
    }.items():
        assert refined(key, **{key: value}) != plain, key


@pytest.mark.parametrize("params", [PARAMS, ALPHA], ids=["labels", "alpha"])
def test_par_refines_one_by_one(
    tiny_folder: VocFolder, seeds: Path, tiny_cams: Path, tmp_path: Path, params: CrfParams
) -> None:
    """From the same start as the CRF: a map for each label of the seed, or the CAM's scores."""
    ids = tiny_folder.ids("train_aug")
    refine_all(tiny_folder, tiny_cams, seeds, params, tmp_path, 1, by="par")
    refine_all(tiny_folder, tiny_cams, seeds, params, tmp_path / "crf", 1)
    changed, differs = 0, 0
    with CamReader(tiny_cams) as reader:
        for image_id in ids:
            image, seed = tiny_folder.image(image_id), read_labels(seeds, image_id)
            found = read_labels(tmp_path, image_id)
            if params is ALPHA:
                cam, classes = reader.read(image_id)
                scores, present = cam_probabilities(cam, 7), np.array([0, *classes])
            else:
                present = np.unique(seed)
                scores = seed == present[:, None, None]
            expected = present[refine_scores_by_par(image, scores, 3).argmax(axis=0)]
            np.testing.assert_array_equal(found, expected)
            changed += (found != seed).any()
            differs += (found != read_labels(tmp_path / "crf", image_id)).any()
    assert min(changed, differs) > 3


@pytest.mark.parametrize("refine", ["crf", "par", "none"])
def test_the_stage_does_what_refine_says(
    tiny_root: Path, seeds: Path, tmp_path: Path, refine: str
) -> None:
    write_settings(tmp_path)
    change(tmp_path / "params.yaml", refine=refine)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/shapes").symlink_to(tiny_root)
    options = {"params": "params.yaml", "recipes": "recipes", "data": "data", "out": "out"}
    arguments = [word for key, name in options.items() for word in (f"--{key}", tmp_path / name)]
    result = CliRunner().invoke(main, [*map(str, arguments), "--seeds", str(seeds)])
    assert result.exit_code == 0, result.output
    found = {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}
    kept = {path.name: path.read_bytes() for path in seeds.iterdir()}
    assert found.keys() == kept.keys()
    assert (found == kept) == (refine == "none")
    assert ("linked to" if refine == "none" else f"{refine.upper()} labels of 12") in result.output


@pytest.mark.parametrize("by", ["crf", "par"])
@pytest.mark.parametrize("params", [PARAMS, ALPHA], ids=["labels", "alpha"])
def test_number_of_processes_does_not_matter(
    tiny_folder: VocFolder, seeds: Path, tiny_cams: Path, tmp_path: Path, params: CrfParams, by: Any
) -> None:
    found = []
    for processes in (1, 2) if by == "par" else (1, 2, 3):
        output = tmp_path / str(processes)
        refine_all(tiny_folder, tiny_cams, seeds, params, output, processes, by=by)
        found.append({path.name: path.read_bytes() for path in output.iterdir()})
    assert len(found[0]) == 12
    assert found[0] == found[1] == found[-1]


@pytest.mark.parametrize(("processes", "ahead"), [(1, 1), (2, 8)])
def test_progress_and_memory(
    tiny_folder: VocFolder,
    tiny_cams: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    processes: int,
    ahead: int,
) -> None:
    """The bar moves as pictures are written; at most 4 a worker are read and not yet written."""
    output, seen, unwritten = tmp_path / "out", [], []
    read = CamReader.read

    def written() -> int:
        return len(list(output.glob("*.png")))

    def counting(*arguments: Any) -> Any:
        reads = len(unwritten) + 1
        unwritten.append(reads - written())
        return read(*arguments)

    def progress(done: int, total: int, /, **figures: float) -> None:
        assert written() == done
        seen.append((done, total))

    monkeypatch.setattr(CamReader, "read", counting)
    refine_all(tiny_folder, tiny_cams, tmp_path / "none", ALPHA, output, processes, progress)
    assert seen == [(done, 12) for done in range(13)]
    assert len(unwritten) == 12
    assert max(unwritten) == ahead


@pytest.mark.parametrize(
    ("params", "processes"), [(PARAMS, 1), (ALPHA, 2)], ids=["labels", "alpha"]
)
def test_an_error_in_a_worker_names_the_picture(
    tiny_folder: VocFolder, tmp_path: Path, params: CrfParams, processes: int
) -> None:
    """The third picture's maps are broken in a way that no check of the files foresees."""
    image_id = tiny_folder.ids("train_aug")[2]
    wrong = np.zeros((2, 5, 5), dtype=np.uint8)
    tasks = [
        (name, tiny_folder.image(name), wrong, np.array([1, 2]))
        if name == image_id
        else (name, tiny_folder.image(name), *fine(tiny_folder, name, params))
        for name in tiny_folder.ids("train_aug")[:4]
    ]
    function = _refine_cam if params is ALPHA else partial(_refine_seed, num_labels=9)
    results = map_ordered(partial(function, params=params), tasks, processes)
    assert [next(results).shape for _ in range(2)] == [(36, 36)] * 2
    with pytest.raises(ValueError, match="must be") as caught:
        next(results)
    assert caught.value.__notes__ == [f"in the refinement of picture {image_id}"]


def fine(folder: VocFolder, image_id: str, params: CrfParams) -> tuple[NDArray, NDArray]:
    """What a task has after the picture."""
    size = folder.size(image_id)
    if params.unary == "labels":
        return np.zeros(size, dtype=np.uint8), np.empty(0)
    return np.zeros((1, *size), dtype=np.float32), np.array([1])


def test_a_killed_worker_leaves_no_half_of_the_labels(
    tiny_root: Path, seeds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_settings(tmp_path)
    (tmp_path / "outputs/data").mkdir(parents=True)
    (tmp_path / "outputs/data/shapes").symlink_to(tiny_root)
    written = []

    def killing(title: str, unit: str) -> Progress:
        def progress(done: int, total: int, /, **figures: float) -> None:
            if done == 2:
                written.extend((tmp_path / "crf.partial").iterdir())
                for worker in multiprocessing.active_children():
                    os.kill(worker.pid, signal.SIGKILL)

        return progress

    monkeypatch.setattr("stages.refine_crf.bars", killing)
    monkeypatch.setenv("HSC_PROCESSES", "2")
    options = {
        "params": "params.yaml", "recipes": "recipes", "data": "outputs/data", "cams": "cams.h5",
        "out": "crf",
    }  # fmt: skip
    arguments = [word for key, name in options.items() for word in (f"--{key}", tmp_path / name)]
    result = CliRunner().invoke(main, [*map(str, arguments), "--seeds", str(seeds)])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: a worker process died: it was killed, perhaps for want")
    assert len(written) == 2
    assert not list(tmp_path.glob("crf*"))


def test_masks_are_not_read(tiny_root: Path, seeds: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("SegmentationClass"))
    assert refine_all(VocFolder(root), tmp_path, seeds, PARAMS, tmp_path / "out", 1) == 12


def test_missing_seed_is_an_error(tiny_folder: VocFolder, seeds: Path, tmp_path: Path) -> None:
    part = tmp_path / "seeds"
    shutil.copytree(seeds, part)
    missing = part / f"{tiny_folder.ids('train_aug')[2]}.png"
    missing.unlink()
    with pytest.raises(HscError, match=f"{missing.name}: no such file"):
        refine_all(tiny_folder, tmp_path, part, PARAMS, tmp_path / "out", 1)


def test_missing_cam_and_missing_file_are_errors(tiny_folder: VocFolder, tmp_path: Path) -> None:
    path = tmp_path / "cams.h5"
    with pytest.raises(HscError, match=r"cams\.h5: no such file"):
        refine_all(tiny_folder, path, tmp_path, ALPHA, tmp_path / "out", 1)
    with CamWriter(path, tiny_folder.class_names, "digest"):
        pass
    with pytest.raises(HscError, match="no map of train_00000"):
        refine_all(tiny_folder, path, tmp_path, ALPHA, tmp_path / "out", 1)


def test_cams_of_another_size_or_data_set_are_errors(
    tiny_folder: VocFolder, tmp_path: Path
) -> None:
    path = tmp_path / "cams.h5"
    with CamWriter(path, tiny_folder.class_names, "digest") as writer:
        for image_id in sorted(tiny_folder.ids("train_aug")):
            writer.add(image_id, np.zeros((1, 20, 36)), [1])
    with pytest.raises(HscError, match=r"\(height, width\) is \(20, 36\), the picture's is"):
        refine_all(tiny_folder, path, tmp_path, ALPHA, tmp_path / "out", 1)
    with CamWriter(path, ["cat"], "digest"):
        pass
    with pytest.raises(HscError, match=r"cams\.h5: its classes are cat, those of"):
        refine_all(tiny_folder, path, tmp_path, ALPHA, tmp_path / "out", 1)


@pytest.mark.parametrize("processes", [1, 2])
def test_affinity_labels_are_made_one_by_one(
    tiny_folder: VocFolder, tiny_cams: Path, tmp_path: Path, processes: int
) -> None:
    alphas, ids = (1.0, 24.0), tiny_folder.ids("train_aug")
    assert label_all(tiny_folder, tiny_cams, alphas, PARAMS, tmp_path, processes) == len(ids)
    values = set()
    with CamReader(tiny_cams) as reader:
        for image_id in ids:
            expected = alpha_labels(
                tiny_folder.image(image_id), *reader.read(image_id), alphas, CONFIG
            )
            np.testing.assert_array_equal(read_labels(tmp_path, image_id), expected)
            values |= set(np.unique(expected).tolist())
    assert {0, 255} < values, "background, doubt and classes"


def test_scores_are_refined_by_the_unary(tiny_folder: VocFolder) -> None:
    image_id = tiny_folder.ids("train_aug")[1]
    image = tiny_folder.image(image_id)
    scores = np.random.default_rng(0).random((3, *image.shape[:2])).astype(np.float32)
    classes = np.array([2, 7])
    task = (image_id, image, scores, classes)
    plain = score_labels(scores, classes)
    assert plain.dtype == np.uint8
    assert set(np.unique(plain)) == {0, 2, 7}
    np.testing.assert_array_equal(
        refine_scores(task, PARAMS, 9), refine_labels(image, plain, 9, CONFIG, 0.7)
    )
    np.testing.assert_array_equal(
        refine_scores(task, ALPHA, 9),
        score_labels(refine_probabilities(image, scores, CONFIG), classes),
    )
