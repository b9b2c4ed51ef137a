"""The report in a real browser: whole and legible, at any width, in both colour schemes."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from hsc.data.classes import COCO_CLASSES
from stages.report import main
from tests.report.runs import Run, make_run

pytest_plugins = ["tests.browser"]

Open = Callable[..., AbstractContextManager[Any]]
VIEWS = [
    ("whole", 1280, "light"), ("whole", 1280, "dark"), ("whole", 400, "light"),
    ("whole", 400, "dark"), ("half", 1280, "dark"), ("half", 400, "light"),
    ("many", 1280, "light"), ("many", 400, "dark"),
]  # fmt: skip
DASH = "\N{EN DASH}"
LATE = (
    "metrics/val.json", "plots/val_confusion.csv", "outputs/segmentation.pt", "outputs/panels",
    "metrics/segmentation.json", "plots/train_segmentation.csv", "outputs/predictions",
)  # fmt: skip
"""What the last stages write."""

OWN_TEXT = """
() => [...document.querySelectorAll('body *:not(svg):not(svg *)')].filter(
  each => each.getClientRects().length
    && [...each.childNodes].some(node => node.nodeType === 3 && node.data.trim()))
"""
CONTRASTS = f"""
() => {{
  const channels = text => text.match(/[\\d.]+/g).map(Number);
  const over = (top, below) => {{
    const [r, g, b, a = 1] = top;
    return [r, g, b].map((value, index) => a * value + (1 - a) * below[index]);
  }};
  const background = element => {{
    const below = element.parentElement ? background(element.parentElement) : [255, 255, 255];
    return over(channels(getComputedStyle(element).backgroundColor), below);
  }};
  const luminance = colour => {{
    const linear = colour.map(value => value / 255).map(
      value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  }};
  return ({OWN_TEXT})().map(element => {{
    const behind = background(element);
    const ink = over(channels(getComputedStyle(element).color), behind);
    const [low, high] = [luminance(behind), luminance(ink)].sort((a, b) => a - b);
    return [(high + 0.05) / (low + 0.05), element.tagName + ' ' + element.textContent.slice(0, 40)];
  }});
}}
"""
CHART_TEXT = """
() => [...document.querySelectorAll('svg text')].filter(text => text.getClientRects().length).map(
  text => {
    const matrix = text.getScreenCTM();
    const size = Math.hypot(matrix.a, matrix.b) * parseFloat(getComputedStyle(text).fontSize);
    const own = text.getBoundingClientRect();
    const chart = text.ownerSVGElement.getBoundingClientRect();
    const beyond = Math.max(chart.left - own.left, own.right - chart.right,
                            chart.top - own.top, own.bottom - chart.bottom);
    return [size, beyond, text.textContent];
  })
"""


def write(run: Run) -> Path:
    names = ("params", "recipes", "metrics", "plots", "outputs", "records")
    where = [part for name in names for part in (f"--{name}", str(getattr(run.where, name)))]
    page = run.folder / "outputs" / "report.html"
    result = CliRunner().invoke(main, [*where, "--out", str(page)])
    assert result.exit_code == 0, result.output
    return page


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """All of VOC's classes, PSA, some stages timed."""
    run = make_run(tmp_path_factory.mktemp("whole") / "run", psa=True)
    run.record("train_cam", "outputs/cam.pt", peak_gpu_bytes=31 * 10**9, versions={"torch": "2.0"})
    run.record("make_seeds", "outputs/seeds", peak_child_bytes=10**8)
    write(run)
    return run


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("half") / "run", baseline="eps")
    run.remove(*LATE)
    write(run)
    return run


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """COCO's 80 classes."""
    folder = tmp_path_factory.mktemp("many") / "run"
    run = make_run(folder, "coco2014", COCO_CLASSES, baseline="cam", contrast="none")
    write(run)
    return run


