"""Writing with a recurrent network one token at a time, its states carried from step to step.

The counterpart of `prefill` and `next_token` in `decoder.py`, for models of `recurrent` that read
tokens in one direction and answer at each (output="sequence"), whatever their cell:

    cache = prefill(model, prompt, 5)
    sampler = keras_hub.samplers.TopPSampler(p=0.9)
    sampler(next_token(model), prompt, cache, index=5, model=model)

where prompt, int32 [batch, length], holds 5 tokens and then anything. The cache is the list of the
layers' states, a fixed size however long the text.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers, ops

from architectures.transformer_layer import by_name, sampler_step


def decodes(model: keras.Model) -> bool:
    """Returns whether a model of `recurrent` can write: tokens in, an answer at each, no look back.

    All of its layers between embedding and logits have to be recurrent: the memories of `layers.py`
    have no state to carry.
    """
    known = (layers.InputLayer, layers.Embedding, layers.Dropout, layers.RNN)
    *body, last = model.layers
    return (
        last.name == "logits"
        and len(model.output.shape) == 3
        and "token_embedding" in by_name(body)
        and all(isinstance(layer, known) for layer in body)
    )


def prefill(model: keras.Model, prompt, index) -> list:
    """Reads a prompt up to the token before the last.

    Args:
        model: A model of `recurrent` that `decodes`.
        prompt: int32 [batch, length], tokens with room for those to come.
        index: How many of them are known, at least 1; the last of these is left to the first step.

    Returns:
        The cache that `next_token` begins with: the states of each layer.
    """
    parts, batch = by_name(model.layers), ops.shape(prompt)[0]
    empty = [list(layer.get_initial_state(batch)) for layer in _stack(model)]

    def read(position, cache):
        token = ops.slice(prompt, [0, position], [batch, 1])
        return position + 1, _read(model, parts, token, cache)[1]

    first = ops.convert_to_tensor(0, "int32")
    return ops.while_loop(lambda position, _: position < index - 1, read, (first, empty))[1]


def next_token(model: keras.Model) -> Callable:
    """Returns the step of keras_hub's samplers, see `sampler_step`; its first cache is `prefill`'s.

    Args:
        model: A model of `recurrent` that `decodes`.
    """
    parts = by_name(model.layers)
    table = parts["token_embedding"]

    def logits(features):
        if isinstance(table, layers.ReversibleEmbedding):
            features = table(features, reverse=True)
        return parts["logits"](features)

    return sampler_step(lambda token, cache, _: _read(model, parts, token, cache), logits)


def _stack(model: keras.Model) -> list[layers.RNN]:
    return [layer for layer in model.layers if isinstance(layer, layers.RNN)]


def _read(model, parts, token, cache):
    """Returns the features of one token, [batch, 1, width], and the states after it."""
    x = parts["token_embedding"](token)[:, 0]
    updated = []
    for layer, states in zip(_stack(model), cache, strict=True):
        x, states = layer.cell(x, states)
        updated.append(list(states))
    return x[:, None], updated
