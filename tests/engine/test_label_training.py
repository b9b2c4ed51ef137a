"""What trainings on label maps share. That they learn, resume and refuse bad labels stands in the
tests of AffinityNet's and DeepLab's training."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hsc.data.samples import SegmentationSamples
from hsc.data.voc import VocFolder, write_mask
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.label_training import label_optimiser, train_on_labels
from hsc.nets.deeplab import deeplab_network
from hsc.params.segmentation import SegmentationNetworkParams, TrainSegmentationParams
from hsc.segmentation.training import segmentation_spec
from tests.watched import Watched


class Recorder(nn.Module):
    """A network of one weight which notes the batches that it sees."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, 1))
        self.labels: list[Tensor] = []

    def role(self, name: str) -> str:
        return "new"

    def losses(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        self.labels.append(batch["label"])
        return {"loss": (self.weight * batch["image"].mean()).sum() ** 2}

    def commit(self) -> None:
        pass


def test_the_schedule_is_the_recipe_s(
    tmp_path: Path,
    tiny_folder: VocFolder,
    tiny_segmentation_params: TrainSegmentationParams,
    cpu: Any,
) -> None:
    for number, image_id in enumerate(tiny_folder.ids("train_aug")):
        label = np.full(tiny_folder.size(image_id), number % 9, np.uint8)
        write_mask(tmp_path / "labels" / f"{image_id}.png", label)
    recorder, params, watched = Recorder(), tiny_segmentation_params, Watched()
    samples = SegmentationSamples(
        tiny_folder, tiny_folder.ids("train_aug"), tmp_path / "labels", params.augmentation, 0
    )
    history = train_on_labels(
        recorder, recorder, samples, 0, params, cpu,
        ResumeFile(tmp_path, "a", "key"), "test", watched.bars,
    )  # fmt: skip
    assert watched.done() == {"test": (params.steps, params.steps)}
    rates = [params.lr * (1 - step / params.steps) ** params.power for step in range(params.steps)]
    assert [row["lr"] for row in history] == pytest.approx(rates)
    side = params.augmentation.crop_size
    assert {label.shape for label in recorder.labels} == {(params.batch_size, side, side)}
    assert set(torch.cat(recorder.labels).unique().tolist()) == {*range(9), 255}


def test_groups_are_those_of_the_published_recipe(
    tiny_segmentation_network: SegmentationNetworkParams,
    tiny_segmentation_params: TrainSegmentationParams,
) -> None:
    """Rates by role and by weight or bias; biases, norms included, without decay."""
    deeplab = deeplab_network(segmentation_spec(("cat", "dog"), tiny_segmentation_network))
    params = tiny_segmentation_params.model_copy(
        update={"lr": 1e-3, "lr_new": 10.0, "lr_bias": 2.0, "weight_decay": 5e-4, "momentum": 0.9}
    )
    groups = label_optimiser(deeplab, params).param_groups
    names = {parameter: name for name, parameter in deeplab.named_parameters()}
    found = {
        (names[p].split(".")[0] == "backbone", p.ndim == 1): (g["factor"], g["weight_decay"])
        for g in groups
        for p in g["params"]
    }
    assert found == {
        (True, False): (1.0, 5e-4),
        (True, True): (2.0, 0.0),
        (False, False): (10.0, 5e-4),
        (False, True): (20.0, 0.0),
    }
    assert {group["momentum"] for group in groups} == {0.9}
