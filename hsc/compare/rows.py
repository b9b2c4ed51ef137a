"""Runs as rows: those that differ only in their seeds belong together; names; pairs of runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from hsc.base.errors import ExperimentError
from hsc.compare.runs import DATA_SEED, SEED, Run, Seeds, differing, same_pictures
from hsc.params.run import method_title

_MOST_PARAMETERS = 3
"""As many stand in a row's name; of rows that differ in more, the notes tell."""
_MOST_NOTED = 8
"""As many stand in a note."""


@dataclass(frozen=True)
class Row:
    """One line of the table: its name, its runs, no two of the same seeds, and what to know."""

    title: str
    runs: tuple[Run, ...]
    notes: tuple[str, ...] = ()

    @property
    def by_seeds(self) -> dict[Seeds, Run]:
        """The runs by their seeds."""
        return {run.seeds: run for run in self.runs}

    def values(self, figure: str) -> list[float]:
        """mIoU (%) of the runs that have the figure."""
        return [value for run in self.runs if (value := run.miou(figure)) is not None]

    def class_values(self, figure: str, name: str) -> list[float]:
        """IoU (%) of a class in the runs that have it."""
        return [value for run in self.runs if (value := run.iou(figure, name)) is not None]


def make_rows(runs: Sequence[Run]) -> list[Row]:
    """The rows in the order of their first runs."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(_key(run), []).append(run)
    parts, notes = [], []
    for group in groups.values():
        for part in _split(group):
            kept, dropped = _latest(part)
            parts.append(kept)
            notes.append(dropped)
    named = _titles(parts)
    return [
        Row(title, tuple(part), (*dropped, *told))
        for (title, told), part, dropped in zip(named, parts, notes, strict=True)
    ]


def _key(run: Run) -> str:
    """Every parameter but the seeds."""
    kept = {path: value for path, value in run.settings.items() if path not in (SEED, DATA_SEED)}
    return json.dumps(kept, sort_keys=True, default=str)


def _split(group: Sequence[Run]) -> list[list[Run]]:
    """Runs of the same parameters as one row, or several if seeds come twice: other code.

    Then what one word named stays together, and joins runs of the same code if no seeds clash.
    """
    if len({run.seeds for run in group}) == len(group):
        return [list(group)]
    by_word: dict[str, list[Run]] = {}
    for run in group:
        by_word.setdefault(run.snapshot.word, []).append(run)
    parts: list[list[Run]] = []
    for own in by_word.values():
        for part in parts:
            same_code = _codes(part) & _codes(own)
            if same_code and not {run.seeds for run in part} & {run.seeds for run in own}:
                part += own
                break
        else:
            parts.append(list(own))
    return parts


def _codes(runs: Sequence[Run]) -> set[str]:
    return {run.snapshot.code for run in runs}


def _latest(part: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """One run for each seeds, the latest, and what has to be said of the others."""
    latest: dict[Seeds, Run] = {}
    notes = []
    for run in part:
        other = latest.get(run.seeds)
        if other is None:
            latest[run.seeds] = run
            continue
        old, new = sorted((other, run), key=lambda each: each.snapshot.date)
        latest[run.seeds] = new
        notes.append(
            f"{_named(old)} is left out: {_named(new)} has its parameters and seeds and is later"
        )
    return list(latest.values()), notes


def _named(run: Run) -> str:
    commit = f" ({run.snapshot.sha[:7]})" if run.snapshot.sha else ""
    return f"`{run.snapshot.name}`{commit}"


def _titles(parts: Sequence[Sequence[Run]]) -> list[tuple[str, list[str]]]:
    """A name for each row: the method's, and as much as tells it from rows of the same method.

    With it what has to be said besides: in what it differs, where that would be too long a name.
    """
    alike: dict[tuple[str, str], list[Run]] = {}
    for first, *_ in parts:
        alike.setdefault((_method(first), first.data), []).append(first)
    named = []
    for runs in parts:
        group = alike[_method(runs[0]), runs[0].data]
        titles = [
            _method(first) + values for first, values in zip(group, _told_apart(group), strict=True)
        ]
        title = titles[group.index(runs[0])]
        if titles.count(title) == 1:
            named.append((title, []))
            continue
        title = f"{title} ({_words(runs, parts)})"
        told = [] if runs[0] is group[0] else [f"{title} {_difference(runs[0], group[0])}"]
        named.append((title, told))
    return named


def _told_apart(group: Sequence[Run]) -> list[str]:
    """What rows of one method are told apart by: the parameters in which they differ.

    If those are too many, the first row has the method's name alone and the others what they
    change of it; a row that changes too much, or has other parameters altogether, has none.
    """
    if (values := _values(group[0], group)) is not None:
        return [values, *(str(_values(run, group)) for run in group[1:])]
    return ["", *(_values(run, [group[0], run]) or "" for run in group[1:])]


def _method(run: Run) -> str:
    return method_title(str(run.settings["baseline"]), str(run.settings["contrast"]))


def _changed(runs: Sequence[Run]) -> list[str]:
    """Parameters in which runs differ, without the seeds."""
    paths = differing([run.settings for run in runs])
    return [path for path in paths if path not in (SEED, DATA_SEED)]


def _values(run: Run, among: Sequence[Run]) -> str | None:
    """The run's values of what differs among the runs; None if that is too much for a name."""
    paths = _changed(among)
    if len(paths) > _MOST_PARAMETERS or any(
        path not in each.settings for path in paths for each in among
    ):
        return None
    return "".join(f", {_value(run, path)}" for path in paths)


