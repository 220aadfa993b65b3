"""A probe: gradients and activations of all layers of a network on one batch, in one pass.

The batch goes forward as in training, with dropout and the statistics of batch normalization, and
the loss backward. Nothing of it stays: no weight, moving statistic, metric or random state changes,
so that a run with probes trains as one without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

# Outputs count as saturated where the slope of the activation is below a tenth of its largest.
_SATURATED: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "tanh": lambda y: 1 - y * y < 0.1,
    "sigmoid": lambda y: 4 * y * (1 - y) < 0.1,
    "hard_sigmoid": lambda y: (y <= 0) | (y >= 1),
    "softsign": lambda y: (1 - tf.abs(y)) ** 2 < 0.1,
    "relu": lambda y: y <= 0,
    "relu6": lambda y: (y <= 0) | (y >= 6),
}
# Activations that are (nearly) zero on a half of their inputs, where a unit can die.
RECTIFIERS = ("relu", "relu6", "gelu", "silu", "swish")
# A unit is dead on a batch if no output of it is farther from zero.
_ZERO = 1e-5
# Recurrent layers whose gradient is looked at over time, from the input.
_MAX_RECURRENT = 8


@dataclass(frozen=True)
class Measured:
    """What a probe measured; rows are in the order of the layers, from the input.

    Attributes:
        gradient_norm: float [layers with weights], norm of the loss' gradient; NaN where frozen.
        weight_norm: float [layers with weights].
        mean: float [layers with activations], over the batch, all positions and units.
        deviation: float [layers with activations], likewise.
        saturation: float [layers with activations], fraction of outputs where the slope of the
            activation is below a tenth of its largest; NaN for activations without flat parts.
        dead: Per layer with activations, bool [units]: zero on the whole batch; empty for
            activations that let no unit die.
        over_time: By recurrent layer, float [time]: norm of the gradient with respect to its input
            at each step, over the batch, in the order in which the layer reads.
    """

    gradient_norm: np.ndarray
    weight_norm: np.ndarray
    mean: np.ndarray
    deviation: np.ndarray
    saturation: np.ndarray
    dead: list[np.ndarray]
    over_time: dict[str, np.ndarray]


class Probe:
    """Measures a network that is being trained.

    Attributes:
        weight_rows: Layers with a kernel or an embedding, by name, from the input to the output.
        activation_rows: Layers with an activation, and those of the outputs, likewise; the values
            are the names of activations.
    """

    def __init__(self, network: keras.Model, fitted: keras.Model, batch: Any) -> None:
        """Prepares a probe.

        Args:
            network: The network to look at.
            fitted: The compiled model that is trained: the network itself, or one that holds it.
            batch: (inputs, target) or (inputs, target, weight), as `fitted` is trained on.
        """
        self._fitted, self._batch = fitted, batch
        leaves = list(_leaves(network))
        named = dict(zip(_names(network, leaves), leaves, strict=True))
        self._weighted = {
            name: layer
            for name, layer in named.items()
            if any(len(weight.shape) > 1 for weight in _trained(layer))
        }
        last = _output_layers(network)
        active = {
            name: activation_of(layer)
            for name, layer in named.items()
            if _is_activation(layer) or id(layer) in last
        }
        self._named, self._active = named, active
        self.weight_rows = tuple(self._weighted)
        self.activation_rows: Mapping[str, str] = active
        self._programs: dict[Any, Callable[[Any], Any]] = {}

    @cached_property
    def _rows(self) -> list[list[keras.Variable]]:
        return [_trained(layer) for layer in self._weighted.values()]

    def measure(self) -> Measured:
        """Returns gradients and activations with the present weights."""
        # Layers may be unfrozen in the course of a training.
        trainable = tuple(v.trainable for row in self._rows for v in row)
        if trainable not in self._programs:
            self._programs[trainable] = tf.function(self._measure, autograph=False)
        seen = self._on_one(self._programs[trainable])
        gradients, weights, activations, over_time = tf.nest.map_structure(np.asarray, seen)
        rows = [activations.get(name) for name in self.activation_rows]
        mean, deviation, saturation = (
            np.array([row[key] if row else np.nan for row in rows], np.float64)
            for key in ("mean", "deviation", "saturation")
        )
        dead = [row["dead"] if row else np.zeros(0, bool) for row in rows]
        return Measured(gradients, weights, mean, deviation, saturation, dead, over_time)

    def weights(self) -> Any:
        """Returns a copy of the weights, for `update_ratio`."""
        return self._copy()

    def update_ratio(self, before: Any) -> np.ndarray:
        """Returns norm(weights - before) / norm(before) of each layer with weights."""
        return self._compare(before).numpy()

    @cached_property
    def _copy(self) -> Callable[[], Any]:
        @tf.function(autograph=False)
        def copy() -> Any:
            return [[tf.identity(_value(v)) for v in row] for row in self._rows]

        return copy

    @cached_property
    def _compare(self) -> Callable[[Any], Any]:
        @tf.function(autograph=False)
        def compare(before: Any) -> tf.Tensor:
            ratios = []
            for row, old in zip(self._rows, before, strict=True):
                moved = [_value(v) - value for v, value in zip(row, old, strict=True)]
                ratios.append(tf.math.divide_no_nan(_norm(moved), _norm(old)))
            return tf.stack(ratios) if ratios else tf.zeros(0)

        return compare

    def _on_one(self, program: Callable[[Any], Any]) -> Any:
        """Runs a program on the batch on every device, and returns what the first computed."""
        strategy = self._fitted.distribute_strategy
        if strategy.num_replicas_in_sync == 1:
            return program(self._batch)
        first = strategy.experimental_local_results
        results = strategy.run(program, args=(self._batch,))
        return tf.nest.map_structure(lambda value: first(value)[0], results)

    def _measure(self, batch: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        fitted, graph = self._fitted, tf.compat.v1.get_default_graph()
        with (
            tf.GradientTape() as tape,
            keras.StatelessScope(_penalized(fitted), collect_losses=True),
            _recorded(self._named, self._active, tape, graph) as (activations, recurrent),
        ):
            outputs = fitted(x, training=True)
            loss = fitted.compute_loss(
                x=x, y=y, y_pred=outputs, sample_weight=weight, training=True
            )
            # Keras divides by the number of devices, each of which has the whole batch here.
            replicas = fitted.distribute_strategy.num_replicas_in_sync
            loss = tf.cast(loss, tf.float32) * replicas
            scale = _loss_scale(fitted.optimizer)
            loss *= scale
        trained = [[v for v in row if v.trainable] for row in self._rows]
        flat = [v for row in trained for v in row]
        gradients = tape.gradient(loss, [flat, list(recurrent.values())])
        of_weights, of_inputs = gradients
        left, norms = iter(of_weights), []
        for row in trained:
            own = [next(left) for _ in row]
            norms.append(_norm(own) / scale if own else tf.constant(np.nan))
        over_time = {}
        for name, gradient in zip(recurrent, of_inputs, strict=True):
            if gradient is None:
                continue
            gradient = tf.cast(gradient, tf.float32) / scale
            steps = tf.sqrt(tf.reduce_sum(gradient**2, axis=(0, 2)))
            backward = getattr(self._named[name], "go_backwards", False)
            over_time[name] = steps[::-1] if backward else steps
        empty = tf.zeros(0)
        return (
            tf.stack(norms) if norms else empty,
            tf.stack([_norm([_value(v) for v in row]) for row in self._rows]) if norms else empty,
            activations,
            over_time,
        )


@contextmanager
def _recorded(
    named: Mapping[str, keras.Layer], active: Mapping[str, str], tape: tf.GradientTape, graph: Any
) -> Iterator[tuple[dict[str, dict[str, tf.Tensor]], dict[str, tf.Tensor]]]:
    """Records what layers compute in its body: statistics of outputs, inputs of recurrent layers.

    A layer that is called several times is recorded once. What is computed within a loop cannot be
    seen from outside, so it is left out.
    """
    activations: dict[str, dict[str, tf.Tensor]] = {}
    recurrent: dict[str, tf.Tensor] = {}

    def recording(name: str, layer: keras.Layer, call: Callable[..., Any]) -> Callable[..., Any]:
        over_time = isinstance(layer, keras.layers.RNN)

        def recorded(*args: Any, **kwargs: Any) -> Any:
            here = tf.compat.v1.get_default_graph() is graph
            room = len(recurrent) < _MAX_RECURRENT
            if over_time and here and args and name not in recurrent and room:
                recurrent[name] = tf.identity(args[0])
                tape.watch(recurrent[name])
                args = (recurrent[name], *args[1:])
            outputs = call(*args, **kwargs)
            if here and name in active and name not in activations:
                with tape.stop_recording():
                    first = keras.tree.flatten(outputs)[0]
                    activations[name] = _statistics(tf.convert_to_tensor(first), active[name])
            return outputs

        return recorded

    hooked = []
    try:
        for name, layer in named.items():
            if name in active or isinstance(layer, keras.layers.RNN):
                # Keras would track an attribute that is set in the usual way.
                object.__setattr__(layer, "call", recording(name, layer, layer.call))
                hooked.append(layer)
        yield activations, recurrent
    finally:
        for layer in hooked:
            object.__delattr__(layer, "call")


def _statistics(outputs: tf.Tensor, activation: str) -> dict[str, tf.Tensor]:
    values = tf.cast(outputs, tf.float32)
    units = tf.shape(values)[-1]
    mean, variance = tf.nn.moments(tf.reshape(values, [-1]), axes=[0])
    saturation = tf.constant(np.nan)
    if flat := _SATURATED.get(activation):
        saturation = tf.reduce_mean(tf.cast(flat(values), tf.float32))
    dead = tf.zeros([0], tf.bool)
    if activation in RECTIFIERS:
        dead = tf.reduce_max(tf.abs(tf.reshape(values, [-1, units])), axis=0) < _ZERO
    return {"mean": mean, "deviation": tf.sqrt(variance), "saturation": saturation, "dead": dead}


def activation_of(layer: keras.Layer) -> str:
    """Returns the name of a layer's activation as Keras spells it, "linear" if it has none."""
    if isinstance(layer, keras.layers.ReLU):
        bounded = layer.max_value is not None
        return "leaky_relu" if layer.negative_slope else "relu6" if bounded else "relu"
    activation = getattr(layer, "activation", None)
    if activation is None:
        return _LAYERS.get(type(layer).__name__, "linear")
    name = getattr(activation, "__name__", type(activation).__name__)
    return name.removesuffix("_approximate")


