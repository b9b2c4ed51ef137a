"""Saliency maps of a data set in VOC layout: estimated from its pictures, or others' maps.

Either way the whole folder `Saliency/` is written, or nothing: it takes the place of an older one.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from hsc.base.errors import SaliencyError
from hsc.base.files import atomic_folder
from hsc.base.pool import map_ordered, process_count
from hsc.base.problems import some
from hsc.base.progress import Bars, Progress, follow, silent, unseen
from hsc.base.sharing import in_turns
from hsc.data import voc
from hsc.data.deep_pictures import is_deep
from hsc.data.picture_problems import opened
from hsc.data.pictures import upright
from hsc.sources.saliency_estimate import METHOD, estimate
from hsc.sources.unpack import unpack

__all__ = [
    "METHOD", "check_highest", "estimate", "read_map", "unpack_published", "write_estimated",
]  # fmt: skip

_SAVE_IT = "save the map as an 8-bit grey PNG, 255 for what is salient"


def write_estimated(
    root: Path, ids: Sequence[str], processes: int = 1, progress: Progress = unseen
) -> None:
    """Estimate the saliency of the data set's pictures `ids` (see `estimate`).

    root: a data set in VOC layout, with its classes and tags. processes: as in
    `hsc.base.pool.map_ordered`, they change nothing but the time. progress: called with the number
    of pictures done and of all.
    Raises HscError for a picture that is missing or damaged, and where OpenCV is not installed.
    """
    data = voc.VocFolder(root)
    with atomic_folder(_folder(data)) as target:
        work = partial(_estimates, data, target)
        written = in_turns(work, ids, [processes], [process_count])
        for _ in follow(written, len(ids), progress):
            """Written where it is made."""


def _estimates(
    data: voc.VocFolder, target: Path, ids: Sequence[str], processes: int
) -> Iterator[None]:
    pairs = ((data.image_path(i), target / data.saliency_path(i).name) for i in ids)
    yield from map_ordered(_estimate_one, pairs, processes)


def unpack_published(source: Path, root: Path, ids: Sequence[str], bars: Bars = silent) -> None:
    """Take the maps of the pictures `ids` from an archive or a folder, as 8-bit grey PNG.

    source: a zip or tar file, or a folder, with a picture `<id>.png` or `.jpg` for each id, in any
    folder within; all else in it is left alone. root: a data set in VOC layout, with its pictures,
    classes and tags. bars: shows the progress.
    Raises HscError for an id without a map or with two; a map that is damaged, of another size than
    its picture, of more than 8 bits, in colours or with transparency; maps that are all of 0 and 1;
    and an archive that is damaged.
    """
    data = voc.VocFolder(root)
    names = _MapNames(source, ids)
    with _map_files(source, root, names, bars) as files, atomic_folder(_folder(data)) as target:
        highest = 0
        for image_id in follow(ids, len(ids), bars("saliency", "image")):
            said = names.found[image_id]
            saliency = read_map(files[image_id], said)
            voc.check_size(said, saliency, data.image_path(image_id), data.size(image_id))
            voc.write_grey(target / data.saliency_path(image_id).name, saliency)
            highest = max(highest, int(saliency.max()))
        if ids:
            check_highest(source, highest)


def read_map(path: Path, said: Path | None = None) -> NDArray[np.uint8]:
    """A saliency map as people have them, (H, W) uint8, upright. Of two colours, white is salient.

    said: what errors call it, where it is unpacked somewhere. Any format is taken, lossy ones too.
    Raises HscError for a map that is missing or damaged, of more than 8 bits, in colours, or with
    transparency. Whether it is of 0 and 1 shows over all maps: `check_highest`.
    """
    said = said or path
    with opened(path, said) as image:
        if is_deep(image):
            raise SaliencyError(f"{said}: of more than 8 bits a value; {_SAVE_IT}")
        return _grey(upright(image), said)


def check_highest(source: Path, highest: int) -> None:
    """Raise HscError if the highest value of all maps in `source` says that they are of 0 and 1.

    A single map may be black: nothing is salient in its picture.
    """
    if highest <= 1:
        raise SaliencyError(
            f"{source}: no map has a value over {highest}, so they are of 0..1 or empty; scale "
            "them to 0..255, 255 for what is salient"
        )


def _folder(data: voc.VocFolder) -> Path:
    return data.saliency_path("x").parent


def _estimate_one(paths: tuple[Path, Path]) -> None:
    picture, target = paths
    voc.write_grey(target, estimate(voc.read_image(picture)))


class _MapNames:
    """Chooses the maps among names of files, and remembers which is whose.

    found: id → the map's place, for errors.
    """

    def __init__(self, source: Path, ids: Iterable[str]) -> None:
        self.source = source
        self.found: dict[str, Path] = {}
        self._ids = frozenset(ids)

    def choose(self, name: str) -> str | None:
        """The id whose map `name` is. Raises HscError for a second map of an id."""
        path = PurePosixPath(name)
        if path.stem not in self._ids or path.suffix not in voc.IMAGE_SUFFIXES:
            return None
        place = self.source / path
        if path.stem in self.found:
            raise SaliencyError(
                f"{self.found[path.stem]} and {place} are both named as the map of {path.stem!r}; "
                "keep one (an archive or a folder of maps may not have the pictures too)"
            )
        self.found[path.stem] = place
        return path.stem

    def check_complete(self) -> None:
        """Raise HscError unless every id has a map."""
        missing = sorted(self._ids - set(self.found))
        if missing:
            raise SaliencyError(
                f"{self.source}: no map for {len(missing)} of {len(self._ids)} pictures "
                f"({some(missing)}); name each <id>.png, or take another source of saliency"
            )


@contextmanager
def _map_files(
    source: Path, root: Path, names: _MapNames, bars: Bars
) -> Iterator[Mapping[str, Path]]:
    """Id → a file with its map, for as long as it is needed; all ids have one."""
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.is_file())
        chosen = {names.choose(path.relative_to(source).as_posix()): path for path in files}
        names.check_complete()
        yield {image_id: path for image_id, path in chosen.items() if image_id is not None}
        return
    if not source.is_file():
        raise SaliencyError(
            f"{source}: no such file or folder; correct the path to the saliency maps"
        )
    with TemporaryDirectory(dir=root, prefix="saliency.") as unpacked:
        written = unpack(
            source, Path(unpacked), names.choose, bars(f"unpacking {source.name}", "B")
        )
        names.check_complete()
        yield {path.name: path for path in written}


def _grey(image: Image.Image, said: Path) -> NDArray[np.uint8]:
    if image.mode in ("L", "1"):
        return np.array(image.convert("L"))
    if image.mode not in ("RGB", "P"):
        raise SaliencyError(
            f"{said}: a picture of mode {image.mode}, not of 8-bit grey; {_SAVE_IT}"
        )
    colours = np.array(image.convert("RGB"))
    if (colours != colours[..., :1]).any():
        raise SaliencyError(
            f"{said}: in colours, so it is no saliency map, or one painted for show; {_SAVE_IT}"
        )
    return np.ascontiguousarray(colours[..., 0])
