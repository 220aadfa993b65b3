"""The table of architectures, and the checks that each entry passes."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import architectures
from architectures.counting import abstract
from architectures.testing import CHECKS
from tests.architectures.tiny import TINY

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("small", TINY, ids=lambda small: small.name)
def test_an_architecture(small, check, tmp_path):
    check(small, tmp_path)


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
    "name", [n for n, entry in architectures.ARCHITECTURES.items() if entry.parameters]
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
