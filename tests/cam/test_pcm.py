"""The pixel correlation module: worked out by hand, and what it must not train."""

import pytest
import torch

from hsc.cam import pcm
from hsc.cam.pcm import PixelCorrelation, prepare_cam, propagate
from hsc.nets.backbone import Features


def features(requires_grad: bool = False) -> Features:
    torch.manual_seed(0)
    return Features(
        torch.randn(2, 4, 8, 10, requires_grad=requires_grad),
        torch.randn(2, 6, 4, 5, requires_grad=requires_grad),
        torch.randn(2, 7, 4, 5),
    )


def test_prepare_cam_keeps_the_strongest_class_of_each_pixel() -> None:
    #               background   class 1          class 2
    cam = torch.tensor([[9.0, 9, 9], [2.0, 0, -1], [1.0, 4, 0]]).view(1, 3, 1, 3)
    # class 1 over its maximum: 1, 0, 0; class 2: 1/4, 1, 0; the weaker one goes in each pixel
    expected = torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]).view(1, 3, 1, 3)
    assert torch.allclose(prepare_cam(cam), expected, atol=1e-4)


def test_prepare_cam_keeps_ties_and_ignores_the_background_logit() -> None:
    cam = torch.tensor([[0.0, 0], [2, 1], [2, 1]]).view(1, 3, 1, 2)
    found = prepare_cam(cam)
    assert torch.allclose(found[0, 1], found[0, 2])
    assert torch.allclose(found[0, 0, 0], torch.tensor([0.0, 0.5]), atol=1e-4)
    other = cam.clone()
    other[:, 0] = 50
    assert torch.equal(prepare_cam(other), found)


def test_prepare_cam_of_inactive_classes_is_all_background() -> None:
    found = prepare_cam(-torch.rand(2, 3, 4, 5))
    assert torch.equal(found[:, 0], torch.ones(2, 4, 5))
    assert not found[:, 1:].any()


def test_propagate_averages_over_equal_embeddings() -> None:
    # Pixels 0, 2 have one embedding (of different length), pixel 1 one at a right angle.
    embedding = torch.tensor([[1.0, 0, 5], [0, 2, 0]]).view(1, 2, 1, 3)
    cam = torch.tensor([[0.0, 1, 1], [0.8, 0.3, 0.2]]).view(1, 2, 1, 3)
    expected = torch.tensor([[0.5, 1, 0.5], [0.5, 0.3, 0.5]]).view(1, 2, 1, 3)
    assert torch.allclose(propagate(cam, embedding), expected, atol=1e-4)


def test_propagate_cuts_off_negative_cosines() -> None:
    embedding = torch.tensor([[1.0, -1]]).view(1, 1, 1, 2)
    cam = torch.tensor([[0.2, 0.9]]).view(1, 1, 1, 2)
    assert torch.allclose(propagate(cam, embedding), cam, atol=1e-4)


def test_propagate_weighs_by_the_cosine() -> None:
    # Cosines: 0.6 of pixels 0 and 1, 0.8 of 1 and 2, 0 of 0 and 2. Columns sum to 1.6, 2.4, 1.8.
    embedding = torch.tensor([[1.0, 0.6, 0], [0, 0.8, 1]]).view(1, 2, 1, 3)
    cam = torch.tensor([[1.0, 0, 0]]).view(1, 1, 1, 3)
    expected = torch.tensor([[1 / 1.6, 0.6 / 2.4, 0]]).view(1, 1, 1, 3)
    assert torch.allclose(propagate(cam, embedding), expected, atol=1e-4)


def test_a_pixel_without_embedding_gets_nothing() -> None:
    embedding = torch.tensor([[1.0, 0, 1]]).view(1, 1, 1, 3)
    found = propagate(torch.ones(1, 2, 1, 3), embedding)
    assert torch.isfinite(found).all()
    assert torch.equal(found[..., 1], torch.zeros(1, 2, 1))


def test_images_of_a_batch_do_not_mix() -> None:
    torch.manual_seed(0)
    cam, embedding = torch.rand(2, 3, 4, 5), torch.randn(2, 6, 4, 5)
    both = propagate(cam, embedding)
    for i in range(2):
        alone = propagate(cam[i : i + 1], embedding[i : i + 1])
        assert torch.allclose(both[i : i + 1], alone, atol=1e-6)


def test_propagate_resizes_the_cam_and_stays_in_its_range() -> None:
    torch.manual_seed(0)
    found = propagate(torch.rand(2, 3, 2, 3), torch.randn(2, 6, 5, 4))
    assert found.shape == (2, 3, 5, 4)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("block", [1, 2 * 35 * 4, 2 * 35 * 6])
def test_a_large_map_is_refined_piece_by_piece(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """One column of the affinity at a time, some that fit, and a rest."""
    cam = torch.rand(2, 4, 5, 7)
    embedding = torch.randn(2, 6, 5, 7, requires_grad=True)
    whole = propagate(cam, embedding)
    (expected,) = torch.autograd.grad(whole.square().sum(), embedding)
    monkeypatch.setattr(pcm, "_BLOCK", block)
    pieces = propagate(cam, embedding)
    torch.testing.assert_close(pieces, whole)
    (found,) = torch.autograd.grad(pieces.square().sum(), embedding)
    torch.testing.assert_close(found, expected)


def test_propagate_computes_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    cam, embedding = torch.rand(1, 3, 4, 5), torch.randn(1, 6, 4, 5)
    expected = propagate(cam, embedding)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = propagate(cam, embedding)
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)


def test_float64_stays_float64() -> None:
    """Elsewhere gradients are compared to 1e-9, which float32 in between would spoil."""
    random = torch.Generator().manual_seed(0)
    cam, embedding = (
        torch.rand(1, channels, 5, 5, generator=random, dtype=torch.float64) for channels in (3, 4)
    )
    found = propagate(cam, embedding)
    assert found.dtype == torch.float64
    assert (found - propagate(cam.float(), embedding.float())).abs().max() > 0


def test_the_module_s_shape_and_range() -> None:
    module = PixelCorrelation(4, 6, low=3, mid=5, embedding=7)
    found = module(torch.randn(2, 4, 4, 5), torch.randn(2, 3, 16, 20), features())
    assert found.shape == (2, 4, 4, 5)
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("seed", range(3))
def test_gradients_reach_the_module_but_not_what_it_is_fed(seed: int) -> None:
    torch.manual_seed(seed)
    module = PixelCorrelation(4, 6, low=3, mid=5, embedding=7)
    fed = features(requires_grad=True)
    cam = torch.randn(2, 4, 4, 5, requires_grad=True)
    module(cam, torch.randn(2, 3, 16, 20), fed).pow(2).sum().backward()
    assert fed.low.grad is None
    assert fed.mid.grad is None
    assert cam.grad is None
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
