"""Figures of translation show what was measured."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.predictions import Predictions
from pipelines.tasks.translation import figures as translation_figures

SOURCES = ["one two", "one two three", "one two three four", "one two three four five"]


def predictions(found: list[str]) -> Predictions:
    examples = {"source": np.array(SOURCES, object), "target": np.array(SOURCES, object)}
    translation = np.array([text.encode() for text in found], object)
    return Predictions(examples, {"translation": translation, "score": -np.arange(4.0)})


def test_quality_by_length_lies_within_the_figure():
    figure = translation_figures.by_length(predictions([*SOURCES[:3], "nothing at all"]))
    (axes,) = figure.axes
    widths = [bar.get_width() for bar in axes.patches]  # type: ignore[attr-defined]
    assert max(widths) == pytest.approx(100)
    assert min(widths) < 60  # Two in one bar, one of them wrong.
    assert axes.get_xlim() == (0, 100)
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert [int(name.split("(")[1].rstrip(")")) for name in names] == [1, 1, 2]
