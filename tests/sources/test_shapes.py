"""hsc.sources.shapes: the same bytes, honest tags, and the difficulties that it promises."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from hsc.data.classes import IGNORE, SHAPES_CLASSES
from hsc.data.voc import VocFolder
from hsc.sources.shapes import draw_number, generate
from hsc.sources.shapes_config import ShapesConfig
from hsc.sources.shapes_drawing import COMPANIONS, SCENES, Picture

SMALL = ShapesConfig(train=6, val=3, scored_train=4)


@pytest.fixture(scope="module")
def pictures() -> list[Picture]:
    return [draw_number(ShapesConfig(), "train", number) for number in range(240)]


def contents(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


def test_same_configuration_same_bytes(tmp_path: Path) -> None:
    generate(tmp_path / "a", SMALL)
    generate(tmp_path / "b", SMALL)
    first = contents(tmp_path / "a")
    assert first == contents(tmp_path / "b")
    assert len(first) == 9 * 3 + 3 + 2
    generate(tmp_path / "p", SMALL, processes=2)
    assert contents(tmp_path / "p") == first
    generate(tmp_path / "c", replace(SMALL, seed=1))
    assert first != contents(tmp_path / "c")


def test_a_picture_does_not_depend_on_the_others(tmp_path: Path) -> None:
    generate(tmp_path / "a", SMALL)
    generate(tmp_path / "b", replace(SMALL, train=8, val=4))
    first, second = contents(tmp_path / "a"), contents(tmp_path / "b")
    for name in first:
        if name.endswith((".jpg", ".png")):
            assert first[name] == second[name], name


def test_written_in_voc_layout(tmp_path: Path) -> None:
    seen = []
    generate(tmp_path, SMALL, lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(10)]
    data = VocFolder(tmp_path)
    data.check()
    assert data.class_names == SHAPES_CLASSES
    assert [len(data.ids(split)) for split in ("train_aug", "train", "val")] == [6, 4, 3]
    for image_id in data.ids("train_aug") + data.ids("val"):
        mask = data.mask(image_id)
        classes = set(np.unique(mask)) - {0, IGNORE}
        assert set(np.flatnonzero(data.tags(image_id)) + 1) == classes
        assert data.image(image_id).shape == (80, 80, 3)
        assert data.saliency(image_id).shape == (80, 80)


def test_train_and_val_differ() -> None:
    train, val = (draw_number(SMALL, part, 0) for part in ("train", "val"))
    assert not np.array_equal(train.image, val.image)


def test_tags_are_what_can_be_seen(pictures: list[Picture]) -> None:
    for picture in pictures:
        classes = set(np.unique(picture.mask).tolist()) - {0, IGNORE}
        assert picture.classes == tuple(sorted(classes))
        for index in classes:
            assert (picture.mask == index).sum() > 80  # of 6400 pixels: no slivers


def test_number_of_objects_and_every_class(pictures: list[Picture]) -> None:
    counts = np.bincount([len(picture.classes) for picture in pictures], minlength=4)
    assert counts[0] == 0
    np.testing.assert_allclose(counts[1:] / len(pictures), [0.50, 0.38, 0.12], atol=0.10)
    shares = np.bincount([index for picture in pictures for index in picture.classes])[1:]
    assert len(shares) == len(SHAPES_CLASSES)
    assert shares.min() > 0.6 * shares.mean()


def test_borders_part_all_labels(pictures: list[Picture]) -> None:
    for picture in pictures[:40]:
        share = (picture.mask == IGNORE).mean()
        assert 0.01 < share < 0.12
        # Neighbours across one row or column have the same label or one of them is border.
        for one, other in (
            (picture.mask[1:], picture.mask[:-1]),
            (picture.mask[:, 1:], picture.mask[:, :-1]),
        ):
            assert ((one == other) | (one == IGNORE) | (other == IGNORE)).all()


def test_three_classes_come_with_their_scene(pictures: list[Picture]) -> None:
    assert len(COMPANIONS) == 3
    assert set(COMPANIONS.values()) <= set(SCENES)
    for index, scene in COMPANIONS.items():
        shown = np.array([scene in picture.scenes for picture in pictures])
        present = np.array([index in picture.classes for picture in pictures])
        assert 0.65 < shown[present].mean() < 0.95  # 0.8 is asked for
        assert 0.03 < shown[~present].mean() < 0.25  # 0.12 is asked for


def test_co_occurrence_can_be_turned_off() -> None:
    config = ShapesConfig(with_scene=0, scene_alone=0)
    scenes = {name for n in range(60) for name in draw_number(config, "train", n).scenes}
    assert scenes == set(SCENES) - set(COMPANIONS.values())


def test_saliency_is_degraded(pictures: list[Picture]) -> None:
    overlaps, missed, added = [], 0, 0
    for picture in pictures:
        truth = (picture.mask > 0) & (picture.mask != IGNORE)
        guess = picture.saliency > 127
        overlaps.append((truth & guess).sum() / (truth | guess).sum())
        for index in picture.classes:
            missed += not (guess & (picture.mask == index)).any()
        away = ~ndimage.binary_dilation(picture.mask > 0, iterations=4)
        added += bool((picture.saliency[away] > 60).any())
    assert 0.55 < np.mean(overlaps) < 0.90
    objects = sum(len(picture.classes) for picture in pictures)
    assert 0.04 < missed / objects < 0.20
    assert 0.05 < added / len(pictures) < 0.60


def test_perfect_saliency_can_be_had() -> None:
    config = ShapesConfig(
        saliency_drop=0, saliency_clutter=0, saliency_blur=0, saliency_gain=0, clutter_min=0
    )
    for number in range(5):
        picture = draw_number(config, "train", number)
        inner = picture.mask != IGNORE
        np.testing.assert_array_equal(
            picture.saliency[inner], 255 * (picture.mask > 0)[inner].astype(np.uint8)
        )


def test_clutter_belongs_to_no_class() -> None:
    config = ShapesConfig(clutter_min=3, clutter_max=3, saliency_clutter=1, saliency_drop=1)
    picture = draw_number(config, "train", 0)
    shown = picture.saliency > 127
    assert shown.any()
    assert set(np.unique(picture.mask[shown])) <= {0, IGNORE}


@pytest.mark.parametrize("size", [32, 80, 129])
def test_any_side(size: int) -> None:
    picture = draw_number(ShapesConfig(size=size, border=2), "val", 3)
    assert picture.image.shape == (size, size, 3)
    assert picture.mask.shape == picture.saliency.shape == (size, size)
    assert picture.classes


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("one_object", 0.4), ("one_object", -0.1), ("own_colour", 1.5), ("saliency_drop", -1),
        ("with_scene", float("nan")), ("size", 16), ("scale_min", 0.0), ("scale_min", 0.4),
        ("scale_max", 0.6), ("head_ratio", 0), ("axis_jitter", 1.0), ("clutter_min", 9),
        ("train", 0), ("val", 0), ("scored_train", 0), ("scored_train", 481), ("noise", -0.1),
        ("blur", -1), ("jpeg_quality", 0), ("jpeg_quality", 101), ("border", 0), ("border", 3),
        ("seed", -1), ("light", 1.2), ("saliency_blur", float("nan")),
    ],
)  # fmt: skip
def test_impossible_configurations(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=name):
        ShapesConfig(**{name: value})
