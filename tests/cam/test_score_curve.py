"""The threshold curve of CAMs against the masks of a small data set."""

import numpy as np
import pytest

from hsc.base.errors import HscError
from hsc.cam.seed_stage import score_curve
from hsc.cam.seeds import threshold_seeds
from hsc.data.voc import write_mask
from hsc.store import CamReader, CamWriter
from tests.scoring.two_pictures import CLASSES, MASKS, make_folder, scored


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "data")


@pytest.fixture
def cams(tmp_path):
    """CAMs of both images, open."""
    rng = np.random.default_rng(0)
    with CamWriter(tmp_path / "cams.h5", CLASSES, "") as writer:
        for image_id, mask in MASKS.items():
            writer.add(image_id, rng.random((1, *mask.shape), dtype=np.float32), [1])
    with CamReader(tmp_path / "cams.h5") as reader:
        yield reader


def test_the_curve_agrees_with_the_seeds_written_at_each_threshold(folder, cams, tmp_path):
    thresholds = [0.1, 0.4, 0.7]
    curve = score_curve(folder, cams, "train", thresholds)
    for threshold, miou in zip(thresholds, curve.miou(), strict=True):
        seeds = tmp_path / str(threshold)
        for image_id in MASKS:
            write_mask(seeds / f"{image_id}.png", threshold_seeds(*cams.read(image_id), threshold))
        assert scored(folder, seeds, "train")["mIoU"] == pytest.approx(100 * miou, abs=1e-4)


def test_cams_of_other_classes_are_named(folder, tmp_path):
    with CamWriter(tmp_path / "other.h5", ["dog", "cat"], ""):
        pass
    with (
        CamReader(tmp_path / "other.h5") as reader,
        pytest.raises(HscError, match=r"other\.h5.*dog, cat.*cat, dog"),
    ):
        score_curve(folder, reader, "train", [0.1])


def test_cams_that_lack_an_image_or_have_another_size_are_named(folder, tmp_path):
    path = tmp_path / "other.h5"
    with CamWriter(path, CLASSES, "") as writer:
        writer.add("b", np.zeros((1, 2, 2)), [1])
    with CamReader(path) as reader, pytest.raises(HscError, match=r"other\.h5: no map of a"):
        score_curve(folder, reader, "train", [0.1])
    with CamWriter(path, CLASSES, "") as writer:
        writer.add("a", np.zeros((1, 2, 3)), [1])
        writer.add("b", np.zeros((1, 2, 2)), [1])
    with (
        CamReader(path) as reader,
        pytest.raises(HscError, match=r"other\.h5: b: .*SegmentationClass/b\.png"),
    ):
        score_curve(folder, reader, "train", [0.1])
