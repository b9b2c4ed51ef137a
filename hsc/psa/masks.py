"""PSA's pseudo labels of a whole data set: affinities, the random walk, the CRF once more.

The network and the walk run here, on the run's device; the CRF, which knows no GPU, in a pool of
processes beside them. One picture after the other: the memory does not grow with the data set.

Letters: K tagged classes of a picture, C classes of the data set, H W pixels, s stride of the map.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from hsc.base.errors import HscError
from hsc.base.pool import map_ordered
from hsc.base.progress import Progress, unseen
from hsc.base.sharing import in_turns
from hsc.crf.dense import cam_probabilities
from hsc.crf.device import crf_processes
from hsc.crf.stage import Task, refine_scores, score_labels, write_all
from hsc.data.preprocessing import normalise
from hsc.data.voc import VocFolder
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime, detect_runtime, one_thread
from hsc.params.recipe import CrfParams, WalkParams
from hsc.psa.network import AffinityNetwork, load_affinity_network
from hsc.psa.random_walk import walk_cam
from hsc.store import CamReader


def refine_masks(
    folder: VocFolder,
    cams: Path,
    weights: Path,
    walk: WalkParams,
    crf: CrfParams,
    runtime: Runtime,
    output: Path,
    processes: int,
    progress: Progress = unseen,
) -> int:
    """Write the pseudo labels of `train_aug` to `output`; returns how many.

    weights: the affinity network. processes: of the CRF. Raises HscError for files that are
    missing, damaged or of another data set, and for affinities that are not finite.
    """
    network, spec = load_affinity_network(weights)
    ids = folder.ids("train_aug")
    work = partial(_labels, network, spec["output_stride"], folder, cams, walk, crf)
    results = in_turns(work, ids, [runtime, processes], [detect_runtime, crf_processes])
    return write_all(ids, results, output, progress)


def _labels(
    network: AffinityNetwork,
    stride: int,
    folder: VocFolder,
    cams: Path,
    walk: WalkParams,
    crf: CrfParams,
    ids: Sequence[str],
    runtime: Runtime,
    processes: int,
) -> Iterator[NDArray[np.uint8]]:
    """Pseudo labels (H, W) of each picture."""
    tasks = walk_all(network, stride, folder, cams, walk, ids, runtime)
    if not walk.crf:
        yield from (score_labels(scores, classes) for _, _, scores, classes in tasks)
        return
    refine = partial(refine_scores, params=crf, num_labels=folder.num_classes + 1)
    with one_thread():
        yield from map_ordered(refine, tasks, processes)


@torch.no_grad()
def walk_all(
    network: AffinityNetwork,
    stride: int,
    folder: VocFolder,
    cams: Path,
    walk: WalkParams,
    ids: Sequence[str],
    runtime: Runtime,
) -> Iterator[Task]:
    """Yield (id, picture, scores float32 (K+1, H, W), classes (K,)) after the walk, in order.

    The background's scores are the first. A picture without a tag has scores of 1 for it.
    """
    runtime.ready(network)
    pictures = in_order(_Pictures(folder, ids, stride), runtime)
    with CamReader(cams) as reader:
        reader.check_classes(folder.class_names, folder.root)
        reader.check(ids)
        for image_id, picture, padded in pictures:
            cam, classes = reader.read(image_id, tuple(picture.shape[:2]))
            scores = torch.ones(1, *picture.shape[:2])
            if len(classes):
                with runtime.autocast():
                    affinity = network(padded.to(runtime.device, non_blocking=True)[None])[0]
                if not torch.isfinite(affinity).all():
                    raise HscError(
                        f"{image_id}: its affinities are not finite: the weights have run away; "
                        "train the affinity network again with a lower learning rate"
                    )
                start = torch.from_numpy(with_background(cam, walk)).to(runtime.device)
                scores = walk_cam(start, affinity, network.offsets, stride, walk.beta, walk.steps)
            yield image_id, picture.numpy(), scores.cpu().numpy(), classes


def with_background(cam: NDArray, walk: WalkParams) -> NDArray[np.float32]:
    """The background's scores in front of a CAM: (K, H, W) to float32 (K+1, H, W)."""
    if walk.background == "power":
        return cam_probabilities(cam, walk.background_alpha)
    background = np.full_like(cam[:1], walk.background_score)
    return np.concatenate([background, cam])


class _Pictures(Dataset[tuple[str, NDArray[np.uint8], NDArray[np.float32]]]):
    """(id, picture (H, W, 3) uint8, the same normalised and padded with 0 to whole cells)."""

    def __init__(self, folder: VocFolder, ids: Sequence[str], stride: int) -> None:
        self._folder, self._ids, self._stride = folder, ids, stride

    def __len__(self) -> int:
        return len(self._ids)

    def __getitem__(self, index: int) -> tuple[str, NDArray[np.uint8], NDArray[np.float32]]:
        picture = self._folder.image(self._ids[index])
        beyond = [(0, -side % self._stride) for side in picture.shape[:2]]
        return self._ids[index], picture, np.pad(normalise(picture), [(0, 0), *beyond])
