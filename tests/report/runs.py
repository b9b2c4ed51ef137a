"""Runs to report on, made up: every file of the pipeline that the page reads, without a stage."""

import csv
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from hsc.base.files import write_json
from hsc.base.off import NO_STEPS, write_off_file
from hsc.base.run_record import RunRecord, digest_product, write_record
from hsc.data.classes import VOC_CLASSES, palette
from hsc.report.facts import Where
from hsc.scoring.tables import write_scores
from hsc.store import CamWriter
from tests.stage_runs import ROOT, change

TERMS = {
    "backbone": ("loss", "correct"),
    "train_cam": ("loss", "classification", "minimum", "equivariance", "roi", "class", "pixel"),
    "train_segmentation": ("loss",),
}
AFFINITY_TERMS = ("loss", "background", "foreground", "different")


@dataclass(frozen=True)
class Run:
    """Where a made-up run lies, and its classes, the background's name first."""

    folder: Path
    names: tuple[str, ...]

    @property
    def where(self) -> Where:
        at = self.folder
        return Where(
            at / "params.yaml", at / "recipes", at / "metrics", at / "plots", at / "outputs",
            at / "records",
        )  # fmt: skip

    def remove(self, *names: str) -> None:
        """Take files or folders away, as if their stages had not run."""
        for name in names:
            path = self.folder / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def scores(self, step: str) -> dict[str, Any]:
        """metrics/<step>.json, and what is by class."""
        files = (self.folder / "metrics" / f"{step}{kind}.json" for kind in ("", "_classes"))
        one, classes = (json.loads(file.read_text()) for file in files)
        return one | classes

    def record(self, stage: str, product: str, **changes: Any) -> None:
        """Keep a record of a stage that made `product`."""
        path = self.folder / product
        record = {
            "stage": stage, "product": str(path), "digest": digest_product(path), "seconds": 75.4,
            "peak_bytes": 812_000_000, "peak_child_bytes": 0, "peak_gpu_bytes": None,
            "device": "cpu", "finished": "2026-02-03T04:05:06+00:00", "versions": {},
        }  # fmt: skip
        write_record(RunRecord(**(record | changes)), self.folder / "records")


def make_run(
    folder: Path,
    data: str = "voc2012",
    classes: Sequence[str] = VOC_CLASSES,
    psa: bool = False,
    **params: Any,
) -> Run:
    """Write a whole run into `folder`, which is made; `params` are keys of params.yaml."""
    folder.mkdir(parents=True)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    change(folder / "params.yaml", data=data, **{"seeds__threshold": 0.3, **params})
    if psa:
        change(folder / "params.yaml", psa__enabled=True)
    run = Run(folder, ("background", *classes))
    auxsegnet = params.get("segmentation") == "auxsegnet"
    random = np.random.default_rng(7)
    _write_metrics(run, random, psa)
    _write_tables(run, random, psa)
    _write_outputs(run, random, psa)
    if auxsegnet:
        _write_rounds(run, random)
    return run


def _write_rounds(run: Run, random: np.random.Generator) -> None:
    """What AuxSegNet leaves besides and in the place of DeepLab's."""
    rounds = {
        str(r): {"mIoU": 40.5 + 9 * r, "precision": 85.6, "recall": 42.9, "labelled": 70.25}
        for r in range(3)
    }
    write_json(run.folder / "metrics" / "rounds.json", {"split": "train", "rounds": rounds})
    origin = {"kind": "CAM network", "sha256": "d" * 64, "supervision": "tags"}
    said = {"backbone": "small", "head": "auxsegnet", "initial_weights": origin}
    write_json(run.folder / "metrics" / "segmentation.json", said)
    terms = ("loss", "classification", "saliency", "segmentation", "refined_segmentation")
    _write_losses(run.folder / "plots" / "train_segmentation.csv", terms, random)


def _write_metrics(run: Run, random: np.random.Generator, psa: bool) -> None:
    metrics, count = run.folder / "metrics", len(run.names)
    splits = {"train_aug": 10582, "train": 1464, "val": 1449}
    facts = {"images": 12031, "classes": count - 1, "tags_per_image": 1.5, "splits": splits}
    facts["saliency"] = {"source": "published"}
    facts["table"] = [{"what": "pictures", **splits}, {"what": "masks", **splits}]
    facts["class_table"] = [
        {"class": name, "train_aug": 100 + k, "train": 10 + k, "val": None}
        for k, name in enumerate(run.names[1:])
    ]
    facts["sizes"] = [{"side": "width", "min": 142, "median": 499.5, "max": 500}]
    facts["unused"] = ["masks/, with 12 files named as pictures", "notes.txt"]
    write_json(metrics / "data.json", facts)
    write_json(metrics / "backbone.json", {"pictures": 93.5, "tags": 99.1, "worst_class": 86.2})
    origin = {"kind": "warm-up", "sha256": "b" * 64, "supervision": "tags"}
    segmentation = {"backbone": "small", "head": "aspp", "initial_weights": origin}
    write_json(metrics / "segmentation.json", segmentation)
    base = random.uniform(25, 75, count)
    for step, gain in (("seeds", 0.0), ("crf", 6.0), ("masks", 6.0), ("val", 3.0)):
        if step == "masks" and psa:
            gain = 10.0
        iou = base + gain + (0 if step == "masks" and not psa else random.normal(0, 3, count))
        if step == "masks" and not psa:
            for kind in ("", "_classes"):
                shutil.copyfile(metrics / f"crf{kind}.json", metrics / f"masks{kind}.json")
            continue
        split = "val" if step == "val" else "train"
        scores = {
            "split": split, "images": splits[split], "mIoU": round(float(iou.mean()), 4),
            "IoU": dict(zip(run.names, iou.round(4).tolist(), strict=True)), "absent": [],
        }  # fmt: skip
        if step == "seeds":
            scores |= {"threshold": 0.3, "best_threshold": 0.26, "best_mIoU": scores["mIoU"] + 1.5}
        write_scores(scores, metrics / f"{step}.json", metrics / f"{step}_classes.json")


