"""The CAM file: what goes in comes out, the same bytes each time, and damage is named."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.store import CamReader, CamWriter

REPOSITORY = Path(__file__).resolve().parents[1]
NAMES = ["cat", "dog", "émeu"]


def maps(seed=0):
    """Three images: two classes, one class, none."""
    rng = np.random.default_rng(seed)
    return {
        "2007_000032": (rng.random((2, 4, 6), dtype=np.float32), [3, 1]),
        "2007_000039": (rng.random((1, 5, 3), dtype=np.float32), [2]),
        "a.b": (np.zeros((0, 2, 2), np.float32), []),
    }


def write(path, images, digest="d1"):
    with CamWriter(path, NAMES, digest) as writer:
        for image_id, (cam, classes) in images.items():
            writer.add(image_id, cam, classes)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "cams.h5"
    write(path, maps())
    return path


def test_maps_come_back_to_the_nearest_1024th(path):
    with CamReader(path) as reader:
        assert reader.ids == sorted(maps())
        assert reader.class_names == NAMES
        assert reader.digest == "d1"
        for image_id, (cam, classes) in maps().items():
            found, indices = reader.read(image_id)
            assert found.dtype == np.float32
            assert indices.dtype == np.int64
            assert found.shape == cam.shape
            np.testing.assert_array_equal(found * 1024 % 1, 0)
            np.testing.assert_allclose(found, cam, rtol=0, atol=2**-11)
            assert indices.tolist() == classes
        reader.check(maps())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_multiples_of_a_1024th_come_back_as_they_were(tmp_path, dtype):
    cam = (np.arange(1025) / 1024).astype(dtype)[None, None]
    write(tmp_path / "cams.h5", {"a": (cam, [1])})
    with CamReader(tmp_path / "cams.h5") as reader:
        np.testing.assert_array_equal(reader.read("a")[0], cam)


def test_the_layout_is_that_of_the_design(path):
    with h5py.File(path) as file:
        data = file["2007_000032/cam"]
        assert data.dtype == np.float16
        assert data.shape == (2, 4, 6)
        assert data.attrs["classes"].tolist() == [3, 1]
        assert set(file.attrs) == {"format", "class_names", "digest"}


def test_a_smooth_map_takes_a_quarter_of_float32_or_less(tmp_path):
    rng = np.random.default_rng(0)
    across = np.linspace(-1, 1, 120)
    blob = np.exp(-3 * (across[:, None] ** 2 + across**2))
    noise = np.kron(rng.random((15, 15)), np.ones((8, 8)))  # a grid of stride 8
    images = {f"{number}": ((0.9 * blob + 0.1 * noise)[None], [1]) for number in range(5)}
    write(tmp_path / "cams.h5", images)
    assert (tmp_path / "cams.h5").stat().st_size < len(images) * 4 * blob.size / 4


def test_a_small_map_takes_little_more_than_its_values(tmp_path):
    images = {f"{number:03d}": (np.zeros((1, 8, 8)), [1]) for number in range(100)}
    write(tmp_path / "cams.h5", images)
    assert (tmp_path / "cams.h5").stat().st_size < 100 * 800


def test_the_same_input_gives_the_same_bytes(path, tmp_path):
    time.sleep(1.1)  # a time stamp in the file has a resolution of a second
    write(tmp_path / "again.h5", maps())
    assert (tmp_path / "again.h5").read_bytes() == path.read_bytes()


def test_other_input_gives_other_bytes(path, tmp_path):
    write(tmp_path / "other.h5", maps(), digest="d2")
    assert (tmp_path / "other.h5").read_bytes() != path.read_bytes()


def test_files_joined_are_the_bytes_of_one(path, tmp_path):
    for number, (image_id, image) in enumerate(maps().items()):
        write(tmp_path / f"{number}.h5", {image_id: image}, digest="another")
    with CamWriter(tmp_path / "joined.h5", NAMES, "d1") as writer:
        for number in range(3):
            with CamReader(tmp_path / f"{number}.h5") as reader:
                writer.extend(reader)
    assert (tmp_path / "joined.h5").read_bytes() == path.read_bytes()


def test_only_files_of_the_same_classes_in_order_are_joined(path, tmp_path):
    with CamReader(path) as reader, CamWriter(tmp_path / "twice.h5", NAMES, "") as writer:
        writer.extend(reader)
        with pytest.raises(ValueError, match="ids must ascend"):
            writer.extend(reader)
    with (
        CamReader(path) as reader,
        CamWriter(tmp_path / "other.h5", NAMES[:2], "") as writer,
        pytest.raises(ValueError, match="classes"),
    ):
        writer.extend(reader)


def test_ids_ascend(tmp_path):
    cam, classes = maps()["2007_000032"]
    with CamWriter(tmp_path / "cams.h5", NAMES, "") as writer:
        writer.add("b", cam, classes)
        for wrong in ("a", "b", "", "c/d"):
            with pytest.raises(ValueError, match="ids must ascend"):
                writer.add(wrong, cam, classes)


@pytest.mark.parametrize(
    ("cam", "classes", "message"),
    [
        (np.zeros((1, 2, 2)), [1, 2], "does not fit"),
        (np.zeros((2, 2)), [1, 2], "does not fit"),
        (np.zeros((2, 2, 2)), [1, 1], "distinct"),
        (np.zeros((1, 2, 2)), [4], r"in 1..3, got \[4\]"),
        (np.zeros((1, 2, 2)), [0], r"in 1..3, got \[0\]"),
        (np.full((1, 2, 2), np.nan), [1], r"\[0, 1\]"),
        (np.full((1, 2, 2), -0.1), [1], r"\[0, 1\]"),
    ],
)
def test_maps_that_do_not_fit_are_refused(tmp_path, cam, classes, message):
    with (
        CamWriter(tmp_path / "cams.h5", NAMES, "") as writer,
        pytest.raises(ValueError, match=message),
    ):
        writer.add("a", cam, classes)


def interrupted(path):
    with CamWriter(path, NAMES, "d3") as writer:
        writer.add("a", *maps()["2007_000032"])
        raise RuntimeError("stop")


def test_an_interrupted_writer_leaves_what_was_there(path):
    before = path.read_bytes()
    with pytest.raises(RuntimeError, match="stop"):
        interrupted(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["cams.h5"]


FULL_DISK = """
import resource, sys
from pathlib import Path
import numpy as np
from hsc.store import CamWriter

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    with CamWriter(Path(sys.argv[1]), ["cat"], "") as writer:
        for number in range(60):
            writer.add(f"{number:03d}", np.random.rand(1, 80, 80), [1])
