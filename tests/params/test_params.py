"""Parameters: what is committed loads; every mistake is named by file and key."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic
import pytest
import yaml

from hsc.base.errors import HscError
from hsc.params.base import CrfConfig
from hsc.params.data import FolderParams
from hsc.params.method import choose
from hsc.params.parsing import parse
from hsc.params.reading import load
from hsc.params.recipe import Recipe
from hsc.params.run import RunParams
from hsc.sources.shapes_config import ShapesConfig

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = sorted((REPOSITORY / "recipes").glob("*.yaml"))


def read(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


class House:
    """A copy of params.yaml and one recipe to make mistakes in."""

    def __init__(self, folder: Path) -> None:
        self.params, self.recipes = folder / "params.yaml", folder / "recipes"
        self.recipe = self.recipes / "shapes.yaml"
        self.recipes.mkdir()
        self.write(self.params, read(REPOSITORY / "params.yaml") | {"data": "shapes"})
        self.write(self.recipe, read(REPOSITORY / "recipes" / "shapes.yaml"))

    @staticmethod
    def write(path: Path, values: Any) -> None:
        path.write_text(yaml.safe_dump(values), encoding="utf-8")

    def edit(self, path: Path, key: str, value: Any) -> None:
        """Set a dotted key, which need not exist yet."""
        values = inner = read(path)
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner[parent]
        inner[last] = value
        self.write(path, values)

    def remove(self, path: Path, key: str) -> None:
        values = inner = read(path)
        *parents, last = key.split(".")
        for parent in parents:
            inner = inner[parent]
        del inner[last]
        self.write(path, values)

    def load(self) -> tuple[RunParams, Recipe]:
        """Whatever stages read, a method's constants too."""
        run, recipe = load(self.params, self.recipes)
        choose(run, self.params)
        return run, recipe

    def message(self) -> str:
        with pytest.raises(HscError) as caught:
            self.load()
        return str(caught.value)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_committed_parameters_load() -> None:
    run, _ = load(REPOSITORY / "params.yaml", REPOSITORY / "recipes")
    assert run.data in {path.stem for path in RECIPES}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_loads(recipe: Path, tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    House.write(params, read(REPOSITORY / "params.yaml") | {"data": recipe.stem})
    _, loaded = load(params, REPOSITORY / "recipes")
    for name in ("cam", "seam", "eps"):
        assert loaded.train_cam[name].steps > 0
        assert loaded.infer_cams[name].scales


def test_the_contrast_has_the_values_of_its_paper() -> None:
    run, _ = load(REPOSITORY / "params.yaml", REPOSITORY / "recipes")
    hsc = choose(run, REPOSITORY / "params.yaml").contrast_params
    assert (hsc.gamma, hsc.temperature, hsc.momentum) == (0.1, 0.1, 0.9)
    assert (hsc.k_class, hsc.k_pixel) == (16, 32)


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_infers_as_its_baseline_publishes(recipe: Path) -> None:
    """SEAM: the PCM's maps, summed after a ReLU; EPS: the logits, after a softmax."""
    infer = read(recipe)["infer_cams"]
    assert (infer["seam"]["maps"], infer["seam"]["merge"]) == ("refined", "relu")
    assert (infer["eps"]["maps"], infer["eps"]["merge"]) == ("raw", "softmax")


def test_no_key_stands_in_both_files() -> None:
    run = set(read(REPOSITORY / "params.yaml"))
    for recipe in RECIPES:
        assert not run & set(read(recipe))


def test_the_shapes_section_is_its_configuration() -> None:
    section = read(REPOSITORY / "recipes" / "shapes.yaml")["prepare_data"]
    assert section.pop("kind") == "shapes"
    config = parse(Path("shapes.yaml: prepare_data"), section, ShapesConfig)
    assert config == ShapesConfig(**section)


def test_values_arrive_typed_and_frozen(house: House) -> None:
    house.edit(house.params, "hsc.class", False)
    house.edit(house.params, "seeds.threshold", 0.26)
    run, recipe = house.load()
    assert choose(run, house.params).contrast_params.class_level is False
    assert run.seeds.threshold == 0.26
    assert isinstance(recipe.network.widths, tuple)
    with pytest.raises(pydantic.ValidationError):
        run.seed = 3
    with pytest.raises(pydantic.ValidationError):
        recipe.network.pcm_low = 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gama", 0.1),  # unknown
        ("hsc.gama", 0.1),
        ("seed", -1),
        ("seed", "many"),
        ("data", "../secret"),
        ("baseline", "sean"),
        ("contrast", "ppk"),
        ("eps.tau", 1.5),
        ("eps.equivariance", "sometimes"),
        ("eps.contrast_map", "best"),
        ("eps.refined_saliency", "perhaps"),
        ("hsc.gamma", -0.1),
        ("hsc.gamma", float("nan")),
        ("hsc.gamma", float("inf")),
        ("hsc.temperature", 0),
        ("hsc.roi", "perhaps"),
        ("hsc.crf", "some"),
        ("hsc.k_class", 0),
        ("hsc.k_class", 1.5),
        ("ppc.gama", 0.1),
        ("ppc.gamma", -0.1),
        ("ppc.temperature", 0),
        ("ppc.k", 0),
        ("ppc.background_score", 1.2),
        ("ppc.intra_view", "sometimes"),
        ("ppc.hard_share", 0),
        ("ppc.hard_share", 1.1),
        ("ppc.kept_share", -0.1),
        ("seeds.threshold", "worst"),
        ("seeds.threshold", 1.01),
        ("psa.enabled", "perhaps"),
        ("psa.alpha_low", 4),
        ("psa.gamma", 5),
        ("hsc", None),
        ("ppc", None),
    ],
)
def test_wrong_values_in_params_are_named(house: House, key: str, value: Any) -> None:
    house.edit(house.params, key, value)
    message = house.message()
    assert f"{house.params}: {key}" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schedule", {}),
        ("train_cam.seam.learning_rate", 0.1),
        ("train_cam.seam.steps", 0),
        ("train_cam.eps.lr", 0),
        ("train_cam.cam.momentum", 1),
        ("train_cam.cam.optimiser", "lion"),
        ("train_cam.cam.augmentation.hue", 0.6),
        ("train_cam.cam.augmentation.flip", 2),
        ("network.widths", [1, 2, 3]),
        ("network.output_stride", 2),
        ("network.projector", "mine"),
        ("infer_cams.cam.scales", []),
        ("infer_cams.cam.maps", "fine"),
        ("refine_crf.seam.label_confidence", 1),
        ("train_affinity.radius", 1),
        ("train_affinity.widths", [16, 32]),
        ("train_affinity.steps", 0),
        ("refine_masks.beta", 0),
        ("refine_masks.steps", 0),
        ("refine_masks.steps", 2.5),
        ("refine_masks.background", "none"),
        ("refine_masks.background_alpha", 0),
        ("refine_masks.background_score", 1.5),
        ("segmentation_network.backbone", 3),
        ("segmentation_network.head.dropout", 1.0),
        ("segmentation_network.head.rates", []),
        ("segmentation_network.head.kind", "fcn"),
        ("segmentation_network.head.norm_momentum", 0),
        ("segmentation_network.head.dilation", 12),  # of the other head
        ("train_segmentation.deeplab.initial_weights", "coco"),
        ("train_segmentation.deeplab.initial_weights", {"weights": "a.pth", "layout": "coco"}),
        ("train_segmentation.deeplab.augmentation.hsv", 91),
        ("predict_segmentation.deeplab.crf", True),
        ("predict_segmentation.deeplab.crf", {"iterations": 10}),
    ],
)
def test_wrong_values_in_a_recipe_are_named(house: House, key: str, value: Any) -> None:
    house.edit(house.recipe, key, value)
    message = house.message()
    assert f"{house.recipe}: {key}" in message


