"""hsc.data.classes: names and VOC's palette."""

import numpy as np
from torchvision.models.detection import MaskRCNN_ResNet50_FPN_Weights

from hsc.data.classes import (
    BACKGROUND,
    COCO_CLASSES,
    IGNORE,
    SHAPES_CLASSES,
    VOC_CLASSES,
    palette,
)


def test_names() -> None:
    assert len(VOC_CLASSES) == len(set(VOC_CLASSES)) == 20
    assert list(VOC_CLASSES) == sorted(VOC_CLASSES)
    assert VOC_CLASSES.index("person") + 1 == 15
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80
    published = MaskRCNN_ResNet50_FPN_Weights.COCO_V1.meta["categories"]
    by_category_id = [name for name in published[1:] if name != "N/A"]
    assert list(COCO_CLASSES) == by_category_id
    assert len(SHAPES_CLASSES) == len(set(SHAPES_CLASSES)) == 8


def test_palette_is_vocs() -> None:
    colours = palette()
    assert colours.shape == (256, 3)
    assert colours.dtype == np.uint8
    # As in VOC's devkit: aeroplane, bicycle, person, tvmonitor and the border.
    assert colours[BACKGROUND].tolist() == [0, 0, 0]
    assert colours[1].tolist() == [128, 0, 0]
    assert colours[2].tolist() == [0, 128, 0]
    assert colours[15].tolist() == [192, 128, 128]
    assert colours[20].tolist() == [0, 64, 128]
    assert colours[IGNORE].tolist() == [224, 224, 192]
    assert len(np.unique(colours, axis=0)) == 256
