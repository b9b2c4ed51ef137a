"""AuxSegNet against the numbers of its published code: network, losses, labels, inference."""

import json
import zlib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hsc.auxsegnet.labels import label_of, refine_saliency
from hsc.auxsegnet.update import fuse_saliency, refine_cam
from hsc.cam.inference import scale_picture
from hsc.crf.dense import CrfConfig, refine_probabilities
from hsc.data.classes import VOC_CLASSES
from hsc.engine.optimisers import build_optimiser, parameter_groups, poly_rate, set_rate
from hsc.losses.auxsegnet import classification_loss, saliency_loss, segmentation_loss
from hsc.nets.auxsegnet import AuxSegNet, apply_affinity, auxsegnet_network
from hsc.params.segmentation import AuxLabelParams
from hsc.segmentation.inference import predict_logits
from hsc.weights import published_auxsegnet
from tests.golden import AUXSEGNET, assert_close, cases, load, statistics
from tests.golden_networks import recipe_tensor

INFERENCE_CRF = CrfConfig(
    iterations=10, gaussian_sxy=4, gaussian_compat=3,
    bilateral_sxy=83, bilateral_srgb=5, bilateral_compat=3,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def shared_auxsegnet() -> Iterator[None]:
    yield
    auxsegnet.cache_clear()


@cache
def auxsegnet(scale: float) -> AuxSegNet:
    """The whole network with the fixtures' weights, in eval mode."""
    shapes = published_auxsegnet.expected_shapes()
    state = {key: recipe_tensor(key, shape, scale) for key, shape in shapes.items()}
    with torch.device("meta"):
        built = auxsegnet_network(published_auxsegnet.auxsegnet_spec(VOC_CLASSES))
    built.load_state_dict(
        published_auxsegnet.convert(state, Path("AuxSegNet_final.pth")), assign=True
    )
    return built.eval()


def compare(fixture: str, got: dict[str, Any], outputs: dict[str, np.ndarray]) -> None:
    assert set(got) == set(outputs)
    for name, value in got.items():
        assert_close(fixture, name, value, outputs[name])


def leaf(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array).clone().requires_grad_()


@pytest.mark.parametrize("path", cases("keys", "auxseg_resnet38.json", AUXSEGNET))
def test_auxsegnet_keys_and_recipe(path: Path) -> None:
    stored = json.loads(path.read_text())
    shapes = {entry["key"]: tuple(entry["shape"]) for entry in stored["keys"]}
    assert published_auxsegnet.expected_shapes() == shapes
    for entry in stored["keys"]:
        made = recipe_tensor(entry["key"], tuple(entry["shape"]), stored["weight_scale"])
        assert zlib.crc32(made.numpy().tobytes()) == entry["crc32"], entry["key"]


@pytest.mark.parametrize("path", cases("14a_auxseg_net", variable=AUXSEGNET))
@torch.no_grad()
def test_auxsegnet(path: Path) -> None:
    inputs, outputs, meta = load(path)
    network = auxsegnet(meta["weight_scale"])
    image = torch.from_numpy(inputs["x"])
    maps, features = network.maps(image), network.backbone(image).final
    got = {
        "x_cls": maps.scores,
        "cam": maps.cam,
        "init_sal": maps.saliency,
        "refined_sal": maps.refined_saliency,
        "init_seg": maps.segmentation,
        "refined_seg": maps.refined_segmentation,
        "cross_aff_sub3": maps.affinity[:, ::3, ::3],
        "cross_aff_stats": statistics(maps.affinity),
    }
    for short, task in (("seg", network.segmentation), ("sal", network.saliency)):
        own = task.features(features)
        got |= {
            f"{short}_feats_ch8": own[:, ::8],
            f"{short}_feats_stats": statistics(own),
            f"{short}_aff_stats": statistics(task.affinity(own)),
        }
    compare("14a_auxseg_net", got, outputs)


@pytest.mark.parametrize("path", cases("14b_auxseg_affinity", variable=AUXSEGNET))
def test_auxsegnet_affinity_and_gradients(path: Path) -> None:
    inputs, outputs, meta = load(path)
    network = auxsegnet(meta.get("weight_scale", 0.8)).requires_grad_()
    tasks = {"seg": network.segmentation, "sal": network.saliency}
    given = {short: leaf(inputs[f"{short}_feats"]) for short in tasks}
    rectified = {short: F.relu(maps) for short, maps in given.items()}  # as *_conv2 gives them
    affinity = {short: task.affinity(rectified[short]) for short, task in tasks.items()}
    weight = network.cross.weight(affinity["seg"], affinity["sal"])
    cross = network.cross(affinity["seg"], affinity["sal"])
    got: dict[str, Any] = {
        "cross_w": torch.stack([weight, 1 - weight], dim=1),
        "cross_aff": cross,
    }
    loss = torch.zeros(())
    for short, task in tasks.items():
        initial = task.classify(rectified[short], affinity[short])
        refined = apply_affinity(cross, initial)
        loss = loss + initial.square().mean() + refined.square().mean()
        enhanced = rectified[short] + task.out(
            apply_affinity(affinity[short], task.value(rectified[short]))
        )
        got |= {
            f"{short}_aff": affinity[short],
            f"init_{short}": initial,
            f"refined_{short}": refined,
            f"{short}_feats_out_ch4": enhanced[:, ::4],
            f"{short}_feats_out_stats": statistics(enhanced),
        }
    network.zero_grad()
    loss.backward()
    got["loss"] = loss
    for short, task in tasks.items():
        gradient = given[short].grad
        got |= {
            f"grad_{short}_feats_ch4": gradient[:, ::4],
            f"grad_{short}_feats_stats": statistics(gradient),
            f"grad_{short}_att_theta_bias": task.theta.bias.grad,
        }
    got |= {
        "grad_cross_att_0_weight": network.cross.near.weight.grad,
        "grad_cross_att_2_weight": network.cross.mix.weight.grad,
        "grad_cross_att_2_bias": network.cross.mix.bias.grad,
    }
    network.requires_grad_(False)
    compare("14b_auxseg_affinity", got, outputs)


@pytest.mark.parametrize("path", cases("14c_auxseg_losses", variable=AUXSEGNET))
def test_auxsegnet_losses_and_gradients(path: Path) -> None:
    inputs, outputs, _ = load(path)
    names = ("x_cls", "init_sal", "refined_sal", "init_seg", "refined_seg")
    leaves = {name: leaf(inputs[name]) for name in names}
    tags, label = torch.from_numpy(inputs["label"]), torch.from_numpy(inputs["seg_label"])
    salient = torch.from_numpy(inputs["sal_label"])
    got = {
        "loss_cls": classification_loss(leaves["x_cls"], tags),
        "loss_sal_init": saliency_loss(leaves["init_sal"], salient),
        "loss_sal_refined": saliency_loss(leaves["refined_sal"], salient),
        "loss_seg_init": segmentation_loss(leaves["init_seg"], label),
        "loss_seg_refined": segmentation_loss(leaves["refined_seg"], label),
    }
    got["loss"] = sum(got.values())
    got["loss"].backward()
    got |= {f"grad_{name}": tensor.grad for name, tensor in leaves.items()}
    compare("14c_auxseg_losses", got, outputs)


def updated(
    inputs: dict[str, np.ndarray], cam: Tensor, affinity: Tensor, saliency: Tensor
) -> dict[str, Any]:
    """What the label update makes of a network's maps, under the fixtures' names."""
    classes, size = 1 + np.flatnonzero(inputs["label"]), inputs["sal"].shape
    refined = refine_cam(cam, affinity, classes, size).numpy()
    fused = fuse_saliency(saliency, inputs["sal"])
    salient = refine_saliency(inputs["img"], fused, AuxLabelParams().crf)
    return {
        "cam_keys": classes - 1,
        "refined_cam_sub2": refined[:, ::2, ::2],
        "refined_cam_stats": statistics(refined),
        "fused_sal": fused,
        "sal_crf": salient,
        "sal_png": (255 * salient).astype(np.uint8).astype(np.int64),
        "label": label_of(refined, classes, salient, AuxLabelParams()),
    }


def as_signed(outputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Differences of bytes are taken of signed numbers."""
    return outputs | {"sal_png": outputs["sal_png"].astype(np.int64)}


@pytest.mark.parametrize("path", cases("14d_auxseg_labels", variable=AUXSEGNET))
def test_auxsegnet_labels(path: Path) -> None:
    inputs, outputs, _ = load(path)
    cam, affinity, saliency = (
        torch.from_numpy(inputs[name][0]) for name in ("cam", "cross_aff", "refined_sal")
    )
    got = updated(inputs, cam, affinity, saliency[0])
    compare("14d_auxseg_labels", got, as_signed(outputs))


@pytest.mark.parametrize("path", cases("14f_auxseg_full_labels", variable=AUXSEGNET))
@torch.no_grad()
def test_auxsegnet_labels_of_the_whole_network(path: Path) -> None:
    inputs, outputs, meta = load(path)
    (image,) = scale_picture(inputs["img"], [1.0], flip=False)
    maps = auxsegnet(meta["weight_scale"]).maps(image)
    got = updated(inputs, maps.cam[0], maps.affinity[0], maps.refined_saliency[0, 0])
    compare("14f_auxseg_full_labels", got, as_signed(outputs))


def predicted(inputs: dict[str, np.ndarray], network: Any) -> dict[str, Any]:
    """Probabilities and labels of a picture, with and without the CRF."""
    batches = scale_picture(inputs["img"], [1.0], flip=False)
    logits = predict_logits(network, batches, inputs["img"].shape[:2])
    probability = logits.softmax(dim=0).numpy()
    refined = refine_probabilities(inputs["img"], probability, INFERENCE_CRF)
    return {
        "prob_sub3": probability[:, ::3, ::3],
        "prob_stats": statistics(probability),
        "pred": probability.argmax(axis=0).astype(np.uint8),
        "crf_prob": refined[:, ::2, ::2],
        "crf_pred": refined.argmax(axis=0).astype(np.uint8),
    }


@pytest.mark.parametrize("path", cases("14e_auxseg_postprocess", variable=AUXSEGNET))
def test_auxsegnet_inference(path: Path) -> None:
    inputs, outputs, _ = load(path)
    logits = torch.from_numpy(inputs["refined_seg"])
    compare("14e_auxseg_postprocess", predicted(inputs, lambda image: logits), outputs)


@pytest.mark.parametrize("path", cases("14g_auxseg_full_inference", variable=AUXSEGNET))
def test_auxsegnet_inference_of_the_whole_network(path: Path) -> None:
    inputs, outputs, meta = load(path)
    got = predicted(inputs, auxsegnet(meta["weight_scale"]))
    compare("14g_auxseg_full_inference", got, outputs)


@pytest.mark.parametrize("path", cases("14h_auxseg_pipeline", "polyoptimizer_*.npz", AUXSEGNET))
def test_auxsegnet_optimiser_and_schedule(path: Path) -> None:
    """Two groups at 1 and 10 times the rate; the weight decay, 1e-5, is the momentum."""
    inputs, outputs, meta = load(path)
    half = len(inputs["params"]) // 2
    weights = [
        nn.Parameter(torch.from_numpy(part[None].copy()))
        for part in np.split(inputs["params"], [half])
    ]
    groups = parameter_groups(
        [("backbone", weights[0]), ("seg", weights[1])],
        role=lambda name: "pretrained" if name == "backbone" else "new",
        factors={"pretrained": 1.0, "new": 10.0},
        bias_factor=1.0,
        weight_decay=0.0,
    )
    optimiser = build_optimiser("sgd", groups, lr=meta["lr"], momentum=1e-5)
    rates, values = [], []
    for step, gradient in enumerate(torch.from_numpy(inputs["grads"])):
        set_rate(optimiser, poly_rate(meta["lr"], step, meta["max_step"], power=0.9))
        rates.append([group["lr"] for group in optimiser.param_groups])
        for weight, part in zip(weights, gradient.split([half, len(gradient) - half]), strict=True):
            weight.grad = part[None]
        optimiser.step()
        values.append(torch.cat([weight.detach()[0] for weight in weights]))
    compare("14h_auxseg_pipeline", {"lr_f64": rates, "params": torch.stack(values)}, outputs)
