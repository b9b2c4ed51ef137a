"""Fixtures that several tests share: a tiny data set, a tiny network, and parameters that fit.

Torch is imported inside the fixtures that need it, so that tests without it start at once.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hsc.data.voc import VocFolder
from hsc.params.base import Augmentation
from hsc.params.method import MethodChoice, choose
from hsc.params.reading import parse_run
from hsc.params.recipe import NetworkParams, TrainAffinityParams, TrainCamParams
from hsc.params.segmentation import (
    AuxLabelParams,
    SegmentationNetworkParams,
    TrainAuxSegNetParams,
    TrainSegmentationParams,
)
from hsc.sources.shapes import generate
from hsc.sources.shapes_config import ShapesConfig
from hsc.store import CamWriter

# The files whose tests tests/test_golden.py collects.
pytest.register_assert_rewrite(
    "tests.golden", *(f"tests.{path.stem}" for path in Path(__file__).parent.glob("golden_*.py"))
)

CROP = 32


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many golden comparisons there were and how they ended."""
    counts = {
        outcome: sum(
            "test_golden.py" in report.nodeid and getattr(report, "when", "call") != "teardown"
            for report in terminalreporter.stats.get(outcome, [])
        )
        for outcome in ("passed", "failed", "error", "skipped")
    }
    if any(counts.values()):
        said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
        terminalreporter.write_line(f"golden: {said}")


@pytest.fixture(scope="session", autouse=True)
def runs_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where all runs of stages leave their records: never in the user's home."""
    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HSC_RUNS", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def _denormal_numbers() -> None:
    """What a stage that ran in this process has taken away; Hypothesis draws such numbers."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 12 training and 3 val pictures of 36 pixels. Tests must not change it."""
    root = tmp_path_factory.mktemp("tiny") / "data"
    root.mkdir()
    generate(root, ShapesConfig(size=36, train=12, val=3, scored_train=8))
    return root


@pytest.fixture(scope="session")
def tiny_folder(tiny_root: Path) -> VocFolder:
    """The same, opened."""
    return VocFolder(tiny_root)


@pytest.fixture(scope="session")
def tiny_network() -> NetworkParams:
    """A network of a few hundred weights."""
    return NetworkParams(
        backbone="small",
        widths=(4, 4, 8, 8),
        output_stride=4,
        pcm_low=3,
        pcm_mid=3,
        pcm_out=4,
        projector_class=6,
        projector_pixel=5,
    )


@pytest.fixture(scope="session")
def tiny_augmentation() -> Augmentation:
    """Every random draw is in use."""
    return Augmentation(
        crop_size=CROP,
        resize_longest=(30, 40),
        flip=0.5,
        brightness=0.2,
        contrast=0.1,
        saturation=0.1,
        hue=0.05,
    )


@pytest.fixture(scope="session")
def tiny_cams(tmp_path_factory: pytest.TempPathFactory, tiny_folder: VocFolder) -> Path:
    """Half-hearted maps of the tagged classes; the first picture has none."""
    path = tmp_path_factory.mktemp("cams") / "cams.h5"
    random = np.random.default_rng(0)
    with CamWriter(path, tiny_folder.class_names, "digest") as writer:
        for number, image_id in enumerate(sorted(tiny_folder.ids("train_aug"))):
            mask = tiny_folder.mask(image_id)
            classes = np.flatnonzero(tiny_folder.tags(image_id)) + 1 if number else np.empty(0, int)
            inside = mask[None] == classes[:, None, None]
            writer.add(image_id, 0.5 * inside + 0.4 * random.random(inside.shape), classes)
    return path


@pytest.fixture(scope="session")
def tiny_run() -> Callable[..., MethodChoice]:
    """Choose a method: `tiny_run(baseline="eps", equivariance="auto", crf="none", ...)`.

    Words that are no key of params.yaml go to the section of the contrast (with its names), that
    of HSC where there is none, or, for those of `eps`, to it; a dictionary changes keys of a
    section: `psa={"enabled": True}`.
    """

    def make(**changes: Any) -> MethodChoice:
        values: dict[str, Any] = {
            "seed": 0,
            "data": "shapes",
            "debug": False,
            "refine": "crf",
            "segmentation": "deeplab",
            "segmentation_contrast": "none",
            "baseline": "seam",
            "contrast": "hsc",
            "cam": {},
            "seam": {},
            "eps": {
                "tau": 0.4,
                "mix": 0.5,
                "equivariance": "auto",
                "contrast_map": "softmax",
                "refined_saliency": False,
            },
            "hsc": {
                "gamma": 0.1,
                "temperature": 0.1,
                "momentum": 0.9,
                "roi": True,
                "class": True,
                "pixel": True,
                "cross_supervision": True,
                "momentum_prototypes": True,
                "crf": "all",
                "refine": "crf",
                "k_class": 4,
                "k_pixel": 6,
                "background_score": 0.1,
                "crf_iterations": 2,
            },
            "ppc": {
                "gamma": 0.1,
                "temperature": 0.1,
                "k": 6,
                "background_score": 0.2,
                "cross_prototype": True,
                "cross_label": True,
                "intra_view": True,
                "hard_share": 0.6,
                "kept_share": 0.5,
            },
            "dscnet": {
                "gamma": 1.0,
                "alpha": 0.6,
                "beta": 0.4,
                "pgcl": True,
                "sgcl": True,
                "dscl": True,
                "temperature": 0.1,
                "momentum": 0.9,
                "background_score": 0.1,
                "background_positive": False,
                "sgcl_background": True,
                "start": 0,
                "queue": 3,
            },
            "seeds": {"threshold": "best"},
            "psa": {"enabled": False},
        }
        section = "ppc" if changes.get("contrast") == "ppc" else "hsc"
        for key, value in changes.items():
            if isinstance(value, dict):
                values[key] |= value
            elif key in values:
                values[key] = value
            elif key in values["eps"]:
                values["eps"][key] = value
            else:
                values[section][key] = value
        source = Path("params.yaml")
        return choose(parse_run(source, values), source)

    return make


