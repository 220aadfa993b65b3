"""Choices: a network that the task can train, or one sentence about what was chosen."""

from __future__ import annotations

import keras
import pytest

from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.network import build

GIVEN = {"classes": 3, "input_shape": (8, 8, 1)}
REFUSAL = "does not classify images"


def chosen(architecture: str, **model) -> Config:
    return Config(dataset="striped", architecture=architecture, model=model)


def fits(model: keras.Model) -> bool:
    return model.output.shape == (None, 3)


def test_the_network_has_what_was_chosen_and_what_was_given():
    model = build(chosen("mlp", units=[7, 5]), REFUSAL, fits, **GIVEN)
    assert model.input.shape == (None, 8, 8, 1)
    assert model.output.shape == (None, 3)
    assert {kernel.shape for kernel in model.trainable_weights if len(kernel.shape) == 2} == {
        (64, 7),
        (7, 5),
        (5, 3),
    }


def test_whether_it_fits_is_asked_of_the_network_itself():
    asked = []

    def remembered(model: keras.Model) -> bool:
        asked.append(model)
        return True

    model = build(chosen("mlp"), REFUSAL, remembered, **GIVEN)
    assert asked == [model]


MISTAKES = [
    (chosen("mlp", classes=9), "--model.classes cannot be chosen: it follows from the data set"),
    (chosen("mlp", input_shape=[8, 8]), "--model.input_shape cannot be chosen: it follows .*"),
    (chosen("mlp", depth=3), "mlp has no hyperparameter 'depth'; it has: .*units.*"),
    (chosen("mlp", units=3), "mlp: units must be .*, not 3"),
    # What has other hyperparameters is for another task, be they free or fixed.
    (chosen("gru"), "gru does not classify images"),
    (chosen("bert_tiny"), "bert_tiny does not classify images"),
    # What has the same ones answers with another shape.
    (
        chosen("unet", filters=2, depth=2, padding="same"),
        "unet does not classify images",
    ),
]


@pytest.mark.parametrize(("config", "message"), MISTAKES, ids=lambda part: str(part)[:40])
def test_what_cannot_be_built_is_told_in_one_sentence(config, message):
    with pytest.raises(UserError, match=rf"^{message}$") as caught:
        build(config, REFUSAL, fits, **GIVEN)
    assert "\n" not in str(caught.value)


def test_what_follows_from_the_data_set_is_refused_before_the_architecture_is():
    with pytest.raises(UserError, match=r"--model.classes cannot be chosen"):
        build(chosen("gru", classes=3), REFUSAL, fits, **GIVEN)
