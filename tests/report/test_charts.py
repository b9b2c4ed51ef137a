"""hsc.report.charts: SVG that belongs to the page, and the numbers behind the lines."""

import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsc.data.classes import COCO_CLASSES, VOC_CLASSES
from hsc.report.charts import (
    ROWS,
    class_charts,
    loss_chart,
    moving_average,
    precision_chart,
    rate_chart,
    thinned,
    threshold_chart,
)
from hsc.report.facts import Curve
from hsc.report.reading import ClassScores

TITLES = {"seeds": "Seed", "crf": "+ CRF", "masks": "Masks", "val": "val"}


def curve(used: int | None = 30, best: int | None = 26) -> Curve:
    t = np.arange(100) / 100
    columns = (t, 50 - 60 * (t - 0.26) ** 2, 30 + 60 * t, 100 * (1 - t))
    return Curve(*(tuple(column.tolist()) for column in columns), used, best)


def scores(names: Any, offset: float = 0.0) -> ClassScores:
    iou = {name: (37.0 * index) % 90 + offset for index, name in enumerate(names)}
    return ClassScores.model_validate({"IoU": iou})


def texts(svg: str) -> list[str]:
    namespace = "{http://www.w3.org/2000/svg}"
    return ["".join(each.itertext()).strip() for each in tree(svg).iter(f"{namespace}text")]


def tree(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)


@pytest.fixture(scope="module")
def charts() -> dict[str, str]:
    steps = np.arange(500)
    return {
        "threshold": threshold_chart("t", curve()),
        "precision": precision_chart("p", curve()),
        "classes": class_charts("c", {"seeds": scores("ab"), "val": scores("ab", 5)}, TITLES)[0],
        "loss": loss_chart("l", "class", steps, np.exp(-steps / 100)),
        "rate": rate_chart("r", steps, 0.01 * (1 - steps / 500)),
    }


def test_colours_and_fonts_are_the_pages(charts: dict[str, str]) -> None:
    for svg in charts.values():
        assert set(re.findall(r"(?:fill|stroke): ([^;\"]+)", svg)) <= {
            "none", "currentColor", "var(--grid)", *(f"var(--series-{n})" for n in range(1, 5)),
        }  # fmt: skip
        assert "#" not in re.sub(r'url\(#[^)]*\)|href="#[^"]*"', "", svg)
        assert "font-family" not in svg
        assert "<style" not in svg


def test_an_element_with_a_name_and_no_fixed_size(charts: dict[str, str]) -> None:
    for svg in charts.values():
        root = tree(svg)
        assert root.get("role") == "img"
        assert root.get("aria-label")
        assert root.get("width") is None
        assert root.get("viewBox", "").startswith("0 0 ")


def test_ids_are_of_one_chart_alone_and_links_find_them(charts: dict[str, str]) -> None:
    found = [identity for svg in charts.values() for identity in re.findall(r'\bid="([^"]+)"', svg)]
    assert len(found) == len(set(found))
    for svg in charts.values():
        linked = set(re.findall(r'(?:url\(|href=")#([^")]+)', svg))
        assert linked
        assert linked <= set(re.findall(r'\bid="([^"]+)"', svg))


def test_the_same_values_give_the_same_bytes(charts: dict[str, str]) -> None:
    assert threshold_chart("t", curve()) == charts["threshold"]
    assert threshold_chart("t", curve(used=31)) != charts["threshold"]


def test_the_marks_are_named() -> None:
    said = texts(threshold_chart("t", curve()))
    assert "threshold used: 0.30, mIoU 49.9 %" in said
    assert "best threshold: 0.26, mIoU 50.0 %" in said
    assert "threshold used, the best: 0.26, mIoU 50.0 %" in texts(
        precision_chart("p", curve(26, 26))
    )
    unmarked = texts(threshold_chart("t", curve(None, None)))
    assert not [each for each in unmarked if "0.30" in each or "used" in each]


def test_tick_labels_keep_their_digits() -> None:
    """Coordinates are rounded, text is not."""
    said = texts(loss_chart("l", "minimum", np.arange(50), np.linspace(0.011, 0.019, 50)))
    ticks = [each for each in said if re.fullmatch(r"0\.\d+", each)]
    assert len(ticks) > 3
    assert len(set(ticks)) == len(ticks)
    assert max(map(len, ticks)) == len("0.012")


@pytest.mark.parametrize("names", [VOC_CLASSES[:8], VOC_CLASSES, COCO_CLASSES])
def test_classes_are_sorted_by_the_last_step_over_as_many_charts_as_needed(names: Any) -> None:
    given_scores = {"seeds": scores(names), "crf": scores(names, 3), "val": scores(names, 5)}
    drawn = class_charts("c", given_scores, TITLES)
    assert len(drawn) == -(-len(names) // ROWS)
    shown = [text for svg in drawn for text in texts(svg) if text in names]
    assert shown == sorted(names, key=lambda name: -given_scores["val"].iou[name])
    for svg in drawn:
        assert {"Seed", "+ CRF", "val"} <= set(texts(svg))


def test_a_class_that_only_some_steps_have() -> None:
    drawn = class_charts("c", {"crf": scores("ab"), "val": scores("abc")}, TITLES)
    assert {"a", "b", "c"} <= set(texts(drawn[0]))


def test_names_are_escaped() -> None:
    svg = class_charts("c", {"val": scores(["<b>&", 'a"b'])}, TITLES)[0]
    assert {"<b>&", 'a"b'} <= set(texts(svg))


values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=3000)


@settings(max_examples=40, deadline=None)
@given(values)
def test_thinned_keeps_the_extremes_and_the_order(given_values: list[float]) -> None:
    x, y = np.arange(len(given_values), dtype=float), np.array(given_values)
    few_x, few_y = thinned(x, y, bins=20)
    assert len(few_x) == len(few_y) <= max(40, 0)
    assert (np.diff(few_x) > 0).all()
    assert few_y.min() == y.min()
    assert few_y.max() == y.max()
    assert (y[few_x.astype(int)] == few_y).all()


@settings(max_examples=40, deadline=None)
@given(values)
def test_moving_average_is_the_mean_of_the_neighbours(given_values: list[float]) -> None:
    y = np.array(given_values)
    half = max(1, len(y) // 40)
    expected = [y[max(0, i - half) : i + half + 1].mean() for i in range(len(y))]
    scale = np.abs(y).max() + 1
    np.testing.assert_allclose(moving_average(y), expected, atol=1e-9 * scale * len(y))
