"""Variants of a trained network that are smaller, or that another compiler runs."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import ValidationError
from pipelines.task import Network

# Batches are padded to these sizes before a compiled call, which is compiled again for each.
_SIZES = 2 ** np.arange(21, dtype=np.int32)
# A graph is one message of Protocol Buffers.
_MAX_CONSTANTS = 2**31 - 2**24


@dataclass(frozen=True)
class Variant:
    """A variant of a network.

    Attributes:
        network: The network, to be evaluated and exported in float32 inputs and outputs as ever.
        frozen: Whether its weights become constants of the graphs that are traced `within`.
    """

    network: Network
    frozen: bool = False

    def within(self) -> AbstractContextManager[Any]:
        """Returns the context in which the network is called and exported."""
        if not self.frozen:
            return nullcontext()
        # The same tensors in all graphs, so that the SavedModel holds each once.
        weights = [(weight, tf.constant(weight.value)) for weight in self.network.model.variables]
        return keras.StatelessScope(state_mapping=weights)


class _Bfloat16Weights(keras.dtype_policies.DTypePolicy):
    """Keeps weights in bfloat16 and computes in float32.

    A CPU computes in float32 as fast, and outputs are rounded a third as much.
    """

    def __init__(self, name: str = "float32") -> None:
        super().__init__(name)

    @property
    def variable_dtype(self) -> str:
        return "bfloat16"


def bfloat16(build: Callable[[], Network], weights: Sequence[np.ndarray]) -> Variant:
    """Returns the network with weights of half the size; layers that ask for float32 keep it."""
    keras.config.set_dtype_policy(_Bfloat16Weights())
    try:
        network = build()
    finally:
        keras.config.set_dtype_policy("float32")
    network.model.set_weights(weights)
    return Variant(network)


def int8(build: Callable[[], Network], weights: Sequence[np.ndarray]) -> Variant:
    """Returns the network with weights of a quarter of the size, where Keras quantizes layers.

    Each output feature has a scale of its own. Activations remain float32: a CPU computes as fast,
    and outputs are rounded half as much.

    Raises:
        ValidationError: Keras quantizes none of its layers.
    """
    network = _with_weights(build(), weights)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # One for each layer that remains as it is.
        network.model.quantize(config=keras.quantizers.Int8QuantizationConfig(None, None))
    if all(weight.dtype != "int8" for weight in network.model.variables):
        raise ValidationError(
            "Keras quantizes layers of type Dense, EinsumDense and Embedding, and the network has "
            "none of them"
        )
    return Variant(network)


def xla(build: Callable[[], Network], weights: Sequence[np.ndarray]) -> Variant:
    """Returns the network compiled by XLA; what signatures do around it remains TensorFlow's.

    Raises:
        ValidationError: Its inputs vary in length, so that each length would be compiled.
    """
    network = _with_weights(build(), weights)
    shapes = [x.shape for x in keras.tree.flatten(network.model.input)]
    if any(None in shape[1:] for shape in shapes):
        raise ValidationError(
            "XLA compiles a graph again for each shape, and the network reads inputs of any length"
        )
    return Variant(Network(Compiled(network.model), network.parts))


def frozen(build: Callable[[], Network], weights: Sequence[np.ndarray]) -> Variant:
    """Returns the network with constants for weights, which TensorFlow may compute with at load.

    Raises:
        ValidationError: They do not fit in a graph.
    """
    size = sum(weight.nbytes for weight in weights)
    if size > _MAX_CONSTANTS:
        raise ValidationError(
            f"a graph holds at most 2 GB of constants, and the weights have {size / 1e9:.1f} GB"
        )
    return Variant(_with_weights(build(), weights), frozen=True)


VARIANTS: Mapping[str, Callable[[Callable[[], Network], Sequence[np.ndarray]], Variant]] = {
    "bfloat16": bfloat16,
    "int8": int8,
    "xla": xla,
    "frozen": frozen,
}


class Compiled(keras.Model):
    """A network whose calls for inference are compiled by XLA.

    Batches are padded with zeros to the next power of two, so that a server compiles a handful of
    graphs and not one for each number of examples.
    """

    def __init__(self, network: keras.Model) -> None:
        """Takes a network whose inputs have one shape but for the batch."""
        super().__init__(name=network.name)
        self.network = network
        self._call_compiled = tf.function(
            lambda inputs: network(inputs, training=False), jit_compile=True, autograph=False
        )

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        size = tf.shape(keras.tree.flatten(inputs)[0])[0]
        room = tf.gather(tf.constant(_SIZES), tf.searchsorted(_SIZES, size[tf.newaxis])[0])

        def padded(x: Any) -> tf.Tensor:
            return tf.pad(x, [[0, room - size], *([[0, 0]] * (len(x.shape) - 1))])

        outputs = self._call_compiled(keras.tree.map_structure(padded, inputs))
        return keras.tree.map_structure(lambda y: y[:size], outputs)


def _with_weights(network: Network, weights: Sequence[np.ndarray]) -> Network:
    network.model.set_weights(weights)
    return network
