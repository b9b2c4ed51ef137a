"""Saliency maps into a data set: estimated for each picture, or from an archive or a folder."""

import io
import shutil
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.base.progress import Progress
from hsc.data.voc import VocFolder
from hsc.sources.saliency import check_highest, read_map, unpack_published, write_estimated
from hsc.sources.saliency_estimate import METHOD, estimate
from tests.data.raw_png import GREY, write_png
from tests.tiny_folder import tiny_folder

IDS = ("b", "a", "c")
Pack = Callable[[Path, dict[str, bytes]], Path]


@pytest.fixture
def data(tmp_path: Path) -> VocFolder:
    return tiny_folder(tmp_path / "data", saliency=False)


def saliency_of(data: VocFolder, image_id: str) -> np.ndarray:
    """A map of the picture's size, (H, W) uint8, the same each time."""
    size = data.size(image_id)
    return np.random.default_rng(ord(image_id)).integers(0, 256, size, dtype=np.uint8)


def encoded(image: Image.Image | np.ndarray, kind: str = "PNG") -> bytes:
    stream = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(stream, kind)
    return stream.getvalue()


def maps(data: VocFolder) -> dict[str, bytes]:
    """As EPS's archive has them, for every picture of train_aug."""
    found = {f"SALImages/{i}.png": encoded(saliency_of(data, i)) for i in IDS}
    return {"SALImages/readme.txt": b"maps", "SALImages/other.png": b"", **found}


