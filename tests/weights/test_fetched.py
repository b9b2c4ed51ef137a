"""hsc.weights.fetched: weights from their sources, and the stage that starts from them."""

import hashlib
from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.params.base import FetchParams
from hsc.weights.fetched import fetched

CONTENT = b"weights" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def asked(source: Path, **changes: object) -> FetchParams:
    values = {"weights": "a.params", "layout": "mxnet", "sources": [str(source)]}
    return FetchParams.model_validate(values | changes)


def test_from_a_source(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere" / "a.params"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    how = asked(path.parent, sha256=SHA256)
    found = fetched(how, tmp_path / "kept")
    assert (found.weights, found.sources) == (str(path), None)
    assert (found.layout, found.sha256) == ("mxnet", SHA256)
    assert how.sources, "the parameters themselves stay as they are"


def test_what_is_kept_wins(tmp_path: Path) -> None:
    (tmp_path / "a.params").write_bytes(CONTENT)
    assert fetched(asked(tmp_path / "nowhere"), tmp_path).weights == str(tmp_path / "a.params")


def test_without_sources_nothing_changes(tmp_path: Path) -> None:
    how = asked(tmp_path, sources=None)
    assert fetched(how, tmp_path) is how


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.params").write_bytes(CONTENT[:-1])
    with pytest.raises(HscError, match=r"its sha256 is .*, expected"):
        fetched(asked(tmp_path, sha256=SHA256), tmp_path / "kept")
