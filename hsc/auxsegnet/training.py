"""AuxSegNet's training in rounds: labels, a training on them, better labels, and so on.

    labels of CAMs and saliency -> round 0 -> labels of its network -> round 1 -> ...

A round that has ended stands in the work folder, so that a killed run goes on in the round in
which it was: `labels<r>/` what round r learns from, `round<r>.json` its losses, `round<r>.pt` its
network, which is written last. Masks are never read here.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hsc.auxsegnet.labels import RoundLabels, first_labels, next_labels
from hsc.auxsegnet.objective import AuxSegNetObjective
from hsc.auxsegnet.samples import LABELS, AuxSamples, write_round
from hsc.auxsegnet.update import updates
from hsc.base.distributed import all_here, is_first, own_part
from hsc.base.errors import WeightsError
from hsc.base.files import link_files, read_json, write_json
from hsc.base.pool import map_ordered
from hsc.base.progress import Bars, follow, silent
from hsc.crf.stage import cam_tasks
from hsc.data.lists import spread
from hsc.data.voc import VocFolder
from hsc.engine.checkpoints import ResumeFile
from hsc.engine.history import History
from hsc.engine.label_training import train_on_labels
from hsc.engine.runtime import Runtime, one_thread, seed_torch
from hsc.engine.watch import WATCHED, Watch
from hsc.methods.contrast import Contrast, Setting
from hsc.nets.auxsegnet import AuxSegNet, auxsegnet_network
from hsc.nets.segmentation import load_segmentation
from hsc.nets.weights import check_classes, load_state, load_weights, save_weights
from hsc.params.method import ContrastChoice
from hsc.params.recipe import NetworkParams
from hsc.params.segmentation import AuxLabelParams, TrainAuxSegNetParams
from hsc.segmentation.pictures import label_pictures

_SEEDS = 1000  # between the seeds of two rounds


def train_rounds(
    folder: VocFolder,
    cams: Path,
    classifier: Path,
    seed: int,
    network: NetworkParams,
    params: TrainAuxSegNetParams,
    contrast: ContrastChoice | None,
    runtime: Runtime,
    work: Path,
    processes: int,
    bars: Bars = silent,
    watch: Watch | None = None,
) -> History:
    """Train all rounds in the folder `work`, from where it stands; returns the losses of all steps.

    classifier: the CAM network's weights, from which the first round starts (backbone and head).
    contrast: one of `features`, besides the five losses. processes: of the CRF. watch: looks on.
    Raises HscError for bad input or a loss that is not finite.
    """
    spec = network_spec(folder.class_names, network, params, contrast)
    history: History = []
    for index in range(params.rounds):
        before = None if index == 0 else round_weights(work, index - 1)
        if not round_weights(work, index).is_file():
            drawn = seed + _SEEDS * index
            seed_torch(drawn)
            started = _start(spec, classifier, before)
            labels = round_folder(work, index)
            if not labels.is_dir():
                made = _labels(folder, cams, before, params.labels, runtime, processes)
                _write_labels(folder, labels, made, runtime, bars(f"labels {index}", "image"))
            objective = AuxSegNetObjective(started, _contrast(contrast, started, params))
            looking = None if watch is None else watch.after(history)
            _train_round(
                index, objective, folder, drawn, params, runtime, work, spec, bars, looking
            )
        all_here(runtime.device)
        terms: History = read_json(_round_history(work, index))
        history += [row | {"step": index * params.steps + row["step"]} for row in terms]
    return history


def round_folder(work: Path, index: int) -> Path:
    """What a round learns from (`hsc.auxsegnet.samples`)."""
    return work / f"labels{index}"


def round_weights(work: Path, index: int) -> Path:
    """The network of a round that has ended."""
    return work / f"round{index}.pt"


def _round_history(work: Path, index: int) -> Path:
    return work / f"round{index}.json"


def link_rounds(work: Path, rounds: int, output: Path) -> None:
    """Put the pseudo labels of every round into `<output>/<r>/`."""
    for index in range(rounds):
        (output / str(index)).mkdir(parents=True)
        link_files(round_folder(work, index) / LABELS, output / str(index))


def network_spec(
    class_names: tuple[str, ...],
    network: NetworkParams,
    params: TrainAuxSegNetParams,
    contrast: ContrastChoice | None = None,
) -> dict[str, Any]:
    """The network's specification (`hsc.nets.auxsegnet.auxsegnet_network`)."""
    enrichment = None if contrast is None else contrast.kind.enrichment(contrast.params)
    return {
        **network.backbone_spec,
        "class_names": list(class_names),
        "channels": params.channels,
        "rates": list(params.rates),
        "head_dropout": params.head_dropout,
        **({} if enrichment is None else {"enrichment": enrichment}),
    }


