# ruff: noqa: RUF001 (the tables use dashes and minus signs)
"""The tables of a few made-up runs, by hand."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import tables
from benchmarks.rows import ABLATION, MAIN, select
from benchmarks.runs import Run, read_runs, write_runs
from hsc.base.errors import HscError

REPOSITORY = Path(__file__).resolve().parents[2]


def make(row: str, data_seed: int, seed: int, seeds: float, **changes: Any) -> Run:
    values = {
        "row": row, "data_seed": data_seed, "seed": seed, "seeds": seeds, "threshold": 0.3,
        "crf": None, "val": None, "seconds": {}, "experiment": "e", "commit": "abcdef0123",
        "date": f"2026-01-0{seed + 1}T10:00:00+00:00", "torch": "2.15.0",
    }  # fmt: skip
    return Run.model_validate(values | changes)


@pytest.fixture
def runs() -> dict[str, Run]:
    """SEAM in four runs, SEAM + HSC in three; two of them share data seed and seed."""
    made = [
        make("seam", 0, 0, 44.0, crf=50.0, seconds={"train_cam": 40.0, "infer_cams": 12.0}),
        make("seam", 0, 1, 46.0, crf=53.0, auto=44.0, seconds={"train_cam": 44.0}),
        make("seam", 1, 0, 45.0, threshold=0.7, seconds={"train_cam": 90.0}),
        make("seam", 1, 1, 45.0),
        make("seam-hsc", 0, 0, 47.0, crf=60.0, masks=61.0, val=55.0),
        make("seam-hsc", 0, 1, 47.0),
        make("seam-hsc", 1, 2, 50.0),
    ]
    return {run.name: run for run in made}


def line(table: str, start: str) -> str:
    (found,) = [each for each in table.splitlines() if each.startswith(f"| {start} |")]
    return found


def test_main_table(runs: dict[str, Run]) -> None:
    table = tables.row_table(runs, MAIN)
    # sd of 44, 46, 45, 45: sqrt(2 / 3); of 50, 53: 3 / sqrt(2). Median of 40, 44, 90.
    assert (
        line(table, "SEAM")
        == "| SEAM | 4 | 45.0 ± 0.8 | 44.0 (1) | 51.5 ± 2.1 (2) | – | – | 0.40 | 44 | 12 | 55.4 |"
    )
    assert (
        line(table, "SEAM + HSC")
        == "| SEAM + HSC | 3 | 48.0 ± 1.7 | – | 60.0 (1) | 61.0 (1) | 55.0 (1) | 0.30 | – | – | "
        "64.3 |"
    )
    assert len(table.splitlines()) == 2 + 2, "rows without a run are left out"


def test_pairs_are_the_runs_that_both_rows_have(runs: dict[str, Run]) -> None:
    assert tables.pairs(runs, select("seam-hsc")[0], "seam") == [(0, 3.0), (0, 1.0)]
    assert tables.pairs(runs, select("seam-hsc")[0], "cam") == []


def test_paired_table(runs: dict[str, Run]) -> None:
    table = tables.paired_table(runs, MAIN)
    # 3 and 1: mean 2, sd sqrt(2), error 1, t 2; p of Cauchy's: 1 - 2 / pi * atan(2) = 0.295.
    assert (
        line(table, "(SEAM + HSC) − SEAM")
        == "| (SEAM + HSC) − SEAM | 2 | +2.0 | 1.4 | 12.7 | 2.00 | 0.295 | +8.9 |"
    )
    assert len(table.splitlines()) == 2 + 1, "differences without a pair are left out"


def test_other_figures_are_paired_where_two_runs_have_them(runs: dict[str, Run]) -> None:
    row = select("seam-hsc")[0]
    assert tables.pairs(runs, row, "seam", "crf") == [(0, 10.0)]
    assert tables.pairs(runs, row, "seam", "val") == []
    assert "Of + CRF:" not in tables.document(runs, "runs.json")
    second = make("seam-hsc", 0, 1, 47.0, crf=55.0)
    page = tables.document({**runs, second.name: second}, "runs.json")
    paired = page.split("Of + CRF:")[1]
    # 10 and 2: mean 6, sd 8 / sqrt(2), error 4, t 1.5; no paper has the differences.
    assert line(paired.split("Of seeds, by data set:")[0], "(SEAM + HSC) − SEAM").startswith(
        "| (SEAM + HSC) − SEAM | 2 | +6.0 | 5.7 | 50.8 | 1.50 |"
    )
    assert "Of `val`:" not in page


def test_masks_of_psa_stand_beside_those_of_the_crf(runs: dict[str, Run]) -> None:
    psa = [make("seam-psa", 0, seed, 44.0, masks=52.0) for seed in (0, 1)]
    without = {run.name: run.model_copy(update={"masks": 50.0}) for run in runs.values()}
    page = tables.document({**without, **{run.name: run for run in psa}}, "runs.json")
    section = page.split("## Masks of PSA")[1].split("Of masks:")[1]
    assert line(section, "SEAM, masks of PSA − SEAM").startswith(
        "| SEAM, masks of PSA − SEAM | 2 | +2.0 | 0.0 |"
    )


def test_a_page_is_of_one_data_set(runs: dict[str, Run]) -> None:
    other = make("seam", 0, 0, 50.0, data="voc_animals")
    assert tables.document({other.name: other}, "x.json").startswith(
        "# The experiment table on `voc_animals`"
    )
    with pytest.raises(HscError, match="runs on shapes and voc_animals"):
        tables.document({**runs, other.name: other}, "x.json")


def test_split_by_data_seed(runs: dict[str, Run]) -> None:
    extra = make("seam-hsc", 1, 1, 44.0)
    table = tables.split_table({**runs, extra.name: extra}, MAIN)
    assert table.splitlines()[0] == "| difference | data seed 0 | data seed 1 |"
    assert (
        line(table, "(SEAM + HSC) − SEAM") == "| (SEAM + HSC) − SEAM | +2.0 ± 12.7 (2) | -1.0 (1) |"
    )
    assert "SEAM − CAM" not in table


def test_every_run_is_listed(runs: dict[str, Run]) -> None:
    lines = tables.run_table(runs, select("cam,seam,seam-hsc")).splitlines()
    assert lines == [
        "| data seed | seed | SEAM | SEAM + HSC |",
        "| --- | --- | --- | --- |",
        "| 0 | 0 | 44.0 | 47.0, 55.0 |",
        "| 0 | 1 | 46.0 | 47.0 |",
        "| 1 | 0 | 45.0 | – |",
        "| 1 | 1 | 45.0 | – |",
        "| 1 | 2 | – | 50.0 |",
    ]


def test_the_ablation_comes_with_its_first_run(runs: dict[str, Run]) -> None:
    assert "ablation" not in tables.document(runs, "runs.json")
    extra = make("no-cross", 0, 0, 46.0), make("psc-csc-rsc", 0, 0, 46.5)
    text = tables.document({**runs, **{run.name: run for run in extra}}, "runs.json")
    ablation = text.split("## HSC's ablation")[1]
    # Cross supervision's effect: the row that has it minus the one that has not.
    effect = line(
        ablation.split("| data seed 0 |")[0],
        "(PSC + CSC + RSC) − the same without cross supervision",
    )
    assert effect.endswith("| 1 | +0.5 | – | – | – | – | +1.9 |")
    assert line(ablation, "baseline").startswith("| baseline | 4 | 45.0 ± 0.8 |")
    assert ablation.count("| + CRF everywhere |") == 2  # table of rows, head of the runs
    assert len(tables.comparisons(ABLATION)) == 7


def test_the_page_is_the_same_for_the_same_runs(runs: dict[str, Run]) -> None:
    page = tables.document(runs, "runs.json")
    assert page == tables.document(dict(reversed(runs.items())), "runs.json")
    assert "\n7 runs, 2026-01-01 to 2026-01-03; code of `abcdef0`; torch 2.15.0.\n" in page
    assert page.endswith("|\n")
    assert "\n\n\n" not in page


def test_command(runs: dict[str, Run], tmp_path: Path) -> None:
    source, out = tmp_path / "runs.json", tmp_path / "table.md"
    write_runs(source, runs)
    result = CliRunner().invoke(tables.main, [str(source), "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert out.read_text(encoding="utf-8") == tables.document(runs, source.as_posix())


def test_no_runs_no_table() -> None:
    with pytest.raises(HscError, match=r"runs\.json: no runs"):
        tables.document({}, "runs.json")


@pytest.mark.parametrize(
    ("runs", "page"),
    [("shapes", "shapes_table"), ("shapes_dscnet", "dscnet_table"), ("photos", "photos")],
)
def test_the_committed_pages_are_those_of_the_committed_runs(runs: str, page: str) -> None:
    source = f"benchmarks/results/{runs}.json"
    assert (REPOSITORY / "docs" / f"{page}.md").read_text(encoding="utf-8") == tables.document(
        read_runs(REPOSITORY / source), source
    )
