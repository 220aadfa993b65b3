"""Hyperparameters that are read from the source are those of the functions."""

from __future__ import annotations

import inspect
import typing

import pytest

import architectures
from architectures import signatures


@pytest.mark.parametrize("name", architectures.ARCHITECTURES)
def test_the_source_names_the_hyperparameters_of_the_builder(name):
    names: list[str] = []
    for one in inspect.signature(architectures.builder(name), eval_str=True).parameters.values():
        if one.kind is one.VAR_KEYWORD:
            (keys,) = typing.get_args(one.annotation)
            names += typing.get_type_hints(keys)
        else:
            names.append(one.name)
    assert signatures.hyperparameters(name) == names


def test_a_builder_that_takes_anything_is_not_checked(tmp_path, monkeypatch):
    (tmp_path / "loose_nets.py").write_text(
        "def anything(**options): ...\ndef decorated(): ...\ndecorated = print\n"
        "@print\ndef wrapped(units): ...\ndef plain(units, *, depth=3): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    expected = {
        "anything": None,
        "wrapped": None,
        "missing": None,
        "plain": ["units", "depth"],
    }
    for function, names in expected.items():
        entry = architectures.Architecture(f"loose_nets:{function}", "recurrent", "family", "us")
        monkeypatch.setattr(signatures, "get", lambda name, entry=entry: entry)
        assert signatures.hyperparameters("any") == names


def test_an_unknown_hyperparameter_is_told_with_the_nearest():
    architectures.check("convnet", ["filters", "padding"])
    message = "convnet has no hyperparameter 'filterz'; the nearest is filters; it has: activation"
    with pytest.raises(ValueError, match=message):
        architectures.check("convnet", ["filterz"])


def test_all_hyperparameters_are_resolved_the_published_over_defaults_and_the_chosen_over_both():
    found = architectures.resolve("vgg16", classes=7, dropout=0.25)
    assert found["units"] == (4096, 4096)
    assert (found["classes"], found["dropout"]) == (7, 0.25)
    assert (
        found["activation"]
        == inspect.signature(architectures.builder("vgg16")).parameters["activation"].default
    )
    assert found.keys() == inspect.signature(architectures.builder("vgg16")).parameters.keys()
