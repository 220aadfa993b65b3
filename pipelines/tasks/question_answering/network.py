"""The network of question answering: an encoder with logits of the answer's start and end."""

from __future__ import annotations

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
    separators = ops.equal(encoder.input["token_ids"], separator)
    passage = ops.equal(ops.cumsum(ops.cast(separators, "int32"), axis=1), 1)
    within = ops.logical_and(passage, ops.logical_not(separators))
    logits = {name: ops.where(within, x, MASKED_LOGIT) for name, x in model.output.items()}
    return keras.Model(encoder.input, logits, name=model.name)
