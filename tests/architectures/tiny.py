"""A tiny configuration of every builder, with its parameters counted by hand."""

from __future__ import annotations

import numpy as np

from architectures.testing import SmallModel


def _images(height: int, width: int, channels: int):
    def images(batch: int, random: np.random.Generator) -> np.ndarray:
        return random.uniform(size=(batch, height, width, channels)).astype("float32")

    return images


def _features(size: int):
    return lambda batch, random: random.normal(size=(batch, size)).astype("float32")


def _tokens(vocabulary: int, *sides: str, segments: bool = False):
    """Sequences of seven tokens and fewer; inputs are called after their side, if there are two."""

    def tokens(batch: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        inputs = {}
        for side in sides or ("",):
            ids = f"{side}_ids" if side else "token_ids"
            mask = f"{side}_padding_mask" if side else "padding_mask"
            lengths = random.integers(4, 8, size=(batch, 1))
            inputs[ids] = random.integers(0, vocabulary, size=(batch, 7)).astype("int32")
            inputs[mask] = (np.arange(7) < lengths).astype("int32")
        if segments:
            inputs["segment_ids"] = random.integers(0, 2, size=(batch, 7)).astype("int32")
        return inputs

    return tokens


def _captioned(vocabulary: int, *shape: int):
    def captioned(batch: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        images = {"images": random.uniform(size=(batch, *shape)).astype("float32")}
        return images | _tokens(vocabulary, "target")(batch, random)

    return captioned


def _sequences(size: int):
    def sequences(batch: int, random: np.random.Generator) -> dict[str, np.ndarray]:
        lengths = random.integers(4, 8, size=(batch, 1))
        return {
            "features": random.normal(size=(batch, 7, size)).astype("float32"),
            "padding_mask": (np.arange(7) < lengths).astype("int32"),
        }

    return sequences


# Of width 8: four maps of an attention; a layer of one, a feed-forward network of 12, two norms.
_ATTENTION = 4 * (8 * 8 + 8)
_LAYER = _ATTENTION + (8 * 12 + 12) + (12 * 8 + 8) + 2 * 2 * 8

# Two convolutions from two channels to three and four, without bias, each with its normalization.
_ENCODER = (2 * 9 * 3 + 4 * 3) + (3 * 9 * 4 + 4 * 4)


def _recurrent_layers(i: int, u: int):
    """Yields (name, parameters of the layer, options) for i inputs and u units."""
    yield "simple_rnn", i * u + u * u + u, {}
    yield "lstm", 4 * (i * u + u * u + u), {}
    yield "gru", 3 * (i * u + u * u + 2 * u), {}
    yield "gru", 3 * (i * u + u * u + u), {"reset_after": False}
    for variant in ("plain", "max", "fofe"):
        yield "hornn", i * u + 2 * u * u + u, {"order": 2, "variant": variant}
    # A gate on each path, from the input and from the state before.
    yield (
        "hornn",
        i * u + 3 * u * u + u + 3 * (i * u + u * u),
        {"order": 3, "variant": "gated"},
    )
    dense = i * u + u
    yield "tapped_delay_line", 3 + dense, {"length": 3, "taps": "scalar"}
    yield "tapped_delay_line", 3 * i + dense, {"length": 3, "taps": "vector"}
    yield "tapped_delay_line", 3 * i * i + dense, {"length": 3, "taps": "matrix"}
    # Maps to queries and to keys of four features.
    yield "attention_memory", 2 * i * 4 + dense, {"key_dim": 4}


TINY: tuple[SmallModel, ...] = (
    SmallModel(
        "mlp",
        {"classes": 3, "input_shape": (5,), "units": (7, 6), "dropout": 0.0},
        parameters=(5 * 7 + 7) + (7 * 6 + 6) + (6 * 3 + 3),
        inputs=_features(5),
        output_shape=(3,),
    ),
    SmallModel(
        "convnet",
        {
            "classes": 3,
            "input_shape": (8, 6, 2),
            "filters": (4, 5),
            "convolutions": (1, 2),
            "stage_dropout": 0.0,
            "units": (7,),
            "dropout": 0.0,
        },
        parameters=sum(
            (
                2 * 9 * 4 + 4 * 4,  # conv1_1 and its normalization
                4 * 9 * 5 + 4 * 5,  # conv2_1
                5 * 9 * 5 + 4 * 5,  # conv2_2
                (2 * 1 * 5) * 7 + 7,  # dense1 on an 8x6 image that was halved twice
                7 * 3 + 3,  # logits
            )
        ),
        inputs=_images(8, 6, 2),
        output_shape=(3,),
    ),
    *(
        SmallModel(
            name,
            {"depth": 8, "stem": "cifar", "classes": 3, "input_shape": (8, 12, 2)},
            parameters=sum(
                (
                    2 * 9 * 16 + 4 * 16,  # conv1 and its normalization
                    2 * (16 * 9 * 16 + 4 * 16),  # the first block keeps its width
                    16 * 9 * 32 + 32 * 9 * 32 + 8 * 32,
                    32 * 9 * 64 + 64 * 9 * 64 + 8 * 64,
                    64 * 3 + 3,
                    extra,
                )
            ),
            inputs=_images(8, 12, 2),
            output_shape=(3,),
        )
        for name, extra in (
            ("resnet20", 0),
            ("plain20", 0),
            # Two projections, with their normalizations.
            ("resnet18", 16 * 32 + 4 * 32 + 32 * 64 + 4 * 64),
            # Projections without; no norm ends a block, one opens all but the first, one ends all.
            ("resnet50_v2", 16 * 32 + 32 * 64 + 4 * (16 + 32 + 64) - 4 * (16 + 32 + 64)),
        )
    ),
    *(
        SmallModel(
            "unet",
            {
                "classes": 3,
                "input_shape": (side, side, 1),
                "filters": 4,
                "depth": 2,
                "padding": padding,
                "dropout": 0.0,
            },
            parameters=sum(
                (
                    (1 * 9 * 4 + 4) + (4 * 9 * 4 + 4),
                    (4 * 9 * 8 + 8) + (8 * 9 * 8 + 8),
                    (8 * 9 * 16 + 16) + (16 * 9 * 16 + 16),
                    (16 * 4 * 8 + 8) + (16 * 9 * 8 + 8) + (8 * 9 * 8 + 8),
                    (8 * 4 * 4 + 4) + (8 * 9 * 4 + 4) + (4 * 9 * 4 + 4),
                    4 * 3 + 3,
                )
            ),
            inputs=_images(side, side, 1),
            output_shape=(size, size, 3),
        )
        for padding, side, size in (("same", 8, 8), ("valid", 44, 4))
    ),
    SmallModel(
        "resnet18_unet",
        {"classes": 3, "input_shape": (32, 32, 2), "filters": (6, 5, 4, 3, 2), "width": 2},
        parameters=sum(
            (
                2 * 49 * 2 + 4 * 2,  # conv1 and its normalization
                # The first stage keeps its width; the others double it and have a projection.
                4 * (9 * 2 * 2 + 4 * 2),
                (9 * 2 * 4 + 4 * 4) + 3 * (9 * 4 * 4 + 4 * 4) + (2 * 4 + 4 * 4),
                (9 * 4 * 8 + 4 * 8) + 3 * (9 * 8 * 8 + 4 * 8) + (4 * 8 + 4 * 8),
                (9 * 8 * 16 + 4 * 16) + 3 * (9 * 16 * 16 + 4 * 16) + (8 * 16 + 4 * 16),
                # Each level: what is below and the skip connection, then its own width.
                (9 * (16 + 8) * 6 + 4 * 6) + (9 * 6 * 6 + 4 * 6),
                (9 * (6 + 4) * 5 + 4 * 5) + (9 * 5 * 5 + 4 * 5),
                (9 * (5 + 2) * 4 + 4 * 4) + (9 * 4 * 4 + 4 * 4),
                (9 * (4 + 2) * 3 + 4 * 3) + (9 * 3 * 3 + 4 * 3),
                (9 * 3 * 2 + 4 * 2) + (9 * 2 * 2 + 4 * 2),
                9 * 2 * 3 + 3,
            )
        ),
        inputs=_images(32, 32, 2),
        output_shape=(32, 32, 3),
    ),
    SmallModel(
        "fasttext",
        {"outputs": 3, "vocabulary": 9, "embedding": 4, "ngrams": 3, "buckets": 11},
        parameters=9 * 4 + 11 * 4 + (4 * 3 + 3),
        inputs=_tokens(9),
        output_shape=(3,),
    ),
    SmallModel(
        "bidaf",
        {"vocabulary": 9, "embedding": 3, "units": 2, "modeling": 2, "dropout": 0.0},
        parameters=sum(
            (
                9 * 3,  # Tokens.
                # Two directions of four gates each: of tokens with the flag, of the attention, of
                # the modeling layer, of that again.
                *(2 * 4 * (2 * (read + 2) + 2) for read in (3 + 1, 4 * 4, 4, 4)),
                3 * 4,  # Similarity.
                2 * (4 * 4 + 4 + 1),  # Logits of start and end.
            )
        ),
        inputs=_tokens(9, segments=True),
        output_shape=(7, 2),
    ),
    SmallModel(
        "qanet",
        {
            "vocabulary": 9,
            "width": 8,
            "heads": 2,
            "convolutions": 1,
            "kernel": 3,
            "blocks": 1,
            "block_convolutions": 1,
            "block_kernel": 3,
            "dropout": 0.0,
        },
        parameters=sum(
            (
                9 * 8 + (9 * 8 + 8),  # Tokens, and their projection with the flag.
                # A convolution, an attention, a feed-forward network and three norms, twice.
                2 * ((3 * 8 + 8 * 8 + 8) + _ATTENTION + 2 * (8 * 8 + 8) + 3 * 2 * 8),
                3 * 8,  # Similarity.
                4 * 8 * 8 + 8,  # Into the model encoder.
                2 * (2 * 8 + 1),  # Logits of start and end.
            )
        ),
        inputs=_tokens(9, segments=True),
        output_shape=(7, 2),
    ),
    SmallModel(
        "word_convnet",
        {
            "outputs": 3,
            "vocabulary": 11,
            "embedding": 5,
            "filters": 4,
            "widths": (2, 3),
            "dropout": 0.0,
        },
        parameters=11 * 5 + (2 * 5 * 4 + 4) + (3 * 5 * 4 + 4) + (8 * 3 + 3),
        inputs=_tokens(11),
        output_shape=(3,),
    ),
    *(
        SmallModel(
            name,
            {
                "outputs": 3,
                "vocabulary": 11,
                "embedding": 5,
                "units": (6,),
                "output": "attention",
                **options,
            },
            # The embedding, the layer, the query and projection of the pooling, and the logits.
            parameters=11 * 5 + layer + (6 * 6 + 6 + 6) + (6 * 3 + 3),
            inputs=_tokens(11),
            output_shape=(3,),
        )
        for name, layer, options in _recurrent_layers(5, 6)
    ),
    SmallModel(
        "bilstm",
        {"outputs": 2, "input_size": 3, "units": (6, 5), "output": "sequence"},
        parameters=2 * 4 * (3 * 6 + 6 * 6 + 6) + 2 * 4 * (12 * 5 + 5 * 5 + 5) + (10 * 2 + 2),
        inputs=_sequences(3),
        output_shape=(7, 2),
    ),
    SmallModel(
        "bigru",
        {"outputs": 2, "input_size": 3, "units": (6,), "output": "last"},
        parameters=2 * 3 * (3 * 6 + 6 * 6 + 2 * 6) + (12 * 2 + 2),
        inputs=_sequences(3),
        output_shape=(2,),
    ),
    SmallModel(
        "transformer_base",
        {
            "source_vocabulary": 11,
            "target_vocabulary": 11,
            "layers": 1,
            "dropout": 0.0,
            "heads": 2,
            "width": 8,
            "feed_forward": 12,
        },
        # One table, a layer of the encoder, and one of the decoder with a second attention.
        parameters=11 * 8 + _LAYER + (_LAYER + _ATTENTION + 2 * 8),
        inputs=_tokens(11, "source", "target"),
        output_shape=(7, 11),
    ),
    SmallModel(
        "lstm_seq2seq",
        {
            "source_vocabulary": 11,
            "target_vocabulary": 11,
            "embedding": 5,
            "units": 6,
            "layers": 2,
            "dropout": 0.0,
        },
        parameters=sum(
            (
                2 * 11 * 5,
                2 * 4 * (5 * 3 + 3 * 3 + 3) + 2 * 4 * (6 * 3 + 3 * 3 + 3),  # two directions
                4 * (5 * 6 + 6 * 6 + 6) + 4 * (6 * 6 + 6 * 6 + 6),
                6 * 6 + 12 * 6 + 6 * 11,  # W_a, W_c and W_s
            )
        ),
        inputs=_tokens(11, "source", "target"),
        output_shape=(7, 11),
    ),
    SmallModel(
        "cnn_lstm_captioner",
        {
            "vocabulary": 11,
            "input_shape": (8, 12, 2),
            "filters": (3, 4),
            "width": 5,
            "embedding": 6,
            "units": 7,
            "dropout": 0.0,
        },
        # Six places; f_init twice, keys, query, score and gate of the attention; the LSTM.
        parameters=sum(
            (
                _ENCODER + (4 * 5 + 5) + 6 * 5,
                11 * 6,
                3 * (5 * 7 + 7) + 7 * 7 + 7 + (7 + 1),
                4 * ((6 + 5) * 7 + 7 * 7 + 7),
                ((7 + 5) * 6 + 6) + (6 * 11 + 11),
            )
        ),
        inputs=_captioned(11, 8, 12, 2),
        output_shape=(7, 11),
    ),
    SmallModel(
        "cnn_transformer_captioner",
        {
            "vocabulary": 11,
            "input_shape": (8, 12, 2),
            "filters": (3, 4),
            "layers": 1,
            "heads": 2,
            "width": 8,
            "feed_forward": 12,
            "dropout": 0.0,
        },
        # The places, one table, a layer with a second attention, and the last normalization.
        parameters=_ENCODER + (4 * 8 + 8) + 6 * 8 + 11 * 8 + (_LAYER + _ATTENTION + 2 * 8) + 2 * 8,
        inputs=_captioned(11, 8, 12, 2),
        output_shape=(7, 11),
    ),
    SmallModel(
        "char_gpt_small",
        {
            "vocabulary": 11,
            "max_length": 12,
            "layers": 2,
            "heads": 2,
            "width": 8,
            "feed_forward": 12,
        },
        parameters=11 * 8 + 12 * 8 + 2 * _LAYER + 2 * 8,
        inputs=_tokens(11),
        output_shape=(7, 11),
    ),
    *(
        SmallModel(
            f"{family}_base",
            {
                "vocabulary": 13,
                "layers": 2,
                "heads": 2,
                "width": 8,
                "feed_forward": 12,
                "max_length": 12,
                "dropout": 0.0,
                **({"embedding": 6} if narrow else {}),
            },
            # Tables of tokens, positions and segments with their norm; a projection from a narrow
            # embedding; the layers, all one in ALBERT; the pooler.
            parameters=sum(
                (
                    (13 + 12 + (2 if segments else 0) + 2) * (6 if narrow else 8),
                    (6 * 8 + 8) if narrow else 0,
                    _LAYER * (1 if family == "albert" else 2),
                    (8 * 8 + 8) if segments else 0,
                )
            ),
            inputs=_tokens(13, segments=segments),
            output_shape=(8,) if segments else (7, 8),
            output="pooled_output" if segments else "",
            logits=False,
        )
        for family, segments, narrow in (
            ("bert", True, False),
            ("roberta", False, False),
            ("distilbert", False, False),
            ("albert", True, True),
            ("electra", True, True),
        )
    ),
)