# Layers that are an activation, by its name.
_LAYERS = {"LeakyReLU": "leaky_relu", "ELU": "elu", "PReLU": "prelu"}


def _is_activation(layer: keras.Layer) -> bool:
    """Returns whether a layer's output is an activation, or that of an own layer with weights."""
    if activation_of(layer) != "linear":
        return True
    return bool(layer.weights) and type(layer).__module__.partition(".")[0] not in (
        *("keras", "keras_hub"),
    )


def _leaves(layer: keras.Layer) -> Iterator[keras.Layer]:
    """Yields the layers in a network that hold no other layer with weights, in their order."""
    inner = [] if isinstance(layer, keras.layers.RNN) else list(layer._flatten_layers(False, False))
    inner = [one for one in inner if not isinstance(one, keras.metrics.Metric)]
    if not inner or (layer.weights and not any(one.weights for one in inner)):
        yield layer
        return
    for one in inner:
        yield from _leaves(one)


def _output_layers(network: keras.Model) -> set[int]:
    outputs = keras.tree.flatten(network.outputs)
    return {id(output._keras_history.operation) for output in outputs}


def _names(network: keras.Model, layers: Sequence[keras.Layer]) -> list[str]:
    """Returns the paths of layers within a network, each one once."""
    names: list[str] = []
    for layer in layers:
        path = (layer.path or layer.name).removeprefix(f"{network.name}/")
        name, number = path, 2
        while name in names:
            name, number = f"{path}_{number}", number + 1
        names.append(name)
    return names


