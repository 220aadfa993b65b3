"""Decoding: from images to captions, and the probability of a caption."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import keras
import tensorflow as tf

import architectures
from architectures import lstm_captioner, transformer_captioner
from pipelines.tasks.image_captioning.captions import END, START
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.text import beam_search
from pipelines.text.beam_search import Beam
from pipelines.text.reversible import PAD, UNKNOWN

# Captioners by the names of their models: how each starts and continues.
DECODERS: dict[str, ModuleType] = {
    "lstm_captioner": lstm_captioner,
    "transformer_captioner": transformer_captioner,
}


def captions(architecture: str) -> bool:
    """Returns whether an architecture captions images."""
    return architectures.get(architecture).kind == "image_captioner"


def beam(config: CaptioningConfig, length: int) -> Beam:
    """Returns the options of beam search that a config chooses; `length` is that of a caption."""
    return Beam(
        beams=config.beams,
        length=length,
        alpha=config.length_penalty,
        start=START,
        end=END,
        banned=(PAD, UNKNOWN, START),
    )


def captioner(model: keras.Model, options: Beam) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function that captions images, with beam search and cached decoding.

    Args:
        model: A model of `lstm_captioner` or `transformer_captioner`.
        options: The options of beam search.

    Returns:
        A function from images as the network reads them, float32 [batch, height, width, channels],
        to "token_ids", int32 [batch, beams, length], "scores" and "margin", as
        `beam_search.search` returns them.
    """
    decoder = DECODERS[model.name]
    step = decoder.next_token(model)

    def caption(images: tf.Tensor) -> dict[str, tf.Tensor]:
        cache = decoder.encode(model, images, options.length)
        tokens, scores, margin = beam_search.search(step, cache, tf.shape(images)[0], options)
        return {"token_ids": tokens, "scores": scores, "margin": margin}

    return caption
