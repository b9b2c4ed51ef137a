"""A throwaway clone with tiny settings in which everything has run once, and copies of it."""

import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.command_blocks import copy_repository, reader_environment
from tests.stage_runs import PlainStage, change, stages

MADE = ("outputs", "metrics", "plots")
_LONG = 300  # seconds after which a command hangs
_TICK = 0.01  # seconds between two looks at a command


@dataclass(frozen=True)
class Ended:
    """How a command ended. code: None where it was killed or hung."""

    code: int | None
    text: str
    seconds: float

    @property
    def is_told(self) -> bool:
        """Whether it ended with an error that is meant for people: one, and no traceback."""
        errors = [
            line for line in self.text.splitlines() if line.startswith(("Error: ", "ERROR: "))
        ]
        return self.code not in (0, None) and bool(errors) and "Traceback" not in self.text


class Clone:
    """A repository with a DVC cache of its own; commands run in it with one thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.variables = reader_environment(folder.parent) | {
            "PYTHONDONTWRITEBYTECODE": "1",
            "TMPDIR": str(folder.parent),
        }

    def run(
        self,
        *words: str,
        kill_after: float | None = None,
        kill_when: Callable[[], object] = lambda: False,
        **variables: str,
    ) -> Ended:
        """Run a command. After `kill_after` seconds its whole process group gets SIGKILL.

        So it does as soon as `kill_when` says something true.
        """
        start = time.monotonic()
        process = subprocess.Popen(
            words, cwd=self.folder, env=self.variables | variables, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        )  # fmt: skip
        while True:
            left = start + (kill_after or _LONG) - time.monotonic()
            try:
                text, _ = process.communicate(timeout=max(0, min(left, _TICK)))
                code: int | None = process.returncode
                break
            except subprocess.TimeoutExpired:
                if left <= 0 or kill_when():
                    os.killpg(process.pid, signal.SIGKILL)
                    text, _ = process.communicate()
                    code = None
                    break
        return Ended(code, text, time.monotonic() - start)

    def stage(self, stage: PlainStage, **how: Any) -> Ended:
        """Run a stage's script as DVC does: what it writes is removed first. how: as of `run`."""
        stage.clear(self.folder)
        _, *words = shlex.split(stage.cmd)
        return self.run(sys.executable, *words, **how)

    def dvc(self, *words: str, kill_after: float | None = None, **variables: str) -> Ended:
        """Run a DVC command."""
        return self.run("dvc", *words, kill_after=kill_after, **variables)

    def copy(self, folder: Path) -> "Clone":
        """Another one, its files linked into a cache of its own as they are here."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "-a", str(self.folder), str(folder)], check=True)
        return Clone(folder)

    def digests(self) -> dict[str, str]:
        """SHA-256 of everything that the stages made, and of what a killed one left behind."""
        files = [path for name in MADE for path in (self.folder / name).rglob("*")]
        return {
            path.relative_to(self.folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(files)
            if path.is_file() and path.name not in (".gitignore", "README.md")
        }


def make_first(folder: Path) -> tuple[Clone, dict[str, float]]:
    """A clone in which the whole pipeline has run once, undisturbed; seconds of each stage alone.

    EPS with HSC and PSA, so that every stage works and reads all that it can.
    """
    copy_repository(folder)
    shutil.rmtree(folder / ".venv")
    change(folder / "params.yaml", baseline="eps", psa__enabled=True)
    clone = Clone(folder)
    for words in (["git", "init", "-q"], ["git", "add", "-A"], ["git", "commit", "-qm", "code"]):
        assert clone.run(*words).code == 0
    done = clone.dvc("repro")
    assert done.code == 0, done.text
    seconds, before = {}, clone.digests()
    for stage in stages():
        done = clone.stage(stage)
        assert done.code == 0, done.text
        seconds[stage.name] = done.seconds
    assert clone.digests() == before, "the same bytes without DVC"
    assert clone.dvc("checkout", "--relink").code == 0
    assert (folder / "outputs" / "cam.pt").stat().st_nlink > 1, "linked into the cache"
    return clone, seconds


def small_disk(folder: Path, size: int) -> None:
    """Mount an empty disk of so many bytes. Raises CalledProcessError where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    subprocess.run(["mount", *options], check=True, capture_output=True)


def unmount(folder: Path) -> None:
    """Take the disk away again."""
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no room on the disk; returns the file that takes it."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as stream:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while stream.write(b"\1" * size) == size:
                    pass
            except OSError:
                continue
    return filler


def may_mount(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether disks can be mounted here: by root outside of most containers."""
    probe = ["unshare", "--mount", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True, env=dict(environment)).returncode == 0
