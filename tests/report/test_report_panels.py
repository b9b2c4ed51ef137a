"""Panels: which cells there are, the list of them, and the figure to the pixel."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsc.data.classes import palette
from hsc.data.overlay import colour_labels, heat_map
from hsc.report.panels import (
    IGNORED,
    LegendEntry,
    Panel,
    cells,
    draw_panels,
    legend,
    write_cells,
)

NAMES = ("background", "cat", "dog", "owl", "fox", "elk")
TITLES = ("seed", "CRF", "mask", "prediction", "truth")


def panel(
    image_id: str = "p", tags: tuple[str, ...] = ("cat",), size: tuple[int, int] = (20, 30),
    titles: tuple[str, ...] = TITLES,
) -> Panel:  # fmt: skip
    """Noise with a CAM for each tag, the later the stronger, and labels of the first tag."""
    random = np.random.default_rng(len(tags))
    image = random.integers(0, 256, (*size, 3), dtype=np.uint8)
    cams = {name: np.full(size, 0.1 * (n + 1), np.float32) for n, name in enumerate(tags)}
    labels = np.zeros(size, np.uint8)
    if tags:
        labels[: size[0] // 2] = NAMES.index(tags[0])
    return Panel(image_id, image, cams, dict.fromkeys(titles, labels))


def drawn(panels: list[Panel], path: Path) -> np.ndarray:
    draw_panels(panels, NAMES, path)
    return np.asarray(Image.open(path))


def blank_columns(pixels: np.ndarray) -> np.ndarray:
    """Whether there is no picture in a column of pixels, below the titles."""
    return (pixels[64:-60] == 255).all(axis=(0, 2))


def pictures_across(pixels: np.ndarray) -> int:
    """How many pictures lie beside each other."""
    filled = ~blank_columns(pixels)
    return int((filled[1:] & ~filled[:-1]).sum())


# Cells


def test_a_cell_for_each_tag_between_picture_and_labels() -> None:
    it = panel(tags=("cat", "owl"))
    found = cells(it)
    assert [(cell.title, cell.class_name) for cell in found] == [
        ("picture", None), ("CAM", "cat"), ("CAM", "owl"), *((title, None) for title in TITLES),
    ]  # fmt: skip
    assert found[0].pixels is it.image
    assert np.array_equal(found[2].pixels, heat_map(it.image, it.cams["owl"]))
    assert np.array_equal(found[3].pixels, colour_labels(it.image, it.labels["seed"]))


def test_a_heat_map_goes_from_blue_to_red() -> None:
    black = np.zeros((1, 2, 3), np.uint8)
    (cold, hot), = heat_map(black, np.array([[0.0, 1.0]], np.float32))  # fmt: skip
    assert cold[2] > 0 == cold[0] == cold[1]
    assert hot[0] > 0 == hot[1] == hot[2]


def test_legend_has_what_occurs_by_index_and_white_last() -> None:
    one, other = panel(tags=("owl", "cat")), panel(tags=("fox",))
    assert legend([other, one], NAMES) == [
        LegendEntry(name, "#" + bytes(palette()[NAMES.index(name)]).hex())
        for name in ("cat", "owl", "fox")
    ]
    assert legend([one], NAMES)[0] == ("cat", "#800000"), "VOC's first colour"
    one.labels["truth"][0] = 255
    assert legend([one], NAMES)[-1] == LegendEntry(IGNORED, "#ffffff")
    assert legend([panel(tags=())], NAMES) == []


def test_files_and_their_list(tmp_path: Path) -> None:
    panels = [panel("a", ("cat", "owl"), titles=("seed",)), panel("b_1", (), (5, 7), ("seed",))]
    write_cells(panels, NAMES, tmp_path)
    listed = json.loads((tmp_path / "panels.json").read_text())
    assert listed["legend"] == [entry._asdict() for entry in legend(panels, NAMES)]
    first, second = listed["pictures"]
    assert (first["id"], first["tags"]) == ("a", ["cat", "owl"])
    assert first["cells"] == [
        {"title": "picture", "class": None, "file": "a_0.png"},
        {"title": "CAM", "class": "cat", "file": "a_1.png"},
        {"title": "CAM", "class": "owl", "file": "a_2.png"},
        {"title": "seed", "class": None, "file": "a_3.png"},
    ]
    assert (second["id"], second["tags"]) == ("b_1", [])
    files = [cell["file"] for picture in listed["pictures"] for cell in picture["cells"]]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*files, "panels.json"])
    for it, picture in zip(panels, listed["pictures"], strict=True):
        for cell, entry in zip(cells(it), picture["cells"], strict=True):
            pixels = np.asarray(Image.open(tmp_path / entry["file"]))
            assert np.array_equal(pixels, cell.pixels), "small ones as they are"


@pytest.mark.parametrize(
    ("size", "expected"), [((375, 500), (192, 256)), ((500, 375), (256, 192)), ((9, 900), (3, 256))]
)
def test_cells_of_large_pictures_are_shrunk(
    tmp_path: Path, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    write_cells([panel("a", size=size)], NAMES, tmp_path)
    for path in tmp_path.glob("*.png"):
        assert np.asarray(Image.open(path)).shape == (*expected, 3)


def test_cells_are_the_same_bytes_again(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_cells([panel("a", ("cat", "owl"))], NAMES, tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


# The figure


def test_the_figure_is_the_same_bytes_again(tmp_path: Path) -> None:
    panels = [panel("a", ("cat", "owl")), panel("b", ("fox",), (40, 20))]
    draw_panels(panels, NAMES, tmp_path / "one.png")
    draw_panels(panels, NAMES, tmp_path / "two.png")
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    assert Image.open(tmp_path / "one.png").info == {}, "no version of any software"


@pytest.mark.parametrize(("most", "columns"), [(0, 6), (1, 7), (2, 8), (3, 9), (5, 9)])
def test_as_many_columns_of_cams_as_needed_but_three(
    tmp_path: Path, most: int, columns: int
) -> None:
    panels = [panel("a", NAMES[1 : most + 1]), panel("b", ())]
    pixels = drawn(panels, tmp_path / "a.png")
    assert pictures_across(pixels) == columns
    assert 900 <= pixels.shape[1] <= 1500


def test_cams_lie_beside_the_picture_and_missing_ones_leave_white(tmp_path: Path) -> None:
    side = 160
    one, two = panel("a", ("cat",), (side, side)), panel("b", ("cat", "owl"), (side, side))
    pixels = drawn([one, two], tmp_path / "a.png")
    top = 12 + 30 + 22
    for number, cell in enumerate(cells(one)[:2]):
        left = 12 + number * (side + 6)
        assert np.array_equal(pixels[top : top + side, left : left + side], cell.pixels)
    left = 12 + 2 * (side + 6)
    assert (pixels[top : top + side, left : left + side] == 255).all()
    second = top + side + 6 + 22
    assert np.array_equal(pixels[second : second + side, left : left + side], cells(two)[2].pixels)


def test_of_many_cams_the_strongest_in_the_order_of_the_classes(tmp_path: Path) -> None:
    it = panel("a", NAMES[1:], (140, 140))
    it.cams["cat"][:] = 0.9
    pixels = drawn([it], tmp_path / "a.png")
    side = (1440 - 24 - 8 * 6) // 9
    for number, name in enumerate(("cat", "fox", "elk"), start=1):
        left = 12 + number * (side + 6) + side // 2
        expected = heat_map(it.image, it.cams[name]).mean(axis=(0, 1))
        found = pixels[64 : 64 + side, left - 60 : left + 60].mean(axis=(0, 1))
        assert np.abs(found - expected).max() < 4, name


@pytest.mark.parametrize(
    ("size", "across", "down"),
    [((375, 500), 160, 120), ((500, 375), 120, 160), ((30, 300), 160, 16), ((4, 4), 160, 160)],
)
def test_pictures_of_any_shape_keep_it(
    tmp_path: Path, size: tuple[int, int], across: int, down: int
) -> None:
    """As wide as the column or as high, in the middle of it."""
    it = panel("a", (), size)
    it.image[:] = 0
    pixels = drawn([it], tmp_path / "a.png")
    black = (pixels[64:-12] == 0).all(axis=2)[: 160 + 6, :178]
    rows, columns = np.nonzero(black)
    assert rows.max() - rows.min() + 1 == down
    assert columns.max() - columns.min() + 1 == across
    assert columns.min() == 12 + (160 - across) // 2


def test_pictures_of_all_shapes_in_one_figure(tmp_path: Path) -> None:
    sizes = [(375, 500), (500, 375), (30, 300), (300, 3), (1, 1)]
    panels = [panel(f"picture_{n}", size=size) for n, size in enumerate(sizes)]
    pixels = drawn(panels, tmp_path / "a.png")
    rows = [120, 160, 16, 160, 160]
    legend_line = 28
    assert pixels.shape[0] == 12 + 30 + sum(rows) + len(rows) * 28 + legend_line + 12


def test_without_truth_there_is_no_column_of_it(tmp_path: Path) -> None:
    pixels = drawn([panel("a", titles=TITLES[:-1])], tmp_path / "a.png")
    assert pictures_across(pixels) == 6


def test_a_long_legend_takes_more_lines(tmp_path: Path) -> None:
    names = ("background", *(f"a class with quite a long name {n}" for n in range(12)))
    size = (20, 20)
    image = np.zeros((*size, 3), np.uint8)
    labels = np.arange(400, dtype=np.uint16).reshape(size) % 13
    it = Panel("a", image, {}, {"seed": labels.astype(np.uint8)})
    draw_panels([it], names, tmp_path / "long.png")
    short = Panel("a", image, {}, {"seed": np.ones(size, np.uint8)})
    draw_panels([short], names, tmp_path / "short.png")
    long, one = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("long", "short"))
    assert long.shape[0] > one.shape[0]
    assert (long.shape[0] - one.shape[0]) % 28 == 0
    square = palette()[12].tolist()
    assert (long[-12 - 28 :] == square).all(axis=2).sum() == 144, "the last class is on the sheet"


def test_no_panels_cannot_be_drawn(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no panels to draw"):
        draw_panels([], NAMES, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []
