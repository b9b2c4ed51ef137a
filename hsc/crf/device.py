"""Where the dense CRF of whole pictures runs: an environment variable, never a parameter.

Without `HSC_CRF_DEVICE` it is pydensecrf's, in `HSC_PROCESSES` processes; with `cuda`, `cuda:1` or
`cpu` the same lattice in torch, there. Probabilities are equal up to rounding. PAR is torch's, and
runs there or on the CPU.
"""

import os
from collections.abc import Mapping

from hsc.base.errors import MachineError
from hsc.base.launch import device_name
from hsc.base.pool import process_count


def lattice_device(environment: Mapping[str, str] = os.environ) -> str | None:
    """The device of the lattice in torch, None for pydensecrf.

    Raises HscError for what is no device.
    """
    name = environment.get("HSC_CRF_DEVICE", "").strip()
    return device_name("HSC_CRF_DEVICE", name) if name else None


def usable_device(environment: Mapping[str, str] = os.environ) -> str:
    """The device for what is torch's anyway; the CPU where none is named.

    Raises HscError for what is no device, and for a GPU that is not there.
    """
    import torch  # which takes seconds to load

    device = lattice_device(environment) or "cpu"
    if device != "cpu" and not torch.cuda.is_available():
        raise MachineError(f"HSC_CRF_DEVICE: {device!r} asked for, but no GPU is usable; use cpu")
    return device


def crf_processes(environment: Mapping[str, str] = os.environ) -> int:
    """The number of processes that refine: as of `process_count`, and one on a GPU.

    Raises HscError as `process_count` and `lattice_device`.
    """
    on_gpu = (lattice_device(environment) or "cpu") != "cpu"
    return 1 if on_gpu else process_count(environment)
