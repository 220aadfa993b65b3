"""Writing with recurrent networks: step by step as all at once."""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from architectures.recurrent import recurrent
from architectures.recurrent_decoding import decodes, next_token, prefill
from tests.architectures import reference

SMALL: dict[str, Any] = {"vocabulary": 11, "outputs": 11, "embedding": 6, "units": (5, 6)}
TOKENS = np.random.default_rng(0).integers(0, 11, (3, 7)).astype("int32")
CELLS: dict[str, dict[str, Any]] = {
    "simple": {"cell": "simple"},
    "lstm": {"cell": "lstm"},
    "gru": {"cell": "gru"},
    "gru of the paper": {"cell": "gru", "reset_after": False},
    "hornn": {"cell": "hornn", "order": 3, "variant": "gated"},
    "tied lstm": {"cell": "lstm", "tie_embeddings": True},
}


def small(**options: Any) -> keras.Model:
    model = recurrent(output="sequence", dropout=0.3, **{**SMALL, **options})
    return reference.shaken(model)


def logits(model, tokens):
    return np.asarray(model({"token_ids": tokens, "padding_mask": np.ones_like(tokens)}))


@pytest.mark.parametrize("known", [1, 4])
@pytest.mark.parametrize("name", CELLS)
def test_decoding_with_states_equals_computing_everything_again(name, known):
    model = small(**CELLS[name])
    expected = logits(model, TOKENS)
    prompt = np.where(np.arange(7) < known, TOKENS, 10 - TOKENS)
    step = next_token(model)
    for one in (step, tf.function(step)):
        cache = prefill(model, prompt, tf.constant(known))
        for index in range(known, 8):
            answer, features, cache = one(TOKENS, cache, tf.constant(index))
            np.testing.assert_allclose(answer, expected[:, index - 1], atol=1e-5)
            assert features.shape == (3, 6)


def test_keras_hubs_samplers_write_what_greedy_recomputation_writes():
    model, written = small(cell="lstm"), TOKENS.copy()
    for index in range(3, 7):
        written[:, index] = logits(model, written[:, :index])[:, -1].argmax(-1)
    sampler = keras_hub.samplers.GreedySampler()
    answer = sampler(next_token(model), TOKENS, prefill(model, TOKENS, 3), index=3, model=model)
    np.testing.assert_array_equal(answer, written)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"output": "sequence"}, True),
        ({"output": "last"}, False),
        ({"output": "sequence", "bidirectional": True}, False),
        ({"output": "sequence", "cell": "tapped_delay_line"}, False),
        ({"output": "sequence", "cell": "attention_memory"}, False),
        ({"output": "sequence", "vocabulary": None, "input_size": 4}, False),
    ],
    ids=str,
)
def test_networks_that_look_ahead_or_carry_no_state_do_not_write(config, expected):
    assert decodes(recurrent(**{**SMALL, **config})) is expected
