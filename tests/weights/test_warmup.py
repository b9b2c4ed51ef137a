"""The classification warm-up and its scores."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsc.base.errors import HscError
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.nets.backbones import build_backbone, load_backbone
from hsc.nets.weights import load_weights
from hsc.params.base import Augmentation
from hsc.params.recipe import NetworkParams, WarmupParams
from hsc.weights import warmup
from hsc.weights.warmup import one_cycle, tag_accuracy, warm_up

Interrupt = Callable[[type, int, Callable[[], Any]], None]
WarmUp = Callable[..., tuple[Path, dict[str, float], list[dict[str, float]]]]


@pytest.fixture(scope="module")
def params(tiny_augmentation: Augmentation) -> WarmupParams:
    """15 steps, a checkpoint after each, pictures of three sizes."""
    return WarmupParams(
        output_stride=8,
        seed=0,
        pool=0.2,
        epochs=5,
        batch_size=4,
        sizes=(20, 24, 32),
        lr=1e-2,
        weight_decay=1e-2,
        augmentation=tiny_augmentation,
    )


@pytest.fixture
def training(
    tmp_path: Path,
    tiny_folder: VocFolder,
    tiny_network: NetworkParams,
    params: WarmupParams,
    cpu: Any,
) -> WarmUp:
    def run(name: str, **changes: Any) -> tuple[Path, dict[str, float], list[dict[str, float]]]:
        arguments: dict[str, Any] = {
            "folder": tiny_folder,
            "network": tiny_network,
            "params": params,
            "runtime": cpu,
            "resume": ResumeFile(tmp_path, name, "key"),
            "output": tmp_path / f"{name}.pt",
            **changes,
        }
        return arguments["output"], *warm_up(**arguments)

    return run


def test_rate_rises_and_falls() -> None:
    rates = [one_cycle(0.1, step, 100) for step in range(100)]
    assert rates[14] == pytest.approx(0.05), "half way up"
    assert max(rates) == pytest.approx(rates[29]) == pytest.approx(0.1)
    assert rates[64] == pytest.approx(0.05), "half way down"
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert rates[:30] == sorted(rates[:30])
    assert rates[30:] == sorted(rates[30:], reverse=True)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_rate_of_a_short_run_is_in_range(steps: int) -> None:
    assert all(0 <= one_cycle(0.1, step, steps) <= 0.1 for step in range(steps))


def test_warm_up_writes_a_backbone_that_others_start_from(
    training: WarmUp, tiny_network: NetworkParams
) -> None:
    output, scores, history = training("a")
    assert len(history) == 5 * 12 // 4
    assert list(history[0]) == ["step", "lr", "loss", "correct"]
    assert set(scores) == {"tags", "pictures", "worst_class"}
    assert all(0 <= value <= 100 for value in scores.values())
    last = sum(row["loss"] for row in history[-5:])
    assert last < sum(row["loss"] for row in history[:5])
    backbone = build_backbone("small", tiny_network.widths, 4, frozen_norm=True)
    before = backbone.stem.weight.clone()
    spec = {"backbone": "small", "widths": list(tiny_network.widths)}
    load_backbone(backbone, output, spec)
    assert not torch.equal(backbone.stem.weight, before)
    found, state = load_weights(output, "backbone")
    assert found == spec | {"origin": {"kind": "warm-up", "supervision": "tags"}}
    assert not torch.equal(state["norm4.running_mean"], torch.zeros(8)), "norms have learnt"


@pytest.mark.parametrize("stop_at", [2, 13])
def test_interrupted_warm_up_ends_in_the_same_bytes(
    training: WarmUp, interrupted: Interrupt, stop_at: int
) -> None:
    """The size of the pictures is drawn from torch's random state, which has to come back."""
    expected, scores, history = training("undisturbed")
    interrupted(warmup._TagObjective, stop_at, lambda: training("interrupted"))
    assert not expected.with_name("interrupted.pt").exists()
    torch.manual_seed(99)
    found, its_scores, its_history = training("interrupted")
    assert its_history == history
    assert its_scores == scores
    assert found.read_bytes() == expected.read_bytes()


def test_warm_up_works_without_masks_and_saliency(
    training: WarmUp, tmp_path: Path, tiny_root: Path, params: WarmupParams
) -> None:
    root = tmp_path / "data"
    ignore = shutil.ignore_patterns("SegmentationClass", "Saliency")
    shutil.copytree(tiny_root, root, ignore=ignore)
    short = params.model_copy(update={"epochs": 1})
    expected, _, _ = training("a", params=short)
    found, _, _ = training("b", params=short, folder=VocFolder(root))
    assert found.read_bytes() == expected.read_bytes()


def test_batch_larger_than_the_data_set_still_trains(
    training: WarmUp, params: WarmupParams
) -> None:
    _, _, history = training("a", params=params.model_copy(update={"epochs": 1, "batch_size": 16}))
    assert len(history) == 1


def test_unknown_backbone_is_an_error(training: WarmUp, tiny_network: NetworkParams) -> None:
    with pytest.raises(HscError, match=r"'resnet1' is unknown; there are: .*small"):
        training("a", network=tiny_network.model_copy(update={"backbone": "resnet1"}))


class Answers(nn.Module):
    """Stands for the classifier: the true tags, changed by the test, picture after picture."""

    def __init__(self, answers: list[Tensor]) -> None:
        super().__init__()
        self._answers = iter(answers)

    def forward(self, image: Tensor) -> Tensor:
        assert image.shape == (1, 3, 36, 36)
        return (next(self._answers) - 0.5)[None]


def test_tag_accuracy_by_hand(tiny_folder: VocFolder, cpu: Any) -> None:
    tags = [torch.from_numpy(tiny_folder.tags(i)) for i in tiny_folder.ids("train_aug")]
    perfect = tag_accuracy(Answers(tags), tiny_folder, cpu)
    assert perfect == {"tags": 100, "pictures": 100, "worst_class": 100}

    wrong = [tag.clone() for tag in tags]
    chosen = int(tags[0].argmax())
    wrong[0][chosen] = 0  # one class missed in one picture
    absent = int(tags[1].argmin())
    wrong[1][absent] = 1  # one class seen where it is not
    found = tag_accuracy(Answers(wrong), tiny_folder, cpu)
    count = int(torch.stack(tags).sum(0)[chosen])
    assert found["tags"] == pytest.approx(100 * (12 * 8 - 2) / (12 * 8), abs=1e-4)
    assert found["pictures"] == pytest.approx(100 * 10 / 12, abs=1e-4)
    assert found["worst_class"] == pytest.approx(100 * (count - 1) / count, abs=1e-4)
