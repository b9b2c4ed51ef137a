"""The tables of a comparison, worked out by hand."""

import pytest

from hsc.compare.document import class_table, document, notes, paired_table, row_table
from hsc.compare.figures import FIGURES
from hsc.compare.rows import Row, make_rows
from hsc.compare.runs import Run
from hsc.compare.table import MINUS, NONE
from tests.compare.made_runs import make_run


def cells(table: str, *start: str) -> list[str]:
    """The cells of the only line that starts so."""
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    (found,) = [line for line in lines if tuple(line[: len(start)]) == start]
    return found[len(start) :]


def seam(seed: int, **figures: float) -> Run:
    return make_run(f"seam-{seed}", seed, contrast="none", figures=figures)


def hsc(seed: int, **figures: float) -> Run:
    return make_run(f"hsc-{seed}", seed, figures=figures)


@pytest.fixture
def rows() -> list[Row]:
    """SEAM in three runs, SEAM + HSC in three, two of them of equal seeds."""
    return make_rows(
        [
            seam(0, seeds=44.0, crf=50.0), seam(1, seeds=46.0, crf=53.0), seam(2, seeds=45.0),
            hsc(0, seeds=47.0, crf=60.0, val=55.0), hsc(1, seeds=47.0), hsc(7, seeds=50.0),
        ]
    )  # fmt: skip


def test_rows(rows: list[Row]) -> None:
    table = row_table(rows)
    assert cells(table, "row") == ["runs", "seed", "+ CRF", "masks", "val"]
    # sd of 44, 46, 45: 1; of 50, 53: 3 / sqrt(2); of 47, 47, 50: sqrt(3)
    assert cells(table, "SEAM") == ["3", "45.0 ± 1.0", "51.5 ± 2.1 (2)", NONE, NONE]
    assert cells(table, "SEAM + HSC") == ["3", "48.0 ± 1.7", "60.0 (1)", NONE, "55.0 (1)"]
    assert len({len(line) for line in table.splitlines()}) == 1


def test_paired_differences(rows: list[Row]) -> None:
    table = paired_table(rows[1:], rows[0], FIGURES)
    # 3 and 1: mean 2, sd sqrt(2), error 1, t 2, half 12.706; p of Cauchy's: 0.295
    assert cells(table, "SEAM + HSC", "seed") == ["2", "+2.0", "-10.7 to +14.7", "2.00", "0.295"]
    one = ["1", "+10.0", "one pair: no spread, no test", NONE, NONE]
    assert cells(table, "SEAM + HSC", "+ CRF") == one
    assert len(table.splitlines()) == 4  # no line for val, which SEAM has not
    chosen = paired_table(rows[:1], rows[1], ["seeds"])
    assert cells(chosen, "SEAM", "seed")[:3] == ["2", "-2.0", "-14.7 to +10.7"]
    assert len(chosen.splitlines()) == 3
    assert paired_table(rows[1:], rows[0], ["val"]).startswith("None:")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": "voc2012"}, "not paired: other data"),
        ({"data_seed": 5}, "not paired: no seeds in common"),
        ({"digest": "other"}, "not paired: other pictures"),
    ],
)
def test_too_few_pairs_are_said_in_words(changes: dict[str, object], words: str) -> None:
    rows = make_rows([make_run("a", contrast="none"), make_run("b", **changes)])
    table = paired_table(rows[1:], rows[0], ["seeds"])
    assert cells(table, "SEAM + HSC", "seed") == ["0", NONE, words, NONE, NONE]


def test_figures_of_different_runs_are_no_pair() -> None:
    rows = make_rows([seam(0, val=40.0), seam(1, seeds=1.0), hsc(0, seeds=1.0), hsc(1, val=45.0)])
    table = paired_table(rows[1:], rows[0], ["val"])
    assert cells(table, "SEAM + HSC", "val")[:3] == [
        "0", NONE, "not paired: no pair has both figures",
    ]  # fmt: skip


def test_equal_differences_are_not_tested() -> None:
    rows = make_rows([seam(0, val=40.0), seam(1, val=41.0), hsc(0, val=42.0), hsc(1, val=43.0)])
    found = cells(paired_table(rows[1:], rows[0], ["val"]), "SEAM + HSC", "val")
    assert found == ["2", "+2.0", "all differences are equal", NONE, NONE]


def test_classes() -> None:
    rows = make_rows(
        [
            make_run("s0", 0, contrast="none", classes={"background": 80, "dog": 40}),
            make_run("s1", 1, contrast="none", classes={"background": 82, "dog": 44}),
            make_run("h0", 0, classes={"background": 83, "dog": 50}),
            make_run("h1", 1, classes={"background": 83, "cat": 10}),
        ]
    )
    table = class_table(rows, 0, "seeds")
    assert cells(table, "class") == ["SEAM", "SEAM + HSC", "SEAM + HSC: difference"]
    # 3 and 1 again: 2 ± 12.7
    assert cells(table, "background") == ["81.0 ± 1.4", "83.0 ± 0.0", "+2.0 ± 12.7 (2)"]
    assert cells(table, "dog") == ["42.0 ± 2.8", "50.0", "+10.0 (1)"]
    assert cells(table, "cat") == [NONE, "10.0", NONE]
    assert cells(class_table(rows, 1, "seeds"), "dog")[2] == "-10.0 (1)"


def test_the_whole_page(rows: list[Row]) -> None:
    page = document(rows, 0, list(FIGURES))
    assert f"Row {MINUS} SEAM, paired" in page
    assert "by class" not in page
    assert page.endswith("- 6 runs, of the code of `ccccccc`.\n")
    assert "\n\n\n" not in page
    assert f"Row {MINUS} SEAM + HSC, paired" in document(rows, 1, ["seeds"])
    by_class = document(rows, 0, list(FIGURES), by_class=True)
    # a table for each figure that there is: seed, + CRF, val
    assert [line.split(":")[0] for line in by_class.splitlines() if "by class" in line] == [
        "IoU in % by class, seed", "IoU in % by class, + CRF", "IoU in % by class, val",
    ]  # fmt: skip


def test_one_row_has_nothing_to_be_compared_with() -> None:
    page = document(make_rows([make_run("a"), make_run("b", 1)]), 0, list(FIGURES))
    assert "paired" not in page
    assert "| SEAM + HSC | 2    | 50.0 ± 0.0 |" in page


def test_data_sets_are_named_and_said_not_to_be_paired() -> None:
    rows = make_rows([make_run("a"), make_run("b", data="voc2012")])
    assert cells(row_table(rows), "SEAM + HSC", "voc2012") == ["1", "50.0", NONE, NONE, NONE]
    assert "Rows of different data sets are not paired." in notes(rows)
    assert "data" not in row_table(rows[:1])


def test_notes_of_rows_and_runs() -> None:
    runs = [make_run("a", word="*"), make_run("b", word="*", date=2)]
    rows = make_rows(runs)
    noted = Run(runs[1].snapshot, runs[1].settings, None, {}, ("metrics/val.json is missing",))
    found = notes([Row(rows[0].title, (noted,), rows[0].notes)])
    assert found == [
        "1 runs, of the code of `ccccccc`.",
        "`a` (a000000) is left out: `b` (b000000) has its parameters and seeds and is later.",
        "`b`: metrics/val.json is missing.",
    ]