def test_a_missing_key_is_named(house: House) -> None:
    house.remove(house.params, "hsc.k_pixel")
    assert f"{house.params}: hsc.k_pixel" in house.message()
    house.edit(house.params, "hsc.k_pixel", 32)
    house.remove(house.recipe, "train_cam.eps.lr_new")
    assert f"{house.recipe}: train_cam.eps.lr_new" in house.message()


def test_every_mistake_of_a_file_is_named_with_its_value(house: House) -> None:
    house.edit(house.params, "eps.tau", 2)
    house.edit(house.params, "hsc.crf", "some")
    lines = house.message().splitlines()
    assert len(lines) == 2
    assert "eps.tau" in lines[0]
    assert "(got 2)" in lines[0]
    assert "hsc.crf" in lines[1]
    assert "(got 'some')" in lines[1]


def test_long_values_are_shortened(house: House) -> None:
    house.edit(house.params, "baseline", "x" * 500)
    assert len(house.message()) < 300 + len(str(house.params))


def test_hsc_without_a_level_is_a_wrong_combination(house: House) -> None:
    house.edit(house.params, "contrast", "hsc")
    for level in ("roi", "class", "pixel"):
        house.load()
        house.edit(house.params, f"hsc.{level}", False)
    message = house.message()
    for part in (str(house.params), "hsc.roi", "hsc.class", "hsc.pixel", "contrast: none"):
        assert part in message
    house.edit(house.params, "contrast", "none")
    house.load()


