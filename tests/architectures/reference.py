"""The Transformer's equations in NumPy, and functions that its tests share."""

from __future__ import annotations

import keras
import numpy as np


def attention(query, key, value, mask=None):
    """Returns softmax(QK^T / sqrt(d_k)) V and the softmax, over the last two axes."""
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    if mask is not None:
        scores = np.where(mask, scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return weights @ value, weights


def multi_head_attention(query, memory, weights, mask=None):
    """Returns Concat(head_1, ..., head_h) W_O and the attention weights [batch, heads, T, S].

    `weights` are kernels and biases of queries, keys and values, [width, heads, size] and
    [heads, size], and of the output, [heads, size, width] and [width].
    """
    w_q, b_q, w_k, b_k, w_v, b_v, w_o, b_o = weights
    answers, maps = [], []
    for head in range(w_q.shape[1]):
        answer, found = attention(
            query @ w_q[:, head] + b_q[head],
            memory @ w_k[:, head] + b_k[head],
            memory @ w_v[:, head] + b_v[head],
            mask,
        )
        answers.append(answer)
        maps.append(found)
    output = w_o.reshape(-1, w_o.shape[-1])
    return np.concatenate(answers, -1) @ output + b_o, np.stack(maps, 1)


def sinusoids(positions, width):
    """Returns PE(p, 2i) = sin(p / 10000^(2i/d)) and PE(p, 2i+1) = cos(p / 10000^(2i/d))."""
    table = np.empty((len(positions), width))
    for row, p in zip(table, positions, strict=True):
        for i in range(0, width, 2):
            row[i] = np.sin(p / 10000 ** (i / width))
            row[i + 1] = np.cos(p / 10000 ** (i / width))
    return table


def shaken(layer: keras.Layer, seed: int = 0) -> keras.Layer:
    """Returns a layer or model with random weights, those that start as 0 or 1 among them."""
    random = np.random.default_rng(seed)
    layer.set_weights([w + random.normal(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


_NAMES = {
    "self_attention_layer_norm": "self_attention_norm",
    "cross_attention_layer_norm": "cross_attention_norm",
    "self_attention_layer": "self_attention",
    "feedforward_intermediate_dense": "feed_forward_inner",
    "feedforward_output_dense": "feed_forward_outer",
    "feedforward_layer_norm": "feed_forward_norm",
}


def copy_weights(layer: keras.Layer, other: keras.Layer) -> None:
    """Copies the weights of a `TransformerLayer` to keras_hub's encoder or decoder layer."""

    def below(weight: keras.Variable, owner: keras.Layer) -> str:
        steps = weight.path.split(f"{owner.name}/", 1)[1].split("/")
        return "/".join(_NAMES.get(step, step) for step in steps)

    values = {below(weight, layer): weight for weight in layer.weights}
    assert len(values) == len(other.weights)
    for weight in other.weights:
        weight.assign(values[below(weight, other)])
