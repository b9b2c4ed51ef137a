"""What the page says in words, from a run's parameters and what came out."""

from dataclasses import dataclass
from typing import Any

from hsc.base.settings import flat
from hsc.params.base import FetchParams
from hsc.params.recipe import WarmupParams
from hsc.params.run import method_title
from hsc.report.facts import Facts, Training
from hsc.report.papers import TITLES, VOC, Published, table_of
from hsc.report.reading import Origin, plain

STEP_TITLES = {"seeds": "Seed", "crf": "+ CRF", "masks": "Masks", "val": "val"}
TRAINING_TITLES = {
    "backbone": "The backbone's warm-up",
    "train_cam": "CAM network",
    "train_affinity": "PSA's affinity network",
    "train_segmentation": "Segmentation network",
}
_HEADS = {"aspp": "DeepLab-ASPP", "largefov": "DeepLab v1"}
_AUXSEGNET_TERMS = {
    "classification": "the tags",
    "saliency": "saliency",
    "refined_saliency": "saliency, refined by the affinity",
    "segmentation": "the pseudo labels",
    "refined_segmentation": "the pseudo labels, refined by the affinity",
}
_TERMS = {
    "classification": "the tags",
    "minimum": "SEAM: little elsewhere",
    "equivariance": "SEAM: ER",
    "cross_equivariance": "SEAM: ECR",
    "saliency": "EPS: saliency",
    "refined_saliency": "saliency of the PCM's maps",
    "roi": "HSC: ROI level",
    "class": "HSC: class level",
    "pixel": "HSC: pixel level",
    "cross_prototype": "PPC: other view's prototypes",
    "cross_label": "PPC: other view's labels",
    "intra_view": "PPC: within a view",
    "groups": "DSCNet: groups of pixels",
    "nodes": "DSCNet: groups and class nodes",
    "second_classification": "DSCNet: the tags, of the second CAM",
    "second_saliency": "DSCNet: saliency, of the second CAM",
    "background": "PSA: pairs of background",
    "foreground": "PSA: pairs of one class",
    "different": "PSA: pairs of two classes",
    "correct": "share of pictures with all tags right",
}


def method(facts: Facts) -> str:
    """Baseline and contrast, as the papers write them."""
    return method_title(facts.run.baseline, facts.run.contrast)


def segmentation_title(facts: Facts) -> str:
    """AuxSegNet and the contrast in its rounds."""
    return "AuxSegNet" if facts.run.segmentation_contrast == "none" else "AuxSegNet + DSCNet"


def title(facts: Facts) -> str:
    """The run in a line."""
    return f"{method(facts)} on {facts.run.data}, seed {facts.run.seed}"


def summary(facts: Facts) -> str:
    """What was done, in a paragraph for somebody who has not used the project yet."""
    said = [_given(facts), _trained(facts), _masks(facts), *_found(facts)]
    if facts.run.debug:
        said.append("It is a trial (debug: true) of a few steps: its scores mean nothing.")
    return " ".join(said)


def _given(facts: Facts) -> str:
    data = facts.data
    pictures = f"{data.splits['train_aug']} pictures" if data else "pictures"
    classes = f"of {data.classes} classes" if data else "classes"
    text = (
        f"The pipeline is given {pictures} and their tags: which {classes} are on a picture, but "
        "not where."
    )
    if _has_saliency(facts):
        source = f" ({data.saliency.source})" if data else ""
        text += f" It is given saliency maps{source} too: where something is, but not what."
    return text


def _has_saliency(facts: Facts) -> bool:
    return facts.method.baseline.needs_saliency or facts.run.segmentation == "auxsegnet"


def _trained(facts: Facts) -> str:
    network = f"a network (backbone {facts.recipe.network.backbone}, {start_of_backbone(facts)})"
    chosen = facts.method
    asks = [chosen.baseline.says, chosen.contrast.says if chosen.contrast else ""]
    said = "; ".join(ask for ask in asks if ask)
    return (
        f"It trains {network} to tell the tags, and takes from it where on a picture it sees each "
        "class: class activation maps (CAMs)." + (f" {said}." if said else "")
    )


def start_of_backbone(facts: Facts) -> str:
    """What the CAM network starts from."""
    how = facts.recipe.prepare_backbone
    if isinstance(how, WarmupParams):
        return "warmed up on the same tags"
    assert isinstance(how, FetchParams)
    return f"from the imported weights {how.weights}"