except OSError as error:
    print(type(error).__name__, error.errno)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on the size of files")
@pytest.mark.parametrize("limit", [1_000, 300_000, 600_000])  # the whole file has 638 kB
def test_a_full_disk_is_an_error_and_no_crash(tmp_path, limit):
    path = tmp_path / "full" / "cams.h5"
    result = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), str(limit)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.split() == ["OSError", str(errno.EFBIG)]
    assert not list(path.parent.iterdir())


def test_a_truncated_file_is_named(path):
    whole = path.read_bytes()
    for length in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(HscError, match=r"cams.h5: truncated.*infer_cams"):
            CamReader(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(HscError, match=r"cams.h5: no such file"):
        CamReader(tmp_path / "cams.h5")


def test_another_format_is_named(path):
    with h5py.File(path, "r+") as file:
        file.attrs["format"] = 2
    with pytest.raises(HscError, match="format 2, this version reads 1"):
        CamReader(path)


@pytest.mark.parametrize("name", ["class_names", "digest"])
def test_a_missing_attribute_is_named(path, name):
    with h5py.File(path, "r+") as file:
        del file.attrs[name]
    with pytest.raises(HscError, match=f"attribute {name} is missing"):
        CamReader(path)


def test_a_missing_image_is_named(path):
    with CamReader(path) as reader:
        with pytest.raises(HscError, match=r"cams.h5: no map of x \(2 missing\)"):
            reader.check(["2007_000032", "x", "y"])
        with pytest.raises(HscError, match="no map of x"):
            reader.read("x")


def test_a_group_without_its_map_is_named(path):
    with h5py.File(path, "r+") as file:
        del file["a.b/cam"]
    with CamReader(path) as reader, pytest.raises(HscError, match=r"a\.b: unreadable"):
        reader.read("a.b")
