"""Which runs make a row, what it is called, which runs of two rows are pairs."""

import pytest

from hsc.base.errors import HscError
from hsc.compare.rows import Row, find_row, make_rows, pairs, why_unpaired
from tests.compare.made_runs import make_run


def layout(rows: list[Row]) -> list[tuple[str, list[str]]]:
    return [(row.title, [run.snapshot.name for run in row.runs]) for row in rows]


def test_runs_that_differ_in_seeds_are_one_row_in_the_order_of_the_arguments() -> None:
    rows = make_rows(
        [
            make_run("b0", contrast="none"),
            make_run("a0"),
            make_run("a1", seed=1),
            make_run("b1", data_seed=1, contrast="none"),
        ]
    )
    assert layout(rows) == [("SEAM", ["b0", "b1"]), ("SEAM + HSC", ["a0", "a1"])]


def test_rows_of_one_method_are_named_by_what_differs() -> None:
    rows = make_rows(
        [
            make_run("a"),
            make_run("b", hsc__gamma=0.05),
            make_run("c", hsc__gamma=0.05, hsc__k=[1, 2]),
            make_run("d", baseline="eps"),
        ]
    )
    assert [row.title for row in rows] == [
        "SEAM + HSC, hsc.gamma=0.1, hsc.k=16",
        "SEAM + HSC, hsc.gamma=0.05, hsc.k=16",
        "SEAM + HSC, hsc.gamma=0.05, hsc.k=[1, 2]",
        "EPS + HSC",
    ]


def test_rows_that_differ_in_many_ways_are_named_by_what_they_change() -> None:
    rows = make_rows(
        [
            make_run("a"),
            make_run("b", hsc__gamma=0.05),
            make_run("c", hsc__k=8, eps__tau=0.5, new="yes"),
            make_run("d", word="d*", hsc__k=8, eps__tau=0.5, hsc__gamma=0.2, prepare_data__size=9),
        ]
    )
    assert [row.title for row in rows] == [
        "SEAM + HSC (a)",
        "SEAM + HSC, hsc.gamma=0.05",
        "SEAM + HSC (c)",
        "SEAM + HSC (d*)",
    ]
    commit = "a000000"
    assert rows[2].notes == (
        f"SEAM + HSC (c) differs from the row of `a` ({commit}) in hsc.k=8, eps.tau=0.5, new=yes",
    )
    assert rows[3].notes[0].startswith("SEAM + HSC (d*) differs from the row of `a`")
    assert rows[0].notes == rows[1].notes == ()


def test_a_pattern_that_names_several_rows_does_not_name_one() -> None:
    many = {f"hsc__x{number}": number for number in range(5)}
    rows = make_rows(
        [make_run("a0", word="*"), make_run("b0", word="*", **many),
         make_run("b1", seed=1, word="*", **many), make_run("c0", word="c*", **many, hsc__k=1)]
    )  # fmt: skip
    titles = [row.title for row in rows]
    assert titles == ["SEAM + HSC (a0)", "SEAM + HSC (b0 and 1 more)", "SEAM + HSC (c*)"]
    assert rows[1].notes[0].endswith("in hsc.x0=0, hsc.x1=1, hsc.x2=2, hsc.x3=3, hsc.x4=4")


def test_data_sets_are_no_part_of_the_name() -> None:
    rows = make_rows([make_run("a"), make_run("b", data="voc2012", prepare_data__seed=None)])
    assert [row.title for row in rows] == ["SEAM + HSC", "SEAM + HSC"]


def test_the_same_parameters_with_other_code() -> None:
    rows = make_rows(
        [
            make_run("main", code="m"),
            make_run("s0", code="p"),
            make_run("s1", seed=1, code="p"),
            make_run("workspace", code="w"),
        ]
    )
    assert layout(rows) == [
        ("SEAM + HSC (main)", ["main"]),
        ("SEAM + HSC (s0, s1)", ["s0", "s1"]),
        ("SEAM + HSC (workspace)", ["workspace"]),
    ]
    assert rows[1].notes == (
        "SEAM + HSC (s0, s1) differs from the row of `main` (main000) in its code alone",
    )


def test_code_of_several_commits_is_one_row_while_no_seeds_come_twice() -> None:
    rows = make_rows([make_run("s0", code="p"), make_run("s1", seed=1, code="q")])
    assert layout(rows) == [("SEAM + HSC", ["s0", "s1"])]
    old = [make_run(f"o{seed}", seed, word="o*", code=f"o{seed}") for seed in range(2)]
    new = [make_run(f"n{seed}", seed, word="n*", code=f"n{seed}") for seed in range(2)]
    assert layout(make_rows([*old, *new])) == [
        ("SEAM + HSC (o*)", ["o0", "o1"]),
        ("SEAM + HSC (n*)", ["n0", "n1"]),
    ]


@pytest.mark.parametrize("dates", [(1, 2), (2, 1)])
def test_of_runs_of_one_word_and_equal_seeds_the_later_counts(dates: tuple[int, int]) -> None:
    one, other = (
        make_run(name, word="*", date=date) for name, date in zip("ab", dates, strict=True)
    )
    (row,) = make_rows([one, other, make_run("c", seed=1, word="*")])
    kept, dropped = ("b", "a") if dates == (1, 2) else ("a", "b")
    assert [run.snapshot.name for run in row.runs] == [kept, "c"]
    assert row.notes[0].startswith(f"`{dropped}` ({dropped}000000) is left out: `{kept}`")


def test_pairs_have_equal_seeds_and_the_same_pictures() -> None:
    seam, eps = make_rows(
        [make_run(f"s{seed}{data}", seed, data) for seed, data in [(0, 0), (1, 0), (0, 1)]]
        + [
            make_run("e10", 1, 0, baseline="eps"),
            make_run("e01", 0, 1, baseline="eps", digest="other"),
            make_run("e20", 2, 0, baseline="eps"),
        ]
    )
    found = [(one.snapshot.name, other.snapshot.name) for one, other in pairs(eps, seam)]
    assert found == [("e10", "s10")]


def test_why_there_are_no_pairs() -> None:
    def reason(**changes: object) -> str:
        one, other = make_rows([make_run("a"), make_run("b", baseline="eps", **changes)])
        return why_unpaired(other, one)

    assert reason(data="voc2012") == "other data"
    assert reason(seed=1) == "no seeds in common"
    assert reason(digest="other") == "other pictures"
    assert reason() == "no pair has both figures"


def test_a_row_is_found_by_title_argument_or_run() -> None:
    rows = make_rows(
        [make_run("a", word="a*"), make_run("b", contrast="none"), make_run("a2", 1, word="a*")]
    )
    assert [find_row(rows, word) for word in ("a*", "a2", "SEAM + HSC", "b", "SEAM")] == [
        0,
        0,
        0,
        1,
        1,
    ]
    with pytest.raises(
        HscError, match='--against c: names no row; give one of "SEAM \\+ HSC", "SEAM"'
    ):
        find_row(rows, "c")
    rows = make_rows([make_run("a", word="*"), make_run("b", contrast="none", word="*")])
    with pytest.raises(HscError, match=r"--against \*: names 2 rows"):
        find_row(rows, "*")
