"""hsc.data.names: what no class can be called, and what is the same name in other letters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsc.data.classes import COCO_CLASSES, SHAPES_CLASSES, VOC_CLASSES
from hsc.data.names import alike, joined_names, name_problem, normal, sort_key


@pytest.mark.parametrize("names", [VOC_CLASSES, COCO_CLASSES, SHAPES_CLASSES])
def test_the_names_of_published_classes_are_fine(names: tuple[str, ...]) -> None:
    assert not [name for name in names if name_problem(name) or joined_names(name, names)]
    assert not alike(names)


@pytest.mark.parametrize(
    "name", ["1", "chaise longue", "t-shirt", "É", "犬", "O'Neill's", "dog (small)", "a_b", "C++"]
)
def test_other_names_are_fine(name: str) -> None:
    assert name_problem(name) is None


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "an empty name"),
        *((name, "index 0") for name in ("background", "Background", "_background_")),
        *((name, "index 255") for name in ("__ignore__", "void")),
        *((name, "empty cell") for name in ("nan", "NaN", "None", "null", "N/A")),
        *((f"a{sign}b", f"has a {sign!r}") for sign in ',;|[]{}"\t\\'),
        ("['a'", "'['"),
        ("cat\u200b", "U+200B"),
        ("cat\x07", "U+0007"),
    ],
)
def test_names_that_no_class_has(name: str, said: str) -> None:
    assert said in (name_problem(name) or "")


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("disc", "Disc"),
        ("traffic light", "traffic  light"),
        ("traffic light", "trafficlight"),
        ("caf\u00e9", "cafe\u0301"),
        ("straße", "STRASSE"),
        ("fi", "\ufb01"),
        ("a b", "a\u00a0b"),
    ],
)
def test_names_that_are_alike(name: str, other: str) -> None:
    assert alike([name, "owl", other]) == [(name, other)]
    assert alike([name, name, "owl"]) == []


def test_a_list_that_was_taken_for_a_name() -> None:
    names = ["cat", "dog", "hot", "cat dog", "cat/dog", "hot dog stand", "dog+ cat"]
    assert [n for n in names if joined_names(n, names)] == ["cat dog", "cat/dog", "dog+ cat"]


def test_numbers_sort_as_numbers() -> None:
    names = ["10", "9", "class 2", "class 10", "b", "2", "a10b2", "a10b10"]
    expected = ["2", "9", "10", "a10b2", "a10b10", "b", "class 2", "class 10"]
    assert sorted(names, key=sort_key) == expected


@given(st.text(), st.text())
def test_any_two_names_can_be_sorted(one: str, other: str) -> None:
    assert (sort_key(one) < sort_key(other)) + (sort_key(other) < sort_key(one)) <= 1


@given(st.text())
def test_one_form(text: str) -> None:
    assert normal(unicodedata.normalize("NFD", text)) == normal(text)
