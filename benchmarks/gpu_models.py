"""The networks of the benchmark of a GPU, with what a step of each computes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.models import RESNET50, Model

if TYPE_CHECKING:
    import keras

_CLASSES = 10


@dataclass(frozen=True)
class Work:
    """What one call computes.

    Attributes:
        model: The network.
        batch: Inputs and targets of a step.
        count: How many units a call handles.
        unit: Their name in a rate.
        flops: Floating-point operations of a call.
    """

    model: keras.Model
    batch: tuple[Any, Any]
    count: int
    unit: str
    flops: float


def training_step(work: Work, *, compiled: bool) -> Callable[[], Any]:
    """Returns a training step with Adam, which waits for its loss.

    Args:
        work: The network, and its batch, which is copied to the device once.
        compiled: Whether XLA compiles it; with JAX it always does.
    """
    import keras

    work.model.compile(
        keras.optimizers.Adam(1e-4),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=compiled or keras.backend.backend() == "jax",
    )
    inputs, targets = keras.tree.map_structure(keras.ops.convert_to_tensor, work.batch)
    return lambda: work.model.train_on_batch(inputs, targets)


def _resnet50(tiny: bool) -> Work:
    size, batch = (16, 4) if tiny else (224, 256)
    name, classes = ("convnet", _CLASSES) if tiny else ("resnet50", 1000)
    model = _build(name, classes=classes, input_shape=(size, size, 3))
    random = np.random.default_rng(0)
    images = random.uniform(size=(batch, size, size, 3)).astype(np.float32)
    targets = random.integers(0, classes, batch)
    return Work(model, (images, targets), batch, "images/s", 3 * batch * convolutional_flops(model))


def _bert(tiny: bool) -> Work:
    import keras

    length, batch = (16, 4) if tiny else (128, 256)
    encoder = _build("bert_tiny" if tiny else "bert_base", max_length=length)
    logits = keras.layers.Dense(_CLASSES, dtype="float32")(encoder.output["pooled_output"])
    model = keras.Model(encoder.input, logits)
    random = np.random.default_rng(0)
    ids = random.integers(5, 1000, (batch, length)).astype(np.int32)
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    flops = 3 * batch * transformer_flops(encoder, length)
    targets = random.integers(0, _CLASSES, batch)
    return Work(model, (inputs, targets), batch * length, "tokens/s", flops)


def _gpt2(tiny: bool) -> Work:
    model, length, vocabulary = _decoder(tiny)
    batch = 2 if tiny else 16
    ids = np.random.default_rng(0).integers(0, vocabulary, (batch, length + 1)).astype(np.int32)
    inputs = {"token_ids": ids[:, :-1], "padding_mask": np.ones((batch, length), np.int32)}
    flops = 3 * batch * transformer_flops(model, length, vocabulary)
    return Work(model, (inputs, ids[:, 1:]), batch * length, "tokens/s", flops)


TRAINING: Mapping[str, Callable[[bool], Work]] = {
    "ResNet-50": _resnet50,
    "BERT base": _bert,
    "GPT-2 small": _gpt2,
}


def decoding(tiny: bool, batch: int) -> tuple[Work, Callable[[], Any]]:
    """Returns the work of greedy decoding of half the positions, and a function that does it."""
    import keras
    import keras_hub

    from architectures.decoder import next_token, prefill

    model, length, vocabulary = _decoder(tiny)
    known = length // 2
    prompt = np.random.default_rng(0).integers(0, vocabulary, (batch, length)).astype(np.int32)
    sampler = keras_hub.samplers.GreedySampler()

    def generate(values: list[Any], prompt: Any) -> Any:
        """A function of the weights, so that they are no constants of the compiled program."""
        with keras.StatelessScope(state_mapping=list(zip(model.variables, values, strict=True))):
            return sampler(next_token(model), prompt, prefill(model, prompt), index=known)

    run = _compiled(generate, xla=not tiny)
    values = [variable.value for variable in model.variables]
    device_prompt = keras.ops.convert_to_tensor(prompt)
    new = length - known
    reading = transformer_flops(model, length) + 2 * new * vocabulary * _width(model)
    work = Work(model, (prompt, None), batch * new, "tokens/s", batch * reading)
    return work, lambda: keras.ops.convert_to_numpy(run(values, device_prompt))


def _compiled(function: Callable[..., Any], *, xla: bool) -> Callable[..., Any]:
    import keras

    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, jit_compile=xla)


def _decoder(tiny: bool) -> tuple[keras.Model, int, int]:
    """Returns the network, the length of its texts, and its vocabulary."""
    if tiny:
        sizes = {"layers": 2, "heads": 2, "width": 16, "vocabulary": 100, "max_length": 16}
        return _build("gpt2_small", **sizes, dropout=0.0), 16, 100
    return _build("gpt2_small", dropout=0.0), 1024, 50257


def _build(name: str, **options: Any) -> keras.Model:
    """Builds a network in mixed bfloat16."""
    import keras

    import architectures

    keras.utils.clear_session()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        return architectures.build(name, **options)
    finally:
        keras.config.set_dtype_policy(before)


def convolutional_flops(model: keras.Model) -> int:
    """Returns the operations of convolutions and dense layers for one image."""
    total = 0
    for layer in model.layers:
        for weight in layer.weights:
            if weight.name == "kernel":
                total += 2 * math.prod(weight.shape) * math.prod(layer.output.shape[1:-1])
    return total


def transformer_flops(model: keras.Model, length: int, vocabulary: int = 0) -> int:
    """Returns the operations for one text, of which each position attends to all.

    Args:
        model: A Transformer whose layers have kernels, all of which each position passes.
        length: Tokens of the text.
        vocabulary: Size of an output layer that is tied to the embeddings; 0 without one.
    """
    layers = [layer for layer in model.layers if _is_transformer_layer(layer)]
    kernels = sum(
        math.prod(weight.shape)
        for layer in layers
        for weight in layer.weights
        if weight.name == "kernel"
    )
    attention = 4 * len(layers) * length * _width(model)
    return length * (2 * kernels + attention + 2 * vocabulary * _width(model))


def _is_transformer_layer(layer: keras.Layer) -> bool:
    import keras_hub

    from architectures.transformer_layer import TransformerLayer

    return isinstance(layer, keras_hub.layers.TransformerEncoder | TransformerLayer)


def _width(model: keras.Model) -> int:
    """Returns the features of a position."""
    layers = [layer for layer in model.layers if _is_transformer_layer(layer)]
    return layers[0].output.shape[-1]


def served(tiny: bool) -> list[Model]:
    """Returns the models to serve."""
    if tiny:
        return [Model("tiny bert", _save_tiny_bert, "token_ids", "pooled_output", (16,))]
    return [RESNET50, Model("bert", _save_bert, "token_ids", "pooled_output", (128,))]


def _save_tiny_bert(path: Path) -> None:
    _save_encoder(path, "bert_tiny", 16)


def _save_bert(path: Path) -> None:
    _save_encoder(path, "bert_base", 128)


def _save_encoder(path: Path, name: str, length: int) -> None:
    """Saves an encoder of tokens, which come as float32 as the inputs of other models here."""
    import keras
    import tensorflow as tf

    import architectures

    encoder = architectures.build(name, max_length=length)

    def serve(tensor: tf.Tensor) -> dict[str, tf.Tensor]:
        ids = tf.cast(tensor, tf.int32)
        inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
        return {"pooled_output": encoder(inputs, training=False)["pooled_output"]}

    archive = keras.export.ExportArchive()
    archive.track(encoder)
    spec = tf.TensorSpec([None, length], tf.float32, name="token_ids")
    archive.add_endpoint("serving_default", serve, input_signature=[spec])
    archive.write_out(str(path), verbose=False)
