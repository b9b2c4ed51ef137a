"""What stage scripts share: the summary line, and how errors end."""

import errno
import re
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from hsc.cli import parameter_options, path_option, progress, stage
from hsc.errors import HscError


def invoke(function: Callable[..., str], *arguments: str) -> Result:
    return CliRunner().invoke(stage(function), list(arguments))


def failing(error: BaseException) -> Callable[..., str]:
    def run() -> str:
        raise error

    return run


def test_the_summary_line_has_the_time() -> None:
    result = invoke(lambda: "outputs/x: 3 pictures")
    assert result.exit_code == 0
    assert re.fullmatch(r"outputs/x: 3 pictures \(\d+\.\d s\)\n", result.stdout)
    assert result.stderr == ""


def test_a_problem_of_the_user_is_one_line_and_exit_code_1() -> None:
    result = invoke(failing(HscError("tags.csv: line 3: no such class; correct it")))
    assert result.exit_code == 1
    assert result.stderr == "Error: tags.csv: line 3: no such class; correct it\n"
    assert result.stdout == ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_said_in_words(number: int) -> None:
    result = invoke(failing(OSError(number, "No space left on device", "outputs/cam.pt")))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("Error: outputs/cam.pt: no space left; free some")
    assert len(result.stderr.splitlines()) == 1
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


def test_progress_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(progress("CRF")(range(5))) == [0, 1, 2, 3, 4]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "CRF" in captured.err
