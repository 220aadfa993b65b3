"""A test kit: checks that every architecture has to pass, whatever it computes.

A test describes a small configuration of an architecture and runs `CHECKS` on it:

    SMALL = SmallModel(
        "mlp",
        {"classes": 3, "input_shape": (5,), "units": (4,), "dropout": 0.0},
        parameters=(5 * 4 + 4) + (4 * 3 + 3),
        inputs=lambda batch, random: random.normal(size=(batch, 5)).astype("float32"),
        output_shape=(3,),
    )

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_small_model(check, tmp_path):
        check(SMALL, tmp_path)

The checks raise AssertionError. They use Keras alone and run on any of its backends, except that
`check_saved_model` needs TensorFlow or JAX with TensorFlow.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np

import architectures

_TOLERANCES: dict[str, Any] = {"rtol": 1e-4, "atol": 1e-5}


@dataclass(frozen=True)
class SmallModel:
    """A configuration of an architecture small enough to be checked in seconds.

    Attributes:
        name: Name of the architecture.
        config: Hyperparameters of its builder. Dropout and other randomness in training should be
            off.
        parameters: Total number of parameters, calculated by hand.
        inputs: A function from a batch size and a random generator to a batch of inputs: an array
            or a dict of arrays. Masks are recognized by names that end in "padding_mask".
        output_shape: Shape of the output for one example, without the batch axis.
        output: Name of the output to check, if the network returns a dict of several.
        logits: Whether the output is logits, float32 under any dtype policy, or hidden states.
    """

    name: str
    config: Mapping[str, Any]
    parameters: int
    inputs: Callable[[int, np.random.Generator], Any]
    output_shape: tuple[int, ...]
    output: str = ""
    logits: bool = True

    def build(self, seed: int = 0) -> keras.Model:
        """Builds the network with weights that `seed` determines."""
        keras.utils.set_random_seed(seed)
        model = architectures.build(self.name, **self.config)
        return keras.Model(model.input, model.output[self.output]) if self.output else model

    @cached_property
    def model(self) -> keras.Model:
        """The network of seed 0, shared by all checks that leave its weights as they are."""
        return self.build()

    @cached_property
    def again(self) -> keras.Model:
        """Another network of seed 0, shared as well."""
        return self.build()

    def batch(self, size: int) -> Any:
        """Returns `size` examples, always the same."""
        return self.inputs(size, np.random.default_rng(size))


def check_parameter_count(small: SmallModel, folder: Path) -> None:
    """The network has the number of parameters calculated by hand."""
    count = small.model.count_params()
    assert count == small.parameters, f"{count:,} parameters, not {small.parameters:,}"


def check_output(small: SmallModel, folder: Path) -> None:
    """The output is float32 of the stated shape, and each example is computed independently."""
    batch = small.batch(3)
    output = small.model(batch, training=False)
    expected = (3, *small.output_shape)
    assert output.shape == expected, f"output shape {output.shape}, not {expected}"
    dtype = keras.backend.standardize_dtype(output.dtype)
    assert dtype == "float32", f"output dtype {dtype}, not float32"
    singly = [
        _predict(small.model, keras.tree.map_structure(lambda x, i=i: x[i : i + 1], batch))
        for i in range(3)
    ]
    np.testing.assert_allclose(np.concatenate(singly), _numpy(output), **_TOLERANCES)


def check_mixed_precision(small: SmallModel, folder: Path) -> None:
    """Under mixed precision layers compute in bfloat16, logits are float32, and both are close."""
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        mixed = small.build()
    finally:
        keras.config.set_dtype_policy(policy)
    assert any(layer.compute_dtype == "bfloat16" for layer in mixed.layers), (
        "no layer computes in bfloat16 under the policy mixed_bfloat16"
    )
    mixed.set_weights(small.model.get_weights())
    batch = small.batch(3)
    output, expected = mixed(batch, training=False), _predict(small.model, batch)
    dtype = keras.backend.standardize_dtype(output.dtype)
    wanted = "float32" if small.logits else "bfloat16"
    assert dtype == wanted, f"output dtype {dtype} under mixed precision, not {wanted}"
    error = np.abs(_numpy(output) - expected).max()
    largest = np.abs(expected).max()
    assert 0 < error < 0.05 * largest, (
        f"mixed precision changes the output by {error:.3g}, the largest being {largest:.3g}"
    )


def check_xla(small: SmallModel, folder: Path) -> None:
    """Compiled by XLA, the network gives the same output as in eager execution."""
    model, batch = keras.Model(small.model.input, small.model.output), small.batch(3)
    model.compile(jit_compile=True)
    np.testing.assert_allclose(
        model.predict_on_batch(batch), _predict(small.model, batch), **_TOLERANCES
    )


def check_keras_file(small: SmallModel, folder: Path) -> None:
    """A network loaded from a `.keras` file has the same configuration and the same output."""
    file, batch = folder / "model.keras", small.batch(3)
    small.model.save(file)
    loaded = keras.saving.load_model(file)
    assert json.dumps(loaded.get_config()) == json.dumps(small.model.get_config()), (
        "the configuration of the loaded network differs"
    )
    np.testing.assert_array_equal(_predict(loaded, batch), _predict(small.model, batch))


def check_saved_model(small: SmallModel, folder: Path) -> None:
    """An exported SavedModel, a graph, gives the same output as eager execution."""
    path, batch = folder / "saved_model", small.batch(3)
    small.model.export(path, verbose=False)
    served = keras.layers.TFSMLayer(path, call_endpoint="serve")
    np.testing.assert_allclose(_numpy(served(batch)), _predict(small.model, batch), **_TOLERANCES)


def check_gradients(small: SmallModel, folder: Path) -> None:
    """Each trainable weight gets a gradient that is finite and not zero."""
    model, batch = small.build(), small.batch(8)
    for weight in model.trainable_weights:
        weight.regularizer = None  # Its gradient would hide that of a weight without effect.
    before = [np.array(weight) for weight in model.trainable_weights]
    # A random factor for each output, since a normalization cancels the gradient of a plain sum.
    factors = np.random.default_rng(0).normal(size=(8, *small.output_shape)).astype("float32")
    model.compile(
        _Gradients(1.0),
        lambda factor, output: keras.ops.sum(factor * output, axis=-1),
        run_eagerly=keras.backend.backend() != "jax",
        jit_compile=False,
    )
    model.train_on_batch(batch, factors)
    for weight, start in zip(model.trainable_weights, before, strict=True):
        gradient = np.array(weight)
        assert not np.array_equal(gradient, start), f"{weight.path} gets no gradient"
        assert np.isfinite(gradient).all(), f"{weight.path} gets a gradient that is not finite"
        assert np.any(gradient), f"{weight.path} gets a gradient of zero"


class _Gradients(keras.optimizers.SGD):
    """An optimizer that replaces each weight by its gradient, to read gradients on any backend."""

    def update_step(self, gradient: Any, variable: keras.Variable, learning_rate: Any) -> None:
        self.assign(variable, keras.ops.zeros_like(variable))
        self.assign_add(variable, gradient)  # Takes sparse gradients, too.


def check_learning(small: SmallModel, folder: Path) -> None:
    """Training overfits one batch: the mean squared error falls to 5 % of its first value."""
    model, batch = small.build(), small.batch(4)
    if not small.logits:  # The last layer of an encoder is a normalization, which cannot fit.
        model = keras.Model(model.input, keras.layers.Dense(small.output_shape[-1])(model.output))
    # One target for each example, the same at each step or pixel of it.
    *steps, width = small.output_shape
    targets = np.random.default_rng(0).uniform(-0.7, 0.7, (4, *(1 for _ in steps), width))
    targets = np.broadcast_to(targets, (4, *small.output_shape))
    # These few steps take less time than compiling them by XLA, which `check_xla` does.
    model.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=False)
    # Otherwise TensorFlow traces the training step twice, the second time without new variables.
    model.optimizer.build(model.trainable_variables)
    first = last = model.train_on_batch(batch, targets)
    for _ in range(400):
        last = model.train_on_batch(batch, targets)
        if last < 0.05 * first:
            return
    raise AssertionError(f"the loss went from {first:.3g} to {last:.3g} only")


def check_padding(small: SmallModel, folder: Path) -> None:
    """Sequences have any length, and what the padding mask hides changes no output."""
    batch = small.batch(3)
    masks = [name for name in batch if name.endswith("padding_mask")] if type(batch) is dict else []
    if not masks:
        return
    random = np.random.default_rng(0)
    longer = {}
    for name, array in batch.items():
        if array.ndim > 3:  # An image.
            longer[name] = array
            continue
        padding = random.permuted(array[:, :3], axis=0)
        longer[name] = np.concatenate([array, padding * (name not in masks)], axis=1)
    expected, output = _predict(small.model, batch), _predict(small.model, longer)
    if len(small.output_shape) > 1:  # One output for each step: compare those of real steps.
        real = batch[masks[-1]].astype(bool)
        output, expected = output[:, : real.shape[1]][real], expected[real]
    np.testing.assert_allclose(output, expected, **_TOLERANCES)


def check_seed(small: SmallModel, folder: Path) -> None:
    """The same seed gives the same weights, another one gives others."""
    weights, same, other = (
        model.get_weights() for model in (small.model, small.again, small.build(1))
    )
    for one, two in zip(weights, same, strict=True):
        np.testing.assert_array_equal(one, two)
    assert any(np.any(one != two) for one, two in zip(weights, other, strict=True)), (
        "another seed gives the same weights"
    )


def check_layer_names(small: SmallModel, folder: Path) -> None:
    """Layer names are unique and the same each time: those that Keras makes up have a counter."""
    names = [layer.name for layer in small.model.layers]
    assert len(set(names)) == len(names), "two layers have the same name"
    again = [layer.name for layer in small.again.layers]
    assert again == names, f"layers without a name of their own: {sorted({*names} - {*again})}"


CHECKS: tuple[Callable[[SmallModel, Path], None], ...] = (
    check_parameter_count,
    check_output,
    check_mixed_precision,
    check_xla,
    check_keras_file,
    check_saved_model,
    check_gradients,
    check_learning,
    check_padding,
    check_seed,
    check_layer_names,
)


def _predict(model: keras.Model, batch: Any) -> np.ndarray:
    return _numpy(model(batch, training=False))


def _numpy(tensor: Any) -> np.ndarray:
    """Returns a tensor as an array, bfloat16 as float32."""
    if keras.backend.standardize_dtype(tensor.dtype) == "bfloat16":
        tensor = keras.ops.cast(tensor, "float32")
    return keras.ops.convert_to_numpy(tensor)
