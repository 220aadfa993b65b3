"""Choices: their way through files and options, and the bounds they are held to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import architectures
from pipelines import PIPELINES
from pipelines.__main__ import parse
from pipelines.errors import UserError
from pipelines.recipe import Augmentation, Config, Optimizer, Recipe, check

TEXT = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=12)
NUMBER = st.floats(0, 1e6) | st.sampled_from([1e-3, 1e-5, 1e-12, 3e22])
HYPERPARAMETER = (
    st.integers(0, 1000)
    | NUMBER
    | st.booleans()
    | st.sampled_from(["same", "relu"])  # A text that looks like a number becomes one.
    | st.lists(st.integers(1, 512), max_size=3)
)
CONFIGS = st.builds(
    Config,
    dataset=TEXT,
    architecture=st.sampled_from(architectures.names()),
    model=st.dictionaries(st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True), HYPERPARAMETER),
    name=TEXT,
    image_size=st.integers(0, 4096),
    data_dir=TEXT,
    manual_dir=TEXT,
    recipe=st.builds(
        Recipe,
        epochs=st.integers(1, 1000),
        batch_size=st.integers(1, 4096),
        patience=st.integers(0, 99),
        precision=st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]),
        seed=st.integers(0, 2**31 - 1),
        optimizer=st.builds(Optimizer, NUMBER, NUMBER, NUMBER, NUMBER),
        augmentation=st.builds(Augmentation, NUMBER, NUMBER, NUMBER, st.booleans()),
    ),
)


@settings(max_examples=25)
@given(config=CONFIGS)
def test_the_file_of_a_run_gives_its_choices_again(config, tmp_path_factory):
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(yaml.dump(config.options(), default_flow_style=False))
    assert parse(["classify_images", "--config", str(file)]) == ("classify_images", config)


@settings(max_examples=25)
@given(config=CONFIGS)
def test_parameters_are_the_options_that_give_the_choices_again(config):
    options = [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in config.parameters().items()
        if value != {}
    ]
    _, parsed = parse(["classify_images", *options])
    assert parsed == config


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_without_options_a_pipeline_takes_its_defaults(pipeline):
    defaults = PIPELINES[pipeline].defaults
    check(defaults)
    assert parse([pipeline]) == (pipeline, defaults)


def test_options_are_flat_for_the_run_and_dotted_inside_its_parts():
    _, config = parse(
        [
            "classify_images",
            *("--epochs", "3", "--optimizer.learning_rate", "1e-2", "--augmentation.flip", "true"),
            *("--model.filters", "[3, 4]", "--model.padding", "valid", "--name", "007"),
        ]
    )
    defaults = PIPELINES["classify_images"].defaults
    recipe = replace(
        defaults.recipe,
        epochs=3,
        optimizer=replace(defaults.recipe.optimizer, learning_rate=1e-2),
        augmentation=replace(defaults.recipe.augmentation, flip=True),
    )
    model = {"filters": [3, 4], "padding": "valid"}
    assert config == replace(defaults, model=model, name="007", recipe=recipe)


def test_options_override_the_file_before_them(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("epochs: 7\nbatch_size: 9\nmodel: {padding: valid}\n")
    options = ["--epochs", "8", "--model.dropout", "0.1"]
    _, config = parse(["classify_images", "--config", str(file), *options])
    assert (config.recipe.epochs, config.recipe.batch_size) == (8, 9)
    assert config.model == {"padding": "valid", "dropout": 0.1}


BOUNDS: list[tuple[str, Any, Any]] = [
    ("epochs", 1, 0),
    ("batch_size", 1, 0),
    ("patience", 0, -1),
    ("seed", 0, -1),
    ("seed", 2**31 - 1, 2**31),
    ("image_size", 0, -1),
    ("image_size", 4096, 4097),
    ("optimizer.learning_rate", 1e-6, 0.0),
    ("optimizer.learning_rate", 1.0, float("nan")),
    ("optimizer.learning_rate", 1.0, float("inf")),
    ("optimizer.weight_decay", 0.0, -0.1),
    ("optimizer.warmup", 0.9, 1.0),
    ("optimizer.clip_norm", 0.0, -1.0),
    ("augmentation.shift", 0.5, 0.6),
    ("augmentation.rotation", 0.5, 0.6),
    ("augmentation.zoom", 0.0, -0.1),
    ("name", "digits-v2_final.3", "../digits"),
    ("name", "", "a/b"),
    ("name", "7", "a:b"),
    ("name", "a", "it's"),
]


@pytest.mark.parametrize(("option", "allowed", "refused"), BOUNDS)
def test_a_value_beyond_its_bounds_is_refused_by_name(option, allowed, refused):
    def config(value) -> Config:
        defaults = PIPELINES["classify_images"].defaults
        part, _, field = option.rpartition(".")
        if not part:
            if field in ("image_size", "name"):
                return replace(defaults, **{field: value})
            return replace(defaults, recipe=replace(defaults.recipe, **{field: value}))
        inner = replace(getattr(defaults.recipe, part), **{field: value})
        return replace(defaults, recipe=replace(defaults.recipe, **{part: inner}))

    check(config(allowed))
    with pytest.raises(UserError, match=rf"^--{option} must .*, not ['\"]?{refused}['\"]?$"):
        check(config(refused))


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"^unknown architecture 'resnet9'; .* lists them$"):
        check(Config(architecture="resnet9"))