@pytest.mark.parametrize(
    ("changes", "named", "mended"),
    [
        (
            {"hsc.pixel": False},
            ("hsc.momentum_prototypes", "hsc.pixel"),
            {"hsc.momentum_prototypes": False},
        ),
        (
            {"hsc.pixel": False, "hsc.momentum_prototypes": False, "hsc.crf": "pixel"},
            ("hsc.crf is pixel", "hsc.pixel"),
            {"hsc.crf": "all"},
        ),
        (
            {"hsc.pixel": False, "hsc.momentum_prototypes": False, "hsc.roi": False},
            ("hsc.crf is all", "class level"),
            {"hsc.crf": "none"},
        ),
        (
            {"hsc.crf": "none", "hsc.refine": "par"},
            ("hsc.refine is par", "hsc.crf"),
            {"hsc.crf": "all"},
        ),
        (
            {"baseline": "eps", "contrast": "none", "eps.refined_saliency": True},
            ("eps.refined_saliency", "eps.equivariance"),
            {"eps.equivariance": True},
        ),
        (
            {"baseline": "eps", "eps.equivariance": False, "eps.contrast_map": "refined"},
            ("eps.contrast_map", "softmax"),
            {"eps.contrast_map": "softmax"},
        ),
    ],
)
def test_wrong_combinations_say_what_fits(
    house: House, changes: dict[str, Any], named: tuple[str, ...], mended: dict[str, Any]
) -> None:
    for key, value in changes.items():
        house.edit(house.params, key, value)
    message = house.message()
    for part in (str(house.params), *named):
        assert part in message
    for key, value in mended.items():
        house.edit(house.params, key, value)
    house.load()


def test_what_is_not_used_may_be_anything(house: House) -> None:
    """A switch from EPS to SEAM, or of the contrast, needs no other section mended."""
    house.edit(house.params, "eps.equivariance", False)
    house.edit(house.params, "eps.contrast_map", "refined")
    house.load()
    house.edit(house.params, "contrast", "ppc")
    house.edit(house.params, "hsc.pixel", False)
    house.load()


def test_a_backbone_may_have_widths_of_its_own(house: House) -> None:
    found = house.load()[1].network.backbone_spec
    assert found == {"backbone": "small", "widths": [16, 32, 64, 96], "output_stride": 4}
    house.edit(house.recipe, "train_segmentation.deeplab.initial_weights", "none")
    house.edit(house.recipe, "network.widths", None)
    assert house.load()[1].network.backbone_spec["widths"] is None
    house.remove(house.recipe, "network.widths")
    assert house.load()[1].network.widths is None


def test_ppc_without_a_term_is_a_wrong_combination(house: House) -> None:
    house.edit(house.params, "contrast", "ppc")
    for term in ("cross_prototype", "cross_label", "intra_view"):
        house.load()
        house.edit(house.params, f"ppc.{term}", False)
    message = house.message()
    for part in (str(house.params), "ppc.cross_prototype", "ppc.intra_view", "contrast: none"):
        assert part in message
    house.edit(house.params, "contrast", "none")
    house.load()


