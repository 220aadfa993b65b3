"""What every architecture has to pass, whatever it computes.

A test module names a tiny configuration of the architecture and runs `CHECKS` over it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import architectures
from tests.counting import abstract


@dataclass(frozen=True)
class Tiny:
    """A configuration small enough to be checked in seconds.

    Attributes:
        name: The architecture's registered name.
        config: Hyperparameters; they should switch off what is random in training.
        parameters: All its parameters, counted by hand.
        inputs: From a batch size and a random generator to a batch of inputs, an array or a dict
            of arrays.
        output_shape: Shape of the answer to one example.
        output: Which output is checked, where there are several.
        logits: Whether it answers logits, float32 under any policy, and not hidden states.
    """

    name: str
    config: Mapping[str, Any]
    parameters: int
    inputs: Callable[[int, np.random.Generator], Any]
    output_shape: tuple[int, ...]
    output: str = ""
    logits: bool = True

    def build(self, seed: int = 0) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = architectures.build(self.name, **self.config)
        return keras.Model(model.input, model.output[self.output]) if self.output else model

    def batch(self, size: int) -> Any:
        return self.inputs(size, np.random.default_rng(size))


def take(batch: Any, rows: slice) -> Any:
    """Returns some examples of a batch."""
    return keras.tree.map_structure(lambda array: array[rows], batch)


def has_the_parameters_counted_by_hand(tiny: Tiny, scratch: Path) -> None:
    with abstract():
        model = architectures.build(tiny.name, **tiny.config)
    assert model.count_params() == tiny.parameters


def answers_batches_of_any_size_in_float32(tiny: Tiny, scratch: Path) -> None:
    model = tiny.build()
    three = tiny.batch(3)
    together = model(three, training=False)
    assert together.shape == (3, *tiny.output_shape)
    assert together.dtype == "float32"
    apart = [model(take(three, slice(i, i + 1)), training=False) for i in range(3)]
    np.testing.assert_allclose(np.concatenate(apart), together, rtol=1e-4, atol=1e-5)


def answers_float32_under_mixed_precision(tiny: Tiny, scratch: Path) -> None:
    exact = tiny.build()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = tiny.build()
    finally:
        keras.config.set_dtype_policy("float32")
    assert "bfloat16" in {layer.compute_dtype for layer in mixed.layers}
    mixed.set_weights(exact.get_weights())
    batch = tiny.batch(3)
    answer, expected = mixed(batch, training=False), exact(batch, training=False)
    assert answer.dtype == ("float32" if tiny.logits else "bfloat16")
    answer = keras.ops.cast(answer, "float32")
    assert 0 < np.abs(answer - expected).max() < 0.05 * np.abs(expected).max()


def answers_alike_eagerly_in_a_graph_and_compiled(tiny: Tiny, scratch: Path) -> None:
    model, batch = tiny.build(), tiny.batch(3)
    expected = model(batch, training=False)
    for jit in (False, True):
        graph = tf.function(lambda x: model(x, training=False), jit_compile=jit)
        np.testing.assert_allclose(
            graph(keras.tree.map_structure(tf.constant, batch)), expected, rtol=1e-4, atol=1e-5
        )


def comes_back_from_a_keras_file(tiny: Tiny, scratch: Path) -> None:
    model, batch = tiny.build(), tiny.batch(3)
    model.save(scratch / "model.keras")
    loaded = keras.saving.load_model(scratch / "model.keras")
    assert json.dumps(loaded.get_config()) == json.dumps(model.get_config())
    np.testing.assert_array_equal(
        loaded(batch, training=False), np.asarray(model(batch, training=False))
    )


def comes_back_from_a_saved_model(tiny: Tiny, scratch: Path) -> None:
    model, batch = tiny.build(), tiny.batch(3)
    model.export(scratch / "saved_model", verbose=False)
    loaded = tf.saved_model.load(scratch / "saved_model")
    np.testing.assert_allclose(
        loaded.serve(batch), model.predict(batch, verbose=0), rtol=1e-4, atol=1e-5
    )


def every_weight_gets_a_gradient(tiny: Tiny, scratch: Path) -> None:
    model, batch = tiny.build(), tiny.batch(8)
    with tf.GradientTape() as tape:
        answer = model(batch, training=True)
        # A random weight for each output, for a plain sum is blind behind a normalisation.
        loss = tf.reduce_sum(answer * np.random.default_rng(0).normal(size=answer.shape))
    gradients = tape.gradient(loss, model.trainable_weights)
    for weight, gradient in zip(model.trainable_weights, gradients, strict=True):
        assert gradient is not None, f"{weight.path} gets no gradient"
        gradient = tf.convert_to_tensor(gradient)
        assert np.isfinite(gradient).all(), f"{weight.path} gets a gradient that is not finite"
        assert np.any(gradient), f"{weight.path} gets a gradient of zero"


def learns_one_batch_by_heart(tiny: Tiny, scratch: Path) -> None:
    model, batch = tiny.build(), tiny.batch(4)
    if not tiny.logits:  # A norm ends the encoder, so that a head has to do the rest.
        model = keras.Model(model.input, keras.layers.Dense(tiny.output_shape[-1])(model.output))
    # One target per example, the same at each step or pixel of it.
    *steps, width = tiny.output_shape
    targets = np.random.default_rng(0).uniform(-0.7, 0.7, (4, *(1 for _ in steps), width))
    targets = np.broadcast_to(targets, (4, *tiny.output_shape))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    first = model.train_on_batch(batch, targets)
    for _ in range(400):
        last = model.train_on_batch(batch, targets)
        if last < 0.05 * first:
            return
    raise AssertionError(f"the loss went from {first:.3g} to {last:.3g} only")


def reads_any_length_and_ignores_padding(tiny: Tiny, scratch: Path) -> None:
    """Behind the end of a sequence may stand anything: what its mask hides changes no answer."""
    batch = tiny.batch(3)
    masks = [name for name in batch if name.endswith("padding_mask")] if dict is type(batch) else []
    if not masks:
        return
    random = np.random.default_rng(0)
    longer = {}
    for name, array in batch.items():
        behind = random.permuted(array[:, :3], axis=0)
        longer[name] = np.concatenate([array, behind * (name not in masks)], axis=1)
    model = tiny.build()
    expected = np.asarray(model(batch, training=False))
    answer = np.asarray(model(longer, training=False))
    if len(tiny.output_shape) > 1:  # An answer for each step, of which the real ones count.
        real = batch[masks[-1]].astype(bool)
        answer, expected = answer[:, : real.shape[1]][real], expected[real]
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)


def a_seed_decides_its_weights(tiny: Tiny, scratch: Path) -> None:
    first, same, other = (tiny.build(seed).get_weights() for seed in (1, 1, 2))
    for one, two in zip(first, same, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.any(one != two) for one, two in zip(first, other, strict=True))


def names_its_layers_itself(tiny: Tiny, scratch: Path) -> None:
    """Names that Keras makes up count on from one model to the next."""
    names = [layer.name for layer in tiny.build().layers]
    assert len(set(names)) == len(names)
    assert [layer.name for layer in tiny.build().layers] == names


CHECKS: tuple[Callable[[Tiny, Path], None], ...] = (
    has_the_parameters_counted_by_hand,
    answers_batches_of_any_size_in_float32,
    answers_float32_under_mixed_precision,
    answers_alike_eagerly_in_a_graph_and_compiled,
    comes_back_from_a_keras_file,
    comes_back_from_a_saved_model,
    every_weight_gets_a_gradient,
    learns_one_batch_by_heart,
    reads_any_length_and_ignores_padding,
    a_seed_decides_its_weights,
    names_its_layers_itself,
)