REFINED = {
    "crf": ("+ CRF", "to the edges", "a dense CRF moves their borders to the edges in the picture"),
    "par": ("+ PAR", "to the edges", "PAR moves their borders to the edges in the picture"),
    "none": ("Seeds, kept", "as they are", "nothing moves their borders"),
}
"""By `refine`: the name of the step, what it does, and the same as a part of a sentence."""
_MASKS = {"crf": "the CRF's", "par": "PAR's", "none": "the seeds"}
"""By `refine`: whose the masks are where PSA is off."""


def _masks(facts: Facts) -> str:
    masks = (
        "PSA learns from them which neighbours belong together and spreads the CAMs along that by "
        "a random walk, which gives the masks"
        if facts.run.psa.enabled
        else "these are the masks, since PSA is off"
    )
    return (
        f"The CAMs above a threshold are the seeds, {REFINED[facts.run.refine][2]}, and {masks}. "
        f"{_segmentation(facts)}"
    )


def _segmentation(facts: Facts) -> str:
    if facts.run.segmentation == "auxsegnet":
        rounds = facts.recipe.train_segmentation.auxsegnet.rounds
        name = segmentation_title(facts)
        return (
            f"A segmentation network ({name}, backbone {facts.recipe.network.backbone}) is "
            "trained on what CAMs and saliency agree about, and labels the pictures anew between "
            f"its {rounds} rounds; it does not use the masks."
        )
    network = facts.recipe.segmentation_network
    return (
        f"A segmentation network ({_HEADS[network.head.kind]}, backbone {network.backbone}) is "
        "trained on the masks as if they were the truth."
    )


def _found(facts: Facts) -> list[str]:
    sentences = []
    val = facts.scores.get("val")
    if val is not None and val.miou is not None:
        sentences.append(
            f"On the {val.images} pictures of {val.split}, which no training saw, its mean IoU is "
            f"{val.miou:.1f} %."
        )
    if any(scores.miou is not None for scores in facts.scores.values()):
        seeds = facts.scores.get("seeds")
        is_chosen = facts.run.seeds.threshold == "best" and seeds is not None and seeds.miou
        chosen = " and to choose the threshold" if is_chosen else ""
        sentences.append(f"True masks were used to score{chosen}, for nothing else.")
    return sentences


def threshold(facts: Facts) -> str:
    """Which threshold made the seeds, and which was the best."""
    seeds = facts.scores.get("seeds")
    if seeds is None or seeds.threshold is None:
        return ""
    is_own = facts.run.seeds.threshold == "auto" or (
        facts.run.seeds.threshold == "best" and seeds.miou is None
    )
    used = f"Threshold of the seeds: {seeds.threshold:.2f}"
    used += ", where the CAMs' scores part into two groups (Otsu)" if is_own else ""
    if seeds.miou is None:
        return f"{used}{'' if is_own else ', as set'}; nothing to score it with."
    if facts.run.seeds.threshold == "best" and seeds.threshold == seeds.best_threshold:
        return f"{used}, the best of the sweep on {seeds.split}, as in the papers."
    text = f"{used}{'' if is_own else ', as set'}, with {seeds.miou:.1f} %"
    if seeds.best_threshold is None or seeds.best_miou is None:
        return f"{text}."
    return f"{text}; the best would be {seeds.best_threshold:.2f} with {seeds.best_miou:.1f} %."


def paper_notes(facts: Facts, rows: tuple[Published, ...]) -> list[str]:
    """What to know before the papers' figures are compared with the run's."""
    if not rows:
        return ["The papers have no figures for this method."]
    notes = []
    if facts.run.data not in TITLES:
        notes.append(
            f"This run is on {facts.run.data}, the papers' figures are of VOC 2012: the two are "
            "not to be compared."
        )
    psa, refine = facts.run.psa.enabled, facts.run.refine
    masks_by = "PSA" if psa else refine.upper()
    ours = "those of PSA" if psa else _MASKS[refine]
    for maker, theirs in {"PSA": "of PSA", "CRF": "the CRF's"}.items():
        others = [row.method for row in rows if row.masks_by == maker]
        if others and maker != masks_by:
            notes.append(
                f"The published masks of {' and '.join(others)} are {theirs}, here {ours}."
            )
    trained = [f"{row.method} with {row.network}" for row in rows if row.network is not None]
    if trained:
        notes.append(f"Published on val: {', '.join(trained)}.")
    own = [row.method for row in rows if row.seeds is None]
    if own and table_of(facts.run.data) == VOC:
        notes.append(f"Not of these tables, but of papers of their own: {' and '.join(own)}.")
    return notes


