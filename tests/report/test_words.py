"""hsc.report.words: what a run is called, and what is said of it."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from hsc.params.method import choose, choose_segmentation_contrast
from hsc.report import words
from hsc.report.facts import Facts, gather
from hsc.report.papers import published
from hsc.report.reading import Origin, Saliency, Scores
from hsc.report.terminal import table
from tests.report.runs import make_run


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    run = make_run(tmp_path_factory.mktemp("words") / "run", "shapes", ("zebra", "ringed"))
    return gather(run.where)


def of(facts: Facts, psa: bool | None = None, **changes: Any) -> Facts:
    """The same with other keys of params.yaml."""
    run = facts.run.model_copy(update=changes)
    if psa is not None:
        run = run.model_copy(update={"psa": run.psa.model_copy(update={"enabled": psa})})
    method = choose(run, Path("params.yaml"))
    contrast = choose_segmentation_contrast(run, Path("params.yaml"))
    return dataclasses.replace(facts, run=run, method=method, segmentation_contrast=contrast)


def with_scores(facts: Facts, step: str, **changes: Any) -> Facts:
    found = facts.scores[step].model_copy(update=changes)
    return dataclasses.replace(facts, scores={**facts.scores, step: found})


def test_titles(facts: Facts) -> None:
    assert words.title(facts) == "SEAM + HSC on shapes, seed 0"
    other = of(facts, baseline="eps", contrast="ppc", data="voc2012", seed=3)
    assert words.title(other) == "EPS + PPC on voc2012, seed 3"
    assert words.title(of(facts, baseline="cam", contrast="none")) == "CAM on shapes, seed 0"


def test_the_summary_says_what_was_given_and_what_came_out(facts: Facts) -> None:
    text = words.summary(facts)
    assert text.startswith(
        "The pipeline is given 10582 pictures and their tags: which of 2 classes"
    )
    assert "saliency" not in text
    assert "PSA is off" in text
    assert "On the 1449 pictures of val" in text
    assert f"{facts.scores['val'].miou:.1f} %" in text
    assert "backbone small, warmed up on the same tags" in text


@pytest.mark.parametrize(
    ("baseline", "contrast"),
    list(itertools.product(("cam", "seam", "eps"), ("none", "ppc", "hsc"))),
)
def test_every_method_is_told_as_it_is(facts: Facts, baseline: str, contrast: str) -> None:
    text = words.summary(of(facts, baseline=baseline, contrast=contrast))
    assert ("SEAM asks" in text) == (baseline == "seam")
    assert ("EPS asks" in text) == (baseline == "eps")
    assert ("saliency maps (published)" in text) == (baseline == "eps")
    assert ("SEAM's terms" in text) == (baseline == "eps" and contrast != "none")
    assert ("PPC asks" in text) == (contrast == "ppc")
    assert ("HSC asks" in text) == (contrast == "hsc")
    assert "  " not in text
    assert ".." not in text


def test_psa_in_words(facts: Facts) -> None:
    assert "random walk, which gives the masks" in words.summary(of(facts, psa=True))
    assert words.flow(of(facts, psa=True))[4].about == "PSA"
    assert words.flow(facts)[4].about == "the CRF's"


@pytest.mark.parametrize(
    ("refine", "title", "masks"), [("par", "+ PAR", "PAR's"), ("none", "Seeds, kept", "the seeds")]
)
def test_what_refines_the_seeds_in_words(facts: Facts, refine: str, title: str, masks: str) -> None:
    other = of(facts, refine=refine)
    assert [words.flow(other)[3].title, words.flow(other)[4].about] == [title, masks]
    assert (words.flow(other)[3].about == "to the edges") == (refine == "par")
    assert "CRF" not in words.summary(other)
    assert f"masks of SEAM + HSC and SEAM are of PSA, here {masks}" in notes(other)
    assert title in table(other)
    assert dict(words.settings(other)[0])[""]["refine"] == refine


def test_nothing_is_said_of_what_was_not_scored(facts: Facts) -> None:
    half = dataclasses.replace(facts, scores={}, data=None)
    assert "mean IoU" not in words.summary(half)
    assert "True masks" not in words.summary(half)
    assert [step.why_not for step in words.flow(half)][2:] == ["not scored yet"] * 4
    assert words.threshold(half) == ""
    blind = with_scores(facts, "val", miou=None)
    assert words.flow(blind)[5].why_not == "no masks to score with"
    assert "mean IoU" not in words.summary(blind)


def test_the_flow_has_the_figures(facts: Facts) -> None:
    figures = [step.figure for step in words.flow(facts)]
    steps = ("seeds", "crf", "masks", "val")
    assert figures == ["", "", *(f"{facts.scores[step].miou:.1f} %" for step in steps)]


def test_thresholds(facts: Facts) -> None:
    assert words.threshold(facts).startswith("Threshold of the seeds: 0.30, as set, with ")
    assert "the best would be 0.26 with " in words.threshold(facts)
    best = facts.run.seeds.model_copy(update={"threshold": "best"})
    chosen = with_scores(of(facts, seeds=best), "seeds", threshold=0.26)
    assert words.threshold(chosen) == (
        "Threshold of the seeds: 0.26, the best of the sweep on train, as in the papers."
    )
    blind = with_scores(facts, "seeds", miou=None)
    assert words.threshold(blind).endswith("0.30, as set; nothing to score it with.")
    groups = "where the CAMs' scores part into two groups (Otsu)"
    unscored = of(blind, seeds=best)
    assert words.threshold(unscored).endswith(f"0.30, {groups}; nothing to score it with.")
    auto = of(facts, seeds=best.model_copy(update={"threshold": "auto"}))
    assert words.threshold(auto).startswith(f"Threshold of the seeds: 0.30, {groups}, with ")
    assert "the best would be 0.26 with " in words.threshold(auto)


def notes(facts: Facts) -> str:
    run = facts.run
    rows = published(run.baseline, run.contrast, run.segmentation, run.data)
    return " ".join(words.paper_notes(facts, rows))


def test_figures_of_another_data_set_are_not_to_be_compared(facts: Facts) -> None:
    assert "This run is on shapes, the papers' figures are of VOC 2012" in notes(facts)
    assert "not to be compared" in notes(of(facts, data="voc2012_small"))
    assert "not to be compared" not in notes(of(facts, data="voc2012"))
    assert "not to be compared" not in notes(of(facts, data="coco2014", contrast="dscnet"))


def test_notes_on_the_masks_and_networks(facts: Facts) -> None:
    assert "masks of SEAM + HSC and SEAM are of PSA, here the CRF's" in notes(facts)
    assert "masks" not in notes(of(facts, psa=True))
    eps = of(facts, psa=True, baseline="eps")
    assert "masks of EPS + HSC are the CRF's, here those of PSA" in notes(eps)
    assert "EPS + HSC with DeepLab-ASPP on ResNet-101" in notes(eps)
    assert notes(of(facts, baseline="cam")) == "The papers have no figures for this method."


def test_figures_of_a_paper_of_its_own_are_said_to_be(facts: Facts) -> None:
    dscnet = of(facts, data="voc2012", contrast="dscnet")
    assert "but of papers of their own: SEAM + DSCNet." in notes(dscnet)
    assert "papers of their own" not in notes(of(facts, data="voc2012"))
    assert "papers of their own" not in notes(of(dscnet, data="coco2014"))


def test_settings_leave_out_what_has_no_say(facts: Facts) -> None:
    what, how = words.settings(facts)
    assert [name for name, _ in what] == ["", "seeds", "psa", "hsc"]
    assert dict(what)["psa"] == {"enabled": "false"}
    assert dict(what)["hsc"]["class"] == "true"
    names = [name for name, _ in how]
    assert "train_cam.seam" in names
    assert not {"label_affinity", "train_affinity"} & set(names)
    assert dict(how)["train_cam.seam"]["augmentation.crop_size"] == "80"
    what, how = words.settings(of(facts, psa=True, baseline="eps", contrast="none"))
    assert [name for name, _ in what] == ["", "seeds", "psa", "eps"]
    assert dict(how)["label_affinity"]["alpha_low"] == "4"
    assert {"train_cam.eps", "train_affinity", "refine_masks"} <= {name for name, _ in how}


def test_terms_of_a_loss(facts: Facts) -> None:
    cams = facts.trainings["train_cam"]
    assert all(words.term(name, cams) for name in cams.terms)
    assert words.term("loss", facts.trainings["train_segmentation"]) == ""
    assert words.term("new_term", cams) == ""


def test_origins() -> None:
    assert words.origin(Origin(kind="none")) == "random weights"
    assert words.origin(Origin(kind="warm-up", sha256="a")) == "the warm-up of prepare_backbone"
    imported = Origin(layout="mxnet", source="r38.params", supervision="ImageNet")
    assert words.origin(imported) == "r38.params (layout mxnet), trained on ImageNet"
    masks = Origin(layout="own", source="x.pt", supervision="masks")
    assert words.origin(masks).endswith("trained on masks (more than image tags)")


def test_saliency_is_named_by_its_source(facts: Facts) -> None:
    assert facts.data is not None
    data = facts.data.model_copy(update={"saliency": Saliency(source="estimated")})
    eps = dataclasses.replace(of(facts, baseline="eps"), data=data)
    assert "saliency maps (estimated)" in words.summary(eps)


def test_an_absent_key_is_no_score() -> None:
    found = Scores.model_validate({"split": "val", "images": 0, "mIoU": None})
    assert (found.miou, found.classes.iou, found.threshold) == (None, {}, None)


@pytest.fixture(scope="module")
def auxsegnet(tmp_path_factory: pytest.TempPathFactory) -> Facts:
    folder = tmp_path_factory.mktemp("auxsegnet") / "run"
    return gather(make_run(folder, "shapes", ("zebra",), segmentation="auxsegnet").where)


def test_auxsegnet_is_told_as_what_it_is(auxsegnet: Facts) -> None:
    text = words.summary(auxsegnet)
    assert "A segmentation network (AuxSegNet, backbone small) is trained on what CAMs" in text
    assert "between its 3 rounds; it does not use the masks." in text
    assert "It is given saliency maps" in text
    first, *_, last = words.flow(auxsegnet)
    assert (first.title, last.title) == ("Tags and saliency", "AuxSegNet")
    training = auxsegnet.trainings["train_segmentation"]
    assert words.term("saliency", training) == "saliency"
    assert words.term("refined_segmentation", training).endswith("refined by the affinity")
    assert words.term("saliency", auxsegnet.trainings["train_cam"]) == "EPS: saliency"
    assert words.origin(auxsegnet.segmentation.initial_weights) == "the CAM network"


def test_its_contrast_is_told_with_its_constants(auxsegnet: Facts) -> None:
    with_dscnet = of(auxsegnet, segmentation_contrast="dscnet")
    assert "A segmentation network (AuxSegNet + DSCNet, backbone small)" in words.summary(
        with_dscnet
    )
    assert words.flow(with_dscnet)[-1].title == "AuxSegNet + DSCNet"
    sections = dict(words.settings(with_dscnet)[0])
    assert sections["dscnet"]["alpha"] == "0.6"
    assert sections[""]["segmentation_contrast"] == "dscnet"
    assert "dscnet" not in dict(words.settings(auxsegnet)[0])


def test_only_its_own_parameters_are_shown(auxsegnet: Facts, facts: Facts) -> None:
    def sections(facts: Facts) -> set[str]:
        return {name for name, _ in words.settings(facts)[1]}

    assert "train_segmentation.auxsegnet" in sections(auxsegnet)
    assert "segmentation_network" not in sections(auxsegnet)
    assert "train_segmentation.deeplab" in sections(facts)
    assert "segmentation_network" in sections(facts)
