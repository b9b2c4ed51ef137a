"""Which runs are queued, in which order, and by which command."""

import subprocess
from collections import Counter
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from benchmarks import queue
from benchmarks.collect import TABLE_FIGURES
from benchmarks.rows import MAIN, TABLES, select
from benchmarks.runs import write_runs
from hsc.base.errors import HscError
from hsc.compare.experiments import Experiment
from tests.benchmarks.test_benchmarks_tables import make

STATUS = """\
Task     Name          Created    Status
4e504e4  seam-d0-s0    04:21 AM   Queued
970356d  cam-d0-s0     04:21 AM   Running
292bc55  eps-d0-s0     04:21 AM   Failed
69072fd  eps-d0-s1     04:21 AM   Success

Worker status: 1 active, 0 idle
"""


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What would have been asked of dvc; there is one experiment and two are waiting."""
    made: list[tuple[str, ...]] = []

    def dvc(*words: str) -> str:
        if words == ("queue", "status"):
            return STATUS
        made.append(words)
        return ""

    monkeypatch.setattr(queue, "dvc", dvc)
    monkeypatch.setattr(queue, "require_committed", lambda: None)
    monkeypatch.setattr(
        queue, "experiment_refs", lambda: [Experiment("seam-hsc-d0-s0", "1" * 40, "2" * 40)]
    )
    return made


def invoke(*words: str) -> str:
    result = CliRunner().invoke(queue.main, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_order_is_balanced_wherever_it_is_cut() -> None:
    runs = queue.order(MAIN, [0, 1], [0, 1, 2])
    assert len(set(runs)) == len(runs) == 8 * 2 * 3
    for length in range(len(runs) + 1):
        rows = Counter(row.key for row, _, _ in runs[:length])
        counts = [rows[row.key] for row in MAIN]
        assert max(counts) - min(counts) <= 1
        blocks = Counter(data_seed for _, data_seed, _ in runs[: length - length % len(MAIN)])
        assert abs(blocks[0] - blocks[1]) in (0, len(MAIN))
    assert [(row.key, data, seed) for row, data, seed in runs[7:9]] == [
        ("eps-hsc", 0, 0),
        ("cam", 1, 0),
    ]
    assert runs[16] == (MAIN[0], 0, 1)


def test_dry_run_prints_the_commands_and_queues_nothing(calls: list[tuple[str, ...]]) -> None:
    printed = invoke(
        "--data", "shapes", "--rows", "eps-control,psc", "--seeds", "3", "--data-seeds", "1",
        "--target", "make_seeds", "--target", "evaluate@crf", "--dry-run",
    ).splitlines()  # fmt: skip
    assert printed[:2] == [
        "dvc exp run --queue -n eps-control-d1-s3 -S data=shapes "
        "-S recipes/shapes.yaml:prepare_data.seed=1 -S baseline=eps -S contrast=none "
        "-S eps.equivariance=true -S seed=3 make_seeds evaluate@crf",
        "dvc exp run --queue -n psc-d1-s3 -S data=shapes "
        "-S recipes/shapes.yaml:prepare_data.seed=1 -S baseline=seam -S contrast=hsc "
        "-S hsc.crf=none -S hsc.momentum_prototypes=false -S hsc.roi=false -S hsc.class=false "
        "-S seed=3 make_seeds evaluate@crf",
    ]
    assert printed[2].startswith("2 runs to queue, 0 there already (")
    assert not calls


def test_photographs_have_no_data_seed(calls: list[tuple[str, ...]]) -> None:
    words = ["--data", "voc_animals", "--rows", "seam", "--seeds", "0"]
    folder = "recipes/voc_animals.yaml:prepare_data.subset.folder=/there"
    assert invoke(*words, "--set", folder, "--dry-run").splitlines()[0] == (
        "dvc exp run --queue -n voc_animals-seam-d0-s0 -S data=voc_animals -S baseline=seam "
        f"-S contrast=none -S seed=0 -S {folder} "
        "evaluate@crf evaluate@masks evaluate@val"
    )
    result = CliRunner().invoke(queue.main, [*words, "--data-seeds", "0,1"])
    assert result.exit_code == 1
    assert "voc_animals is not drawn" in result.output


def test_runs_that_are_there_or_wait_are_left_out(calls: list[tuple[str, ...]]) -> None:
    words = ["--data", "shapes", "--rows", "cam,seam,seam-hsc,eps", "--seeds", "0,1"]
    printed = invoke(*words, "--data-seeds", "0")
    names = [words[words.index("-n") + 1] for words in calls]
    # A failed run is queued again, and so is one whose experiment was removed.
    assert names == ["eps-d0-s0", "cam-d0-s1", "seam-d0-s1", "seam-hsc-d0-s1", "eps-d0-s1"]
    assert all(words[:3] == ("exp", "run", "--queue") for words in calls)
    assert all(words[-1] == "make_seeds" for words in calls)
    assert "5 runs queued, 3 there already" in printed


def test_runs_that_were_collected_elsewhere_are_left_out(
    calls: list[tuple[str, ...]], tmp_path: Path
) -> None:
    """A clone has the file of results and none of the experiments."""
    path = tmp_path / "runs.json"
    run = make("eps", 0, 0, 50.0)
    write_runs(path, {run.name: run})
    words = ["--data", "shapes", "--rows", "eps,eps-hsc", "--seeds", "0"]
    printed = invoke(*words, "--collected", str(path))
    assert [words[words.index("-n") + 1] for words in calls] == ["eps-hsc-d0-s0"]
    assert "1 runs queued, 1 there already" in printed


def test_an_empty_queue_has_nothing_waiting() -> None:
    assert queue.waiting("No experiment tasks in the queue.\n\nWorker status: 0 active\n") == set()


@pytest.mark.parametrize("words", [["--seeds", "0,x"], ["--data-seeds", ""], ["--rows", "hsc"]])
def test_wrong_words_are_one_line(calls: list[tuple[str, ...]], words: list[str]) -> None:
    result = CliRunner().invoke(queue.main, ["--data", "shapes", "--rows", "seam", *words])
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert not calls


def test_uncommitted_changes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        person = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *person, *words], cwd=tmp_path, check=True, capture_output=True)

    monkeypatch.chdir(tmp_path)
    git("init")
    (tmp_path / "a").write_text("1")
    git("add", "a")
    git("commit", "-m", "a")
    (tmp_path / "untracked").touch()
    queue.require_committed()
    (tmp_path / "a").write_text("2")
    with pytest.raises(HscError, match="commit or stash\n M a"):
        queue.require_committed()


def test_targets_are_stages() -> None:
    text = Path(__file__).resolve().parents[2].joinpath("dvc.yaml").read_text(encoding="utf-8")
    stages = yaml.safe_load(text)["stages"]
    known = {name for name, stage in stages.items() if "foreach" not in stage}
    for name, stage in stages.items():
        known |= {f"{name}@{item}" for item in stage.get("foreach", ())}
    for table in TABLES.values():
        words = queue.command(table, (select("seam")[0], 0, 0), table.targets)
        assert words[-len(table.targets) :] == list(table.targets)
        assert set(table.targets) <= known


def test_photographs_have_every_figure_of_the_table() -> None:
    """`evaluate@val` alone leaves those of the CRF and the masks out: they are on no way to it."""
    evaluated = {figure for figure in TABLE_FIGURES if figure != "seeds"}
    assert {f"evaluate@{figure}" for figure in evaluated} == {*TABLES["voc_animals"].targets}
