"""The documentation's claims that can be checked: each departure names a test that there is."""

import ast
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
DEPARTURES = "## Where the published code departs from its paper"
HEADER = ["#", "published code", "built here", "test"]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of docs/method.md, its header first."""
    text = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
    section = text.split(f"{heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    header, rule, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert set("".join(rule)) == {"-"}
    return [header, *rows]


def all_tests() -> set[str]:
    """`stem::function`, in back quotes, of every test of the repository, as the table writes it."""
    return {
        f"`{path.stem}::{node.name}`"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_departure_from_the_published_code_has_its_test() -> None:
    header, *rows = table(DEPARTURES)
    assert header == HEADER
    assert [row[0] for row in rows] == [str(number) for number in range(1, 21)]
    known = all_tests()
    for number, published, built, named in rows:
        assert published, number
        assert built, number
        for name in named.split(", "):
            assert name in known, f"line {number}: no test {name}"
