"""What every stage shows while it runs, and the record that it leaves."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hsc.base.progress import Progress
from hsc.base.run_record import RunRecord, find_record
from tests.stage_runs import PlainStage, change, run_well, stage, stages, write_settings
from tests.watched import Watched

pytestmark = pytest.mark.usefixtures("cpu")

INPUTS = ("reading the inputs", "file")
SHOWN = {
    "prepare_data": [("pictures", "image", 16), ("reading sizes", "image", 16)],
    "prepare_backbone": [(*INPUTS, 13), ("warm-up", "step", 3), ("tag accuracy", "image", 12)],
    "train_cam": [(*INPUTS, 14), ("CAM training", "step", 6)],
    "infer_cams": [(*INPUTS, 14), ("CAMs", "image", 12)],
    "make_seeds": [("scoring", "image", 8), ("seeds", "image", 12)],
    "refine_crf": [("CRF", "image", 12)],
    "label_affinity": [("CRF", "image", 12)],
    "train_affinity": [(*INPUTS, 26), ("affinity training", "step", 4)],
    "refine_masks": [("masks", "image", 12)],
    "train_segmentation": [(*INPUTS, 26), ("segmentation training", "step", 4)],
    "evaluate_rounds": [],  # of deeplab
    "predict_segmentation": [("predictions", "image", 4)],
    "evaluate": [("scoring", "image", 4)],  # val
    "draw_panels": [("predictions", "image", None)],
}
"""Title, unit and total of each bar, one after the other."""

Ran = tuple[Path, dict[str, Watched]]


def name_of(each: PlainStage) -> str:
    """As its file is called."""
    return each.cmd.split()[2].removeprefix("stages.")


@pytest.fixture(scope="module")
def watch() -> Iterator[Callable[[PlainStage, Path], Watched]]:
    """Run a stage; what it showed where it would have written into a log."""
    with pytest.MonkeyPatch.context() as patch:

        def run(it: PlainStage, folder: Path) -> Watched:
            watched = Watched()

            def lines(title: str, unit: str, write: object) -> Progress:
                return watched.bars(title, unit)

            patch.setattr("hsc.base.cli.LogLines", lines)
            run_well(it, folder)
            return watched

        yield run


@pytest.fixture(scope="module")
def ran(
    tmp_path_factory: pytest.TempPathFactory, watch: Callable[[PlainStage, Path], Watched]
) -> Ran:
    """A folder in which all stages ran, with PSA, and what each of them showed."""
    folder = tmp_path_factory.mktemp("ran")
    write_settings(folder)
    change(folder / "params.yaml", psa__enabled=True)
    return folder, {each.name: watch(each, folder) for each in stages()}


@pytest.mark.parametrize("name", [each.name for each in stages()])
def test_bars(ran: Ran, name: str) -> None:
    expected = SHOWN[name_of(stage(name))]
    found = ran[1][name].shown
    assert [shown[:2] for shown in found] == [bar[:2] for bar in expected]
    for (title, _, calls), (_, _, total) in zip(found, expected, strict=True):
        assert calls[0][0] == 0, title
        assert calls[-1][0] == calls[-1][1], "it came to its end"
        if name in SHOWN or name == "evaluate@val":
            assert total in (None, calls[-1][1]), title
        dones = [done for done, _, _ in calls]
        assert dones == list(range(len(dones))), "told with every picture, step or file"


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        ("train_cam", ["loss", "lr", "classification"]),
        ("train_affinity", ["loss", "lr", "background"]),
        ("train_segmentation", ["loss", "lr"]),
        ("prepare_backbone", ["loss", "lr", "correct"]),
    ],
)
def test_trainings_show_their_figures(ran: Ran, name: str, terms: list[str]) -> None:
    (calls,) = (calls for _, unit, calls in ran[1][name].shown if unit == "step")
    assert all(list(figures)[: len(terms)] == terms for _, _, figures in calls[1:])


def test_links_are_counted(
    ran: Ran, tmp_path: Path, watch: Callable[[PlainStage, Path], Watched]
) -> None:
    """Without PSA the masks are links to the CRF's labels."""
    import shutil

    work = shutil.copytree(ran[0], tmp_path / "work")
    change(work / "params.yaml", psa__enabled=False)
    assert watch(stage("refine_masks"), work).done() == {"linking": (12, 12)}


def record_of(folder: Path, it: PlainStage, records: Path) -> RunRecord | None:
    """By the first product that the stage has on its command's line or by default."""
    products = [*it.outs, *it.metrics]
    if name_of(it) == "prepare_data":
        products = list(it.outs[1:])  # the data set itself is not read again
    found = (find_record(name_of(it), folder / product, records) for product in products)
    return next((record for record in found if record), None)


@pytest.mark.parametrize("name", [each.name for each in stages()])
def test_records(ran: Ran, runs_folder: Path, name: str) -> None:
    it = stage(name)
    found = record_of(ran[0], it, runs_folder)
    assert found is not None
    assert found.stage == name_of(it)
    assert found.product in (*it.outs, *it.metrics)
    assert found.device == "cpu"
    assert found.seconds > 0
