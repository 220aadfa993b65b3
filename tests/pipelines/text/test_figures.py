"""Pictures of texts: padding by hand, mistakes cut short, attention where there is any."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

import architectures
from architectures.attention import attention_maps
from pipelines import style
from pipelines.text import figures as text_figures
from pipelines.text.figures import padding
from pipelines.training.batching import buckets

LENGTHS = st.lists(st.integers(1, 200), min_size=1, max_size=40).map(np.array)


def test_padding_is_what_fills_batches_up_to_their_longest():
    assert padding([np.array([4, 2, 2]), np.array([1])]) == pytest.approx(4 / 13)
    assert padding([np.array([7, 7])]) == 0
    assert padding([np.array([1, 3])]) == pytest.approx(2 / 6)


@given(LENGTHS, st.integers(1, 8))
def test_padding_counts_the_zeros_of_padded_batches(lengths, size):
    batches = [lengths[start : start + size] for start in range(0, len(lengths), size)]
    rows = [np.arange(max(batch)) < batch[:, None] for batch in batches]
    total = sum(row.size for row in rows)
    assert padding(batches) == pytest.approx(1 - sum(row.sum() for row in rows) / total)
    assert padding([lengths[:1]] * 3) == 0


def test_buckets_waste_less_than_shuffled_batches():
    lengths = np.random.default_rng(0).integers(1, 129, 640)
    shuffled = padding(np.split(lengths, 20))
    bucketed = padding([b[i : i + 32] for b in buckets(lengths) for i in range(0, len(b), 32)])
    assert 0 < bucketed < shuffled / 2


def examples(lengths: list[int]) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(
        tf.ragged.constant([[1] * length for length in lengths], tf.int32)
    ).map(lambda ids: ({"token_ids": ids}, 0))


def heights(axes: Axes) -> list[float]:
    return [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]


def pixels(axes: Axes) -> np.ndarray:
    return np.asarray(axes.images[0].get_array())


def test_the_lengths_are_shown_with_the_padding_of_each_way_to_batch():
    # Two batches of either length if bucketed, mixed if not.
    lengths = [4, 40] * 32
    left, right = text_figures.lengths(examples(lengths), batch_size=32).axes
    assert sum(heights(left)) == 64
    # A bar stands for whole lengths.
    edges = [bar.get_x() for bar in left.patches if isinstance(bar, Rectangle)]
    assert edges == [3.5 + number for number in range(37)]
    longest, shuffled, bucketed = heights(right)
    assert longest == pytest.approx(100 * (1 - 22 / 40))
    assert 30 < shuffled <= 60
    assert bucketed == 0


def test_texts_stand_under_their_captions_and_long_ones_are_cut():
    long = "word " * 200
    figure = text_figures.texts(["costs $5 to $9", long], ["first", "second"], title="Some texts")
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert shown[:3] == ["Some texts", "first", "costs $5 to $9"]
    assert shown[3] == "second"
    assert len(shown) == 4 + 3
    assert shown[-1].endswith("…")
    heights = [text.get_position()[1] for text in figure.axes[0].texts]
    assert heights == sorted(heights)
    assert heights[-1] < figure.axes[0].get_ylim()[0]


def test_captions_that_are_right_are_green():
    for right, colors in ((), ["black"] * 2), ([True, False], [style.RIGHT, style.WRONG]):
        figure = text_figures.texts(["one", "two"], ["1", "2"], title="Answers", right=right)
        captions = [text for text in figure.axes[0].texts if text.get_text() in ("1", "2")]
        assert [caption.get_color() for caption in captions] == colors


def test_where_there_is_no_text_it_is_said():
    figure = text_figures.texts([], [], title="Worst mistakes")
    assert [text.get_text() for text in figure.axes[0].texts] == ["No mistakes on test"]


TINY: dict[str, Any] = {"layers": 3, "heads": 2, "width": 8, "feed_forward": 8, "dropout": 0.0}
WATCHED = [
    ("bert_tiny", {"vocabulary": 9, **TINY}, 3),
    # One layer, which is applied three times.
    ("albert_base", {"vocabulary": 9, "embedding": 4, **TINY}, 3),
    ("distilbert_base", {"vocabulary": 9, **TINY}, 3),
    ("attention_memory", {"outputs": 2, "vocabulary": 9, "embedding": 4, "units": [4, 4]}, 2),
]


def inputs_of(model: keras.Model, tokens: int) -> dict[str, np.ndarray]:
    inputs = {name: np.ones((1, tokens), np.int32) for name in model.input}
    inputs["token_ids"] = np.arange(tokens, dtype=np.int32)[None] % 9
    return inputs


@pytest.mark.parametrize(("name", "options", "layers"), WATCHED)
def test_attention_is_drawn_layer_by_layer(name, options, layers):
    model = architectures.build(name, **options)
    inputs = inputs_of(model, 5)
    names = ["[CLS]", "one", "two", "three", "[SEP]"]
    received, maps = (figure for _, figure in text_figures.attention(model, inputs, names))
    weights = [
        np.asarray(weight).reshape(-1, 5, 5).mean(0)
        for weight in attention_maps(model)(inputs).values()
    ]
    assert len(weights) == layers
    assert len(received.axes[0].images) == 1
    expected = [weight.mean(0) for weight in weights]
    np.testing.assert_allclose(pixels(received.axes[0]), expected, rtol=1e-4)
    assert [label.get_text() for label in received.axes[0].get_xticklabels()] == names
    panels = [axes for axes in maps.axes if axes.images]
    assert len(panels) == layers
    for panel, weight in zip(panels, weights, strict=True):
        np.testing.assert_allclose(pixels(panel), weight, rtol=1e-4)
        assert [label.get_text() for label in panel.get_xticklabels()] == names
    assert [label.get_text() for label in panels[0].get_yticklabels()] == names
    assert (maps.get_supylabel(), maps.get_supxlabel()) == (
        *("token that attends (query)", "token attended to (key)"),
    )


def test_a_pooling_with_attention_looks_from_nowhere_in_the_text():
    options = {"outputs": 2, "vocabulary": 9, "embedding": 4, "units": [3]}
    model = architectures.build("bigru", output="attention", **options)
    inputs = inputs_of(model, 5)
    ((name, figure),) = text_figures.attention(model, inputs, list("abcde"))
    assert name == "attention_layers"
    (weights,) = attention_maps(model)(inputs).values()
    np.testing.assert_allclose(pixels(figure.axes[0]), weights, rtol=1e-4)


def test_of_a_long_text_the_first_tokens_are_drawn():
    model = architectures.build("bert_tiny", vocabulary=9, **TINY)
    drawn = text_figures.attention(model, inputs_of(model, 50), [str(i) for i in range(50)])
    names = []
    for name, figure in drawn:
        names.append(name)
        assert pixels(figure.axes[0]).shape[1] == 32
    assert names == ["attention_layers", "attention_heads"]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("word_convnet", {"embedding": 4, "filters": 3}),
        ("bilstm", {"embedding": 4, "units": [3]}),
    ],
)
def test_networks_without_attention_have_no_such_pictures(name, options):
    model = architectures.build(name, outputs=2, vocabulary=9, **options)
    assert list(text_figures.attention(model, inputs_of(model, 5), list("abcde"))) == []


def test_texts_are_mapped_by_their_features():
    """Two classes that the features tell apart lie in two places."""
    tokens = keras.Input((None,), dtype="int32", name="token_ids")
    one_hot = keras.layers.Embedding(9, 9, embeddings_initializer="identity")(tokens)
    model = keras.Model({"token_ids": tokens}, keras.layers.GlobalAveragePooling1D()(one_hot))
    random = np.random.default_rng(0)
    rows = [random.integers(1, 5, 6) + 4 * (index % 2) for index in range(40)]
    ids = tf.ragged.constant([row.tolist() for row in rows], tf.int32)
    labels = np.arange(40) % 2
    data = tf.data.Dataset.from_tensor_slices((ids, labels)).map(
        lambda ids, label: ({"token_ids": ids}, label)
    )
    figure = text_figures.embedding_map(model, data, ["even", "odd"])
    assert figure.get_suptitle() == "40 test texts by their features (t-SNE)"
    even, odd = (np.asarray(points.get_offsets()) for points in figure.axes[0].collections)
    assert (len(even), len(odd)) == (20, 20)
    centres = np.stack([even.mean(0), odd.mean(0)])
    for own, points in enumerate((even, odd)):
        distances = np.linalg.norm(points[:, None] - centres, axis=-1)
        assert (distances.argmin(1) == own).all()
