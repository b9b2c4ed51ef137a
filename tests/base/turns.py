"""Commands whose items are shared out; the tests start `python -m tests.base.turns COMMAND`."""

import json
import os
import signal
from collections.abc import Iterator, Sequence
from functools import partial

import click
import numpy as np

from hsc.base.cli import gpu_command
from hsc.base.errors import HscError
from hsc.base.sharing import in_turns


def own() -> str:
    return f"found by {os.environ['RANK']}"


def squares(start: int, items: Sequence[int], given: str) -> Iterator[tuple]:
    for item in items:
        yield start + item**2, np.full(3, item), given


def failing(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        if item == 2:
            raise HscError("picture 2: broken")
        yield item


def wrong(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        yield item // (item - 1)


def dying(items: Sequence[int]) -> Iterator[int]:
    for item in items:
        if item == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        yield item


def shown(count: int) -> str:
    """Twice, as a command may share out two things."""
    told = []
    for start in (10, 20):
        work = partial(squares, start)
        found = in_turns(work, list(range(count)), ["given"], [own])
        told.append([(value, array.tolist(), where) for value, array, where in found])
    return json.dumps(told)


def before_an_error() -> str:
    came = []
    try:
        came.extend(in_turns(failing, [0, 1, 2, 3, 4], [], []))
    finally:
        click.echo(json.dumps(came))
    return "it has not failed"


def first_fails() -> str:
    next(in_turns(partial(squares, 0), list(range(100)), [""], [own]))
    raise HscError("the first has failed")


COMMANDS = {
    "three": partial(shown, 3),
    "none": partial(shown, 0),
    "failing": before_an_error,
    "wrong": lambda: str(list(in_turns(wrong, [5, 1, 5, 5], [], []))),
    "dying": lambda: str(list(in_turns(dying, [0, 1, 2, 3, 4], [], []))),
    "first fails": first_fails,
}


@gpu_command
@click.argument("name")
def main(name: str) -> str:
    return COMMANDS[name]()


if __name__ == "__main__":
    main()
