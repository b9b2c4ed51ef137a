"""COCO's annotation files, read piece by piece: none is ever in memory as a whole.

Lin et al., Microsoft COCO: Common Objects in Context (ECCV 2014). H W pixels of a picture.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple

import ijson

from hsc.base.errors import DataError
from hsc.base.progress import Bars, Progress, silent
from hsc.data.classes import COCO_CLASSES
from hsc.data.lists import check_id
from hsc.sources.unpack import damaged

_DAMAGE = (zipfile.BadZipFile, EOFError, zlib.error, OSError)


class Picture(NamedTuple):
    """A picture's file, without folders, and its (H, W)."""

    file_name: str
    height: int
    width: int

    @property
    def image_id(self) -> str:
        """Its id in VOC layout, such as COCO_train2014_000000000009, as in the published lists."""
        return PurePosixPath(self.file_name).stem

    @property
    def suffix(self) -> str:
        """The end of the file's name, such as .jpg."""
        return PurePosixPath(self.file_name).suffix


class Annotation(NamedTuple):
    """An annotated object: ids as in the file, `segmentation` as in the JSON."""

    number: int
    picture: int
    category: int
    crowd: bool
    segmentation: Any


class AnnotationFile:
    """A JSON file of objects inside of a zip file.

    Each method reads it once from beginning to end, so its keys may be in any order.

    Args:
        archive: the zip file.
        member: the JSON file's name in it.
        bars: shows the progress of each reading.

    The methods raise HscError for a zip file that is damaged or lacks the member, for JSON that is
    damaged and for entries that lack what they should have.
    """

    def __init__(self, archive: Path, member: str, bars: Bars = silent) -> None:
        self.archive = archive
        self.member = member
        self._bars = bars

    def labels(self) -> dict[int, int]:
        """The class index, 1 to 80, of each category's id.

        Raises HscError unless the categories, by their ids, are COCO's.
        """
        names = {}
        for item in self._items("categories.item"):
            names[self._take(item, "id", int)] = self._take(item, "name", str)
        numbers = sorted(names)
        found = tuple(names[number] for number in numbers)
        if found != COCO_CLASSES:
            other = sorted({*found} ^ {*COCO_CLASSES}) or ["their order"]
            raise self.error(
                f"{len(found)} categories, which are not COCO's {len(COCO_CLASSES)} "
                f"({other[0]!r} differs)",
                "use the file that belongs to COCO 2014",
            )
        return {number: index for index, number in enumerate(numbers, 1)}

    def pictures(self) -> dict[int, Picture]:
        """All pictures, annotated or not, by their ids.

        Raises HscError also for an id or a file name that is there twice.
        """
        found: dict[int, Picture] = {}
        names: set[str] = set()
        for item in self._items("images.item"):
            number = self._take(item, "id", int)
            picture = Picture(
                PurePosixPath(self._take(item, "file_name", str)).name,
                self._take(item, "height", int),
                self._take(item, "width", int),
            )
            check_id(picture.image_id, self.archive / self.member)
            if number in found or picture.image_id in names:
                raise self.error(f"image {number} ({picture.file_name}) is there twice")
            if min(picture.height, picture.width) < 1:
                raise self.error(f"image {number} has no pixels")
            found[number] = picture
            names.add(picture.image_id)
        return found

    def annotated(self) -> set[int]:
        """The ids of the pictures with at least one object."""
        numbers = self._items("annotations.item.image_id")
        return {number for number in numbers if isinstance(number, int)}

    def annotations(self) -> Iterator[Annotation]:
        """All objects, in the order of the file."""
        for item in self._items("annotations.item"):
            yield Annotation(
                self._take(item, "id", int),
                self._take(item, "image_id", int),
                self._take(item, "category_id", int),
                isinstance(item, dict) and bool(item.get("iscrowd", 0)),
                self._take(item, "segmentation", (list, dict)),
            )

    def error(self, problem: str, remedy: str = "get the archive again") -> DataError:
        """What is wrong in this file, and what to do."""
        return DataError(f"{self.archive}: {self.member}: {problem}; {remedy}")

    def _take(self, item: Any, key: str, kind: type | tuple[type, ...]) -> Any:
        value = item.get(key) if isinstance(item, dict) else None
        if not isinstance(value, kind):
            raise self.error(f"an entry without a proper {key!r}: {item!r:.100}")
        return value

    def _items(self, prefix: str) -> Iterator[Any]:
        """The parsed values at ijson's `prefix`."""
        try:
            with zipfile.ZipFile(self.archive) as packed, packed.open(self.member) as stream:
                report = self._bars(f"{Path(self.member).name}: {prefix.split('.')[0]}", "B")
                counted = _Counted(stream, packed.getinfo(self.member).file_size, report)
                yield from ijson.items(counted, prefix, use_float=True)
        except KeyError:
            raise DataError(
                f"{self.archive}: has no {self.member}; use COCO's annotations_trainval2014.zip"
            ) from None
        except FileNotFoundError:
            raise DataError(f"{self.archive}: no such file; download it") from None
        except ijson.JSONError as error:
            raise self.error(f"no valid JSON ({_first_line(error)})") from None
        except _DAMAGE as error:
            raise damaged(self.archive, error) from None


class _Counted:
    """A stream that tells how far it has been read."""

    def __init__(self, stream: IO[bytes], size: int, report: Progress) -> None:
        self._stream, self._size, self._report = stream, size, report

    def read(self, count: int = -1) -> bytes:
        """The next bytes, b"" at the end."""
        block = self._stream.read(count)
        self._report(self._stream.tell(), self._size)
        return block


def _first_line(error: ijson.JSONError) -> str:
    """What is wrong, without the picture of where that ijson draws below, at times as bytes."""
    reason = error.args[0]
    text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
    return text.splitlines()[0]