def _trained(layer: keras.Layer) -> list[keras.Variable]:
    """Returns the weights that gradients change, unless they are frozen."""
    return [v for one in layer._flatten_layers() for v in one._trainable_variables]


def _penalized(model: keras.Model) -> list[tuple[keras.Variable, tf.Tensor]]:
    """Returns weights with a penalty and their values, where Keras looks in a stateless scope."""
    return [(v, _value(v)) for v in model.trainable_variables if v.regularizer is not None]


def _value(variable: keras.Variable) -> tf.Tensor:
    return tf.convert_to_tensor(variable.value)


def _norm(values: Sequence[Any]) -> tf.Tensor:
    """Returns the norm of all values together in float32; None counts as zero."""
    squares = [
        tf.reduce_sum(tf.cast(tf.convert_to_tensor(value), tf.float32) ** 2)
        for value in values
        if value is not None
    ]
    return tf.sqrt(tf.add_n(squares)) if squares else tf.constant(0.0)


def _loss_scale(optimizer: keras.Optimizer) -> Any:
    """Returns what keeps small gradients above zero in float16, 1 in other precisions."""
    scale = getattr(optimizer, "dynamic_scale", None)
    return tf.constant(1.0) if scale is None else tf.convert_to_tensor(scale.value, tf.float32)