def test_ppc_cannot_keep_more_than_is_hard(house: House) -> None:
    house.edit(house.params, "ppc.kept_share", 0.7)
    message = house.message()
    assert f"{house.params}: ppc: " in message
    assert "kept_share" in message
    assert "hard_share" in message


def test_no_clipping_is_said_by_null(house: House) -> None:
    house.edit(house.recipe, "train_cam.seam.clip_norm", None)
    assert house.load()[1].train_cam["seam"].clip_norm is None
    house.edit(house.recipe, "train_cam.seam.clip_norm", 0)
    assert "train_cam.seam.clip_norm" in house.message()


@pytest.mark.parametrize("key", ["backbone", "widths"])
def test_both_networks_share_what_one_backbone_prepares(house: House, key: str) -> None:
    value = {"backbone": "resnet101", "widths": [16, 32, 64, 97]}[key]
    house.edit(house.recipe, f"segmentation_network.{key}", value)
    message = house.message()
    for part in (
        str(house.recipe),
        "train_segmentation.deeplab.initial_weights",
        "segmentation_network",
    ):
        assert part in message
    for other in ("none", {"weights": "IMAGENET1K_V2", "layout": "torchvision"}):
        house.edit(house.recipe, "train_segmentation.deeplab.initial_weights", other)
        assert getattr(house.load()[1].segmentation_network, key) == (
            tuple(value) if key == "widths" else value
        )


def test_a_pooled_norm_needs_more_than_one_picture(house: House) -> None:
    house.edit(house.recipe, "segmentation_network.head.pooled_norm", True)
    house.load()
    house.edit(house.recipe, "train_segmentation.deeplab.batch_size", 1)
    message = house.message()
    for part in (
        "segmentation_network.head.pooled_norm",
        "train_segmentation.deeplab.batch_size is 1",
    ):
        assert part in message
    house.edit(house.recipe, "segmentation_network.head.pooled_norm", False)
    house.load()


def test_the_other_head_has_keys_of_its_own(house: House) -> None:
    head = {"kind": "largefov", "channels": 512, "dropout": 0.5, "dropout_of": "values"}
    house.edit(house.recipe, "segmentation_network.head", head)
    key = f"{house.recipe}: segmentation_network.head.dilation: Field required"
    assert key in house.message()
    house.edit(house.recipe, "segmentation_network.head.dilation", 12)
    loaded = house.load()[1].segmentation_network.head
    assert (loaded.kind, loaded.dilation, loaded.norm_momentum) == ("largefov", 12, 0.1)


def test_a_crf_on_the_predictions(house: House) -> None:
    assert house.load()[1].predict_segmentation.deeplab.crf is None
    kernels = {
        "iterations": 10, "gaussian_sxy": 1, "gaussian_compat": 3, "bilateral_sxy": 67,
        "bilateral_srgb": 3, "bilateral_compat": 4,
    }  # fmt: skip
    house.edit(house.recipe, "predict_segmentation.deeplab.crf", kernels)
    assert house.load()[1].predict_segmentation.deeplab.crf == CrfConfig(**kernels)
    house.edit(house.recipe, "predict_segmentation.deeplab.crf.gaussian_sxy", 0)
    assert "predict_segmentation.deeplab.crf.gaussian_sxy" in house.message()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scale": [0.5, 1.5]}, "give one of resize_longest and scale"),
        ({"resize_longest": None}, "give one of resize_longest and scale"),
        ({"resize_longest": None, "scale": [1.5, 0.5]}, "scale: the first value must not exceed"),
    ],
)
def test_one_range_of_sizes(house: House, changes: dict[str, Any], words: str) -> None:
    for key, value in changes.items():
        house.edit(house.recipe, f"train_segmentation.deeplab.augmentation.{key}", value)
    message = house.message()
    assert f"{house.recipe}: train_segmentation.deeplab.augmentation: " in message
    assert words in message


