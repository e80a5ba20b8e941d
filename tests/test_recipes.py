"""Recipes: what is accepted, what is refused and how the refusal helps."""

from pathlib import Path
from typing import get_args

import pytest

from geofix import recipes
from geofix.errors import RecipeError
from geofix.recipes import AugmentName, CrossviewRecipe, NightRecipe, Recipe

NAMES = recipes.names()


def test_the_built_in_ones_are_there() -> None:
    assert {"resnet18-gem", "resnet18-netvlad"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_every_built_in_recipe_parses_and_says_its_own_name(name: str) -> None:
    assert recipes.load_any(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_yaml_round_trip(name: str) -> None:
    recipe = recipes.load_any(name)
    assert recipes.parse_any(recipe.to_yaml(), "again") == recipe


def test_yaml_round_trip_of_every_field_changed() -> None:
    recipe = Recipe(
        name="é: [x]", backbone="vgg16", cut="last", pretrained="file", weights="w: # 1", pooling="netvlad",
        gem_p=2.5, gem_p_learnable=False, netvlad_clusters=7, netvlad_photos=3, netvlad_locations=9, rmac_levels=2,
        l2="none", projection=5, image_size=(64, 96), mean=(0.1, 0.2, 0.3), std=(1, 2, 3), seed=9, precision="bf16",
        batch_size=1, epochs=3, learning_rate=1e-7, weight_decay=0.5, random_tensors=4, scales=(1.0, 0.5),
        whiten_directions=3, whiten_floor=0.7, learn="pairs", loss="sare_ind", margin=0.3, positive_within_m=7.5,
        positive_heading_deg=60.0, negative_beyond_m=30.0, mining="full", negatives=3, negative_candidates=50,
        queries_per_epoch=70, cache_refresh=35, pairs=99, night_pairs=0.5, photos_per_place=5, frozen_through="layer1",
        batch_norm="frozen", optimizer="sgd", schedule="cosine", warmup_steps=4, patience=2, choose_on="val",
        block_share=0.4, accumulate=2, train_precision="bf16", channels_last=False, augment_colour=0.1,
        augment_crop=0.5, augment_perspective=0.2, augment_erase=0.3, augment_flip=True,
        augment=("occlusion", "night"), augment_as="coded", steps=(2,), steps_by="resize", join="tile",
        epochs_before=8,
    )  # fmt: skip
    together = Recipe(
        members=({}, {"backbone": "vgg16", "steps": (2, 3)}), combine="add", member_weights=(1.0, -0.5),
        equal_norms=True, pca=7,
    )  # fmt: skip
    for one in (recipe, together):
        assert recipes.parse(one.to_yaml(), "again") == one
    assert all(
        getattr(recipe, name) != field.default or getattr(together, name) != field.default
        for name, field in Recipe.model_fields.items()
        if name != "task"
    )


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'resnet18-gm' \(did you mean 'resnet18-gem'\?\); built in are: .*netvlad"):
        recipes.load("resnet18-gm")
    with pytest.raises(RecipeError, match="built in are"):
        recipes.load("")


def test_unknown_key_names_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"'poolling', which is no key .*did you mean 'pooling'"):
        recipes.parse("poolling: gem", "x.yaml")
    with pytest.raises(RecipeError, match=r"--set sets 'learningrate'.*did you mean 'learning_rate'"):
        recipes.with_settings(Recipe(), ["learningrate=1"])
    with pytest.raises(RecipeError, match="sets 17, which is no key"):
        recipes.parse("17: 3", "x.yaml")


@pytest.mark.parametrize(
    "setting",
    [
        "pooling=max", "gem_p=0", "gem_p=-1", "netvlad_clusters=1", "netvlad_clusters=2.5", "seed=-1", "seed=x",
        "precision=fp16", "epochs=-1", "learning_rate=0", "learning_rate=fast", "weight_decay=-1", "batch_size=0",
        "image_size=480", "image_size=480x", "image_size=axb", "image_size=16x64", "image_size=64x5000",
        "image_size=[64]", "image_size=[64, 64, 64]", "image_size=-64x64", "image_size=", "pretrained=yes",
        "l2=maybe", "projection=0", "mean=[1, 2]", "std=7", "task=country", "name=[1]", "gem_p_learnable=perhaps",
    ],
)  # fmt: skip
def test_wrong_values_name_the_key(setting: str) -> None:
    with pytest.raises(RecipeError, match=f"--set sets {setting.split('=')[0]}"):
        recipes.with_settings(Recipe(), [setting])


@pytest.mark.parametrize("text", ["480x640", "480X640", " 480 x 640 ", "[480, 640]"])
def test_sizes_are_rows_x_columns(text: str) -> None:
    assert recipes.with_settings(Recipe(), [f"image_size={text}"]).image_size == (480, 640)


def test_a_number_that_yaml_takes_for_text_is_a_number() -> None:
    assert recipes.with_settings(Recipe(), ["learning_rate=1e-5"]).learning_rate == 1e-5
    assert recipes.parse("learning_rate: 1e-5", "x.yaml").learning_rate == 1e-5


def test_settings_apply_in_order_and_leave_the_recipe_as_it_was() -> None:
    recipe = Recipe()
    changed = recipes.with_settings(recipe, ["seed=1", " seed =2", "projection=null"])
    assert (recipe.seed, changed.seed, changed.projection) == (0, 2, None)


@pytest.mark.parametrize("name", get_args(AugmentName))
def test_every_augmentation_can_be_set(name: str) -> None:
    for written in (f"augment=[{name}]", f"augment={name}"):
        assert recipes.with_settings(Recipe(), [written]).augment == (name,)


def test_augmentations_in_the_order_written() -> None:
    recipe = recipes.with_settings(Recipe(), ["augment=[occlusion, night]", "augment_as=coded"])
    assert recipe.augment == ("occlusion", "night")
    assert recipes.with_settings(recipe, ["augment=[]"]).augment == ()


def test_augmentations_that_are_not_there() -> None:
    with pytest.raises(
        RecipeError, match=r"augment to \['nigth'\]: .*'nigth' \(did you mean 'night'\?\); known are: night, "
    ):
        recipes.with_settings(Recipe(), ["augment=[nigth]"])
    with pytest.raises(RecipeError, match="did you mean 'martin-colour-3'"):
        recipes.parse("augment: [night, martin-color-3]", "x.yaml")
    with pytest.raises(RecipeError, match="named once or not at all"):
        recipes.with_settings(Recipe(), ["augment=[night, night]"])
    for wrong in ("augment=3", "augment=[3]", "augment=[[night]]", "augment=null", "augment={night: 1}"):
        with pytest.raises(RecipeError, match="--set sets augment"):
            recipes.with_settings(Recipe(), [wrong])
    with pytest.raises(RecipeError, match="--set sets augment_as"):
        recipes.with_settings(Recipe(), ["augment_as=meant"])


def test_a_setting_without_an_equals_sign() -> None:
    with pytest.raises(RecipeError, match=r"'seed' has no '='"):
        recipes.with_settings(Recipe(), ["seed"])


def test_a_setting_that_is_no_yaml() -> None:
    with pytest.raises(RecipeError, match="cannot be read"):
        recipes.with_settings(Recipe(), ["mean=[1, 2"])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: [1", "is not valid YAML"),
        ("- a\n- b", "holds a list"),
        ("just text", "holds a str"),
        ("!!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("\x00", "is not valid YAML"),
    ],
)
def test_text_that_is_no_recipe(text: str, what: str) -> None:
    with pytest.raises(RecipeError, match=f"x.yaml {what}"):
        recipes.parse(text, "x.yaml")


def test_an_empty_recipe_is_the_default_one() -> None:
    assert recipes.parse("# nothing\n", "x.yaml") == Recipe()


def test_files(tmp_path: Path) -> None:
    good = tmp_path / "mine.yaml"
    good.write_text("name: mine\nimage_size: 64x96\n", encoding="utf-8")
    assert recipes.load(str(good)).image_size == (64, 96)
    with pytest.raises(RecipeError, match="cannot be read"):
        recipes.load(str(tmp_path / "none.yaml"))
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(RecipeError, match="is not text"):
        recipes.load(str(binary))
    with pytest.raises(RecipeError, match="no recipe named"):
        recipes.load(str(tmp_path))


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Recipe().seed = 3  # type: ignore[misc]


def test_a_recipe_for_another_task() -> None:
    with pytest.raises(RecipeError, match="unit is a recipe for the task night; one for places is expected here"):
        recipes.load("unit")
    with pytest.raises(RecipeError, match="mine is for the task 'cooking'; this version knows places, cross"):
        recipes.parse_any("task: cooking", "mine")


def test_every_key_of_a_night_recipe_comes_back() -> None:
    recipe = NightRecipe(
        name="n", channels=8, residual_blocks=1, downsamplings=1, discriminator_channels=4, discriminator_layers=2,
        discriminator_scales=1, discriminator_norm="layer", shorter_side=64, image_size=(32, 48), gan=2.0, recon=3.0,
        kl=0.1, cycle=4.0, kl_cycle=0.2, perceptual=0.5, perceptual_backbone="resnet18", perceptual_cut="layer2",
        steps=7, epochs=2, batch_size=3, learning_rate=1e-3, weight_decay=0.5, halve_every=9, flip=False, seed=4,
        precision="bf16", train_precision="bf16", save_every=5, sheet_photos=2,
    )  # fmt: skip
    assert recipes.parse_any(recipe.to_yaml(), "again") == recipe
    unchanged = [key for key, field in NightRecipe.model_fields.items() if getattr(recipe, key) == field.default]
    assert unchanged == ["task"]
    assert recipes.with_settings(recipe, ["image_size=64x64"]).image_size == (64, 64)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ("image_size=287x512", "2 downsamplings need an image_size of multiples of 4"),
        ("image_size=640x640", "do not fit into photos whose shorter side is 512"),
        ("image_size=32x64", "3 scales of 4 layers need crops of at least 64 pixels"),
        ("image_size=9999x64", "rows and columns must be 32..4096"),
        ("chanels=3", "did you mean 'channels'"),
    ],
)
def test_night_recipes_that_cannot_work(setting: str, why: str) -> None:
    night = recipes.load_any("unit")
    assert isinstance(night, NightRecipe)
    with pytest.raises(RecipeError, match=why):
        recipes.with_settings(night, [setting])


