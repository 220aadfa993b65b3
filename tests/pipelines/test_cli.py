"""The command line: from options and files to a config, and its help."""

from __future__ import annotations

import ast
import inspect
import itertools
import json
import re
import textwrap
from dataclasses import fields, is_dataclass, replace
from typing import Any, get_type_hints

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import architectures
from pipelines import catalog
from pipelines.bounds import bounds
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.config import check
from pipelines.errors import UserError
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.distillation.config import DistillationConfig
from pipelines.tasks.forecasting.config import ForecastingConfig
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.pretraining.config import BertPretrainingConfig, ElectraPretrainingConfig
from pipelines.tasks.question_answering.config import QuestionAnsweringConfig
from pipelines.tasks.text_classification.config import TextClassificationConfig
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
    "skip_bad": st.booleans(),
    "split_seed": st.integers(0, 2**31 - 1),
    "separator": TEXT,
    "encoding": TEXT,
    "max_examples": st.integers(0, 2**31 - 1),
    "figures": st.booleans(),
    "run_name": TEXT,
    "tag": st.lists(st.sampled_from(["a=b", "c d=", "e=f=g"]), max_size=3),
    "note": TEXT,
    "resume": TEXT,
    "strategy": st.sampled_from(["auto", "one", "mirrored", "multi_worker"]),
    "devices": st.integers(0, 8),
    "data_service": TEXT,
    "cache": TEXT,
    "diagnose": st.sampled_from([False, True, 25]),
    "find_learning_rate": st.booleans(),
    "recipe": st.builds(
        Recipe,
        epochs=st.integers(1, 1000),
        batch_size=st.integers(1, 4096),
        patience=st.integers(0, 99),
        keep=st.sampled_from(["auto", "best", "last"]),
        precision=st.sampled_from(["float32", "mixed_bfloat16", "mixed_float16"]),
        seed=st.integers(0, 2**31 - 1),
        monitor=TEXT,
        label_smoothing=NUMBER,
        class_weights=st.sampled_from(["", "balanced", "[1, 2.5]"]),
        freeze=TEXT,
        layer_decay=NUMBER,
        jit_compile=st.sampled_from(["auto", "true", "false"]),
        steps_per_execution=st.integers(1, 99),
        deterministic=st.booleans(),
        on_nan=st.sampled_from(["stop", "restore"]),
        checkpoint_every=st.integers(0, 99),
        optimizer=st.builds(
            Optimizer,
            learning_rate=NUMBER,
            name=st.sampled_from(["sgd", "adamw", "lion"]),
            schedule=st.sampled_from(["cosine", "step", "inverse_sqrt"]),
            weight_decay=NUMBER,
            warmup=NUMBER,
            clip_norm=NUMBER,
            accumulate=st.integers(1, 99),
            nesterov=st.booleans(),
            milestones=st.lists(st.integers(1, 99), max_size=3),
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
    "token_cutoff": NUMBER,
    "text_signature": st.booleans(),
}
PRETRAINING = {
    **TEXTS,
    "masked": NUMBER,
    "whole_words": st.booleans(),
    "initialization": st.sampled_from(["local", "published"]),
}
IMAGES = {
    "image_size": SIZE,
    "weights": TEXT,
    "augmentation": st.builds(Augmentation, NUMBER, NUMBER, NUMBER, st.booleans()),
}
OWN = {
    ImageConfig: IMAGES,
    SegmentationConfig: {
        **IMAGES,
        "class_share": NUMBER,
        "loss": st.sampled_from(["cross_entropy", "focal", "dice"]),
    },
    CaptioningConfig: {
        "image_size": SIZE,
        "augmentation": IMAGES["augmentation"],
        "tokens": st.sampled_from(["auto", "words", "pieces", "characters"]),
        "vocabulary": SIZE,
        "max_length": SIZE,
        "beams": SIZE,
        "length_penalty": NUMBER,
    },
    TextConfig: TEXTS,
    TextClassificationConfig: {
        **TEXTS,
        "tokens": st.sampled_from(["auto", "words", "characters"]),
    },
    QuestionAnsweringConfig: TEXTS,
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
        "text_signature": st.booleans(),
    },
    LanguageModelingConfig: {
        "tokens": st.sampled_from(["characters", "words", "word_pieces", "byte_pairs"]),
        "weights": TEXT,
        "vocabulary": SIZE,
        "context": SIZE,
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
        "scaling": st.sampled_from(["auto", "series", "window"]),
        "group": TEXT,
        "time": TEXT,
        "decimal": st.sampled_from(["", ".", ","]),
        "date_format": st.sampled_from(["", "%d/%m/%Y", "%Y-%m-%dT%H:%M:%S%z"]),
        "missing": st.sampled_from(["error", "interpolate", "keep"]),
        "covariates": TEXT,
        "calendar": st.sampled_from(["auto", "none", "weekday,us_holidays"]),
        "jitter": NUMBER,
        "random_scaling": NUMBER,
    },
}
# A pipeline with a config of its class.
CHOSEN = st.sampled_from(list(PIPELINES)).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.builds(type(PIPELINES[name].defaults), **COMMON, **OWN[type(PIPELINES[name].defaults)]),
    )
)


