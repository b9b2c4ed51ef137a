"""DeepLab training on tiny pseudo labels."""

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsc.data.voc import VocFolder, write_mask
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.segmentation_training import SegmentationObjective, train_segmentation
from hsc.errors import HscError
from hsc.nets.build import load_deeplab
from hsc.params import NetworkParams, TrainSegmentationParams

Interrupt = Callable[[type, int, Callable[[], Any]], None]
Train = Callable[..., tuple[Path, list[dict[str, float]]]]


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
    tiny_network: NetworkParams,
    tiny_segmentation_params: TrainSegmentationParams,
    cpu: Any,
) -> Train:
    def run(name: str, **changes: Any) -> tuple[Path, list[dict[str, float]]]:
        output = tmp_path / f"{name}.pt"
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "masks": labels,
            "backbone": tiny_backbone,
            "seed": 0,
            "network": tiny_network,
            "params": tiny_segmentation_params,
            "runtime": cpu,
            "resume": ResumeFile(tmp_path, name, "key"),
            "output": output,
            **changes,
        }
        return output, train_segmentation(**arguments)

    return run


def test_training_learns_and_writes_a_network(training: Train) -> None:
    output, history = training("a")
    assert [row["step"] for row in history] == list(range(8))
    assert history[-1]["loss"] < history[0]["loss"]
    network, spec = load_deeplab(output)
    assert len(spec["class_names"]) == 8
    assert spec["dropout"] == 0.5
    assert network(torch.zeros(1, 3, 20, 24)).shape == (1, 9, 20, 24)
    assert not network.training


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
    training: Train, tiny_segmentation_params: TrainSegmentationParams
) -> None:
    """Otherwise the test above would show nothing."""
    with_dropout, _ = training("a")
    without, _ = training("b", params=tiny_segmentation_params.model_copy(update={"dropout": 0.0}))
    a, b = (load_deeplab(path)[0].state_dict() for path in (with_dropout, without))
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
    training: Train, tiny_network: NetworkParams, tiny_backbone: Path
) -> None:
    wider = tiny_network.model_copy(update={"widths": (4, 4, 8, 16)})
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
