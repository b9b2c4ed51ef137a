"""Where a run happens: device, precision, loader workers. Environment variables, never parameters.

They change the speed, not the science, so they stand in no command and no lock file:
`HSC_DEVICE` (cpu, cuda, cuda:1), `HSC_PRECISION` (fp32, bf16), `HSC_WORKERS` (loader processes);
`HSC_PROCESSES` (CRF processes) is read in `hsc.base.pool`, `HSC_GPUS` in `hsc.base.company`, what
torchrun sets in `hsc.base.launch`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import click
import torch
from torch import nn

from hsc.base.distributed import process_group
from hsc.base.errors import MachineError
from hsc.base.launch import Place, device_name, read_place
from hsc.base.memory import keep_freed_memory


@dataclass(frozen=True)
class Runtime:
    """The device, whether to compute in bfloat16, and the number of loader processes."""

    device: torch.device
    bf16: bool
    workers: int

    def autocast(self) -> torch.autocast:
        """The context in which forward passes and losses run."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    def ready(self, network: nn.Module) -> nn.Module:
        """The network itself, on the device and in eval mode, for inference.

        Channels last is the faster layout for small convolutions, on CPUs and on GPUs.
        """
        return network.to(self.device, memory_format=torch.channels_last).eval()


def detect_runtime(environment: Mapping[str, str] = os.environ) -> Runtime:
    """Read the environment; by default a GPU with bf16 where there is one, else the CPU in fp32.

    Loading happens in the training process on a CPU (it has the cores busy anyway) and in up to
    eight workers beside a GPU. Of several processes that torchrun started, each gets a GPU of its
    own and its part of the cores for workers. Raises HscError for a value that makes no sense here.
    """
    place = read_place(environment)
    keep_freed_memory()
    # A softmax over many cells is full of numbers below 1e-38, with which a CPU computes a hundred
    # times as long: AuxSegNet's steps took five times as long. Threads that start later inherit it.
    torch.set_flush_denormal(True)
    cuda = torch.cuda.is_available()
    name = device_name("HSC_DEVICE", environment.get("HSC_DEVICE", "cuda" if cuda else "cpu"))
    device = torch.device(name)
    if device.type == "cuda" and not cuda:
        raise MachineError(f"HSC_DEVICE: {name!r} asked for, but no GPU is usable; use cpu")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise MachineError(
            f"HSC_DEVICE: {name!r} asked for, but cuda:{torch.cuda.device_count() - 1} is the last"
        )
    if device.type == "cuda" and place.processes > 1:
        device = own_gpu(device, place)
    on_gpu = device.type == "cuda"
    precision = environment.get("HSC_PRECISION", "bf16" if on_gpu else "fp32")
    if precision not in ("fp32", "bf16"):
        raise MachineError(f"HSC_PRECISION: {precision!r} is unknown; use fp32 or bf16")
    cores = max(1, (os.cpu_count() or 1) // place.local_processes)
    default_workers = min(8, cores) if on_gpu else 0
    return Runtime(device, precision == "bf16", _read_workers(environment, default_workers))


@contextlib.contextmanager
def training_runtime() -> Iterator[Runtime]:
    """The runtime of a training, together with the other processes where torchrun started several.

    Raises HscError as `detect_runtime`.
    """
    runtime = detect_runtime()
    if read_place().processes == 1 and (idle := idle_gpus(runtime.device)):
        click.echo(f"Note: {idle} more GPUs are idle; HSC_GPUS=all trains on all of them", err=True)
    with process_group(read_place(), runtime.device):
        yield runtime


def idle_gpus(device: torch.device, environment: Mapping[str, str] = os.environ) -> int:
    """How many GPUs a training on this device leaves aside; none where a number was asked for."""
    asked = {"HSC_GPUS", "CUDA_VISIBLE_DEVICES"} & environment.keys()
    if device.type != "cuda" or device.index is not None or asked:
        return 0
    return torch.cuda.device_count() - 1


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Keep torch to one thread in this process while a pool of processes has the cores.

    Threads that have to wait for a core at the end of every operation made a stage four times as
    slow. It is one for any number of processes, so that none of them changes a bit.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def own_gpu(device: torch.device, place: Place) -> torch.device:
    """The GPU of one of several processes. Raises HscError where there are too few."""
    if device.index is not None:
        raise MachineError(
            f"HSC_DEVICE: '{device}' is one GPU for {place.processes} processes; use cuda, then "
            "each process takes its own"
        )
    if place.local_processes > torch.cuda.device_count():
        raise MachineError(
            f"{place.local_processes} processes on a machine with {torch.cuda.device_count()} "
            "GPUs: give a smaller HSC_GPUS, or torchrun fewer processes, or set HSC_DEVICE=cpu"
        )
    return torch.device("cuda", place.local_rank)


def _read_workers(environment: Mapping[str, str], default: int) -> int:
    text = environment.get("HSC_WORKERS", str(default))
    if not text.isdecimal():
        raise MachineError(f"HSC_WORKERS: {text!r} is no number of processes; use 0, 1, 2, ...")
    return int(text)


def seed_torch(seed: int) -> None:
    """Seed torch and ask for deterministic kernels (a warning where a GPU has none)."""
    torch.manual_seed(seed)
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Only unwritten memory that is read would need it, and it costs a pass over every new tensor.
    torch.utils.deterministic.fill_uninitialized_memory = False
