"""Archives that are right, damaged, or mean harm."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.sources.unpack import unpack

FILES = {"VOC/a.txt": b"one", "VOC/sub/b.txt": b"two" * 1_000_000, "VOC/c.jpg": b""}
KINDS = ["tar", "tar.gz", "zip"]


def everything(name: str) -> str:
    return name


def pack(path: Path, files: dict[str, bytes]) -> Path:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
            for name, data in files.items():
                packed.writestr(name, data)
        return path
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as tar:
        folder = tarfile.TarInfo("VOC")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return path


@pytest.fixture(params=KINDS)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    return lambda files: pack(tmp_path / f"x.{request.param}", files)


Packed = Callable[[dict[str, bytes]], Path]


def test_all_files(archive: Packed, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    packed, out = archive(FILES), tmp_path / "out"
    paths = unpack(packed, out, everything, lambda *done: reports.append(done))
    assert paths == [out / name for name in FILES]
    assert {str(p.relative_to(out)): p.read_bytes() for p in paths} == FILES
    assert len(reports) == 5
    assert reports[0] == (0, packed.stat().st_size)
    assert reports[-1] == (packed.stat().st_size,) * 2
    assert all(0 <= done <= all_ == packed.stat().st_size for done, all_ in reports)


def test_some_files_under_other_names(archive: Packed, tmp_path: Path) -> None:
    out = tmp_path / "out"
    unpack(archive(FILES), out, lambda name: "new/b" if name.endswith("b.txt") else None)
    assert [path.relative_to(out) for path in out.rglob("*") if path.is_file()] == [Path("new/b")]


@pytest.mark.parametrize("name", ["/etc/x", "../x", "VOC/../../x", "VOC\\..\\x", "C:/x"])
def test_names_that_lead_outside(archive: Packed, tmp_path: Path, name: str) -> None:
    """Even of a file that nobody asked for: the archive is not what it should be."""
    packed = archive({name: b"harm"})
    with pytest.raises(HscError, match="would lie outside"):
        unpack(packed, tmp_path / "out", lambda _: None)
    assert list(tmp_path.iterdir()) == [packed]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_are_not_made(tmp_path: Path, kind: bytes) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo("VOC/a.txt")
        entry.type, entry.linkname = kind, "/etc/passwd"
        tar.addfile(entry)
    with pytest.raises(HscError, match=r"VOC/a\.txt is a link or no plain file"):
        unpack(path, tmp_path / "out", everything)
    assert unpack(path, tmp_path / "out", lambda _: None) == []


def test_a_link_in_a_zip_file_is_not_made(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.zip", zipfile.ZipInfo("VOC/a.txt")
    entry.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr(entry, "/etc/passwd")
    with pytest.raises(HscError, match="is a link"):
        unpack(path, tmp_path / "out", everything)


def test_a_truncated_archive(archive: Packed, tmp_path: Path) -> None:
    packed = archive(FILES)
    packed.write_bytes(packed.read_bytes()[: packed.stat().st_size // 2])
    with pytest.raises(HscError, match="damaged or truncated") as caught:
        unpack(packed, tmp_path / "out", everything)
    assert str(caught.value).startswith(str(packed))


@pytest.mark.parametrize("data", [b"", b"<html>please log in</html>" * 99])
def test_no_archive(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(HscError, match="or no archive"):
        unpack(path, tmp_path / "out", everything)


def test_a_flipped_bit_of_a_compressed_file(tmp_path: Path) -> None:
    for kind in ("tar.gz", "zip"):
        path = pack(tmp_path / f"x.{kind}", {"a": bytes(range(256)) * 2000})
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 255
        path.write_bytes(data)
        with pytest.raises(HscError, match="damaged"):
            unpack(path, tmp_path / kind, everything)


def test_two_members_of_one_path(archive: Packed, tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"VOC/sub/b\.txt and VOC/a\.txt would both be"):
        unpack(archive(FILES), tmp_path / "out", lambda _: "same")


def test_a_full_disk(archive: Packed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    packed = archive(FILES)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OSError, match="No space"):
        unpack(packed, tmp_path / "out", everything)
