"""MXNet parameter files: every layout and type, damage of every sort, and ResNet-38's names."""

import contextlib
import json
import struct
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.weights.mxnet import DROPPED, read, resnet38_key
from tests.golden import cases
from tests.weights.mxnet_writer import BFLOAT16, FLAGS, MAGIC, array_bytes, file_bytes, list_bytes

VERSIONS = [0, 1, 2, 3]
EXAMPLE = {
    "arg:conv1a_weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "aux:bn7_moving_var": np.linspace(0, 1, 5, dtype=np.float16),
}
quick = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


def written(folder: Path, content: bytes) -> Path:
    path = folder / "some.params"
    path.write_bytes(content)
    return path


def message(folder: Path, content: bytes) -> str:
    path = written(folder, content)
    with pytest.raises(HscError) as caught:
        read(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert len(text.splitlines()) == 1
    return text.removeprefix(f"{path}: ")


def read_or_refused(path: Path) -> None:
    """Nothing but arrays or an error in words."""
    with contextlib.suppress(HscError):
        assert all(isinstance(array, np.ndarray) for array in read(path).values())


# A file that MXNet wrote


@pytest.mark.parametrize("path", cases("13_mxnet_params", "*.v0"))
def test_a_file_that_mxnet_wrote(path: Path) -> None:
    arrays = read(path)
    assert list(arrays) == ["0", "1", "2", "3", "4", "5"]
    for array in arrays.values():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, np.arange(128))


# Round trips


@pytest.mark.parametrize("version", VERSIONS)
def test_names_lose_their_prefix(tmp_path: Path, version: int) -> None:
    found = read(written(tmp_path, file_bytes(EXAMPLE, version)))
    assert list(found) == ["conv1a_weight", "bn7_moving_var"]
    for array, expected in zip(found.values(), EXAMPLE.values(), strict=True):
        assert array.dtype == expected.dtype
        np.testing.assert_array_equal(array, expected)
        array += 1  # the caller's to change


@pytest.mark.parametrize(
    ("name", "expected"),
    [("arg:x", "x"), ("aux:x", "x"), ("x", "x"), ("args:x", "args:x"), ("arg:a:b", "a:b")],
)
def test_only_the_two_prefixes_go(tmp_path: Path, name: str, expected: str) -> None:
    found = read(written(tmp_path, file_bytes({name: np.zeros(1, np.float32)})))
    assert list(found) == [expected]


ARRAYS = st.sampled_from(sorted(FLAGS, key=str)).flatmap(
    lambda dtype: hnp.arrays(
        dtype, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=4)
    )
)


@quick
@given(
    arrays=st.dictionaries(st.text(max_size=8).filter(lambda t: ":" not in t), ARRAYS, max_size=4),
    version=st.sampled_from(VERSIONS),
)
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, NDArray[Any]], version: int
) -> None:
    folder = tmp_path_factory.mktemp("list")
    found = read(written(folder, file_bytes(arrays, version)))
    assert list(found) == list(arrays)
    for array, expected in zip(found.values(), arrays.values(), strict=True):
        assert array.dtype == expected.dtype
        assert array.shape == expected.shape
        assert array.tobytes() == expected.tobytes()


@pytest.mark.parametrize("version", VERSIONS)
def test_bfloat16_becomes_float32(tmp_path: Path, version: int) -> None:
    # 1.0, -2.0, 3.140625, infinity: sign, 8 bits of exponent, 7 of fraction
    bits = np.array([0x3F80, 0xC000, 0x4049, 0x7F80], dtype=np.uint16)
    content = list_bytes([array_bytes(bits, version, flag=BFLOAT16)], ["x"])
    found = read(written(tmp_path, content))["x"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [1.0, -2.0, 3.140625, np.inf])


def test_layouts_may_be_mixed_and_devices_do_not_matter(tmp_path: Path) -> None:
    on_gpu = struct.pack("<II", 1, 2) + struct.pack("<iii", 2, 3, 0) + np.float32([5, 6]).tobytes()
    arrays = [array_bytes(np.int64([7]), version) for version in VERSIONS]
    found = read(written(tmp_path, list_bytes([*arrays, on_gpu], [])))
    assert [array.tolist() for array in found.values()] == [[7], [7], [7], [7], [5, 6]]