def packed_zip(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return path.with_suffix(".zip")


def packed_tar(path: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(path.with_suffix(".tgz"), "w:gz") as packed:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            packed.addfile(entry, io.BytesIO(content))
    return path.with_suffix(".tgz")


def in_folder(path: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content)
    return path


PACKS = (packed_zip, packed_tar, in_folder)


def names_in(data: VocFolder) -> set[str]:
    """All files of the data set but its pictures, lists and tags."""
    return {path.name for path in data.root.glob("*")} - {
        "classes.txt", "tags.csv", "ImageSets", "JPEGImages",
    }  # fmt: skip


@pytest.mark.parametrize("pack", PACKS)
def test_published_maps_are_taken_from_wherever_they_lie(
    data: VocFolder, tmp_path: Path, pack: Pack
) -> None:
    calls: dict[str, list[tuple[int, int]]] = {}

    def bars(title: str, unit: str) -> Progress:
        return lambda *done: calls.setdefault(title.split()[0], []).append(done)

    unpack_published(pack(tmp_path / "maps", maps(data)), data.root, IDS, bars)
    for image_id in IDS:
        np.testing.assert_array_equal(data.saliency(image_id), saliency_of(data, image_id))
        with Image.open(data.saliency_path(image_id)) as image:
            assert (image.format, image.mode) == ("PNG", "L")
    assert {path.name for path in (data.root / "Saliency").iterdir()} == {"a.png", "b.png", "c.png"}
    assert names_in(data) == {"Saliency"}
    assert calls.pop("saliency") == [(0, 3), (1, 3), (2, 3), (3, 3)]
    for shown in calls.values():  # of an archive
        assert shown == sorted(shown)
        assert shown[-1][0] == shown[-1][1] > 0


def test_an_older_folder_is_replaced_as_a_whole(data: VocFolder, tmp_path: Path) -> None:
    source = in_folder(tmp_path / "maps", maps(data))
    in_folder(data.root / "Saliency", {"d.png": b"old"})
    unpack_published(source, data.root, IDS)
    assert not data.saliency_path("d").exists()


def test_other_forms_of_the_same_map(data: VocFolder, tmp_path: Path) -> None:
    grey = saliency_of(data, "a")
    indices = Image.fromarray(grey)
    indices.putpalette([level for level in range(256) for _ in range(3)])
    smooth = np.tile(np.linspace(0, 255, grey.shape[1]).astype(np.uint8), (grey.shape[0], 1))
    two = Image.fromarray(np.where(grey > 99, 255, 0).astype(np.uint8)).convert("1", dither=0)
    cases = [
        ("a.png", encoded(np.stack([grey] * 3, axis=2)), grey, 0),
        ("a.png", encoded(indices), grey, 0),
        ("a.PNG", encoded(two), np.where(grey > 99, 255, 0), 0),
        ("a.jpg", encoded(smooth, "JPEG"), smooth, 6),
        ("a.jpeg", encoded(np.stack([smooth] * 3, axis=2), "JPEG"), smooth, 6),
    ]
    for number, (name, content, expected, tolerance) in enumerate(cases):
        source = in_folder(tmp_path / str(number), {name: content})
        unpack_published(source, data.root, ["a"])
        np.testing.assert_allclose(data.saliency("a").astype(int), expected, atol=tolerance)


def wrong_maps(grey: np.ndarray) -> dict[str, tuple[bytes, str]]:
    """By kind: a file's content and what the error says."""
    coloured = np.stack([grey, grey, 255 - grey], axis=2)
    return {
        "size": (encoded(grey[1:]), r"16x11 pixels, but the picture \S+a.png has 16x12"),
        "damaged": (encoded(grey)[:60], "cannot be read as a picture"),
        "no picture": (b"<html>", r"cannot be read as a picture \(it is a web page"),
        "16 bits": (encoded(grey.astype(np.uint16) * 257), "of more than 8 bits a value"),
        "16 bits of RGB": (
            cv2.imencode(".png", np.stack([grey.astype(np.uint16)] * 3, axis=2))[1].tobytes(),
            "of more than 8 bits a value",
        ),
        "transparent": (encoded(Image.fromarray(grey).convert("LA")), "mode LA, not of 8-bit grey"),
        "coloured": (encoded(coloured), "in colours"),
        "palette": (encoded(Image.fromarray(coloured).quantize(9)), "in colours"),
    }


@pytest.mark.parametrize("pack", PACKS)
@pytest.mark.parametrize("kind", wrong_maps(np.zeros((2, 2), np.uint8)))
def test_a_map_that_is_none(data: VocFolder, tmp_path: Path, pack: Pack, kind: str) -> None:
    content, said = wrong_maps(saliency_of(data, "a"))[kind]
    in_folder(data.root / "Saliency", {"d.png": b"old"})
    source = pack(tmp_path / "maps", maps(data) | {"SALImages/a.png": content})
    with pytest.raises(HscError, match=said) as error:
        unpack_published(source, data.root, IDS)
    assert str(error.value).startswith(f"{source}/SALImages/a.png: ")
    # nothing is left but what was there
    assert [path.name for path in (data.root / "Saliency").iterdir()] == ["d.png"]
    assert names_in(data) == {"Saliency"}


@pytest.mark.parametrize("pack", PACKS)
def test_two_maps_of_one_id(data: VocFolder, tmp_path: Path, pack: Pack) -> None:
    source = pack(tmp_path / "maps", maps(data) | {"VOC/JPEGImages/a.jpg": b""})
    with pytest.raises(HscError, match=r"SALImages/a\.png and \S+/JPEGImages/a\.jpg are both"):
        unpack_published(source, data.root, IDS)
    assert names_in(data) == set()


@pytest.mark.parametrize("pack", PACKS)
def test_missing_maps_are_counted(data: VocFolder, tmp_path: Path, pack: Pack) -> None:
    files = maps(data)
    del files["SALImages/a.png"]
    source = pack(tmp_path / "maps", files)
    with pytest.raises(HscError, match=r"no map for 1 of 3 pictures \(a\);"):
        unpack_published(source, data.root, IDS)
    many = [f"id{number}" for number in range(13)]
    first = r"13 of 16 pictures \(id0, id1, id10, id11, id12, id2, .*, id6, \.\.\. 13 in all\)"
    with pytest.raises(HscError, match=first):
        unpack_published(pack(tmp_path / "all", maps(data)), data.root, [*IDS, *many])
    assert names_in(data) == set()


def test_maps_of_0_and_1_are_refused_but_an_empty_map_is_none(
    data: VocFolder, tmp_path: Path
) -> None:
    flat = {f"{i}.png": encoded((saliency_of(data, i) > 99).astype(np.uint8)) for i in IDS}
    with pytest.raises(HscError, match=r"no map has a value over 1.* scale them to 0\.\.255"):
        unpack_published(in_folder(tmp_path / "flat", flat), data.root, IDS)
    assert names_in(data) == set()
    empty = {"SALImages/a.png": encoded(np.zeros(data.size("a"), np.uint8))}
    unpack_published(in_folder(tmp_path / "maps", maps(data) | empty), data.root, IDS)
    assert not data.saliency("a").any()


# One map of somebody's own


@pytest.mark.parametrize("name", ["a.png", "a.PNG", "a.bmp", "a.tif", "a.gif", "a.webp"])
def test_an_own_map_of_any_format(tmp_path: Path, name: str) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (9, 7), dtype=np.uint8)
    Image.fromarray(grey).save(tmp_path / name, **({"lossless": True} if name[2] == "w" else {}))
    found = read_map(tmp_path / name)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, grey)


