"""The models that are served: from one without cost to ResNet-50."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np


class ServedModel(Protocol):
    """What is served in a benchmark: a SavedModel with a request."""

    @property
    def name(self) -> str:
        """The served name."""

    def path(self, base: Path) -> Path:
        """Returns the SavedModel's folder, in a folder for all of them."""

    def feeds(self, batch: int) -> dict[str, np.ndarray]:
        """Returns a request's inputs by name, with so many examples."""


@dataclass(frozen=True)
class Model:
    """A model with its request.

    Attributes:
        name: Served name; in the base folder, `NAME/1` is the SavedModel.
        save: Writes the SavedModel.
        input: Name of its only input.
        output: Name of its only output.
        shape: Shape of one example.
    """

    name: str
    save: Callable[[Path], None]
    input: str
    output: str
    shape: tuple[int, ...]

    def path(self, base: Path) -> Path:
        """Returns the SavedModel's folder."""
        return base / self.name / "1"

    def feeds(self, batch: int) -> dict[str, np.ndarray]:
        """Returns a request's inputs by name."""
        return {self.input: self.inputs(batch)}

    def inputs(self, batch: int) -> np.ndarray:
        """Returns float32 [batch, *shape]: integers from 0 to 255, like the pixels of images."""
        numbers = np.random.default_rng(0).integers(0, 256, (batch, *self.shape))
        return numbers.astype(np.float32)


def save_all(models: Sequence[Model], base: Path) -> None:
    """Writes the SavedModels. Imports TensorFlow."""
    for model in models:
        model.save(model.path(base))


def _half_plus_two(path: Path) -> None:
    """`y = x / 2 + 2`, with both numbers in variables."""
    import tensorflow as tf

    module = tf.Module()
    module.half, module.two = tf.Variable(0.5), tf.Variable(2.0)
    spec = tf.TensorSpec([None], tf.float32, name=HALF_PLUS_TWO.input)
    module.serve = tf.function(
        lambda x: {HALF_PLUS_TWO.output: module.half * x + module.two}, input_signature=[spec]
    )
    tf.saved_model.save(module, str(path), signatures=module.serve)


def _dense(path: Path) -> None:
    """Wide layers: without batches, reading the weights takes longer than the multiplications."""
    import architectures

    network = architectures.build("mlp", input_shape=DENSE.shape, classes=10, units=(3072, 3072))
    _write_network(path, network, DENSE)


def _convnet(path: Path) -> None:
    import architectures

    network = architectures.build("convnet", input_shape=CONVNET.shape, classes=10)
    _write_network(path, network, CONVNET)


def _resnet50(path: Path) -> None:
    import architectures

    network = architectures.build("resnet50", input_shape=RESNET50.shape, classes=1000)
    _write_network(path, network, RESNET50)


def _write_network(path: Path, network: Any, model: Model) -> None:
    """Saves a network with the model's input and output names."""
    import keras
    import tensorflow as tf

    def serve(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        return {model.output: network(tensor, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(network)
    spec = tf.TensorSpec([None, *model.shape], tf.float32, name=model.input)
    archive.add_endpoint("serving_default", serve, input_signature=[spec])
    archive.write_out(str(path), verbose=False)


HALF_PLUS_TWO = Model("half_plus_two", _half_plus_two, "x", "y", ())
DENSE = Model("dense", _dense, "features", "logits", (256,))
CONVNET = Model("convnet", _convnet, "images", "logits", (32, 32, 3))
RESNET50 = Model("resnet50", _resnet50, "images", "logits", (224, 224, 3))
