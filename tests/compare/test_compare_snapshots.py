"""What the words of the command line stand for."""

from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.compare.snapshots import Snapshot, resolve
from tests.experiment_repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    """Experiments seam-s0, seam-s1 and eps of the first commit, another seam-s0 of the second."""
    made = Repository(tmp_path)
    for day, name in enumerate(["seam-s1", "seam-s0", "eps"], start=1):
        made.experiment(name, {"params.yaml": name}, day=day)
    made.advance()
    made.experiment("seam-s0", {"params.yaml": "later"}, day=9)
    return made


def names(found: list[Snapshot]) -> list[tuple[str, str]]:
    return [(each.word, each.name) for each in found]


def test_words_in_their_order_and_each_state_once(repository: Repository) -> None:
    found = resolve(["eps", "seam-s*", "*", "workspace"], repository.folder)
    assert names(found) == [
        ("eps", "eps"),
        ("seam-s*", "seam-s0"),
        ("seam-s*", "seam-s0"),
        ("seam-s*", "seam-s1"),
        ("workspace", "workspace"),
    ]
    assert [each.date for each in found[1:3]] == sorted(each.date for each in found[1:3])
    assert len({each.sha for each in found}) == 5


def test_of_equal_names_that_of_the_present_commit(repository: Repository) -> None:
    (found,) = resolve(["seam-s0"], repository.folder)
    assert found.texts(["params.yaml"], repository.folder) == {"params.yaml": "later"}
    assert found.code == repository.parent
    repository.advance("3")
    with pytest.raises(HscError, match="seam-s0: 2 experiments have this name"):
        resolve(["seam-s0"], repository.folder)
    (found,) = resolve([found.sha[:9] if found.sha else ""], repository.folder)
    assert found.name == "seam-s0"


def test_revisions_of_git(repository: Repository) -> None:
    repository.git("tag", "v1", "HEAD~1")
    for word in ("main", "v1", "HEAD~1", repository.parent[:8]):
        (found,) = resolve([word], repository.folder)
        assert (found.word, found.name) == (word, word)
        assert found.sha == found.code == repository.git("rev-parse", f"{word}^{{commit}}")
    assert found.texts(["code.py", "nothing"], repository.folder) == {
        "code.py": "2",
        "nothing": None,
    }


def test_the_working_tree(repository: Repository) -> None:
    repository.write({"params.yaml": "not committed"})
    (found,) = resolve(["workspace"], repository.folder)
    assert found.sha is None
    assert found.texts(["params.yaml", "nothing"], repository.folder) == {
        "params.yaml": "not committed",
        "nothing": None,
    }


def test_the_working_tree_needs_no_git(tmp_path: Path) -> None:
    assert names(resolve(["workspace"], tmp_path)) == [("workspace", "workspace")]
    with pytest.raises(HscError, match="git for-each-ref"):
        resolve(["seam"], tmp_path)


@pytest.mark.parametrize("word", ["seem", "see*", "--all", ""])
def test_an_unknown_name_lists_those_there_are(repository: Repository, word: str) -> None:
    with pytest.raises(HscError, match=r"there are eps, seam-s0, seam-s1$") as problem:
        resolve([word], repository.folder)
    assert str(problem.value).startswith(f"{word}: no experiment")


def test_of_many_names_the_most_like_are_listed(repository: Repository) -> None:
    sha = repository.git("rev-parse", "HEAD")
    for number in range(30):
        ref = f"refs/exps/{sha[:2]}/{sha[2:]}/gamma-{number:02}"
        repository.git("update-ref", ref, sha)
    with pytest.raises(HscError) as problem:
        resolve(["seam-s2"], repository.folder)
    assert "seam-s0, seam-s1" in str(problem.value)
    assert str(problem.value).endswith("and 13 more (dvc exp list --all-commits)")


def test_no_experiments(tmp_path: Path) -> None:
    Repository(tmp_path)
    with pytest.raises(HscError, match=r"seam: .*there are no experiments"):
        resolve(["seam"], tmp_path)
