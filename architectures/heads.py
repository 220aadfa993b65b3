"""Heads on an encoder, for the tasks of the papers in `bert.py`.

Each function takes an encoder and returns a model over the same weights, from the encoder's inputs
to logits, always float32. Layers that a head does not use, such as the pooler in a token
classifier, are not part of its model.

Fine-tuning (Devlin et al. 2019, section 4): `classifier`, `token_classifier`, `span_finder`.
Pre-training: `masked_lm`, alone (RoBERTa, DistilBERT, ELECTRA's generator), with next sentence
(BERT) or with sentence order (ALBERT); `replaced_token_detector` (ELECTRA; `electra.py` trains it).

Kernels are initialized truncated normal, 0.02 (the detector's last one Glorot uniform, as in
ELECTRA's code). Activation and epsilon of a head are those of its encoder's layers: in BERT the
tanh approximation of GELU and 1e-12.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import keras_hub
from keras import layers, ops

from architectures.bert import encode, transformer_layers, truncated_normal
from architectures.checks import check_choice, check_counts, check_rates
from architectures.layers import SequencePooling

# Activation of the pooler that the classifier adds, where the encoder has none.
_POOLER_ACTIVATIONS = {"RobertaBackbone": "tanh", "DistilBertBackbone": "relu"}
_SENTENCE_TASKS = ("next_sentence", "sentence_order")


def classifier(
    encoder: keras.Model, *, classes: int, pooling: str = "cls", dropout: float = 0.1
) -> keras.Model:
    """Builds a classifier of texts or text pairs.

    Args:
        encoder: An encoder of `bert.py`.
        classes: Number of classes; 1 for a regression.
        pooling: "cls" for the first token with the published pooler (dense and tanh in BERT,
            ALBERT and RoBERTa, dense and ReLU in DistilBERT, none in ELECTRA); "mean" or "max" for
            pooling over the real tokens.
        dropout: Dropout rate after the pooling.

    Returns:
        A model from the encoder's inputs to logits, float32 [batch, classes].

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts("classifier", classes=[classes])
    check_choice("classifier", "pooling", pooling, ("cls", "mean", "max"))
    if pooling == "cls":
        pooled = _pooled(encoder)
    else:
        pooling_layer = SequencePooling(pooling, name="pooling")
        pooled = pooling_layer(_hidden(encoder), mask=encoder.input["padding_mask"])
    logits = _logits("classifier", pooled, classes, dropout)
    return keras.Model(encoder.input, logits, name=f"{encoder.name}_classifier")


def token_classifier(encoder: keras.Model, *, labels: int, dropout: float = 0.1) -> keras.Model:
    """Builds a token classifier: one label for each token.

    Args:
        encoder: An encoder of `bert.py`.
        labels: Number of labels.
        dropout: Dropout rate of the hidden states.

    Returns:
        A model from the encoder's inputs to logits, float32 [batch, time, labels]; those of
        padding are undefined.

    Raises:
        ValueError: A hyperparameter is out of range.
    """
    check_counts("token_classifier", labels=[labels])
    logits = _logits("token_classifier", _hidden(encoder), labels, dropout)
    return keras.Model(encoder.input, logits, name=f"{encoder.name}_token_classifier")


def span_finder(encoder: keras.Model) -> keras.Model:
    """Builds an extractive question answering model, which finds the answer's span in the text.

    Args:
        encoder: An encoder of `bert.py`.

    Returns:
        A model from the encoder's inputs to logits {"start", "end"}, each float32 [batch, time],
        over the positions of the answer's first and last token; those of padding are undefined.
    """
    logits = _logits("span_finder", _hidden(encoder), 2, 0.0)
    ends = {"start": logits[:, :, 0], "end": logits[:, :, 1]}
    return keras.Model(encoder.input, ends, name=f"{encoder.name}_span_finder")


