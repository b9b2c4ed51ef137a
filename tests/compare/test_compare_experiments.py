"""Experiments and files as git has them."""

from pathlib import Path

import pytest

from hsc.base.errors import HscError
from hsc.compare.experiments import committed_texts, experiment_refs, git
from tests.experiment_repository import Repository


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path)


def test_an_experiment_has_its_name_parent_and_date(repository: Repository) -> None:
    sha = repository.experiment("seam", {"a": "1"}, day=3)
    (found,) = experiment_refs(repository.folder)
    assert (found.name, found.sha, found.parent) == ("seam", sha, repository.parent)
    assert found.date == 1767434400  # 2026-01-03T10:00:00Z


def test_other_references_are_left_alone(repository: Repository) -> None:
    sha = repository.experiment("seam", {"a": "1"})
    repository.git("update-ref", "refs/exps/celery/stash", sha)
    repository.git("update-ref", "refs/exps/exec/EXEC_HEAD", sha)
    repository.git("update-ref", f"refs/exps/{'a' * 2}/{'b' * 38}/my-own", sha)
    found = experiment_refs(repository.folder)
    assert {each.name: each.parent for each in found} == {
        "seam": repository.parent,
        "my-own": "a" * 2 + "b" * 38,
    }


def test_files_come_whole_and_in_any_order(repository: Repository) -> None:
    texts = {"a": "one\ntwo\n\n", "b": "", "c": "Größe, no newline", "d/e f": "missing\n"}
    repository.write(texts)
    sha = repository.commit("files")
    asked = ["d/e f", "nothing", "c", "b", "a"]
    found = committed_texts(sha, asked, repository.folder)
    assert found == {**{path: texts.get(path) for path in asked}, "nothing": None}
    assert list(found) == asked


def test_a_folder_without_git_is_named(tmp_path: Path) -> None:
    with pytest.raises(HscError, match="git for-each-ref"):
        experiment_refs(tmp_path)
    with pytest.raises(HscError, match="git cat-file --batch: fatal"):
        committed_texts("a" * 40, ["b"], tmp_path)


def test_what_git_says_is_in_the_error(repository: Repository) -> None:
    with pytest.raises(HscError, match=r"git show nothing: fatal: .*nothing"):
        git("show", "nothing", folder=repository.folder)