NO_VALUE = {
    "v0": struct.pack("<I", 0),
    "v1": struct.pack("<II", MAGIC[1], 0),
    "v2": struct.pack("<IiI", MAGIC[2], 0, 0),
    "v3, unknown rank": struct.pack("<Iii", MAGIC[3], 0, -1),
    "v3, unknown side": struct.pack("<Iiiqq", MAGIC[3], 0, 2, 4, -1),
}


@pytest.mark.parametrize("nothing", NO_VALUE.values(), ids=NO_VALUE)
def test_an_array_without_a_value_is_left_out(tmp_path: Path, nothing: bytes) -> None:
    one = array_bytes(np.int32([1]), 2)
    assert list(read(written(tmp_path, list_bytes([nothing, one], [])))) == ["1"]
    assert list(read(written(tmp_path, list_bytes([one, nothing], ["a", "b"])))) == ["a"]


def test_without_dimensions_the_newest_layout_has_a_scalar(tmp_path: Path) -> None:
    content = list_bytes([array_bytes(np.array(2.5, np.float64), 3)], ["x"])
    assert read(written(tmp_path, content))["x"] == np.float64(2.5)


def test_an_empty_list(tmp_path: Path) -> None:
    assert read(written(tmp_path, list_bytes([], []))) == {}


# Damage


@pytest.mark.parametrize("version", VERSIONS)
def test_truncated_anywhere(tmp_path: Path, version: int) -> None:
    content = file_bytes(EXAMPLE, version)
    for length in range(len(content)):
        text = message(tmp_path, content[:length])
        assert "damaged or truncated" in text or (length < 8 and "no MXNet NDArray list" in text)


@quick
@given(version=st.sampled_from(VERSIONS), flips=st.data())
def test_flipped_bits_are_read_or_refused_in_words(
    tmp_path_factory: pytest.TempPathFactory, version: int, flips: st.DataObject
) -> None:
    content = bytearray(file_bytes(EXAMPLE, version))
    places = st.integers(0, 8 * len(content) - 1)
    for place in flips.draw(st.lists(places, min_size=1, max_size=6)):
        content[place // 8] ^= 1 << place % 8
    read_or_refused(written(tmp_path_factory.mktemp("flipped"), bytes(content)))


@quick
@given(content=st.binary(max_size=80))
def test_noise_behind_a_right_beginning(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    whole = struct.pack("<QQQ", 0x112, 0, 1) + content
    read_or_refused(written(tmp_path_factory.mktemp("noise"), whole))


def test_bytes_behind_the_end(tmp_path: Path) -> None:
    text = message(tmp_path, file_bytes(EXAMPLE) + b"\0\0\0")
    assert text.startswith("3 bytes behind the end of the list")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04", b"\x80\x02}q\x00.", b"conv1a_weight,1,2,3\n"]
)
def test_files_of_another_sort(tmp_path: Path, content: bytes) -> None:
    assert message(tmp_path, content).startswith("no MXNet NDArray list; give the .params file")


