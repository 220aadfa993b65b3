"""Figures of token classification: F1 by type, confusions of types, and the worst mistakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib.figure import Figure

from pipelines import figures as plots
from pipelines import style
from pipelines.predictions import Predictions
from pipelines.tasks.token_classification.metrics import f1_by_type
from pipelines.text import figures as text_figures


def figures(test: Predictions) -> Iterator[tuple[str, Figure]]:
    """Yields F1 by type, confusions of types, and the worst mistakes.

    Args:
        test: Examples "words" and "tags" and predicted "tags", object arrays [texts] of tuples.
    """
    by_type = sorted(f1_by_type(test).items(), key=lambda entry: -entry[1][1])
    yield (
        "f1_by_type",
        plots.bars(
            {f"{name} ({count:,})": f1 for name, (f1, count) in by_type},
            x_label=style.directed("F1, 0 to 1", True, axis="x"),
            title="Test entities by type (number of true entities)",
        ),
    )
    truth, predicted = test.examples["tags"], test.predicted["tags"]
    types = sorted({_type(tag) for row in (*truth, *predicted) for tag in row})
    true_types, predicted_types = (
        np.array([types.index(_type(tag)) for row in rows for tag in row])
        for rows in (truth, predicted)
    )
    yield (
        "confusion_matrix",
        plots.confusion_matrix(true_types, predicted_types, types, counted="words"),
    )
    texts = zip(test.examples["words"], truth, predicted, strict=True)
    shown = [(_marked(*text), sum(map(str.__ne__, *text[1:]))) for text in texts]
    worst = sorted((text for text in shown if text[1]), key=lambda text: -text[1])[:12]
    yield (
        "worst_mistakes",
        text_figures.texts(
            [text for text, _ in worst],
            [f"{count} words wrong; [predicted, true]" for _, count in worst],
            title="Worst mistakes on the test split",
            right=[False] * len(worst),
        ),
    )


def _type(tag: str) -> str:
    return tag.partition("-")[2] or tag


def _marked(words: Sequence[str], truth: Sequence[str], predicted: Sequence[str]) -> str:
    return " ".join(
        word if true == tag else f"{word} [{tag}, {true}]"
        for word, true, tag in zip(words, truth, predicted, strict=True)
    )