def test_resize_range_must_ascend(house: House) -> None:
    house.edit(house.recipe, "train_cam.seam.augmentation.resize_longest", [96, 62])
    message = house.message()
    assert f"{house.recipe}: train_cam.seam.augmentation" in message
    assert "resize_longest" in message


def test_a_data_set_without_recipe_lists_those_there_are(house: House) -> None:
    house.edit(house.params, "data", "pascal")
    message = house.message()
    assert f"{house.params}: data: 'pascal'" in message
    assert str(house.recipes / "pascal.yaml") in message
    assert "there are: shapes" in message
    house.recipe.unlink()
    assert "there are: none" in house.message()


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        (b"seed: [1, 2\n", "not valid YAML"),
        (b"\tseed: 1\n", "not valid YAML"),
        (b"seed: !!python/object/apply:os.getcwd []\n", "not valid YAML"),
        (b"seed: 0\ndata: shapes\nseed: 1\n", "the key 'seed' stands twice"),
        (b"hsc: {gamma: 0.1, gamma: 0.2}\n", "the key 'gamma' stands twice"),
        (b"seed: 0 # caf\xe9\n", "UTF-8"),
        (b"", r"\(file\)"),
        (b"just words\n", r"\(file\)"),
    ],
)
def test_a_file_that_is_no_parameter_file(house: House, content: bytes, pattern: str) -> None:
    house.params.write_bytes(content)
    message = house.message()
    assert message.startswith(f"{house.params}: ")
    assert re.search(pattern, message)


@pytest.mark.parametrize("value", ["true", "1.0", "'1'"])
def test_a_seed_is_a_whole_number(house: House, value: str) -> None:
    text = house.params.read_text()
    house.params.write_text(re.sub(r"(?m)^seed: .*$", f"seed: {value}", text))
    assert "seed: Input should be a valid integer" in house.message()


def test_a_missing_file_and_a_folder(house: House) -> None:
    house.params.unlink()
    assert f"{house.params}: cannot be read (No such file or directory)" in house.message()
    house.params.mkdir()
    assert f"{house.params}: cannot be read" in house.message()


@dataclass(frozen=True)
class Knobs:
    size: int = 80
    noise: float = 0.5

    def __post_init__(self) -> None:
        if self.size < 10:
            raise ValueError("size must be 10 or more")


def test_parse_section_reads_a_dataclass() -> None:
    assert parse(Path("r.yaml: prepare_data"), {"size": 12}, Knobs) == Knobs(12)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"sizes": 12}, ["sizes"]),
        ({"size": "big"}, ["size", "'big'"]),
        ({"size": 9}, ["size must be 10 or more"]),
        (None, ["(file)"]),
    ],
)
def test_parse_section_names_place_and_key(values: Any, parts: list[str]) -> None:
    with pytest.raises(HscError) as caught:
        parse(Path("r.yaml: prepare_data"), values, Knobs)
    for part in ("r.yaml: prepare_data: ", *parts):
        assert part in str(caught.value)


def test_parse_section_reads_a_model() -> None:
    source = Path("folder.yaml: prepare_data")
    section = read(REPOSITORY / "recipes" / "folder.yaml")["prepare_data"]
    del section["kind"]
    found = parse(source, section | {"path": "/pictures"}, FolderParams)
    assert found.path == Path("/pictures")
    del section["path"]
    with pytest.raises(HscError, match=r"folder\.yaml: prepare_data: path: Field required"):
        parse(source, section, FolderParams)


def test_the_low_alpha_is_below_the_high_one(house: House) -> None:
    house.edit(house.recipe, "label_affinity.alpha_low", 24)
    message = house.message()
    assert message.startswith(f"{house.recipe}: label_affinity: ")
    assert "alpha_low has to be below alpha_high" in message


def test_a_crop_has_room_for_the_radius(house: House) -> None:
    """Map cells are 4 pixels wide here: 17 pixels are 5 cells, 16 are 4."""
    crop = "train_affinity.augmentation.crop_size"
    house.edit(house.recipe, "network.output_stride", 4)
    house.edit(house.recipe, "train_affinity.radius", 5)
    house.edit(house.recipe, crop, 17)
    load(house.params, house.recipes)
    house.edit(house.recipe, crop, 16)
    message = house.message()
    assert message.startswith(f"{house.recipe}: ")
    assert "16 pixels are 4 cells, fewer than train_affinity.radius, 5" in message
    assert "crops of 20 pixels or more" in message


