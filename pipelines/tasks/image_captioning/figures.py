"""Figures of image captioning: where the network looks for each word, and captions with images."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from architectures.attention import attention_maps
from architectures.feature_map import grid
from pipelines.image.examples import images_at
from pipelines.image.preprocessing import scale
from pipelines.predictions import Predictions
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
_CHARACTERS = 42  # Of a line above a picture.


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
    texts = ["\n".join(textwrap.fill(line, _CHARACTERS) for line in pair) for pair in lines]
    return _pictures(images_at(data.alone("test"), test.rows[rows]), texts, title=title)


def augmented(images: np.ndarray, texts: Sequence[str]) -> Figure:
    """Plots augmented training images, uint8, with their captions."""
    filled = [textwrap.fill(text, _CHARACTERS) for text in texts]
    return _pictures(images, filled, title="Training images, augmented, as the network sees them")


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
    longest = max(1, *map(len, words))
    height, width = images.shape[1:3]
    figure = Figure(
        figsize=(1.5 * (longest + 1), 0.5 + 1.75 * height / width * len(images)),
        layout="constrained",
    )
    figure.suptitle("Where the network looks for each word: the brighter, the more weight")
    panels = figure.subplots(len(images), longest + 1, squeeze=False)
    for axes in panels.flat:
        axes.set_axis_off()
    for line, image, own, weight in zip(panels, images, words, weights, strict=True):
        _show(line[0], image)
        for axes, word, places_of_word in zip(line[1:], own, weight, strict=False):
            _show(axes, image)
            axes.imshow(
                places_of_word,
                cmap="inferno",
                alpha=0.6,
                vmin=0,
                extent=(-0.5, width - 0.5, height - 0.5, -0.5),
                interpolation="bilinear",
            )
            axes.set_title(_plain(word), fontsize=11)
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


def _pictures(
    images: Sequence[np.ndarray] | np.ndarray, texts: Sequence[str], *, title: str
) -> Figure:
    rows = -(-len(texts) // _COLUMNS)
    lines = max(text.count("\n") for text in texts) + 1
    figure = Figure(figsize=(2.9 * _COLUMNS, (2.4 + 0.17 * lines) * rows), layout="constrained")
    figure.suptitle(title)
    panels = list(figure.subplots(rows, _COLUMNS, squeeze=False).flat)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, text in zip(panels, images, texts, strict=False):
        _show(axes, image)
        axes.set_title(_plain(text), fontsize=9)
    return figure


def _show(axes: Axes, image: np.ndarray) -> None:
    axes.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255, interpolation="nearest")


def _plain(text: str) -> str:
    return text.replace("$", r"\$")  # Matplotlib would read formulas.
