"""What every script shares: options, error texts, progress, the summary line, the run's record.

A script is a click command decorated with `stage` or another of its kind where it is a stage of the
pipeline, with `command` or another of its kind where people run it. Problems the user can mend
(`HscError`, a full disk, too little memory) end as one line on stderr, another that names the
document that helps, and exit code 1; anything else is a bug and keeps its traceback.
"""

import functools
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hsc.base import duration
from hsc.base.company import (
    LEFT_ALONE,
    end_with_starter,
    is_started,
    start_processes,
    wanted_processes,
)
from hsc.base.errors import HscError, MachineError
from hsc.base.launch import read_place
from hsc.base.machine_problems import describe_problem, is_left_alone
from hsc.base.progress import Progress, unseen
from hsc.base.run_record import measure, product_bytes, records_folder, write_record
from hsc.base.sharing import with_helpers
from hsc.base.shown_progress import LogLines, TerminalBar

PATH = click.Path(path_type=Path)
RESUME_FOLDER = Path(".hsc/resume")
"""Where trainings keep their state: no declared output, so DVC leaves it alone."""

_SETTINGS = {"show_default": True}
_BAR = "hsc.base.cli.bar"  # the last bar of a command, in click's context
_LARGE = 1_000_000_000  # bytes that take seconds to read
_PRODUCTS = ("out", "metrics", "plots")  # the option that names what a stage makes: the first here


class ScriptCommand(click.Command):
    """A command whose help shows `help/<name>.txt` beside its script, word for word.

    What a stage reads and writes stands there and not in its code: a word that is changed in it
    makes no stage run again.
    """

    def __init__(self, *arguments: Any, script: Path, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._page = script.parent / "help" / f"{script.stem}.txt"

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Click's own text, then the file's."""
        super().format_help_text(ctx, formatter)
        if self._page.is_file():
            formatter.write_paragraph()
            formatter.write(self._page.read_text(encoding="utf-8"))


def command(function: Callable[..., str]) -> click.Command:
    """Make a click command of a function, which returns its summary line.

    Under torchrun with several processes it is refused: each would do the whole work.
    """
    return _command(_by_itself(function))


def stage(function: Callable[..., str]) -> click.Command:
    """As `command`, for a stage of the pipeline: a run that ends well is recorded.

    Its name is that of the file which it stands in (`hsc.base.run_record`).
    """
    return _command(_by_itself(function), _file_name(function))


def training_stage(function: Callable[..., str]) -> click.Command:
    """As `stage`, but several processes run it together; the first one tells the end.

    `HSC_GPUS` has the command start them (`hsc.base.company`).
    """
    return _command(function, _file_name(function), by_gpus=True)


def gpu_stage(function: Callable[..., str]) -> click.Command:
    """As `stage`, but other processes may help with the pictures (`hsc.base.sharing`).

    `HSC_GPUS` has the command start them.
    """
    return _command(_helped(function), _file_name(function), by_gpus=True)


def gpu_command(function: Callable[..., str]) -> click.Command:
    """As `command`, with help as of `gpu_stage`."""
    return _command(_helped(function), by_gpus=True)


def picture_stage(function: Callable[..., str]) -> click.Command:
    """As `gpu_stage` for work that needs no GPU: torchrun alone starts the others."""
    return _command(_helped(function), _file_name(function))


def picture_command(function: Callable[..., str]) -> click.Command:
    """As `command`, with help as of `picture_stage`."""
    return _command(_helped(function))


def refuse_company() -> None:
    """Raise HscError under torchrun with several processes."""
    if (processes := read_place().processes) > 1:
        raise MachineError(
            f"torchrun: {processes} processes, but this step takes one; start it with python"
        )


def _by_itself(function: Callable[..., str]) -> Callable[..., str]:
    @functools.wraps(function)
    def run(**options: Any) -> str:
        refuse_company()
        return function(**options)

    return run


def _helped(function: Callable[..., str]) -> Callable[..., str | None]:
    @functools.wraps(function)
    def run(**options: Any) -> str | None:
        return with_helpers(functools.partial(function, **options))

    return run


def _file_name(function: Callable[..., str]) -> str:
    """Of `python -m stages.x` no module is called so: it is `__main__`."""
    return Path(inspect.unwrap(function).__code__.co_filename).stem


def _command(
    function: Callable[..., str | None], recorded_as: str | None = None, by_gpus: bool = False
) -> click.Command:
    script = Path(inspect.unwrap(function).__code__.co_filename)

    @functools.wraps(function)
    def run(**options: Any) -> None:
        start = time.monotonic()
        try:
            if by_gpus and (count := wanted_processes()) > 1:
                own = [sys.executable, "-m", f"{script.parent.name}.{script.stem}", *sys.argv[1:]]
                click.get_current_context().exit(start_processes(own, count))
            end_with_starter()
            summary = function(**options)
        except HscError as error:
            raise _problem(str(error), error.page) from None
        except (OSError, MemoryError, RuntimeError) as error:
            if is_left_alone(error) and is_started():
                raise click.exceptions.Exit(LEFT_ALONE) from None
            text = describe_problem(error, script.stem)
            if text is None:
                raise
            raise _problem(text, HscError.page) from None
        seconds = time.monotonic() - start
        if read_place().rank == 0:
            if recorded_as is not None:
                _record(recorded_as, options, seconds)
            _end_bar(click.get_current_context())
            click.echo(f"{summary} ({duration.describe(seconds)})")

    return click.command(cls=ScriptCommand, script=script, context_settings=_SETTINGS)(run)


def _problem(text: str, page: str) -> click.ClickException:
    """What is printed of a problem: its text, and on a line of its own the document that helps."""
    return click.ClickException(f"{text}\nhelp: {page}")


def _record(name: str, options: dict[str, Any], seconds: float) -> None:
    """Keep what the run took. Whatever goes wrong here, the stage has ended well."""
    product = next((options[option] for option in _PRODUCTS if option in options), None)
    if product is None:
        return
    try:
        shown = bars("digest", "B") if product_bytes(product) >= _LARGE else unseen
        write_record(measure(name, product, seconds, shown), records_folder())
    except (HscError, OSError, RuntimeError) as error:
        click.echo(f"Warning: no record of this run: {error}; set HSC_RUNS to a folder", err=True)


def path_option(name: str, default: str, text: str) -> Callable[[Any], Any]:
    """A path option with its default."""
    return click.option(name, type=PATH, default=Path(default), help=text)


def parameter_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add `--params` and `--recipes`: where the parameters are read from."""
    function = click.option(
        "--recipes", type=PATH, default=Path("recipes"), help="Folder of the recipes."
    )(function)
    return click.option(
        "--params", type=PATH, default=Path("params.yaml"), help="The parameter file."
    )(function)


def bars(title: str, unit: str) -> Progress:
    """How this process shows progress (`hsc.base.progress.Bars`): of several only the first does.

    A bar where stderr is a terminal, one at a time; lines where it is not. A bar ends with its
    command, however that ends, so nothing is ever printed behind it.
    """
    if read_place().rank > 0:
        return unseen
    if not sys.stderr.isatty():
        return LogLines(title, unit, functools.partial(click.echo, err=True))
    bar = TerminalBar(title, unit)
    context = click.get_current_context(silent=True)
    if context is not None:
        _end_bar(context)
        if _BAR not in context.meta:
            context.call_on_close(functools.partial(_end_bar, context))
        context.meta[_BAR] = bar
    return bar


def _end_bar(context: click.Context) -> None:
    if _BAR in context.meta:
        context.meta[_BAR].close()
