"""One training step at the papers' size: seconds, peak memory, finite terms, the contrast's share.

    python -m benchmarks.full_step --batch 2 --steps 3 --out benchmarks/results/full_step_cpu.json

ResNet-38 with random weights, pictures of noise (the arithmetic does not look at them), views of
448 and 128 pixels, SGD, the constants of params.yaml. Medians are reported, and every step's time.
"""

import json
import platform
import resource
import statistics
import time
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from hsc.data.classes import VOC_CLASSES
from hsc.engine.runtime import Runtime, detect_runtime, seed_torch
from hsc.methods.method import Method
from hsc.methods.training import build_method, cam_optimiser
from hsc.params.base import AugmentationParams
from hsc.params.method import choose
from hsc.params.recipe import NetworkParams, TrainCamParams, load
from hsc.params.run import RunParams

VARIANTS = (
    ("seam", "none"), ("seam", "ppc"), ("seam", "hsc"), ("eps", "none"), ("eps", "hsc"),
)  # fmt: skip


def parameters(batch: int, crop: int, view2: int, kernels: str) -> TrainCamParams:
    """SEAM's published recipe (SGD 0.01, batch 8, 448 pixels) with this batch."""
    return TrainCamParams(
        steps=1000, batch_size=batch, optimiser="sgd", lr=0.01, lr_bias=2, lr_new=10,
        lr_projector=10, weight_decay=5e-4, momentum=0, power=0.9, checkpoint_every=1000,
        clip_norm=None,
        view2_size=view2, head_dropout=0, crf_size=view2, crf_kernels=kernels,
        loss_resolution="pixels",
        augmentation=AugmentationParams(
            crop_size=crop, resize_longest=(crop, crop), flip=0.5, brightness=0.3, contrast=0.3,
            saturation=0.3, hue=0.1,
        ),
    )  # fmt: skip


def random_batch(batch: int, crop: int, device: torch.device) -> dict[str, Tensor]:
    """Noise, two tags a picture, a disc as saliency."""
    tags = torch.zeros(batch, len(VOC_CLASSES))
    for i in range(batch):
        tags[i, [(3 * i) % 20, (7 * i + 1) % 20]] = 1
    side = torch.linspace(-1, 1, crop)
    disc = (side[:, None] ** 2 + side**2 < 0.4).float().expand(batch, 1, -1, -1)
    image = torch.randn(batch, 3, crop, crop)
    return {
        "image": image.to(device, memory_format=torch.channels_last),
        "tags": tags.to(device),
        "saliency": disc.contiguous().to(device),
    }


def step(
    method: Method, optimiser: Any, batch: dict[str, Tensor], runtime: Runtime
) -> tuple[float, dict[str, float]]:
    """Seconds of one whole step, and its loss terms."""
    start = time.perf_counter()
    with runtime.autocast():
        terms = method.losses(batch)
    optimiser.zero_grad(set_to_none=True)
    terms["loss"].backward()
    optimiser.step()
    method.commit()
    values = {name: float(term.detach()) for name, term in terms.items()}  # waits for a GPU, too
    return time.perf_counter() - start, values


def build(
    run: RunParams, baseline: str, contrast: str, how: TrainCamParams, runtime: Runtime
) -> tuple[Method, Any]:
    """The method on ResNet-38 and its optimiser, on the device."""
    network = NetworkParams(
        backbone="resnet38", output_stride=8, pcm_low=64, pcm_mid=128, pcm_out=192,
        projector_class=256, projector_pixel=128,
    )  # fmt: skip
    variant = run.model_copy(update={"baseline": baseline, "contrast": contrast})
    choice = choose(variant, Path("params.yaml"))
    method = build_method(VOC_CLASSES, choice, network, how)
    method.to(runtime.device, memory_format=torch.channels_last).train()
    return method, cam_optimiser(method, how)


def contrast_seconds(method: Method, batch: dict[str, Tensor], runtime: Runtime) -> float | None:
    """Seconds of the projectors and the contrast with its CRF alone, forward and backward.

    Two steps' times differ by more than this on a busy machine, so it is taken by itself, on what
    the step gives it. None without a contrast.
    """
    if method.contrast is None:
        return None
    given: list[Any] = []
    features: list[Tensor] = []
    hooks = [
        method.contrast.register_forward_hook(lambda module, args, result: given.append(args)),
        method.network.register_forward_hook(
            lambda module, args, result: features.append(result.features)
        ),
    ]
    with torch.no_grad(), runtime.autocast():
        method.losses(batch)
    for hook in hooks:
        hook.remove()
    maps, _, image, tags = given[0]
    leaves = [found.detach().requires_grad_() for found in features]
    start = time.perf_counter()
    with runtime.autocast():
        embeddings = tuple(
            (
                None
                if method.network.projector_class is None
                else method.network.projector_class(f),
                method.network.projector_pixel(f),
            )
            for f in leaves
        )
    total = sum(method.contrast(maps, embeddings, image, tags).values())
    total.backward()
    if runtime.device.type == "cuda":
        torch.cuda.synchronize(runtime.device)
    return time.perf_counter() - start


def peak_bytes(device: torch.device) -> int:
    """Of the device since the last reset, or of the process since its start."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@click.command()
@click.option("--batch", default=2, show_default=True)
@click.option("--steps", default=3, show_default=True, help="Measured steps of each variant.")
@click.option("--crop", default=448, show_default=True)
@click.option("--view2", default=128, show_default=True)
@click.option("--kernels", type=click.Choice(["exact", "lattice"]), default="lattice")
@click.option("--variants", default="", help="For instance seam+none,seam+hsc; all without it.")
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(
    batch: int, steps: int, crop: int, view2: int, kernels: str, variants: str, out: Path
) -> None:
    """Measure a step of each variant and write the results as JSON."""
    runtime = detect_runtime()
    run, _ = load(Path("params.yaml"), Path("recipes"))
    how = parameters(batch, crop, view2, kernels)
    wanted = [tuple(name.split("+")) for name in variants.split(",")] if variants else VARIANTS
    rows: dict[str, dict[str, Any]] = {}
    for baseline, contrast in wanted:
        seed_torch(0)
        if runtime.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        method, optimiser = build(run, baseline, contrast, how, runtime)
        data = random_batch(batch, crop, runtime.device)
        seconds, terms = zip(
            *(step(method, optimiser, data, runtime) for _ in range(steps + 1)), strict=True
        )
        rows[f"{baseline}+{contrast}"] = {
            "seconds": [round(value, 4) for value in seconds[1:]],  # the first one allocates
            "median_seconds": round(statistics.median(seconds[1:]), 4),
            "images_per_second": round(batch / statistics.median(seconds[1:]), 3),
            "peak_bytes": peak_bytes(runtime.device),
            "contrast_seconds": contrast_seconds(method, data, runtime),
            "finite": all(abs(v) < float("inf") for each in terms for v in each.values()),
            "terms": {name: round(value, 5) for name, value in terms[-1].items()},
        }
        print(baseline, contrast, rows[f"{baseline}+{contrast}"], flush=True)
        del method, optimiser
    cuda = runtime.device.type == "cuda"
    result = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "CPU",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "precision": "bf16" if runtime.bf16 else "fp32",
        "batch": batch, "crop": crop, "view2": view2, "crf_kernels": kernels,
        "rows": rows,
    }  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
