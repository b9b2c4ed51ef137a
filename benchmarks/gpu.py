"""What a GPU makes of it: training steps, CAM inference, CRF and PAR, each beside a plain version.

    python -m benchmarks.gpu --out gpu.json

One command for a machine with a GPU and torch, without DVC or pydensecrf. The most important lines
come first, each is written as soon as it is there, and none is begun after `--seconds`. A line that
fails, for want of memory say, has its error in place of its figures.

The plain step of SEAM + HSC and EPS + HSC is that of `reference_step`, with the published CRF where
pydensecrf is there and without one elsewhere; that of the others is the method's own. It is in
fp32, its tensors as they come (no channels last), its optimiser a loop over the weights. Seconds
are medians, behind one that is not counted. On a CPU the same lines are measured, to try the
command with small sizes.
"""

import importlib.util
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import step
from benchmarks.parts import cam_inference, par, training_crf, training_step
from benchmarks.reference_step import PlainStep
from benchmarks.surroundings import surroundings
from hsc.base.cli import PATH, command
from hsc.base.files import write_json
from hsc.cam.inference import infer_cam, scale_picture
from hsc.crf import mean_field
from hsc.crf.dense import TRAINING_CRF
from hsc.crf.par import refine as refine_by_par
from hsc.engine.runtime import Runtime, seed_torch

METHODS = (
    "seam+hsc", "eps+hsc", "seam+none", "eps+none", "cam+none", "seam+ppc", "seam+dscnet",
    "eps+ppc", "eps+dscnet", "cam+hsc", "cam+ppc", "cam+dscnet",
)  # fmt: skip


class Kind(NamedTuple):
    """A way to run a step."""

    name: str
    bf16: bool
    plain: bool


KINDS = (Kind("plain", False, True), Kind("fp32", False, False), Kind("bf16", True, False))


class Sizes(NamedTuple):
    """Of a batch, a picture of the inference, the labels' CRF, a picture's CRF, and of a matrix."""

    step: step.Size
    picture: tuple[int, int]
    crf_side: int
    matrix: int
    repeats: int


PAPERS = Sizes(step.Size(8, 448, 128, "lattice"), (375, 500), 128, 8192, 5)
SMALL = Sizes(step.Size(2, 32, 16, "lattice"), (24, 32), 16, 256, 1)

Line = tuple[str, Callable[[], dict[str, Any]]]


def lines(sizes: Sizes, device: torch.device) -> Iterator[Line]:
    """Names of the lines and what measures each, in order."""
    for bf16 in (True, False):
        yield f"matrix product {_precision(bf16)}", lambda bf16=bf16: matrix(sizes, device, bf16)
    for name in METHODS[:4]:
        yield from steps(name, sizes, device)
    yield "CAM inference", lambda: inference(sizes, device)
    yield "CRF of a batch's labels", lambda: labels_crf(sizes, device)
    yield "CRF of a picture", lambda: picture_crf(sizes, device)
    yield "PAR of a batch's labels", lambda: labels_par(sizes, device)
    for name in METHODS[4:]:
        yield from steps(name, sizes, device)


def steps(name: str, sizes: Sizes, device: torch.device) -> Iterator[Line]:
    """A method's step in each way."""
    for kind in KINDS:
        yield f"{name} {kind.name}", lambda kind=kind: training(name, kind, sizes, device)


