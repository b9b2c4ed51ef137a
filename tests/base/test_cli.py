"""What stage scripts share: the summary line, and how errors end."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hsc.base.cli import bars, command, parameter_options, path_option, stage, training_stage
from hsc.base.errors import DataError, HscError
from hsc.base.progress import Progress
from hsc.base.run_record import find_record


def invoke(function: Callable[..., str], *arguments: str) -> Result:
    return CliRunner().invoke(command(function), list(arguments))


def failing(error: BaseException) -> Callable[..., str]:
    def run() -> str:
        raise error

    return run


def test_the_summary_line_has_the_time() -> None:
    result = invoke(lambda: "outputs/x: 3 pictures")
    assert result.exit_code == 0
    assert re.fullmatch(r"outputs/x: 3 pictures \(\d+\.\d s\)\n", result.stdout)
    assert result.stderr == ""


@pytest.mark.parametrize(("seconds", "said"), [(133.2, "2 min 13 s"), (3725, "1 h 02 min")])
def test_longer_times_are_readable(
    monkeypatch: pytest.MonkeyPatch, seconds: float, said: str
) -> None:
    moments = iter((50.0, 50.0 + seconds))
    monkeypatch.setattr("hsc.base.cli.time.monotonic", lambda: next(moments))
    assert invoke(lambda: "outputs/x: done").stdout == f"outputs/x: done ({said})\n"


def test_a_problem_of_the_user_is_one_line_with_its_document_and_exit_code_1() -> None:
    result = invoke(failing(DataError("tags.csv: line 3: no such class; correct it")))
    assert result.exit_code == 1
    line, page = result.stderr.splitlines()
    assert line == "Error: tags.csv: line 3: no such class; correct it"
    assert page == "help: docs/data.md"
    assert result.stdout == ""
    general = invoke(failing(HscError("cams.h5: no such file; run infer_cams")))
    assert general.stderr.splitlines()[1:] == ["help: docs/troubleshooting.md"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words(number: int) -> None:
    result = invoke(failing(OSError(number, "No space left on device", "outputs/cam.pt")))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: outputs/cam.pt: no space left; free some")
    assert result.stderr.splitlines()[1:] == ["help: docs/troubleshooting.md"]
    assert "None" not in invoke(failing(OSError(number, "full"))).stderr


@pytest.mark.parametrize(
    "error", [ValueError("a bug"), KeyError("a bug"), PermissionError(errno.EACCES, "a bug")]
)
def test_anything_else_keeps_its_traceback(error: Exception) -> None:
    result = invoke(failing(error))
    assert result.exception is error
    assert result.exc_info[2] is not None


def test_options_and_help() -> None:
    @stage
    @parameter_options
    @path_option("--out", "outputs/x", "Where it goes.")
    def main(params: Path, recipes: Path, out: Path) -> str:
        """Do the thing."""
        assert all(isinstance(path, Path) for path in (params, recipes, out))
        return f"{params} {recipes} {out}"

    assert isinstance(main, click.Command)
    runner = CliRunner()
    assert runner.invoke(main, []).stdout.startswith("params.yaml recipes outputs/x (")
    changed = runner.invoke(main, ["--params", "p", "--recipes", "r", "--out", "o"])
    assert changed.stdout.startswith("p r o (")
    text = runner.invoke(main, ["--help"]).stdout
    for part in ("Do the thing.", "Where it goes.", "default: outputs/x", "params.yaml"):
        assert part in text
    assert runner.invoke(main, ["--nonsense"]).exit_code == 2


# Records of runs


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the records go."""
    monkeypatch.setenv("HSC_RUNS", str(tmp_path / "runs"))
    return tmp_path / "runs"


def writing(out: Path, metrics: Path, plots: Path) -> str:
    for number, path in enumerate((metrics, plots, out)):
        path.write_text(f"{path.name} {number}")
    return f"{out}: done"


