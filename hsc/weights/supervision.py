"""What weights were trained on, and the refusal of those that have seen segmentation masks.

Here image tags are the supervision, beside ImageNet's labels. A backbone from a network that was
trained on masks brings more than that, so no training starts from one unless the recipe says
`supervision: masks`; the metrics then repeat it. A segmentation network is known by its name among
torchvision's, by its layout, or by the head in its file. A bare backbone that somebody else cut out
of one cannot be known: say so in the recipe.
"""

import re
from collections.abc import Iterable, Mapping

from torch import Tensor

from hsc.base.errors import WeightsError

MASKS = "masks"

OF_LAYOUT = {
    "mxnet": "ImageNet",
    "torchvision": "ImageNet",
    "timm": "ImageNet",
    "resnet101s": "ImageNet",
    "resnet38d": "ImageNet",
    "seam": "tags",
    "eps": "tags and saliency",
    "eps_cls": "tags",
    "ppc": "tags",
    "hsc": "tags and saliency",
    "psa": "tags",
    "deeplabv2": MASKS,
    "auxsegnet": "tags and saliency",
}
"""By layout (`hsc.weights.imported`) what its weights were trained on."""

OF_KIND = {
    "cam": "tags",
    "affinity": "tags",
    "deeplab": MASKS,
    "auxsegnet": "tags and saliency",
}
"""The same by kind of our own weights files; a backbone's file says it itself."""

# The heads of torchvision, of mmsegmentation, of the published DeepLabs and of ours. A plain
# `classifier.weight` may belong to a network of tags.
_HEAD = re.compile(
    r"(module\.)?(?P<part>(aux_)?classifier(?=\.\d)|aspp|decoder|decode_head|auxiliary_head"
    r"|conv_fov2?|bn_fov2?|cls_conv|head(?=\.(branches|layers|mix|pooled)\.))\."
)


def segmentation_parts(keys: Iterable[str]) -> list[str]:
    """The names of the parts of a segmentation head among the keys of a state_dict, sorted."""
    return sorted({found["part"] for key in keys if (found := _HEAD.match(key))})


def without_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A segmentation network's state_dict without its head: the backbone under its own keys."""
    kept = {key: tensor for key, tensor in state.items() if not _HEAD.match(key)}
    prefix = "backbone."
    if all(key.startswith(prefix) for key in kept):
        kept = {key.removeprefix(prefix): tensor for key, tensor in kept.items()}
    return kept


def refuse_masks(source: object, reason: str, supervision: str | None) -> None:
    """Raise HscError unless `supervision` is "masks"; `reason` says how they are known."""
    if supervision != MASKS:
        raise WeightsError(
            f"{source}: {reason}, so its weights were trained on segmentation masks, which is "
            "stronger supervision than image tags; take weights that have seen labels only "
            "(ImageNet), or say `supervision: masks`, and the metrics will too"
        )
