"""Figures of language models: perplexity by position, mixture, surprisal, map of tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import keras
import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from pipelines import style
from pipelines.predictions import Predictions, in_common
from pipelines.style import BASELINE, NETWORK, OTHER, styled
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.text import figures as text_figures

# Width of a monospaced letter of 9 points and height of a line, in inches.
_LETTER, _LINE = 0.0753, 0.22
_WIDTH = 10.0
# Tokens of the text that is shown with its surprisal, of attention maps, and of the map of tokens.
_MAX_TEXT = 400
_MAX_ATTENTION = 33
_MAX_VECTORS = 300
_MAX_BITS = 16.0
# Of the map of tokens: steps of t-SNE, see `text.figures`, and its size in inches.
_STEPS, _MAP = 500, (11.0, 9.0)


def figures(
    model: keras.Model, data: RunningText, test: Predictions, ngram: Predictions
) -> Iterator[tuple[str, Figure]]:
    """Yields perplexity by position, a mixture, a text's surprisal, attention, a map of tokens.

    Args:
        model: The trained network.
        data: The data set.
        test: The network's predictions on the test split.
        ngram: Those of the n-gram model.
    """
    # Windows end with padding where the split does.
    test, ngram = in_common(test, ngram)
    windows, tokens = data.windows["test"].take(test.rows), data.streams["test"].tokens
    real = windows.cut(np.ones(len(tokens), bool))[:, 1:]
    yield "perplexity_by_position", by_position(test.predicted["log_probabilities"], real)
    counted = test.examples["weight"] > 0
    log_probs, others = (one.predicted["log_probabilities"][counted] for one in (test, ngram))
    read = windows.cut(tokens)[:, 1:][counted]
    yield "mixture", mixture(log_probs, others)
    count = min(_MAX_TEXT, len(log_probs))
    yield (
        "surprisal",
        surprisal(
            data.tokenizer.token_texts(read[:count]),
            -log_probs[:count] / np.log(2),
            title="The beginning of the test split: per-token surprisal",
        ),
    )
    first = tokens[np.newaxis, : min(_MAX_ATTENTION, data.context)]
    inputs = {"token_ids": first, "padding_mask": np.ones_like(first)}
    yield from text_figures.attention(model, inputs, data.tokenizer.token_texts(first[0]))
    ids = data.tokenizer.ids
    special = {ids.end, ids.padding, ids.unknown}
    counts = data.streams["train"].counts(len(data.tokenizer.vocabulary))
    ranked = np.argsort(-counts, kind="stable")[: min(_MAX_VECTORS, np.count_nonzero(counts))]
    frequent = [token for token in ranked.tolist() if token not in special]
    vectors = np.asarray(model.get_layer("token_embedding").get_weights()[0])[frequent]
    if len(frequent) >= 4:
        yield "token_map", token_map(vectors, data.tokenizer.token_texts(frequent))


@styled
def by_position(log_probs: np.ndarray, real: np.ndarray) -> Figure:
    """Plots the perplexity of test's tokens by the number of tokens that the network has read.

    Args:
        log_probs: float [windows, context], of the targets.
        real: bool [windows, context], false where a target is padding.
    """
    log_probs = np.where(real, log_probs, 0.0)
    perplexity = np.exp(-log_probs.sum(0) / np.maximum(real.sum(0), 1))
    figure = Figure(figsize=(7, 4), layout="constrained")
    style.title(figure, "Perplexity of test tokens by their position")
    axes = figure.subplots()
    marker = "o" if len(perplexity) == 1 else None
    axes.plot(range(1, len(perplexity) + 1), perplexity, color=NETWORK, marker=marker)
    axes.set(xlabel="tokens read", ylabel=style.directed("perplexity", False))
    axes.set_ylim(bottom=0)
    style.whole_numbers(axes.xaxis)
    axes.grid()
    return figure


@styled
def mixture(network: np.ndarray, ngram: np.ndarray) -> Figure:
    """Plots the perplexity of mixtures of a network and an n-gram model by the latter's weight.

    Args:
        network: float [tokens], natural logarithms of probabilities.
        ngram: The same of the n-gram model.
    """
    weights = np.linspace(0, 1, 41)
    mixed = [np.exp(-np.log((1 - w) * np.exp(network) + w * np.exp(ngram)).mean()) for w in weights]
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    style.title(figure, "Perplexity of test tokens, of mixtures of the two models")
    axes = figure.subplots()
    axes.plot(weights, mixed, color=OTHER)
    axes.plot(0, mixed[0], "o", color=NETWORK, label=f"network alone: {mixed[0]:.4g}")
    axes.plot(1, mixed[-1], "o", color=BASELINE, label=f"n-gram model alone: {mixed[-1]:.4g}")
    axes.set(xlabel="weight of the n-gram model", ylabel=style.directed("perplexity", False))
    axes.grid()
    figure.legend(loc="outside lower left", ncols=2)
    return figure


@styled
def surprisal(tokens: Sequence[str], bits: Sequence[float], *, title: str) -> Figure:
    """Plots a text, each token colored by its surprisal -log2 p in bits.

    Args:
        tokens: Texts of the tokens, with the spaces between them; "\\n" begins a line.
        bits: One for each; from 16 bits on the color is the same.
        title: Title of the figure.
    """
    colors, norm = matplotlib.colormaps["OrRd"], Normalize(0, _MAX_BITS)
    places, x, line = [], 0.0, 0
    # Wide letters, as Chinese ones, need more than those of this font.
    widths = [max(_LETTER * len(token), style.width_of(token, 9)) for token in tokens]
    for token, width in zip(tokens, widths, strict=True):
        if token == "\n" or (x and x + width > _WIDTH - 0.2):
            x, line = 0.0, line + 1
        places.append((x, line))
        x += 0.0 if token == "\n" else width
    height = _LINE * (line + 1)
    figure, axes = style.page(_WIDTH, height + 1.4)
    style.heading(axes, title)
    for token, value, (x, line), width in zip(tokens, bits, places, widths, strict=True):
        if token == "\n":
            continue
        x, y = x + 0.1, _LINE * line + 0.55
        width = min(width, _WIDTH - 0.1 - x)
        axes.add_patch(Rectangle((x, y), width, 0.9 * _LINE, color=colors(norm(value)), lw=0))
        shown = token if width >= _LETTER * len(token) - 1e-9 else style.shortened(token, width, 9)
        axes.text(
            *(x, y + 0.45 * _LINE, shown),
            fontsize=9,
            family=["DejaVu Sans Mono", *style.STYLE["font.family"]],
            va="center",
            color="white" if value > 0.7 * _MAX_BITS else "black",
        )
    total = height + 1.4
    scale = figure.add_axes((0.1 / _WIDTH, 0.55 / total, 0.4, 0.14 / total))
    mappable = matplotlib.cm.ScalarMappable(norm, colors)
    figure.colorbar(mappable, cax=scale, orientation="horizontal", label="surprisal in bits")
    return figure


@styled
def token_map(vectors: np.ndarray, tokens: Sequence[str]) -> Figure:
    """Plots tokens by their vectors in two dimensions, by t-SNE (van der Maaten & Hinton 2008).

    Distances follow the cosines of the vectors.

    Args:
        vectors: float [tokens, width].
        tokens: Their texts, at least four.
    """
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    components = PCA(min(50, *unit.shape), random_state=0).fit_transform(unit)
    perplexity = min(15.0, (len(unit) - 1) / 3)
    points = TSNE(
        2, init="pca", perplexity=perplexity, max_iter=_STEPS, random_state=0
    ).fit_transform(components)
    figure, axes = style.page(*_MAP)
    style.heading(axes, f"The {len(points)} most frequent tokens by their vectors (t-SNE)")
    low, span = points.min(0), np.maximum(np.ptp(points, axis=0), 1e-9)
    places = np.array([0.5, 0.8]) + (points - low) / span * (np.array(_MAP) - (1.0, 1.1))
    boxes = np.zeros((0, 4))
    for (x, y), token in zip(places, tokens, strict=True):
        shown = style.shortened(style.visible(token), 0.9, 8)
        half = style.width_of(shown, 8) / 2 + 0.02
        box = np.array([x - half, y - 0.075, x + half, y + 0.075])
        # The more frequent of two tokens in one place is written, the other one a dot.
        free = ((box[:2] > boxes[:, 2:]) | (box[2:] < boxes[:, :2])).any(1)
        if free.all():
            axes.text(x, y, shown, size=8, ha="center", va="center")
            boxes = np.vstack([boxes, box])
        else:
            axes.plot(x, y, ".", color=OTHER, markersize=2, zorder=0)
    return figure
