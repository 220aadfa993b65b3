"""The LSTM encoder-decoder: its equations, what it sees and what not, decoding step by step."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from architectures.attention import attention_maps
from architectures.seq2seq import encode, next_token, seq2seq
from tests.architectures import reference

SMALL: dict[str, Any] = {
    "source_vocabulary": 11,
    "target_vocabulary": 13,
    "embedding": 5,
    "units": 8,
    "layers": 2,
}
RANDOM = np.random.default_rng(0)
LENGTHS = (6, 4, 5)
SOURCE = RANDOM.integers(0, 11, (3, 6))
SOURCE_MASK = (np.arange(6) < np.array(LENGTHS)[:, None]).astype(int)
TARGET = RANDOM.integers(0, 13, (3, 5))


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return reference.shaken(seq2seq(**SMALL))


def batch(source=SOURCE, source_mask=SOURCE_MASK, target=TARGET):
    return {
        "source_ids": source,
        "source_padding_mask": source_mask,
        "target_ids": target,
        "target_padding_mask": np.ones_like(target),
    }


def lstm(x, weights, state):
    """The states h_t [time, units] of one sequence and the last [h, c]; gates i, f, c', o."""
    kernel, recurrent, bias = weights
    hidden, cell = state
    found = []
    for step in x:
        i, f, new, o = np.split(step @ kernel + hidden @ recurrent + bias, 4)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        cell = f * cell + i * np.tanh(new)
        hidden = o * np.tanh(cell)
        found.append(hidden)
    return np.array(found), [hidden, cell]


def written_out(model, source, target):
    """Logits [target, vocabulary] of one pair, and the attention [target, source]."""

    def weights(name):
        return [np.asarray(w, np.float64) for w in model.get_layer(name).get_weights()]

    x, states = weights("source_embedding")[0][source], []
    for number in (1, 2):
        both = weights(f"encoder_lstm_{number}")
        zeros = [np.zeros(4), np.zeros(4)]
        there, last = lstm(x, both[:3], zeros)
        back, first = lstm(x[::-1], both[3:], zeros)
        x = np.concatenate([there, back[::-1]], -1)
        states.append([np.concatenate(pair) for pair in zip(last, first, strict=True)])
    memory, x = x, weights("target_embedding")[0][target]
    for number in (1, 2):
        x, _ = lstm(x, weights(f"decoder_lstm_{number}"), states[number - 1])
    score = x @ (memory @ weights("attention_keys")[0]).T
    attention = np.exp(score) / np.exp(score).sum(-1, keepdims=True)
    joined = np.concatenate([attention @ memory, x], -1)
    return np.tanh(joined @ weights("attentional")[0]) @ weights("logits")[0], attention


def test_it_is_the_equations_written_out(model):
    logits = np.asarray(model(batch()))
    maps = np.asarray(attention_maps(model)(batch())["attention"])
    for row, length in enumerate(LENGTHS):
        expected, attention = written_out(model, SOURCE[row, :length], TARGET[row])
        np.testing.assert_allclose(logits[row], expected, atol=1e-5)
        np.testing.assert_allclose(maps[row, :, :length], attention, atol=1e-5)
        np.testing.assert_array_equal(maps[row, :, length:], 0)


def test_a_prediction_depends_on_earlier_target_tokens_alone(model):
    before = np.asarray(model(batch()))
    for position in range(5):
        changed = TARGET.copy()
        changed[:, position] = (changed[:, position] + 1) % 13
        change = np.abs(np.asarray(model(batch(target=changed))) - before).max((0, 2))
        assert change[:position].max(initial=0) < 1e-6
        assert change[position:].min() > 1e-5


def test_source_padding_changes_nothing(model):
    wider, mask = (np.pad(part, ((0, 0), (0, 3))) for part in (SOURCE, SOURCE_MASK))
    padded = model(batch(source=wider, source_mask=mask))
    np.testing.assert_allclose(padded, model(batch()), atol=1e-6)


def test_a_source_of_padding_alone_gives_finite_logits(model):
    assert np.isfinite(np.asarray(model(batch(source_mask=np.zeros_like(SOURCE))))).all()


def test_decoding_step_by_step_gives_the_same_logits(model):
    cache, step = encode(model, SOURCE, SOURCE_MASK, length=5), next_token(model)
    expected = np.asarray(model(batch()))
    for position in range(5):
        logits, features, cache = step(TARGET, cache, position + 1)
        np.testing.assert_allclose(logits, expected[:, position], atol=1e-5)
        assert features.shape == (3, 8)


def test_it_writes_with_a_sampler_of_keras_hub(model):
    prompt = np.zeros((3, 6), "int32")
    cache = encode(model, SOURCE, SOURCE_MASK, length=6)
    written = np.asarray(
        keras_hub.samplers.GreedySampler()(next_token(model), prompt, cache, index=1, model=model)
    )
    for position in range(1, 6):
        logits = np.asarray(model(batch(target=written[:, :position])))
        np.testing.assert_array_equal(written[:, position], logits[:, -1].argmax(-1))


def test_dropout_acts_in_training_alone():
    model = seq2seq(**SMALL, dropout=0.5)
    once, again = (np.asarray(model(batch(), training=True)) for _ in range(2))
    assert np.abs(once - again).max() > 1e-4
    np.testing.assert_array_equal(model(batch()), model(batch(), training=False))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"units": 7}, "seq2seq: units must be an even number, not 7"),
        ({"layers": 0}, "seq2seq: layers must be positive integers, not 0"),
        ({"dropout": 1.0}, r"seq2seq: dropout must be a number in \[0, 1\), not 1.0"),
        ({"source_vocabulary": True}, "seq2seq: source_vocabulary must be positive integers"),
    ],
)
def test_a_wrong_hyperparameter_raises_one_sentence(wrong, message):
    with pytest.raises(ValueError, match=message):
        seq2seq(**{**SMALL, **wrong})
