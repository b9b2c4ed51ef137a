"""The plain step gives the method's own loss, and the part notices where it does not."""

from pathlib import Path

import pytest
import torch

from benchmarks import step
from benchmarks.part import Disagreement
from benchmarks.parts import training_step
from benchmarks.reference_step import PlainStep
from hsc.params.reading import read_recipe


@pytest.fixture
def small_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """The network of `shapes` in the place of ResNet-38, everything else as published."""
    network = read_recipe(Path("recipes/shapes.yaml")).network
    published = read_recipe(Path("recipes/voc2012.yaml")).model_copy(update={"network": network})
    monkeypatch.setattr(step, "read_recipe", lambda path: published)


@pytest.mark.parametrize("name", training_step.NAMES)
def test_the_losses_agree(name: str, small_network: None) -> None:
    assert training_step.compare(name) < training_step.MOST_OFF


@pytest.mark.parametrize("name", training_step.NAMES)
@pytest.mark.parametrize("constant", ["k_class", "k_pixel", "temperature", "background_score"])
def test_every_constant_is_in_both(
    name: str, constant: str, small_network: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With another one in the plain step alone they part."""
    losses = PlainStep.losses

    def other(self: PlainStep, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        params = self.contrast.params
        more = {"k_class": 1, "k_pixel": 1, "temperature": 0.2, "background_score": 0.5}[constant]
        self.contrast.params = params.model_copy(update={constant: more})
        try:
            return losses(self, batch)
        finally:
            self.contrast.params = params

    monkeypatch.setattr(PlainStep, "losses", other)
    with pytest.raises(Disagreement, match="the losses differ by"):
        training_step.compare(name)


@pytest.mark.parametrize("name", training_step.NAMES)
def test_gradients_agree(name: str, small_network: None) -> None:
    """Of the backbone, the head, the PCM and the projectors."""
    method, _ = step.method(name, training_step.SMALL)
    method.contrast.params = method.contrast.params.model_copy(update={"crf": "none"})
    batch = step.random_batch(training_step.SMALL, torch.device("cpu"))
    found = []
    for objective in (method, PlainStep(method, training_step.SMALL.view2, crf_side=0)):
        method.zero_grad(set_to_none=True)
        objective.eval().losses(batch)["loss"].backward()
        found.append({key: p.grad for key, p in method.network.named_parameters()})
    for key, gradient in found[0].items():
        if gradient is None:
            assert found[1][key] is None, key
        else:
            torch.testing.assert_close(found[1][key], gradient, rtol=1e-3, atol=1e-5)


def test_what_the_part_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """In processes of their own, where the network is ResNet-38."""
    monkeypatch.setattr(training_step, "NAMES", ("seam+hsc",))
    monkeypatch.setattr(training_step, "compare", lambda name: 1e-9)
    found = training_step.measure(1, step.Size(2, 32, 16, "lattice"))
    assert found.reference_seconds > 0
    assert "2 pictures of 32 + 16; plain, here, here in bf16: seam+hsc" in found.agreement
    assert found.agreement.count(" GB") == 3
