"""The documentation's claims that can be checked: functions, parameters and tests that it names."""

import ast
import re
from pathlib import Path

import pytest
import torch
import yaml

from hsc.crf.dense import CrfConfig
from hsc.data.classes import VOC_CLASSES
from hsc.nets.deeplab import deeplab_network
from hsc.params.recipe import Recipe
from hsc.segmentation.training import segmentation_spec
from hsc.weights.published_deeplab import deeplab_spec

REPOSITORY = Path(__file__).resolve().parents[1]
DEPARTURES = "## Where the published code departs from its paper"
HEADER = ["#", "published code", "built here", "test"]


def table(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading of docs/method.md, its header first."""
    text = (REPOSITORY / "docs" / "method.md").read_text(encoding="utf-8")
    section = text.split(f"{heading}\n")[1].split("\n## ")[0]
    lines = section[section.index("\n|") + 1 :].split("\n\n")[0].splitlines()
    header, rule, *rows = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    assert set("".join(rule)) == {"-"}
    return [header, *rows]


def all_tests() -> set[str]:
    """`stem::function`, in back quotes, of every test of the repository, as the table writes it."""
    return {
        f"`{path.stem}::{node.name}`"
        for path in (REPOSITORY / "tests").rglob("test_*.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


def test_every_departure_from_the_published_code_has_its_test() -> None:
    header, *rows = table(DEPARTURES)
    assert header == HEADER
    assert [row[0] for row in rows] == [str(number) for number in range(1, 21)]
    known = all_tests()
    for number, published, built, named in rows:
        assert published, number
        assert built, number
        for name in named.split(", "):
            assert name in known, f"line {number}: no test {name}"


def test_every_equation_has_its_function_and_its_parameters() -> None:
    header, *rows = table("## The equations")
    assert header == ["equation", "what it says", "function", "parameters"]
    numbers = [row[0] for row in rows if row[0].startswith("(")]
    assert numbers == [f"({number})" for number in range(1, 14)]
    for number, _, function, parameters in rows:
        check_names(number, function, parameters)


def test_every_term_of_psa_has_its_function_and_its_parameters() -> None:
    header, *rows = table("## PSA")
    assert header == ["term", "function", "parameter"]
    assert len(rows) == 9
    for term, function, parameters in rows:
        check_names(term, function, parameters)


def check_names(what: str, function: str, parameters: str) -> None:
    """The function stands in its file, and each parameter in params.yaml or the recipe."""
    known = {**read("params.yaml"), **read("recipes/shapes.yaml")}
    path, name = function.strip("`").split("::")
    tree = ast.parse((REPOSITORY / path).read_text(encoding="utf-8"))
    assert name in {getattr(node, "name", None) for node in tree.body}, f"{what}: {function}"
    for key in parameters.split(", "):
        section = known
        for part in key.strip("`").split("."):
            assert part in section, f"{what}: no parameter {key}"
            section = section[part]


def read(path: str) -> dict:
    return yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))


def recipes_of_the_page() -> list[dict]:
    """The YAML blocks of docs/segmentation.md."""
    text = (REPOSITORY / "docs" / "segmentation.md").read_text(encoding="utf-8")
    return [yaml.safe_load(block.split("```")[0]) for block in text.split("```yaml\n")[1:]]


@pytest.mark.parametrize("block", recipes_of_the_page(), ids=["aspp", "largefov"])
def test_the_published_segmentation_recipes_can_be_used(block: dict) -> None:
    """They are whole sections of a recipe, and their networks can be built."""
    assert set(block) == {"segmentation_network", "train_segmentation", "predict_segmentation"}
    whole = read("recipes/shapes.yaml")
    for name in ("train_segmentation", "predict_segmentation"):
        whole[name] |= block[name]
    whole["segmentation_network"] = block["segmentation_network"]
    if block["train_segmentation"]["deeplab"]["initial_weights"] == "prepare_backbone":
        backbone = block["segmentation_network"]["backbone"]
        whole["network"] |= {"backbone": backbone, "widths": None, "output_stride": 8}
    recipe = Recipe.model_validate(whole)
    spec = segmentation_spec(VOC_CLASSES, recipe.segmentation_network)
    with torch.device("meta"):
        network = deeplab_network(spec).eval()
        assert network(torch.empty(1, 3, 33, 40)).shape == (1, 21, 33, 40)
    training = recipe.train_segmentation.deeplab
    assert (training.steps, training.batch_size, training.lr, training.momentum) == (
        20000, 10, 1e-3, 0.9,
    )  # fmt: skip
    assert (training.lr_new, training.lr_bias, training.weight_decay) == (10, 2, 5e-4)
    assert training.augmentation.scale == (0.5, 1.5)
    assert recipe.predict_segmentation.deeplab.scales == tuple(0.25 * step for step in range(2, 8))
    kernels = {"gaussian_sxy": 1, "bilateral_sxy": 67, "bilateral_srgb": 3, "bilateral_compat": 4}
    assert recipe.predict_segmentation.deeplab.crf == CrfConfig(**kernels)


def test_the_published_heads_are_both_there() -> None:
    heads = [block["segmentation_network"]["head"] for block in recipes_of_the_page()]
    assert [head["kind"] for head in heads] == ["aspp", "largefov"]
    published = deeplab_spec(VOC_CLASSES)["head"]
    assert heads[0] == published


TEXTS = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
    *sorted((REPOSITORY / "recipes").glob("*.yaml")),
]
OVERRIDE = re.compile(r"-S (?:(recipes/\w+\.yaml):)?([\w.]+)=([^\s`]+)")


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_every_override_that_is_written_somewhere_can_be_typed(path: Path) -> None:
    """Its file and its key are there, and a data set that it names has its recipe."""
    for file, key, value in OVERRIDE.findall(path.read_text(encoding="utf-8")):
        if value in ("…", "..."):
            continue
        section = read(file or "params.yaml")
        for part in key.split("."):
            assert part in section, f"{path.name}: -S {file}:{key}={value}"
            section = section[part]
        if (file, key) == ("", "data") and value != "birds":
            assert (REPOSITORY / "recipes" / f"{value}.yaml").is_file(), f"{path.name}: {value}"


def test_the_overrides_are_found() -> None:
    text = "x `-S data=a -S recipes/b.yaml:c.d=1.5`"
    assert OVERRIDE.findall(text) == [("", "data", "a"), ("recipes/b.yaml", "c.d", "1.5")]


@pytest.mark.parametrize("name", ["voc2012", "coco2014", "folder"])
def test_the_head_of_a_recipe_says_what_to_expect(name: str) -> None:
    text = (REPOSITORY / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    head = text[: text.index("\n\n")]
    assert all(line.startswith("#") for line in head.splitlines())
    expected = "xpected figures" if name == "folder" else "mIoU"
    for word in ("Command:", "Hardware:", "Time:", expected, f"data={name} -S debug=true"):
        assert word in head, word
