"""DeepLab training on tiny pseudo labels."""

import hashlib
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.checkpoints import ResumeFile, watched_state
from hsc.nets.segmentation import load_segmentation
from hsc.nets.small_resnet import SmallResNet
from hsc.params.base import ImportParams
from hsc.params.segmentation import SegmentationNetworkParams, TrainSegmentationParams
from hsc.segmentation.training import (
    SegmentationObjective,
    Trained,
    initial_file,
    load_initial,
    train_segmentation,
)
from tests.events import read_events, scalars

Interrupt = Callable[[type, int, Callable[[], Any]], None]
Train = Callable[..., tuple[Path, Trained]]


class Fixed(nn.Module):
    """Stands for the network: gives the logits it was made with."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, image: Tensor) -> Tensor:
        return self.logits


def objective_loss(logits: Tensor, label: Tensor) -> tuple[Tensor, Fixed]:
    network = Fixed(logits)
    terms = SegmentationObjective(network).losses({"image": torch.empty(0), "label": label})
    assert list(terms) == ["loss"]
    return terms["loss"], network


def test_loss_is_the_mean_over_labelled_pixels() -> None:
    logits = torch.zeros(1, 3, 1, 4)
    logits[0, 1, 0, 1] = math.log(2)
    label = torch.tensor([[[0, 1, 255, 255]]])
    loss, _ = objective_loss(logits, label)
    assert loss.item() == pytest.approx((math.log(3) + math.log(2)) / 2)


def test_ignored_pixels_get_no_gradient() -> None:
    label = torch.tensor([[[0, 1, 255, 255]]])
    loss, network = objective_loss(torch.randn(1, 3, 1, 4), label)
    loss.backward()
    assert network.logits.grad[..., :2].abs().sum() > 0
    assert not network.logits.grad[..., 2:].any()


def test_crop_without_labels_counts_as_0() -> None:
    loss, network = objective_loss(torch.randn(2, 3, 4, 4), torch.full((2, 4, 4), 255))
    assert loss == 0
    loss.backward()
    assert not network.logits.grad.any()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """Pseudo labels: a square of the first tagged class in the middle, a border of 255."""
    folder = tmp_path_factory.mktemp("masks")
    for image_id in tiny_folder.ids("train_aug"):
        label = np.zeros(tiny_folder.size(image_id), dtype=np.uint8)
        label[8:28, 8:28] = 255
        label[10:26, 10:26] = int(tiny_folder.tags(image_id).argmax()) + 1
        write_mask(folder / f"{image_id}.png", label)
    return folder


@pytest.fixture
def training(
    tmp_path: Path,
    tiny_folder: VocFolder,
    labels: Path,
    tiny_backbone: Path,
    tiny_segmentation_network: SegmentationNetworkParams,
    tiny_segmentation_params: TrainSegmentationParams,
    cpu: Any,
) -> Train:
    def run(name: str, **changes: Any) -> tuple[Path, Trained]:
        output = tmp_path / f"{name}.pt"
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "masks": labels,
            "backbone": tiny_backbone,
            "seed": 0,
            "network": tiny_segmentation_network,
            "params": tiny_segmentation_params,
            "runtime": cpu,
            "resume": ResumeFile(tmp_path, name, "key"),
            "output": output,
            **changes,
        }
        return output, train_segmentation(**arguments)

    return run


def test_training_learns_and_writes_a_network(training: Train) -> None:
    output, (history, _) = training("a")
    assert [row["step"] for row in history] == list(range(8))
    assert history[-1]["loss"] < history[0]["loss"]
    network, spec = load_segmentation(output)
    assert len(spec["class_names"]) == 8
    assert spec["head"]["dropout"] == 0.5
    assert network(torch.zeros(1, 3, 20, 24)).shape == (1, 9, 20, 24)
    assert not network.training


def test_looking_on_changes_no_byte(
    training: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unseen, _ = training("unseen")
    monkeypatch.setenv("HSC_TENSORBOARD", str(tmp_path / "events"))
    seen, _ = training("seen", resume=watched_state(tmp_path, "seen", "key", tmp_path / "a.csv"))
    assert seen.read_bytes() == unseen.read_bytes()
    folder = tmp_path / "events" / "seen-key"
    assert [step for step, _ in scalars(folder, "loss")] == list(range(8))
    assert len(read_events(folder).Tags()["images"]) == 4


def test_same_seed_same_bytes_other_seed_others(training: Train) -> None:
    seeds = {"first": 0, "second": 0, "other": 1}
    first, second, other = (training(name, seed=seed)[0] for name, seed in seeds.items())
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("stop_at", [2, 5, 7])
def test_interrupted_training_ends_in_the_same_bytes(
    training: Train, tmp_path: Path, interrupted: Interrupt, stop_at: int
) -> None:
    """Half of the channels drop out, so the random state has to come back too."""
    expected, history = training("undisturbed")
    interrupted(SegmentationObjective, stop_at, lambda: training("interrupted"))
    assert not (tmp_path / "interrupted.pt").exists()
    torch.manual_seed(99)
    found, again = training("interrupted")
    assert again == history
    assert found.read_bytes() == expected.read_bytes()


def test_dropout_is_at_work(
    training: Train, tiny_segmentation_network: SegmentationNetworkParams
) -> None:
    """Otherwise the test above would show nothing."""
    head = tiny_segmentation_network.head.model_copy(update={"dropout": 0.0})
    with_dropout, _ = training("a")
    without, _ = training("b", network=tiny_segmentation_network.model_copy(update={"head": head}))
    a, b = (load_segmentation(path)[0].state_dict() for path in (with_dropout, without))
    assert not torch.equal(a["classifier.weight"], b["classifier.weight"])


def test_training_works_without_masks(training: Train, tmp_path: Path, tiny_root: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("SegmentationClass"))
    expected, _ = training("a")
    found, _ = training("b", folder=VocFolder(root))
    assert found.read_bytes() == expected.read_bytes()


def test_missing_pseudo_label_is_an_error(
    training: Train, tmp_path: Path, labels: Path, tiny_folder: VocFolder
) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(labels, masks)
    missing = masks / f"{tiny_folder.ids('train_aug')[3]}.png"
    missing.unlink()
    with pytest.raises(HscError, match=f"{missing.name}: no such file"):
        training("a", masks=masks)
    assert not (tmp_path / "a.pt").exists()


def test_backbone_of_another_width_is_an_error(
    training: Train, tiny_segmentation_network: SegmentationNetworkParams, tiny_backbone: Path
) -> None:
    wider = tiny_segmentation_network.model_copy(update={"widths": (4, 4, 8, 16)})
    with pytest.raises(HscError) as error:
        training("a", network=wider)
    assert str(error.value).startswith(f"{tiny_backbone}: its widths")
    assert "[4, 4, 8, 8]" in str(error.value)
    assert "[4, 4, 8, 16]" in str(error.value)


def test_damaged_resume_file_is_an_error(training: Train, tmp_path: Path) -> None:
    resume = ResumeFile(tmp_path, "a", "key")
    resume.path.write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(HscError) as error:
        training("a")
    assert str(resume.path) in str(error.value)
    assert not (tmp_path / "a.pt").exists()


# What the backbone starts from


def test_the_warm_up_s_weights_are_recorded(training: Train, tiny_backbone: Path) -> None:
    output, (_, origin) = training("a")
    digest = hashlib.sha256(tiny_backbone.read_bytes()).hexdigest()
    assert origin == {"kind": "warm-up", "supervision": "tags", "sha256": digest}
    assert load_segmentation(output)[1]["initial_weights"] == origin


def test_training_from_nothing(
    training: Train, tiny_segmentation_params: TrainSegmentationParams, tmp_path: Path
) -> None:
    changed = tiny_segmentation_params.model_copy(update={"initial_weights": "none"})
    with_weights, _ = training("a")
    without, (_, origin) = training("b", params=changed, backbone=tmp_path / "none.pt")
    assert origin == {"kind": "none", "supervision": "none"}
    a, b = (load_segmentation(path)[0].state_dict() for path in (with_weights, without))
    assert not torch.equal(a["backbone.stem.weight"], b["backbone.stem.weight"])
    assert initial_file("none", "small", tmp_path / "none.pt") == []


def imported(**changes: Any) -> ImportParams:
    return ImportParams.model_validate({"layout": "own", **changes})


def test_training_from_another_file(
    training: Train,
    tiny_segmentation_params: TrainSegmentationParams,
    tiny_backbone: Path,
    tmp_path: Path,
) -> None:
    """The same weights by another way give the same network."""
    how = imported(weights=str(tiny_backbone))
    changed = tiny_segmentation_params.model_copy(update={"initial_weights": how})
    prepared, _ = training("a")
    found, (_, origin) = training("b", params=changed, backbone=tmp_path / "none.pt")
    assert origin == {
        "kind": "import",
        "layout": "own",
        "source": tiny_backbone.name,
        "sha256": hashlib.sha256(tiny_backbone.read_bytes()).hexdigest(),
        "supervision": "tags",
    }
    a, b = (load_segmentation(path)[0].state_dict() for path in (prepared, found))
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert initial_file(how, "small", tmp_path / "none.pt") == [tiny_backbone]


def test_training_from_a_segmentation_network_is_refused(
    training: Train, tiny_segmentation_params: TrainSegmentationParams, tmp_path: Path
) -> None:
    first, _ = training("a")
    for supervision in (None, "masks"):
        how = imported(weights=str(first), supervision=supervision)
        changed = tiny_segmentation_params.model_copy(update={"initial_weights": how})
        if supervision is None:
            with pytest.raises(HscError, match=r"a\.pt: it holds deeplab weights, so its weights"):
                training("b", params=changed)
            assert not (tmp_path / "b.pt").exists()
        else:
            output, (_, origin) = training("b", params=changed)
            assert origin["supervision"] == "masks"
            assert load_segmentation(output)[1]["initial_weights"]["supervision"] == "masks"


def test_weights_of_another_backbone(tiny_backbone: Path, tmp_path: Path) -> None:
    spec = {"backbone": "small", "widths": [4, 6, 8, 10]}
    how = imported(weights=str(tiny_backbone))
    with pytest.raises(HscError, match=r"backbone\.pt: weights of another network: .*conv1"):
        load_initial(SmallResNet((4, 6, 8, 10)), spec, how, tmp_path)
    with pytest.raises(HscError, match=r"backbone\.pt: its backbone is small, not resnet101"):
        load_initial(SmallResNet((4, 6, 8, 10)), spec | {"backbone": "resnet101"}, how, tmp_path)


# Other heads


@pytest.mark.parametrize(
    "head",
    [
        {"kind": "largefov", "channels": 8, "dilation": 2, "dropout": 0.5, "dropout_of": "values"},
        {"kind": "aspp", "channels": 8, "rates": (1, 2), "pooled_norm": True, "dropout": 0.0,
         "dropout_of": "values", "norm_momentum": 0.5},
    ],
    ids=["largefov", "published aspp"],
)  # fmt: skip
def test_every_head_trains_and_comes_back(
    training: Train, tiny_segmentation_network: SegmentationNetworkParams, head: dict[str, Any]
) -> None:
    values = tiny_segmentation_network.backbone_spec | {"head": head}
    network = SegmentationNetworkParams.model_validate(values)
    output, (history, _) = training("a", network=network)
    assert history[-1]["loss"] < history[0]["loss"]
    loaded, spec = load_segmentation(output)
    assert spec["head"]["kind"] == head["kind"]
    assert loaded(torch.zeros(1, 3, 20, 24)).shape == (1, 9, 20, 24)