@pytest.fixture(scope="session")
def tiny_cam_params(tiny_augmentation: Augmentation) -> TrainCamParams:
    """12 steps with a checkpoint after every third."""
    return TrainCamParams(
        steps=12,
        batch_size=4,
        optimiser="adamw",
        lr=1e-3,
        lr_bias=2.0,
        lr_new=5.0,
        lr_projector=3.0,
        weight_decay=1e-2,
        momentum=0.0,
        power=0.9,
        checkpoint_every=3,
        clip_norm=None,
        view2_size=20,
        head_dropout=0.0,
        crf_size=20,
        crf_kernels="exact",
        background_score="method",
        loss_resolution="pixels",
        augmentation=tiny_augmentation,
    )


@pytest.fixture(scope="session")
def tiny_affinity_params(tiny_augmentation: Augmentation) -> TrainAffinityParams:
    """10 steps with a checkpoint after every third; pairs within 3 cells."""
    return TrainAffinityParams(
        steps=10,
        batch_size=4,
        optimiser="adamw",
        lr=3e-3,
        lr_bias=2.0,
        lr_new=5.0,
        weight_decay=1e-2,
        momentum=0.0,
        power=0.9,
        checkpoint_every=3,
        augmentation=tiny_augmentation,
        radius=3,
        widths=(3, 4, 5),
    )


@pytest.fixture(scope="session")
def tiny_segmentation_params(tiny_augmentation: Augmentation) -> TrainSegmentationParams:
    """8 steps with a checkpoint after every third."""
    return TrainSegmentationParams(
        steps=8,
        batch_size=4,
        optimiser="sgd",
        lr=1e-2,
        lr_bias=2.0,
        lr_new=5.0,
        weight_decay=1e-4,
        momentum=0.9,
        power=0.9,
        checkpoint_every=3,
        augmentation=tiny_augmentation,
        initial_weights="prepare_backbone",
    )


@pytest.fixture(scope="session")
def tiny_auxsegnet_params(tiny_augmentation: Augmentation) -> TrainAuxSegNetParams:
    """3 rounds of 6 steps with a checkpoint after every other; labels that change soon."""
    return TrainAuxSegNetParams(
        steps=6,
        batch_size=4,
        optimiser="adamw",
        lr=1e-3,
        lr_bias=1.0,
        lr_new=5.0,
        weight_decay=1e-2,
        momentum=0.0,
        power=0.9,
        checkpoint_every=2,
        augmentation=tiny_augmentation,
        rounds=3,
        channels=6,
        rates=(1, 2, 3),
        head_dropout=0.5,
        padding="ignored",
        labels=AuxLabelParams(cam_threshold=0.3),
    )


@pytest.fixture(scope="session")
def tiny_segmentation_network(tiny_network: NetworkParams) -> SegmentationNetworkParams:
    """On the tiny backbone, with much dropout."""
    head = {"kind": "aspp", "channels": 8, "rates": (1, 2), "pooled_norm": False}
    return SegmentationNetworkParams.model_validate(
        {**tiny_network.backbone_spec, "head": head | {"dropout": 0.5, "dropout_of": "channels"}}
    )


@pytest.fixture(scope="session")
def cpu() -> Any:
    """The runtime: the CPU in fp32, no loader processes, one thread.

    More threads are slower on networks as small as these, and their number may change the last
    bits, which the tests compare between processes.
    """
    import torch

    from hsc.engine.runtime import Runtime

    torch.set_num_threads(1)
    return Runtime(torch.device("cpu"), bf16=False, workers=0)


@pytest.fixture(scope="session")
def tiny_backbone(
    tmp_path_factory: pytest.TempPathFactory, tiny_network: NetworkParams, cpu: Any
) -> Path:
    """A weights file as `prepare_backbone` writes it, of random weights."""
    import torch

    from hsc.nets.backbones import build_backbone
    from hsc.nets.weights import save_weights

    torch.manual_seed(7)
    backbone = build_backbone("small", tiny_network.widths, 4, frozen_norm=False)
    path = tmp_path_factory.mktemp("backbone") / "backbone.pt"
    origin = {"kind": "warm-up", "supervision": "tags"}
    spec = {"backbone": "small", "widths": list(tiny_network.widths), "origin": origin}
    save_weights(path, "backbone", spec, backbone.state_dict())
    return path


@pytest.fixture
def interrupted(monkeypatch: pytest.MonkeyPatch) -> Callable[[type, int, Callable[[], Any]], None]:
    """`interrupted(kind, step, function)`: call the function, with Ctrl-C at step `step`.

    kind: the objective's class; its `losses` raises KeyboardInterrupt at that call, from 0 on.
    """

    def run(kind: Any, step: int, function: Callable[[], Any]) -> None:
        losses, before = kind.losses, iter(range(step))

        def stopping(self: Any, batch: Any) -> Any:
            if next(before, None) is None:
                raise KeyboardInterrupt
            return losses(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(kind, "losses", stopping)
            with pytest.raises(KeyboardInterrupt):
                function()

    return run