def _difference(run: Run, first: Run) -> str:
    """In words, in what a row differs from the first of its method."""
    paths = _changed([run, first])
    if not paths:
        return f"differs from the row of {_named(first)} in its code alone"
    values = ", ".join(_value(run, path) for path in paths[:_MOST_NOTED])
    more = f" and {len(paths) - _MOST_NOTED} more" if len(paths) > _MOST_NOTED else ""
    return f"differs from the row of {_named(first)} in {values}{more}"


def _value(run: Run, path: str) -> str:
    if path not in run.settings:
        return f"{path} (it has none)"
    value = run.settings[path]
    return f"{path}={value if isinstance(value, str) else json.dumps(value, default=str)}"


def _words(runs: Sequence[Run], parts: Sequence[Sequence[Run]]) -> str:
    """What the row was named by on the command line, or its runs if that names others too."""
    words = list(dict.fromkeys(run.snapshot.word for run in runs))
    others = {run.snapshot.word for part in parts if part is not runs for run in part}
    if not others & set(words):
        return ", ".join(words)
    more = f" and {len(runs) - 1} more" if len(runs) > 1 else ""
    return f"{runs[0].snapshot.name}{more}"


def find_row(rows: Sequence[Row], word: str) -> int:
    """Index of the row that a word names: its title, an argument or a run of it.

    Raises HscError for a word that names none or several.
    """
    found = [
        index
        for index, row in enumerate(rows)
        if word == row.title
        or any(word in (run.snapshot.word, run.snapshot.name) for run in row.runs)
    ]
    if len(found) != 1:
        titles = ", ".join(f'"{row.title}"' for row in rows)
        problem = "names no row" if not found else f"names {len(found)} rows"
        raise ExperimentError(f"--against {word}: {problem}; give one of {titles}, or a run of one")
    return found[0]


def pairs(row: Row, other: Row) -> list[tuple[Run, Run]]:
    """The runs that both rows have: equal seeds, scored on the same pictures."""
    runs = other.by_seeds
    return [
        (run, runs[run.seeds])
        for run in row.runs
        if run.seeds in runs and same_pictures(run, runs[run.seeds])
    ]


def why_unpaired(row: Row, other: Row) -> str:
    """In words, for rows without pairs that have the figure."""
    if row.runs[0].data != other.runs[0].data:
        return "other data"
    if pairs(row, other):
        return "no pair has both figures"
    if row.by_seeds.keys() & other.by_seeds.keys():
        return "other pictures"
    return "no seeds in common"
