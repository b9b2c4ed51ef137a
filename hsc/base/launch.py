"""What the environment says of the place: which of how many processes, and names of devices.

Without torch, so that every stage can ask at once.
"""

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from hsc.base.errors import MachineError


class Place(NamedTuple):
    """This process's rank among all `processes`, and among those of its machine; from 0."""

    rank: int = 0
    processes: int = 1
    local_rank: int = 0
    local_processes: int = 1


def read_place(environment: Mapping[str, str] = os.environ) -> Place:
    """The place of this process; a process that was started by itself is the first of one.

    Raises HscError for a `WORLD_SIZE` above 1 without the rest of what torchrun sets.
    """
    if _number(environment, "WORLD_SIZE", "1") <= 1:
        return Place()
    names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    return Place(*(_number(environment, name, "") for name in names))


def device_name(variable: str, name: str) -> str:
    """The name itself, of the CPU or a GPU. Raises HscError, which names the variable, for another.

    Whether there is such a GPU only torch knows.
    """
    if not re.fullmatch(r"cpu|cuda(:[0-9]{1,2})?", name):
        raise MachineError(f"{variable}: {name!r} is no device; use cpu, cuda or cuda:N")
    return name


def _number(environment: Mapping[str, str], name: str, default: str) -> int:
    text = environment.get(name, default)
    if not text.isdecimal():
        raise MachineError(
            f"{name}: {text!r} is no number; start several processes with torchrun, which sets it, "
            "or one with WORLD_SIZE unset"
        )
    return int(text)
