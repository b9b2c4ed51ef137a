"""The measured parts: their JSON file, and the Markdown table made from it.

The same file gives the same table. It stands in benchmarks/README.md between two marks.
"""

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from benchmarks.part import PartResult
from hsc.base.errors import HscError
from hsc.base.files import atomic_file, read_json, write_json
from hsc.compare.table import markdown

RESULTS = Path("benchmarks/results/parts_cpu.json")
BEGIN, END = "<!-- table of the parts: begin -->", "<!-- table of the parts: end -->"
HEADER = ["part", "plain version", "takes", "here", "takes", "ratio", "wanted", "same result"]

Rows = dict[str, tuple[PartResult, dict[str, Any]]]
"""Part → its result, and `surroundings` with the number of repeats."""


def read_parts(path: Path) -> Rows:
    """Read the file. Raises HscError for one that is not of this form."""
    names = {field.name for field in fields(PartResult)}
    rows: Rows = {}
    content = read_json(path)
    for name, row in content.items() if isinstance(content, dict) else [("", None)]:
        if not isinstance(row, dict) or set(row) != {*names, "measured"}:
            raise HscError(
                f"{path}: {name or 'its content'}: no result of a part; delete the file and "
                "measure again"
            )
        rows[name] = PartResult(**{key: row[key] for key in names}), row["measured"]
    return rows


def write_parts(path: Path, rows: Rows) -> None:
    """Write the file."""
    write_json(
        path,
        {name: {**asdict(result), "measured": where} for name, (result, where) in rows.items()},
    )


def write_table(path: Path, rows: Rows) -> None:
    """Put the table between the marks of the page. Raises HscError for a page without them."""
    write_between(path, (BEGIN, END), table(rows))


def write_between(path: Path, marks: tuple[str, str], text: str) -> None:
    """Put the text between the marks of the page. Raises HscError for a page without them."""
    page = between(path, marks, text)
    with atomic_file(path) as partial:
        partial.write_text(page, encoding="utf-8")


def refreshed(path: Path, rows: Rows) -> str:
    """The page with the table of these results."""
    return between(path, (BEGIN, END), table(rows))


def between(path: Path, marks: tuple[str, str], text: str) -> str:
    """The page with this text between the marks. Raises HscError for a page without them."""
    if not path.is_file():
        raise HscError(f"{path}: no such file; give the page that has the table")
    page = path.read_text(encoding="utf-8")
    before, begin, rest = page.partition(marks[0])
    _, end, after = rest.partition(marks[1])
    if not (begin and end):
        raise HscError(
            f"{path}: a line {marks[0]} and a line {marks[1]} have to be there; add them"
        )
    return f"{before}{begin}\n\n{text}\n\n{end}{after}"


def table(rows: Rows) -> str:
    """A line a part, and below it where and when the parts were measured."""
    lines = []
    origins: dict[str, list[str]] = {}
    for name, (result, where) in sorted(rows.items()):
        missed = "" if result.ratio >= result.wanted else " (missed)"
        lines.append(
            [
                f"`{name}`",
                result.reference,
                quantity(result.reference_seconds, result.unit),
                result.fast,
                quantity(result.fast_seconds, result.unit),
                f"{result.ratio:.3g}{missed}",
                f"{result.wanted:g}",
                result.agreement,
            ]
        )
        origins.setdefault(origin(where), []).append(f"`{name}`")
    measured = [f"- {', '.join(names)}: {text}" for text, names in sorted(origins.items())]
    return "\n\n".join([markdown(HEADER, lines), "\n".join(measured)])


def quantity(value: float, unit: str) -> str:
    """A number to three digits with its unit; bytes as MB."""
    if unit == "B":
        value, unit = value / 1e6, "MB"
    return f"{value:.3g} {unit}"


def origin(where: dict[str, Any]) -> str:
    """In words, what `surroundings` says."""
    plain = ("date", "device", "cpus", "load", "repeats")
    versions = ", ".join(
        f"{key} {value}" for key, value in sorted(where.items()) if key not in plain
    )
    return (
        f"{where['device']}, {where['cpus']} CPUs, load {where['load']:g} before; "
        f"{where['repeats']} repeats; {versions}; {where['date']}"
    )