def load_classifier(network: AuxSegNet, path: Path, spec: dict[str, Any]) -> None:
    """Give a network the backbone of a CAM network and its head, without the background's row.

    A second CAM begins as the plain one, also where the CAM network has one of its own.
    Raises HscError for a CAM network of another backbone or of other classes.
    """
    found, state = load_weights(path, "cam")
    check_classes(path, found, tuple(spec["class_names"]))
    for key in ("backbone", "widths"):
        if found[key] != spec[key]:
            raise WeightsError(
                f"{path}: its {key} is {found[key]}, the recipe's is {spec[key]}; run train_cam "
                "again"
            )
    prefix = "backbone."
    backbone = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
    load_state(network.backbone, backbone, path)
    load_state(network.head, {"weight": state["head.weight"][1:]}, path)
    if network.enrichment is not None:
        network.enrichment.begin(network.head)


def _start(spec: dict[str, Any], classifier: Path, before: Path | None) -> AuxSegNet:
    if before is not None:
        return load_segmentation(before)[0]
    network = auxsegnet_network(spec)
    load_classifier(network, classifier, spec)
    return network


def _contrast(
    choice: ContrastChoice | None, network: AuxSegNet, params: TrainAuxSegNetParams
) -> Contrast | None:
    """The contrast of a round; its class nodes are those of the second CAM, where there is one."""
    if choice is None:
        return None
    setting = Setting(
        network.head.out_channels, 0, 0,
        background_score=params.labels.cam_threshold,
        feature_channels=network.backbone.channels,
        views=1,
    )  # fmt: skip
    contrast = choice.kind(choice.params, setting)
    if network.enrichment is not None:
        contrast.nodes.copy_(network.enrichment.nodes)
        contrast.seen.copy_(network.enrichment.seen)
    return contrast


def _labels(
    folder: VocFolder,
    cams: Path,
    before: Path | None,
    how: AuxLabelParams,
    runtime: Runtime,
    processes: int,
) -> Iterator[RoundLabels]:
    """The labels of this process's part of `train_aug`, in the order of the ids."""
    ids = own_part(folder.ids("train_aug"))
    if before is None:
        for image_id, _, cam, classes in cam_tasks(folder, cams, ids):
            yield first_labels(cam, classes, folder.saliency(image_id), how)
        return
    network, _ = load_segmentation(before)
    found = updates(network, folder, ids, runtime)
    with one_thread():
        yield from map_ordered(partial(next_labels, how=how), found, processes)


def _write_labels(
    folder: VocFolder, output: Path, labels: Iterator[RoundLabels], runtime: Runtime, progress: Any
) -> None:
    """Write them, whole or not at all; of several processes each writes its part."""
    ids: Sequence[str] = own_part(folder.ids("train_aug"))
    part = output.with_name(output.name + ".partial")
    for image_id, label in follow(zip(ids, labels, strict=True), len(ids), progress):
        write_round(part, image_id, label)
    all_here(runtime.device)
    if is_first():
        part.replace(output)
    all_here(runtime.device)


def _train_round(
    index: int,
    objective: AuxSegNetObjective,
    folder: VocFolder,
    seed: int,
    params: TrainAuxSegNetParams,
    runtime: Runtime,
    work: Path,
    spec: dict[str, Any],
    bars: Bars,
    watch: Watch | None,
) -> None:
    ids, labels = folder.ids("train_aug"), round_folder(work, index)
    seed_torch(seed)  # whether labels were made before or were there, dropout is the same
    resume = ResumeFile(work, "state", f"round{index}", watch)
    watched = spread(ids, WATCHED)
    history = train_on_labels(
        objective,
        objective.network,
        AuxSamples(folder, ids, labels, params.augmentation, seed, params.padding),
        seed,
        params,
        runtime,
        resume,
        title=f"AuxSegNet, round {index + 1} of {params.rounds}",
        bars=bars,
        draw=lambda: label_pictures(objective.network, folder, watched, runtime),
        warmup=params.warmup,
    )
    if is_first():
        write_json(_round_history(work, index), history)
        state = objective.network.state_dict()
        save_weights(round_weights(work, index), "auxsegnet", spec, state)
    resume.clear()
