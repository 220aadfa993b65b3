"""Trains small networks on one device or several, or as one of the workers of TF_CONFIG.

    python -m tests.pipelines.training.replicas FOLDER

FOLDER/REPLICAS-WORKER.npz gets the weights and the values of each epoch.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines import workers
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network, Task
from pipelines.testing import MemoryLog
from pipelines.training import strategies, trainer
from pipelines.training.cluster import cluster
from tests.pipelines.samples import Doubles

LENGTHS = (5, 9, 6, 7, 10, 3)
IGNORED = 2
# Batches of 3, which two replicas cannot halve, of 2, and of 1, fewer examples than replicas.
RECIPE = Recipe(
    epochs=2,
    batch_size=3,
    seed=1,
    optimizer=Optimizer(learning_rate=0.02, clip_norm=0.1, accumulate=2, average=0.5),
)


def sequences() -> Dataset:
    """Three numbers at each position to two labels, with weights that vary a lot."""

    def split(seed: int) -> tf.data.Dataset:
        def generate() -> Any:
            random = np.random.default_rng(seed)
            for length in LENGTHS:
                labels = {
                    "tag": random.integers(0, 3, length),
                    "seldom": np.where(random.uniform(size=length) < 0.7, IGNORED, 1),
                }
                weight = random.uniform(size=length).astype(np.float32) ** 4
                inputs = random.normal(size=(length, 3)).astype(np.float32)
                yield inputs, labels, {"tag": weight, "seldom": np.ones(length, np.float32)}

        signature = (
            tf.TensorSpec([None, 3]),
            {name: tf.TensorSpec([None], tf.int64) for name in ("tag", "seldom")},
            {name: tf.TensorSpec([None]) for name in ("tag", "seldom")},
        )
        return tf.data.Dataset.from_generator(generate, output_signature=signature)

    parts: dict[str, Any] = {
        name: split(seed) for seed, name in enumerate(("train", "validation", "test"))
    }
    sizes = dict.fromkeys(parts, len(LENGTHS))
    return Dataset(name="sequences", version="1", digest="0" * 12, sizes=sizes, **parts)


class Tagging(Doubles):
    """Two outputs: one whose positions have weights, one that ignores most positions."""

    def network(self, data: Any) -> Network:
        inputs = keras.Input((None, 3))
        hidden = keras.layers.Dense(4, "tanh", kernel_regularizer="l2")(inputs)
        outputs = {name: keras.layers.Dense(3, name=name)(hidden) for name in ("tag", "seldom")}
        return Network(keras.Model(inputs, outputs))

    def loss(self, data: Any) -> Any:
        kind = keras.losses.SparseCategoricalCrossentropy
        return {
            "tag": kind(from_logits=True, reduction="mean_with_sample_weight"),
            "seldom": kind(from_logits=True, ignore_class=IGNORED),
        }

    def metrics(self, data: Any) -> Any:
        return {"tag": [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]}

    def preprocess(self, inputs: Any) -> Any:
        return inputs


class Normalizing(Tagging):
    """Batch normalization, which each replica computes from its slice."""

    def network(self, data: Any) -> Network:
        inputs = keras.Input((None, 3))
        hidden = keras.layers.BatchNormalization()(keras.layers.Dense(4)(inputs))
        hidden = keras.layers.Dropout(0.3)(hidden)
        outputs = {name: keras.layers.Dense(3, name=name)(hidden) for name in ("tag", "seldom")}
        return Network(keras.Model(inputs, outputs))


def trained(task: Task) -> dict[str, np.ndarray]:
    """Returns the weights of a trained network, and its values of each epoch, by name."""
    data, log = sequences(), MemoryLog()
    network = trainer.fit(task, trainer.build(task, data), data, log)
    arrays = {f"weight {n}": value for n, value in enumerate(network.model.get_weights())}
    for epoch, values in log.epochs.items():
        arrays |= {f"{name} {epoch}": np.array(value) for name, value in values.items()}
    return {name: value for name, value in arrays.items() if "per_second" not in name}


def main(folder: Path) -> None:
    config = Config(recipe=RECIPE)
    replicas = strategies.strategy(config).num_replicas_in_sync
    # These networks run for an instant: optimizing their graphs takes longer.
    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
    file = folder / f"{replicas}-{cluster().index}.npz"
    np.savez(file, **results(config))  # type: ignore[arg-type]
    workers.meet(config)


def results(config: Config) -> dict[str, np.ndarray]:
    """Returns weights and values of a network that replicas do not change, and of one that they do.

    Batch normalization and dropout depend on the slices.
    """
    plain = replace(config, recipe=replace(RECIPE, epochs=1, optimizer=Optimizer()))
    return {
        f"{type(task).__name__} {name}": value
        for task in (Tagging(config), Normalizing(plain))
        for name, value in trained(task).items()
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]))
