"""Reads what the stages wrote, checked: a missing file is None, an unreadable one an HscError."""

import csv
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import pydantic
from pydantic import ConfigDict, Field

from hsc.base.errors import HscError

_Model = TypeVar("_Model", bound=pydantic.BaseModel)
_AGAIN = "delete it and run {stage} again"


class _Read(pydantic.BaseModel):
    """What a file is read into: it does not change, and keys that nobody asks for are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore", allow_inf_nan=False)


class ClassScores(_Read):
    """One of metrics/{seeds,crf,masks,val}_classes.json; IoU in percent."""

    iou: dict[str, float] = Field(alias="IoU", default_factory=dict)
    absent: tuple[str, ...] = ()


class Scores(_Read):
    """One of metrics/{seeds,crf,masks,val}.json; mIoU in percent, None if unscored.

    The thresholds are the seeds' alone; best_* needs masks.
    """

    split: str
    images: int
    miou: float | None = Field(alias="mIoU")
    classes: ClassScores = ClassScores()
    threshold: float | None = None
    best_threshold: float | None = None
    best_miou: float | None = Field(alias="best_mIoU", default=None)


class Saliency(_Read):
    """Where a data set's saliency maps are from."""

    source: str
    method: str | None = None


class CountRow(_Read):
    """A row of a table of the data set: what is counted, by split; None where it is unknown."""

    what: str = Field(validation_alias=pydantic.AliasChoices("what", "class"))
    train_aug: int | None
    train: int | None
    val: int | None


class SizeRow(_Read):
    """One side of the pictures, in pixels."""

    side: str
    min: int
    median: float
    max: int


class DataFacts(_Read):
    """metrics/data.json; archives: digest by file name. Older files have no tables."""

    images: int
    classes: int
    tags_per_image: float
    splits: dict[str, int]
    saliency: Saliency
    archives: dict[str, str] = Field(default_factory=dict)
    table: tuple[CountRow, ...] = ()
    class_table: tuple[CountRow, ...] = ()
    sizes: tuple[SizeRow, ...] = ()
    unused: tuple[str, ...] = ()


class Origin(_Read):
    """What a network started from. Weights that were imported have a layout and a source."""

    kind: str | None = None
    sha256: str | None = None
    supervision: str | None = None
    layout: str | None = None
    source: str | None = None


class BackboneFacts(Origin):
    """metrics/backbone.json: what was imported, or the warm-up's accuracy in percent (`tags`)."""

    tags: float | None = None


class SegmentationFacts(_Read):
    """metrics/segmentation.json."""

    backbone: str
    head: str
    initial_weights: Origin


class RoundScores(_Read):
    """The labels of one of AuxSegNet's rounds on `train`, in percent."""

    miou: float = Field(alias="mIoU")
    precision: float
    recall: float
    labelled: float


class RoundFacts(_Read):
    """metrics/rounds.json, by round; no rounds where nothing was scored."""

    rounds: dict[str, RoundScores] = Field(default_factory=dict)


class Cell(_Read):
    """One picture of a panel; `of` is a class's name where it shows one class."""

    title: str
    of: str | None = Field(alias="class", default=None)
    file: Annotated[str, Field(pattern=r"^[^/\\]+\.png$")]


class PanelRow(_Read):
    """One picture of the data set and what every step made of it."""

    id: str
    tags: tuple[str, ...]
    cells: tuple[Cell, ...]


class Swatch(_Read):
    """A class and its colour."""

    name: str
    colour: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]


class PanelIndex(_Read):
    """outputs/panels/panels.json."""

    pictures: tuple[PanelRow, ...]
    legend: tuple[Swatch, ...]


def read_model(path: Path, model: type[_Model], stage: str) -> _Model | None:
    """A JSON file as `model`; None where there is none.

    stage: what writes it, for errors. Raises HscError for a file that cannot be read, is no JSON,
    lacks a key or has a value of another type.
    """
    text = read_text(path, stage)
    if text is None:
        return None
    try:
        return model.model_validate(json.loads(text))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "(file)"
        raise HscError(f"{path}: {key}: {first['msg']}; {_AGAIN.format(stage=stage)}") from None
    except ValueError as error:
        raise HscError(f"{path}: not valid JSON ({error}); {_AGAIN.format(stage=stage)}") from None


Table = Mapping[str, Sequence[str]]
"""Columns by name, in the file's order."""


def read_table(path: Path, stage: str, needed: Sequence[str]) -> Table | None:
    """A CSV file by columns, as text; None where there is none.

    Raises HscError for a file that cannot be read, lacks one of the columns `needed`, or has a line
    of another length.
    """
    text = read_text(path, stage)
    if text is None:
        return None
    again = _AGAIN.format(stage=stage)
    try:
        header, *lines = csv.reader(text.splitlines())
    except (csv.Error, ValueError):
        raise HscError(f"{path}: no table; {again}") from None
    if missing := [name for name in needed if name not in header]:
        raise HscError(f"{path}: no column {', '.join(missing)}; {again}")
    for number, line in enumerate(lines, 2):
        if len(line) != len(header):
            raise HscError(
                f"{path}: line {number} has {len(line)} cells, not {len(header)}; {again}"
            )
    columns = zip(*lines, strict=True) if lines else [()] * len(header)
    return dict(zip(header, columns, strict=True))


def numbers(path: Path, table: Table, column: str) -> tuple[float, ...]:
    """A column of a table. Raises HscError for what is no finite number."""
    found = []
    for line, cell in enumerate(table[column], 2):
        value = _number(cell)
        if value is None:
            raise HscError(
                f"{path}: line {line}: {column} is {cell!r}, no finite number; correct it or run "
                "the stage again"
            )
        found.append(value)
    return tuple(found)


def _number(cell: str) -> float | None:
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def read_text(path: Path, stage: str) -> str | None:
    """A text file; None where there is none. Raises HscError for one that cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        again = _AGAIN.format(stage=stage)
        raise HscError(f"{path}: cannot be read as text ({error}); {again}") from None


def plain(model: pydantic.BaseModel) -> dict[str, Any]:
    """A section of the parameters under the names of its file."""
    return model.model_dump(mode="json", by_alias=True)
