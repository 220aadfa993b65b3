"""Small things that tests of the pipelines work on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets.images import LabelledImages
from pipelines.export import Signature
from pipelines.recipe import Config, Recipe

SHAPE = (8, 8, 1)
CLASSES = ("low", "middle", "top")
SIZES = {"train": 50, "validation": 20, "test": 30}


def striped(shape: tuple[int, int, int] = SHAPE, sizes: Mapping[str, int] = SIZES):
    """Noisy images with a bright stripe, which lies higher for one class than for the next."""

    def split(seed: int, size: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        labels = np.arange(size) % len(CLASSES)
        images = random.integers(0, 60, (size, *shape), np.uint8)
        height = shape[0] // len(CLASSES)
        for image, label in zip(images, labels, strict=True):
            image[height * label : height * (label + 1)] += np.uint8(180)
        return tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int64)))

    splits = {name: split(seed, size) for seed, (name, size) in enumerate(sizes.items())}
    return LabelledImages(
        name="striped",
        version="1.0.0",
        digest="0123456789ab",
        sizes=dict(sizes),
        image_shape=shape,
        class_names=CLASSES,
        **splits,
    )


RECIPE = Recipe(epochs=2, batch_size=16)


def config(recipe: Recipe = RECIPE, **model: Any) -> Config:
    """A network for the striped images that trains in a moment."""
    small = {"filters": [4], "convolutions": 1, "units": [], "dropout": 0.1, **model}
    return Config(dataset="striped", architecture="convnet", model=small, recipe=recipe)


class Record:
    """Takes what a tracked run would log."""

    def __init__(self) -> None:
        self.steps: dict[int, dict[str, float]] = {}
        self.curves: dict[str, list[float]] = {}

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.steps[step] = dict(values)

    def history(self, history: Mapping[str, Sequence[float]]) -> None:
        self.curves = {name: list(values) for name, values in history.items()}


WEIGHTS = np.array([[1, -2], [0.5, 3], [2, 0.25]], np.float32)
BIAS = np.array([0.125, -1], np.float32)


def linear() -> keras.Model:
    """A network whose answers can be worked out by hand: x @ WEIGHTS + BIAS."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([WEIGHTS, BIAS])
    return model


def linear_signatures(model: keras.Model) -> list[Signature]:
    """Two entries: the values with the name of the larger one, and the values of a string."""
    names = np.array([b"left", b"right"], object)
    x = np.random.default_rng(0).normal(size=(5, 3)).astype("float32")
    y = x @ WEIGHTS + BIAS
    lines = np.array([b" ".join(b"%.9g" % value for value in row) for row in x], object)

    def serving_default(x: tf.Tensor) -> dict[str, tf.Tensor]:
        y = model(x)
        return {"y": y, "larger": tf.gather(tf.constant(names), tf.argmax(y, -1))}

    def text(line: tf.Tensor) -> dict[str, tf.Tensor]:
        split = tf.strings.split(line, " ").to_tensor(shape=[None, 3])
        return {"y": model(tf.strings.to_number(split))}

    return [
        Signature(
            "serving_default",
            serving_default,
            {"x": tf.TensorSpec([None, 3], tf.float32)},
            {"x": x},
            {"y": y, "larger": names[y.argmax(-1)]},
        ),
        Signature(
            "text", text, {"line": tf.TensorSpec([None], tf.string)}, {"line": lines}, {"y": y}
        ),
    ]
