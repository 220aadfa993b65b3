"""QANet: a reader without recurrence, which finds the answer to a question in a passage.

Yu et al., "QANet: Combining Local Convolution with Global Self-Attention for Reading
Comprehension", 2018, figure 1; its attention between passage and question is that of BiDAF (Seo et
al., "Bidirectional Attention Flow for Machine Comprehension", 2017) and of Xiong et al. 2017:

- Encoder blocks of depthwise separable convolutions, self-attention and a feed-forward layer, each
  as x + f(LayerNorm(x)), with sinusoidal positions at their start.
- One encoder block, with the same weights for question q_1 … q_m and passage c_1 … c_n.
- Similarities S_ij = w . [c_i; q_j; c_i * q_j]; with their softmax over j, the question as each
  word of the passage sees it, a_i = sum of softmax(S_i)_j q_j; and with that over i, the passage as
  the question sees it, b = softmax_j(S) softmax_i(S)^T c. The model encoder reads
  [c; a; c * a; c * b].
- The model encoder, a stack of blocks, is applied three times with the same weights, to M0, M1 and
  M2; the start's logits are w_1 . [M0; M1], the end's w_2 . [M0; M2].

Different here: question and passage are one sequence of tokens, with segments, as BERT reads them.
Neither attends to the other but in the attention above; convolutions reach from one's last words to
the other's first. In place of pre-trained vectors, of the characters of words and of the highway
network, tokens have learned vectors and a flag, whether the token occurs on the other side, too:
the exact match of Chen et al., "Reading Wikipedia to Answer Open-Domain Questions", 2017. There is
no stochastic depth.
"""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
from keras import layers, ops

from architectures.checks import check_counts, check_rates

_HIDDEN = -1e9


def qanet(
    *,
    vocabulary: int,
    width: int = 128,
    heads: int = 8,
    convolutions: int = 4,
    kernel: int = 7,
    blocks: int = 7,
    block_convolutions: int = 2,
    block_kernel: int = 5,
    dropout: float = 0.1,
) -> keras.Model:
    """Builds a reader of questions and passages.

    Args:
        vocabulary: Number of tokens.
        width: Features of each token, a multiple of `heads`.
        heads: Number of attention heads.
        convolutions: Convolutions of the block that encodes question and passage.
        kernel: Their width in tokens.
        blocks: Blocks of the model encoder.
        block_convolutions: Convolutions of each.
        block_kernel: Their width in tokens.
        dropout: Dropout rate of the embedding and of what is added in each residual connection.

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
        "width": width,
        "heads": heads,
        "convolutions": convolutions,
        "kernel": kernel,
        "blocks": blocks,
        "block_convolutions": block_convolutions,
        "block_kernel": block_kernel,
    }
    check_counts("qanet", **{name: [value] for name, value in counts.items()})
    check_rates("qanet", dropout=dropout)
    if width % heads:
        raise ValueError(f"qanet: width must be a multiple of heads, {heads}, not {width}")
    inputs = {
        name: keras.Input((None,), dtype="int32", name=name)
        for name in ("token_ids", "padding_mask", "segment_ids")
    }
    mask, segments = inputs["padding_mask"], inputs["segment_ids"]
    x = layers.Embedding(vocabulary, width, name="token_embedding")(inputs["token_ids"])
    x = layers.Dropout(dropout, name="token_embedding_dropout")(x)
    match = ExactMatch(name="exact_match")(inputs["token_ids"], mask=mask, segments=segments)
    x = layers.Dense(width, name="token_projection")(layers.Concatenate(name="tokens")([x, match]))
    options: dict[str, Any] = {"width": width, "heads": heads, "dropout": dropout}
    encoder = EncoderBlock(convolutions=convolutions, kernel=kernel, **options, name="encoder")
    x = encoder(x, mask=mask, segments=segments)
    x = ContextQueryAttention(name="attention")(x, mask=mask, segments=segments)
    x = layers.Dense(width, name="model_projection")(x)
    stack = [
        EncoderBlock(
            convolutions=block_convolutions, kernel=block_kernel, **options, name=f"block{index}"
        )
        for index in range(1, blocks + 1)
    ]
    read = []
    for _ in range(3):
        for block in stack:
            x = block(x, mask=mask, segments=segments)
        read.append(x)
    logits = [
        layers.Dense(1, dtype="float32", name=name)(
            layers.Concatenate(name=f"{name}_features")([read[0], other])
        )
        for name, other in (("start", read[1]), ("end", read[2]))
    ]
    return keras.Model(
        inputs, layers.Concatenate(dtype="float32", name="logits")(logits), name="qanet"
    )


def _sides(mask: Any, segments: Any) -> tuple[Any, Any]:
    """Returns the real tokens before the passage and those of it, bool [batch, time] each."""
    real, passage = ops.cast(mask, "bool"), ops.cast(segments, "bool")
    return ops.logical_and(real, ops.logical_not(passage)), ops.logical_and(real, passage)


@keras.saving.register_keras_serializable(package="architectures")
class ExactMatch(layers.Layer):
    """1 for tokens that occur in the other segment, too, else 0: float [batch, time, 1]."""

    def call(self, token_ids: Any, mask: Any, segments: Any) -> Any:
        question, passage = _sides(mask, segments)
        same = ops.equal(token_ids[:, :, None], token_ids[:, None, :])
        across = ops.logical_or(
            ops.logical_and(question[:, :, None], passage[:, None, :]),
            ops.logical_and(passage[:, :, None], question[:, None, :]),
        )
        found = ops.any(ops.logical_and(same, across), axis=2)
        return ops.cast(found, self.compute_dtype)[:, :, None]

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None


@keras.saving.register_keras_serializable(package="architectures")
class EncoderBlock(layers.Layer):
    """Positions, convolutions, self-attention within a segment, and a feed-forward layer.

    Args:
        width: Features of each token.
        heads: Number of attention heads.
        convolutions: Number of depthwise separable convolutions.
        kernel: Their width in tokens.
        dropout: Dropout rate of what is added in each residual connection.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        convolutions: int,
        kernel: int,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._config = {
            "width": width,
            "heads": heads,
            "convolutions": convolutions,
            "kernel": kernel,
            "dropout": dropout,
        }
        dtype = self.dtype_policy
        self.positions = keras_hub.layers.SinePositionEncoding(dtype=dtype, name="positions")
        self.convolutions = [
            layers.SeparableConv1D(
                width, kernel, padding="same", activation="relu", dtype=dtype, name=f"conv{index}"
            )
            for index in range(1, convolutions + 1)
        ]
        self.attention = layers.MultiHeadAttention(
            heads, width // heads, dtype=dtype, name="attention"
        )
        self.feed_forward = [
            layers.Dense(width, "relu", dtype=dtype, name="feed_forward1"),
            layers.Dense(width, dtype=dtype, name="feed_forward2"),
        ]
        self.norms = [
            layers.LayerNormalization(epsilon=1e-6, dtype=dtype, name=f"norm{index}")
            for index in range(1, convolutions + 3)
        ]
        self.dropout = layers.Dropout(dropout, dtype=dtype, name="dropout")

    def build(self, input_shape: Any, **others: Any) -> None:
        shape = tuple(input_shape)
        for layer in (*self.convolutions, *self.norms, *self.feed_forward):
            layer.build(shape)
        self.attention.build(shape, shape)
        self.built = True

    def call(self, x: Any, mask: Any, segments: Any, training: bool | None = None) -> Any:
        real = ops.cast(mask, "bool")
        visible = ops.cast(real, x.dtype)[:, :, None]
        within = ops.logical_and(
            ops.equal(segments[:, :, None], segments[:, None, :]), real[:, None, :]
        )
        x = x + self.positions(x)
        *norms, attention_norm, feed_forward_norm = self.norms
        for norm, convolution in zip(norms, self.convolutions, strict=True):
            x = x + self.dropout(convolution(norm(x) * visible), training=training)
        y = attention_norm(x)
        y = self.attention(y, y, attention_mask=within, training=training)
        x = x + self.dropout(y, training=training)
        y = feed_forward_norm(x)
        for layer in self.feed_forward:
            y = layer(y)
        return x + self.dropout(y, training=training)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_shape(self, input_shape: Any, *others: Any, **named: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self._config}


