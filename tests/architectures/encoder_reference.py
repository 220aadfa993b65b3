"""The encoders of `architectures/bert.py` written in NumPy, and functions their tests share."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from architectures import bert

TINY: dict[str, Any] = {
    "vocabulary": 13,
    "layers": 2,
    "heads": 2,
    "width": 8,
    "feed_forward": 12,
    "max_length": 9,
    "dropout": 0.0,
}
FAMILIES = ("bert", "roberta", "albert", "distilbert", "electra")
# The others have the tanh approximation, and an epsilon of 1e-12.
EXACT_GELU = ("roberta", "distilbert")
EPSILON = {"roberta": 1e-5}

Weights = dict[str, Any]


def tiny(family: str, **overrides: Any) -> keras.Model:
    """Builds a small encoder with weights large enough to make every one of them count."""
    keras.utils.set_random_seed(0)
    narrow = {"embedding": 6} if family in ("albert", "electra") else {}
    model = getattr(bert, family)(**{**TINY, **narrow, **overrides})
    scramble(model)
    return model


def scramble(model: keras.Model, seed: int = 0) -> None:
    random = np.random.default_rng(seed)
    for weight in model.weights:
        weight.assign(random.normal(scale=0.4, size=weight.shape))


def batch(model: keras.Model, size: int = 3, time: int = 6, seed: int = 0) -> dict[str, Any]:
    """Returns inputs for what the model reads, the first row without padding."""
    random = np.random.default_rng(seed)
    real = random.integers(3, time, size=(size, 1))
    real[0] = time
    values = {
        "token_ids": random.integers(0, TINY["vocabulary"], size=(size, time)),
        "segment_ids": np.tile(np.arange(time) >= 2, (size, 1)),
        "padding_mask": np.arange(time) < real,
        "mask_positions": np.tile([2, 1], (size, 1)),
    }
    return {name: values[name].astype("int32") for name in model.input}


def ask(model: keras.Model, inputs: dict[str, Any]):
    """Returns what a model says to those of the inputs that it reads."""
    return model({name: tf.constant(inputs[name]) for name in model.input}, training=False)


def keras_weights(model: keras.Model) -> Weights:
    """Returns an encoder's weights in the order of the equations."""
    stored = {weight.path: weight.numpy().astype("float64") for weight in model.weights}

    def pair(name: str, kind: str = "kernel", shift: str = "bias"):
        kernel, bias = stored[f"{name}/{kind}"], stored[f"{name}/{shift}"].ravel()
        return kernel.reshape(-1, bias.size) if kind == "kernel" else kernel, bias

    def layer(name: str):
        attention = f"{name}/self_attention_layer"
        return {
            "query": pair(f"{attention}/query"),
            "key": pair(f"{attention}/key"),
            "value": pair(f"{attention}/value"),
            "output": pair(f"{attention}/attention_output"),
            "attention_norm": pair(f"{name}/self_attention_layer_norm", "gamma", "beta"),
            "inner": pair(f"{name}/feedforward_intermediate_dense"),
            "outer": pair(f"{name}/feedforward_output_dense"),
            "norm": pair(f"{name}/feedforward_layer_norm", "gamma", "beta"),
        }

    tables = {path.split("/")[-2]: value for path, value in stored.items() if "embeddings" in path}
    weights: Weights = {
        "token": tables["token_embedding"],
        "position": tables["position_embedding"],
        "norm": pair("embeddings_layer_norm", "gamma", "beta"),
    }
    if "segment_embedding" in tables:
        weights["segment"] = tables["segment_embedding"]
    for name in ("embedding_projection", "embeddings_projection"):
        if f"{name}/kernel" in stored:
            weights["projection"] = pair(name)
    if "pooled_dense/kernel" in stored:
        weights["pooler"] = pair("pooled_dense")
    if isinstance(model.transformer_layers[0], list):
        weights["layers"] = [layer("group_0_inner_layer_0")] * model.num_layers
    else:
        weights["layers"] = [layer(f"transformer_layer_{i}") for i in range(model.num_layers)]
    return weights


def encode(weights: Weights, inputs, *, family: str, heads: int):
    """Returns hidden states, [batch, time, width], and each layer's attention weights."""
    ids, mask = inputs["token_ids"], inputs["padding_mask"]
    epsilon = EPSILON.get(family, 1e-12)
    x = weights["token"][ids] + weights["position"][: ids.shape[1]]
    if "segment" in weights:
        x = x + weights["segment"][inputs["segment_ids"]]
    x = normalize(x, weights["norm"], epsilon)
    if "projection" in weights:
        x = linear(x, weights["projection"])
    maps = []
    for layer in weights["layers"]:
        attended, attention = attend(x, layer, mask, heads)
        maps.append(attention)
        x = normalize(x + attended, layer["attention_norm"], epsilon)
        inner = gelu(linear(x, layer["inner"]), exact=family in EXACT_GELU)
        x = normalize(x + linear(inner, layer["outer"]), layer["norm"], epsilon)
    return x, maps


def attend(x, layer: Weights, mask, heads: int):
    size, time, width = x.shape

    def split(name: str):
        return linear(x, layer[name]).reshape(size, time, heads, -1).transpose(0, 2, 1, 3)

    scores = split("query") @ split("key").transpose(0, 1, 3, 2) / math.sqrt(width // heads)
    scores = np.where(mask[:, None, None, :], scores, -np.inf)
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = (weights @ split("value")).transpose(0, 2, 1, 3).reshape(size, time, width)
    return linear(mixed, layer["output"]), weights


def linear(x, weights):
    kernel, bias = weights
    return x @ kernel + bias


def normalize(x, weights, epsilon: float):
    gamma, beta = weights
    centered = x - x.mean(axis=-1, keepdims=True)
    return gamma * centered / np.sqrt((centered**2).mean(axis=-1, keepdims=True) + epsilon) + beta


def gelu(x, *, exact: bool):
    if exact:
        return x * (1 + np.vectorize(math.erf)(x / math.sqrt(2))) / 2
    return x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))) / 2


def hidden_of(output):
    """Returns the hidden states among an encoder's outputs."""
    return output["sequence_output"] if isinstance(output, dict) else output
