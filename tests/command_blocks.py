"""The command blocks of the pages, and running them as a reader would.

A command block is fenced and has the language `sh` and one mark behind it, which GitHub does not
show: `runnable`, or the reason why no test runs it (`REASONS`). The pages are written so that the
runnable blocks of one can be typed one after the other.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import yaml

from tests.stage_runs import ROOT, environment, write_settings, write_yaml

PAGES = [
    "README.md",
    "CONTRIBUTING.md",
    *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")),
]
RUNNABLE = "runnable"
REASONS = {
    "needs-network": "something is downloaded, or sent to another machine",
    "needs-gpu": "one GPU or several",
    "needs-data": "pictures, archives or weights that the reader has",
    "needs-cluster": "a batch system",
    "takes-minutes": "more time than a test has",
    "takes-hours": "far more time than a test has",
}
SHELLS = {"sh", "bash", "shell", "console", "zsh"}
_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,}|~{3,})\s*(?P<info>[^`]*)$")
_HIDDEN = re.compile(
    r"(    |\t)\s*(\$ )?([A-Z_]+=\S+ )*(dvc|python3?|make|torchrun|git|pip|cd|rm|cp|bash|export) \S"
)


class Block(NamedTuple):
    """A command block: its page, the line of its fence (from 1), its marks and its commands."""

    page: str
    line: int
    language: str
    marks: tuple[str, ...]
    commands: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def command_blocks(page: str, text: str) -> list[Block]:
    """The fenced blocks of a page whose language is a shell's, in order.

    A fence may be indented, as in a list; its block is taken out by as much. Raises ValueError for
    a fence that is not closed.
    """
    return [block for block in _fenced(page, text) if block.language in SHELLS]


def hidden_commands(page: str, text: str) -> list[str]:
    """`page:line` of each line that is indented as code, in no fence, and looks like a command."""
    lines = text.splitlines()
    for block in _fenced(page, text):
        length = len(block.commands.splitlines()) + 2
        lines[block.line - 1 : block.line - 1 + length] = [""] * length
    return [f"{page}:{number}" for number, line in enumerate(lines, 1) if _HIDDEN.match(line)]


def _fenced(page: str, text: str) -> list[Block]:
    blocks = []
    lines = enumerate(text.splitlines(), 1)
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        language, *marks = opening["info"].split() or [""]
        commands = []
        for _, inner in lines:
            if inner.strip() == opening["fence"]:
                break
            commands.append(inner.removeprefix(opening["indent"]))
        else:
            raise ValueError(f"{page}:{number}: the fence is not closed")
        blocks.append(Block(page, number, language, tuple(marks), "\n".join(commands)))
    return blocks


def run_block(block: Block, folder: Path, variables: Mapping[str, str]) -> None:
    """Run the block's lines in `folder`; the first command that fails ends it.

    variables: the whole environment. Raises AssertionError with the end of what was printed.
    """
    done = subprocess.run(
        ["bash", "-eux", "-o", "pipefail", "-c", block.commands],
        cwd=folder,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
    )
    printed = "\n".join(done.stdout.splitlines()[-40:])
    assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{printed}"


def reader_environment(home: Path) -> dict[str, str]:
    """The environment of someone who has just activated `.venv`; settings and caches in `home`."""
    names = {"name": "reader", "email": "reader@example.org"}
    people = {
        f"GIT_{role}_{field.upper()}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in names.items()
    }
    kept = environment(
        HOME=str(home),
        XDG_CACHE_HOME=str(home / ".cache"),
        XDG_CONFIG_HOME=str(home / ".config"),
        DVC_SITE_CACHE_DIR=str(home / ".site"),
        HSC_RUNS=str(home / "runs"),
        HSC_DOWNLOADS=str(home / "downloads"),
        HSC_PROCESSES="1",
        HSC_WORKERS="0",
        PATH=f"{Path(sys.prefix) / 'bin'}:/usr/bin:/bin",
        **people,
    )
    outside = ("PYTHONPATH", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "XDG_DATA_HOME")
    return {name: value for name, value in kept.items() if name not in outside}


def copy_repository(target: Path) -> None:
    """Copy what git has or would add, with tiny settings and without the run that is committed.

    `.venv` becomes a folder of links to this interpreter's environment, in which nothing is
    missing, so that `make` installs nothing. The stages do not depend on their code: DVC writes
    its lock file after every stage, and with the 800 code files in it that takes most of the time.
    """
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    for name in listed:
        if (ROOT / name).is_file() and name != "dvc.lock":
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)
    write_settings(target)
    leave_out_code(target / "dvc.yaml")
    link_environment(target / ".venv")


def leave_out_code(pipeline: Path) -> None:
    """Take the code files out of the dependencies of every stage."""
    values = yaml.safe_load(pipeline.read_text(encoding="utf-8"))
    for stage in values["stages"].values():
        body = stage.get("do", stage)
        body["deps"] = [path for path in body.get("deps", []) if not path.endswith(".py")]
    write_yaml(pipeline, values)


def link_environment(folder: Path) -> None:
    """Make `folder` this interpreter's environment, as if installed after everything in it."""
    folder.mkdir()
    for entry in Path(sys.prefix).iterdir():
        if entry.name != ".installed":
            (folder / entry.name).symlink_to(entry)
    (folder / ".installed").touch()
