"""Figures: the right panels with the right words, and drawable in every case."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines import figures


def drawn(figure: Figure) -> Figure:
    """Draws it as MLflow does, which is where layouts fail."""
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
    figure = drawn(figures.learning_curves(history))
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy"]
    for axes in figure.axes:
        name = axes.get_title()
        lines = {str(line.get_label()): line for line in axes.lines}
        assert set(lines) == {"training", "validation"}
        for label, values in (("training", history[name]), ("validation", history[f"val_{name}"])):
            np.testing.assert_array_equal(lines[label].get_xdata(), [1, 2, 3])
            np.testing.assert_array_equal(lines[label].get_ydata(), values)


def test_learning_curves_show_a_single_epoch():
    figure = drawn(figures.learning_curves({"loss": [1.0], "val_loss": [2.0]}))
    assert len(figure.axes) == 1


@pytest.mark.parametrize(
    ("names", "rotation"),
    [(("0", "1", "2"), 0), (("T-shirt/top", "Trouser", "Ankle boot"), 90)],
)
def test_the_confusion_matrix_counts_true_labels_by_row(names, rotation):
    truth = np.array([0, 0, 0, 1, 1, 0])
    predicted = np.array([0, 0, 1, 1, 0, 0])
    figure = drawn(figures.confusion_matrix(truth, predicted, names))
    (axes,) = figure.axes
    assert axes.get_title() == "66.7% of 6 test examples are right"
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
    assert figure.axes[0].get_title() == "100.0% of 200 test examples are right"
    assert len(figure.axes[0].texts) == 0
    assert max(figure.get_size_inches()) <= 24


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 8, 11])
def test_an_image_grid_shows_each_image_under_its_caption(count, channels):
    images = [np.full((5, 4, channels), 10 * number, np.uint8) for number in range(count)]
    captions = [f"picture {number}" for number in range(count)]
    figure = drawn(figures.image_grid(images, captions, title="All of them"))
    assert figure.get_suptitle() == "All of them"
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.get_title() for axes in shown] == captions
    for axes, image in zip(shown, images, strict=True):
        np.testing.assert_array_equal(axes.images[0].get_array(), image.squeeze())
    assert len(figure.axes) == 8 * -(-count // 8)
    assert not any(axes.axison for axes in figure.axes)


def test_an_image_grid_without_images_is_a_title():
    figure = drawn(figures.image_grid([], [], title="No mistakes on test"))
    assert figure.get_suptitle() == "No mistakes on test"
    assert not any(axes.images for axes in figure.axes)