def test_every_key_of_a_recipe_across_views_comes_back() -> None:
    recipe = CrossviewRecipe(
        name="c", backbone="resnet18", cut="layer3", global_stages=("layer2",), last_stride=2, pretrained="file",
        weights="w", random_tensors=1, epochs_before=2, blocks=3, partition="ring", pooling="average", gem_p=2.0,
        block_stages=("layer1",), learn="pairs", shrinkage=0.2,
        gem_p_learnable=False, part_length=64, flip_test=False, image_size=(96, 128), mean=(0.1, 0.2, 0.3),
        std=(0.4, 0.5, 0.6), seed=4, precision="bf16", views=("street", "satellite"), loss="infonce",
        head_reduction="mean", kl=0.0, kl_direction="both", kl_detach=False, temperature=0.2, dropout=0.1,
        label_smoothing=0.1, photos_per_place=2, batch_size=5, batch_norm="frozen", optimizer="adamw",
        learning_rate=0.1, trunk_rate=0.5, weight_decay=0.1, schedule="cosine", step_epochs=3, warmup_epochs=1,
        epochs=1, choose_on="val", measure_every=2, patience=4, block_share=0.3, accumulate=2, train_precision="bf16",
        channels_last=False, pad=3, augment_flip=False, rotate_deg=5.0, rotate_gallery_deg=6.0, augment_scale=0.9,
        augment_colour=0.1, augment_erase=0.2,
    )  # fmt: skip
    default = CrossviewRecipe()
    same = [key for key in CrossviewRecipe.model_fields if getattr(recipe, key) == getattr(default, key)]
    assert same == ["task"]
    assert recipes.parse_any(recipe.to_yaml(), "here") == recipe
