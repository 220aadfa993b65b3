"""Figures of token classification."""

from __future__ import annotations

import numpy as np

from pipelines.predictions import Predictions
from pipelines.tasks.token_classification.data import as_column
from pipelines.tasks.token_classification.figures import figures


def words(*texts: str) -> np.ndarray:
    return as_column([text.split() for text in texts])


def test_the_figures_show_types_and_the_worst_texts_first():
    test = Predictions(
        {
            "words": words("Ann met $5 Bob", "in Oslo", "so"),
            "tags": words("B-PER O O B-PER", "O B-LOC", "O"),
        },
        {"tags": words("O O O B-LOC", "O B-PER", "O")},
    )
    plotted = dict(figures(test))
    assert list(plotted) == ["f1_by_type", "confusion_matrix", "worst_mistakes"]
    axes = plotted["f1_by_type"].axes[0]
    assert {text.get_text() for text in axes.get_yticklabels()} >= {"PER (2)", "LOC (1)"}
    lines = [text.get_text() for text in plotted["worst_mistakes"].axes[0].texts]
    assert lines[0] == "Worst mistakes on the test split"
    assert lines[1].startswith("2 words wrong")
    assert lines[2] == "Ann [O, B-PER] met $5 Bob [B-LOC, B-PER]"
    assert lines[3].startswith("1 words wrong")
    assert lines[4] == "in Oslo [B-PER, B-LOC]"
    assert len(lines) == 5


def test_a_perfect_tagger_has_no_mistakes_to_show():
    test = Predictions({"words": words("Ann"), "tags": words("B-PER")}, {"tags": words("B-PER")})
    *_, (name, figure) = figures(test)
    assert name == "worst_mistakes"
    assert [text.get_text() for text in figure.axes[0].texts] == ["No mistakes on test"]
