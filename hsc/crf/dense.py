"""Dense CRF (Krähenbühl & Koltun 2011) on probabilities, CAMs and hard labels.

The energy of a labelling is a unary term plus two Potts terms: a Gaussian one on position and a
bilateral one on position and colour. Mean-field inference by pydensecrf, or by torch where
`hsc.crf.device` says so; either is imported only when it is used.

Letters: K tagged classes of an image, L labels, H W pixels.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hsc.base.errors import HscError
from hsc.crf.device import lattice_device, usable_device
from hsc.data.classes import BACKGROUND
from hsc.params.base import CrfConfig

if TYPE_CHECKING:
    from types import ModuleType

_SMALLEST = 1e-5  # probabilities are cut here before the logarithm, as in the published code


TRAINING_CRF = CrfConfig(bilateral_sxy=50, bilateral_srgb=5)
"""The kernels for the pseudo labels inside HSC's losses (published code of HSC and PPC)."""


def refine_probabilities(
    image: NDArray[np.uint8], probabilities: NDArray, config: CrfConfig
) -> NDArray[np.float32]:
    """Mean-field probabilities from those of a network.

    image: uint8 RGB (H, W, 3). probabilities: (L, H, W); values are cut to [1e-5, 1] and need not
    sum to 1. Returns float32 (L, H, W), summing to 1 over L.
    Raises ValueError for shapes or dtypes that do not fit, HscError without pydensecrf.
    """
    if probabilities.ndim != 3 or not len(probabilities):
        raise ValueError(f"probabilities must be (L, H, W), got {probabilities.shape}")
    unary = -np.log(np.clip(probabilities, _SMALLEST, 1))
    return mean_field(image, unary, config)


def refine_prediction(
    prediction: tuple[NDArray[np.uint8], NDArray], config: CrfConfig
) -> NDArray[np.uint8]:
    """Labels from a picture and a network's probabilities, by `refine_probabilities` and arg max.

    prediction: the pair (image, probabilities), one item of a pool's work. Returns uint8 (H, W).
    Raises as `refine_probabilities`.
    """
    return refine_probabilities(*prediction, config).argmax(axis=0).astype(np.uint8)


def cam_probabilities(cam: NDArray, alpha: float) -> NDArray[np.float32]:
    """A CAM with a background score in front: (1 - max over the classes) ** alpha.

    cam: (K, H, W) in [0, 1]. alpha: the higher, the less background (PSA: 4 and 24; HSC: 7).
    Returns float32 (K+1, H, W), background first, not normalised; K = 0 gives a background of 1.
    """
    foreground = cam.max(axis=0, initial=0, keepdims=True)
    return np.concatenate([(1 - foreground) ** alpha, cam]).astype(np.float32, copy=False)


def refine_cam(
    image: NDArray[np.uint8], cam: NDArray, classes: NDArray, alpha: float, config: CrfConfig
) -> NDArray[np.uint8]:
    """Labels from a CAM by `cam_probabilities`, `refine_probabilities` and arg max.

    image: uint8 RGB (H, W, 3). cam: (K, H, W) in [0, 1]. classes: the K class indices, 1..254.
    Returns uint8 class indices (H, W); an image without a tagged class is all background.
    Raises ValueError for shapes that do not fit, HscError without pydensecrf.
    """
    if cam.ndim != 3 or len(cam) != len(classes):
        raise ValueError(f"cam {cam.shape} does not fit {len(classes)} classes")
    indices = np.array([BACKGROUND, *classes], dtype=np.uint8)
    if len(indices) == 1:
        return np.full(cam.shape[1:], BACKGROUND, dtype=np.uint8)
    refined = refine_probabilities(image, cam_probabilities(cam, alpha), config)
    return indices[refined.argmax(axis=0)]


