"""Small things that tests of the pipelines work on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.baselines import Baseline, scored
from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.export.signature import Signature
from pipelines.image.config import Augmentation, ImageConfig
from pipelines.predictions import Predictions, Scores
from pipelines.recipe import Recipe
from pipelines.task import Network, Task
from pipelines.tasks.image_classification.data import LabeledImages

SHAPE = (8, 8, 1)
CLASSES = ("low", "middle", "top")
SIZES = {"train": 50, "validation": 20, "test": 30}


def striped(shape: tuple[int, int, int] = SHAPE, sizes: Mapping[str, int] = SIZES) -> LabeledImages:
    """Noisy images with a bright stripe, which lies higher for one class than for the next."""

    def split(seed: int, size: int) -> tf.data.Dataset:
        random = np.random.default_rng(seed)
        labels = np.arange(size) % len(CLASSES)
        images = random.integers(0, 60, (size, *shape), np.uint8)
        height = shape[0] // len(CLASSES)
        for image, label in zip(images, labels, strict=True):
            image[height * label : height * (label + 1)] += np.uint8(180)
        return tf.data.Dataset.from_tensor_slices((images, labels.astype(np.int64)))

    return LabeledImages(
        name="striped",
        version="1.0.0",
        digest="0123456789ab",
        sizes=dict(sizes),
        image_shape=shape,
        class_names=CLASSES,
        **{name: split(seed, size) for seed, (name, size) in enumerate(sizes.items())},
    )


RECIPE = Recipe(epochs=2, batch_size=16)
NO_AUGMENTATION = Augmentation()


def config(
    recipe: Recipe = RECIPE, augmentation: Augmentation = NO_AUGMENTATION, **model: Any
) -> ImageConfig:
    """A network for the striped images that trains within a second."""
    small = {"filters": [4], "convolutions": 1, "units": [], "dropout": 0.1, **model}
    return ImageConfig(
        dataset="striped",
        architecture="convnet",
        model=small,
        recipe=recipe,
        augmentation=augmentation,
    )


class Sequences(Dataset):
    """Sequences of numbers; the column "length" says how long each is."""


def sequences(**lengths: Sequence[int]) -> Sequences:
    """Sequences 1000 i, 1000 i + 1, … of these lengths, i counting from 1, to their doubles.

    Examples are (int32 [length], float32 [length, 1], float32 [length]): numbers, their doubles
    in thousands, and weights of 1.
    """
    chosen = {"train": range(1, 25), "validation": range(1, 9), "test": range(9, 0, -1), **lengths}

    def example(number: tf.Tensor, length: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        inputs = 1000 * (number + 1) + tf.range(length)
        target = tf.cast(inputs, tf.float32)[:, None] / 500
        return inputs, target, tf.ones([length])

    def split(lengths: Sequence[int]) -> tf.data.Dataset:
        whole = np.array(lengths, np.int32)
        numbers = np.arange(len(whole), dtype=np.int32)
        return tf.data.Dataset.from_tensor_slices((numbers, whole)).map(example)

    return Sequences(
        name="sequences",
        version="1.0.0",
        digest="ba9876543210",
        sizes={name: len(lengths) for name, lengths in chosen.items()},
        columns={name: {"length": np.array(lengths)} for name, lengths in chosen.items()},
        example_bytes=400,
        **{name: split(lengths) for name, lengths in chosen.items()},
    )


def sequence_config(recipe: Recipe = RECIPE) -> Config:
    """A config for `Doubles`, whose network has no hyperparameters."""
    return Config(dataset="sequences", architecture="gru", recipe=recipe)


class Doubles(Task[Config, Sequences]):
    """Numbers to their doubles, at every position of a sequence; lower errors are better."""

    metric = "error"
    greater_is_better = False

    def load(self) -> Sequences:
        return sequences()

    def network(self, data: Sequences) -> Network:
        numbers = keras.Input((None, 1))
        return Network(keras.Model(numbers, keras.layers.Dense(1)(numbers)))

    def loss(self, data: Sequences) -> keras.Loss:
        return keras.losses.MeanAbsoluteError()

    def preprocess(self, inputs: tf.Tensor) -> tf.Tensor:
        return tf.cast(inputs, tf.float32)[..., None] / 1000

    def postprocess(self, outputs: tf.Tensor, data: Sequences) -> dict[str, tf.Tensor]:
        return {"doubles": outputs}

    def scores(self, predictions: Predictions, data: Sequences) -> Scores:
        """The mean absolute error over positions that are not padding, and the largest."""
        gap = np.abs(predictions.predicted["doubles"] - predictions.examples["target"])[..., 0]
        weight = predictions.examples["weight"]
        return {
            "error": float((gap * weight).sum() / weight.sum()),
            "largest": float((gap * weight).max()),
        }

    def baselines(self, data: Sequences) -> list[Baseline]:
        def constant(value: float) -> Callable[[str], Predictions]:
            def predict(split: str) -> Predictions:
                batch = data.split(split).padded_batch(100)
                ((_, target, weight),) = batch.as_numpy_iterator()
                predicted = {"doubles": np.full_like(target, value)}
                return Predictions({"target": target, "weight": weight}, predicted)

            return predict

        return [
            scored(name, lambda predictions: self.scores(predictions, data), constant(value))
            for name, value in {"always 0": 0.0, "always 10": 10.0}.items()
        ]

    def figures(
        self,
        network: Network,
        data: Sequences,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        yield "empty", Figure()

    def signatures(self, network: Network, data: Sequences) -> list[Signature]:
        ((inputs, *_),) = data.test.padded_batch(100).as_numpy_iterator()
        model = network.model

        def serving_default(numbers: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.postprocess(model(self.preprocess(numbers), training=False), data)

        return [
            Signature(
                "serving_default",
                serving_default,
                {"numbers": tf.TensorSpec([None, None], tf.int32)},
                {"numbers": inputs},
                {"doubles": model.predict(self.preprocess(inputs), verbose=0)},
            )
        ]

    def artifacts(self, network: Network, data: Sequences) -> Mapping[str, Callable[[Path], None]]:
        def weights(folder: Path) -> None:
            folder.mkdir()
            np.save(folder / "kernel.npy", network.model.get_weights()[0])

        return {"weights": weights}


WEIGHTS = np.array([[1, -2], [0.5, 3], [2, 0.25]], np.float32)
BIAS = np.array([0.125, -1], np.float32)


def baseline(name: str, validation: Scores, test: Scores) -> Baseline:
    """A baseline with these scores, whose predictions nobody looks at."""
    nothing = Predictions({}, {})
    return Baseline(name, validation, test, nothing, nothing, lambda predictions: test)


def linear() -> keras.Model:
    """A network whose outputs can be computed by hand: x @ WEIGHTS + BIAS."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([WEIGHTS, BIAS])
    return model


def linear_signatures(model: keras.Model) -> list[Signature]:
    """Two signatures: the values with the name of the larger one, and the values of a string."""
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
