"""What people name on the command line, as states of the repository: experiments, revisions, the
working tree."""

import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from pathlib import Path

from hsc.base.errors import ExperimentError
from hsc.compare.experiments import Experiment, committed_texts, experiment_refs, git

WORKSPACE = "workspace"
_MOST = 20


@dataclass(frozen=True)
class Snapshot:
    """One state of the repository.

    word: what it was named by. name: the experiment's or the revision's. sha: its commit, None for
    the working tree. code: the commit of its code. date: when it was committed, in seconds since
    1970.
    """

    word: str
    name: str
    sha: str | None
    code: str
    date: int

    def texts(self, paths: Sequence[str], folder: Path) -> dict[str, str | None]:
        """What its files hold, None for one that it does not have."""
        if self.sha is not None:
            return committed_texts(self.sha, paths, folder)
        files = {path: folder / path for path in paths}
        return {
            path: file.read_text(encoding="utf-8") if file.is_file() else None
            for path, file in files.items()
        }


def resolve(words: Sequence[str], folder: Path = Path()) -> list[Snapshot]:
    """The states that the words name, in their order and each once.

    A word is `workspace`, a shell pattern of experiments' names, an experiment's name, or a
    revision that git knows. Raises HscError for a word that is none of them, with the names there
    are.
    """
    experiments = [] if set(words) == {WORKSPACE} else experiment_refs(folder)
    found: dict[str | None, Snapshot] = {}
    for word in words:
        for snapshot in _named(word, experiments, folder):
            found.setdefault(snapshot.sha, snapshot)
    return list(found.values())


def _named(word: str, experiments: Sequence[Experiment], folder: Path) -> Iterator[Snapshot]:
    """The states of one word."""
    if word == WORKSPACE:
        yield Snapshot(word, word, None, "the working tree", 0)
    elif set(word) & set("*?["):
        matching = [each for each in experiments if fnmatchcase(each.name, word)]
        if not matching:
            raise ExperimentError(
                f"{word}: no experiment has such a name; {_names(word, experiments)}"
            )
        for each in sorted(matching, key=lambda each: (each.name, each.date)):
            yield _of_experiment(word, each)
    elif any(each.name == word for each in experiments):
        yield _of_experiment(word, _the_one(word, experiments, folder))
    else:
        yield _of_revision(word, experiments, folder)


def _of_experiment(word: str, experiment: Experiment) -> Snapshot:
    return Snapshot(word, experiment.name, experiment.sha, experiment.parent, experiment.date)


def _the_one(name: str, experiments: Sequence[Experiment], folder: Path) -> Experiment:
    """Of several experiments of one name, as DVC does, that of the present commit."""
    found = [each for each in experiments if each.name == name]
    if len(found) > 1:
        head = git("rev-parse", "HEAD", folder=folder).strip()
        here = [each for each in found if each.parent == head]
        if not here:
            commits = ", ".join(sorted(each.sha[:7] for each in found))
            raise ExperimentError(
                f"{name}: {len(found)} experiments have this name; give one of {commits}"
            )
        return here[0]
    return found[0]


def _of_revision(word: str, experiments: Sequence[Experiment], folder: Path) -> Snapshot:
    found = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--verify", "--quiet", f"{word}^{{commit}}", "--"],
        capture_output=True,
        text=True,
    )
    if found.returncode:
        raise ExperimentError(
            f"{word}: no experiment and no revision of git; {_names(word, experiments)}"
        )
    sha = found.stdout.split()[0]
    for each in experiments:  # named by its commit
        if each.sha == sha:
            return _of_experiment(word, each)
    date = git("show", "--no-patch", "--format=%ct", sha, folder=folder)
    return Snapshot(word, word, sha, sha, int(date))


def _names(word: str, experiments: Sequence[Experiment]) -> str:
    """What there is to name; of very many names those most like the word."""
    names = sorted({each.name for each in experiments})
    if not names:
        return "there are no experiments (dvc exp run -n NAME makes one)"
    if len(names) <= _MOST:
        return f"there are {', '.join(names)}"
    shown = sorted(get_close_matches(word, names, _MOST, cutoff=0))
    more = f"{len(names) - _MOST} more (dvc exp list --all-commits)"
    return f"there are {', '.join(shown)} and {more}"
