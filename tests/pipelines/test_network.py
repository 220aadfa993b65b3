"""Building the network of a config, and one sentence about what cannot be built."""

from __future__ import annotations

import inspect

import keras
import pytest

import architectures
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.network import build

FIXED = {"classes": 3, "input_shape": (8, 8, 1)}
MESSAGE = "does not classify images"


def chosen(architecture: str, **model) -> Config:
    return Config(dataset="striped", architecture=architecture, model=model)


def fits(model: keras.Model) -> bool:
    return model.output.shape == (None, 3)


def test_the_network_has_the_chosen_and_the_fixed_hyperparameters():
    network = build(chosen("mlp", units=[7, 5]), MESSAGE, fits, **FIXED)
    model = network.model
    assert model.input.shape == (None, 8, 8, 1)
    assert model.output.shape == (None, 3)
    assert {kernel.shape for kernel in model.trainable_weights if len(kernel.shape) == 2} == {
        (64, 7),
        (7, 5),
        (5, 3),
    }
    # It says so, and what the others are.
    known = inspect.signature(architectures.builder("mlp")).parameters
    defaults = {name: option.default for name, option in known.items()}
    assert network.hyperparameters == {**defaults, **FIXED, "units": [7, 5]}


def test_whether_it_fits_is_decided_by_the_network_itself():
    checked = []

    def fits_always(model: keras.Model) -> bool:
        checked.append(model)
        return True

    network = build(chosen("mlp"), MESSAGE, fits_always, **FIXED)
    assert checked == [network.model]


MISTAKES = [
    (chosen("mlp", classes=9), "--model.classes cannot be chosen: it follows from the data set"),
    (chosen("mlp", input_shape=[8, 8]), "--model.input_shape cannot be chosen: it follows .*"),
    (chosen("mlp", depth=3), "mlp has no hyperparameter 'depth'; it has: .*units.*"),
    (chosen("mlp", units=3), "mlp: units must be .*, not 3"),
    # Architectures with other hyperparameters are for another task.
    (chosen("gru"), "gru does not classify images"),
    (chosen("bert_tiny"), "bert_tiny does not classify images"),
    # One with the same hyperparameters has outputs of another shape.
    (
        chosen("unet", filters=2, depth=2, padding="same"),
        "unet does not classify images",
    ),
]


@pytest.mark.parametrize(("config", "message"), MISTAKES, ids=lambda part: str(part)[:40])
def test_a_config_that_cannot_be_built_is_an_error_of_one_sentence(config, message):
    with pytest.raises(UserError, match=rf"^{message}$") as caught:
        build(config, MESSAGE, fits, **FIXED)
    assert "\n" not in str(caught.value)


def test_hyperparameters_that_follow_from_the_data_are_checked_before_the_architecture():
    with pytest.raises(UserError, match=r"--model.classes cannot be chosen"):
        build(chosen("gru", classes=3), MESSAGE, fits, **FIXED)
