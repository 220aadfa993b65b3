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
from pipelines.baselines import Baseline
from pipelines.predictions import Predictions


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
    assert [axes.get_title("left") for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        name = axes.get_title("left")
        lines = {str(line.get_label()): line for line in axes.lines}
        assert set(lines) == {"training", "validation"}
        for label, values in (("training", history[name]), ("validation", history[f"val_{name}"])):
            np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(lines[label].get_ydata(), values)


def test_learning_curves_show_a_single_epoch():
    figure = rendered(figures.learning_curves({"loss": [1.0], "val_loss": [2.0]}))
    (axes,) = figure.axes
    # A line of one point is nothing without a marker.
    assert [line.get_marker() for line in axes.lines] == ["o", "o"]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_learning_curves_mark_the_kept_epoch_and_the_baseline():
    history = {"accuracy": [0.1, 0.3, 0.2], "val_accuracy": [0.2, 0.4, 0.3]}
    history |= {"loss": [3.0, 2.0, 1.0], "val_loss": [3.0, 2.0, 1.0]}
    none = Predictions({}, {})
    baseline = Baseline("counts", {"accuracy": 0.25}, {"accuracy": 0.5}, none, none, lambda _: {})
    figure = figures.learning_curves(
        history, kept=2, better={"accuracy": True, "loss": False}, baseline=baseline
    )
    accuracy, loss = figure.axes
    assert accuracy.get_title("left") == "accuracy (↑ higher is better)"
    assert loss.get_title("left") == "loss (↓ lower is better)"
    lines = {str(line.get_label()): line for line in accuracy.lines}
    np.testing.assert_array_equal(lines["kept: epoch 2"].get_xydata(), [[2, 0.4]])
    assert np.unique(lines["baseline: counts"].get_ydata()).tolist() == [0.25]
    assert "baseline: counts" not in {str(line.get_label()) for line in loss.lines}
    shown = [text.get_text() for text in figure.legends[0].get_texts()]
    assert shown == ["training", "validation", "kept: epoch 2", "baseline: counts"]


@pytest.mark.parametrize(
    ("names", "rotation"),
    [(("0", "1", "2"), 0), (("T-shirt/top", "Trouser", "Ankle boot"), 90)],
)
def test_the_confusion_matrix_counts_true_labels_by_row(names, rotation):
    truth = np.array([0, 0, 0, 1, 1, 0])
    predicted = np.array([0, 0, 1, 1, 0, 0])
    figure = rendered(figures.confusion_matrix(truth, predicted, names, counted="images"))
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Accuracy 66.7% on 6 test images"
    assert figure.get_supxlabel() == "predicted (number of images)"
    # The third class never comes up and has its row and column all the same; zeros are blank.
    counts = {text.get_position(): text.get_text() for text in axes.texts}
    assert counts == {(0, 0): "3", (1, 0): "1", (0, 1): "1", (1, 1): "1"}
    assert [label.get_text() for label in axes.get_yticklabels()] == list(names)
    assert [label.get_text() for label in axes.get_xticklabels()] == list(names)
    assert {label.get_rotation() for label in axes.get_xticklabels()} == {rotation}


def test_a_confusion_matrix_of_many_classes_stays_readable():
    names = [f"class {number}" for number in range(200)]
    labels = np.arange(200)
    figure = figures.confusion_matrix(labels, labels, names, counted="images")
    assert figure.get_suptitle() == "Accuracy 100.0% on 200 test images"
    assert len(figure.axes[0].texts) == 0
    assert max(figure.get_size_inches()) <= 18


def test_reliability_shows_accuracy_in_bins_of_equally_many_examples():
    confidence = np.array([0.1, 0.15, 0.55, 0.65, 0.9, 1.0])
    right = np.array([False, True, True, False, True, True])
    figure = figures.reliability(confidence, right, 0.125, counted="images", bins=3)
    assert rendered(figure).get_suptitle() == "Calibration error 0.125 on 6 test images"
    top, bottom = figure.axes
    lines = {str(line.get_label()): line for line in top.lines}
    np.testing.assert_array_equal(lines["perfectly calibrated"].get_xydata(), [[0, 0], [1, 1]])
    points = lines["network, 2 images a point, 95 % intervals"]
    assert points.get_xdata() == pytest.approx([0.125, 0.6, 0.95])
    assert points.get_ydata() == pytest.approx([0.5, 0.5, 1])
    containers: Any = top.containers
    (bars,) = containers[0].lines[2]
    # Wilson's intervals of 1 and 2 right of 2.
    low, high = np.array([segment[:, 1] for segment in bars.get_segments()]).T
    assert low == pytest.approx([0.0945, 0.0945, 0.3424], abs=1e-4)
    assert high == pytest.approx([0.9055, 0.9055, 1], abs=1e-4)
    heights: Any = bottom.patches
    assert sum(bar.get_height() for bar in heights) == 6


@given(arrays.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)), st.integers(0, 99))
@settings(max_examples=5, deadline=None)
def test_reliability_counts_every_example_once(confidence, seed):
    right = np.random.default_rng(seed).uniform(size=len(confidence)) < confidence
    top, bottom = figures.reliability(confidence, right, 0.0, counted="texts").axes
    bars: Any = bottom.patches
    assert sum(bar.get_height() for bar in bars) == len(confidence)
    *_, points = top.lines
    mean, accuracy = np.array(points.get_xydata()).T
    sizes = [len(part) for part in np.array_split(confidence, 12) if len(part)]
    assert np.dot(mean, sizes) == pytest.approx(confidence.sum())
    assert np.dot(accuracy, sizes) == pytest.approx(right.sum())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 11])
