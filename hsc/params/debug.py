"""`debug: true`: any recipe with few pictures, few steps and small crops, on one scale.

It finds a broken path of a real run in minutes, on a CPU too: the same archives, weights, networks
and stages. The scores of such a run mean nothing.
"""

from dataclasses import replace
from typing import Any, TypeVar

from hsc.params.base import Augmentation, TrainingParams
from hsc.params.recipe import Recipe, TrainCamParams, WarmupParams
from hsc.params.segmentation import TrainAuxSegNetParams

PICTURES = 8
"""Of a split."""
_SIDE = 64
_Training = TypeVar("_Training", bound=TrainingParams)


def shortened(recipe: Recipe) -> Recipe:
    """The recipe of a trial. What says where data and weights come from stays as it is."""
    warmup = recipe.prepare_backbone
    if isinstance(warmup, WarmupParams):
        small = {"epochs": 1, "batch_size": 2, "sizes": (_SIDE,)}
        warmup = warmup.model_copy(update=small | _crops(warmup.augmentation))
    inference = {"scales": (0.5,)}
    segmentation, prediction = recipe.train_segmentation, recipe.predict_segmentation
    changed = {
        "prepare_data": recipe.prepare_data | _few(recipe.prepare_data),
        "prepare_backbone": warmup,
        "train_cam": {name: _short(how) for name, how in recipe.train_cam.items()},
        "infer_cams": {
            name: how.model_copy(update=inference) for name, how in recipe.infer_cams.items()
        },
        "train_affinity": _short(recipe.train_affinity),
        "train_segmentation": segmentation.model_copy(
            update={name: _short(how) for name, how in segmentation}
        ),
        "predict_segmentation": prediction.model_copy(
            update={name: how.model_copy(update=inference) for name, how in prediction}
        ),
        "draw_panels": recipe.draw_panels.model_copy(update={"pictures": 2}),
    }
    return recipe.model_copy(update=changed)


def _few(prepare: dict[str, Any]) -> dict[str, Any]:
    """A generated data set has its sizes, every other one a limit."""
    if prepare.get("kind") == "shapes":
        return {"train": PICTURES, "scored_train": PICTURES // 2, "val": PICTURES}
    return {"limit": PICTURES}


def _short(training: _Training) -> _Training:
    changed: dict[str, Any] = {"steps": 2, "batch_size": 2, "checkpoint_every": 1}
    if isinstance(training, TrainCamParams):
        changed |= {"view2_size": _SIDE // 2, "crf_size": _SIDE // 4}
    if isinstance(training, TrainAuxSegNetParams):
        changed |= {"rounds": 2}
    return training.model_copy(update=changed | _crops(training.augmentation))


def _crops(augmentation: Augmentation) -> dict[str, Augmentation]:
    changed: dict[str, Any] = {"crop_size": _SIDE}
    if augmentation.resize_longest is not None:
        changed["resize_longest"] = (_SIDE, 3 * _SIDE // 2)
    return {"augmentation": replace(augmentation, **changed)}
