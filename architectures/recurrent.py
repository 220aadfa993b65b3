"""Networks for sequences: recurrent cells, and two kinds of memory without recurrence.

With x_t the input and h_t the state of step t, and σ the logistic function:

- "simple" (Elman, "Finding Structure in Time", 1990): h_t = tanh(W x_t + U h_{t-1} + b).
- "lstm" (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000): gates
  f, i, o = σ(W x_t + U h_{t-1} + b), each with its own weights, candidate
  c' = tanh(W x_t + U h_{t-1} + b), c_t = f c_{t-1} + i c', h_t = o tanh(c_t). The bias of the
  forget gate is initialized to 1 (Jozefowicz et al. 2015). Without peepholes.
- "gru" (Cho et al. 2014): z, r = σ(W x_t + U h_{t-1} + b), h' = tanh(W x_t + U (r h_{t-1}) + b)
  and, in Keras, h_t = z h_{t-1} + (1 - z) h'. Papers differ on which of the two terms z
  multiplies; exchanging them negates the weights of z, so both describe the same networks with
  different weights. With `reset_after`, Keras' default and what cuDNN computes, r multiplies the
  product instead, r (U h_{t-1} + b_u), and there is a second bias.
- "hornn", "tapped_delay_line" and "attention_memory" are defined in `layers.py`. The last two only
  mix the steps of a sequence, so each is followed by a dense layer with tanh, as in time-delay
  networks: h_t = tanh(W z_t + b).

Layers are stacked. A bidirectional layer concatenates the states of a forward pass and of a
backward pass, which begins at the last real step.

With `tie_embeddings` the output layer shares the weights of the token embedding (Press & Wolf,
"Using the Output Embedding to Improve Language Models", 2017).

Kinds of mapping: many to one is `output="last"`, "mean", "max" or "attention"; many to many is
`output="sequence"`; one to many is `output="sequence", repeat=steps`, where the network reads the
same vector at each of `steps` steps; one to one is `output="last", repeat=1`.

The mask is an input and is passed to each layer explicitly, not by Keras' implicit mask
propagation. Padding changes no output. Initializers are those of Keras: Glorot uniform for inputs,
orthogonal for states. Dropout is not applied to recurrent connections (Zaremba et al., "Recurrent
Neural Network Regularization", 2014).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers

from architectures.checks import check_choice, check_counts, check_rates
from architectures.layers import (
    POOLINGS,
    TAPS,
    VARIANTS,
    AttentionMemory,
    AttentionPooling,
    HigherOrderRNNCell,
    SequencePooling,
    TappedDelayLine,
)

# Options of each cell, with their defaults.
_OPTIONS: dict[str, dict[str, Any]] = {
    "simple": {},
    "lstm": {"use_cudnn": False},
    "gru": {"reset_after": True, "use_cudnn": False},
    "hornn": {"order": 3, "variant": "plain", "forgetting": 0.6},
    "tapped_delay_line": {"length": 8, "taps": "vector"},
    "attention_memory": {"key_dim": 64},
}
_MEMORIES = {"tapped_delay_line": TappedDelayLine, "attention_memory": AttentionMemory}
_CELLS = {
    "simple": layers.SimpleRNN,
    "lstm": partial(layers.LSTM, unit_forget_bias=True),
    "gru": layers.GRU,
}


@keras.saving.register_keras_serializable(package="architectures")
class TiedEmbedding(layers.ReversibleEmbedding):
    """A reversible embedding, from tokens to vectors and from features to logits, that allows
    masks."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.supports_masking = True


@keras.saving.register_keras_serializable(package="architectures")
class OutputBias(layers.Layer):
    """Adds a learned bias to each logit, as the output layer of tied embeddings."""

    def build(self, input_shape: Sequence[Any]) -> None:
        self.bias = self.add_weight((input_shape[-1],), "zeros", name="bias")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias


def recurrent(
    cell: str = "lstm",
    *,
    outputs: int,
    vocabulary: int | None = None,
    input_size: int | None = None,
    embedding: int = 64,
    tie_embeddings: bool = False,
    units: Sequence[int] = (64,),
    bidirectional: bool = False,
    output: str = "last",
    repeat: int | None = None,
    dropout: float = 0.0,
    reset_after: bool | None = None,
    use_cudnn: bool | str | None = None,
    order: int | None = None,
    variant: str | None = None,
    forgetting: float | None = None,
    length: int | None = None,
    taps: str | None = None,
    key_dim: int | None = None,
) -> keras.Model:
    """Builds a network that reads sequences of any length.

    Args:
        cell: "simple", "lstm", "gru", "hornn", "tapped_delay_line" or "attention_memory".
        outputs: Number of logits per sequence or, with output="sequence", per step.
        vocabulary: Number of tokens, for a network that reads tokens.
        input_size: Features per step, for a network that reads features. Exactly one of
            `vocabulary` and `input_size` is required.
        embedding: Size of a token's vector.
        tie_embeddings: Whether the output layer shares the weights of the embedding. Requires
            outputs == vocabulary, and a last layer as wide as the embedding.
        units: Units of the layers, from input to output.
        bidirectional: Whether each layer also reads backward, with the same number of units; only
            for recurrent cells.
        output: "last" for the last real step, in a bidirectional network the last one of each
            direction; "mean", "max" or "attention" for pooling over the real steps; "sequence" for
            each step, where outputs at padding are undefined.
        repeat: Number of steps for which one feature vector is repeated; the input then has no time
            axis and no mask.
        dropout: Dropout rate after the embedding and after each layer.
        reset_after: For gru: whether the reset gate r is applied after the product, True by
            default.
        use_cudnn: For lstm and gru: False, the default, traces a loop that runs on any device and
            that XLA can compile; True traces a cuDNN operation, which is much faster, but runs only
            on GPUs, cannot be compiled by XLA and requires padding at the end of non-empty
            sequences; "auto" depends on the machine that traces the graph. The weights are the
            same.
        order: For hornn: number of past states, 3 by default.
        variant: For hornn: "plain" by default, "max", "fofe" or "gated".
        forgetting: For hornn with the variant fofe: forgetting factor in (0, 1), 0.6 by default.
        length: For tapped_delay_line: number of taps, 8 by default.
        taps: For tapped_delay_line: "scalar", "vector" by default, or "matrix".
        key_dim: For attention_memory: size of queries and keys, 64 by default.

    Returns:
        A model to logits, float32 [batch, outputs] or [batch, time, outputs], from a dict of
        "token_ids", int32 [batch, time], or "features", float32 [batch, time, input_size], and
        "padding_mask", int32 [batch, time], 1 at real steps and 0 at padding; with `repeat` from a
        dict of "features", float32 [batch, input_size].

    Raises:
        ValueError: A hyperparameter is out of range, or is not an option of the cell.
    """
    check_choice("recurrent", "cell", cell, _OPTIONS)
    options = _options(
        cell,
        reset_after=reset_after,
        use_cudnn=use_cudnn,
        order=order,
        variant=variant,
        forgetting=forgetting,
        length=length,
        taps=taps,
        key_dim=key_dim,
    )
    check_counts("recurrent", outputs=[outputs], embedding=[embedding], units=units)
    check_choice("recurrent", "output", output, (*POOLINGS, "attention", "sequence"))
    check_rates("recurrent", dropout=dropout)
    if not units:
        raise ValueError("recurrent: units needs at least one layer")
    if bidirectional and cell in _MEMORIES:
        raise ValueError(f"recurrent: bidirectional is for recurrent cells, not for {cell}")

    if tie_embeddings and (outputs != vocabulary or embedding != units[-1] or bidirectional):
        raise ValueError(
            "recurrent: tie_embeddings needs one direction, as many outputs as tokens, and an "
            "embedding as wide as the last layer"
        )

    inputs, x, mask, table = _inputs(vocabulary, input_size, embedding, repeat, tie_embeddings)
    if dropout and vocabulary:
        x = layers.Dropout(dropout, name="token_embedding_dropout")(x)
    for index, width in enumerate(units, 1):
        name = f"{cell}{index}"
        if cell in _MEMORIES:
            x = _MEMORIES[cell](**options, name=name)(x, mask=mask)
            x = layers.Dense(
                width, "tanh", kernel_initializer="glorot_uniform", name=f"dense{index}"
            )(x)
        else:
            # The directions end at different steps, so the top layer itself returns its last state.
            steps = index < len(units) or output != "last"
            layer = _recurrent_layer(cell, width, options, return_sequences=steps, name=name)
            if bidirectional:
                layer = layers.Bidirectional(layer, merge_mode="concat", name=name)
            x = layer(x, mask=mask)
        if dropout:
            x = layers.Dropout(dropout, name=f"{name}_dropout")(x)

    if output == "attention":
        x = AttentionPooling(x.shape[-1], name="pooling")(x, mask=mask)
    elif output != "sequence" and len(x.shape) == 3:
        x = SequencePooling(output, name="pooling")(x, mask=mask)
    if tie_embeddings:
        x = table(x, reverse=True)
        logits = OutputBias(dtype="float32", name="logits")(x)
    else:
        logits = layers.Dense(
            outputs, kernel_initializer="glorot_uniform", dtype="float32", name="logits"
        )(x)
    return keras.Model(inputs, logits, name="recurrent")