def test_an_own_map_of_few_bits_is_of_the_whole_range(tmp_path: Path) -> None:
    """Black and white are 0 and 255, not 0 and 1."""
    path = write_png(tmp_path / "a.png", [b"\x0f"], 2, 4, GREY)
    assert read_map(path).tolist() == [[0, 255]]
    Image.fromarray(np.array([[False, True]])).save(path)
    assert read_map(path).tolist() == [[0, 255]]


def test_an_own_map_is_turned_as_its_picture_is(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.array([[1, 2, 3]], np.uint8)).save(tmp_path / "a.png", exif=exif)
    assert read_map(tmp_path / "a.png").tolist() == [[1], [2], [3]]


@pytest.mark.parametrize("kind", wrong_maps(np.zeros((2, 2), np.uint8)))
def test_an_own_map_that_is_none(tmp_path: Path, kind: str) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (16, 12), dtype=np.uint8)
    content, said = wrong_maps(grey)[kind]
    path = tmp_path / "a.png"
    path.write_bytes(content)
    if kind == "size":  # which only the picture tells
        assert read_map(path).shape == (15, 12)
        return
    with pytest.raises(HscError, match=said) as error:
        read_map(path)
    assert str(error.value).startswith(f"{path}: ")


def test_the_highest_value_of_all_maps(tmp_path: Path) -> None:
    for highest in (0, 1):
        with pytest.raises(HscError) as caught:
            check_highest(tmp_path, highest)
        said = f"{tmp_path}: no map has a value over {highest}, so they are of 0..1 or empty; scale"
        assert str(caught.value).startswith(said)
    check_highest(tmp_path, 2)


def test_a_source_that_is_missing_or_no_archive(data: VocFolder, tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"none\.zip: no such file or folder"):
        unpack_published(tmp_path / "none.zip", data.root, IDS)
    page = tmp_path / "page.zip"
    page.write_text("<html>Google Drive: quota exceeded</html>")
    with pytest.raises(HscError, match=r"page\.zip: damaged or truncated, or no archive"):
        unpack_published(page, data.root, IDS)
    assert names_in(data) == set()


def test_a_map_needs_its_picture(data: VocFolder, tmp_path: Path) -> None:
    source = in_folder(tmp_path / "maps", maps(data))
    data.image_path("c").unlink()
    with pytest.raises(HscError, match=r"JPEGImages/c\.jpg: no such picture"):
        unpack_published(source, data.root, IDS)


def test_estimated_maps_are_those_of_the_pictures_whatever_the_processes(
    data: VocFolder, tmp_path: Path
) -> None:
    pytest.importorskip("cv2")
    other = VocFolder(shutil.copytree(data.root, tmp_path / "other"))
    calls: list[tuple[int, int]] = []
    write_estimated(data.root, IDS, 1, lambda *done: calls.append(done))
    write_estimated(other.root, IDS, 2)
    for image_id in IDS:
        expected = estimate(data.image(image_id))
        assert expected.any()
        np.testing.assert_array_equal(data.saliency(image_id), expected)
        written = [folder.saliency_path(image_id).read_bytes() for folder in (data, other)]
        assert written[0] == written[1]
    assert calls == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert not data.saliency_path("d").exists()
    assert "Zhu" in METHOD


def test_estimating_leaves_nothing_where_a_picture_is_damaged(data: VocFolder) -> None:
    pytest.importorskip("cv2")
    path = data.image_path("c")
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(HscError, match=r"c\.png: cannot be read as a picture"):
        write_estimated(data.root, IDS)
    assert names_in(data) == set()


def test_estimating_without_opencv(data: VocFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(HscError, match="pip install opencv-contrib-python-headless"):
        write_estimated(data.root, IDS)
    assert names_in(data) == set()
