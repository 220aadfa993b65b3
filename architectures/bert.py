"""Bidirectional Transformer encoders: BERT and four variants of it.

- BERT: Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
  Understanding", 2019; the sizes below base: Turc et al., "Well-Read Students Learn Better", 2019.
- RoBERTa: Liu et al., 2019. No segments; trained longer, with the masked-LM loss only.
- ALBERT: Lan et al., 2020. One layer applied repeatedly, and a narrow embedding that a projection
  widens: a tenth of the parameters, the same computation. Dropout as in version 2.
- DistilBERT: Sanh et al., 2019. Half the layers, no segments; distilled from BERT.
- ELECTRA: Clark et al., 2020. A discriminator that detects the tokens a small generator replaced.

Token, position and segment embeddings are added and normalized. Layers of self-attention and a
feed-forward network follow, each with a residual connection and normalization after it. The
networks are keras_hub's backbones, with the published initialization (truncated normal, 0.02),
epsilon (1e-12; RoBERTa 1e-5) and activation (the tanh approximation of GELU; exact in RoBERTa and
DistilBERT).
They differ from the published code in three places: RoBERTa lacks two positions that are never used
and a segment embedding with one segment; ELECTRA has BERT's pooler, which the heads here leave out;
and ELECTRA uses the approximation of GELU where its code uses the exact one.

Inputs are int32 [batch, time]: "token_ids", "padding_mask" (1 at real tokens) and, where there are
segments, "segment_ids". RoBERTa and DistilBERT return hidden states [batch, time, width]; the
others a dict of the hidden states, "sequence_output", and of the pooled first token,
"pooled_output", [batch, width]. `heads.py` has the heads for tasks; `attention_maps` in
`attention.py` returns the attention weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

import keras
import keras_hub
from keras import layers

from architectures.checks import check_choice, check_counts, check_rates
from architectures.signatures import no_hyperparameter

# Names of the hyperparameters in keras_hub, in the order of the sizes below.
_NAMES = {
    "layers": "num_layers",
    "heads": "num_heads",
    "width": "hidden_dim",
    "feed_forward": "intermediate_dim",
    "embedding": "embedding_dim",
    "dropout": "dropout",
    "max_length": "max_sequence_length",
}


def _sizes(**rows: tuple[int, ...]) -> dict[str, dict[str, int]]:
    return {size: dict(zip(_NAMES, row, strict=False)) for size, row in rows.items()}


class Overrides(TypedDict, total=False):
    """Hyperparameters that may differ from those of a size.

    Attributes:
        layers: Number of layers.
        heads: Attention heads per layer.
        width: Features of a hidden state, a multiple of `heads`.
        feed_forward: Inner features of the feed-forward networks.
        dropout: Dropout rate after embeddings and sublayers and of attention weights.
        max_length: Number of positions.
    """

    layers: int
    heads: int
    width: int
    feed_forward: int
    dropout: float
    max_length: int


class FactorizedOverrides(Overrides, total=False):
    """Those of encoders whose embedding has a width of its own.

    Attributes:
        embedding: Width of an embedding.
    """

    embedding: int


_BERT = _sizes(
    tiny=(2, 2, 128, 512),
    mini=(4, 4, 256, 1024),
    small=(4, 8, 512, 2048),
    medium=(8, 8, 512, 2048),
    base=(12, 12, 768, 3072),
    large=(24, 16, 1024, 4096),
)
_ROBERTA = {size: _BERT[size] for size in ("base", "large")}
_DISTILBERT = _sizes(base=(6, 12, 768, 3072))
_ALBERT = _sizes(
    base=(12, 12, 768, 3072, 128),
    large=(24, 16, 1024, 4096, 128),
    xlarge=(24, 16, 2048, 8192, 128),
    xxlarge=(12, 64, 4096, 16384, 128),
)
# The generators are those of the published weights, where small's is as large as small itself.
_ELECTRA = _sizes(
    small=(12, 4, 256, 1024, 128),
    base=(12, 12, 768, 3072, 768),
    large=(24, 16, 1024, 4096, 1024),
    small_generator=(12, 4, 256, 1024, 128),
    base_generator=(12, 4, 256, 1024, 768),
    large_generator=(24, 4, 256, 1024, 1024),
)


def bert(
    size: str = "base", *, vocabulary: int = 30522, **overrides: Unpack[Overrides]
) -> keras_hub.models.BertBackbone:
    """Builds a BERT encoder.

    Args:
        size: "tiny", "mini", "small", "medium", "base" or "large".
        vocabulary: Number of tokens; 30522 in the uncased and 28996 in the cased publications.
        **overrides: Hyperparameters that differ from those of the size, see `Overrides`.

    Returns:
        The encoder; its inputs and outputs are described above.

    Raises:
        ValueError: A hyperparameter is unknown or out of range.
    """
    config = _config("bert", _BERT, size, vocabulary, overrides)
    return keras_hub.models.BertBackbone(vocabulary_size=vocabulary, name="bert", **config)


def roberta(
    size: str = "base", *, vocabulary: int = 50265, **overrides: Unpack[Overrides]
) -> keras_hub.models.RobertaBackbone:
    """Builds a RoBERTa encoder, "base" or "large"; the arguments are those of `bert`."""
    config = _config("roberta", _ROBERTA, size, vocabulary, overrides)
    return keras_hub.models.RobertaBackbone(vocabulary_size=vocabulary, name="roberta", **config)


def albert(
    size: str = "base", *, vocabulary: int = 30000, **overrides: Unpack[FactorizedOverrides]
) -> keras_hub.models.AlbertBackbone:
    """Builds an ALBERT encoder, "base", "large", "xlarge" or "xxlarge".

    The arguments are those of `bert`, and `embedding`, see `FactorizedOverrides`.
    """
    config = _config("albert", _ALBERT, size, vocabulary, {"dropout": 0.0, **overrides})
    return keras_hub.models.AlbertBackbone(vocabulary_size=vocabulary, name="albert", **config)


def distilbert(
    size: str = "base", *, vocabulary: int = 30522, **overrides: Unpack[Overrides]
) -> keras_hub.models.DistilBertBackbone:
    """Builds a DistilBERT encoder, "base"; the arguments are those of `bert`."""
    config = _config("distilbert", _DISTILBERT, size, vocabulary, overrides)
    return keras_hub.models.DistilBertBackbone(
        vocabulary_size=vocabulary, name="distilbert", **config
    )


def electra(
    size: str = "base", *, vocabulary: int = 30522, **overrides: Unpack[FactorizedOverrides]
) -> keras_hub.models.ElectraBackbone:
    """Builds an ELECTRA encoder: "small", "base" or "large", or the generator of one of them.

    The generators are "small_generator", "base_generator" and "large_generator", each with its own
    embeddings; `electra.py` builds a generator that shares them with its discriminator. The
    arguments are those of `bert`, and `embedding`, the width of an embedding.
    """
    config = _config("electra", _ELECTRA, size, vocabulary, overrides)
    return keras_hub.models.ElectraBackbone(vocab_size=vocabulary, name="electra", **config)


def embed(encoder: keras.Model, inputs: Mapping[str, Any]) -> Any:
    """Applies an encoder's embeddings and their normalization to new inputs.

    Args:
        encoder: An encoder of this module, or a model over it.
        inputs: Symbolic inputs by name, as the encoder's own.

    Returns:
        Symbolic [batch, time, embedding].
    """
    named = {layer.name: layer for layer in encoder.layers}
    tokens, positions = embedding_layers(named)
    embedded = tokens(inputs["token_ids"])
    parts = [embedded, positions(embedded)]
    if "segment_embedding" in named:
        parts.append(named["segment_embedding"](inputs["segment_ids"]))
    add = named.get("embeddings_add") or layers.Add(name="embeddings_add")
    return named["embeddings_dropout"](named["embeddings_layer_norm"](add(parts)))


def encode(encoder: keras.Model, inputs: Mapping[str, Any]) -> Any:
    """Applies an encoder's embeddings and layers to new inputs.

    The layers become part of the new graph one by one, so that a model over it can be saved and
    cloned with everything that is shared. Not for ALBERT, whose single layer does not record how
    often it is applied. The arguments are those of `embed`.

    Returns:
        Symbolic hidden states [batch, time, width].
    """
    x = embed(encoder, inputs)
    for layer in encoder.layers:
        if layer.name == "embeddings_projection":
            x = layer(x)
        elif isinstance(layer, keras_hub.layers.TransformerEncoder):
            x = layer(x, padding_mask=inputs["padding_mask"])
    return x


def transformer_layers(encoder: keras.Model) -> list[keras_hub.layers.TransformerEncoder]:
    """Returns the Transformer layers of an encoder, or of a model over it, in graph order."""
    kind = keras_hub.layers.TransformerEncoder
    return [layer for layer in encoder.layers if isinstance(layer, kind)]


def inherit(student: keras.Model, teacher: keras.Model) -> None:
    """Initializes a student from its teacher: embeddings, evenly spaced layers and shared heads.

    Sanh et al., "DistilBERT, a distilled version of BERT", 2019, section 3, take every other layer
    of the teacher. Segment embeddings, which DistilBERT lacks, are not copied.

    Args:
        student: An encoder of this module, or a model with a head on one; its weights change.
        teacher: The same with equal width and at least as many layers.

    Raises:
        ValueError: The two are not encoders, or their sizes do not match.
    """
    own, others = transformer_layers(student), transformer_layers(teacher)
    if not own or not others:
        raise ValueError("inherit: student and teacher must be encoders of BERT's family")
    if len(own) > len(others):
        raise ValueError(
            f"inherit: the student must not have more layers than the teacher's {len(others)}, "
            f"and has {len(own)}"
        )
    targets, sources = ({x.name: x for x in model.layers} for model in (student, teacher))
    pairs = [(layer, others[i * len(others) // len(own)]) for i, layer in enumerate(own)]
    pairs += zip(embedding_layers(targets), embedding_layers(sources), strict=True)
    done = {id(layer) for layer, _ in pairs} | {id(layer) for layer in own}
    both = {"embeddings", "token_and_position_embedding", "token_embedding", "position_embedding"}
    pairs += [
        (targets[name], sources[name])
        for name in sorted(targets.keys() & sources.keys() - both)
        if id(targets[name]) not in done
    ]
    for layer, source in pairs:
        shapes = [[w.shape for w in part.weights] for part in (layer, source)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"inherit: {layer.name} of the student has weights {shapes[0]}, the teacher's "
                f"{shapes[1]}"
            )
    for layer, source in pairs:
        layer.set_weights(source.get_weights())


def embedding_layers(named: Mapping[str, layers.Layer]) -> tuple[layers.Layer, layers.Layer]:
    """Returns the token and position embedding among an encoder's layers by name."""
    # RoBERTa and DistilBERT hold both in one layer.
    both = named.get("embeddings") or named.get("token_and_position_embedding")
    if both:
        return both.token_embedding, both.position_embedding
    return named["token_embedding"], named["position_embedding"]


