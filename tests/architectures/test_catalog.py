"""The table of architectures, and the checks that each entry passes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import architectures
from architectures.counting import abstract
from architectures.testing import (
    CHECKS,
    SmallModel,
    check_learning,
    check_saved_model,
    check_xla,
)
from tests.architectures.tiny import TINY

ROOT = Path(__file__).resolve().parent.parent.parent
# These checks trace whole graphs: quick for one architecture of each kind. Building a network has
# traced each of its layers, and each of its weights is checked to get a gradient.
TRACED = (check_xla, check_saved_model, check_learning)
KINDS = ("mlp", "convnet", "fasttext", "lstm", "attention_memory", "bert_base")
# Of a family, the quick ones: the others have more of the same blocks, or wider ones.
MORE_OF_THE_SAME = (
    *("vgg13", "vgg16", "vgg19", "resnet34", "resnet101", "resnet152", "resnet101_v2"),
    *("resnet152_v2", "resnet32", "resnet44", "resnet56", "resnet110", "plain34", "plain32"),
    *("plain44", "plain56", "resnet34_unet", "transformer_big", "gpt2_medium", "gpt2_large"),
    *("gpt2_xl", "bert_mini", "bert_small", "bert_medium", "bert_large", "bert_large_cased"),
    *("roberta_large", "albert_large", "albert_xlarge", "albert_xxlarge", "electra_large"),
)


def _checks():
    """Yields each check of each tiny network; the slow ones are marked."""
    for small in TINY:
        for check in CHECKS:
            slow = check in TRACED and small.name not in KINDS
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param(small, check, marks=marks, id=f"{small.name}-{check.__name__}")


@pytest.mark.parametrize(("small", "check"), _checks())
def test_an_architecture(small: SmallModel, check: Callable, tmp_path: Path):
    check(small, tmp_path)


def test_slow_checks_have_quick_ones_beside_them():
    assert set(KINDS) <= {small.name for small in TINY}
    published = {
        name: entry for name, entry in architectures.ARCHITECTURES.items() if entry.parameters
    }
    assert set(MORE_OF_THE_SAME) < set(published)
    quick = {entry.builder for name, entry in published.items() if name not in MORE_OF_THE_SAME}
    assert quick == {entry.builder for entry in published.values()}


def test_every_builder_is_checked():
    builders = {entry.builder for entry in architectures.ARCHITECTURES.values()}
    assert {architectures.ARCHITECTURES[tiny.name].builder for tiny in TINY} == builders


def test_names_come_sorted(monkeypatch):
    convnet = architectures.ARCHITECTURES["convnet"]
    monkeypatch.setitem(architectures.ARCHITECTURES, "zebra", convnet)
    monkeypatch.setitem(architectures.ARCHITECTURES, "ant", convnet)
    names = architectures.names()
    assert list(names) == sorted(names)
    assert {"ant", "convnet", "zebra"} <= set(names)


def test_listing_imports_no_keras():
    script = (
        "import sys, architectures; print(*architectures.names());"
        "print(*[a.family for a in architectures.ARCHITECTURES.values()], sep='\\n');"
        "print(sorted({'keras', 'keras_hub', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names, *summaries, imported = done.stdout.splitlines()
    assert names.split() == list(architectures.names())
    assert all(summaries)
    assert imported == "[]"


@pytest.mark.parametrize("name", architectures.names())
def test_every_entry_leads_to_a_builder_with_keyword_options(name):
    function = architectures.builder(name)
    assert function.__module__.startswith("architectures.")
    required = {
        parameter.name
        for parameter in inspect.signature(function).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    }
    entry = architectures.ARCHITECTURES[name]
    assert entry.parameters is None or required <= set(entry.published)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in MORE_OF_THE_SAME else [])
        for name, entry in architectures.ARCHITECTURES.items()
        if entry.parameters
    ],
)
def test_the_published_configuration_has_the_published_number_of_parameters(name):
    with abstract():
        model = architectures.build(name)
    assert model.count_params() == architectures.ARCHITECTURES[name].parameters


def test_published_hyperparameters_apply_and_can_be_overridden(monkeypatch):
    small = {"classes": 2, "input_shape": (4, 4, 1), "filters": (3,)}
    entry = architectures.Architecture(
        "architectures.convnet:convnet", "image_classifier", "small", "none", published=small
    )
    monkeypatch.setitem(architectures.ARCHITECTURES, "small", entry)
    assert architectures.build("small").get_layer("conv1_1").filters == 3
    assert architectures.build("small", filters=(5,)).get_layer("conv1_1").filters == 5


def test_an_unknown_name_is_refused_with_the_nearest_ones():
    with pytest.raises(ValueError, match=r"^unknown architecture 'resnet51'; .*resnet50.* all$"):
        architectures.build("resnet51")
    with pytest.raises(ValueError, match=r"^unknown architecture '#'; `python -m .*` lists all$"):
        architectures.build("#")


def test_a_missing_hyperparameter_is_named():
    with pytest.raises(ValueError, match=r"^convnet needs a value for classes and input_shape$"):
        architectures.build("convnet")


def test_an_unknown_hyperparameter_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"convnet has no hyperparameter 'depth'; .*filters, head"):
        architectures.build("convnet", classes=2, input_shape=(8, 8, 1), depth=3)


def test_a_file_that_is_not_a_model_is_an_error(tmp_path):
    file = tmp_path / "model.keras"
    file.write_text("text")
    with pytest.raises(ValueError, match=r"model.keras cannot be read as a Keras model: "):
        architectures.load(file)
