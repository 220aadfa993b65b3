"""Pictures of language models: surprise, the use of context, and where tokens lie."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from pipelines.predictions import Predictions
from pipelines.text.reversible_tokenizers import PAD

# Of a monospaced letter of 9 points, in inches.
_LETTER, _LINE = 0.0753, 0.22
_WIDTH = 10.0
_MOST_BITS = 16.0


def by_position(test: Predictions) -> Figure:
    """Draws the perplexity of test's tokens by how many tokens the network has read before them.

    Args:
        test: "log_probabilities" [windows, context] of the "target" [windows, context].
    """
    real = test.examples["target"] != PAD
    likely = np.where(real, test.predicted["log_probabilities"], 0.0)
    perplexity = np.exp(-likely.sum(0) / np.maximum(real.sum(0), 1))
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(range(1, len(perplexity) + 1), perplexity, color="tab:blue")
    axes.set(xlabel="tokens read", ylabel="perplexity", title="Test: what context is worth")
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    return figure


def mixture(network: np.ndarray, ngram: np.ndarray) -> Figure:
    """Draws the perplexity of a network and an n-gram model mixed, by the share of the latter.

    Args:
        network: float [tokens], natural logarithms of probabilities.
        ngram: The same of the n-gram model.
    """
    shares = np.linspace(0, 1, 41)
    mixed = [np.exp(-np.log((1 - s) * np.exp(network) + s * np.exp(ngram)).mean()) for s in shares]
    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(shares, mixed, color="tab:blue")
    axes.plot([0, 1], [mixed[0], mixed[-1]], "o", color="tab:gray")
    axes.annotate("network", (0, mixed[0]), xytext=(8, 0), textcoords="offset points")
    axes.annotate("n-gram", (1, mixed[-1]), xytext=(-8, 0), textcoords="offset points", ha="right")
    axes.set(xlabel="share of the n-gram model", ylabel="perplexity")
    axes.set_title("Test: what one model knows that the other does not")
    axes.grid(alpha=0.3)
    return figure


def surprisal(tokens: Sequence[str], bits: Sequence[float], *, title: str) -> Figure:
    """Draws a text, each token coloured by its surprisal -log2 p in bits.

    Args:
        tokens: Texts of the tokens, with the spaces between them; "\\n" begins a line.
        bits: One for each; from 16 on the colour is the same.
        title: What text it is.
    """
    colours, norm = matplotlib.colormaps["OrRd"], Normalize(0, _MOST_BITS)
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
        axes.add_patch(Rectangle((x, y), width, 0.9 * _LINE, color=colours(norm(value))))
        axes.text(
            *(x, y + 0.45 * _LINE, token.replace("$", r"\$")),
            fontsize=9,
            family="DejaVu Sans Mono",
            va="center",
            color="white" if value > 0.7 * _MOST_BITS else "black",
        )
    figure.text(0.02, 1 - 0.35 / (height + 1.5), title, fontsize=12)
    scale = figure.add_axes((0.02, 0.6 / (height + 1.5), 0.4, 0.14 / (height + 1.5)))
    mappable = matplotlib.cm.ScalarMappable(norm, colours)
    figure.colorbar(mappable, cax=scale, orientation="horizontal", label="surprisal in bits")
    return figure


def token_map(vectors: np.ndarray, tokens: Sequence[str]) -> Figure:
    """Draws tokens where their vectors lie, by t-SNE (van der Maaten & Hinton 2008) of cosines.

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
