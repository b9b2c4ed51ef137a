"""hsc.report.terminal: the table at the end of `make repro`."""

import dataclasses

import pytest

from hsc.report.facts import Facts, gather
from hsc.report.terminal import table
from tests.report.runs import Run, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = make_run(tmp_path_factory.mktemp("terminal") / "run", "shapes", ("zebra", "ringed"))
    run.record("train_cam", "outputs/cam.pt", seconds=60.0)
    run.record("infer_cams", "outputs/cams.h5", seconds=15.4)
    return run


@pytest.fixture(scope="module")
def facts(run: Run) -> Facts:
    return gather(run.where)


def rows(text: str) -> dict[str, list[str]]:
    """The words of every line behind its title."""
    titles = ("data set", "backbone", "CAMs of SEAM + HSC", "seeds", "+ CRF", "masks", "prediction")
    lines = text.splitlines()[1:]
    assert [line.startswith(title) for line, title in zip(lines, titles, strict=True)] == [True] * 7
    return {t: line.removeprefix(t).split() for t, line in zip(titles, lines, strict=True)}


def test_eight_lines_that_fit_a_terminal(facts: Facts) -> None:
    lines = table(facts).splitlines()
    assert len(lines) == 8
    assert lines[0].split() == ["pictures", "mIoU", "(%)", "time"]
    assert max(map(len, lines)) <= 80
    ends = {len(line) for line in lines if line.endswith(" s")} | {len(lines[0])}
    assert len(ends) == 1  # times stand below their title


def test_scores_are_those_of_the_metrics(run: Run, facts: Facts) -> None:
    found = rows(table(facts))
    for title, step in (("seeds", "seeds"), ("+ CRF", "crf"), ("masks", "masks")):
        score = run.scores(step)
        assert found[title][:4] == [str(score["images"]), "of", "train", f"{score['mIoU']:.2f}"]
    assert found["prediction"][2:4] == ["val", f"{run.scores('val')['mIoU']:.2f}"]


def test_times_of_a_steps_stages_are_summed(facts: Facts) -> None:
    found = rows(table(facts))
    assert found["CAMs of SEAM + HSC"][-4:] == ["1", "min", "15", "s"]
    assert found["backbone"][-1] == "train_aug"  # no record


def test_what_is_not_scored_or_not_there(facts: Facts) -> None:
    blind = facts.scores["seeds"].model_copy(update={"miou": None})
    found = rows(table(dataclasses.replace(facts, scores={"seeds": blind}, data=None)))
    assert found["seeds"][3:5] == ["no", "masks"]
    assert found["prediction"] == []
    assert found["data set"] == []
