"""Figures of image captioning: where the network looks for each word, and captions with images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import numpy as np
from matplotlib.figure import Figure

from architectures.attention import attention_maps
from architectures.feature_map import grid
from pipelines import style
from pipelines.image.examples import images_at
from pipelines.image.preprocessing import scale
from pipelines.predictions import Predictions
from pipelines.style import styled
from pipelines.tasks.image_captioning.captions import START
from pipelines.tasks.image_captioning.cider import cider
from pipelines.tasks.image_captioning.data import CaptionedImages
from pipelines.tasks.image_captioning.metrics import each_cider
from pipelines.text.reversible import PAD

_IMAGES = 12
_COLUMNS = 4
_ATTENDED = 4
# More words would not be readable.
_WORDS = 16


def figures(
    model: keras.Model, data: CaptionedImages, test: Predictions
) -> Iterator[tuple[str, Figure]]:
    """Yields the attention for each word, and typical, best and worst test captions."""
    spaced = np.unique(np.linspace(0, len(test) - 1, _IMAGES).astype(int))
    yield "attention", attention(model, data, test, spaced[:_ATTENDED])
    quality = each_cider(test, data.frequencies)
    order = np.argsort(quality, kind="stable")
    for name, title, rows in (
        ("captions", "Test images: CIDEr, caption", spaced),
        ("best_captions", "The highest CIDEr of test images", order[::-1][:_IMAGES]),
        ("worst_captions", "The lowest CIDEr of test images", order[:_IMAGES]),
    ):
        yield name, captions(data, test, rows, quality, title=title)


def captions(
    data: CaptionedImages,
    test: Predictions,
    rows: Sequence[int] | np.ndarray,
    quality: np.ndarray,
    *,
    title: str,
) -> Figure:
    """Plots test images below what the network says of them, and the nearest of their captions.

    Args:
        data: Has the images.
        test: The network's captions of test images.
        rows: Which of them to plot.
        quality: CIDEr of each caption.
        title: Title of the figure.
    """
    lines = []
    for row in rows:
        caption = test.predicted["caption"][row].decode()
        own = test.examples["references"][row]
        near = [cider(caption, (reference,), data.frequencies) for reference in own]
        true = own[int(np.argmax(near))]
        lines.append((f"{quality[row]:.1f}: {caption}", f"true: {true}"))
    texts = ["\n".join(pair) for pair in lines]
    return _pictures(images_at(data.alone("test"), test.rows[rows]), texts, title=title)


def augmented(images: np.ndarray, texts: Sequence[str]) -> Figure:
    """Plots augmented training images, uint8, with their captions."""
    return _pictures(images, texts, title="Training images, augmented, as the network sees them")


def attention(
    model: keras.Model, data: CaptionedImages, test: Predictions, rows: Sequence[int] | np.ndarray
) -> Figure:
    """Plots test images with the attention to their places, for each word that is said.

    The mean over layers and heads, where there are several.

    Args:
        model: The captioner.
        data: Has the images and the tokens.
        test: The network's captions of test images.
        rows: Which of them to plot, a row of the figure each.
    """
    images = np.stack(images_at(data.alone("test"), test.rows[rows]))
    texts = [test.predicted["caption"][row].decode() for row in rows]
    ids = data.tokenizer(texts).to_tensor(PAD).numpy()
    weights = places(model, images, np.pad(ids[:, :-1], [(0, 0), (1, 0)], constant_values=START))
    words = [data.tokenizer.token_texts(own[own != PAD])[:_WORDS] for own in ids]
    return _attended(images, words, weights)


@styled
def _attended(
    images: np.ndarray, words: Sequence[Sequence[str]], weights: Sequence[np.ndarray] | np.ndarray
) -> Figure:
    """Plots images, each with the attention to its places for each word beside it.

    Args:
        images: uint8 [images, height, width, channels].
        words: Of each image's caption.
        weights: For each image, float [words, rows, columns].
    """
    longest, cell = max(1, *map(len, words)), 1.3
    step = 0.25 + cell * images.shape[1] / images.shape[2]
    figure, axes = style.page(0.1 + max((cell + 0.05) * (longest + 1), 7), 0.6 + step * len(images))
    style.heading(axes, "Where the network looks for each word: the brighter, the more weight")
    for row, (image, own, weight) in enumerate(zip(images, words, weights, strict=True)):
        for column, word in enumerate(["", *own]):
            left, top = 0.1 + column * (cell + 0.05), 0.55 + row * step
            axes.text(left, top + 0.1, style.shortened(word, cell, 10), size=10, va="center")
            room = (cell, step - 0.25)
            style.picture(axes, image, (left, top + 0.2), room)
            if column:
                how = {"cmap": "inferno", "alpha": 0.6, "vmax": None, "interpolation": "bilinear"}
                where = weight[column - 1]
                style.picture(axes, where, (left, top + 0.2), room, **how)
    return figure


def places(model: keras.Model, images: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Returns the attention to the places of images, float [images, tokens, rows, columns].

    Args:
        model: The captioner.
        images: uint8 [images, height, width, channels].
        ids: The token before each word, int32 [images, tokens].
    """
    inputs = {
        "images": scale(images).numpy(),
        "target_ids": ids,
        "target_padding_mask": np.ones_like(ids),
    }
    maps = keras.tree.map_structure(np.asarray, attention_maps(model)(inputs))
    found = [
        weight.mean(1) if weight.ndim == 4 else weight
        for name, weight in maps.items()
        if "self_attention" not in name
    ]
    return np.mean(found, 0).reshape(*ids.shape, *grid(model))


@styled
def _pictures(
    images: Sequence[np.ndarray] | np.ndarray, texts: Sequence[str], *, title: str
) -> Figure:
    """Plots images in rows, each below its text, whose lines are wrapped."""
    width = 2.9
    cell = max((min(2.1, (width - 0.2) * x.shape[0] / x.shape[1]) for x in images), default=0.0)
    shown = [
        [part for line in text.split("\n") for part in style.wrapped(line, width - 0.2, lines=3)]
        for text in texts
    ]
    lines = max(map(len, shown), default=0)
    step = 0.17 * lines + cell + 0.15
    rows = -(-len(texts) // _COLUMNS)
    figure, axes = style.page(0.1 + width * _COLUMNS, 0.6 + step * rows)
    style.heading(axes, title)
    for number, (image, text) in enumerate(zip(images, shown, strict=True)):
        left, top = 0.1 + number % _COLUMNS * width, 0.55 + number // _COLUMNS * step
        for line, part in enumerate(text):
            axes.text(left, top + 0.17 * line, part, size=9, va="top")
        style.picture(axes, image, (left, top + 0.17 * lines + 0.05), (width - 0.2, cell))
    return figure