def test_psa_has_the_labels_of_its_paper_and_is_off() -> None:
    run, recipe = load(REPOSITORY / "params.yaml", REPOSITORY / "recipes")
    assert not run.psa.enabled
    assert (recipe.label_affinity.alpha_low, recipe.label_affinity.alpha_high) == (4, 24)


def leaves(value: Any, way: str = "") -> dict[str, Any]:
    """Every value of a recipe by its dotted key."""
    if not isinstance(value, dict):
        return {way: value}
    found = {}
    for key, inner in value.items():
        found |= leaves(inner, f"{way}.{key}".strip("."))
    return found


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_trial_differs_from_its_recipe_in_sizes_only(path: Path, tmp_path: Path) -> None:
    """The same archives, weights, networks and rates: a broken path is broken in both."""
    found = []
    for debug in (False, True):
        params = tmp_path / "params.yaml"
        changed = {"data": path.stem, "debug": debug}
        House.write(params, read(REPOSITORY / "params.yaml") | changed)
        found.append(leaves(load(params, REPOSITORY / "recipes")[1].model_dump()))
    real, trial = found
    assert real.keys() == trial.keys()
    changed = {key.split(".")[-1] for key in real if real[key] != trial[key]}
    assert changed <= {
        "limit", "train", "val", "scored_train", "steps", "batch_size", "checkpoint_every",
        "view2_size", "crf_size", "crop_size", "resize_longest", "scales", "pictures", "epochs",
        "sizes", "rounds",
    }  # fmt: skip
    assert trial.get("prepare_data.limit", 8) == trial.get("prepare_data.train", 8) == 8
    assert all(value == 2 for key, value in trial.items() if key.endswith(".steps")
               and key.startswith("train_"))  # fmt: skip


def test_the_recipe_of_voc_has_the_papers_values() -> None:
    """Those of the published implementations of SEAM, EPS, PPC and HSC."""
    recipe = read(REPOSITORY / "recipes" / "voc2012.yaml")
    assert recipe["network"]["backbone"] == "resnet38"
    for name in ("cam", "seam", "eps"):
        how = recipe["train_cam"][name]
        assert (how["batch_size"], how["lr"], how["weight_decay"]) == (8, 0.01, 5e-4)
        assert (how["lr_bias"], how["lr_new"], how["power"]) == (2, 10, 0.9)
        assert how["augmentation"]["crop_size"] == 448
        assert how["augmentation"]["resize_longest"] == [448, 768]
        assert how["view2_size"] == 128
        assert recipe["infer_cams"][name]["scales"] == [0.5, 1.0, 1.5, 2.0]
    epoch = 10582 // 8
    assert recipe["train_cam"]["seam"]["steps"] == 8 * epoch
    assert recipe["train_cam"]["eps"]["steps"] == 20000
    crf = recipe["refine_crf"]
    assert (crf["seam"]["unary"], crf["seam"]["label_confidence"]) == ("labels", 0.7)
    assert (crf["eps"]["unary"], crf["eps"]["alpha"], crf["eps"]["iterations"]) == ("alpha", 7, 8)
    counts = recipe["prepare_data"]["counts"]
    assert counts == {"train": 1464, "val": 1449, "train_aug": 10582, "test": 1456}
    coco = read(REPOSITORY / "recipes" / "coco2014.yaml")["prepare_data"]
    assert coco["counts"] == {"train_aug": 82081, "val": 40137}


def test_the_recipes_of_photographs_differ_in_their_pictures_alone() -> None:
    """What is measured on voc_animals is what photographs of one's own are trained with."""
    own, animals = (
        yaml.safe_load((REPOSITORY / "recipes" / f"{name}.yaml").read_text())
        for name in ("photos", "voc_animals")
    )
    assert own.pop("prepare_data") != animals.pop("prepare_data")
    assert own == animals