def test_the_strategies_cover_every_field():
    for kind, own in OWN.items():
        assert {field.name for field in fields(kind)} == {*COMMON, *own}


@settings(max_examples=20)
@given(chosen=CHOSEN)
def test_the_config_file_of_a_run_gives_its_config_again(chosen, tmp_path_factory):
    pipeline, config = chosen
    file = tmp_path_factory.mktemp("config") / "config.yaml"
    file.write_text(yaml.dump(config.options(), default_flow_style=False))
    assert parse([pipeline, "--config", str(file)]) == chosen


@settings(max_examples=20)
@given(chosen=CHOSEN)
def test_parameters_are_options_that_give_the_config_again(chosen):
    pipeline, config = chosen
    options = [
        f"--{name}={value if isinstance(value, str) else json.dumps(value)}"
        for name, value in config.parameters().items()
        if value != {}
    ]
    # Hyperparameters add to the pipeline's own, where it has some.
    assert parse([pipeline, "--model={}", *options]) == chosen


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_without_options_a_pipeline_has_its_defaults(pipeline):
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


def test_hyphens_and_underscores_are_the_same_in_names_of_options():
    options = ["--batch-size", "8", "--model.stage-dropout=0.5", "--max-examples", "9"]
    name, config = parse(["image-classification", *options])
    assert (name, config.recipe.batch_size, config.max_examples) == ("image_classification", 8, 9)
    assert config.model == {"stage_dropout": 0.5}
    # Values stay as they are.
    assert parse(["text_classification", "--dataset", "my-texts"])[1].dataset == "my-texts"
    assert parse(["text_classification", "--dataset=my-texts"])[1].dataset == "my-texts"


def test_tags_may_be_repeated():
    _, config = parse(["image_classification", "--tag", "a=b", "--tag=c d=e=f", "--note", "why"])
    assert config.tags == {"a": "b", "c d": "e=f"}
    assert config.note == "why"
    # They are no hyperparameters.
    assert not {"tag", "note", "run_name"} & config.hyperparameters().keys()


WITH_MODEL = [name for name, pipeline in PIPELINES.items() if pipeline.defaults.model]


@pytest.mark.parametrize("pipeline", WITH_MODEL)
def test_default_hyperparameters_are_for_the_default_architecture_only(pipeline, tmp_path):
    """Another architecture may not have them."""
    defaults = PIPELINES[pipeline].defaults
    assert parse([pipeline, "--model.own", "3"])[1].model == {**defaults.model, "own": 3}
    assert parse([pipeline, "--architecture", defaults.architecture])[1] == defaults
    own: dict[str, Any] = {"model": {}, "encoder": "", "inherit": False, "generator_divisor": 4}
    assert parse([pipeline, "--architecture", "mlp"])[1] == replace(
        defaults,
        architecture="mlp",
        **{name: value for name, value in own.items() if hasattr(defaults, name)},
    )
    options = [pipeline, "--architecture", "mlp", "--model.own", "3"]
    assert parse(options)[1].model == {"own": 3}
    file = tmp_path / "config.yaml"
    file.write_text("architecture: mlp\nmodel: {units: [9]}\n")
    assert parse([pipeline, "--config", str(file)])[1].model == {"units": [9]}
    # Nothing of an earlier command line is kept.
    assert parse(options)[1].model == {"own": 3}
    assert parse([pipeline])[1] == defaults


