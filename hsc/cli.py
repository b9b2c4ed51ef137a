"""What every stage script shares: options, error texts and the summary line.

A stage is a click command decorated with `stage`. Problems the user can mend (`HscError`, a full
disk) end as one line on stderr and exit code 1; anything else is a bug and keeps its traceback.
"""

import errno
import functools
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from tqdm import tqdm

from hsc.errors import HscError
from hsc.launch import read_place
from hsc.progress import Progress

PATH = click.Path(path_type=Path)
RESUME_FOLDER = Path(".hsc/resume")
"""Where trainings keep their state: no declared output, so DVC leaves it alone."""


def stage(function: Callable[..., str]) -> click.Command:
    """Make a click command of a stage function, which returns its summary line.

    Under torchrun with several processes it is refused: each would do the whole work.
    """

    @functools.wraps(function)
    def by_itself(**options: Any) -> str:
        refuse_company()
        return function(**options)

    return training_stage(by_itself)


def refuse_company() -> None:
    """Raise HscError under torchrun with several processes."""
    if (processes := read_place().processes) > 1:
        raise HscError(
            f"torchrun: {processes} processes, but this step takes one; start it with python"
        )


def training_stage(function: Callable[..., str]) -> click.Command:
    """As `stage`, but several processes may share the work; the first one prints the summary."""

    @functools.wraps(function)
    def run(**options: Any) -> None:
        start = time.monotonic()
        problem = None
        try:
            summary = function(**options)
        except HscError as error:
            problem = str(error)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            problem = (
                f"{error.filename or 'the disk'}: no space left; free some and run the same "
                "command again, training goes on from its last checkpoint"
            )
        if problem is not None:
            # Not inside `except`: the failed frames are gone here, so their progress bars have
            # ended their line.
            raise click.ClickException(problem)
        if read_place().rank == 0:
            click.echo(f"{summary} ({time.monotonic() - start:.1f} s)")

    return click.command(context_settings={"show_default": True})(run)


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
    """A progress bar for work that tells its progress itself (`hsc.progress`)."""
    shown: list[tqdm] = []

    def show(done: int, total: int) -> None:
        if not shown:
            scaled = {"unit_scale": True, "unit_divisor": 1000} if unit == "B" else {}
            shown.append(tqdm(desc=title, unit=unit, total=total, mininterval=1.0, **scaled))
        bar = shown[0]
        bar.total = total
        bar.update(done - bar.n)
        if done >= total:
            bar.close()

    return show


def progress(title: str, unit: str = "image") -> Callable[[Iterable[Any]], Iterable[Any]]:
    """A function that puts a progress bar around an iterable."""

    def wrap(items: Iterable[Any]) -> Iterable[Any]:
        return tqdm(items, desc=title, unit=unit, mininterval=1.0)

    return wrap
