"""What lies in a user's folder: which file is the picture, mask or saliency of which id.

Nothing is passed over in silence: what is not read is named (`FolderFiles.unused`).
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hsc.base.errors import DataError
from hsc.base.problems import in_one
from hsc.data.names import normal
from hsc.data.picture_problems import unreadable
from hsc.data.pictures import SUFFIXES

_PICTURES, _MASKS, _SALIENCY = "JPEGImages", "SegmentationClass", "Saliency"
_READ = {"tags.csv", "classes.txt", "ImageSets"}


@dataclass(frozen=True)
class FolderFiles:
    """The files of a folder by the id that they belong to.

    Ids are in one Unicode form (NFC), without suffix. broken: why the file of an id is no picture
    that can be read. unused: what there is besides, in words.
    """

    picture_folder: Path
    pictures: Mapping[str, Path]
    masks: Mapping[str, Path]
    saliency: Mapping[str, Path]
    broken: Mapping[str, str]
    unused: tuple[str, ...]


def find_files(source: Path) -> FolderFiles:
    """Look through the folder `source`; no file is opened.

    Pictures lie in `JPEGImages/`, or where there is none, in the folder itself; the names of the
    three folders may be in capital or small letters. Raises HscError for two files of one id, and
    for a folder of masks or saliency none of whose files is named as a picture.
    """
    top = _visible(source)
    picture_folder, mask_folder, saliency_folder = (
        _folder(top, name) for name in (_PICTURES, _MASKS, _SALIENCY)
    )
    entries = top if picture_folder is None else _visible(picture_folder)
    pictures, broken, rest = _sort_pictures(entries)
    masks, other_masks = _sort_maps(mask_folder, pictures)
    saliency, other_saliency = _sort_maps(saliency_folder, pictures)
    known = {picture_folder, mask_folder, saliency_folder, *(source / name for name in _READ)}
    beside = rest if picture_folder is None else [*top, *rest]
    unused = [path for path in beside if path not in known] + other_masks + other_saliency
    return FolderFiles(
        picture_folder or source, pictures, masks, saliency, broken,
        tuple(_describe(source, unused, pictures)),
    )  # fmt: skip


def stem(name: str) -> str:
    """An id as a file's name or a line gives it: NFC, without the suffix of a picture."""
    name = normal(name)
    return name[: -len(Path(name).suffix)] if Path(name).suffix.lower() in SUFFIXES else name


def _visible(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def _folder(entries: Sequence[Path], name: str) -> Path | None:
    """The folder of that name, or of that name in other letters where there is just one."""
    alike = [path for path in entries if path.name.casefold() == name.casefold() and path.is_dir()]
    return next((path for path in alike if path.name == name), alike[0] if alike else None)


def _sort_pictures(
    entries: Iterable[Path],
) -> tuple[dict[str, Path], dict[str, str], list[Path]]:
    """Pictures by id, why others are none, and what is neither."""
    pictures: dict[str, list[Path]] = defaultdict(list)
    broken: dict[str, tuple[Path, str]] = {}
    rest = []
    for path in entries:
        image_id = normal(path.stem)
        if path.is_symlink() and not path.exists():
            broken[stem(path.name)] = (
                path,
                f"{path}: a link to {path.readlink()}, which is not there",
            )
        elif path.is_dir():
            rest.append(path)
        elif path.suffix.lower() in SUFFIXES:
            pictures[image_id].append(path)
        elif problem := unreadable(path):
            broken[image_id] = path, problem
        else:
            rest.append(path)
    _check_single(pictures, "pictures")
    # beside a copy that can be read it is one file more that is not used
    rest += [path for image_id, (path, _) in broken.items() if image_id in pictures]
    return (
        {image_id: path for image_id, (path,) in pictures.items()},
        {i: said for i, (_, said) in broken.items() if i not in pictures},
        rest,
    )


def _sort_maps(
    folder: Path | None, pictures: Mapping[str, Path]
) -> tuple[dict[str, Path], list[Path]]:
    """Masks or saliency by id, and the files that belong to no picture."""
    if folder is None:
        return {}, []
    entries = _visible(folder)
    found: dict[str, list[Path]] = defaultdict(list)
    for path in entries:
        image_id = normal(path.stem)
        image_id = image_id if image_id in pictures else stem(image_id)  # p00.jpg.png
        if image_id in pictures and path.suffix.lower() in SUFFIXES and not path.is_dir():
            found[image_id].append(path)
    if entries and not found:
        raise DataError(
            f"{folder}: of its {len(entries)} files none is named as a picture (the first is "
            f"{entries[0].name}); name each <id>.png, as the picture is named"
        )
    _check_single(found, "files")
    used = {path for paths in found.values() for path in paths}
    others = [path for path in entries if path not in used]
    return {image_id: path for image_id, (path,) in found.items()}, others


def _check_single(found: Mapping[str, Sequence[Path]], what: str) -> None:
    twice = [paths for paths in found.values() if len(paths) > 1]
    if twice:
        lines = [
            f"{' and '.join(path.name for path in paths)}: two {what} of one id; rename one of them"
            for paths in twice
        ]
        raise DataError(in_one(str(twice[0][0].parent), lines))


def _describe(source: Path, paths: Iterable[Path], pictures: Mapping[str, Path]) -> list[str]:
    """What is not used: every folder, and the files by where they lie and how they end."""
    said, files = [], defaultdict(list)
    for path in paths:
        if path.is_dir():
            said.append(_describe_folder(path, pictures))
        else:
            files[path.parent, path.suffix].append(path)
    for together in files.values():
        first = together[0].relative_to(source).as_posix()
        more = len(together) - 1
        said.append(first + (f" and {more} more *{together[0].suffix}" if more else ""))
    return said


def _describe_folder(folder: Path, pictures: Mapping[str, Path]) -> str:
    count = sum(stem(path.name) in pictures or normal(path.stem) in pictures
                for path in folder.iterdir())  # fmt: skip
    if not count:
        return f"{folder.name}/"
    return (
        f"{folder.name}/, with {count} files named as pictures (masks belong into {_MASKS}/, "
        f"saliency into {_SALIENCY}/)"
    )
