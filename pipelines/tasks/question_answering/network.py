"""The network of question answering: logits of the answer's start and end in the passage."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from architectures import heads

# The logit of tokens outside the passage.
MASKED_LOGIT = -1e9


def span_finder(encoder: keras.Model, separator: int) -> keras.Model:
    """Builds `heads.span_finder` with the logits of all tokens outside the passage masked.

    Args:
        encoder: An encoder of `architectures.bert`.
        separator: The id of [SEP]; the passage is between the first and the second.

    Returns:
        A model from the encoder's inputs to logits {"start", "end"}, each float32 [batch, tokens].
    """
    model = heads.span_finder(encoder)
    return _within_passage(model, model.output, separator)


def of_reader(reader: keras.Model, separator: int) -> keras.Model:
    """Returns a network of the kind "reader" in the form of `span_finder`."""
    logits = {"start": reader.output[:, :, 0], "end": reader.output[:, :, 1]}
    return _within_passage(reader, logits, separator)


def _within_passage(model: keras.Model, logits: dict[str, Any], separator: int) -> keras.Model:
    separators = ops.equal(model.input["token_ids"], separator)
    passage = ops.equal(ops.cumsum(ops.cast(separators, "int32"), axis=1), 1)
    within = ops.logical_and(passage, ops.logical_not(separators))
    masked = {name: ops.where(within, x, MASKED_LOGIT) for name, x in logits.items()}
    return keras.Model(model.input, masked, name=model.name)
