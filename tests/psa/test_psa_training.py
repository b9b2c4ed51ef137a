"""AffinityNet training on tiny labels."""

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.base.off import NO_STEPS
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import write_history
from hsc.params.recipe import NetworkParams, TrainAffinityParams
from hsc.psa.loss import affinity_loss, pair_sums
from hsc.psa.network import load_affinity_network
from hsc.psa.pairs import pair_labels, pair_offsets
from hsc.psa.training import AffinityObjective, train_affinity

Interrupt = Callable[[type, int, Callable[[], Any]], None]
Train = Callable[..., tuple[Path, list[dict[str, float]]]]


class Fixed(nn.Module):
    """Stands for the network: gives the affinities it was made with."""

    def __init__(self, affinity: Tensor) -> None:
        super().__init__()
        self.offsets = pair_offsets(2)
        self.values = nn.Parameter(affinity)

    def forward(self, image: Tensor) -> Tensor:
        return self.values


def test_objective_is_the_loss_of_the_cells() -> None:
    torch.manual_seed(0)
    cells = torch.tensor([[[0, 0, 1], [1, 1, 255]]])
    label = cells.repeat_interleave(4, 1).repeat_interleave(4, 2)
    network = Fixed(torch.rand(1, 4, 2, 3))
    terms = AffinityObjective(network, stride=4).losses({"image": torch.empty(0), "label": label})
    expected = affinity_loss(pair_sums(network.values, pair_labels(cells, network.offsets)))
    assert list(terms) == ["loss", "background", "foreground", "different"]
    for name, value in expected._asdict().items():
        assert terms[name].item() == pytest.approx(value.item()), name
        assert value > 0


def test_crop_without_labels_counts_as_0() -> None:
    network = Fixed(torch.rand(1, 4, 2, 3))
    batch = {"image": torch.empty(0), "label": torch.full((1, 8, 12), 255)}
    loss = AffinityObjective(network, stride=4).losses(batch)["loss"]
    loss.backward()
    assert loss == 0
    assert not network.values.grad.any()


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """The masks, whose borders are 255."""
    folder = tmp_path_factory.mktemp("labels")
    for image_id in tiny_folder.ids("train_aug"):
        write_mask(folder / f"{image_id}.png", tiny_folder.mask(image_id))
    return folder


@pytest.fixture
def training(
    tmp_path: Path,
    tiny_folder: VocFolder,
    labels: Path,
    tiny_backbone: Path,
    tiny_network: NetworkParams,
    tiny_affinity_params: TrainAffinityParams,
    cpu: Any,
) -> Train:
    def run(name: str, **changes: Any) -> tuple[Path, list[dict[str, float]]]:
        output = tmp_path / f"{name}.pt"
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "labels": labels,
            "backbone": tiny_backbone,
            "seed": 0,
            "network": tiny_network,
            "params": tiny_affinity_params,
            "runtime": cpu,
            "resume": ResumeFile(tmp_path, name, "key"),
            "output": output,
            **changes,
        }
        return output, train_affinity(**arguments)

    return run


def test_training_learns_and_writes_a_network(training: Train, tmp_path: Path) -> None:
    output, history = training("a")
    assert [row["step"] for row in history] == list(range(10))
    assert sum(row["loss"] for row in history[-3:]) < sum(row["loss"] for row in history[:3])
    for row in history:
        parts = row["background"] / 4 + row["foreground"] / 4 + row["different"] / 2
        assert row["loss"] == pytest.approx(parts)
    network, spec = load_affinity_network(output)
    assert spec["radius"] == 3
    assert network(torch.zeros(1, 3, 20, 24)).shape == (1, 12, 5, 6)
    write_history(tmp_path / "table.csv", history)
    with (tmp_path / "table.csv").open() as stream:
        assert ",".join(next(csv.reader(stream))) + "\n" == NO_STEPS, "off or on, the same columns"


def test_same_seed_same_bytes_other_seed_others(training: Train) -> None:
    seeds = {"first": 0, "second": 0, "other": 1}
    first, second, other = (training(name, seed=seed)[0] for name, seed in seeds.items())
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


@pytest.mark.parametrize("stop_at", [2, 5, 9])
def test_interrupted_training_ends_in_the_same_bytes(
    training: Train, tmp_path: Path, interrupted: Interrupt, stop_at: int
) -> None:
    expected, history = training("undisturbed")
    interrupted(AffinityObjective, stop_at, lambda: training("interrupted"))
    assert not (tmp_path / "interrupted.pt").exists()
    torch.manual_seed(99)
    found, again = training("interrupted")
    assert again == history
    assert found.read_bytes() == expected.read_bytes()


def test_training_works_without_masks(training: Train, tmp_path: Path, tiny_root: Path) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root, ignore=shutil.ignore_patterns("SegmentationClass"))
    expected, _ = training("a")
    found, _ = training("b", folder=VocFolder(root))
    assert found.read_bytes() == expected.read_bytes()


def test_statistics_of_the_norms_stay(training: Train, tiny_backbone: Path) -> None:
    before = torch.load(tiny_backbone, weights_only=True)["state"]
    after = load_affinity_network(training("a")[0])[0].backbone.state_dict()
    for key, value in before.items():
        assert torch.equal(after[key], value) == ("running" in key or "batches" in key), key


def test_missing_label_is_an_error(
    training: Train, tmp_path: Path, labels: Path, tiny_folder: VocFolder
) -> None:
    part = shutil.copytree(labels, tmp_path / "labels")
    missing = part / f"{tiny_folder.ids('train_aug')[3]}.png"
    missing.unlink()
    with pytest.raises(HscError, match=f"{missing.name}: no such file"):
        training("a", labels=part)
    assert not (tmp_path / "a.pt").exists()


def test_label_beyond_the_classes_is_an_error(
    training: Train, tmp_path: Path, labels: Path, tiny_folder: VocFolder
) -> None:
    part = shutil.copytree(labels, tmp_path / "labels")
    for image_id in tiny_folder.ids("train_aug"):
        write_mask(part / f"{image_id}.png", np.full((36, 36), 9, dtype=np.uint8))
    with pytest.raises(HscError, match=r"train_\d+\.png: labels of size .* indices up to 9"):
        training("a", labels=part)


def test_backbone_of_another_width_is_an_error(
    training: Train, tiny_network: NetworkParams, tiny_backbone: Path
) -> None:
    wider = tiny_network.model_copy(update={"widths": (4, 4, 8, 16)})
    with pytest.raises(HscError) as error:
        training("a", network=wider)
    assert str(error.value).startswith(f"{tiny_backbone}: its widths")
