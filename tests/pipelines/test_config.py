"""Configs: the bounds and rules that their values must meet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pipelines.catalog import PIPELINES
from pipelines.config import Config, check
from pipelines.errors import UserError
from pipelines.recipe import Optimizer

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
    ("image_captioning", "vocabulary", 10, 9),
    ("image_captioning", "max_length", 4, 3),
    ("image_captioning", "beams", 64, 65),
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
    ("language_modeling", "max_examples", 0, -1),
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


@pytest.mark.parametrize(("pipeline", "option", "allowed", "rejected"), BOUNDS)
def test_a_value_out_of_bounds_is_an_error_with_its_name(pipeline, option, allowed, rejected):
    def chosen(part: Any, names: list[str], value: Any) -> Any:
        """Returns `part` with a field of its own or of its recipe changed."""
        name, *rest = names
        if not hasattr(part, name):
            return replace(part, recipe=chosen(part.recipe, names, value))
        return replace(part, **{name: chosen(getattr(part, name), rest, value) if rest else value})

    defaults, names = PIPELINES[pipeline].defaults, option.split(".")
    check(chosen(defaults, names, allowed))
    with pytest.raises(UserError, match=rf"^--{option} must .*, not ['\"]?{rejected}['\"]?$"):
        check(chosen(defaults, names, rejected))


def test_an_unknown_architecture_is_an_error():
    with pytest.raises(UserError, match=r"^unknown architecture 'resnet9'; .* lists all$"):
        check(Config(architecture="resnet9"))


WRONG = [
    ({"schedule": "inverse_sqrt", "warmup": 0.0}, "schedule inverse_sqrt needs .*warmup above 0"),
    ({"schedule": "one_cycle", "warmup": 0.0}, "schedule one_cycle needs .*warmup above 0"),
    ({"schedule": "step"}, r"schedule step needs --optimizer\.milestones, as \[30,60,80\]"),
    ({"schedule": "step", "milestones": [3, 2]}, r"milestones must be epochs in rising order"),
    ({"schedule": "step", "milestones": [3, 40]}, "milestones must be below --epochs 40, not 40"),
    ({"milestones": [3]}, "milestones is for the schedule step, not for cosine"),
    ({"power": 2.0}, "power is for the schedule polynomial, not for cosine"),
    ({"momentum": 0.9}, "momentum is for sgd and rmsprop, not for adamw"),
    ({"name": "sgd", "beta_1": 0.9}, "beta_1 is for adam and adamw and lamb and lion, not for sgd"),
    ({"name": "lion", "epsilon": 1e-6}, "epsilon is for .*, not for lion"),
    ({"name": "sgd", "nesterov": True}, "nesterov needs --optimizer.momentum above 0"),
    ({"clip_norm": 1.0, "clip_value": 0.1}, "clip_value cannot be beside --optimizer.clip_norm"),
]


@pytest.mark.parametrize(("options", "message"), WRONG)
def test_options_of_the_optimizer_that_do_not_go_together_are_an_error(options, message):
    defaults = PIPELINES["image_classification"].defaults
    recipe = replace(defaults.recipe, optimizer=Optimizer(**options))
    with pytest.raises(UserError, match=f"^--optimizer.{message}"):
        check(replace(defaults, recipe=recipe))


@pytest.mark.parametrize(
    ("pipeline", "options", "message"),
    [
        ("image_classification", {"freeze": "conv("}, r"^--freeze must be a regular expression"),
        (
            "image_classification",
            {"class_weights": "even"},
            "must be balanced, or weights .*'even'",
        ),
        ("image_classification", {"class_weights": "[1,-2]"}, "that are not negative"),
        ("translation", {"class_weights": "balanced"}, "for classification and segmentation"),
        ("question_answering", {"class_weights": "balanced"}, "for classification"),
        ("forecasting", {"label_smoothing": 0.1}, "for targets that are classes, not for numbers"),
    ],
)
def test_options_of_the_recipe_that_cannot_be_used_are_an_error(pipeline, options, message):
    defaults = PIPELINES[pipeline].defaults
    with pytest.raises(UserError, match=message):
        check(replace(defaults, recipe=replace(defaults.recipe, **options)))


@pytest.mark.parametrize(
    "pipeline",
    [
        *("image_classification", "image_segmentation", "text_classification"),
        *("token_classification", "distillation"),
    ],
)
def test_classes_may_be_weighted_where_there_are_some(pipeline):
    defaults = PIPELINES[pipeline].defaults
    check(replace(defaults, recipe=replace(defaults.recipe, class_weights="balanced")))
