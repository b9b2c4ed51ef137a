"""hsc.report.papers: the figures of the papers' tables."""

import itertools

import pytest

from hsc.report.papers import EPS, FIGURES, HSC, OF_AUXSEGNET, PPC, SEAM, published

TABLES = """
SEAM        55.4 56.8 63.6 64.5
SEAM + PPC  61.5 64.0 69.2 -
SEAM + HSC  64.3 66.5 69.5 -
EPS         69.5 71.4 71.6 70.9
EPS + PPC   70.5 73.3 73.3 72.6
EPS + HSC   71.8 74.6 74.6 73.6
SEAM + DSCNet - - - 67.7
"""
"""Seed, + CRF, masks (VOC 2012 train), val, as in the HSC paper's Tables 1 and 2."""


def test_the_figures_are_the_papers() -> None:
    told = {}
    for line in TABLES.strip().splitlines():
        *words, seeds, crf, masks, val = line.split()
        name, figures = " ".join(words), [seeds, crf, masks, val]
        told[name] = [None if figure == "-" else float(figure) for figure in figures]
    ours = {row.method: [row.seeds, row.crf, row.masks, row.val] for row in FIGURES.values()}
    assert ours == told


def test_every_method_of_the_parameters_is_known_or_has_no_paper() -> None:
    papers = {"none": {"seam": SEAM, "eps": EPS}, "ppc": PPC, "hsc": HSC}
    for baseline, contrast in itertools.product(("seam", "eps"), papers):
        first, *rest = published(baseline, contrast, "deeplab")
        expected = papers[contrast]
        assert first.paper is (expected[baseline] if isinstance(expected, dict) else expected)
        assert [row.method for row in rest] == ([] if contrast == "none" else [baseline.upper()])
        assert (first.network is None) == (first.val is None)


@pytest.mark.parametrize("contrast", ["none", "ppc", "hsc"])
def test_the_plain_baseline_has_none(contrast: str) -> None:
    assert published("cam", contrast, "deeplab") == ()


def test_figures_on_coco() -> None:
    """Table III of DSCNet's paper."""
    found = [*published("seam", "dscnet", "auxsegnet", "coco2014")]
    assert [(row.method, row.val) for row in found] == [
        ("SEAM + DSCNet", 34.6), ("SEAM", 31.9), ("AuxSegNet", 33.9),
    ]  # fmt: skip
    assert published("eps", "hsc", "deeplab", "coco2014") == ()


def test_auxsegnet_comes_last() -> None:
    assert published("cam", "none", "auxsegnet") == (OF_AUXSEGNET["none"],)
    assert published("eps", "hsc", "auxsegnet")[-1] is OF_AUXSEGNET["none"]
    assert len(published("eps", "hsc", "auxsegnet")) == 3
    both = published("cam", "none", "auxsegnet", segmentation_contrast="dscnet")
    assert both == (OF_AUXSEGNET["dscnet"], OF_AUXSEGNET["none"])


def test_masks_of_the_crf_are_the_seeds_with_crf() -> None:
    for row in FIGURES.values():
        if row.seeds is None:
            assert (row.crf, row.masks, row.masks_by) == (None, None, None)
            continue
        assert row.masks_by in ("PSA", "CRF")
        assert (row.masks_by == "CRF") == (row.masks == row.crf)
