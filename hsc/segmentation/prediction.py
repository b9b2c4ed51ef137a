"""Prediction of new pictures: any files, of any sizes, with a trained network.

Pictures of one size share a batch. One that cannot be read, or is too large for the memory, has no
result; the others have theirs.

Letters: B pictures of a batch, C foreground classes, H W pixels of a picture, h w those that the
network is shown at scale 1, h' w' those at another scale.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from hsc.base.errors import HscError, PredictionError
from hsc.base.machine_problems import is_out_of_memory
from hsc.base.pool import map_ordered, process_count
from hsc.base.progress import Progress, follow, unseen
from hsc.base.sharing import in_turns
from hsc.crf.device import crf_processes
from hsc.data.deep_pictures import common_depth
from hsc.data.picture_problems import opened
from hsc.data.pictures import read_picture, shrink_picture, shrunk_size
from hsc.data.preprocessing import MEAN, STD, resize_picture, scaled_size
from hsc.engine.loading import in_order
from hsc.engine.runtime import Runtime, detect_runtime, one_thread
from hsc.nets.segmentation import SegmentationNetwork, load_segmentation
from hsc.params.segmentation import PredictParams
from hsc.segmentation.inference import predict_batch
from hsc.segmentation.prediction_files import (
    OVERLAYS,
    Failure,
    Output,
    Prediction,
    Summary,
    finish,
    make_folder,
    write_legend,
    write_shares,
)

_GPU_BATCH = 8
_GPU_PIXELS = 1 << 22  # of a batch by default: four million; more, and loading fills the memory


@dataclass(frozen=True)
class Batch:
    """Pictures that the network is shown together.

    images: B of (H, W, 3) uint8, each with its own size. size: (h, w). scaled: one
    (B, h', w', 3) uint8 a scale.
    """

    paths: tuple[Path, ...]
    images: tuple[Tensor, ...]
    size: tuple[int, int]
    scaled: tuple[Tensor, ...]


class PictureBatches(Dataset[list[Batch | Failure]]):
    """Loads one chunk of pictures an item; those of another size than the rest get their own batch.

    chunks: as of `plan_batches`. Resizing is bicubic on 8-bit pixels, to `max_side` first, then to
    each scale. depth: as of `read_picture`.
    """

    def __init__(
        self,
        chunks: Sequence[Sequence[Path]],
        scales: Sequence[float],
        max_side: int | None,
        depth: int | None = None,
    ) -> None:
        self._chunks, self._scales, self._max_side = chunks, scales, max_side
        self._depth = depth

    def __len__(self) -> int:
        return len(self._chunks)

    def __getitem__(self, index: int) -> list[Batch | Failure]:
        items: list[Batch | Failure] = []
        by_size: dict[tuple[int, int], list[tuple[Path, NDArray, NDArray]]] = defaultdict(list)
        for path in self._chunks[index]:
            try:
                image = read_picture(path, self._depth)
            except HscError as error:
                items.append(Failure(path, str(error)))
                continue
            seen = shrink_picture(image, self._max_side)
            by_size[seen.shape[:2]].append((path, image, seen))
        return items + [self._batch(size, loaded) for size, loaded in by_size.items()]

    def _batch(self, size: tuple[int, int], loaded: list[tuple[Path, NDArray, NDArray]]) -> Batch:
        paths, images, seen = zip(*loaded, strict=True)
        pictures = [Image.fromarray(picture) for picture in seen]
        scaled = []
        for scale in self._scales:
            target = scaled_size(*pictures[0].size, scale)
            resized = [np.array(resize_picture(picture, target)) for picture in pictures]
            scaled.append(torch.from_numpy(np.stack(resized)))
        return Batch(paths, tuple(map(torch.from_numpy, images)), size, tuple(scaled))


def plan_batches(
    paths: Sequence[Path], batch: int | None, max_side: int | None, runtime: Runtime
) -> list[list[Path]]:
    """Chunks of pictures that probably have one size, from their headers; each picture is in one.

    batch: the most pictures in a chunk. None stands for 1 on a CPU, and on a GPU for 8 with at most
    four million pixels together (or one picture).
    """
    on_gpu = runtime.device.type == "cuda"
    limit = batch or (_GPU_BATCH if on_gpu else 1)
    if limit == 1:
        return [[path] for path in paths]
    by_size: dict[tuple[int, int] | None, list[Path]] = defaultdict(list)
    for path in paths:
        by_size[_header_size(path, max_side)].append(path)
    chunks = []
    for size, same in by_size.items():
        width, height = size or (1, 1)
        length = limit if batch else max(1, min(limit, _GPU_PIXELS // (width * height)))
        chunks += [same[start : start + length] for start in range(0, len(same), length)]
    return chunks


def _header_size(path: Path, max_side: int | None) -> tuple[int, int] | None:
    """(width, height), not yet turned; None for a file whose error is told when it is loaded."""
    try:
        with opened(path) as image:
            return shrunk_size(*image.size, max_side)
    except HscError:
        return None


def override(
    recipe: PredictParams, scales: Sequence[float], flip: bool | None, crf: bool | None
) -> PredictParams:
    """The recipe's parameters with what the options say; none, or None, leaves the recipe's.

    Raises HscError for impossible scales, and for a CRF that the recipe has no kernels for.
    """
    if crf and recipe.crf is None:
        raise PredictionError(
            "--crf: crf is null in the recipe's predict_segmentation; write its kernels there "
            "(docs/segmentation.md has those published)"
        )
    for scale in scales:
        if not 0 < scale < float("inf"):
            raise PredictionError(f"--scales: {scale} is no factor of a size; give numbers above 0")
    changes: dict[str, Any] = {}
    if scales:
        changes["scales"] = tuple(scales)
    if flip is not None:
        changes["flip"] = flip
    if crf is False:
        changes["crf"] = None
    return recipe.model_copy(update=changes)


def predict_with_weights(
    weights: Path,
    paths: Sequence[Path],
    how: PredictParams,
    folder: Path,
    max_side: int | None = None,
    batch: int | None = None,
    overlays: bool = True,
    progress: Progress = unseen,
) -> tuple[list[Summary | Failure], list[str]]:
    """`predict_pictures` with the network in a weights file, where this run happens.

    Writes the legend and the shares too. Returns the results and the C+1 names, background first.
    Raises HscError for weights of another kind.
    """
    network, spec = load_segmentation(weights)
    names = ["background", *spec["class_names"]]
    runtime = detect_runtime()
    output = Output(folder, how.crf, max_side, overlays)
    make_folder(folder / OVERLAYS if overlays else folder)
    write_legend(folder, names)
    processes = min(_processes(output.crf is not None), len(paths))
    results = predict_pictures(network, paths, how, output, runtime, batch, processes, progress)
    write_shares(folder, (found for found in results if isinstance(found, Summary)), names)
    return results, names


def _processes(crf: bool) -> int:
    """How many refine and write."""
    if crf:
        return crf_processes()
    # On a CPU the network has the cores, and writing alone is not worth processes.
    return 1 if detect_runtime().device.type == "cpu" else process_count()


def predict_pictures(
    network: SegmentationNetwork,
    paths: Sequence[Path],
    how: PredictParams,
    output: Output,
    runtime: Runtime,
    batch: int | None = None,
    processes: int = 1,
    progress: Progress = unseen,
) -> list[Summary | Failure]:
    """Predict pictures and write the results, each whole as soon as it is there.

    how: its scales and its flip; the CRF is the output's. batch: as of `plan_batches`. processes:
    that refine and write. Pictures of 16 bits are seen at one scale, their `common_depth`.
    Returns one result for each path, in their order.
    """
    chunks = plan_batches(paths, batch, output.max_side, runtime)
    work = partial(_predict_chunks, network, how, common_depth(paths), output)
    there = [detect_runtime, partial(_processes, output.crf is not None)]
    found = itertools.chain.from_iterable(in_turns(work, chunks, [runtime, processes], there))
    results = {result.path: result for result in follow(found, len(paths), progress)}
    return [results[path] for path in paths]


def _predict_chunks(
    network: SegmentationNetwork,
    how: PredictParams,
    depth: int | None,
    output: Output,
    chunks: Sequence[Sequence[Path]],
    runtime: Runtime,
    processes: int,
) -> Iterator[list[Summary | Failure]]:
    """Of each chunk the results of its pictures, which are written."""
    with_crf = output.crf is not None
    runtime.ready(network)
    batches = in_order(PictureBatches(chunks, how.scales, output.max_side, depth), runtime)
    predictions = (
        prediction
        for items in batches
        for item in items
        for prediction in _predict(network, item, how.flip, with_crf, runtime)
    )
    # As predict_segmentation does: then the labels are the same to the bit.
    with one_thread() if with_crf else nullcontext():
        found = map_ordered(partial(finish, output=output), predictions, processes)
        yield from (list(itertools.islice(found, len(chunk))) for chunk in chunks)


def _predict(
    network: SegmentationNetwork,
    item: Batch | Failure,
    flip: bool,
    probabilities: bool,
    runtime: Runtime,
) -> Iterator[Prediction | Failure]:
    if isinstance(item, Failure):
        yield item
        return
    try:
        scores = _scores(network, item, flip, probabilities, runtime)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        advice = "not enough memory to predict it; give a smaller --batch, --max-side or --scales"
        yield from (Failure(path, f"{path}: {advice}") for path in item.paths)
        return
    for path, image, of_picture in zip(item.paths, item.images, scores, strict=True):
        yield Prediction(path, image.numpy(), of_picture)


def _scores(
    network: SegmentationNetwork, batch: Batch, flip: bool, probabilities: bool, runtime: Runtime
) -> NDArray:
    """Labels (B, h, w) uint8 or probabilities (B, C+1, h, w) float32."""
    scaled = [normalise(pictures.to(runtime.device)) for pictures in batch.scaled]
    if flip:
        scaled = [torch.cat([pictures, pictures.flip(3)]) for pictures in scaled]
    with runtime.autocast():
        logits = predict_batch(network, scaled, batch.size, len(batch.paths))
    if probabilities:
        return logits.softmax(dim=1).contiguous().cpu().numpy()
    return logits.argmax(dim=1).to(torch.uint8).cpu().numpy()


def normalise(pictures: Tensor) -> Tensor:
    """(B, H, W, 3) uint8 RGB to (B, 3, H, W) float32, as `hsc.data.preprocessing`, to the bit."""
    scale = torch.tensor([1 / (255 * deviation) for deviation in STD], device=pictures.device)
    offset = torch.tensor(
        [mean / deviation for mean, deviation in zip(MEAN, STD, strict=True)],
        device=pictures.device,
    )
    planes = pictures.permute(0, 3, 1, 2).contiguous().float()
    return planes * scale[:, None, None] - offset[:, None, None]
