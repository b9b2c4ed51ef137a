"""The commands that the pages tell their readers to type.

The runnable blocks are run in a copy of the repository with tiny settings, in which the default
run has been made already (each stage in this process, which test_pipeline.py does as DVC does).
README's come first; every other page goes on from a copy of what they leave.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.command_blocks import (
    PAGES,
    REASONS,
    RUNNABLE,
    Block,
    command_blocks,
    copy_repository,
    hidden_commands,
    link_environment,
    reader_environment,
    run_block,
)
from tests.stage_runs import ROOT, run_well, stages

BLOCKS = [
    block
    for page in PAGES
    for block in command_blocks(page, (ROOT / page).read_text(encoding="utf-8"))
]
FIRST = "README.md"
OTHERS = [page for page in PAGES if page != FIRST and (page, RUNNABLE) in
          {(block.page, mark) for block in BLOCKS for mark in block.marks}]  # fmt: skip


class Clone(NamedTuple):
    """A repository to type commands in, and the environment to do so."""

    folder: Path
    variables: dict[str, str]

    def run(self, commands: str) -> None:
        run_block(Block("here", 0, "sh", (), commands), self.folder, self.variables)

    def follow(self, page: str) -> None:
        """Run the page's runnable blocks in their order."""
        for block in BLOCKS:
            if block.page == page and RUNNABLE in block.marks:
                run_block(block, self.folder, self.variables)

    def copy(self, place: Path) -> "Clone":
        """Another one, which shares the DVC cache."""
        skipped = shutil.ignore_patterns(".venv")
        folder = Path(shutil.copytree(self.folder, place / "hsc", symlinks=True, ignore=skipped))
        link_environment(folder / ".venv")
        return Clone(folder, self.variables)


@pytest.fixture(scope="session")
def default_run(tmp_path_factory: pytest.TempPathFactory, cpu: None) -> Clone:
    """The repository after `dvc repro`, committed: what a clone is after `dvc pull`."""
    place = tmp_path_factory.mktemp("commands")
    (place / "home").mkdir()
    clone = Clone(place / "hsc", reader_environment(place / "home"))
    copy_repository(clone.folder)
    for each in stages():
        each.clear(clone.folder)
        run_well(each, clone.folder)
    cache = place / "cache"
    clone.run(
        f"git init --quiet\n"
        f"dvc config --quiet --local cache.dir {cache}\n"
        f"dvc commit --quiet --force\n"
        f"git add --all\n"
        f"git commit --quiet --message 'The default run'\n"
    )
    return clone


@pytest.fixture(scope="session")
def after_readme(default_run: Clone, tmp_path_factory: pytest.TempPathFactory) -> Clone:
    clone = default_run.copy(tmp_path_factory.mktemp("readme"))
    clone.follow(FIRST)
    return clone


def test_readme(after_readme: Clone) -> None:
    assert any(block.page == FIRST and RUNNABLE in block.marks for block in BLOCKS)
    assert (after_readme.folder / "dvc.lock").is_file()


@pytest.mark.parametrize("page", OTHERS)
def test_page(page: str, after_readme: Clone, tmp_path: Path) -> None:
    after_readme.copy(tmp_path).follow(page)


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.language == "sh", f"{block}: write ```sh"
    assert len(block.marks) == 1, f"{block}: one mark behind `sh`, {RUNNABLE} or a reason"
    assert block.marks[0] in {RUNNABLE, *REASONS}, f"{block}: {block.marks[0]} is no reason"


@pytest.mark.parametrize("page", PAGES)
def test_no_command_hides_in_an_indented_block(page: str) -> None:
    assert hidden_commands(page, (ROOT / page).read_text(encoding="utf-8")) == []


# The blocks of a page


def test_blocks_have_their_page_line_and_marks() -> None:
    text = "# T\n\n```sh runnable\na\nb \\\n  c\n```\n\n```yaml\nx: 1\n```\n```bash\nd\n```\n"
    first, second = command_blocks("p.md", text)
    assert first == Block("p.md", 3, "sh", ("runnable",), "a\nb \\\n  c")
    assert (second.language, second.marks, second.commands) == ("bash", (), "d")
    assert str(second) == "p.md:12"


def test_a_block_of_a_list_is_taken_out_of_it() -> None:
    (block,) = command_blocks("p.md", "1. Do\n\n   ```sh runnable\n   a\n     b\n   ```\n")
    assert block.commands == "a\n  b"


def test_a_fence_inside_a_longer_one_is_text() -> None:
    text = "````md\n```sh runnable\na\n```\n````\n"
    assert command_blocks("p.md", text) == []


def test_a_fence_that_is_not_closed() -> None:
    with pytest.raises(ValueError, match=r"p\.md:2: the fence is not closed"):
        command_blocks("p.md", "x\n```sh runnable\na\n")


@pytest.mark.parametrize(
    "line",
    [
        "    dvc repro",
        "        python -m stages.predict x",
        "    OMP_NUM_THREADS=1 dvc queue start",
        "    $ make test",
        "\tgit push",
    ],
)
def test_an_indented_command_is_found(line: str) -> None:
    assert hidden_commands("p.md", f"Text:\n\n{line}\n") == ["p.md:3"]


@pytest.mark.parametrize(
    "text",
    [
        "Type `dvc repro`.",
        "  dvc repro is a command, in a list",
        "    id,tags",
        "    outputs/data/<name>/",
        "```sh runnable\n    dvc repro\n```",
        "1. x\n\n   ```sh runnable\n   a \\\n     dvc repro\n   ```",
    ],
)
def test_other_text_is_no_hidden_command(text: str) -> None:
    assert hidden_commands("p.md", text) == []


# Running one


def block(commands: str) -> Block:
    return Block("p.md", 7, "sh", (RUNNABLE,), commands)


def test_a_block_runs_in_its_folder_and_environment(tmp_path: Path) -> None:
    run_block(block("echo $WORD > a\npwd >> a"), tmp_path, {"WORD": "w", "PATH": os.defpath})
    assert (tmp_path / "a").read_text() == f"w\n{tmp_path}\n"


@pytest.mark.parametrize(
    "commands",
    ["false\ntouch after", "no_such_command_here\ntouch after", "false | cat\ntouch after",
     "echo $NOT_SET_ANYWHERE\ntouch after"],
)  # fmt: skip
def test_a_broken_command_fails_and_ends_the_block(commands: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"p\.md:7 ended with"):
        run_block(block(commands), tmp_path, {"PATH": os.defpath})
    assert not (tmp_path / "after").exists()


def test_the_end_of_what_was_printed_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"line 99\n.*exit 3"):
        run_block(
            block("for i in {1..99}; do echo line $i; done\nexit 3"), tmp_path, {"PATH": os.defpath}
        )


def test_a_reader_has_nothing_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HSC_DEVICE", "HSC_RUNS", "PYTHONPATH", "MAKEFLAGS"):
        monkeypatch.setenv(name, "ours")
    variables = reader_environment(tmp_path)
    assert "ours" not in variables.values()
    assert variables["HOME"] == str(tmp_path)
    found = subprocess.run(
        ["bash", "-c", "command -v python dvc"], env=variables, capture_output=True, text=True
    )
    assert len(set(map(os.path.dirname, found.stdout.split()))) == 1
