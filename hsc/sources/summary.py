"""What is in a data set, for people: a wrong import is seen at a glance.

Tables are lists of rows, which `dvc metrics show` leaves out: with eighty classes they are long.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from hsc.base.progress import Progress, follow, unseen
from hsc.data.voc import SPLITS, VocFolder

Facts = dict[str, Any]
"""What metrics/data.json has."""


def summarise(data: VocFolder, progress: Progress = unseen) -> Facts:
    """Count what is in a data set.

    Returns `images` (of all splits), `classes` (foreground), `tags_per_image` (mean over train_aug)
    and `splits` (pictures by split); and three tables: `table`, a row for pictures, those without a
    tag, masks and saliency maps, by split; `class_table`, a row a class, the pictures that are
    tagged with it, by split; `sizes`, width and height of the pictures in pixels. Of val the tags
    may be unknown: None. Raises HscError for what cannot be read.
    """
    splits = {split: data.ids(split) for split in SPLITS}
    everything = sorted(set().union(*splits.values()))
    tags = {split: _tags(data, ids) for split, ids in splits.items()}
    sizes = [data.size(i) for i in follow(everything, len(everything), progress)]
    return {
        "images": len(everything),
        "classes": data.num_classes,
        "tags_per_image": sum(map(len, tags["train_aug"])) / len(tags["train_aug"]),
        "splits": {split: len(ids) for split, ids in splits.items()},
        "table": _table(data, splits, tags),
        "class_table": _class_table(data.class_names, tags),
        "sizes": [
            {"side": side, "min": min(values), "median": median(values), "max": max(values)}
            for side, values in zip(("height", "width"), zip(*sizes, strict=True), strict=True)
        ],
    }


def shown(facts: Facts) -> str:
    """The tables as text, in columns; what was found and not used below them."""
    rows = [["", *SPLITS]]
    rows += [[row["what"], *_cells(row)] for row in facts["table"]]
    rows += [[row["class"], *_cells(row)] for row in facts["class_table"]]
    width = max(len(row[0]) for row in rows)
    lines = [f"{row[0]:{width}}" + "".join(f"{cell:>11}" for cell in row[1:]) for row in rows]
    lines += [
        f"{size['side']:{width}}  {size['min']} to {size['max']} pixels, median {size['median']:g}"
        for size in facts["sizes"]
    ]
    if "depth" in facts:
        lines.append(f"pictures of 16 bits hold values of {facts['depth']} bits; made 8")
    return "\n".join([*lines, *(f"not used: {each}" for each in facts.get("unused", ()))])


def _tags(data: VocFolder, ids: Sequence[str]) -> list[tuple[str, ...]]:
    """The tags of those of the pictures that have a line."""
    return [data.tag_names(image_id) for image_id in ids if data.is_tagged(image_id)]


def _table(
    data: VocFolder,
    splits: Mapping[str, Sequence[str]],
    tags: Mapping[str, Sequence[tuple[str, ...]]],
) -> list[Facts]:
    def row(what: str, count: Any) -> Facts:
        return {"what": what} | {split: count(split) for split in SPLITS}

    def files(path: Any) -> Any:
        return lambda split: sum(path(image_id).is_file() for image_id in splits[split])

    return [
        row("pictures", lambda split: len(splits[split])),
        row("without a tag", lambda split: tags[split].count(()) if tags[split] else None),
        row("masks", files(data.mask_path)),
        row("saliency maps", files(data.saliency_path)),
    ]


def _class_table(
    names: Sequence[str], tags: Mapping[str, Sequence[tuple[str, ...]]]
) -> list[Facts]:
    counts = {split: Counter(name for each in tags[split] for name in each) for split in SPLITS}
    return [
        {"class": name} | {split: counts[split][name] if tags[split] else None for split in SPLITS}
        for name in names
    ]


def _cells(row: Facts) -> list[str]:
    return ["?" if row[split] is None else str(row[split]) for split in SPLITS]