def hyperparameters(encoder: keras.Model) -> dict[str, Any]:
    """Returns the hyperparameters of a built or loaded encoder, by their names here."""
    config = encoder.get_config()
    return {name: config[theirs] for name, theirs in _NAMES.items() if theirs in config}


def truncated_normal() -> keras.initializers.Initializer:
    """Returns a new instance of the published initializer of kernels and embeddings."""
    return keras.initializers.TruncatedNormal(stddev=0.02)


def _config(
    builder: str,
    sizes: Mapping[str, Mapping[str, int]],
    size: str,
    vocabulary: int,
    overrides: Mapping[str, Any],
) -> dict[str, Any]:
    """Returns keras_hub's arguments; raises ValueError for a wrong hyperparameter."""
    check_choice(builder, "size", size, sizes)
    config: dict[str, Any] = {"dropout": 0.1, "max_length": 512, **sizes[size]}
    for option in overrides:
        if option not in config:
            raise ValueError(no_hyperparameter(builder, option, {"size", "vocabulary", *config}))
    config.update(overrides)
    counts = {option: [value] for option, value in config.items() if option != "dropout"}
    check_counts(builder, vocabulary=[vocabulary], **counts)
    check_rates(builder, dropout=config["dropout"])
    if config["width"] % config["heads"]:
        raise ValueError(
            f"{builder}: heads must divide the width, which is {config['width']}, and "
            f"{config['heads']} do not"
        )
    return {_NAMES[option]: value for option, value in config.items()}
