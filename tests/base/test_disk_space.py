"""hsc.base.disk_space: what is said before a disk is full."""

from pathlib import Path

import pytest

from hsc.base import disk_space as room
from hsc.base.disk_space import amount, check_room
from hsc.base.errors import HscError


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0.0 kB"), (1500, "1.5 kB"), (2_000_000, "2.0 MB"), (1_999_639_040, "2.0 GB")],
)
def test_bytes_for_people(count: int, text: str) -> None:
    assert amount(count) == text


def test_the_disk_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_room(tmp_path, 1, "this")
    usage = type("usage", (), {"free": 5_000_000})
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage)
    check_room(tmp_path, 5_000_000, "this")
    with pytest.raises(HscError, match=r"5\.0 MB are free, but this needs 5\.0 MB more; free some"):
        check_room(tmp_path, 5_000_001, "this")
