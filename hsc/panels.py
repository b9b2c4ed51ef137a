"""Panels of a fixed sample of `train`: every step of the pipeline, side by side."""

from collections.abc import Sequence
from pathlib import Path

from hsc.crf import CrfConfig
from hsc.data.voc import VocFolder
from hsc.engine.runtime import Runtime
from hsc.nets.deeplab import DeepLab
from hsc.progress import Progress, unseen
from hsc.report.panels import Panel
from hsc.scoring import read_labels
from hsc.segmentation import predict_labels
from hsc.store import CamReader


def spread(ids: Sequence[str], count: int) -> list[str]:
    """`count` ids at even distances, the first one included; all of them when there are fewer."""
    count = min(count, len(ids))
    return [ids[i * len(ids) // count] for i in range(count)]


def make_panels(
    folder: VocFolder,
    cams: CamReader,
    label_folders: dict[str, Path],
    network: DeepLab,
    scales: Sequence[float],
    flip: bool,
    pictures: int,
    runtime: Runtime,
    crf: CrfConfig | None = None,
    progress: Progress = unseen,
) -> list[Panel]:
    """Panels with the columns of `label_folders` (title: folder), prediction and truth.

    scales, flip, crf: as of `hsc.segmentation.predict_labels`. The truth is left out for a data set
    without masks.
    """
    ids = spread(folder.ids("train"), pictures)
    predictions = dict(
        predict_labels(network, folder, ids, scales, flip, runtime, progress, crf=crf)
    )
    panels = []
    for image_id in ids:
        labels = {title: read_labels(path, image_id) for title, path in label_folders.items()}
        labels["prediction"] = predictions[image_id]
        if folder.has_masks():
            labels["truth"] = folder.mask(image_id)
        cam, _ = cams.read(image_id)
        panels.append(Panel(image_id, folder.image(image_id), cam, labels))
    return panels