def masked_lm(encoder: keras.Model, *, sentence_task: str | None = None) -> keras.Model:
    """Builds a masked language model, which predicts the original tokens at masked positions.

    Hidden states at the masked positions pass a dense layer and a normalization; their products
    with the token embeddings, plus a bias for each token, are the logits. Embedding and output
    layer thus share one variable.

    Args:
        encoder: An encoder of `bert.py`, or an `electra_generator`.
        sentence_task: A second task, computed from the pooler: "next_sentence" (BERT: 0 if the
            second segment follows the first, 1 if it is a random one) or "sentence_order" (ALBERT:
            0 if the two are in order, 1 if they are swapped).

    Returns:
        A model from the encoder's inputs and "mask_positions", int32 [batch, masks], to logits,
        float32 [batch, masks, vocabulary]; with a sentence task to a dict of these, "masked_lm",
        and of that task's logits, float32 [batch, 2], under its name.

    Raises:
        ValueError: The sentence task is unknown, or the encoder has no pooler for it.
    """
    check_choice("masked_lm", "sentence_task", sentence_task, (None, *_SENTENCE_TASKS))
    if sentence_task and not isinstance(encoder.output, dict):
        raise ValueError(
            f"masked_lm: {sentence_task} needs an encoder with a pooler, which {encoder.name} lacks"
        )
    inputs = _with_mask_positions(encoder)
    logits = _masked_lm_logits(encoder, inputs["mask_positions"])
    outputs: Any = logits
    if sentence_task:
        sentence = layers.Dense(
            2, kernel_initializer=truncated_normal(), dtype="float32", name=sentence_task
        )(encoder.output["pooled_output"])
        outputs = {"masked_lm": logits, sentence_task: sentence}
    return keras.Model(inputs, outputs, name=f"{encoder.name}_masked_lm")


def replaced_token_detector(discriminator: keras.Model) -> keras.Model:
    """Builds ELECTRA's discriminator, which detects replaced tokens.

    Args:
        discriminator: An encoder of `bert.py`.

    Returns:
        A model from the encoder's inputs to one logit for each token, float32 [batch, time],
        positive where the token is probably replaced.
    """
    x = _hidden(discriminator)
    x = layers.Dense(
        x.shape[-1],
        transformer_layers(discriminator)[0].activation,
        kernel_initializer=truncated_normal(),
        name="replaced_token_dense",
    )(x)
    x = layers.Dense(
        1, kernel_initializer="glorot_uniform", dtype="float32", name="replaced_token_logit"
    )(x)
    x = layers.Reshape((-1,), dtype="float32", name="replaced_token")(x)
    return keras.Model(discriminator.input, x, name=f"{discriminator.name}_detector")


def _hidden(encoder: keras.Model) -> Any:
    output = encoder.output
    return output["sequence_output"] if isinstance(output, dict) else output


def _pooled(encoder: keras.Model) -> Any:
    """Returns the first token, pooled as in the paper, in RoBERTa and DistilBERT as in the code."""
    kind = type(encoder).__name__
    if isinstance(encoder.output, dict) and kind != "ElectraBackbone":
        return encoder.output["pooled_output"]
    first = _hidden(encoder)[:, 0]
    if kind not in _POOLER_ACTIVATIONS:
        return first
    return layers.Dense(
        first.shape[-1],
        _POOLER_ACTIVATIONS[kind],
        kernel_initializer=truncated_normal(),
        name="pooled_dense",
    )(first)


def _logits(head: str, x: Any, units: int, dropout: float) -> Any:
    check_rates(head, dropout=dropout)
    if dropout:
        x = layers.Dropout(dropout, name="head_dropout")(x)
    return layers.Dense(
        units, kernel_initializer=truncated_normal(), dtype="float32", name="logits"
    )(x)


def _with_mask_positions(encoder: keras.Model) -> dict[str, Any]:
    positions = keras.Input((None,), dtype="int32", name="mask_positions")
    return {**encoder.input, "mask_positions": positions}


def _masked_lm_logits(encoder: keras.Model, mask_positions: Any) -> Any:
    if isinstance(encoder, keras_hub.models.RobertaBackbone | keras_hub.models.DistilBertBackbone):
        # Their token embedding is part of another layer. Only if it is a layer of the graph does it
        # stay tied when the model is saved or cloned.
        hidden, embedding = encode(encoder, encoder.input), encoder.token_embedding
    else:
        hidden, embedding = _hidden(encoder), encoder.get_layer("token_embedding")
    pattern = transformer_layers(encoder)[0]
    x = ops.take_along_axis(hidden, ops.expand_dims(mask_positions, -1), axis=1)
    x = layers.Dense(
        embedding.output_dim,
        pattern.activation,
        kernel_initializer=truncated_normal(),
        name="masked_lm_dense",
    )(x)
    x = layers.LayerNormalization(epsilon=pattern.layer_norm_epsilon, name="masked_lm_norm")(x)
    return _Bias(dtype="float32", name="masked_lm")(embedding(x, reverse=True))


@keras.saving.register_keras_serializable(package="architectures")
class _Bias(layers.Layer):
    """Adds a learned bias to each feature."""

    def build(self, input_shape: Sequence[Any]) -> None:
        self.bias = self.add_weight(name="bias", shape=input_shape[-1:], initializer="zeros")

    def call(self, inputs: Any) -> Any:
        return inputs + self.bias
