"""The documentation's claims that can be checked: functions, parameters and tests that it names."""

import ast
from pathlib import Path

import yaml

REPOSITORY = Path(__file__).resolve().parents[1]
DEPARTURES = "## Where the published code departs from its paper"
HEADER = ["#", "published code", "built here", "test"]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of docs/method.md, its header first."""
    text = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
    section = text.split(f"{heading}\n")[1].split("\n## ")[0]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()
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


def test_every_equation_has_its_function_and_its_parameters() -> None:
    header, *rows = table("## The equations")
    assert header == ["equation", "what it says", "function", "parameters"]
    numbers = [row[0] for row in rows if row[0].startswith("(")]
    assert numbers == [f"({number})" for number in range(1, 14)]
    for number, _, function, parameters in rows:
        check_names(number, function, parameters)


def test_every_term_of_psa_has_its_function_and_its_parameters() -> None:
    header, *rows = table("## PSA")
    assert header == ["term", "function", "parameter"]
    assert len(rows) == 9
    for term, function, parameters in rows:
        check_names(term, function, parameters)


def check_names(what: str, function: str, parameters: str) -> None:
    """The function stands in its file, and each parameter in params.yaml or the recipe."""
    known = {**read("params.yaml"), **read("recipes/shapes.yaml")}
    path, name = function.strip("`").split("::")
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {getattr(node, "name", None) for node in tree.body}, f"{what}: {function}"
    for key in parameters.split(", "):
        section = known
        for part in key.strip("`").split("."):
            assert part in section, f"{what}: no parameter {key}"
            section = section[part]


def read(path: str) -> dict:
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