@keras.saving.register_keras_serializable(package="architectures")
class ContextQueryAttention(layers.Layer):
    """Attention between passage and question: float [batch, time, f] to [batch, time, 4 f].

    The output is [c; a; c * a; c * b], as above; outside the passage it is undefined.
    """

    def build(self, input_shape: Any, **others: Any) -> None:
        width = input_shape[-1]
        self.context_kernel = self.add_weight((width, 1), name="context_kernel")
        self.query_kernel = self.add_weight((width, 1), name="query_kernel")
        self.product_kernel = self.add_weight((width,), "ones", name="product_kernel")

    def call(self, x: Any, mask: Any, segments: Any) -> Any:
        question, passage = _sides(mask, segments)
        similarity = ops.matmul(x * self.product_kernel, ops.transpose(x, (0, 2, 1)))
        similarity = similarity / ops.sqrt(ops.cast(x.shape[-1], x.dtype))
        similarity += ops.matmul(x, self.context_kernel)
        similarity += ops.transpose(ops.matmul(x, self.query_kernel), (0, 2, 1))
        exact = ops.cast(similarity, "float32")
        over_question = ops.softmax(ops.where(question[:, None, :], exact, _HIDDEN), axis=2)
        over_passage = ops.softmax(ops.where(passage[:, :, None], exact, _HIDDEN), axis=1)
        over_question, over_passage = (
            ops.cast(weights, x.dtype) for weights in (over_question, over_passage)
        )
        asked = ops.matmul(over_question, x)
        back = ops.matmul(over_question, ops.matmul(ops.transpose(over_passage, (0, 2, 1)), x))
        return ops.concatenate([x, asked, x * asked, x * back], axis=-1)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> None:
        return None

    def compute_output_shape(self, input_shape: Any, *others: Any, **named: Any) -> Any:
        return (*input_shape[:-1], 4 * input_shape[-1])
