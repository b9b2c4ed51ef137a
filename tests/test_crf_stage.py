"""The CRF over a data set: from seeds, from CAMs, in any number of processes."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hsc.alpha_labels import alpha_labels
from hsc.crf import CrfConfig, refine_cam, refine_labels, refine_probabilities
from hsc.crf_stage import label_all, refine_all, refine_scores, score_labels
from hsc.data.voc import VocFolder, write_mask
from hsc.errors import HscError
from hsc.params import CrfParams
from hsc.scoring import read_labels
from hsc.store import CamReader, CamWriter

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
ALPHA = PARAMS.model_copy(update={"unary": "alpha"})


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


@pytest.fixture(scope="module")
def cams(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """Half-hearted maps of the tagged classes; the first picture has none."""
    path = tmp_path_factory.mktemp("cams") / "cams.h5"
    random = np.random.default_rng(0)
    with CamWriter(path, tiny_folder.class_names, "digest") as writer:
        for number, image_id in enumerate(sorted(tiny_folder.ids("train_aug"))):
            mask = tiny_folder.mask(image_id)
            classes = np.flatnonzero(tiny_folder.tags(image_id)) + 1 if number else np.empty(0, int)
            inside = mask[None] == classes[:, None, None]
            writer.add(image_id, 0.5 * inside + 0.4 * random.random(inside.shape), classes)
    return path


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


def test_cams_are_refined_one_by_one(tiny_folder: VocFolder, cams: Path, tmp_path: Path) -> None:
    ids = tiny_folder.ids("train_aug")
    assert refine_all(tiny_folder, cams, tmp_path / "absent", ALPHA, tmp_path, 1) == len(ids)
    with CamReader(cams) as reader:
        for image_id in ids:
            expected = refine_cam(tiny_folder.image(image_id), *reader.read(image_id), 7, CONFIG)
            np.testing.assert_array_equal(read_labels(tmp_path, image_id), expected)
    assert not read_labels(tmp_path, ids[0]).any(), "no tags: all background"
    assert any(read_labels(tmp_path, image_id).any() for image_id in ids[1:])


def test_every_parameter_counts(tiny_folder: VocFolder, seeds: Path, tmp_path: Path) -> None:
    def refined(name: str, **changes: float) -> bytes:
        params = PARAMS.model_copy(update=changes)
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
def test_number_of_processes_does_not_matter(
    tiny_folder: VocFolder, seeds: Path, cams: Path, tmp_path: Path, params: CrfParams
) -> None:
    for processes in (1, 2):
        output = tmp_path / str(processes)
        refine_all(tiny_folder, cams, seeds, params, output, processes)
    for image_id in tiny_folder.ids("train_aug"):
        first, second = (tmp_path / name / f"{image_id}.png" for name in "12")
        assert first.read_bytes() == second.read_bytes()


def test_progress_sees_every_picture(tiny_folder: VocFolder, seeds: Path, tmp_path: Path) -> None:
    seen = []

    def progress(ids: list[str]) -> Iterator[str]:
        for image_id in ids:
            seen.append(image_id)
            yield image_id

    refine_all(tiny_folder, tmp_path, seeds, PARAMS, tmp_path / "out", 1, progress)
    assert tuple(seen) == tiny_folder.ids("train_aug")


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
    tiny_folder: VocFolder, cams: Path, tmp_path: Path, processes: int
) -> None:
    alphas, ids = (1.0, 24.0), tiny_folder.ids("train_aug")
    assert label_all(tiny_folder, cams, alphas, PARAMS, tmp_path, processes) == len(ids)
    values = set()
    with CamReader(cams) as reader:
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
