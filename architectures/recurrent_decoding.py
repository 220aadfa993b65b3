"""Cached decoding with a recurrent network, one token at a time; the cache is its states.

The counterpart of `prefill` and `next_token` in `decoder.py`, for models of `recurrent` that read
tokens in one direction and have an output for each (output="sequence"), with any recurrent cell:

    cache = prefill(model, prompt, 5)
    sampler = keras_hub.samplers.TopPSampler(p=0.9)
    sampler(next_token(model), prompt, cache, index=5, model=model)

where prompt, int32 [batch, length], holds 5 tokens followed by arbitrary values. The cache is the
list of the layers' states, whose size does not depend on the length of the text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers, ops

from architectures.transformer_layer import by_name, sampler_step


def decodes(model: keras.Model) -> bool:
    """Returns whether a model of `recurrent` supports cached decoding.

    It must read tokens, have an output for each, and all layers between embedding and logits must
    be recurrent: the memory layers of `layers.py` have no state.
    """
    known = (layers.InputLayer, layers.Embedding, layers.Dropout, layers.RNN)
    *body, last = model.layers
    return (
        last.name == "logits"
        and len(model.output.shape) == 3
        and "token_embedding" in by_name(body)
        and all(isinstance(layer, known) for layer in body)
    )


def prefill(model: keras.Model, prompt: Any, index: Any) -> list:
    """Computes the states after a prompt without its last token.

    Args:
        model: A model of `recurrent` that `decodes`.
        prompt: int32 [batch, length], tokens and room for new ones.
        index: Number of tokens in the prompt, at least 1; the first step reads the last of them.

    Returns:
        The first cache of `next_token`: the states of each layer.
    """
    parts, batch = by_name(model.layers), ops.shape(prompt)[0]
    empty = [list(layer.get_initial_state(batch)) for layer in _stack(model)]

    def read(position: Any, cache: Any) -> Any:
        token = ops.slice(prompt, [0, position], [batch, 1])
        return position + 1, _read(model, parts, token, cache)[1]

    first = ops.convert_to_tensor(0, "int32")
    return ops.while_loop(lambda position, _: position < index - 1, read, (first, empty))[1]


def next_token(model: keras.Model) -> Callable:
    """Returns the `next` function of keras_hub's samplers; `prefill` returns its first cache.

    See `sampler_step` for its arguments.

    Args:
        model: A model of `recurrent` that `decodes`.
    """
    parts = by_name(model.layers)
    table = parts["token_embedding"]

    def logits(features: Any) -> Any:
        if isinstance(table, layers.ReversibleEmbedding):
            features = table(features, reverse=True)
        return parts["logits"](features)

    return sampler_step(lambda token, cache, _: _read(model, parts, token, cache), logits)


def _stack(model: keras.Model) -> list[layers.RNN]:
    return [layer for layer in model.layers if isinstance(layer, layers.RNN)]


def _read(
    model: keras.Model, parts: Mapping[str, Any], token: Any, cache: Any
) -> tuple[Any, list[Any]]:
    """Returns the features of one token, [batch, 1, width], and the states after it."""
    x = parts["token_embedding"](token)[:, 0]
    updated = []
    for layer, states in zip(_stack(model), cache, strict=True):
        x, states = layer.cell(x, states)
        updated.append(list(states))
    return x[:, None], updated