def options(folder: Path, *names: str) -> list[str]:
    return [word for name in names for word in (f"--{name}", str(folder / name))]


def with_options(function: Callable[..., str], *names: str) -> Callable[..., str]:
    def run(**paths: Path) -> str:  # click hangs the options on it
        return function(**paths)

    for name in names:
        path_option(f"--{name}", "unused", "A path.")(run)
    return run


@pytest.mark.parametrize("make", [stage, training_stage])
def test_a_stage_that_ended_well_is_recorded(
    runs: Path, tmp_path: Path, make: Callable[[Callable[..., str]], click.Command]
) -> None:
    names = ("plots", "metrics", "out")
    main = make(with_options(writing, *names))
    result = CliRunner().invoke(main, options(tmp_path, *names))
    assert (result.exit_code, result.stderr) == (0, "")
    (path,) = runs.iterdir()
    record = find_record("test_cli", tmp_path / "out", runs)
    assert path.name == f"test_cli-{record.digest}.json"
    assert record.product == (tmp_path / "out").as_posix(), "the main product"
    assert 0 <= record.seconds < 5
    assert find_record("test_cli", tmp_path / "metrics", runs) is None


def test_without_out_it_is_the_metrics_that_count(runs: Path, tmp_path: Path) -> None:
    def run(metrics: Path, plots: Path) -> str:
        return writing(tmp_path / "x", metrics, plots)

    names = ("plots", "metrics")
    CliRunner().invoke(stage(with_options(run, *names)), options(tmp_path, *names))
    assert find_record("test_cli", tmp_path / "metrics", runs) is not None
    assert len(list(runs.iterdir())) == 1


def test_what_leaves_no_record(runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands for people, help, a stage that failed, a process that is not the first."""

    def broken(out: Path) -> str:
        out.write_text("half")
        raise HscError("no")

    def well(out: Path) -> str:
        out.write_text("whole")
        return "done"

    arguments = options(tmp_path, "out")
    runner = CliRunner()
    assert runner.invoke(command(with_options(well, "out")), arguments).exit_code == 0
    assert runner.invoke(stage(with_options(well, "out")), ["--help"]).exit_code == 0
    assert runner.invoke(stage(with_options(broken, "out")), arguments).exit_code == 1
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"):
        monkeypatch.setenv(name, "2")
    second = runner.invoke(training_stage(with_options(well, "out")), arguments)
    assert (second.exit_code, second.stdout) == (0, "")
    assert not runs.exists()


def test_a_record_that_cannot_be_written_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(out: Path) -> str:
        out.write_text("x")
        return "outputs/x: done"

    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("HSC_RUNS", str(tmp_path / "file"))
    result = CliRunner().invoke(stage(with_options(run, "out")), options(tmp_path, "out"))
    assert result.exit_code == 0
    assert result.stdout.startswith("outputs/x: done (")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Warning: no record of this run: ")
    assert str(tmp_path / "file") in line


def test_a_product_that_is_not_there_is_a_warning(runs: Path, tmp_path: Path) -> None:
    main = stage(with_options(lambda out: "done", "out"))
    result = CliRunner().invoke(main, options(tmp_path, "out"))
    assert result.exit_code == 0
    assert result.stderr.startswith("Warning: no record of this run: ")
    assert not runs.exists()


def test_a_large_product_is_digested_with_a_bar(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = []

    def spy(title: str, unit: str) -> Progress:
        shown.append((title, unit))
        return bars(title, unit)

    monkeypatch.setattr("hsc.base.cli.bars", spy)
    main = stage(with_options(lambda out: str(out.write_bytes(b"123456")), "out"))
    for large in (7, 6):
        monkeypatch.setattr("hsc.base.cli._LARGE", large)
        CliRunner().invoke(main, options(tmp_path, "out"))
        assert shown == ([] if large == 7 else [("digest", "B")])
    assert len(list(runs.iterdir())) == 1