def test_an_image_grid_shows_each_image_under_its_caption(count, channels):
    images = [np.full((5, 4, channels), 10 * number, np.uint8) for number in range(count)]
    captions = [f"image {number}" for number in range(count)]
    (axes,) = rendered(figures.image_grid(images, captions, title="All of them")).axes
    title, *texts = axes.texts
    assert title.get_text() == "All of them"
    assert [text.get_text() for text in texts] == captions
    for text, shown, image in zip(texts, axes.images, images, strict=True):
        np.testing.assert_array_equal(shown.get_array(), image.squeeze())
        left, right, bottom, top = shown.get_extent()
        assert text.get_position()[0] == left
        assert text.get_position()[1] < top < bottom
        assert (right - left) / (bottom - top) == pytest.approx(4 / 5)
    rows = {text.get_position()[1] for text in texts}
    assert len(rows) == -(-count // 8)


def test_an_image_grid_without_images_is_a_title():
    (axes,) = rendered(figures.image_grid([], [], title="No mistakes on test")).axes
    assert [text.get_text() for text in axes.texts] == ["No mistakes on test"]
    assert not axes.images


@pytest.mark.parametrize("channels", [1, 3])
def test_image_rows_show_an_example_in_each_column(channels):
    rows = {
        name: np.full((3, 4, 6, channels), value, np.uint8) for name, value in (("a", 1), ("b", 2))
    }
    rows["a"][2] = 9
    legend = {"cell": np.array([255, 0, 51], np.uint8)}
    captions = ["first", "second", "third"]
    figure = rendered(figures.image_rows(rows, captions, legend=legend, title="All of them"))
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert texts == ["All of them", *captions, "a", "b"]
    shown = [np.asarray(image.get_array()).max() for image in axes.images]
    assert shown == [1, 1, 9, 2, 2, 2]
    (patch,) = figure.legends[0].get_patches()
    assert figure.legends[0].get_texts()[0].get_text() == "cell"
    assert patch.get_facecolor() == (1, 0, 0.2, 1)


def test_a_normalized_confusion_matrix_has_fractions_of_each_true_class():
    counts = np.array([[3, 1, 0], [0, 0, 0], [5, 0, 5]])
    counts[0, 2] = 1000
    figure = figures.normalized_confusion_matrix(
        counts, ("a", "b", "c"), title="Pixels", counted="pixels"
    )
    (axes,) = rendered(figure).axes
    assert figure.get_suptitle() == "Pixels"
    # What is there but tiny is no blank.
    assert [text.get_text() for text in axes.texts] == ["<.01", "<.01", "1.00", "0.50", "0.50"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]


def test_bars_are_as_long_as_their_numbers():
    figure = rendered(
        figures.bars({"a": 0.25, "b": 1.0, "c": np.nan}, x_label="F1", title="Scores")
    )
    (axes,) = figure.axes
    assert figure.get_supxlabel() == "F1"
    assert axes.get_xlim() == (0, 1)
    ends = [bar.get_window_extent().transformed(axes.transData.inverted()) for bar in axes.patches]
    assert [end.x1 for end in ends] == pytest.approx([0.25, 1.0, 0.0])
    assert [text.get_text() for text in axes.texts] == ["0.250", "1.000", "nan"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.yaxis_inverted()
