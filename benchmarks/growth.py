"""How the cost of a part grows: with 4 and 16 times the pictures, with 4 times the pixels.

    python -m benchmarks.growth

Seconds are the least of `--repeats` runs, all sizes in turns in one process. Linear is 4 and 16.
The results go into a JSON file, and from it into the table of benchmarks/README.md.
"""

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import click
import torch

from benchmarks.part import seconds
from benchmarks.part_table import origin, quantity, write_between
from benchmarks.parts import cam_inference
from benchmarks.scene import VOC_SIZE, scenes, write_cams, write_folder
from benchmarks.surroundings import surroundings
from hsc.base.cli import PATH, command
from hsc.base.files import read_json, write_json
from hsc.cam.inference import infer_cam, scale_picture
from hsc.cam.seed_stage import SWEEP, score_curve
from hsc.cam.seeds import threshold_seeds
from hsc.compare.table import NONE, markdown
from hsc.crf.dense import TRAINING_CRF, refine_labels
from hsc.crf.mean_field import refine_labels as refine_batch
from hsc.crf.par import refine as refine_by_par
from hsc.data.samples import CamSamples
from hsc.data.transforms import Augmentation
from hsc.losses.groups import pixel_groups
from hsc.psa.network import pair_affinity
from hsc.psa.pairs import pair_offsets
from hsc.psa.random_walk import random_walk
from hsc.store import CamReader

RESULTS = Path("benchmarks/results/growth_cpu.json")
MARKS = "<!-- table of growth: begin -->", "<!-- table of growth: end -->"
PICTURES, PIXELS = (1, 4, 16), (1, 4)
WHY = {"labels of a batch, exact CRF": "all pairs of pixels"}

Run = Callable[[], Any]


class Sizes(NamedTuple):
    """What is there once: pictures, and sides of a picture, a batch's pictures and a map."""

    count: int = 6
    picture: tuple[int, int] = (VOC_SIZE[0] // 2, VOC_SIZE[1] // 2)
    side: int = 48
    cells: int = 28
    channels: int = 1024


def by_pictures(root: Path, count: int, sizes: Sizes) -> dict[str, Run]:
    """What is done for each picture of a data set, on `count` of them."""
    shown = scenes(count, sizes.picture)
    folder = write_folder(root / "data", shown)
    write_cams(root / "cams.h5", shown)
    how = Augmentation(
        sizes.picture[0], (sizes.picture[1], sizes.picture[1]), 0.5, 0.3, 0.3, 0.3, 0.1
    )
    samples = CamSamples(folder, folder.ids("train"), how, 0, with_saliency=False)

    def curve() -> None:
        with CamReader(root / "cams.h5") as cams:
            score_curve(folder, cams, "train", SWEEP).miou()

    def crf() -> None:
        for scene in shown:
            refine_labels(scene.image, threshold_seeds(scene.cam, scene.classes, 0.4), 21)

    return {
        "threshold curve": curve,
        "CAM file": lambda: write_cams(root / "written.h5", shown),
        "CRF of pictures": crf,
        "training crops": lambda: [samples[index, index] for index in range(count)],
    }


def by_pixels(times: int, sizes: Sizes) -> dict[str, Run]:
    """What is done with one picture or batch, its sides `times` as long."""
    torch.manual_seed(0)
    network, size = cam_inference.resnet38(), tuple(times * side for side in sizes.picture)
    batches = scale_picture(cam_inference.picture(size), (1.0,), flip=True)
    side, cells = times * sizes.side, times * sizes.cells
    pictures, maps = 255 * torch.rand(4, side, side, 3), torch.rand(4, 4, side, side)
    planes, labels = pictures.permute(0, 3, 1, 2).contiguous(), maps[None].argmax(dim=2)
    features, cam = torch.randn(2, sizes.channels, cells, cells), torch.rand(2, 20, cells, cells)
    tags = torch.zeros(2, 20)
    tags[:, :3] = 1
    offsets = pair_offsets(5)
    affinity = pair_affinity(torch.randn(1, 32, cells, cells), offsets)[0]

    def inference(kind: str) -> Run:
        return lambda: infer_cam(network, batches, cam_inference.TAGGED, size, kind, "relu")

    def labels_crf(kernels: str) -> Run:
        return lambda: refine_batch(pictures, labels, 21, TRAINING_CRF, kernels=kernels)

    return {
        "CAM inference, raw": torch.no_grad()(inference("raw")),
        "CAM inference, refined": torch.no_grad()(inference("refined")),
        "labels of a batch, lattice CRF": labels_crf("lattice"),
        "labels of a batch, exact CRF": labels_crf("exact"),
        "labels of a batch, PAR": lambda: refine_by_par(planes, maps, 10),
        "pixel groups": lambda: pixel_groups(features, cam * tags[:, :, None, None], tags),
        "random walk": lambda: random_walk(maps[0, :, :cells, :cells], affinity, offsets, 8, 64),
    }


def measure(repeats: int, sizes: Sizes) -> dict[str, dict[str, list[float]]]:
    """Seconds of each line at each size, by `pictures` and `pixels`."""
    with tempfile.TemporaryDirectory() as name:
        pictures = []
        for times in PICTURES:
            (root := Path(name) / str(times)).mkdir()
            pictures.append(by_pictures(root, times * sizes.count, sizes))
        found = {"pictures": least(pictures, repeats)}
    found["pixels"] = least([by_pixels(round(times**0.5), sizes) for times in PIXELS], repeats)
    return found


def least(runs: Iterable[dict[str, Run]], repeats: int) -> dict[str, list[float]]:
    """By line its least seconds at each size, behind a run that is not counted."""
    runs = list(runs)
    found = {}
    for line in runs[0]:
        turns = [[seconds(run[line]) for run in runs] for _ in range(repeats + 1)]
        found[line] = [min(times) for times in zip(*turns[1:], strict=True)]
    return found


def table(content: dict[str, Any]) -> str:
    """A line a part: what it takes at first, and how many times as long at the other sizes."""
    lines = []
    for by, found in content["lines"].items():
        for line, times in found.items():
            grown = [f"{each / times[0]:.1f}" for each in times[1:]] + [NONE]
            lines.append([line, by, quantity(times[0], "s"), *grown[:2], WHY.get(line, "")])
    header = ["part", "grows with", "takes", "4 times", "16 times", "why not linear"]
    return f"{markdown(header, lines)}\n\n{origin(content['measured'])}"


@command
@click.option("--repeats", default=5, type=click.IntRange(min=1), help="Runs of each size.")
@click.option("--out", type=PATH, default=RESULTS, help="Results (JSON).")
@click.option("--readme", type=PATH, default=Path("benchmarks/README.md"), help="Has the table.")
def main(repeats: int, out: Path, readme: Path) -> str:
    """Measure how each part grows and write the results and the table."""
    where = {**surroundings(), "repeats": repeats}
    write_json(out, {"lines": measure(repeats, Sizes()), "measured": where})
    write_between(readme, MARKS, table(read_json(out)))
    return f"{out}: written, and the table of {readme}"


if __name__ == "__main__":
    main()