@pytest.mark.parametrize(("name", "width", "scheme"), VIEWS)
def test_it_opens_whole_and_legible(
    request: pytest.FixtureRequest, open_page: Open, name: str, width: int, scheme: str
) -> None:
    page = request.getfixturevalue(name).folder / "outputs" / "report.html"
    with open_page(page, width, scheme) as view:
        view.page.eval_on_selector_all("details", "all => all.forEach(each => each.open = true)")
        root = "document.documentElement"
        assert view.errors == []
        assert view.requests == []
        assert view.page.evaluate(f"{root}.scrollWidth <= {root}.clientWidth")

        worst, where = min(view.page.evaluate(CONTRASTS))
        assert worst >= 4.5, where

        texts = view.page.evaluate(CHART_TEXT)
        assert len(texts) > 50
        size, _, where = min(texts)
        assert size >= 9, where
        _, beyond, where = max(texts, key=lambda text: text[1])
        assert beyond <= 1, f"cut off: {where}"

        sizes = view.page.evaluate(
            f"({OWN_TEXT})().map(each => parseFloat(getComputedStyle(each).fontSize))"
        )
        assert min(sizes) >= 9
        widths = view.page.eval_on_selector_all(
            "img", "all => all.map(each => each.complete ? each.naturalWidth : 0)"
        )
        assert all(widths)


def test_the_colour_schemes_differ(open_page: Open, whole: Run) -> None:
    page, seen = whole.folder / "outputs" / "report.html", []
    for scheme in ("light", "dark"):
        with open_page(page, 1280, scheme) as view:
            seen.append(view.page.evaluate(
                "[getComputedStyle(document.documentElement).backgroundColor,"
                " getComputedStyle(document.querySelector('svg text')).fill]"
            ))  # fmt: skip
    assert seen[0][0] == "rgb(255, 255, 255)"
    assert all(light != dark for light, dark in zip(*seen, strict=True))


def test_the_table_has_the_numbers_of_the_metric_files(open_page: Open, whole: Run) -> None:
    with open_page(whole.folder / "outputs" / "report.html") as view:
        table = view.page.locator("table.scores")
        assert table.locator("thead th").all_inner_texts() == ["Seed", "+ CRF", "Masks", "val"]
        told = [f"{whole.scores(step)['mIoU']:.1f}" for step in ("seeds", "crf", "masks", "val")]
        assert table.locator("tr.ours td").all_inner_texts() == told
        published = table.locator("tbody.papers tr").nth(1)
        assert published.locator("td").all_inner_texts() == ["64.3", "66.5", "69.5", DASH]
        assert view.page.title() == "SEAM + HSC on voc2012, seed 0"


def test_pictures_are_shown_with_their_captions(open_page: Open, whole: Run) -> None:
    with open_page(whole.folder / "outputs" / "report.html") as view:
        captions = view.page.locator("#pictures article").first.locator("figcaption")
        assert captions.all_inner_texts() == [
            "picture", "CAM: aeroplane", "CAM: bicycle", "seed", "CRF", "mask", "prediction",
            "truth",
        ]  # fmt: skip
        assert view.page.locator("#pictures img").count() == 24
        small = view.page.locator("#pictures article").nth(2).locator("img").first
        rendering = small.evaluate("each => getComputedStyle(each).imageRendering")
        assert rendering == "pixelated"


def test_a_wide_matrix_scrolls_in_its_own_box(open_page: Open, many: Run) -> None:
    with open_page(many.folder / "outputs" / "report.html", 400) as view:
        box = view.page.locator("#confusion .scroll").first
        assert box.evaluate("each => each.scrollWidth > each.clientWidth")
        assert box.locator("tbody tr").count() == 81


def test_half_a_run_gives_half_a_page(open_page: Open, half: Run) -> None:
    with open_page(half.folder / "outputs" / "report.html") as view:
        note = view.page.locator("aside.note").inner_text()
        assert "evaluate@val: the score on val" in note
        assert "train_segmentation: the segmentation network" in note
        assert "train_cam" not in note
        assert view.page.locator("tr.ours td").last.inner_text() == DASH
        assert view.page.locator("#pictures").count() == 0
