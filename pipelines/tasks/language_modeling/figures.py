"""Figures of language models: perplexity by position, mixture, surprisal, map of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import keras
import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from pipelines.predictions import Predictions, in_common
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
    windows, tokens = data.windows["test"], data.streams["test"].tokens
    real = windows.cut(np.ones(len(tokens), bool))[test.rows, 1:]
    yield "perplexity_by_position", by_position(test.predicted["log_probabilities"], real)
    counted = test.examples["weight"] > 0
    log_probs, others = (one.predicted["log_probabilities"][counted] for one in (test, ngram))
    read = windows.cut(tokens)[test.rows, 1:][counted]
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
    counts = Counter(data.streams["train"].tokens.tolist())
    frequent = [token for token, _ in counts.most_common(_MAX_VECTORS) if token not in special]
    vectors = np.asarray(model.get_layer("token_embedding").get_weights()[0])[frequent]
    if len(frequent) >= 4:
        yield "token_map", token_map(vectors, data.tokenizer.token_texts(frequent))


def by_position(log_probs: np.ndarray, real: np.ndarray) -> Figure:
    """Plots the perplexity of test's tokens by the number of tokens that the network has read.

    Args:
        log_probs: float [windows, context], of the targets.
        real: bool [windows, context], false where a target is padding.
    """
    log_probs = np.where(real, log_probs, 0.0)
    perplexity = np.exp(-log_probs.sum(0) / np.maximum(real.sum(0), 1))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(perplexity) + 1), perplexity, color="tab:blue")
    axes.set(xlabel="tokens read", ylabel="perplexity", title="Test: perplexity by position")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def mixture(network: np.ndarray, ngram: np.ndarray) -> Figure:
    """Plots the perplexity of mixtures of a network and an n-gram model by the latter's weight.

    Args:
        network: float [tokens], natural logarithms of probabilities.
        ngram: The same of the n-gram model.
    """
    weights = np.linspace(0, 1, 41)
    mixed = [np.exp(-np.log((1 - w) * np.exp(network) + w * np.exp(ngram)).mean()) for w in weights]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(weights, mixed, color="tab:blue")
    axes.plot([0, 1], [mixed[0], mixed[-1]], "o", color="tab:gray")
    axes.annotate("network", (0, mixed[0]), xytext=(8, 0), textcoords="offset points")
    axes.annotate("n-gram", (1, mixed[-1]), xytext=(-8, 0), textcoords="offset points", ha="right")
    axes.set(xlabel="weight of the n-gram model", ylabel="perplexity")
    axes.set_title("Test: perplexity of the two models mixed")
    axes.grid(alpha=0.3)
    return figure


def surprisal(tokens: Sequence[str], bits: Sequence[float], *, title: str) -> Figure:
    """Plots a text, each token colored by its surprisal -log2 p in bits.

    Args:
        tokens: Texts of the tokens, with the spaces between them; "\\n" begins a line.
        bits: One for each; from 16 bits on the color is the same.
        title: Title of the figure.
    """
    colors, norm = matplotlib.colormaps["OrRd"], Normalize(0, _MAX_BITS)
    places, x, line = [], 0.0, 0
    for token in tokens:
        width = _LETTER * len(token)
        if token == "\n" or x + width > _WIDTH - 0.4:
            x, line = 0.0, line + 1
        places.append((x, line))
        x += 0.0 if token == "\n" else width
    height = _LINE * (line + 1)
    figure = Figure(figsize=(_WIDTH, height + 1.5))
    axes = figure.add_axes((0.02, 1.0 / (height + 1.5), 0.96, height / (height + 1.5)))
    axes.set(xlim=(0, _WIDTH - 0.4), ylim=(height, 0))
    axes.set_axis_off()
    for token, value, (x, line) in zip(tokens, bits, places, strict=True):
        if token == "\n":
            continue
        y, width = _LINE * line, _LETTER * len(token)
        axes.add_patch(Rectangle((x, y), width, 0.9 * _LINE, color=colors(norm(value))))
        axes.text(
            *(x, y + 0.45 * _LINE, token.replace("$", r"\$")),
            fontsize=9,
            family="DejaVu Sans Mono",
            va="center",
            color="white" if value > 0.7 * _MAX_BITS else "black",
        )
    figure.text(0.02, 1 - 0.35 / (height + 1.5), title, fontsize=12)
    scale = figure.add_axes((0.02, 0.6 / (height + 1.5), 0.4, 0.14 / (height + 1.5)))
    mappable = matplotlib.cm.ScalarMappable(norm, colors)
    figure.colorbar(mappable, cax=scale, orientation="horizontal", label="surprisal in bits")
    return figure


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
    points = TSNE(2, init="pca", perplexity=perplexity, random_state=0).fit_transform(components)
    figure = Figure(figsize=(11, 9), layout="constrained")
    axes = figure.subplots()
    axes.scatter(points[:, 0], points[:, 1], s=0)
    for (x, y), token in zip(points, tokens, strict=True):
        shown = token.strip(" ").replace("\n", "\\n").replace("$", r"\$") or "space"
        axes.text(x, y, shown, fontsize=7, ha="center", va="center", clip_on=True)
    axes.set(title=f"The {len(points)} most frequent tokens by their vectors (t-SNE)")
    axes.set(xticks=[], yticks=[])
    return figure
