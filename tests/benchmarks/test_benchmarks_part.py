"""Timing side by side, the parts found in the folder, their file, their table, the command."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks import part, part_table
from benchmarks.part import PartResult, part_names, side_by_side
from benchmarks.part_table import read_parts, refreshed, table, write_parts, write_table
from benchmarks.surroundings import cpu_name, surroundings
from hsc.base.errors import HscError

REPOSITORY = Path(__file__).resolve().parents[2]
RESULT = PartResult("slowly", "quickly", 6.1234, 0.1, 50, "all the same")
WHERE = {
    "date": "2026-01-02", "device": "A processor", "cpus": 2, "load": 0.25, "repeats": 5,
    "python": "3.11.7", "numpy": "2.4.6",
}  # fmt: skip
PAGE = f"# Page\n\n{part_table.BEGIN}\nold\n{part_table.END}\nend\n"


class Clock:
    """A clock that the functions under test push on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[str] = []

    def taking(self, name: str, *durations: float) -> Any:
        left = iter(durations)

        def function() -> None:
            self.calls.append(name)
            self.now += next(left)

        return function


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(part.time, "perf_counter", lambda: clock.now)
    return clock


def test_both_run_in_turns_and_medians_count(clock: Clock) -> None:
    found = side_by_side(clock.taking("a", 1, 2, 50), clock.taking("b", 0.5, 0.25, 0.75), 3)
    assert found == (2, 0.5)
    assert clock.calls == ["a", "b"] * 3


def test_fewer_than_one_repeat_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1, got 0"):
        side_by_side(int, int, 0)


def test_every_file_of_the_folder_is_a_part() -> None:
    folder = REPOSITORY / "benchmarks" / "parts"
    assert set(part_names()) == {path.stem for path in folder.glob("*.py")} - {"__init__"}
    for name in part_names():
        assert callable(importlib.import_module(f"benchmarks.parts.{name}").measure)


def test_a_part_goes_by_its_module(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = SimpleNamespace(measure=lambda repeats: replace(RESULT, fast_seconds=repeats))
    monkeypatch.setitem(sys.modules, "benchmarks.parts.one", fake)
    assert part.measure("one", 7).fast_seconds == 7


def test_results_come_back_from_their_file(tmp_path: Path) -> None:
    rows = {"one": (RESULT, WHERE), "two": (replace(RESULT, unit="B"), WHERE)}
    write_parts(tmp_path / "parts.json", rows)
    assert read_parts(tmp_path / "parts.json") == rows


@pytest.mark.parametrize(
    "content", ["[]", '{"one": {}}', '{"one": {"unit": "s"}}', '{"one": 3}']
)  # fmt: skip
def test_another_file_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "parts.json").write_text(content)
    with pytest.raises(HscError, match=r"parts\.json: .*no result of a part; delete"):
        read_parts(tmp_path / "parts.json")


def test_the_table_has_a_line_a_part_and_says_what_was_missed() -> None:
    size = PartResult("plain", "packed", 30_008_173, 10e6, 4, "equal", "B")
    other = {**WHERE, "load": 2.5}
    assert table({"size": (size, other), "one": (RESULT, WHERE)}).splitlines() == [
        "| part | plain version | takes | here | takes | ratio | wanted | same result |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `one` | slowly | 6.12 s | quickly | 0.1 s | 61.2 | 50 | all the same |",
        "| `size` | plain | 30 MB | packed | 10 MB | 3 (missed) | 4 | equal |",
        "",
        "- `one`: A processor, 2 CPUs, load 0.25 before; 5 repeats; numpy 2.4.6, python 3.11.7; "
        "2026-01-02",
        "- `size`: A processor, 2 CPUs, load 2.5 before; 5 repeats; numpy 2.4.6, python 3.11.7; "
        "2026-01-02",
    ]


def test_parts_measured_together_share_a_line() -> None:
    rows = dict.fromkeys(("b", "a"), (RESULT, WHERE))
    assert table(rows).splitlines()[-1].startswith("- `a`, `b`: A processor")