def test_options_override_the_file_before_them(tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text("epochs: 7\nbatch_size: 9\nmodel: {padding: valid}\n")
    options = ["--epochs", "8", "--model.dropout", "0.1"]
    _, config = parse(["image_classification", "--config", str(file), *options])
    assert (config.recipe.epochs, config.recipe.batch_size) == (8, 9)
    assert config.model == {"padding": "valid", "dropout": 0.1}


def docstrings(kind: Any) -> dict[str, str]:
    """Returns the docstring of each option of a config class, by its name on the command line."""
    found: dict[str, str] = {}
    for part in reversed(kind.__mro__[:-1]):
        source = ast.parse(textwrap.dedent(inspect.getsource(part))).body[0]
        assert isinstance(source, ast.ClassDef)
        for field, text in itertools.pairwise(source.body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                assert isinstance(field.target, ast.Name)
                assert isinstance(text.value, ast.Constant)
                found[field.target.id] = str(text.value.value)
    for option in fields(kind):
        own: Any = get_type_hints(kind)[option.name]
        if is_dataclass(own):
            del found[option.name]
            prefix = "" if own is Recipe else f"{option.name}."
            found |= {prefix + name: text for name, text in docstrings(own).items()}
    return found


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_option_has_a_docstring_of_one_line(pipeline):
    config = PIPELINES[pipeline].defaults
    texts = docstrings(type(config))
    assert texts.keys() == (config.parameters() | {"model": {}}).keys() - {
        f"model.{name}" for name in config.model
    }
    for option, text in texts.items():
        assert text.endswith("."), option
        assert "\n" not in text, option


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_help_shows_the_docstring_bounds_and_default_of_every_option(pipeline, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "500")  # So that no line is wrapped.
    with pytest.raises(SystemExit) as left:
        parse([pipeline, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert PIPELINES[pipeline].summary in shown
    shown_help = {}
    for text in re.split(r"\n+(?=  -|\S)", shown):
        option, *rest = text.split()
        # Since Python 3.13, "--tag, --tags TAG" instead of "--tag TAG, --tags TAG".
        shown_help[option.rstrip(",")] = " ".join(rest)
    config = PIPELINES[pipeline].defaults
    defaults = config.parameters() | {"model": config.model}
    limits = bounds(type(config))
    for option, text in docstrings(type(config)).items():
        details = []
        if option in limits:
            details = [f"{limits[option].low:.12g} to {limits[option].high:.12g}"]
        if defaults[option] != "":
            value = defaults[option]
            details.append(f"default: {value if isinstance(value, str) else json.dumps(value)}")
        expected = f"{text} ({'; '.join(details)})" if details else text
        assert shown_help[f"--{option}"].endswith(expected)


def test_bounds_read_as_a_range(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit):
        parse(["image_classification", "--help"])
    shown = capsys.readouterr().out
    assert "Passes over the training split. (1 to 100000; default: 40)" in shown
    assert "Peak learning rate. (1e-12 to 100; default: 0.002)" in shown


def test_a_pipeline_has_only_the_options_of_its_task():
    options = {name: docstrings(type(row.defaults)) for name, row in PIPELINES.items()}
    assert "augmentation.flip" in options["image_classification"]
    assert "augmentation.flip" not in options["text_classification"]
    assert "horizon" in options["forecasting"]
    assert "horizon" not in options["image_classification"]
    with pytest.raises(UserError, match="--horizon"):
        parse(["image_classification", "--horizon", "3"])


RECIPES = [(name, recipe) for name, row in PIPELINES.items() for recipe in row.recipes]


@pytest.mark.parametrize(("pipeline", "recipe"), RECIPES)
def test_a_recipe_takes_the_place_of_the_defaults_and_other_options_that_of_its(pipeline, recipe):
    module = catalog.recipe(pipeline, recipe)
    _, config = parse([pipeline, "--recipe", recipe])
    assert config == replace(module.CONFIG, recipe=replace(module.CONFIG.recipe, recipe=recipe))
    assert config.parameters()["recipe"] == recipe
    check(config)
    # Its command is what the docstring shows.
    text = module.__doc__ or ""
    assert f"python -m pipelines {pipeline} --recipe {recipe}" in text
    assert "Hardware: " in text
    _, changed = parse([pipeline, "--epochs", "99", "--recipe", recipe, "--model.own", "3"])
    assert changed.recipe == replace(config.recipe, epochs=99)
    assert changed.model == {**config.model, "own": 3}
    _, other = parse([pipeline, "--recipe", recipe, "--architecture", "mlp"])
    assert (other.architecture, other.model) == ("mlp", {})


def test_the_file_of_a_run_with_a_recipe_gives_it_again(tmp_path):
    chosen = parse(["image_classification", "--recipe", "resnet20_cifar10", "--seed", "3"])
    file = tmp_path / "config.yaml"
    file.write_text(yaml.dump(chosen[1].options(), default_flow_style=False))
    assert parse(["image_classification", "--config", str(file)]) == chosen
    file.write_text("recipe: resnet20_cifar10\nseed: 3\n")
    assert parse(["image_classification", "--config", str(file)]) == chosen


def test_recipes_are_listed_also_for_a_wrong_name(capsys):
    with pytest.raises(SystemExit) as left:
        parse(["image_classification", "--recipe", "?"])
    assert left.value.code == 0
    listed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in listed] == ["resnet50_imagenet", "resnet20_cifar10"]
    assert listed[1].endswith("ResNet-20 on CIFAR-10 in 200 epochs.")
    message = (
        "no recipe 'resnet20'; the nearest is .*there are: resnet50_imagenet, resnet20_cifar10"
    )
    with pytest.raises(UserError, match=message):
        parse(["image_classification", "--recipe", "resnet20"])
    with pytest.raises(UserError, match="forecasting has no recipe 'x'; there are: none"):
        parse(["forecasting", "--recipe", "x"])


@pytest.mark.parametrize("columns", [80, 120])
def test_help_begins_with_what_people_change_daily_and_groups_the_rest(
    columns, monkeypatch, capsys
):
    monkeypatch.setenv("COLUMNS", str(columns))
    with pytest.raises(SystemExit):
        parse(["image_segmentation", "--help"])
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= columns + 12  # A long choice is not wrapped.
    titles = re.findall(r"^(\S.*):$", shown, re.MULTILINE)
    assert titles[:3] == ["options", "daily options", "image segmentation options"]
    daily, later = shown.split("image segmentation options:")
    for option in ("--dataset", "--recipe", "--epochs", "--optimizer.learning_rate"):
        assert f"  {option} " in daily
        assert f"  {option} " not in later
    # Each option once, and in no group that has none.
    options = re.findall(r"^  (--[\w.]+)", shown, re.MULTILINE)
    assert len(options) == len(set(options))
    assert not re.search(r":\n\n", shown)
