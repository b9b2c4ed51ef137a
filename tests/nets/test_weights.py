"""Weights files: whole, the same bytes for the same weights, and never executed."""

import pickle
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from torch import nn

from hsc.base.errors import HscError
from hsc.nets.weights import load_state, load_weights, load_whole, save_weights, save_whole

SPEC = {"backbone": "small", "widths": [1, 2], "dropout": 0.5, "pcm": None}


class Planted:
    """Runs a command when unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return Path.touch, (self.target,)


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(2, 3, 3), norm=nn.BatchNorm2d(3)))


def test_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "new" / "cam.pt"
    state = module().state_dict()
    save_weights(path, "cam", SPEC, state)
    spec, loaded = load_weights(path, "cam")
    assert spec == SPEC
    assert loaded.keys() == state.keys()
    for key, value in state.items():
        assert loaded[key].dtype == value.dtype
        assert torch.equal(loaded[key], value)
        assert not loaded[key].requires_grad
    assert [file.name for file in path.parent.iterdir()] == ["cam.pt"]


def test_same_weights_same_bytes_whatever_the_path(tmp_path: Path) -> None:
    paths = tmp_path / "one.pt", tmp_path / "folder" / "another_name.pt"
    for path in paths:
        save_weights(path, "cam", SPEC, module().state_dict())
    assert paths[0].read_bytes() == paths[1].read_bytes()
    save_weights(paths[1], "cam", SPEC, module().state_dict())
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_memory_layout_is_not_kept(tmp_path: Path) -> None:
    save_weights(tmp_path / "a", "cam", SPEC, module().state_dict())
    last = module().to(memory_format=torch.channels_last)
    save_weights(tmp_path / "b", "cam", SPEC, last.state_dict())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_whole(path, {"step": 1})
    with pytest.raises((AttributeError, pickle.PicklingError)):
        save_whole(path, {"step": lambda: 2})
    assert load_whole(path) == {"step": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"cam\.pt: no such file; run the stage that writes it"):
        load_whole(tmp_path / "cam.pt")


def test_a_truncated_file_at_any_length(tmp_path: Path) -> None:
    path = tmp_path / "cam.pt"
    save_weights(path, "cam", SPEC, module().state_dict())
    whole = path.read_bytes()
    for length in (0, 1, 2, 10, 100, len(whole) // 2, len(whole) - 100, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(HscError, match=r"cam\.pt: no readable weights file \(.+\); write it"):
            load_whole(path)


@pytest.mark.parametrize(
    "content", [b"\n", b"hello world\n", b"id,tags\n", b"PK\x03\x04", b"\x89PNG\r\n", b"{}\n"]
)
def test_files_of_another_sort(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cam.pt"
    path.write_bytes(content)
    with pytest.raises(HscError, match=r"cam\.pt: no readable weights file"):
        load_whole(path)


@pytest.mark.parametrize("zipped", [True, False])
def test_code_is_refused_and_not_run(tmp_path: Path, zipped: bool) -> None:
    path, target = tmp_path / "cam.pt", tmp_path / "planted"
    value = {"format": 1, "kind": "cam", "spec": {}, "state": {"a": Planted(target)}}
    if zipped:
        torch.save(value, path)
    else:
        path.write_bytes(pickle.dumps(value, protocol=2))
    with pytest.raises(HscError, match=r"cam\.pt: no readable weights file"):
        load_whole(path)
    assert not target.exists()


def test_other_values_are_no_weights_file(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pt")
    with pytest.raises(HscError, match=r"list\.pt: holds a list, not a weights file"):
        load_whole(tmp_path / "list.pt")


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"format": 1, "kind": "deeplab"}, "'deeplab' in format 1"),
        ({"format": 2, "kind": "cam"}, "'cam' in format 2"),
        ({"conv.weight": torch.zeros(1)}, "None in format None"),  # a bare state_dict
    ],
)
def test_another_kind_or_format(tmp_path: Path, value: dict, found: str) -> None:
    save_whole(tmp_path / "x.pt", value)
    with pytest.raises(HscError, match=rf"x\.pt: expected cam weights in format 1, found {found}"):
        load_weights(tmp_path / "x.pt", "cam")


def test_load_state_fills_a_module() -> None:
    source, target = module(), module()
    nn.init.zeros_(target.conv.weight)
    load_state(target, source.state_dict(), Path("cam.pt"))
    assert torch.equal(target.conv.weight, source.conv.weight)


def test_every_key_that_does_not_fit_is_named_and_nothing_is_loaded() -> None:
    target = module()
    before = {k: v.clone() for k, v in target.state_dict().items()}
    state = {k: v + 1 for k, v in target.state_dict().items()}
    del state["norm.weight"]
    state["head.weight"] = torch.zeros(2)
    state["conv.weight"] = torch.zeros(3, 2, 1, 1)
    with pytest.raises(HscError) as caught:
        load_state(target, state, Path("cam.pt"))
    assert str(caught.value) == (
        "cam.pt: weights of another network: missing norm.weight; unexpected head.weight; "
        "conv.weight is (3, 2, 1, 1), not (3, 2, 3, 3)"
    )
    assert all(torch.equal(before[k], v) for k, v in target.state_dict().items())