def test_the_page_keeps_what_is_around_the_table(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    write_table(page, {"one": (RESULT, WHERE)})
    once = page.read_text()
    assert once.startswith(f"# Page\n\n{part_table.BEGIN}\n\n| part |")
    assert once.endswith(f"2026-01-02\n\n{part_table.END}\nend\n")
    assert "old" not in once
    write_table(page, {"one": (RESULT, WHERE)})
    assert page.read_text() == once


@pytest.mark.parametrize("text", ["", part_table.BEGIN, part_table.END, PAGE[::-1]])
def test_a_page_without_both_marks_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(HscError, match=r"page\.md: a line <!--.*add them"):
        write_table(page, {"one": (RESULT, WHERE)})
    assert page.read_text() == text
    with pytest.raises(HscError, match="no such file"):
        write_table(tmp_path / "none.md", {})


def test_surroundings_say_what_was_measured_on(tmp_path: Path) -> None:
    found = surroundings()
    assert found["cpus"] >= 1
    assert found["device"]
    assert found["python"].count(".") == 2
    assert {"torch", "numpy", "h5py", "load", "date"} <= set(found)
    information = tmp_path / "cpuinfo"
    information.write_text("processor : 0\nmodel name\t: Some Maker: Model 3\n")
    assert cpu_name(information) == "Some Maker: Model 3"
    assert cpu_name(tmp_path / "none")


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """`command(*options)`: the command with parts `a` and `b`, the latter disagrees."""
    main = importlib.import_module("benchmarks.__main__")
    (tmp_path / "page.md").write_text(PAGE)

    def measured(name: str, repeats: int) -> PartResult:
        if name == "b":
            raise part.Disagreement("by a mile")
        return replace(RESULT, fast_seconds=float(repeats))

    monkeypatch.setattr(main, "measure", measured)
    monkeypatch.setattr(main, "part_names", lambda: ["a", "b"])
    (option,) = [option for option in main.main.params if option.name == "parts"]
    monkeypatch.setattr(option.type, "choices", ("a", "b", "c"))
    out = tmp_path / "results" / "parts.json"

    def run(*options: str) -> Any:
        given = ["--out", str(out), "--readme", str(tmp_path / "page.md"), *options]
        return CliRunner().invoke(main.main, given)

    return SimpleNamespace(run=run, out=out, page=tmp_path / "page.md")


def test_the_command_keeps_the_lines_of_other_parts(command: Any) -> None:
    assert command.run("--part", "a", "--repeats", "2").exit_code == 0
    result = command.run("--part", "c", "--repeats", "3")
    assert result.exit_code == 0, result.output
    rows = read_parts(command.out)
    assert {name: row.fast_seconds for name, (row, _) in rows.items()} == {"a": 2, "c": 3}
    assert rows["c"][1]["repeats"] == 3
    assert command.page.read_text() == refreshed(command.page, rows)
    assert "`c`" in command.page.read_text()


def test_a_disagreement_ends_the_command_and_is_not_written(command: Any) -> None:
    result = command.run()
    assert result.exit_code == 1
    assert isinstance(result.exception, part.Disagreement)
    assert list(read_parts(command.out)) == ["a"]
    assert "`b`" not in command.page.read_text()


def test_an_unknown_part_and_no_repeats_are_refused(command: Any) -> None:
    for options in (["--part", "d"], ["--repeats", "0"]):
        result = command.run(*options)
        assert result.exit_code == 2
        assert not command.out.exists()


def test_the_committed_table_is_that_of_the_committed_results() -> None:
    page = REPOSITORY / "benchmarks" / "README.md"
    rows = read_parts(REPOSITORY / part_table.RESULTS)
    assert page.read_text(encoding="utf-8") == refreshed(page, rows)


def test_every_part_was_measured() -> None:
    rows = read_parts(REPOSITORY / part_table.RESULTS)
    assert sorted(rows) == part_names(), "run `python -m benchmarks --part` for what is missing"
