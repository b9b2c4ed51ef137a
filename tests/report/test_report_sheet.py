"""The sheet: what is placed where, how pictures are scaled, and the bytes of its file."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from hsc.report.sheet import Sheet, fit, shorten, text_width

NOISE = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
LENGTH = st.integers(1, 40)


def pixels_of(sheet: Sheet, path: Path) -> np.ndarray:
    sheet.save(path)
    return np.asarray(Image.open(path))


def test_pictures_lie_where_they_were_put_to_the_pixel(tmp_path: Path) -> None:
    # sizes whose inches are no round numbers
    sheet = Sheet(57, 113)
    sheet.paste(NOISE, 48, 107)
    found = pixels_of(sheet, tmp_path / "sheet.png")
    assert found.shape == (113, 57, 3)
    assert np.array_equal(found[107:, 48:], NOISE)
    found = found.copy()
    found[107:, 48:] = 255
    assert (found == 255).all()


@pytest.mark.parametrize(("left", "top"), [(-1, 0), (0, -1), (2, 0), (0, 5)])
def test_nothing_lies_beyond_the_edge(left: int, top: int) -> None:
    with pytest.raises(ValueError, match=r"9x6 pixels at \(.*\) do not fit on a sheet of 10x10"):
        Sheet(10, 10).paste(NOISE, left, top)


@pytest.mark.parametrize(("anchor", "start"), [("left", 40), ("center", 40 - 25)])
def test_words_lie_where_they_were_put(tmp_path: Path, anchor: str, start: int) -> None:
    sheet = Sheet(100, 60)
    sheet.write("nnnnnn", 40, 30, 13, "#000000", anchor)
    rows, columns = np.nonzero((pixels_of(sheet, tmp_path / "a.png") < 128).any(axis=2))
    assert 28 <= (rows.min() + rows.max()) / 2 <= 32
    assert abs(columns.min() - start) <= 3
    assert abs(columns.max() - columns.min() - text_width("nnnnnn", 13)) <= 5


def test_a_dollar_sign_starts_no_formula(tmp_path: Path) -> None:
    assert text_width("$a$", 13) > text_width("a", 13) + 5
    sheet = Sheet(100, 40)
    sheet.write(r"$\nonsense_", 5, 20, 13)
    assert (pixels_of(sheet, tmp_path / "a.png") < 128).any()


def test_the_same_bytes_again_and_no_version_in_them(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        sheet = Sheet(80, 40)
        sheet.paste(NOISE, 3, 4)
        sheet.write("words", 20, 20, 13)
        sheet.save(tmp_path / name)
    data = (tmp_path / "one.png").read_bytes()
    assert data == (tmp_path / "two.png").read_bytes()
    assert Image.open(tmp_path / "one.png").info == {}
    assert b"atplotlib" not in data


def test_a_text_that_is_too_wide_loses_one_end() -> None:
    text = "COCO_train2014_000000123456"
    assert shorten(text, 13, 1000) == text
    head, tail = shorten(text, 13, 100), shorten(text, 13, 100, keep="tail")
    assert head.endswith("…")
    assert text.startswith(head[:-1])
    assert tail.startswith("…")
    assert text.endswith(tail[1:])
    for cut in (head, tail):
        assert 80 < text_width(cut, 13) <= 100
    assert shorten(text, 13, 1) == "…"


@given(LENGTH, LENGTH, LENGTH, LENGTH)
def test_a_picture_fills_its_space_in_one_direction(
    h: int, w: int, height: int, width: int
) -> None:
    found = fit(np.zeros((h, w, 3), np.uint8), width, height)
    assert found.shape[0] <= height
    assert found.shape[1] <= width
    assert found.shape[0] == height or found.shape[1] == width
    scale = min(height / h, width / w)
    assert abs(found.shape[0] - max(1, h * scale)) <= 0.5
    assert abs(found.shape[1] - max(1, w * scale)) <= 0.5


def test_an_enlarged_picture_shows_its_pixels() -> None:
    assert np.array_equal(fit(NOISE, 27, 18), NOISE.repeat(3, 0).repeat(3, 1))


def test_a_shrunk_picture_is_averaged() -> None:
    stripes = np.zeros((40, 40, 3), np.uint8)
    stripes[:, ::2] = 200
    assert np.abs(fit(stripes, 10, 10).astype(int) - 100).max() <= 10


def test_not_enlarged_where_that_is_not_wanted() -> None:
    assert fit(NOISE, 90, 60, enlarge=False) is NOISE
    assert fit(NOISE, 3, 60, enlarge=False).shape == (2, 3, 3)
