"""Running programs on a terminal: what they show to people."""

import os
import pty
import select
import subprocess
import termios
from collections.abc import Mapping, Sequence
from pathlib import Path


def run_on_terminal(
    command: Sequence[str],
    folder: Path,
    variables: Mapping[str, str],
    columns: int = 100,
    stdout: int | None = None,
    timeout: float = 300,
) -> subprocess.CompletedProcess[str]:
    """Run `command` in `folder` with a terminal of 40 lines; its `stderr` is what that was sent.

    stdout: as of subprocess; None for the terminal too.
    """
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (40, columns))
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdin=theirs,
        stdout=theirs if stdout is None else stdout,
        stderr=theirs,
    )
    os.close(theirs)
    sent = b"".join(iter(lambda: _next(ours, timeout), b""))
    os.close(ours)
    printed, _ = process.communicate(timeout=timeout)
    said = None if printed is None else printed.decode()
    return subprocess.CompletedProcess(command, process.returncode, said, sent.decode())


def _next(terminal: int, timeout: float) -> bytes:
    """What comes next; nothing when every process has let go of the terminal, or is too slow."""
    if not select.select([terminal], [], [], timeout)[0]:
        return b""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux tells the end
        return b""