@dataclass(frozen=True)
class Step:
    """A box of the drawing of what was done; figure: its mIoU; why_not: why it has none."""

    title: str
    about: str
    figure: str = ""
    why_not: str = ""


def flow(facts: Facts) -> tuple[Step, ...]:
    """The pipeline in six boxes."""
    run, data = facts.run, facts.data
    seeds = facts.scores.get("seeds")
    cut = f"CAMs above {seeds.threshold:.2f}" if seeds and seeds.threshold is not None else "CAMs"
    given = f"{data.splits['train_aug']} pictures, {data.classes} classes" if data else "pictures"
    head = _HEADS[facts.recipe.segmentation_network.head.kind]
    network = segmentation_title(facts) if run.segmentation == "auxsegnet" else head
    return (
        Step("Tags and saliency" if _has_saliency(facts) else "Tags", given),
        Step("CAMs", method(facts)),
        Step("Seeds", cut, *_figure(facts, "seeds")),
        Step(*REFINED[run.refine][:2], *_figure(facts, "crf")),
        Step("Masks", "PSA" if run.psa.enabled else _MASKS[run.refine], *_figure(facts, "masks")),
        Step(network, "on val", *_figure(facts, "val")),
    )


def _figure(facts: Facts, step: str) -> tuple[str, str]:
    found = facts.scores.get(step)
    if found is None:
        return "", "not scored yet"
    return ("", "no masks to score with") if found.miou is None else (f"{found.miou:.1f} %", "")


def term(name: str, training: Training) -> str:
    """What a column of a loss table is; empty where there is nothing to say."""
    if name == "loss":
        return "the weighted sum" if len(training.terms) > 2 else ""
    terms = _TERMS | (_AUXSEGNET_TERMS if "segmentation" in training.terms else {})
    return terms.get(name, "")


def origin(start: Origin) -> str:
    """What a network started from."""
    if start.kind == "none":
        return "random weights"
    if start.kind == "CAM network":
        return "the CAM network"
    if start.source is None:
        return "the warm-up of prepare_backbone"
    trained_on = f", trained on {start.supervision}" if start.supervision else ""
    more = " (more than image tags)" if start.supervision == "masks" else ""
    return f"{start.source} (layout {start.layout}){trained_on}{more}"


_FIRST = (
    "seed", "data", "debug", "baseline", "contrast", "refine", "segmentation",
    "segmentation_contrast",
)  # fmt: skip
Section = tuple[str, dict[str, str]]
"""A name, and values by key."""


def settings(facts: Facts) -> tuple[list[Section], list[Section]]:
    """The parameters that have a say in this run: those of params.yaml, those of the recipe."""
    run, recipe = plain(facts.run), plain(facts.recipe)
    baseline, psa = facts.run.baseline, facts.run.psa.enabled
    unused = set() if psa else {"label_affinity", "train_affinity", "refine_masks"}
    if facts.run.segmentation == "auxsegnet":
        unused.add("segmentation_network")
    first = {key: run[key] for key in _FIRST}
    what = [("", first), ("seeds", run["seeds"])]
    what.append(("psa", run["psa"]))
    constants = zip(facts.method.names, facts.method.settings, strict=False)
    sections = dict(constants)
    if facts.segmentation_contrast is not None:
        sections[facts.segmentation_contrast.name] = facts.segmentation_contrast.params
    what += [(name, values) for name, each in sections.items() if (values := plain(each))]
    how = []
    for name, values in recipe.items():
        if name in ("train_cam", "infer_cams", "refine_crf"):
            how.append((f"{name}.{baseline}", values[baseline]))
        elif name in ("train_segmentation", "predict_segmentation"):
            how.append((f"{name}.{facts.run.segmentation}", values[facts.run.segmentation]))
        elif name not in unused:
            how.append((name, values))
    return [_section(*each) for each in what], [_section(*each) for each in how]


def _section(name: str, values: dict[str, Any]) -> Section:
    return name, {key: _value(value) for key, value in flat(values).items()}


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)
