"""hsc.base.files: whole or absent, and the same bytes for the same value."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.base.files import (
    atomic_file,
    atomic_folder,
    digest_file,
    digest_files,
    digest_json,
    hash_file,
    read_json,
    write_json,
)


def test_atomic_file_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with atomic_file(path) as partial:
        partial.write_text("two")
        assert path.read_text() == "one"
    assert path.read_text() == "two"
    assert os.listdir(path.parent) == ["a.txt"]


def test_a_crash_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write() -> None:
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_killed_process_leaves_the_old_one(tmp_path: Path, kind: str) -> None:
    """Nothing is cleaned up after SIGKILL; the next run takes over what was left."""
    path = tmp_path / "out"
    script = f"""
import os, signal, sys
from pathlib import Path
from hsc.base.files import atomic_{kind}
with atomic_{kind}(Path({str(path)!r})) as partial:
    (partial / "x" if {kind == "folder"} else partial).write_text(sys.argv[1])
    if sys.argv[1] == "half":
        os.kill(os.getpid(), signal.SIGKILL)
"""

    def run(text: str) -> int:
        command = [sys.executable, "-c", script, text]
        return subprocess.run(command, cwd=Path(__file__).parents[2], check=False).returncode

    def content() -> str:
        return (path / "x" if kind == "folder" else path).read_text()

    assert run("old") == 0
    assert run("half") == -9
    assert content() == "old"
    assert run("new") == 0
    assert content() == "new"
    assert os.listdir(tmp_path) == ["out"]


def test_atomic_folder_takes_the_place_of_the_old(tmp_path: Path) -> None:
    path = tmp_path / "new" / "out"
    for name in ("one", "two"):
        with atomic_folder(path) as partial:
            (partial / name).mkdir()
        assert os.listdir(path) == [name]
    assert os.listdir(path.parent) == ["out"]


def test_a_crash_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with atomic_folder(path) as partial:
        (partial / "a").write_text("old")

    def write() -> None:
        with atomic_folder(path) as partial:
            (partial / "b").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write()
    assert os.listdir(path) == ["a"]
    assert os.listdir(tmp_path) == ["out"]


def test_json_is_the_same_bytes_for_the_same_value(tmp_path: Path) -> None:
    one, two = tmp_path / "one.json", tmp_path / "two.json"
    write_json(one, {"b": 1, "a": [0.5, None]})
    write_json(two, {"a": [0.5, None], "b": 1})
    assert one.read_bytes() == two.read_bytes()
    assert one.read_text().endswith("}\n")
    assert read_json(one) == {"a": [0.5, None], "b": 1}


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_no_json_is_not_written(tmp_path: Path, value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", value)
    assert os.listdir(tmp_path) == []


def test_json_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(HscError, match=r"a\.json: no such file; run the stage"):
        read_json(path)
    path.write_text('{"a": ')
    with pytest.raises(HscError, match=r"a\.json: not valid JSON"):
        read_json(path)


def test_a_digest_tells_how_far_it_is(tmp_path: Path) -> None:
    path, size = tmp_path / "large", (1 << 20) + 5
    path.write_bytes(bytes(size))
    calls: list[tuple[int, int]] = []
    assert (
        hash_file(path, "md5", lambda *done: calls.append(done))
        == hashlib.md5(bytes(size)).hexdigest()
    )
    assert calls == [(0, size), (1 << 20, size), (size, size)]
    assert hash_file(path) == digest_file(path)


def test_digests(tmp_path: Path) -> None:
    assert digest_json({"a": 1, "b": 2}) == digest_json({"b": 2, "a": 1})
    assert digest_json({"a": 1}) != digest_json({"a": 2})
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"ab")
    two.write_bytes(b"c")
    assert digest_file(one) == hashlib.sha256(b"ab").hexdigest()
    assert digest_files([one, two]) != digest_files([two, one])
    # Where one file ends and the next begins counts.
    before = digest_files([one, two])
    one.write_bytes(b"a")
    two.write_bytes(b"bc")
    assert digest_files([one, two]) != before
    with pytest.raises(HscError, match="gone: no such file"):
        digest_file(tmp_path / "gone")
