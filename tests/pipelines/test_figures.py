"""Figures: panels and labels, and that every figure can be rendered."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from matplotlib.figure import Figure

from pipelines import figures


def rendered(figure: Figure) -> Figure:
    """Renders a figure as MLflow does, which is where layouts fail."""
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    return figure


def test_learning_curves_show_training_beside_validation():
    history = {
        "loss": [3.0, 2.0, 1.0],
        "accuracy": [0.1, 0.2, 0.3],
        "val_loss": [3.5, 2.5, 1.5],
        "val_accuracy": [0.2, 0.3, 0.4],
        "learning_rate": [1.0, 0.5, 0.1],
    }
    figure = rendered(figures.learning_curves(history))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        name = axes.get_title()
        lines = {str(line.get_label()): line for line in axes.lines}
        assert set(lines) == {"training", "validation"}
        for label, values in (("training", history[name]), ("validation", history[f"val_{name}"])):
            np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(lines[label].get_ydata(), values)


def test_learning_curves_show_a_single_epoch():
    figure = rendered(figures.learning_curves({"loss": [1.0], "val_loss": [2.0]}))
    assert len(figure.axes) == 1


@pytest.mark.parametrize(
    ("names", "rotation"),
    [(("0", "1", "2"), 0), (("T-shirt/top", "Trouser", "Ankle boot"), 90)],
)
def test_the_confusion_matrix_counts_true_labels_by_row(names, rotation):
    truth = np.array([0, 0, 0, 1, 1, 0])
    predicted = np.array([0, 0, 1, 1, 0, 0])
    figure = rendered(figures.confusion_matrix(truth, predicted, names))
    (axes,) = figure.axes
    assert axes.get_title() == "Accuracy 66.7% on 6 test examples"
    # The third class never comes up and has its row and column all the same.
    counts = [int(text.get_text()) for text in axes.texts]
    assert counts == [3, 1, 0, 1, 1, 0, 0, 0, 0]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(names)
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


def test_a_confusion_matrix_of_many_classes_stays_readable():
    names = [f"class {number}" for number in range(200)]
    labels = np.arange(200)
    figure = figures.confusion_matrix(labels, labels, names)
    assert figure.axes[0].get_title() == "Accuracy 100.0% on 200 test examples"
    assert len(figure.axes[0].texts) == 0
    assert max(figure.get_size_inches()) <= 24


def test_reliability_shows_accuracy_over_confidence():
    confidence = np.array([0.1, 0.15, 0.55, 0.65, 1.0])
    right = np.array([False, True, True, False, True])
    figure = rendered(figures.reliability(confidence, right, bins=5))
    assert figure.get_suptitle() == "Reliability on 5 test examples"
    top, bottom = figure.axes
    lines = {str(line.get_label()): line for line in top.lines}
    np.testing.assert_array_equal(lines["perfectly calibrated"].get_xydata(), [[0, 0], [1, 1]])
    # A point for each bin that holds examples: their mean confidence, their accuracy.
    assert lines["model"].get_xdata() == pytest.approx([0.125, 0.55, 0.65, 1])
    assert lines["model"].get_ydata() == pytest.approx([0.5, 1, 0, 1])
    bars: Any = bottom.patches
    assert [bar.get_height() for bar in bars] == [2, 0, 1, 1, 1]
    assert [bar.get_x() for bar in bars] == pytest.approx([0, 0.2, 0.4, 0.6, 0.8])
    assert [bar.get_width() for bar in bars] == pytest.approx([0.2] * 5)


@given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)), st.integers(0, 99))
@settings(max_examples=15)
def test_reliability_counts_every_example_once(confidence, seed):
    right = np.random.default_rng(seed).uniform(size=len(confidence)) < confidence
    top, bottom = figures.reliability(confidence, right).axes
    bars: Any = bottom.patches
    heights = np.array([bar.get_height() for bar in bars])
    assert heights.sum() == len(confidence)
    (line,) = (line for line in top.lines if line.get_label() == "model")
    mean, accuracy = np.array(line.get_xydata()).T
    counts = heights[heights > 0]
    assert len(mean) == len(counts)
    assert np.dot(mean, counts) == pytest.approx(confidence.sum())
    assert np.dot(accuracy, counts) == pytest.approx(right.sum())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_an_image_grid_shows_each_image_under_its_caption(count, channels):
    images = [np.full((5, 4, channels), 10 * number, np.uint8) for number in range(count)]
    captions = [f"image {number}" for number in range(count)]
    figure = rendered(figures.image_grid(images, captions, title="All of them"))
    assert figure.get_suptitle() == "All of them"
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == captions
    for axes, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image.squeeze())
    assert len(figure.axes) == 8 * -(-count // 8)
    assert not any(axes.axison for axes in figure.axes)


def test_an_image_grid_without_images_is_a_title():
    figure = rendered(figures.image_grid([], [], title="No mistakes on test"))
    assert figure.get_suptitle() == "No mistakes on test"
    assert not any(axes.images for axes in figure.axes)


@pytest.mark.parametrize("channels", [1, 3])
def test_image_rows_show_an_example_in_each_column(channels):
    rows = {
        name: np.full((3, 4, 6, channels), value, np.uint8) for name, value in (("a", 1), ("b", 2))
    }
    rows["a"][2] = 9
    legend = {"cell": np.array([255, 0, 51], np.uint8)}
    captions = ["first", "second", "third"]
    figure = rendered(figures.image_rows(rows, captions, legend=legend, title="All of them"))
    assert figure.get_suptitle() == "All of them"
    assert [axes.get_title() for axes in figure.axes] == [*captions, "", "", ""]
    assert [axes.get_ylabel() for axes in figure.axes] == ["a", "", "", "b", "", ""]
    shown = [np.asarray(axes.images[0].get_array()).max() for axes in figure.axes]
    assert shown == [1, 1, 9, 2, 2, 2]
    (patch,) = figure.legends[0].get_patches()
    assert patch.get_label() == "cell"
    assert patch.get_facecolor() == (1, 0, 0.2, 1)


def test_a_normalized_confusion_matrix_has_fractions_of_each_true_class():
    counts = np.array([[3, 1, 0], [0, 0, 0], [5, 0, 5]])
    figure = rendered(figures.normalized_confusion_matrix(counts, ("a", "b", "c"), title="Pixels"))
    (axes,) = figure.axes
    assert axes.get_title() == "Pixels"
    shown = ["0.75", "0.25", "0.00", "0.00", "0.00", "0.00", "0.50", "0.00", "0.50"]
    assert [text.get_text() for text in axes.texts] == shown
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


def test_bars_are_as_long_as_their_numbers():
    figure = rendered(
        figures.bars({"a": 0.25, "b": 1.0, "c": np.nan}, x_label="F1", title="Scores")
    )
    (axes,) = figure.axes
    assert axes.get_xlabel() == "F1"
    ends = [bar.get_window_extent().transformed(axes.transData.inverted()) for bar in axes.patches]
    assert [end.x1 for end in ends] == pytest.approx([0.25, 1.0, 0.0])
    assert [text.get_text() for text in axes.texts] == ["0.250", "1.000", "nan"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
