"""An inference that is killed and goes on: what is kept, and the bytes of the whole."""

import errno
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.cam import parts
from hsc.cam.parts import Cam, CamParts
from hsc.store import CamWriter

NAMES = ["cat", "dog"]
IDS = ["e", "b", "a", "d", "c"]


@pytest.fixture(autouse=True)
def _pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of two images: ab, cd, e."""
    monkeypatch.setattr(parts, "_IMAGES", 2)


def cam(image_id: str) -> Cam:
    """Of none to two classes."""
    k = ord(image_id) % 3
    values = np.random.default_rng(ord(image_id)).random((k, 4, 6), dtype=np.float32)
    return image_id, values, list(range(1, k + 1))


def kept(folder: Path, key: str = "0" * 64) -> CamParts:
    return CamParts(folder, key, NAMES, IDS)


def join(kept: CamParts, path: Path) -> bytes:
    with CamWriter(path, NAMES, "digest") as writer:
        kept.join(writer)
    return path.read_bytes()


class Stopped(Exception):  # noqa: N818
    pass


def stopping(ids: list[str], before: str) -> Iterator[Cam]:
    for image_id in ids:
        if image_id == before:
            raise Stopped
        yield cam(image_id)


def whole(path: Path) -> bytes:
    """As it is written without parts."""
    with CamWriter(path, NAMES, "digest") as writer:
        for image_id in sorted(IDS):
            writer.add(*cam(image_id))
    return path.read_bytes()


@pytest.mark.parametrize(
    ("before", "left"), [("a", "abcde"), ("b", "abcde"), ("c", "cde"), ("d", "cde"), ("e", "e")]
)
def test_whole_parts_are_kept(tmp_path: Path, before: str, left: str) -> None:
    begun = kept(tmp_path)
    with pytest.raises(Stopped):
        begun.keep(stopping(begun.missing(), before))
    going_on = kept(tmp_path)
    assert going_on.missing() == list(left)
    going_on.keep(map(cam, going_on.missing()))
    assert going_on.missing() == []
    assert join(going_on, tmp_path / "cams.h5") == whole(tmp_path / "whole.h5")
    going_on.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cams.h5", "whole.h5"]


def test_another_run_does_not_see_them(tmp_path: Path) -> None:
    kept(tmp_path).keep(map(cam, sorted(IDS)))
    assert kept(tmp_path, "1" * 64).missing() == sorted(IDS)


def test_a_damaged_part_is_named(tmp_path: Path) -> None:
    it = kept(tmp_path)
    it.keep(map(cam, it.missing()))
    (path,) = tmp_path.glob("*/00001.h5")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(HscError, match=r"00001\.h5: damaged; delete it and run the stage again"):
        join(it, tmp_path / "cams.h5")
    assert not (tmp_path / "cams.h5").exists()


def test_an_image_is_written_while_the_next_is_inferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, add = threading.Event(), CamWriter.add

    def waiting(*arguments: object) -> None:
        assert begun.wait(10), "the next image is not begun before this one is written"
        add(*arguments)

    def noticed() -> Iterator[Cam]:
        yield cam("a")
        begun.set()
        yield from map(cam, "bcde")

    monkeypatch.setattr(CamWriter, "add", waiting)
    kept(tmp_path).keep(noticed())
    assert kept(tmp_path).missing() == []


def test_what_cannot_be_written_ends_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(CamWriter, "add", full)
    with pytest.raises(OSError, match="No space left"):
        kept(tmp_path).keep(map(cam, sorted(IDS)))
    assert kept(tmp_path).missing() == sorted(IDS)
