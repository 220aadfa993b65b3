"""Figures of tasks on text: texts with captions, lengths, embeddings and attention."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from architectures.attention import attention_maps
from pipelines.training.batching import buckets

_MAX_POINTS = 500
_MAX_TOKENS = 32


def texts(
    shown: Iterable[str], captions: Sequence[str], *, title: str, right: Sequence[bool] = ()
) -> Figure:
    """Plots texts below each other, each under its caption.

    Args:
        shown: The texts; long ones are truncated to three lines.
        captions: One for each.
        title: Title of the figure.
        right: Whether each caption is right, and green; without, all are red.
    """
    blocks = [textwrap.wrap(text, 110, max_lines=3, placeholder=" …") for text in shown]
    height = 0.6 + 0.21 * sum(len(block) + 1.8 for block in blocks)
    figure = Figure(figsize=(10, max(height, 1.5)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 1), ylim=(height, 0))
    axes.set_axis_off()
    axes.text(0.02, 0.3, title if blocks else "No mistakes on test", fontsize=13)
    y = 0.75
    colors = ["tab:green" if each else "tab:red" for each in right or [False] * len(blocks)]
    for block, caption, color in zip(blocks, captions, colors, strict=True):
        axes.text(0.02, y, caption, fontsize=9, color=color)
        for line in block:
            y += 0.21
            axes.text(0.04, y, line.replace("$", r"\$"), fontsize=9, family="DejaVu Sans")
        y += 0.37
    return figure


def lengths(train: tf.data.Dataset, batch_size: int = 32, part: str = "token_ids") -> Figure:
    """Plots the lengths of training texts, and the fraction of padding in batches.

    Args:
        train: Examples whose inputs have `part`, int32 [tokens].
        batch_size: Examples in a batch.
        part: Name of the input that is counted.
    """
    counts = np.array([len(inputs[part]) for inputs, *_ in train.as_numpy_iterator()])
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(2, 1))
    left.hist(counts, bins=min(40, max(1, int(counts.max()))), color="tab:blue", alpha=0.7)
    left.set(title="Training texts", xlabel="tokens", ylabel="texts")
    left.grid(alpha=0.3)
    random = np.random.default_rng(0).permutation(counts)
    wastes = {
        "all to the\nlongest": 1 - counts.mean() / counts.max(),
        "shuffled\nbatches": padding(_batches(random, batch_size)),
        "bucketed\nbatches": padding(
            [batch for bucket in buckets(random) for batch in _batches(bucket, batch_size)]
        ),
    }
    bars = right.bar(list(wastes), [100 * waste for waste in wastes.values()], color="tab:blue")
    right.bar_label(bars, fmt="%.0f %%")
    right.set(title="Padding", ylabel="% of all tokens")
    return figure


def padding(batches: Sequence[np.ndarray]) -> float:
    """Returns the fraction of padding when each batch of lengths is padded to its longest."""
    padded = sum(len(batch) * int(batch.max()) for batch in batches)
    return 1 - sum(int(batch.sum()) for batch in batches) / padded


def _batches(counts: np.ndarray, size: int) -> list[np.ndarray]:
    return [counts[start : start + size] for start in range(0, len(counts), size)]


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
    features, labels = [], []
    for inputs, target in examples.take(_MAX_POINTS).padded_batch(64):
        features.append(features_of(inputs, training=False).numpy())
        labels.append(target.numpy())
    vectors, label = np.concatenate(features), np.concatenate(labels)
    components = PCA(min(50, *vectors.shape), random_state=0).fit_transform(vectors)
    perplexity = min(30.0, max(1.0, (len(vectors) - 1) / 3))
    points = TSNE(2, init="pca", perplexity=perplexity, random_state=0).fit_transform(components)
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    axes = figure.subplots()
    for number, name in enumerate(class_names):
        chosen = points[label == number]
        axes.scatter(chosen[:, 0], chosen[:, 1], s=9, alpha=0.7, label=name)
    axes.set(title=f"{len(vectors)} test texts by their features (t-SNE)", xticks=[], yticks=[])
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), markerscale=2)
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
    count, names = len(chosen), [tokens[place] for place in chosen]
    weights = {
        name: _from_to(weight)[:, chosen]
        for name, weight in keras.tree.map_structure(np.asarray, maps(dict(inputs))).items()
    }
    figure = Figure(figsize=(2 + 0.36 * count, 1.6 + 0.4 * len(weights)), layout="constrained")
    axes = figure.subplots()
    received = np.stack([weight.mean(0) for weight in weights.values()])
    axes.imshow(received, cmap="Blues", aspect="auto", vmin=0)
    axes.set_xticks(range(count), names, rotation=90)
    axes.set_yticks(range(len(weights)), list(weights))
    axes.set_title("Attention received per token")
    yield "attention_layers", figure

    weights = {n: weight[chosen] for n, weight in weights.items() if len(weight) == len(tokens)}
    if not weights:  # A pooling layer has no query for each token.
        return
    columns = min(len(weights), 3)
    rows = -(-len(weights) // columns)
    figure = Figure(figsize=(5 * columns, 5.5 * rows), layout="constrained")
    for panel in (panels := list(figure.subplots(rows, columns, squeeze=False).flat)):
        panel.set_axis_off()
    for panel, (name, weight) in zip(panels, weights.items(), strict=False):
        panel.set_axis_on()
        panel.imshow(weight, cmap="Blues", vmin=0)
        panel.set_xticks(range(count), names, rotation=90, fontsize=7)
        panel.set_yticks(range(count), names, fontsize=7)
        panel.set_title(name)
    yield "attention_heads", figure


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
