"""Generation and scoring in the graph: as a plain loop does, whatever the batch."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import architectures
from pipelines.text import generation, plain_generation
from pipelines.text.generation import DEFAULTS, PARAMETERS
from pipelines.text.reversible import PAD, RUNNING_TEXT_IDS, UNKNOWN
from tests.architectures import reference

CONTEXT, VOCABULARY = 12, 19
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "lstm": {"outputs": VOCABULARY, "output": "sequence", "embedding": 8, "units": [8, 8]},
    "gru": {"outputs": VOCABULARY, "output": "sequence", "embedding": 8, "units": [8]},
    "char_gpt_small": {"max_length": CONTEXT, "layers": 2, "heads": 2, "width": 8},
}
PROMPTS = [[5, 6, 7], [], [9], list(range(3, 18)), [4, 4]]
CHOICES: list[dict[str, Any]] = [
    {"length": 8, "temperature": 0.0},
    {"length": 5, "temperature": 1.0, "top_p": 1.0, "seed": 7},
    {"length": 8, "temperature": 2.0, "top_k": 4, "top_p": 1.0, "seed": -3},
    {"length": 6, "temperature": 1.0, "top_p": 0.6, "seed": 1},
    {"length": 30, "temperature": 0.7, "top_k": 9, "top_p": 0.9, "seed": 2**31 - 1},
]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request) -> keras.Model:
    keras.utils.set_random_seed(0)
    options = {"vocabulary": VOCABULARY, **ARCHITECTURES[request.param]}
    return reference.shaken(architectures.build(request.param, **options))


def arguments(choices) -> dict[str, tf.Tensor]:
    return {
        name: tf.constant([(DEFAULTS | choice)[name] for choice in choices], spec.dtype)
        for name, spec in PARAMETERS.items()
    }


@functools.cache  # Tracing takes seconds.
def scoring(model: keras.Model) -> Callable[..., Any]:
    """The graph that scores, for any batch."""
    return tf.function(
        lambda texts: generation.score(model, texts, CONTEXT), input_signature=[generation.RAGGED]
    )


def generated(model, prompts, choices) -> list[list[int]]:
    """What the graph generates, padding removed."""
    ragged = tf.ragged.constant(prompts, ragged_rank=1, dtype=tf.int32)
    answer = generation.graph(model, CONTEXT)(ragged, arguments(choices))
    counts = answer["tokens"].numpy()
    rows = answer["token_ids"].numpy()
    assert rows.shape == (len(prompts), counts.max(initial=0))
    for row, count in zip(rows, counts, strict=True):
        assert (row[:count] != PAD).all()
        assert (row[count:] == PAD).all()
    return [row[:count].tolist() for row, count in zip(rows, counts, strict=True)]


def test_the_graph_writes_what_a_plain_loop_over_the_whole_network_writes(model):
    choices = [DEFAULTS | choice for choice in CHOICES]
    generated_plainly = plain_generation.generate(model, PROMPTS, choices, CONTEXT)
    expected = [tokens for tokens, _ in generated_plainly]
    assert len({tuple(row) for row in expected}) == len(expected)
    assert generated(model, PROMPTS, CHOICES) == expected


def test_a_row_depends_on_no_other(model):
    together = generated(model, PROMPTS, CHOICES)
    assert generated(model, PROMPTS, CHOICES) == together
    for row, one in enumerate(zip(PROMPTS, CHOICES, strict=True)):
        assert generated(model, [one[0]], [one[1]]) == [together[row]]
    assert generated(model, PROMPTS[::-1], CHOICES[::-1]) == together[::-1]


def test_a_shorter_length_is_the_beginning_of_a_longer_one(model):
    """And so is one of another row's seed, if not of the same."""
    choices = [{"length": length, "temperature": 1.0, "seed": 3} for length in (0, 1, 4, 8)]
    rows = generated(model, [[5, 6]] * 4, choices)
    assert [row == rows[-1][: len(row)] for row in rows] == [True] * 4
    assert rows[0] == []
    others = [{"length": 8, "temperature": 1.0, "seed": seed} for seed in range(8)]
    assert len({tuple(row) for row in generated(model, [[5, 6]] * 8, others)}) > 3


def test_text_ends_at_the_end_token_which_is_left_out(model):
    choices = [{"length": 8, "temperature": 3.0, "top_p": 1.0, "seed": s} for s in range(60)]
    rows = generated(model, [[5]] * 60, choices)
    assert {len(row) for row in rows} >= {0, 8}
    assert not {PAD, UNKNOWN, RUNNING_TEXT_IDS.end} & {token for row in rows for token in row}


