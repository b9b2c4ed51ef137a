"""Panels of a fixed sample of `train`: every step of the pipeline, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import DataError
from hsc.base.progress import Progress, unseen
from hsc.crf.dense import CrfConfig
from hsc.data.classes import IGNORE
from hsc.data.label_maps import read_labels
from hsc.data.voc import VocFolder, check_size
from hsc.engine.runtime import Runtime
from hsc.nets.segmentation import SegmentationNetwork
from hsc.report.panels import Panel
from hsc.segmentation.inference import predict_labels
from hsc.store import CamReader


def make_panels(
    folder: VocFolder,
    cams: CamReader,
    label_folders: dict[str, Path],
    network: SegmentationNetwork,
    scales: Sequence[float],
    flip: bool,
    ids: Sequence[str],
    runtime: Runtime,
    crf: CrfConfig | None = None,
    progress: Progress = unseen,
    first: Mapping[str, Mapping[str, NDArray[np.uint8]]] | None = None,
) -> list[Panel]:
    """Panels with the columns of `label_folders` (title: folder), prediction and truth.

    ids: of the pictures, a row each. scales, flip, crf: as of
    `hsc.segmentation.inference.predict_labels`. first: columns before them, by title label maps by
    id. The truth is left out for a set without masks. Raises HscError for CAMs of other classes,
    and for CAMs and labels that are missing, of another size than the picture or, labels, of
    classes that there are not.
    """
    cams.check_classes(folder.class_names, folder.root)
    panels = []
    predictions = predict_labels(network, folder, ids, scales, flip, runtime, progress, crf=crf)
    for image_id, prediction in predictions:
        image = folder.image(image_id)
        labels = {title: maps[image_id] for title, maps in (first or {}).items()}
        for title, path in label_folders.items():
            labels[title] = _read_labels(folder, path, image_id)
        labels["prediction"] = prediction
        if folder.has_masks("train"):
            labels["truth"] = folder.mask(image_id)
        maps, classes = cams.read(image_id, image.shape[:2])
        names = [folder.class_names[index - 1] for index in classes]
        panels.append(Panel(image_id, image, dict(zip(names, maps, strict=True)), labels))
    return panels


def _read_labels(folder: VocFolder, labels: Path, image_id: str) -> NDArray[np.uint8]:
    values = read_labels(labels, image_id)
    path = labels / f"{image_id}.png"
    check_size(path, values, folder.image_path(image_id), folder.size(image_id))
    beyond = values[(values > folder.num_classes) & (values != IGNORE)]
    if beyond.size:
        raise DataError(
            f"{path}: index {beyond[0]}, but the data set has 0..{folder.num_classes}; run the "
            f"stage that writes {labels} again"
        )
    return values
