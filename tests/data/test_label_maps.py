"""Label maps are read as they are, or named in an error."""

import numpy as np
import pytest
from PIL import Image

from hsc.base.errors import HscError
from hsc.data.label_maps import read_labels
from hsc.data.voc import write_mask


def test_reading_labels(tmp_path):
    labels = np.array([[0, 7], [255, 20]], dtype=np.uint8)
    write_mask(tmp_path / "palette.png", labels)
    Image.fromarray(labels).save(tmp_path / "grey.png")
    for name in ("palette", "grey"):
        found = read_labels(tmp_path, name)
        np.testing.assert_array_equal(found, labels)
        assert found.dtype == np.uint8


def test_labels_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(HscError, match=r"a\.png: no such file; run the stage"):
        read_labels(tmp_path, "a")
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    with pytest.raises(HscError, match=r"a\.png.*RGB"):
        read_labels(tmp_path, "a")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(HscError, match=r"a\.png: cannot be read"):
        read_labels(tmp_path, "a")