def refine_labels(
    image: NDArray[np.uint8],
    labels: NDArray,
    num_labels: int,
    config: CrfConfig = TRAINING_CRF,
    gt_prob: float = 0.7,
) -> NDArray:
    """Refine a hard labelling: each pixel keeps its label with probability `gt_prob`.

    The rest of the probability is spread evenly over the other L - 1 labels of the data set, so L
    matters. The labels that are not in the map all behave alike, so one stands for all of them:
    with m of them its unary is lower by log m and its Potts weight is divided by m, which leaves
    the mean-field equations as they are (so it is exact, and faster by L over the labels present).
    No such label can win: it is nowhere more probable than one that is in the map.

    image: uint8 RGB (H, W, 3). labels: integers (H, W) in 0..num_labels-1. num_labels: L, the
    background included. gt_prob: in (0, 1). Returns the labels in their dtype.
    Raises ValueError for shapes, indices or probabilities outside these, HscError without
    pydensecrf.
    """
    if not 0 < gt_prob < 1:
        raise ValueError(f"gt_prob must lie between 0 and 1, got {gt_prob}")
    if labels.ndim != 2 or labels.dtype.kind not in "iu":
        raise ValueError(f"labels must be integers (H, W), got {labels.dtype} {labels.shape}")
    _check_image(image, labels.shape)
    present, local = np.unique(labels, return_inverse=True)
    if present[0] < 0 or present[-1] >= num_labels:
        raise ValueError(f"labels {present[0]}..{present[-1]} outside 0..{num_labels - 1}")
    if len(present) == 1:
        return labels.copy()
    other = -np.log((1 - gt_prob) / (num_labels - 1))
    absent = num_labels - len(present)
    weights = np.ones(len(present) + (absent > 0))
    unary = np.full((len(weights), *labels.shape), other)
    np.put_along_axis(unary, local.reshape(1, *labels.shape), -np.log(gt_prob), axis=0)
    if absent:
        unary[-1] -= np.log(absent)
        weights[-1] /= absent
    refined = mean_field(image, unary, config, weights)
    return present[refined[: len(present)].argmax(axis=0)]


def mean_field(
    image: NDArray[np.uint8],
    unary: NDArray,
    config: CrfConfig,
    weights: NDArray | None = None,
) -> NDArray[np.float32]:
    """Mean-field inference: unary energies (L, H, W) to probabilities (L, H, W).

    image: uint8 RGB (H, W, 3). weights: a factor of the Potts terms for each label, (L,); all 1
    when left out. Raises ValueError for shapes or dtypes that do not fit, HscError without
    pydensecrf or for a device that is none.
    """
    _check_image(image, unary.shape[1:])
    field = _by_pydensecrf if lattice_device() is None else _on_lattice
    return field(image, unary, config, weights)


def _on_lattice(
    image: NDArray[np.uint8], unary: NDArray, config: CrfConfig, weights: NDArray | None
) -> NDArray[np.float32]:
    import torch  # which takes seconds to load

    from hsc.crf.mean_field import infer

    device = usable_device()
    factor = None if weights is None else torch.from_numpy(weights)
    picture, energy = (torch.tensor(array, device=device)[None] for array in (image, unary))
    return infer(picture, energy, config, factor)[0].cpu().numpy()


def _by_pydensecrf(
    image: NDArray[np.uint8], unary: NDArray, config: CrfConfig, weights: NDArray | None
) -> NDArray[np.float32]:
    count, height, width = unary.shape
    field = _pydensecrf().DenseCRF2D(width, height, count)
    field.setUnaryEnergy(unary.reshape(count, -1).astype(np.float32))
    field.addPairwiseGaussian(
        sxy=config.gaussian_sxy, compat=_compatibility(config.gaussian_compat, weights)
    )
    field.addPairwiseBilateral(
        sxy=config.bilateral_sxy,
        srgb=config.bilateral_srgb,
        # the binding wants a buffer that it could write to
        rgbim=np.require(image, requirements=["C", "W"]),
        compat=_compatibility(config.bilateral_compat, weights),
    )
    result = field.inference(config.iterations)
    return np.array(result, dtype=np.float32).reshape(count, height, width)


def _compatibility(compat: float, weights: NDArray | None) -> Any:
    """What the binding takes: a number for Potts, a vector for a diagonal (with the other sign)."""
    if weights is None:
        return compat
    return (-compat * weights).astype(np.float32)


def _check_image(image: NDArray, size: tuple[int, ...]) -> None:
    if image.dtype != np.uint8 or image.shape != (*size, 3):
        raise ValueError(f"image must be uint8 {(*size, 3)}, got {image.dtype} {image.shape}")


def _pydensecrf() -> "ModuleType":
    """The binding; a machine that only runs networks may lack it."""
    try:
        import pydensecrf.densecrf as binding
    except ImportError:
        raise HscError(
            "pydensecrf: not installed, and the dense CRF needs it; run `pip install pydensecrf2`, "
            "or set HSC_CRF_DEVICE=cpu (or cuda) for the same in torch"
        ) from None
    return binding
