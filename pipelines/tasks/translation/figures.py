"""Figures of translation: translations and targets, quality by length, alignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import keras
import numpy as np
from matplotlib.figure import Figure

from architectures.attention import attention_maps
from pipelines import style
from pipelines.figures import bars
from pipelines.predictions import Predictions
from pipelines.style import styled
from pipelines.tasks.translation.data import ParallelTexts
from pipelines.tasks.translation.metrics import sentence_chrf
from pipelines.text import figures as text_figures
from pipelines.text.reversible import JOINER, ReversibleTokenizer

_TEXTS = 10
# An alignment of about this many source tokens is readable.
_ALIGNED = 14


def figures(
    model: keras.Model, data: ParallelTexts, test: Predictions
) -> Iterator[tuple[str, Figure]]:
    """Yields typical and worst translations, chrF by length, lengths, and an alignment."""
    yield from translations(test)
    yield "chrf_by_length", by_length(test)
    yield "lengths", text_figures.lengths(data.train, part="target_ids")
    yield "alignment", alignment(model, data)


def translations(test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields the test translations around the median of chrF, and the worst."""
    quality = sentence_chrf(test)
    order = np.argsort(quality, kind="stable")
    middle = max(0, len(order) // 2 - _TEXTS // 2)
    for name, chosen, title in (
        (
            "typical_translations",
            order[middle:][:_TEXTS],
            "Test translations around the median",
        ),
        ("worst_translations", order[:_TEXTS], "The worst test translations"),
    ):
        rows = test.take(chosen)
        columns = (rows.predicted["translation"], rows.examples["target"])
        shown = [f"{text.decode()}   |   true: {true}" for text, true in zip(*columns, strict=True)]
        captions = [
            f"chrF {value:.0f} of 100, score {score:.2f}: {source}"
            for value, score, source in zip(
                quality[chosen], rows.predicted["score"], rows.examples["source"], strict=True
            )
        ]
        yield name, text_figures.texts(shown, captions, title=title)


def by_length(test: Predictions) -> Figure:
    """Plots the mean chrF of test translations by the number of words, or letters, of sources."""
    quality = sentence_chrf(test)
    spaced = any(" " in source for source in test.examples["source"])
    lengths = np.array([len(s.split() if spaced else s) for s in test.examples["source"]])
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, 6)).astype(int))
    means = {}
    for low, high in zip(edges, [*edges[1:-1], edges[-1] + 1], strict=False):
        chosen = (lengths >= low) & (lengths < high)
        if chosen.any():
            between = f"{low} to {high - 1}" if high - 1 > low else str(low)
            means[f"{between} ({chosen.sum():,})"] = float(quality[chosen].mean())
    unit = "words" if spaced else "letters"
    label = style.directed("mean chrF, 0 to 100", True, axis="x")
    title = f"Test sources by {unit} (number of sources)"
    return bars(means, x_label=label, title=title, largest=100.0)


def alignment(model: keras.Model, data: ParallelTexts) -> Figure:
    """Plots the alignment of a test pair: the decoder's attention to the source.

    The mean over the heads of each layer; each row sums to one.
    """
    examples = list(data.test.take(200).as_numpy_iterator())
    sizes = np.array([len(inputs["source_ids"]) for inputs, *_ in examples])
    inputs, following, _ = examples[int(np.abs(sizes - _ALIGNED).argmin())]
    batch = {
        name: (x[:-1] if name.startswith("target") else x)[np.newaxis] for name, x in inputs.items()
    }
    maps = keras.tree.map_structure(np.asarray, attention_maps(model)(batch))
    weights = {
        name: weight[0].mean(0) if weight.ndim == 4 else weight[0]
        for name, weight in maps.items()
        if "cross_attention" in name or name == "attention"
    }
    source = _tokens(data.source_tokenizer, inputs["source_ids"])
    target = _tokens(data.target_tokenizer, following)
    return _alignments(weights, source, target)


@styled
def _alignments(
    weights: Mapping[str, np.ndarray], source: Sequence[str], target: Sequence[str]
) -> Figure:
    """Plots attention from target to source tokens, [target, source] by layer."""
    source, target = ([style.shortened(t, 1.1) for t in tokens] for tokens in (source, target))
    above, beside = (max(style.width_of(t, 9) for t in tokens) for tokens in (source, target))
    width, height = max(0.26 * len(source), 2.0), max(0.22 * len(target), 1.5)
    figure = Figure(
        figsize=(width * len(weights) + beside + 1.8, height + above + 1.7), layout="constrained"
    )
    style.title(figure, "Attention of a test text, mean over heads")
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for number, (axes, (name, weight)) in enumerate(zip(panels, weights.items(), strict=True)):
        image = axes.imshow(weight, aspect="auto", vmin=0, vmax=1)
        axes.set_xticks(range(len(source)), source, rotation=90)
        axes.set_yticks(range(len(target) if not number else 0), () if number else target)
        axes.set(title=style.shortened(name, width - 0.3, 10), xlabel="source (key)")
    panels[0].set_ylabel("target (query)")
    figure.colorbar(image, ax=list(panels), label="weight", pad=0.01)
    return figure


def _tokens(tokenizer: ReversibleTokenizer, ids: np.ndarray) -> list[str]:
    # The font of figures lacks the joiner.
    return [tokenizer.vocabulary[index].replace(JOINER, "·") for index in ids]
