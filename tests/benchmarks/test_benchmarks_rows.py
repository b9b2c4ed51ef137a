"""The table's rows: their overrides are the documented ones, their comparisons exist."""

import re
from pathlib import Path

import pytest

from benchmarks.rows import ABLATION, AUXSEGNET, DSCNET, MAIN, PSA, TABLES, parse_name, select
from hsc.base.errors import HscError

REPOSITORY = Path(__file__).resolve().parents[2]


def documented() -> list[tuple[str, float, set[str]]]:
    """Title, figure and overrides of each line of the ablation table in docs/experiments.md."""
    text = (REPOSITORY / "docs" / "experiments.md").read_text(encoding="utf-8")
    section = text.split("## The rows of HSC's ablation")[1].split("\n## ")[0]
    rows = []
    for line in re.findall(r"^\| (.+) \|$", section, flags=re.MULTILINE)[2:]:
        title, figure, overrides = (cell.strip() for cell in line.split("|"))
        rows.append((title, float(figure), set(re.findall(r"-S ([\w.]+=\w+)", overrides))))
    return rows


def test_the_ablation_is_the_documented_one() -> None:
    built = []
    for row in ABLATION:
        assert row.overrides[0] == "baseline=seam"
        built.append((row.title, row.paper, set(row.overrides[1:]) - {"contrast=hsc"}))
    assert built == documented()


def test_comparisons_are_rows_of_the_same_table() -> None:
    main = [row.key for row in MAIN]
    for table, others in (
        (MAIN, []),
        (ABLATION, []),
        (PSA, main),
        (AUXSEGNET, main),
        (DSCNET, main),
    ):
        keys = [row.key for row in table]
        assert len(set(keys)) == len(keys)
        for row in table:
            assert len(row.against) <= 2
            assert set(row.against) <= {*keys, *others} - {row.key}


def test_masks_of_psa_are_compared_with_the_same_row_without() -> None:
    main = {row.key: row for row in MAIN}
    for row in PSA:
        (other,) = row.against
        assert row.overrides == (*main[other].overrides, "psa.enabled=true")


def test_auxsegnet_stands_in_the_place_of_deeplab() -> None:
    rows = {row.key: row for row in (*MAIN, *AUXSEGNET)}
    added = {"aux-dscnet": "segmentation_contrast=dscnet"}
    for row in AUXSEGNET:
        (other,) = row.against
        more = added.get(row.key, "segmentation=auxsegnet")
        assert row.overrides == (*rows[other].overrides, more)


def test_each_component_of_dscnet_is_a_switch() -> None:
    components = {row.key: {"pgcl", "sgcl", "dscl"} - _off(row.overrides) for row in DSCNET}
    assert components == {
        "m1": {"pgcl"},
        "m2": {"sgcl"},
        "m3": {"pgcl", "sgcl"},
        "seam-dscnet": {"pgcl", "sgcl", "dscl"},
    }


def _off(overrides: tuple[str, ...]) -> set[str]:
    return {word.removeprefix("dscnet.").split("=")[0] for word in overrides if "=false" in word}


def test_rows_in_both_tables_are_the_same_runs() -> None:
    main = {row.key: row for row in MAIN}
    shared = [row for row in ABLATION if row.key in main]
    assert [row.key for row in shared] == ["seam", "seam-hsc"]
    for row in shared:
        assert (row.overrides, row.paper) == (main[row.key].overrides, main[row.key].paper)


def test_no_two_rows_are_the_same_run() -> None:
    rows = {
        row.key: frozenset(row.overrides) for row in (*MAIN, *ABLATION, *PSA, *AUXSEGNET, *DSCNET)
    }
    assert len(set(rows.values())) == len(rows)


def test_the_papers_differences() -> None:
    paper = {row.key: row.paper for row in (*MAIN, *ABLATION)}
    found = {
        f"{row.key} {key}": round(row.paper - paper[key], 1)
        for row in (*MAIN, *ABLATION)
        for key in row.against
        if row.paper is not None and paper[key] is not None
    }
    assert found == {
        "seam-ppc seam": 6.1,
        "seam-hsc seam": 8.9,
        "eps-ppc eps": 1.0,
        "eps-hsc eps": 2.3,
        "psc seam": 3.9,
        "psc-csc psc": 1.2,
        "psc-csc-rsc psc-csc": 2.1,
        "psc-csc-rsc no-cross": 1.9,
        "momentum psc-csc-rsc": 0.9,
        "crf-pixel momentum": 0.7,
        "seam-hsc crf-pixel": 0.1,
    }


def test_select_takes_groups_and_keys_once_each() -> None:
    assert select("main") == list(MAIN)
    assert [row.key for row in select("eps,cam,eps")] == ["eps", "cam"]
    both = [row.key for row in select("main,ablation")]
    assert len(both) == len(set(both)) == len(MAIN) + len(ABLATION) - 2


@pytest.mark.parametrize("words", ["", "seam,", "SEAM", "seam, eps"])
def test_select_refuses_unknown_words(words: str) -> None:
    with pytest.raises(
        HscError, match="is no row; there are main, ablation, psa, auxsegnet, dscnet and "
    ):
        select(words)


def test_names() -> None:
    assert TABLES["shapes"].run_name("psc-csc", 1, 12) == "psc-csc-d1-s12"
    assert TABLES["voc_animals"].run_name("seam", 0, 1) == "voc_animals-seam-d0-s1"
    for table in TABLES.values():
        name = table.run_name("psc-csc", 1, 12)
        found, row, data_seed, seed = parse_name(name) or pytest.fail("not parsed")
        assert (found, row.key, data_seed, seed) == (table, "psc-csc", 1, 12)
    for name in ("seam", "seam-d0", "seam-0", "other-d0-s0", "seam-d0-s0-2", "seam-d-s0"):
        assert parse_name(name) is None
