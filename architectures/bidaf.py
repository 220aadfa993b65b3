"""BiDAF: a recurrent reader, in which passage and question attend to each other.

Seo et al., "Bidirectional Attention Flow for Machine Comprehension", 2017, section 2:

- Tokens become vectors, and a bidirectional LSTM reads them: question q_1 … q_m and passage
  c_1 … c_n, of the same weights.
- Attention in both directions, G = [c; a; c * a; c * b], see `qanet.py`, whose b is the passage as
  the question sees it: of each question word, not of one vector for all of them.
- The modeling layer, bidirectional LSTMs over G, gives M; one more over M gives M2. The start's
  logits are w_1 . [G; M], the end's w_2 . [G; M2].

Different here: question and passage are one sequence of tokens, with segments, as BERT reads them,
so the LSTM comes to the passage with the question in its state. In place of pre-trained vectors, of
the characters of words and of the highway network, tokens have learned vectors and a flag, whether
the token occurs on the other side, too: the exact match of Chen et al., "Reading Wikipedia to
Answer Open-Domain Questions", 2017.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from architectures.checks import check_counts, check_rates
from architectures.qanet import ContextQueryAttention, ExactMatch


def bidaf(
    *,
    vocabulary: int,
    embedding: int = 100,
    units: int = 100,
    modeling: int = 2,
    dropout: float = 0.2,
) -> keras.Model:
    """Builds a reader of questions and passages.

    Args:
        vocabulary: Number of tokens.
        embedding: Size of a token's vector.
        units: Units of each LSTM, in each direction.
        modeling: Number of bidirectional LSTMs of the modeling layer.
        dropout: Dropout rate of the embedding, of what the modeling layer and each of its LSTMs
            reads, and of what the logits are of.

    Returns:
        A model to logits of the answer's first and last token, float32 [batch, time, 2], from a
        dict of "token_ids", "padding_mask", 1 at real tokens and 0 at padding, and "segment_ids", 1
        in the passage and 0 before it, each int32 [batch, time]. Logits outside the passage are
        undefined.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    counts = {
        "vocabulary": vocabulary,
        "embedding": embedding,
        "units": units,
        "modeling": modeling,
    }
    check_counts("bidaf", **{name: [value] for name, value in counts.items()})
    check_rates("bidaf", dropout=dropout)
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    mask, segments = inputs["padding_mask"], inputs["segment_ids"]
    x = layers.Embedding(vocabulary, embedding, name="token_embedding")(inputs["token_ids"])
    x = layers.Dropout(dropout, name="token_embedding_dropout")(x)
    match = ExactMatch(name="exact_match")(inputs["token_ids"], mask=mask, segments=segments)
    x = layers.Concatenate(name="tokens")([x, match])
    x = _reading(units, "context")(x, mask=mask)
    attended = ContextQueryAttention(name="attention")(x, mask=mask, segments=segments)
    x = attended
    for index in range(1, modeling + 1):
        x = layers.Dropout(dropout, name=f"modeling{index}_dropout")(x)
        x = _reading(units, f"modeling{index}")(x, mask=mask)
    ends = _reading(units, "end_modeling")(x, mask=mask)
    logits = []
    for name, modeled in (("start", x), ("end", ends)):
        features = layers.Concatenate(name=f"{name}_features")([attended, modeled])
        features = layers.Dropout(dropout, name=f"{name}_dropout")(features)
        logits.append(layers.Dense(1, dtype="float32", name=name)(features))
    return keras.Model(
        inputs, layers.Concatenate(dtype="float32", name="logits")(logits), name="bidaf"
    )


def _reading(units: int, name: str) -> Any:
    # With cuDNN it would need padding at the end, and a GPU.
    layer = layers.LSTM(units, return_sequences=True, use_cudnn=False, name=name)
    return layers.Bidirectional(layer, merge_mode="concat", name=name)
