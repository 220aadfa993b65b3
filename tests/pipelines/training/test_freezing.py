"""Frozen layers stay as they are, thaw from the top, and learn more slowly the lower they are."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.testing import MemoryLog
from pipelines.training import freezing, trainer
from tests.architectures.tiny import TINY
from tests.pipelines import samples

SGD = Optimizer(name="sgd", learning_rate=0.05, schedule="constant", warmup=0.0, weight_decay=0.0)
RECIPE = Recipe(epochs=1, batch_size=25, optimizer=SGD)


def task(recipe: Recipe) -> ImageClassification:
    return ImageClassification(samples.config(recipe, filters=[4, 4], normalize=True))


def weights_by_epoch(recipe: Recipe) -> list[dict[str, np.ndarray]]:
    """Trains; returns all weights by path before training and after each epoch."""
    data, own = samples.striped(), task(recipe)
    network = trainer.build(own, data)

    def read() -> dict[str, np.ndarray]:
        return {v.path: np.array(v) for v in network.model.weights}

    taken = [read()]
    watcher = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: taken.append(read()))
    log: Any = MemoryLog()
    trainer.fit(own, network, data, log, watchers=[watcher])
    return taken


def moved(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    """Returns the layers with a weight that is another."""
    return {path.split("/")[0] for path in before if np.any(before[path] != after[path])}


BLOCKS = {
    "mlp": [["dense1"], ["dense2"], ["logits"]],
    "resnet20": [
        ["conv1", "conv1_norm"],
        ["conv2_1_1", "conv2_1_1_norm", "conv2_1_2", "conv2_1_2_norm"],
        ["conv3_1_1", "conv3_1_1_norm", "conv3_1_2", "conv3_1_2_norm"],
        ["conv4_1_1", "conv4_1_1_norm", "conv4_1_2", "conv4_1_2_norm"],
        ["logits"],
    ],
    "bert_base": [
        ["token_embedding", "position_embedding", "segment_embedding", "embeddings_layer_norm"],
        ["transformer_layer_0"],
        ["transformer_layer_1"],
        ["pooled_dense"],
    ],
    "lstm": [["token_embedding"], ["lstm1"], ["pooling", "logits"]],
    "char_gpt_small": [
        ["token_embedding", "position_embedding"],
        ["layer_1"],
        ["layer_2"],
        ["norm"],
    ],
}


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_are_what_a_network_repeats_from_the_input_on(name):
    model = next(small for small in TINY if small.name == name).model
    assert [[layer.name for layer in block] for block in freezing.blocks(model)] == BLOCKS[name]


def test_every_weight_of_every_architecture_is_in_one_block():
    for small in {small.name: small for small in TINY}.values():
        layers = [layer for block in freezing.blocks(small.model) for layer in block]
        inside = [id(weight) for layer in layers for weight in layer.weights]
        assert sorted(inside) == sorted(id(weight) for weight in small.model.weights), small.name


def test_frozen_layers_stay_as_they_are_and_their_statistics_too():
    before, after = weights_by_epoch(replace(RECIPE, freeze="^conv1"))
    assert moved(before, after) == {"conv2_1", "conv2_1_norm", "logits"}


@pytest.mark.parametrize("average", [0.0, 0.5])
def test_layers_thaw_block_by_block_from_the_top(average):
    """Also with averages, which are of all variables from the beginning."""
    optimizer = replace(SGD, average=average)
    recipe = replace(RECIPE, epochs=3, freeze="^conv", unfreeze_every=1, optimizer=optimizer)
    taken = weights_by_epoch(recipe)
    epochs = [moved(before, after) for before, after in itertools.pairwise(taken)]
    assert epochs == [
        {"logits"},
        {"logits", "conv2_1", "conv2_1_norm"},
        {"logits", "conv2_1", "conv2_1_norm", "conv1_1", "conv1_1_norm"},
    ]


def test_what_is_frozen_follows_from_the_epoch_alone():
    own = task(replace(RECIPE, epochs=9, freeze="^conv", unfreeze_every=2))
    model = trainer.build(own, samples.striped()).model
    callback = freezing.Unfreezing(model, 2)
    callback.set_model(model)
    callback.on_epoch_begin(2)
    assert [layer.name for block in freezing.frozen_blocks(model) for layer in block] == [
        *("conv1_1", "conv1_1_norm"),
    ]
    callback.on_epoch_begin(5)
    assert freezing.frozen_blocks(model) == []


def test_the_learning_rate_of_each_block_is_a_fraction_of_the_next_ones():
    """With plain descent, first steps are proportional to learning rates."""
    whole, scaled = (
        weights_by_epoch(replace(RECIPE, batch_size=50, layer_decay=decay)) for decay in (1, 0.5)
    )
    for layer, factor in (("logits", 1), ("conv2_1", 0.5), ("conv1_1", 0.25)):
        steps = [
            after[f"{layer}/kernel"] - before[f"{layer}/kernel"]
            for before, after in (whole, scaled)
        ]
        np.testing.assert_allclose(steps[1], factor * steps[0], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"freeze": "^covn1"},
            "--freeze .covn1 is found in the path of no layer; the nearest (is|are) conv",
        ),
        (
            {"freeze": "encoder"},
            "is found in the path of no layer; there are: conv1_1, conv1_1_norm",
        ),
        ({"freeze": "."}, "freezes all layers, so that nothing is trained"),
        ({"unfreeze_every": 1}, "--unfreeze_every needs layers that are frozen: .* --freeze"),
    ],
)
def test_a_pattern_that_freezes_nothing_or_all_is_one_sentence(options, message):
    with pytest.raises(UserError, match=message):
        trainer.build(task(replace(RECIPE, **options)), samples.striped())