def training(name: str, kind: Kind, sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Seconds and peak memory of a step, its arithmetic, and what of it is the contrast."""
    seed_torch(0)
    runtime = Runtime(device, kind.bf16, 0)
    method, optimiser = step.method(name, sizes.step)
    layout = torch.contiguous_format if kind.plain else torch.channels_last
    objective = method.to(device, memory_format=layout)
    if kind.plain:
        for group in optimiser.param_groups:
            group["fused"] = group["foreach"] = False
        if name in training_step.NAMES:
            has_crf = importlib.util.find_spec("pydensecrf") is not None
            side = training_step.CRF_SIDE if has_crf else 0
            objective = PlainStep(method, sizes.step.view2, side)
    batch = step.random_batch(sizes.step, device)
    batch["image"] = batch["image"].contiguous(memory_format=layout)
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    with FlopCounterMode(display=False) as counted:
        step.step(objective, optimiser, batch, runtime)
    times = [step.step(objective, optimiser, batch, runtime)[0] for _ in range(sizes.repeats + 1)][
        1:
    ]
    seconds, flops = statistics.median(times), counted.get_total_flops()
    return {
        "seconds": seconds,
        "all_seconds": times,
        "pictures_per_second": sizes.step.batch / seconds,
        "peak_bytes": step.peak_bytes(device),
        "flops": flops,
        "flops_per_second": flops / seconds,
        "contrast_seconds": step.contrast_seconds(method, batch, runtime),
    }


def inference(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """A picture at SEAM's scales with flips: in its way, and ours in both precisions."""
    torch.manual_seed(0)
    plain = cam_inference.resnet38().to(device)
    ours = Runtime(device, False, 0).ready(cam_inference.resnet38(plain))
    picture = cam_inference.picture(sizes.picture)
    batches = [each.to(device) for each in scale_picture(picture, cam_inference.SCALES, flip=True)]
    tags = cam_inference.TAGGED

    def fast(bf16: bool) -> Tensor:
        with Runtime(device, bf16, 0).autocast():
            return infer_cam(ours, batches, tags, sizes.picture, "refined", "relu")

    return compared(
        sizes,
        device,
        plain=lambda: cam_inference.plain(plain, batches, tags, sizes.picture),
        fp32=lambda: fast(False),
        bf16=lambda: fast(True),
    )


def labels_crf(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Two labellings of each picture of a batch, there and on one core."""
    images, labels = drawn(sizes)

    def refine(where: torch.device) -> Callable[[], Tensor]:
        given = images.to(where), labels.to(where)
        return lambda: mean_field.refine_labels(
            *given, training_crf.LABELS, TRAINING_CRF, kernels="lattice"
        )

    return compared(sizes, device, core=on_one_core(refine), device=refine(device))


def picture_crf(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Probabilities of three labels on a whole picture, there and on one core."""
    image = torch.from_numpy(cam_inference.picture(sizes.picture))[None]
    unary = torch.rand(1, 3, *sizes.picture, generator=torch.Generator().manual_seed(0))

    def refine(where: torch.device) -> Callable[[], Tensor]:
        given = image.to(where), unary.to(where)
        return lambda: mean_field.infer(*given, TRAINING_CRF)

    return compared(sizes, device, core=on_one_core(refine), device=refine(device))


def labels_par(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Maps of a batch, every neighbour copied, and none."""
    images, _ = drawn(sizes)
    image = images.permute(0, 3, 1, 2).contiguous().to(device)
    maps = torch.rand(len(image), par.MAPS, *image.shape[2:]).to(device)
    return compared(
        sizes,
        device,
        plain=lambda: par.plain(image, maps),
        device=lambda: refine_by_par(image, maps, par.ITERATIONS),
    )


def matrix(sizes: Sizes, device: torch.device, bf16: bool) -> dict[str, Any]:
    """What the device reaches in a product of two square matrices."""
    dtype = torch.bfloat16 if bf16 else torch.float32
    a = torch.randn(sizes.matrix, sizes.matrix, device=device, dtype=dtype)
    seconds = median(lambda: a @ a, sizes, device)
    return {"seconds": seconds, "flops_per_second": 2 * sizes.matrix**3 / seconds}


def drawn(sizes: Sizes) -> tuple[Tensor, Tensor]:
    """Pictures (N, S, S, 3) float32 in 0..255 and labels (2, N, S, S)."""
    images, labels = training_crf.batch()
    side, count = sizes.crf_side, -(-sizes.step.batch // len(images))
    pictures = torch.from_numpy(images).float().repeat(count, 1, 1, 1)[: sizes.step.batch]
    both = torch.from_numpy(labels).repeat(1, count, 1, 1)[:, : sizes.step.batch]
    return pictures[:, :side, :side], both[:, :, :side, :side].contiguous()


def on_one_core(work: Callable[[torch.device], Callable[[], Tensor]]) -> Callable[[], Tensor]:
    on_cpu = work(torch.device("cpu"))

    def run() -> Tensor:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return on_cpu()
        finally:
            torch.set_num_threads(before)

    return run


def compared(
    sizes: Sizes, where: torch.device, /, **versions: Callable[[], Tensor]
) -> dict[str, Any]:
    """Seconds of each version, and how far the results of the others are from the first one's."""
    first, *others = versions
    expected = versions[first]().float().cpu()
    return {
        "seconds": {name: median(run, sizes, where) for name, run in versions.items()},
        "difference": {
            name: (versions[name]().float().cpu() - expected).abs().max().item() for name in others
        },
    }


def median(run: Callable[[], Any], sizes: Sizes, device: torch.device) -> float:
    """Seconds of a call, which has run before."""
    times = []
    for _ in range(sizes.repeats + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def _precision(bf16: bool) -> str:
    return "bf16" if bf16 else "fp32"


def ratios(found: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How many times as fast as its plain version each method's step is, and bf16's part of the
    device's matrix product; of the others the first version's seconds over each other's.
    """
    told: dict[str, float] = {}
    reached = found.get("matrix product bf16", {}).get("flops_per_second")
    for name, kind in itertools.product(METHODS, KINDS[1:]):
        plain, line = found.get(f"{name} plain", {}), found.get(f"{name} {kind.name}", {})
        if "seconds" in plain and "seconds" in line:
            told[f"{name} {kind.name}"] = plain["seconds"] / line["seconds"]
        if kind.bf16 and reached and "seconds" in line:
            told[f"{name}, part of the product"] = line["flops_per_second"] / reached
    for title, line in found.items():
        if isinstance(line.get("seconds"), dict):
            (_, first), *others = line["seconds"].items()
            told |= {f"{title} {name}": first / seconds for name, seconds in others}
    return told


@command
@click.option("--out", type=PATH, required=True, help="Results (JSON).")
@click.option("--seconds", default=480.0, help="After which no line is begun.")
@click.option("--small", is_flag=True, help="Small pictures: does it run?")
def main(out: Path, seconds: float, small: bool) -> str:
    """Measure on the GPU, or where there is none on the CPU, and write after each line."""
    until = time.monotonic() + seconds
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    where, found = surroundings(), {}
    for name, measured in lines(SMALL if small else PAPERS, device):
        if time.monotonic() > until:
            break
        try:
            found[name] = measured()
        except RuntimeError as error:  # of torch: out of memory, no kernel
            found[name] = {"error": str(error)[:500]}
        write_json(out, where | {"small": small, "lines": found, "ratios": ratios(found)})
        click.echo(f"{name}: {found[name]}")
    return f"{out}: {len(found)} lines"


if __name__ == "__main__":
    main()
