"""Figures of translation: translations and targets, quality by length, alignment."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from matplotlib.figure import Figure

from architectures.attention import attention_maps
from pipelines.figures import bars
from pipelines.predictions import Predictions
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
    yield from alignment(model, data)


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
            f"chrF {value:.0f}, score {score:.2f}: {source}"
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
            means[f"{low} to {max(low, high - 1)} ({chosen.sum()})"] = float(quality[chosen].mean())
    unit = "words" if spaced else "letters"
    return bars(means, x_label="mean chrF", title=f"Test sources by {unit}", largest=100.0)


def alignment(model: keras.Model, data: ParallelTexts) -> Iterator[tuple[str, Figure]]:
    """Yields the alignment of a test pair: the decoder's attention to the source.

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
    width, height = 0.32 * len(source) + 1.6, 0.28 * len(target) + 1.6
    figure = Figure(figsize=(width * len(weights), height), layout="constrained")
    panels = figure.subplots(1, len(weights), squeeze=False)[0]
    for axes, (name, weight) in zip(panels, weights.items(), strict=True):
        axes.imshow(weight, cmap="Blues", aspect="auto", vmin=0, vmax=1)
        axes.set_xticks(range(len(source)), source, rotation=90, fontsize=8)
        axes.set_yticks(range(len(target)), target, fontsize=8)
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("source")
    panels[0].set_ylabel("target")
    yield "alignment", figure


def _tokens(tokenizer: ReversibleTokenizer, ids: np.ndarray) -> list[str]:
    # The font of figures lacks the joiner.
    return [tokenizer.vocabulary[index].replace(JOINER, "·") for index in ids]