def test_a_decoder_has_room_for_its_context_and_a_recurrent_network_for_more(model):
    # Without the end token, so that only room ends a text.
    never_ending = keras.models.clone_model(model)
    never_ending.set_weights(model.get_weights())
    if model.name == "recurrent":
        kernel, bias = never_ending.get_layer("logits").get_weights()
        bias[RUNNING_TEXT_IDS.end] = -1e6
        never_ending.get_layer("logits").set_weights([kernel, bias])
        (row,) = generated(never_ending, [[5, 6]], [{"length": 40, "temperature": 0.0}])
        assert len(row) == 40
    else:
        (row,) = generated(model, [[5, 6] * 20], [{"length": 40, "temperature": 0.0}])
        assert len(row) <= CONTEXT - 1


def frequencies(logits, choices) -> np.ndarray:
    """The frequency of each token over evenly spaced random numbers, [rows, vocabulary]."""
    parameters = arguments(choices)
    count = 4000
    found = np.zeros((len(choices), logits.shape[1]))
    for row in range(len(choices)):
        numbers = tf.constant((np.arange(count) + 0.5) / count, tf.float32)
        repeated = [
            tf.repeat(parameters[name][row], count) for name in ("temperature", "top_k", "top_p")
        ]
        sample = generation.sampler(logits.shape[1], *repeated)
        tokens = sample(tf.repeat(logits[row : row + 1], count, 0), numbers)
        found[row] = np.bincount(tokens.numpy(), minlength=logits.shape[1]) / count
    return found


def test_tokens_are_as_frequent_as_they_are_likely():
    probabilities = np.array([0.2, 0.2, 0.05, 0.3, 0.15, 0.06, 0.04])
    logits = tf.constant(np.log(probabilities)[np.newaxis], tf.float32)
    logits = tf.repeat(logits, 6, 0)
    kept = np.where([0, 0, 1, 1, 1, 1, 1], probabilities, 0)
    kept /= kept.sum()
    found = frequencies(
        logits,
        [
            {"temperature": 1.0, "top_k": 0, "top_p": 1.0},
            {"temperature": 0.5, "top_k": 0, "top_p": 1.0},
            {"temperature": 1.0, "top_k": 2, "top_p": 1.0},
            # Half and a quarter of the mass stand before the third, 0.1.
            {"temperature": 1.0, "top_k": 0, "top_p": 0.76},
            {"temperature": 1.0, "top_k": 3, "top_p": 0.5},
            {"temperature": 1.0, "top_k": 0, "top_p": 0.0},
        ],
    )
    square = kept**2 / (kept**2).sum()
    two = np.array([0, 0, 0, 2 / 3, 1 / 3, 0, 0])
    three = np.array([0, 0, 0, 0.3, 0.15, 0.06, 0]) / 0.51
    one = np.eye(7)[3]
    np.testing.assert_allclose(found, [kept, square, two, three, one, one], atol=1e-3)


@given(st.integers(0, 2**31 - 1))
def test_random_numbers_follow_from_the_seed_alone(seed):
    several = generation.uniform(tf.constant([1, seed, 2], tf.int32)).numpy()
    np.testing.assert_array_equal(several[1], generation.uniform(tf.constant([seed]))[0])
    assert several.shape == (3, generation.MAX_LENGTH)
    assert several.min() >= 0
    assert several.max() < 1


@pytest.mark.parametrize("length", [0, 1, 11, 12, 13, 18, 19, 40])
def test_a_score_is_the_sum_over_windows(model, length):
    text = np.random.default_rng(length).integers(3, VOCABULARY, length)
    texts = tf.ragged.constant([[3, 4], text.tolist(), []], ragged_rank=1, dtype=tf.int32)
    answer = scoring(model)(texts)
    (expected,) = plain_generation.score(model, [text.tolist()], CONTEXT)
    assert answer["tokens"].numpy().tolist() == [2, length, 0]
    np.testing.assert_allclose(answer["log_probability"][1], expected, rtol=1e-5)
    np.testing.assert_allclose(
        answer["perplexity"][1], np.exp(-expected / max(length, 1)), rtol=1e-4
    )
    assert (answer["log_probability"][2], answer["perplexity"][2]) == (0, 1)


def test_a_text_within_the_context_is_scored_by_the_chain_rule(model):
    text = [5, 6, 7, 8, 9]
    ids = np.array([[RUNNING_TEXT_IDS.end, *text]])
    total = 0.0
    for place in range(1, len(text) + 1):
        read = ids[:, :place]
        logits = model({"token_ids": read, "padding_mask": np.ones_like(read)})
        total += float(tf.nn.log_softmax(logits)[0, -1, ids[0, place]])
    texts = tf.ragged.constant([text], dtype=tf.int32)
    found = generation.score(model, texts, CONTEXT)["log_probability"]
    np.testing.assert_allclose(found, [total], rtol=1e-5)
