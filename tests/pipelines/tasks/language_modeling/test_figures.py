"""Figures of language models: each shows what was measured."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from pipelines.tasks.language_modeling import figures as language_figures
from tests.pipelines.boxes import check


def test_perplexity_by_position_leaves_padding_out():
    log_probs = np.log(np.array([[0.5, 0.25, 0.1], [0.5, 0.125, 0.9]]))
    real = np.array([[True, True, True], [True, True, False]])
    figure = language_figures.by_position(log_probs, real)
    (line,) = figure.axes[0].lines
    np.testing.assert_array_equal(np.asarray(line.get_xdata()), [1, 2, 3])
    np.testing.assert_allclose(np.asarray(line.get_ydata()), [2, np.sqrt(32), 10])


def test_a_mixture_goes_from_the_network_to_the_ngram_model():
    network, ngram = np.log([0.5, 0.1, 0.4]), np.log([0.1, 0.5, 0.4])
    figure = language_figures.mixture(network, ngram)
    line, *ends = figure.axes[0].lines
    values = np.asarray(line.get_ydata())
    np.testing.assert_allclose(values[[0, -1]], 0.02 ** (-1 / 3))
    np.testing.assert_allclose(values[20], (0.3 * 0.3 * 0.4) ** (-1 / 3))
    assert values.argmin() == 20
    points = np.concatenate([np.asarray(end.get_ydata()) for end in ends])
    np.testing.assert_allclose(points, values[[0, -1]])


def test_surprisal_colors_each_token_and_wraps_lines():
    tokens = ["It", " costs", " $5", "\n", "more", *[" word"] * 60]
    bits = [0, 16, 40, 3, 8, *[1] * 60]
    figure = language_figures.surprisal(tokens, bits, title="A text")
    axes, scale = figure.axes
    assert [text.get_text() for text in axes.texts][:5] == [
        *("A text", "It", " costs", " $5", "more"),
    ]
    boxes = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    colors = [box.get_facecolor() for box in boxes]
    assert colors[1] == colors[2] != colors[0]
    lefts = [box.get_x() for box in boxes]
    tops = [box.get_y() for box in boxes]
    assert lefts[0] == lefts[3] == min(lefts)
    assert tops[3] > tops[2] == tops[0]
    assert max(box.get_x() + box.get_width() for box in boxes) <= axes.get_xlim()[1] + 1e-9
    assert tops[-1] > tops[3]
    assert scale.get_xlabel() == "surprisal in bits"


def test_tokens_lie_near_those_like_them():
    random = np.random.default_rng(0)
    centers = 5 * np.eye(3).repeat(10, 0)
    vectors = centers + random.normal(size=(30, 3))
    figure = language_figures.token_map(vectors, [f" {number}" for number in range(30)])
    _, *texts = figure.axes[0].texts
    places = {int(text.get_text()): np.array(text.get_position()) for text in texts}
    of_center = [
        np.stack([place for number, place in places.items() if number // 10 == center])
        for center in range(3)
    ]
    within = np.linalg.norm(of_center[0] - of_center[0].mean(0), axis=1).mean()
    between = np.linalg.norm(of_center[0].mean(0) - of_center[1].mean(0))
    assert within < between


@pytest.mark.parametrize("count", [4, 7])
def test_a_few_tokens_make_a_map_too(count):
    vectors = np.random.default_rng(0).normal(size=(count, 5))
    figure = language_figures.token_map(vectors, list("abcdefg"[:count]))
    assert len(figure.axes[0].texts) + len(figure.axes[0].lines) == 1 + count


def test_tokens_in_one_place_are_not_written_over_each_other():
    vectors = np.repeat(np.random.default_rng(0).normal(size=(5, 4)), 6, axis=0)
    figure = language_figures.token_map(vectors, [f"token {number}" for number in range(30)])
    (axes,) = check(figure).axes
    assert 5 <= len(axes.texts) - 1 < 30
    assert axes.texts[1].get_text() == "token 0"  # The most frequent one.
    assert len(axes.texts) - 1 + len(axes.lines) == 30