def _write_tables(run: Run, random: np.random.Generator, psa: bool) -> None:
    plots = run.folder / "plots"
    plots.mkdir()
    rows = []
    for step in range(100):
        t = step / 100
        mark = {30: "used", 26: "best"}.get(step, "")
        miou, precision, recall = 52 - 60 * (t - 0.26) ** 2, 30 + 60 * t, 100 * (1 - t**2)
        rows.append([f"{value:.4f}" for value in (t, miou, precision, recall)] + [mark])
    columns = ("threshold", "mIoU", "precision", "recall", "mark")
    _write_csv(plots / "threshold_curve.csv", columns, rows)
    for name, terms in TERMS.items():
        _write_losses(plots / f"{name}.csv", terms, random)
    if psa:
        _write_losses(plots / "train_affinity.csv", AFFINITY_TERMS, random)
    else:
        (plots / "train_affinity.csv").write_text(NO_STEPS)
    count = len(run.names)
    for step in ("crf", "masks", "val"):
        pixels = random.poisson(40, (count, count)) ** 2 + np.diag(random.poisson(30_000, count))
        pairs = [
            (truth, label, int(pixels[row, column]))
            for row, truth in enumerate(run.names)
            for column, label in enumerate(run.names)
        ]
        _write_csv(plots / f"{step}_confusion.csv", ("truth", "label", "pixels"), pairs)


def _write_losses(path: Path, terms: Sequence[str], random: np.random.Generator) -> None:
    steps = 700
    decay = np.exp(-np.arange(steps) / 200)
    rows = []
    for step in range(steps):
        losses = [0.2 + decay[step] + random.normal(0, 0.1) for _ in terms]
        rows.append([step, *(f"{value:.6g}" for value in (0.01 * (1 - step / steps), *losses))])
    _write_csv(path, ("step", "lr", *terms), rows)


def _write_outputs(run: Run, random: np.random.Generator, psa: bool) -> None:
    outputs = run.folder / "outputs"
    for folder in ("seeds", "crf", "masks", "predictions", "affinity_labels", "panels"):
        (outputs / folder).mkdir(parents=True)
    for name in ("seeds", "crf", "masks", "predictions"):
        (outputs / name / "a.png").write_bytes(random.bytes(20))
    for name in ("backbone", "cam", "segmentation"):
        (outputs / f"{name}.pt").write_bytes(random.bytes(2000))
    if psa:
        (outputs / "affinity.pt").write_bytes(random.bytes(2000))
        (outputs / "affinity_labels" / "a.png").write_bytes(random.bytes(20))
    else:
        write_off_file(outputs / "affinity.pt")
        write_off_file(outputs / "affinity_labels" / "off.txt")
    with CamWriter(outputs / "cams.h5", run.names[1:], "c" * 64) as writer:
        writer.add("a", random.random((1, 4, 4)), [1])
    _write_panels(run, outputs / "panels", random)


def _write_panels(run: Run, folder: Path, random: np.random.Generator) -> None:
    pictures = []
    for number, size in enumerate(((200, 256), (256, 171), (60, 80))):
        tags = run.names[1 + number : 3 + number]
        titles = [("picture", None), *(("CAM", tag) for tag in tags)]
        titles += [(title, None) for title in ("seed", "CRF", "mask", "prediction", "truth")]
        cells = []
        for place, (title, of) in enumerate(titles):
            file = f"picture_{number}_{place}.png"
            _gradient(size, random).save(folder / file)
            cells.append({"title": title, "class": of, "file": file})
        pictures.append({"id": f"2007_00{number}", "tags": tags, "cells": cells})
    colours = palette()
    legend = [
        {"name": name, "colour": "#" + bytes(colours[index]).hex()}
        for index, name in enumerate(run.names)
        if index
    ]
    write_json(folder / "panels.json", {"pictures": pictures, "legend": legend})


def _gradient(size: tuple[int, int], random: np.random.Generator) -> Image.Image:
    height, width = size
    down, across = np.linspace(0, 1, height)[:, None, None], np.linspace(0, 1, width)[None, :, None]
    colours = random.uniform(0, 127, (2, 3))
    return Image.fromarray((down * colours[0] + across * colours[1]).astype(np.uint8))


def _write_csv(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
