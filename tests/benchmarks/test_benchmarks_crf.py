"""The parts of HSC's CRF and of PAR: they have work to do, and another result is noticed."""

import pytest

from benchmarks.part import Disagreement, measure
from benchmarks.parts import par, training_crf


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are not asked for."""
    monkeypatch.setattr(training_crf, "SIDE", 32)


def test_the_batch_is_mended_by_the_crf() -> None:
    images, labels = training_crf.batch()
    assert images.shape == (4, 32, 32, 3)
    assert labels.shape == (2, 4, 32, 32)
    assert (labels[0] != labels[1]).any()
    refined = training_crf.on_lattice(images, labels)()
    assert 0.01 < (refined != labels).mean() < 0.5


def test_the_part() -> None:
    result = measure("training_crf", 1)
    assert result.reference_seconds > 0
    assert result.agreement.startswith("100.00 %")


def test_other_labels_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_crf, "on_lattice", lambda images, labels: lambda: labels)
    with pytest.raises(Disagreement, match="of the labels are the same"):
        measure("training_crf", 1)


def test_the_part_of_par() -> None:
    assert measure("par", 1).ratio > 0


def test_other_maps_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(par, "refine", lambda image, maps, iterations: 1.001 * maps)
    with pytest.raises(Disagreement, match="the maps differ by"):
        measure("par", 1)
