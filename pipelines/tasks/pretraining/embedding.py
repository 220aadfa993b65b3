"""Embeddings of texts: an encoder's hidden states, pooled."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras

from architectures.layers import SequencePooling


def embedder(encoder: keras.Model) -> keras.Model:
    """Returns a model from an encoder's inputs to vectors, float32 [batch, width] each.

    "cls" is the last hidden state of the first token, "mean" and "max" are over the real tokens.
    """
    hidden = encoder.output
    hidden = hidden["sequence_output"] if isinstance(hidden, dict) else hidden
    mask = encoder.input["padding_mask"]
    pooled = {mode: SequencePooling(mode)(hidden, mask=mask) for mode in ("mean", "max")}
    return keras.Model(encoder.input, {"cls": hidden[:, 0], **pooled}, name="embedder")


def encoder_inputs(encoder: keras.Model, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of `inputs` that the encoder reads."""
    return {name: inputs[name] for name in encoder.input}
