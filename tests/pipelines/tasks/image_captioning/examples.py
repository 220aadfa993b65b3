"""Tiny pictures with captions, for tests of image captioning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.datasets.loading import Identity
from pipelines.recipe import Optimizer, Recipe
from pipelines.tasks.image_captioning import decoding
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.tasks.image_captioning.data import CaptionedImages, captioned
from pipelines.text.beam_search import Beam

SIZES = {"train": 96, "validation": 12, "test": 16}
SHAPE = (8, 8, 1)
MODELS: dict[str, dict[str, Any]] = {
    "cnn_lstm_captioner": {
        **{"filters": [4, 8], "width": 8, "embedding": 8, "units": 16, "dropout": 0.0}
    },
    "cnn_transformer_captioner": {
        **{"filters": [4, 8], "width": 16, "layers": 1, "heads": 2, "feed_forward": 16},
    },
}


def pictures(sizes: Mapping[str, int] = SIZES) -> dict[str, tuple[np.ndarray, list]]:
    """Pictures of one bright corner, uint8 [pictures, 8, 8, 1], and their captions."""
    random, found = np.random.default_rng(0), {}
    for split, size in sizes.items():
        images = random.integers(0, 60, (size, *SHAPE), np.uint8)
        captions = []
        for image in images:
            row, column = random.integers(0, 2, 2)
            image[4 * row : 4 * row + 4, 4 * column : 4 * column + 4] += np.uint8(180)
            place = f"{('upper', 'lower')[row]} {('left', 'right')[column]}"
            captions.append((f"light in the {place} corner", f"the {place} is bright"))
        found[split] = (images, captions)
    return found


def config(architecture: str = "cnn_lstm_captioner", **options: Any) -> CaptioningConfig:
    defaults: dict[str, Any] = {
        "dataset": "corners",
        "architecture": architecture,
        "model": MODELS[architecture],
        "tokens": "words",
        "max_length": 12,
        "beams": 2,
        # XLA would take longer to compile than this training.
        "recipe": Recipe(
            epochs=1,
            batch_size=16,
            jit_compile="false",
            optimizer=Optimizer(learning_rate=0.02),
        ),
    }
    return CaptioningConfig(**{**defaults, **options})


def search_options(shape: tuple[int, ...]) -> Beam:
    """The options by which a served model found token ids of a shape, [batch, beams, length]."""
    _, beams, length = shape
    return decoding.beam(config(beams=beams), length)


def loaded(chosen: CaptioningConfig, sizes: Mapping[str, int] = SIZES) -> CaptionedImages:
    """The data set as the task would load it."""
    identity: Identity = {"name": "corners", "version": "1.0.0", "digest": "0123456789ab"}
    found = pictures(sizes)
    images = {s: tf.data.Dataset.from_tensor_slices(x) for s, (x, _) in found.items()}
    references = {split: captions for split, (_, captions) in found.items()}
    return captioned(identity, images, references, SHAPE, chosen)
