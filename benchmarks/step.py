"""A pass and a training step at the papers' size: seconds, peak memory, the contrast's share.

    python -m benchmarks.step seam+hsc eps+hsc --out step.json
    python -m benchmarks.step resnet101+aspp --out deeplab.json

What is measured is a method, or a network and the head of a DeepLab, with the settings of
recipes/voc2012.yaml and the constants of params.yaml, on noise (the arithmetic does not look at
it). Each runs in a process of its own, so that its peak of memory is its own. Medians are written,
and every step's time.
"""

import multiprocessing
import resource
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch
from torch import Tensor, nn

from benchmarks.surroundings import surroundings
from hsc.base.cli import PATH, command
from hsc.base.errors import HscError
from hsc.base.files import write_json
from hsc.data.classes import IGNORE, VOC_CLASSES
from hsc.engine.label_training import label_optimiser
from hsc.engine.runtime import Runtime, detect_runtime, seed_torch
from hsc.methods.method import Method
from hsc.methods.training import build_method, cam_optimiser
from hsc.nets.deeplab import deeplab_network
from hsc.params.method import choose
from hsc.params.reading import load, read_recipe
from hsc.params.segmentation import SegmentationNetworkParams
from hsc.segmentation.training import SegmentationObjective, segmentation_spec

PARAMS, RECIPES = Path("params.yaml"), Path("recipes")
LARGEFOV = {"kind": "largefov", "channels": 512, "dilation": 12, "dropout": 0.5,
            "dropout_of": "values"}  # fmt: skip
"""DeepLab v1's head, as docs/segmentation.md has it."""


class Size(NamedTuple):
    """What of the recipe is changed: pictures a batch, sides of the views and of the CRF."""

    batch: int
    crop: int
    view2: int
    kernels: str


def method(name: str, size: Size) -> tuple[Method, Any]:
    """`seam+hsc` on ResNet-38, and its optimiser."""
    baseline, contrast = name.split("+")
    run = load(PARAMS, RECIPES)[0].model_copy(update={"baseline": baseline, "contrast": contrast})
    recipe = read_recipe(RECIPES / "voc2012.yaml")
    sizes = {"view2_size": size.view2, "crf_size": size.view2, "crf_kernels": size.kernels}
    how = recipe.train_cam[baseline].model_copy(update=sizes)
    built = build_method(VOC_CLASSES, choose(run, PARAMS), recipe.network, how)
    return built, cam_optimiser(built, how)


def deeplab(name: str) -> tuple[SegmentationObjective, Any]:
    """`resnet101+aspp`, and its optimiser."""
    backbone, head = name.split("+")
    recipe = read_recipe(RECIPES / "voc2012.yaml")
    heads = {"aspp": recipe.segmentation_network.head, "largefov": LARGEFOV}
    values = {"backbone": backbone, "output_stride": 8, "head": heads[head]}
    network = SegmentationNetworkParams.model_validate(values)
    built = SegmentationObjective(deeplab_network(segmentation_spec(VOC_CLASSES, network)))
    return built, label_optimiser(built.network, recipe.train_segmentation.deeplab)