def head(*numbers: int, layout: str) -> bytes:
    """The beginning of a list of one array, whose numbers these are."""
    return struct.pack("<QQQ", 0x112, 0, 1) + struct.pack(f"<{layout}", *numbers) + bytes(64)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (head(1, 2**32 - 1, 1, 0, 0, layout="IIiii"), "needs 17179869180 bytes, the file has"),
        (head(MAGIC[1], 2, 2**62, 2**62, 1, 0, 0, layout="IIqqiii"), "(4611686018427387904, 4611"),
        (head(MAGIC[2], 0, 1, -5, 1, 0, 0, layout="IiIqiii"), "impossible shape (-5,)"),
        (head(MAGIC[3], 0, 2, 0, 2**62, 1, 0, 0, layout="IiIqqiii"), "impossible shape (0, 461"),
        (head(MAGIC[3], 0, -7, layout="Iii"), "has -7 dimensions"),
        (head(33, layout="I"), "array 0 has 33 dimensions, or a layout that is unknown"),
        (head(0xF993FACB, layout="I"), "dimensions, or a layout that is unknown"),
        (head(1, 1, 1, 0, 13, layout="IIiii"), "array 0 has the unknown type flag 13"),
        (head(1, 1, 1, 0, -1, layout="IIiii"), "array 0 has the unknown type flag -1"),
        (head(MAGIC[2], 7, layout="Ii"), "unknown storage type 7"),
        (struct.pack("<QQQ", 0x112, 0, 2**60), "announces 1152921504606846976 entries in 0 bytes"),
        (struct.pack("<QQQQ", 0x112, 0, 0, 2**61), "announces 2305843009213693952 entries"),
        (struct.pack("<QQQQQ", 0x112, 0, 0, 1, 2**63), "the file ends early"),
        (struct.pack("<QQQQQ", 0x112, 0, 0, 1, 0), "1 names for 0 arrays"),
        (struct.pack("<QQQQQ1s", 0x112, 0, 0, 1, 1, b"\xff"), "a name is no text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    assert problem in message(tmp_path, content)


@pytest.mark.parametrize("storage", [1, 2])
@pytest.mark.parametrize("version", [2, 3])
def test_sparse_arrays_are_refused(tmp_path: Path, storage: int, version: int) -> None:
    sparse = array_bytes(np.float32([1]), version, storage=storage)
    text = message(tmp_path, list_bytes([array_bytes(np.float32([1]), 0), sparse], []))
    assert text.startswith("array 1 is sparse, which is not read; save it dense")


def test_a_name_twice(tmp_path: Path) -> None:
    both = {"arg:x": np.float32([1]), "aux:x": np.float32([1])}
    assert "named twice: 'x'" in message(tmp_path, file_bytes(both))


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(HscError, match=r"none\.params: no such file; give the path of an MXNet"):
        read(tmp_path / "none.params")
    with pytest.raises(HscError, match=r": cannot be read \("):
        read(tmp_path)


# ResNet-38's names


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("conv1a_weight", "conv1a.weight"),
        ("res2a_branch2a_weight", "b2.conv_branch2a.weight"),
        ("res2a_branch1_weight", "b2.conv_branch1.weight"),
        ("res3b1_branch2b1_weight", "b3_1.conv_branch2b1.weight"),
        ("bn2a_branch2a_gamma", "b2.bn_branch2a.weight"),
        ("bn2a_branch2a_beta", "b2.bn_branch2a.bias"),
        ("bn4b5_branch2b1_moving_mean", "b4_5.bn_branch2b1.running_mean"),
        ("bn6a_branch2b2_moving_var", "b6.bn_branch2b2.running_var"),
        ("bn7_gamma", "bn7.weight"),
        ("bn7_moving_var", "bn7.running_var"),
        ("linear1000_weight", "linear1000_weight"),  # no name of the backbone: unchanged
        ("res2a_branch2a_gamma", "res2a_branch2a_gamma"),
        ("bn2a_branch2a_weight", "bn2a_branch2a_weight"),
        ("conv1a_beta", "conv1a_beta"),
        ("bn7_weight", "bn7_weight"),
        ("res2a_branch2a_weight_2", "res2a_branch2a_weight_2"),
    ],
)
def test_one_name(name: str, key: str) -> None:
    assert resnet38_key(name) == key


def mxnet_names() -> list[str]:
    """The arrays of `ilsvrc-cls_rna-a1_cls1000_ep-0001.params`, from the network's description.

    Stages 2 to 5 have 3, 3, 6 and 3 blocks of two convolutions, stages 6 and 7 one of three; the
    first block of a stage projects its input.
    """
    layers = ["conv1a"]
    for stage, blocks in {2: 3, 3: 3, 4: 6, 5: 3, 6: 1, 7: 1}.items():
        for block in range(blocks):
            unit = f"{stage}a" if block == 0 else f"{stage}b{block}"
            branches = ["branch2a", "branch2b1"] + (["branch2b2"] if stage > 5 else [])
            for branch in branches:
                layers += [f"bn{unit}_{branch}", f"res{unit}_{branch}"]
            if block == 0:
                layers.append(f"res{unit}_branch1")
    names = []
    for layer in [*layers, "bn7"]:
        norm = ["gamma", "beta", "moving_mean", "moving_var"]
        names += [f"{layer}_{role}" for role in (norm if layer.startswith("bn") else ["weight"])]
    return names + list(DROPPED)


@pytest.mark.parametrize("path", cases("keys", "resnet38d.json"))
def test_every_key_of_the_backbone_is_reached_exactly_once(path: Path) -> None:
    keys = [entry["key"] for entry in json.loads(path.read_text())["keys"]]
    assert len(keys) == 228
    counted = {key for key in keys if key.endswith(".num_batches_tracked")}  # not in MXNet
    names = mxnet_names()
    reached = Counter(resnet38_key(name) for name in names if name not in DROPPED)
    assert reached == Counter(key for key in keys if key not in counted)
    means = {key.removesuffix("running_mean") for key in reached if key.endswith("running_mean")}
    assert {key.removesuffix("num_batches_tracked") for key in counted} == means
