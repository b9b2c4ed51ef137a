"""DSCNet's contrasts of pixel groups (Lai, Vong, Chen, IEEE TII 2024) over the views of a batch.

M1 to M3 of its Table IV: the pixel-wise group contrast (`pgcl`), the semantic-wise one (`sgcl`), or
both; M4: the second CAM, (10) to (12), besides (`dscl`), which the network holds
(`hsc.nets.enrichment.Enrichment`). The class nodes are buffers of the module, so they are in every
checkpoint of the training.

Letters: N batch, C foreground classes, D channels of the features, h w cells of a view's map.
"""

import torch
from torch import Tensor

from hsc.losses.dscnet import Remembered, batch_nodes, group_contrast, node_contrast
from hsc.losses.groups import Groups, group_labels, group_means, group_shares, pixel_groups
from hsc.losses.maps import pseudo_label
from hsc.losses.prototypes import Prototypes
from hsc.methods.contrast import Contrast, ContrastParams, Embeddings, Maps, Setting, driving_cam
from hsc.params.base import NonNegative, Positive, Probability, Whole


class DscNetParams(ContrastParams):
    """DSCNet: its two terms and their weights, alpha and beta of equation (13).

    temperature, background_score and momentum (the weight of what the nodes were) are nowhere in
    the paper. `background_positive`: groups of background are anchors and positives of one another.
    `sgcl_background`: groups of background are compared with the nodes too. `queue`: groups of each
    class that are remembered where a picture has one view alone, so that most have none of their
    class beside them; 0 for none. `start`: steps that only fill nodes and queue, until the maps are
    worth grouping.
    """

    gamma: NonNegative = 1.0
    alpha: NonNegative = 0.6
    beta: NonNegative = 0.4
    pgcl: bool = True
    sgcl: bool = True
    dscl: bool = True
    temperature: Positive = 0.1
    momentum: Probability = 0.9
    background_score: Probability = 0.10
    background_positive: bool = False
    sgcl_background: bool = True
    queue: Whole = 16
    start: Whole = 0


class DscNetContrast(Contrast):
    """Groups of the views against each other and against the nodes of their classes."""

    Params = DscNetParams
    projectors = ("features",)
    shows = "groups"
    says = (
        "DSCNet asks that groups of pixels of one class are alike, in every picture, and unlike "
        "those of other classes"
    )

    def __init__(self, params: DscNetParams, setting: Setting) -> None:
        super().__init__(params, setting)
        self._pending: tuple[Prototypes, Remembered | None] | None = None
        classes, channels = setting.num_classes, setting.feature_channels
        self.register_buffer("nodes", torch.zeros(classes + 1, channels))
        self.register_buffer("seen", torch.zeros(classes + 1, dtype=torch.bool))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self._queue = params.queue if params.pgcl and setting.views == 1 else 0
        if self._queue:
            self.register_buffer("queued", torch.zeros(classes, self._queue, channels))
            self.register_buffer("queued_count", torch.zeros(classes, dtype=torch.int64))

    @staticmethod
    def enrichment(params: DscNetParams) -> float | None:
        return params.temperature if params.dscl else None

    @staticmethod
    def check(params: DscNetParams) -> None:
        if params.dscl and not (params.pgcl and params.sgcl):
            raise ValueError(
                "dscnet.dscl is true, but it stands on both dscnet.pgcl and dscnet.sgcl; set it to "
                "false too"
            )
        if not (params.pgcl or params.sgcl):
            raise ValueError(
                "contrast is dscnet but dscnet.pgcl and dscnet.sgcl are both false; use "
                "`contrast: none` for the baseline alone"
            )

    def forward(
        self, maps: Maps, embeddings: tuple[Embeddings, ...], image: Tensor, tags: Tensor
    ) -> dict[str, Tensor]:
        """The terms `groups` and `nodes` that are on, weighted by alpha and beta.

        Each view counts as a picture, so that a group has a partner; there may be one view. The
        picture is not used.
        """
        p = self.params
        parts = [
            self._view(cam, features, tags)
            for cam, (features, _) in zip(maps, embeddings, strict=True)
        ]
        means, shares, labels, present = (torch.cat(part) for part in zip(*parts, strict=True))
        terms: dict[str, Tensor] = {}
        before = Remembered(self.queued, self.queued_count) if self._queue else None
        if p.pgcl:
            terms["groups"] = p.alpha * group_contrast(
                means, labels, present, p.temperature, p.background_positive, before
            )
        if p.sgcl:
            memory = Prototypes(self.nodes, self.seen)
            terms["nodes"] = p.beta * node_contrast(
                means, labels, present, memory, p.temperature, p.sgcl_background
            )
        after = None if before is None else before.with_groups(means, labels, present)
        self._pending = batch_nodes(means, shares), after
        begun = self.steps >= p.start
        return {name: torch.where(begun, term, 0.0) for name, term in terms.items()}

    def commit(self) -> None:
        """Take over the nodes and, where they are remembered, the groups of the last batch."""
        if self._pending is None:
            return
        (new, groups), momentum = self._pending, self.params.momentum
        mixed = momentum * self.nodes + (1 - momentum) * new.vectors
        known = torch.where(self.seen[:, None], mixed, new.vectors)
        self.nodes.copy_(torch.where(new.present[:, None], known, self.nodes))
        self.seen.logical_or_(new.present)
        if groups is not None:
            self.queued.copy_(groups.means)
            self.queued_count.copy_(groups.count)
        self.steps.add_(1)
        self._pending = None

    def label_map(self, cam: Tensor, embeddings: Embeddings, tags: Tensor) -> Tensor:
        """The label of the group that each cell is in, (N, h, w) int64."""
        features, _ = embeddings
        groups, shares = self._groups(cam, features, tags)
        labels = group_labels(groups, shares).gather(1, groups.assignment)
        return labels.view(len(features), *features.shape[2:])

    def _view(self, cam: Tensor, features: Tensor, tags: Tensor) -> tuple[Tensor, ...]:
        """Means (N, K, D), shares (N, K, C+1), labels and presence (N, K) of a view's groups."""
        groups, shares = self._groups(cam, features, tags)
        labels = group_labels(groups, shares)
        return group_means(features, groups), shares, labels, groups.present

    def _groups(self, cam: Tensor, features: Tensor, tags: Tensor) -> tuple[Groups, Tensor]:
        """The groups of a view and their shares of the labels, (N, K, C+1)."""
        size = tuple(features.shape[2:])
        foreground = driving_cam(cam, tags, size)
        score = self.background_score(foreground, self.params.background_score)
        groups = pixel_groups(features, foreground, tags)
        label = pseudo_label(foreground, score)
        shares = group_shares(groups, label, self.setting.num_classes + 1)
        return groups, shares * groups.present[:, :, None]


CONTRAST = DscNetContrast
