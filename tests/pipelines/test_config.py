"""Choices: their way through files and options, and the bounds they are held to."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import architectures
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.config import Config, Optimizer, Recipe, check
from pipelines.errors import UserError
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.tasks.distillation.config import DistillationConfig
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.pretraining.config import BertPretrainingConfig, ElectraPretrainingConfig
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.text.config import TextConfig

TEXT = st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=12)
NUMBER = st.floats(0, 1e6) | st.sampled_from([1e-3, 1e-5, 1e-12, 3e22])
HYPERPARAMETER = (
    st.integers(0, 1000)
    | NUMBER
    | st.booleans()
    | st.sampled_from(["same", "relu"])  # A text that looks like a number becomes one.
    | st.lists(st.integers(1, 512), max_size=3)
)
COMMON = {
    "dataset": TEXT,
    "architecture": st.sampled_from(architectures.names()),
    "model": st.dictionaries(st.from_regex(r"[a-z][a-z_0-9]{0,8}", fullmatch=True), HYPERPARAMETER),
    "name": TEXT,
    "data_dir": TEXT,
    "manual_dir": TEXT,
    "recipe": st.builds(
        Recipe,
        epochs=st.integers(1, 1000),
        batch_size=st.integers(1, 4096),
        patience=st.integers(0, 99),
        precision=st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]),
        seed=st.integers(0, 2**31 - 1),
        optimizer=st.builds(
            Optimizer, NUMBER, st.sampled_from(["cosine", "inverse_sqrt"]), NUMBER, NUMBER, NUMBER
        ),
    ),
}
SIZE = st.integers(0, 4096)
TEXTS = {
    "vocabulary": SIZE,
    "max_length": SIZE,
    "encoder": TEXT,
    "freeze_layers": SIZE,
    "word_dropout": NUMBER,
    "text_signature": st.booleans(),
}
PRETRAINING = {**TEXTS, "masked": NUMBER, "whole_words": st.booleans()}
OWN = {
    ImageConfig: {
        "image_size": SIZE,
        "augmentation": st.builds(Augmentation, NUMBER, NUMBER, NUMBER, st.booleans()),
    },
    TextConfig: TEXTS,
    BertPretrainingConfig: {
        **PRETRAINING,
        "sentence_task": st.sampled_from(["auto", "none", "next_sentence", "sentence_order"]),
    },
    ElectraPretrainingConfig: {
        **PRETRAINING,
        "generator_divisor": SIZE,
        "detection_weight": NUMBER,
    },
    TranslationConfig: {
        "reverse": st.booleans(),
        **{
            f"{side}_tokens": st.sampled_from(["auto", "pieces", "words", "characters"])
            for side in ("source", "target")
        },
        "vocabulary": SIZE,
        "max_length": SIZE,
        "beams": SIZE,
        "length_penalty": NUMBER,
        "label_smoothing": NUMBER,
        "text_signature": st.booleans(),
    },
    LanguageModelingConfig: {
        "tokens": st.sampled_from(["characters", "words", "word_pieces"]),
        "vocabulary": SIZE,
        "context": SIZE,
        "max_texts": SIZE,
        "text_signature": st.booleans(),
    },
    DistillationConfig: {
        "teacher": TEXT,
        "temperature": NUMBER,
        "alpha": NUMBER,
        "inherit": st.booleans(),
    },
    ForecastingConfig: {
        "column": TEXT,
        "season": SIZE,
        "history": SIZE,
        "horizon": SIZE,
        "scaling": st.sampled_from(["series", "window"]),
    },
}
# A pipeline with choices of its own for it.
CHOSEN = st.sampled_from(list(PIPELINES)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.builds(type(PIPELINES[name].defaults), **COMMON, **OWN[type(PIPELINES[name].defaults)]),
    )
)


def test_every_field_is_tried():
    for kind, own in OWN.items():
        assert {field.name for field in fields(kind)} == {*COMMON, *own}


@settings(max_examples=40)
@given(chosen=CHOSEN)
def test_the_file_of_a_run_gives_its_choices_again(chosen, tmp_path_factory):
    pipeline, config = chosen
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(yaml.dump(config.options(), default_flow_style=False))
    assert parse([pipeline, "--config", str(file)]) == chosen


@settings(max_examples=40)
@given(chosen=CHOSEN)
def test_parameters_are_the_options_that_give_the_choices_again(chosen):
    pipeline, config = chosen
    options = [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in config.parameters().items()
        if value != {}
    ]
    # Hyperparameters add to the pipeline's own, where it has some.
    assert parse([pipeline, "--model={}", *options]) == chosen


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_without_options_a_pipeline_takes_its_defaults(pipeline):
    defaults = PIPELINES[pipeline].defaults
    check(defaults)
    assert parse([pipeline]) == (pipeline, defaults)


def test_options_are_flat_for_the_run_and_dotted_inside_its_parts():
    _, config = parse(
        [
            "image_classification",
            *("--epochs", "3", "--optimizer.learning_rate", "1e-2", "--augmentation.flip", "true"),
            *("--model.filters", "[3, 4]", "--model.padding", "valid", "--name", "007"),
        ]
    )
    defaults: Any = PIPELINES["image_classification"].defaults
    recipe = replace(
        defaults.recipe,
        epochs=3,
        optimizer=replace(defaults.recipe.optimizer, learning_rate=1e-2),
    )
    assert config == replace(
        defaults,
        model={"filters": [3, 4], "padding": "valid"},
        name="007",
        recipe=recipe,
        augmentation=replace(defaults.augmentation, flip=True),
    )


WITH_MODEL = [name for name, pipeline in PIPELINES.items() if pipeline.defaults.model]


@pytest.mark.parametrize("pipeline", WITH_MODEL)
def test_default_hyperparameters_are_for_the_default_architecture_only(pipeline, tmp_path):
    """Another architecture would not know them, and nobody chose them for it."""
    defaults = PIPELINES[pipeline].defaults
    assert parse([pipeline, "--model.own", "3"])[1].model == {**defaults.model, "own": 3}
    assert parse([pipeline, "--architecture", defaults.architecture])[1] == defaults
    assert parse([pipeline, "--architecture", "mlp"])[1] == replace(
        defaults, architecture="mlp", model={}
    )
    options = [pipeline, "--architecture", "mlp", "--model.own", "3"]
    assert parse(options)[1].model == {"own": 3}
    file = tmp_path / "config.yaml"
    file.write_text("architecture: mlp\nmodel: {units: [9]}\n")
    assert parse([pipeline, "--config", str(file)])[1].model == {"units": [9]}
    # Whoever chooses afterwards chooses anew.
    assert parse(options)[1].model == {"own": 3}
    assert parse([pipeline])[1] == defaults


def test_options_override_the_file_before_them(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("epochs: 7\nbatch_size: 9\nmodel: {padding: valid}\n")
    options = ["--epochs", "8", "--model.dropout", "0.1"]
    _, config = parse(["image_classification", "--config", str(file), *options])
    assert (config.recipe.epochs, config.recipe.batch_size) == (8, 9)
    assert config.model == {"padding": "valid", "dropout": 0.1}


BOUNDS: list[tuple[str, str, Any, Any]] = [
    ("image_classification", "epochs", 1, 0),
    ("image_classification", "batch_size", 1, 0),
    ("image_classification", "patience", 0, -1),
    ("image_classification", "seed", 0, -1),
    ("image_classification", "seed", 2**31 - 1, 2**31),
    ("image_classification", "image_size", 0, -1),
    ("image_classification", "image_size", 4096, 4097),
    ("image_classification", "optimizer.learning_rate", 1e-6, 0.0),
    ("image_classification", "optimizer.learning_rate", 1.0, float("nan")),
    ("image_classification", "optimizer.learning_rate", 1.0, float("inf")),
    ("image_classification", "optimizer.weight_decay", 0.0, -0.1),
    ("image_classification", "optimizer.warmup", 0.9, 1.0),
    ("image_classification", "optimizer.clip_norm", 0.0, -1.0),
    ("image_classification", "augmentation.shift", 0.5, 0.6),
    ("image_classification", "augmentation.rotation", 0.5, 0.6),
    ("image_classification", "augmentation.zoom", 0.0, -0.1),
    ("image_classification", "name", "digits-v2_final.3", "../digits"),
    ("image_classification", "name", "", "a/b"),
    ("image_classification", "name", "7", "a:b"),
    ("image_classification", "name", "a", "it's"),
    ("image_segmentation", "augmentation.zoom", 0.5, 0.6),
    ("text_classification", "epochs", 1, 0),
    ("text_classification", "vocabulary", 100, 99),
    ("text_classification", "vocabulary", 1_000_000, 1_000_001),
    ("token_classification", "max_length", 4, 3),
    ("question_answering", "max_length", 8192, 8193),
    ("text_classification", "freeze_layers", 0, -1),
    ("bert_pretraining", "masked", 0.9, 0.0),
    ("bert_pretraining", "max_length", 16, 15),
    ("electra_pretraining", "masked", 0.01, 0.95),
    ("electra_pretraining", "generator_divisor", 1, 0),
    ("electra_pretraining", "detection_weight", 0.0, -1.0),
    ("translation", "vocabulary", 100, 99),
    ("translation", "max_length", 4, 3),
    ("translation", "beams", 1, 0),
    ("translation", "beams", 64, 65),
    ("translation", "length_penalty", 0.0, -0.1),
    ("translation", "label_smoothing", 0.0, -0.1),
    ("translation", "label_smoothing", 0.9, 1.0),
    ("language_modeling", "vocabulary", 100, 99),
    ("language_modeling", "context", 2, 1),
    ("language_modeling", "context", 8192, 8193),
    ("language_modeling", "max_texts", 0, -1),
    ("distillation", "temperature", 0.1, 0.0),
    ("distillation", "alpha", 0.0, -0.1),
    ("distillation", "alpha", 1.0, 1.1),
    ("forecasting", "season", 0, -1),
    ("forecasting", "history", 1, 0),
    ("forecasting", "history", 100_000, 100_001),
    ("forecasting", "horizon", 1, 0),
    ("forecasting", "horizon", 10_000, 10_001),
    ("forecasting", "seed", 0, -1),
]


@pytest.mark.parametrize(("pipeline", "option", "allowed", "refused"), BOUNDS)
def test_a_value_beyond_its_bounds_is_refused_by_name(pipeline, option, allowed, refused):
    def chosen(part: Any, names: list[str], value: Any) -> Any:
        """Returns `part` with the field changed, which may lie in its recipe."""
        name, *rest = names
        if not hasattr(part, name):
            return replace(part, recipe=chosen(part.recipe, names, value))
        return replace(part, **{name: chosen(getattr(part, name), rest, value) if rest else value})

    defaults, names = PIPELINES[pipeline].defaults, option.split(".")
    check(chosen(defaults, names, allowed))
    with pytest.raises(UserError, match=rf"^--{option} must .*, not ['\"]?{refused}['\"]?$"):
        check(chosen(defaults, names, refused))


def test_an_unknown_architecture_is_refused_with_the_known_ones():
    with pytest.raises(UserError, match=r"^unknown architecture 'resnet9'; .* lists them$"):
        check(Config(architecture="resnet9"))


def test_a_decay_from_the_warmup_on_needs_a_warmup():
    optimizer = Optimizer(schedule="inverse_sqrt", warmup=0.0)
    config = replace(PIPELINES["image_classification"].defaults, recipe=Recipe(optimizer=optimizer))
    with pytest.raises(UserError, match=r"inverse_sqrt needs --optimizer\.warmup above 0"):
        check(config)
