"""Decoding: from a source to translations, and the probability of a target."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import ModuleType

import keras
import tensorflow as tf

import architectures
from architectures import seq2seq, transformer
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import END, START
from pipelines.text import beam_search
from pipelines.text.beam_search import Beam
from pipelines.text.reversible import PAD, UNKNOWN

# Encoder-decoders by the names of their models: how each starts and continues.
DECODERS: dict[str, ModuleType] = {"transformer": transformer, "seq2seq": seq2seq}


def translates(architecture: str) -> bool:
    """Returns whether an architecture is an encoder-decoder."""
    return architectures.get(architecture).kind == "encoder_decoder"


def beam(config: TranslationConfig) -> Beam:
    """Returns the options of beam search that a config chooses."""
    return Beam(
        beams=config.beams,
        length=config.max_length,
        alpha=config.length_penalty,
        start=START,
        end=END,
        banned=(PAD, UNKNOWN, START),
    )


@functools.lru_cache(maxsize=1)
def translator(
    model: keras.Model, options: Beam
) -> Callable[[tf.Tensor, tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function that translates token ids, with beam search and cached decoding.

    It is one graph for batches of any size, whatever calls it, and the last one is kept: tracing
    the network in a beam search takes seconds.

    Args:
        model: A model of `transformer` or `seq2seq`.
        options: The options of beam search.

    Returns:
        A function from "source_ids" and "source_padding_mask", int32 [batch, tokens], to
        "token_ids", int32 [batch, beams, length], "scores" and "margin", as `beam_search.search`
        returns them.
    """
    decoder = DECODERS[model.name]
    step = decoder.next_token(model)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def translate(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
        cache = decoder.encode(model, ids, mask, options.length)
        tokens, scores, margin = beam_search.search(step, cache, tf.shape(ids)[0], options)
        return {"token_ids": tokens, "scores": scores, "margin": margin}

    return translate


def blank_where(empty: tf.Tensor, found: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Makes the translations of empty sources empty and their scores 0.

    Args:
        empty: Whether a source has no words, bool [batch].
        found: Translations, strings, and their scores, floats; each [batch, ...].
    """

    def blanked(x: tf.Tensor) -> tf.Tensor:
        rows = empty if x.shape.rank == 1 else empty[:, tf.newaxis]
        return tf.where(rows, "" if x.dtype == tf.string else 0.0, x)

    return {name: blanked(x) for name, x in found.items()}