def _inputs(
    vocabulary: int | None, input_size: int | None, embedding: int, repeat: int | None, tied: bool
) -> tuple[dict[str, Any], Any, Any, Any]:
    """Returns the inputs, the sequence [batch, time, features], its mask and the embedding.

    Mask and embedding are None where there is none.
    """
    if (vocabulary is None) == (input_size is None):
        raise ValueError("recurrent: give either vocabulary, to read tokens, or input_size")
    if repeat is not None:
        if vocabulary is not None:
            raise ValueError("recurrent: repeat is for features, not for tokens")
        check_counts("recurrent", input_size=[input_size], repeat=[repeat])
        features = keras.Input((input_size,), dtype="float32", name="features")
        return (
            {"features": features},
            layers.RepeatVector(repeat, name="repeat")(features),
            None,
            None,
        )

    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    if vocabulary is None:
        check_counts("recurrent", input_size=[input_size])
        features = keras.Input((None, input_size), dtype="float32", name="features")
        return {"features": features, "padding_mask": mask}, features, mask, None
    check_counts("recurrent", vocabulary=[vocabulary])
    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    name = "token_embedding"
    if tied:
        # As in Zaremba et al., and twice Keras' default, since the output layer shares the weights.
        initializer = keras.initializers.RandomUniform(-0.1, 0.1)
        table: layers.Embedding = TiedEmbedding(
            vocabulary,
            embedding,
            embeddings_initializer=initializer,
            reverse_dtype="float32",
            name=name,
        )
    else:
        table = layers.Embedding(vocabulary, embedding, embeddings_initializer="uniform", name=name)
    return {"token_ids": token_ids, "padding_mask": mask}, table(token_ids), mask, table


def _recurrent_layer(
    cell: str, units: int, options: Mapping[str, Any], **arguments: Any
) -> layers.Layer:
    if cell == "hornn":
        return layers.RNN(HigherOrderRNNCell(units, activation="tanh", **options), **arguments)
    return _CELLS[cell](
        units,
        activation="tanh",
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        **options,
        **arguments,
    )


def _options(cell: str, **values: Any) -> dict[str, Any]:
    """Returns the options of the cell: its defaults, overridden by values that are not None.

    Raises:
        ValueError: A value is out of range, or an option is one of another cell.
    """
    options = {**_OPTIONS[cell]}
    for option, value in values.items():
        if value is None:
            continue
        if option not in options:
            owners = " and ".join(owner for owner in _OPTIONS if option in _OPTIONS[owner])
            raise ValueError(f"recurrent: {option} belongs to {owners}, not to {cell}")
        options[option] = value
    for option in options.keys() & {"order", "length", "key_dim"}:
        check_counts("recurrent", **{option: [options[option]]})
    for option, allowed in (
        ("variant", VARIANTS),
        ("taps", TAPS),
        ("reset_after", (True, False)),
        ("use_cudnn", (True, False, "auto")),
    ):
        if option in options:
            check_choice("recurrent", option, options[option], allowed)
    forgetting = options.get("forgetting", 0.5)
    if values["forgetting"] is not None and options["variant"] != "fofe":
        raise ValueError(
            f"recurrent: forgetting belongs to the variant fofe, not to {options['variant']}"
        )
    if not isinstance(forgetting, float) or not 0 < forgetting < 1:
        raise ValueError(f"recurrent: forgetting must be a number in (0, 1), not {forgetting!r}")
    if options.get("use_cudnn") is True and options.get("reset_after") is False:
        raise ValueError("recurrent: use_cudnn=True needs reset_after=True, which cuDNN computes")
    return options