def random_batch(size: Size, device: torch.device) -> dict[str, Tensor]:
    """Noise, two tags a picture, a disc as saliency, labels of which a tenth is ignored."""
    count, crop, classes = size.batch, size.crop, len(VOC_CLASSES)
    tags = torch.zeros(count, classes)
    for i in range(count):
        tags[i, [(3 * i) % classes, (7 * i + 1) % classes]] = 1
    side = torch.linspace(-1, 1, crop)
    disc = (side[:, None] ** 2 + side**2 < 0.4).float().expand(count, 1, -1, -1)
    label = torch.randint(0, classes + 1, (count, crop, crop))
    label[:, : crop // 10] = IGNORE
    image = torch.randn(count, 3, crop, crop).to(memory_format=torch.channels_last)
    batch = {"image": image, "tags": tags, "saliency": disc.contiguous(), "label": label}
    return {name: tensor.to(device) for name, tensor in batch.items()}


def step(
    objective: nn.Module, optimiser: Any, batch: dict[str, Tensor], runtime: Runtime
) -> tuple[float, dict[str, float]]:
    """Seconds of one whole step, and its loss terms."""
    objective.train()
    start = time.perf_counter()
    with runtime.autocast():
        terms = objective.losses(batch)
    optimiser.zero_grad(set_to_none=True)
    terms["loss"].backward()
    optimiser.step()
    objective.commit()
    values = {name: float(term.detach()) for name, term in terms.items()}  # waits for a GPU, too
    return time.perf_counter() - start, values


@torch.no_grad()
def forward(network: nn.Module, image: Tensor, runtime: Runtime) -> float:
    """Seconds of a pass without gradients."""
    network.eval()
    start = time.perf_counter()
    with runtime.autocast():
        network(image)
    _wait(runtime)
    return time.perf_counter() - start


def contrast_seconds(objective: nn.Module, batch: dict[str, Tensor], runtime: Runtime) -> float:
    """Seconds of the projectors and the contrast with its CRF alone, forward and backward.

    Two steps' times differ by more than this on a busy machine, so it is taken by itself, on what
    the step gives it. 0 without a contrast.
    """
    if not isinstance(objective, Method) or objective.contrast is None:
        return 0.0
    given: list[Any] = []
    views: list[Any] = []
    hooks = [
        objective.contrast.register_forward_hook(lambda module, args, result: given.append(args)),
        objective.network.register_forward_hook(lambda module, args, result: views.append(result)),
    ]
    with torch.no_grad(), runtime.autocast():
        objective.losses(batch)
    for hook in hooks:
        hook.remove()
    maps, _, image, tags = given[0]
    features = [view.features.detach().float().requires_grad_() for view in views]  # as the method
    leaves = [view._replace(features=own) for view, own in zip(views, features, strict=True)]
    start = time.perf_counter()
    embeddings = tuple(map(objective.embeddings, leaves))
    sum(objective.contrast(maps, embeddings, image, tags).values()).backward()
    _wait(runtime)
    return time.perf_counter() - start


def measure(name: str, size: Size, steps: int, threads: int) -> dict[str, Any]:
    """The line of one method or network."""
    runtime = detect_runtime()
    torch.set_num_threads(threads)
    seed_torch(0)
    is_method = name.split("+")[0] in {"cam", "seam", "eps"}
    objective, optimiser = method(name, size) if is_method else deeplab(name)
    objective.to(runtime.device, memory_format=torch.channels_last)
    batch = random_batch(size, runtime.device)
    # the first of each allocates
    passes = [forward(objective.network, batch["image"], runtime) for _ in range(steps + 1)][1:]
    forward_peak = peak_bytes(runtime.device)
    trained = [step(objective, optimiser, batch, runtime) for _ in range(steps + 1)][1:]
    times, terms = [seconds for seconds, _ in trained], [values for _, values in trained]
    return {
        "weights": sum(parameter.numel() for parameter in objective.parameters()),
        "forward_seconds": [round(value, 4) for value in passes],
        "forward_median_seconds": round(statistics.median(passes), 4),
        "forward_peak_bytes": forward_peak,
        "step_seconds": [round(value, 4) for value in times],
        "step_median_seconds": round(statistics.median(times), 4),
        "step_peak_bytes": peak_bytes(runtime.device),
        "contrast_seconds": round(contrast_seconds(objective, batch, runtime), 4),
        "finite": all(abs(value) < float("inf") for each in terms for value in each.values()),
        "terms": {key: round(value, 5) for key, value in terms[-1].items()},
    }


def peak_bytes(device: torch.device) -> int:
    """Of the device, or of the process, since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _wait(runtime: Runtime) -> None:
    if runtime.device.type == "cuda":
        torch.cuda.synchronize(runtime.device)


@command
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@click.option("--batch", default=2, help="Pictures.")
@click.option("--steps", default=3, help="Measured passes and steps of each.")
@click.option("--crop", default=448, help="Side of the pictures.")
@click.option("--view2", default=128, help="Side of view 2, and of the CRF.")
@click.option("--kernels", type=click.Choice(["exact", "lattice"]), default="lattice")
@click.option("--out", type=PATH, required=True, help="Results (JSON).")
def main(
    names: tuple[str, ...], batch: int, steps: int, crop: int, view2: int, kernels: str, out: Path
) -> str:
    """Measure each NAME, `seam+hsc` or `resnet101+aspp`, in a process of its own."""
    for name in names:
        if name.count("+") != 1:
            raise HscError(f"{name}: write BASELINE+CONTRAST or BACKBONE+HEAD, such as seam+none")
    size, threads = Size(batch, crop, view2, kernels), torch.get_num_threads()
    where, runtime = surroundings(), detect_runtime()
    rows = {}
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for name in names:
            rows[name] = pool.submit(measure, name, size, steps, threads).result()
            click.echo(f"{name}: {rows[name]}")
    precision = "bf16" if runtime.bf16 else "fp32"
    write_json(
        out, where | {"threads": threads, "precision": precision} | size._asdict() | {"rows": rows}
    )
    return f"{out}: {len(rows)} rows"


if __name__ == "__main__":
    main()
