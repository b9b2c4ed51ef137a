"""Freed memory is kept: the pages of an array are faulted in once, not at every use."""

import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys

import numpy as np

from hsc.base.memory import keep_freed_memory

if sys.argv[1] == "keep":
    keep_freed_memory()

def use():
    # in several arrays, the last of which lies at the end of the heap
    arrays = [np.ones(12_000_000, dtype=np.uint8) for _ in range(4)]
    del arrays

use()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    use()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's")
def test_pages_are_faulted_in_once() -> None:
    kept, not_kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True).stdout)
        for how in ("keep", "as it is")
    )
    assert kept < 1000
    assert not_kept > 10 * kept
