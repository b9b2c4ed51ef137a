"""A forward pass and a training step of the published segmentation networks at their size.

    python -m benchmarks.segmentation_step --batch 2 --steps 3 \
        --out benchmarks/results/segmentation_step_cpu.json

Random weights, pictures and labels of noise (the arithmetic does not look at them), the published
heads and SGD. Each network runs in a process of its own, so that its peak of memory is its own.
Medians are reported, every pass's time, and how busy the machine was.
"""

import json
import multiprocessing
import os
import platform
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor

from benchmarks.full_step import peak_bytes
from hsc.data.classes import IGNORE, VOC_CLASSES
from hsc.engine.label_training import label_optimiser
from hsc.engine.runtime import Runtime, detect_runtime, seed_torch
from hsc.nets.deeplab import deeplab_network
from hsc.params.segmentation import SegmentationNetworkParams, TrainSegmentationParams
from hsc.segmentation.training import SegmentationObjective, segmentation_spec

_ASPP = {"kind": "aspp", "channels": 256, "rates": [6, 12, 18, 24], "pooled_norm": True}
_LARGEFOV = {"kind": "largefov", "channels": 512, "dilation": 12}
_DROPOUT = {"dropout": 0.5, "dropout_of": "values"}
NETWORKS = {
    "resnet101+aspp": ("resnet101", _ASPP),
    "resnet101s+aspp": ("resnet101s", _ASPP),
    "resnet38+largefov": ("resnet38", _LARGEFOV),
}


def network(name: str) -> SegmentationNetworkParams:
    """One of `NETWORKS` at output stride 8."""
    backbone, head = NETWORKS[name]
    return SegmentationNetworkParams.model_validate(
        {"backbone": backbone, "output_stride": 8, "head": head | _DROPOUT}
    )


def training(batch: int, crop: int) -> TrainSegmentationParams:
    """The published recipe with this batch and crop."""
    return TrainSegmentationParams.model_validate(
        {
            "initial_weights": "none", "steps": 20000, "batch_size": batch, "optimiser": "sgd",
            "lr": 1e-3, "lr_bias": 2, "lr_new": 10, "weight_decay": 5e-4, "momentum": 0.9,
            "power": 0.9, "checkpoint_every": 500,
            "augmentation": {
                "crop_size": crop, "scale": (0.5, 1.5), "flip": 0.5, "brightness": 0,
                "contrast": 0, "saturation": 0, "hue": 0, "hsv": 10,
            },
        }
    )  # fmt: skip


def random_batch(batch: int, crop: int, device: torch.device) -> dict[str, Tensor]:
    """Noise, and labels of which a tenth is ignored."""
    label = torch.randint(0, len(VOC_CLASSES) + 1, (batch, crop, crop))
    label[:, : crop // 10] = IGNORE
    image = torch.randn(batch, 3, crop, crop)
    return {
        "image": image.to(device, memory_format=torch.channels_last),
        "label": label.to(device),
    }


def wait(runtime: Runtime) -> None:
    """Until a GPU has done what it was given."""
    if runtime.device.type == "cuda":
        torch.cuda.synchronize(runtime.device)


def forward(
    objective: SegmentationObjective, batch: dict[str, Tensor], runtime: Runtime
) -> tuple[float, list[int]]:
    """Seconds of a pass without gradients, and the shape of the logits."""
    objective.eval()
    wait(runtime)
    start = time.perf_counter()
    with torch.no_grad(), runtime.autocast():
        logits = objective.network(batch["image"])
    wait(runtime)
    return time.perf_counter() - start, list(logits.shape)


def step(
    objective: SegmentationObjective, optimiser: Any, batch: dict[str, Tensor], runtime: Runtime
) -> tuple[float, float]:
    """Seconds of a training step, and its loss."""
    objective.train()
    wait(runtime)
    start = time.perf_counter()
    with runtime.autocast():
        loss = objective.losses(batch)["loss"]
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    optimiser.step()
    wait(runtime)
    return time.perf_counter() - start, float(loss.detach())


def measure(name: str, batch: int, crop: int, steps: int, threads: int) -> dict[str, Any]:
    """The line of one network."""
    runtime = detect_runtime()
    torch.set_num_threads(threads)
    seed_torch(0)
    objective = SegmentationObjective(
        deeplab_network(segmentation_spec(VOC_CLASSES, network(name)))
    )
    objective.to(runtime.device, memory_format=torch.channels_last)
    optimiser = label_optimiser(objective.network, training(batch, crop))
    data = random_batch(batch, crop, runtime.device)
    # the first of each allocates
    passes = [forward(objective, data, runtime) for _ in range(steps + 1)][1:]
    forward_peak = peak_bytes(runtime.device)
    trained = [step(objective, optimiser, data, runtime) for _ in range(steps + 1)][1:]
    seconds = {"forward": [t for t, _ in passes], "step": [t for t, _ in trained]}
    weights = sum(parameter.numel() for parameter in objective.parameters())
    return {
        "weights": weights,
        "logits": passes[0][1],
        "forward_seconds": [round(value, 4) for value in seconds["forward"]],
        "forward_median_seconds": round(statistics.median(seconds["forward"]), 4),
        "forward_peak_bytes": forward_peak,
        "step_seconds": [round(value, 4) for value in seconds["step"]],
        "step_median_seconds": round(statistics.median(seconds["step"]), 4),
        "step_peak_bytes": peak_bytes(runtime.device),
        "losses": [round(loss, 5) for _, loss in trained],
    }


@click.command()
@click.option("--batch", default=2, show_default=True)
@click.option("--steps", default=3, show_default=True, help="Measured passes and steps of each.")
@click.option("--crop", default=448, show_default=True)
@click.option("--networks", default=",".join(NETWORKS), show_default=True)
@click.option("--out", type=click.Path(path_type=Path), required=True)
def main(batch: int, steps: int, crop: int, networks: str, out: Path) -> None:
    """Measure and write the results as JSON."""
    runtime, threads = detect_runtime(), torch.get_num_threads()
    load = os.getloadavg()[0]
    context = multiprocessing.get_context("spawn")
    rows = {}
    with ProcessPoolExecutor(1, context, max_tasks_per_child=1) as pool:
        for name in networks.split(","):
            rows[name] = pool.submit(measure, name, batch, crop, steps, threads).result()
            print(name, rows[name], flush=True)
    cuda = runtime.device.type == "cuda"
    result = {
        "date": date.today().isoformat(),
        "device": torch.cuda.get_device_name() if cuda else platform.processor() or "CPU",
        "threads": threads,
        "load_before": round(load, 2),
        "load_after": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "precision": "bf16" if runtime.bf16 else "fp32",
        "batch": batch,
        "crop": crop,
        "rows": rows,
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
