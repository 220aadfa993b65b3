"""Figures of tasks on text: texts with captions, lengths, embeddings and attention."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from matplotlib.axis import Axis
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from architectures.attention import attention_maps
from pipelines import style
from pipelines.style import NETWORK, RIGHT, WRONG, styled
from pipelines.text.features import features
from pipelines.training.batching import buckets

_MAX_POINTS = 500
_MAX_TOKENS = 32
# Of t-SNE; a thousand take twice the time and lower the divergence by less than a hundredth.
_STEPS = 500
# Of a page of texts and of its lines, in inches.
_WIDTH, _LINE = 10.0, 0.21
# Bars of a histogram, names in a column of a legend, and inches of a token beside a map.
_MAX_BARS, _MAX_NAMES, _TOKEN = 40, 22, 1.1


@styled
def texts(
    shown: Iterable[str], captions: Sequence[str], *, title: str, right: Sequence[bool] = ()
) -> Figure:
    """Plots texts below each other, each under its caption.

    Args:
        shown: The texts; long ones are truncated to three lines.
        captions: One for each; long ones are truncated to two lines.
        title: Title of the figure.
        right: Whether each is right, which the captions' colors show; without, they are black.
    """
    blocks = [
        (
            style.wrapped(caption, _WIDTH - 0.3, lines=2, weight="bold"),
            style.wrapped(text, _WIDTH - 0.5, lines=3),
        )
        for text, caption in zip(shown, captions, strict=True)
    ]
    height = 0.6 + sum(_LINE * (len(caption) + len(text)) + 0.16 for caption, text in blocks)
    figure, axes = style.page(_WIDTH, max(height, 0.8))
    style.heading(axes, title if blocks else "No mistakes on test")
    y = 0.65
    colors = [RIGHT if each else WRONG for each in right] or ["black"] * len(blocks)
    for (caption, text), color in zip(blocks, colors, strict=True):
        for line in caption:
            axes.text(0.1, y, line, size=9, color=color, weight="bold", va="center")
            y += _LINE
        for line in text:
            axes.text(0.3, y, line, size=9, va="center")
            y += _LINE
        y += 0.16
    return figure


@styled
def lengths(
    train: tf.data.Dataset,
    batch_size: int = 32,
    part: str = "token_ids",
    counts: np.ndarray | None = None,
) -> Figure:
    """Plots the lengths of training texts, and the fraction of padding in batches.

    Args:
        train: Examples whose inputs have `part`, int32 [tokens].
        batch_size: Examples in a batch.
        part: Name of the input that is counted.
        counts: int64 [texts], the lengths, where they are known.
    """
    if counts is None:
        sizes = train.map(
            lambda inputs, *_: tf.shape(inputs[part])[0], num_parallel_calls=tf.data.AUTOTUNE
        )
        counts = np.concatenate(list(sizes.batch(1024).as_numpy_iterator()))
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    # Each bar stands for the same number of whole lengths.
    lowest, highest = int(counts.min()), int(counts.max())
    width = -(-(highest - lowest + 1) // _MAX_BARS)
    left.hist(counts, np.arange(lowest, highest + width + 1, width) - 0.5, color=NETWORK)
    left.set(title=f"{len(counts):,} training texts by length", xlabel="tokens", ylabel="texts")
    style.whole_numbers(left.xaxis)
    style.whole_numbers(left.yaxis)
    left.grid(axis="y")
    random = np.random.default_rng(0).permutation(counts)
    wastes = {
        "all to the\nlongest": 1 - counts.mean() / counts.max(),
        "shuffled\nbatches": padding(_batches(random, batch_size)),
        "bucketed\nbatches": padding(
            [batch for bucket in buckets(random) for batch in _batches(bucket, batch_size)]
        ),
    }
    bars = right.bar(list(wastes), [100 * waste for waste in wastes.values()], color=NETWORK)
    right.bar_label(bars, fmt="%.1f %%", padding=2, size=9)
    right.set(title="padding (↓ lower is better)", ylabel="% of all tokens")
    right.set_ylim(0, max(1.15 * 100 * max(wastes.values()), 1))
    return figure


def padding(batches: Sequence[np.ndarray]) -> float:
    """Returns the fraction of padding when each batch of lengths is padded to its longest."""
    padded = sum(len(batch) * int(batch.max()) for batch in batches)
    return 1 - sum(int(batch.sum()) for batch in batches) / padded


def _batches(counts: np.ndarray, size: int) -> list[np.ndarray]:
    return [counts[start : start + size] for start in range(0, len(counts), size)]


@styled
def embedding_map(
    features_of: keras.Model, examples: tf.data.Dataset, class_names: Sequence[str]
) -> Figure:
    """Plots test texts by their features in two dimensions, with colors for the classes.

    t-SNE (van der Maaten & Hinton 2008) of at most 50 principal components.

    Args:
        features_of: From inputs to features, [batch, width].
        examples: (inputs, int64 []) examples; at most 500 are plotted.
        class_names: In the order of the labels.
    """
    vectors, label = features(
        lambda inputs: features_of(inputs, training=False), examples.take(_MAX_POINTS)
    )
    components = PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors)
    perplexity = min(30.0, max(1.0, (len(vectors) - 1) / 3))
    points = TSNE(
        2, init="pca", perplexity=perplexity, max_iter=_STEPS, random_state=0
    ).fit_transform(components)
    names = [style.shortened(name, 2.5) for name in class_names]
    columns = -(-len(names) // _MAX_NAMES)
    beside = columns * (0.4 + max(style.width_of(name, 9) for name in names))
    figure = Figure(figsize=(6 + beside, 6), layout="constrained")
    style.title(figure, f"{len(vectors)} test texts by their features (t-SNE)")
    axes = figure.subplots()
    for number, name in enumerate(names):
        chosen = points[label == number]
        turn, color = divmod(number, len(style.COLORS))
        axes.scatter(
            *(chosen[:, 0], chosen[:, 1], 12),
            color=style.COLORS[color],
            marker=style.MARKERS[turn % len(style.MARKERS)],
            alpha=0.7,
            linewidths=0,
            label=name,
        )
    axes.set(xticks=[], yticks=[])
    figure.legend(loc="outside right center", ncols=columns, handletextpad=0.2, markerscale=1.5)
    return figure


def attention(
    model: keras.Model,
    inputs: Mapping[str, np.ndarray],
    tokens: Sequence[str],
    places: Sequence[int] = range(_MAX_TOKENS),
) -> Iterator[tuple[str, Figure]]:
    """Yields figures of the attention weights for one text, layer by layer.

    Args:
        model: A network; one without attention yields nothing.
        inputs: Its inputs, each [1, tokens].
        tokens: The text of each token.
        places: Positions of the tokens to plot, where there are many.

    Yields:
        "attention_layers": the attention that each token receives in each layer, the mean over
        heads and positions; "attention_heads": the mean over heads of each layer, from token to
        token.
    """
    try:
        maps = attention_maps(model)
    except ValueError:
        return
    chosen = [place for place in places if place < len(tokens)]
    names = [tokens[place] for place in chosen]
    weights = {
        name: _from_to(weight)[:, chosen]
        for name, weight in keras.tree.map_structure(np.asarray, maps(dict(inputs))).items()
    }
    yield "attention_layers", _received(weights, names)
    weights = {n: weight[chosen] for n, weight in weights.items() if len(weight) == len(tokens)}
    if weights:  # A pooling layer has no query for each token.
        yield "attention_heads", _maps(weights, names)


@styled
def _received(weights: Mapping[str, np.ndarray], tokens: Sequence[str]) -> Figure:
    """Plots the mean attention to each token, [queries, tokens] by layer."""
    layers = [style.shortened(layer, 2) for layer in weights]
    beside = max(style.width_of(layer, 9) for layer in layers)
    figure = Figure(
        figsize=(max(2 + beside + 0.26 * len(tokens), 6), 2.5 + 0.3 * len(weights)),
        layout="constrained",
    )
    style.title(figure, "Attention that each token receives, the mean over heads and queries")
    axes = figure.subplots()
    received = np.stack([weight.mean(0) for weight in weights.values()])
    image = axes.imshow(received, aspect="auto", vmin=0)
    _names(axes.xaxis, tokens, rotation=90)
    axes.set_yticks(range(len(weights)), layers)
    axes.set(xlabel="token attended to (key)", ylabel="layer")
    figure.colorbar(image, ax=axes, label="weight", pad=0.01)
    return figure


@styled
def _maps(weights: Mapping[str, np.ndarray], tokens: Sequence[str]) -> Figure:
    """Plots the attention from token to token, [tokens, tokens] by layer, the mean over heads."""
    columns = min(len(weights), 3)
    rows = -(-len(weights) // columns)
    side = max(0.14 * len(tokens), 2.0)
    figure = Figure(figsize=(side * columns + 2.6, (side + 0.4) * rows + 1.9), layout="constrained")
    style.title(figure, "Attention from token to token, the mean over heads")
    panels = figure.subplots(rows, columns, squeeze=False)
    # Weak weights are seen beside strong ones.
    norm = PowerNorm(0.5, 0, max(float(weight.max()) for weight in weights.values()))
    for number, (name, weight) in enumerate(weights.items()):
        axes = panels.flat[number]
        image = axes.imshow(weight, norm=norm)
        axes.set_title(style.shortened(name, side, 10))
        # Names take time to draw: once for each row and column.
        _names(axes.yaxis, tokens if number % columns == 0 else ())
        _names(axes.xaxis, tokens if number + columns >= len(weights) else (), rotation=90)
    for axes in panels.flat[len(weights) :]:
        axes.set_axis_off()
    figure.supxlabel("token attended to (key)", size=10)
    figure.supylabel("token that attends (query)", size=10)
    figure.colorbar(image, ax=panels, label="weight", pad=0.01, shrink=min(1, 3 / (side * rows)))
    return figure


def _names(axis: Axis, tokens: Sequence[str], rotation: float = 0) -> None:
    """Names the rows or columns of a map by tokens."""
    names = [style.shortened(style.visible(token), _TOKEN, 8) for token in tokens]
    axis.set_ticks(range(len(names)), names, rotation=rotation, size=8)


def attention_of_first(
    model: keras.Model, examples: tf.data.Dataset, vocabulary: Sequence[str]
) -> Iterator[tuple[str, Figure]]:
    """Yields the figures of `attention` for the first of (inputs, target, ...) examples."""
    inputs, *_ = next(examples.as_numpy_iterator())
    tokens = [vocabulary[index] for index in inputs["token_ids"]]
    yield from attention(model, {name: x[np.newaxis] for name, x in inputs.items()}, tokens)


def _from_to(weight: np.ndarray) -> np.ndarray:
    """Returns the weights of the first text, [queries, tokens], as the mean over heads.

    A layer of `architectures.layers` has one head and no axis for it, and a pooling one query.
    """
    first = np.atleast_2d(weight[0])
    return first.mean(0) if first.ndim == 3 else first
