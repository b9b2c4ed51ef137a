"""AuxSegNet's rounds on a tiny data set: they learn, they go on where they were, they check."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hsc.auxsegnet import training as rounds_module
from hsc.auxsegnet.objective import AuxSegNetObjective
from hsc.auxsegnet.training import (
    link_rounds,
    load_classifier,
    network_spec,
    round_folder,
    round_weights,
    train_rounds,
)
from hsc.base.errors import HscError
from hsc.cam.network import cam_network
from hsc.data.voc import VocFolder, read_mask
from hsc.engine.history import History, write_history
from hsc.engine.watch import watch_training
from hsc.losses.auxsegnet import classification_loss, saliency_loss, segmentation_loss
from hsc.methods.contrasts.dscnet import DscNetContrast, DscNetParams
from hsc.nets.auxsegnet import auxsegnet_network
from hsc.nets.segmentation import load_segmentation
from hsc.nets.weights import save_weights
from hsc.params.method import ContrastChoice
from hsc.params.recipe import NetworkParams
from hsc.params.segmentation import TrainAuxSegNetParams
from tests.events import read_events, scalars

DSCNET = ContrastChoice("dscnet", DscNetContrast, DscNetParams(gamma=0.5))
Interrupt = Callable[[type, int, Callable[[], Any]], None]
Train = Callable[..., tuple[Path, History]]


@pytest.fixture(scope="module")
def classifier(
    tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder, tiny_network: NetworkParams
) -> Path:
    """A CAM network as `train_cam` writes it, of random weights."""
    torch.manual_seed(3)
    names = list(tiny_folder.class_names)
    spec = {**tiny_network.backbone_spec, "class_names": names, "pcm": None, "projectors": None}
    path = tmp_path_factory.mktemp("classifier") / "cam.pt"
    save_weights(path, "cam", spec, cam_network(spec).state_dict())
    return path


@pytest.fixture
def training(
    tmp_path: Path,
    tiny_folder: VocFolder,
    tiny_cams: Path,
    classifier: Path,
    tiny_network: NetworkParams,
    tiny_auxsegnet_params: TrainAuxSegNetParams,
    cpu: Any,
) -> Train:
    def run(name: str, **changes: Any) -> tuple[Path, History]:
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "cams": tiny_cams,
            "classifier": classifier,
            "seed": 0,
            "network": tiny_network,
            "params": tiny_auxsegnet_params,
            "contrast": None,
            "runtime": cpu,
            "work": tmp_path / name,
            "processes": 1,
            **changes,
        }
        return tmp_path / name, train_rounds(**arguments)

    return run


def written(work: Path) -> dict[str, bytes]:
    """Every file of a work folder."""
    return {
        path.relative_to(work).as_posix(): path.read_bytes()
        for path in sorted(work.rglob("*"))
        if path.is_file()
    }


def test_rounds_learn_and_write_networks_and_labels(
    training: Train, tiny_folder: VocFolder
) -> None:
    work, history = training("a")
    assert [row["step"] for row in history] == list(range(18))
    assert history[17]["loss"] < history[0]["loss"]
    assert set(history[0]) == {
        "step", "lr", "loss", "classification", "saliency", "refined_saliency", "segmentation",
        "refined_segmentation",
    }  # fmt: skip
    terms = [value for key, value in history[0].items() if key not in ("step", "lr", "loss")]
    assert history[0]["loss"] == pytest.approx(sum(terms), rel=1e-5)
    network, spec = load_segmentation(round_weights(work, 2))
    assert network(torch.zeros(1, 3, 20, 24)).shape == (1, 9, 5, 6)
    assert len(spec["class_names"]) == 8
    ids = tiny_folder.ids("train_aug")
    for index in range(3):
        for kind in ("labels", "saliency"):
            names = {path.stem for path in (round_folder(work, index) / kind).iterdir()}
            assert names == set(ids)
    again = [read_mask(round_folder(work, r) / "labels" / f"{ids[3]}.png", 8) for r in (0, 1)]
    assert not np.array_equal(*again)
    assert sorted(path.name for path in work.iterdir()) == sorted(
        f"{kind}{index}{suffix}"
        for index in range(3)
        for kind, suffix in (("labels", ""), ("round", ".json"), ("round", ".pt"))
    )


def test_looking_on_at_all_rounds_changes_no_byte(
    training: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen, history = training("unseen")
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    seen, _ = training("seen", watch=watch_training(tmp_path / "losses.csv", "rounds"))
    assert written(seen) == written(unseen)
    write_history(tmp_path / "expected.csv", history)
    assert (tmp_path / "losses.csv").read_bytes() == (tmp_path / "expected.csv").read_bytes()
    folder = tmp_path / "events" / "rounds"
    assert [step for step, _ in scalars(folder, "loss")] == list(range(18))
    events = read_events(folder)
    names = events.Tags()["images"]
    assert len(names) == 4
    assert {5, 11, 17} <= {event.step for event in events.Images(names[0])}


def test_same_seed_same_bytes_other_seed_others(training: Train) -> None:
    seeds = {"first": 0, "second": 0, "other": 1}
    first, second, other = (written(training(name, seed=seed)[0]) for name, seed in seeds.items())
    assert first == second
    assert first["round2.pt"] != other["round2.pt"]
    assert first["labels0/labels/train_00001.png"] == other["labels0/labels/train_00001.png"]


def test_the_rate_rises_at_the_beginning_of_every_round(
    training: Train, tiny_auxsegnet_params: TrainAuxSegNetParams
) -> None:
    _, full = training("full")
    changed = tiny_auxsegnet_params.model_copy(update={"warmup": 3})
    _, risen = training("risen", params=changed)
    shares = [of["lr"] / to["lr"] for of, to in zip(risen, full, strict=True)]
    assert shares == pytest.approx([1 / 3, 2 / 3, 1, 1, 1, 1] * 3)


@pytest.mark.parametrize("stop_at", [1, 4, 7, 15])
def test_a_killed_training_goes_on_in_its_round(
    training: Train, interrupted: Interrupt, stop_at: int
) -> None:
    """Within a round between and behind checkpoints, in the first and in the last."""
    expected, history = training("undisturbed")
    interrupted(AuxSegNetObjective, stop_at, lambda: training("interrupted"))
    assert not round_weights(expected.with_name("interrupted"), stop_at // 6).exists()
    torch.manual_seed(99)
    found, again = training("interrupted")
    assert again == history
    assert written(found) == written(expected)


@pytest.mark.parametrize("stop_at", [5, 17, 30])
def test_so_does_one_that_is_killed_while_it_makes_labels(
    training: Train, monkeypatch: pytest.MonkeyPatch, stop_at: int
) -> None:
    expected, history = training("undisturbed")
    write, before = rounds_module.write_round, iter(range(stop_at))

    def stopping(*arguments: Any) -> None:
        if next(before, None) is None:
            raise KeyboardInterrupt
        write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(rounds_module, "write_round", stopping)
        with pytest.raises(KeyboardInterrupt):
            training("interrupted")
    found, again = training("interrupted")
    assert again == history
    assert written(found) == written(expected)


@pytest.mark.parametrize("stop_at", [4, 9])
def test_a_killed_training_with_dscnet_goes_on_too(
    training: Train, interrupted: Interrupt, stop_at: int
) -> None:
    """With the class nodes, the remembered groups and the second CAM that it had."""
    expected, history = training("undisturbed", contrast=DSCNET)
    interrupted(AuxSegNetObjective, stop_at, lambda: training("interrupted", contrast=DSCNET))
    found, again = training("interrupted", contrast=DSCNET)
    assert again == history
    assert written(found) == written(expected)


def test_dscnet_adds_its_terms_and_a_second_cam(training: Train, cpu: Any) -> None:
    """The second CAM makes the labels, so they differ; class nodes go on from round to round."""
    plain, without = training("plain")
    work, history = training("dscnet", contrast=DSCNET)
    added = {"groups", "nodes", "second_classification"}
    assert set(history[0]) == set(without[0]) | added
    weighed = [
        value * (DSCNET.params.gamma if key in ("groups", "nodes") else 1)
        for key, value in history[5].items()
        if key not in ("step", "lr", "loss")
    ]
    assert history[5]["loss"] == pytest.approx(sum(weighed), rel=1e-5)
    assert history[0]["nodes"] == 0
    assert history[6]["nodes"] > 0, "a round knows the nodes of the one before"
    first, last = (load_segmentation(round_weights(work, index))[0] for index in (0, 2))
    assert first.enrichment.seen.any()
    assert not torch.equal(first.enrichment.own.weight, first.head.weight)
    assert not torch.equal(first.enrichment.nodes, last.enrichment.nodes)
    files = (written(plain), written(work))
    made = [
        {path: data for path, data in each.items() if path.startswith("labels1/labels")}
        for each in files
    ]
    assert made[0].keys() == made[1].keys()
    assert made[0] != made[1]


def test_its_switches_are_those_of_table_iv(training: Train) -> None:
    params = DscNetParams(pgcl=False, dscl=False)
    work, history = training("m2", contrast=ContrastChoice("dscnet", DscNetContrast, params))
    assert "nodes" in history[0]
    assert not {"groups", "second_classification"} & set(history[0])
    assert load_segmentation(round_weights(work, 2))[0].enrichment is None


def test_a_round_that_has_ended_is_not_trained_again(
    training: Train, interrupted: Interrupt, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(AuxSegNetObjective, 13, lambda: training("a"))
    losses, count = AuxSegNetObjective.losses, []
    monkeypatch.setattr(
        AuxSegNetObjective, "losses", lambda self, batch: count.append(1) or losses(self, batch)
    )
    training("a")
    assert len(count) == 6


def test_labels_are_the_same_for_any_number_of_processes(training: Train) -> None:
    one, _ = training("one")
    two, _ = training("two", processes=2)
    assert written(one) == written(two)


def test_training_works_without_masks(training: Train, tmp_path: Path, tiny_root: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("SegmentationClass"))
    assert written(training("a")[0]) == written(training("b", folder=VocFolder(root))[0])


def test_a_picture_without_saliency_is_an_error(
    training: Train, tmp_path: Path, tiny_root: Path
) -> None:
    root = shutil.copytree(tiny_root, tmp_path / "data")
    (root / "Saliency" / "train_00002.png").unlink()
    with pytest.raises(HscError, match="no such saliency map, and EPS and AuxSegNet need one"):
        training("a", folder=VocFolder(root))


def test_the_first_round_starts_from_the_cam_network(
    classifier: Path,
    tiny_folder: VocFolder,
    tiny_network: NetworkParams,
    tiny_auxsegnet_params: TrainAuxSegNetParams,
) -> None:
    """The background's row of its head stays behind: AuxSegNet's classifier has none."""
    spec = network_spec(tiny_folder.class_names, tiny_network, tiny_auxsegnet_params)
    network = auxsegnet_network(spec)
    load_classifier(network, classifier, spec)
    state = torch.load(classifier, weights_only=True)["state"]
    assert torch.equal(network.head.weight, state["head.weight"][1:])
    assert torch.equal(network.backbone.stem.weight, state["backbone.stem.weight"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"widths": [4, 4, 8, 16]}, "its widths is .*, the recipe's is .*; run train_cam again"),
        ({"class_names": ["cat"]}, "trained for the classes"),
    ],
)
def test_another_cam_network_is_an_error(
    classifier: Path,
    tiny_folder: VocFolder,
    tiny_network: NetworkParams,
    tiny_auxsegnet_params: TrainAuxSegNetParams,
    change: dict[str, Any],
    said: str,
) -> None:
    spec = network_spec(tiny_folder.class_names, tiny_network, tiny_auxsegnet_params) | change
    with pytest.raises(HscError, match=said):
        load_classifier(auxsegnet_network(spec), classifier, spec)


def test_a_step_is_five_losses_of_the_same_weight(
    tiny_folder: VocFolder, tiny_network: NetworkParams, tiny_auxsegnet_params: TrainAuxSegNetParams
) -> None:
    torch.manual_seed(0)
    spec = network_spec(tiny_folder.class_names, tiny_network, tiny_auxsegnet_params)
    objective = AuxSegNetObjective(auxsegnet_network(spec).eval())
    batch = {
        "image": torch.randn(2, 3, 24, 24),
        "tags": torch.randint(0, 2, (2, 8)).float(),
        "label": torch.randint(0, 9, (2, 24, 24)),
        "saliency": torch.randint(0, 2, (2, 24, 24)),
    }
    maps = objective.network.maps(batch["image"])
    expected = {
        "classification": classification_loss(maps.scores, batch["tags"]),
        "saliency": saliency_loss(maps.saliency, batch["saliency"]),
        "refined_saliency": saliency_loss(maps.refined_saliency, batch["saliency"]),
        "segmentation": segmentation_loss(maps.segmentation, batch["label"]),
        "refined_segmentation": segmentation_loss(maps.refined_segmentation, batch["label"]),
    }
    found = objective.losses(batch)
    torch.testing.assert_close(found.pop("loss"), sum(expected.values()))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_labels_of_every_round_are_linked(training: Train, tmp_path: Path) -> None:
    work, _ = training("a")
    link_rounds(work, 3, tmp_path / "rounds")
    assert sorted(path.name for path in (tmp_path / "rounds").iterdir()) == ["0", "1", "2"]
    for path in (tmp_path / "rounds" / "1").iterdir():
        assert path.samefile(work / "labels1" / "labels" / path.name)
