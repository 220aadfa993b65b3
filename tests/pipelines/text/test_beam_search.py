"""Beam search: it agrees with a plain loop over the whole network, whatever the batch."""

from __future__ import annotations

import functools
from dataclasses import replace
from types import ModuleType

import keras
import numpy as np
import pytest
import tensorflow as tf

from architectures import seq2seq, transformer
from pipelines.text import beam_search
from pipelines.text.beam_search import Beam
from tests.architectures import reference

VOCABULARY, START, END = 12, 2, 3
CHOICE = Beam(beams=3, length=9, alpha=0.6, start=START, end=END, banned=(0, 1, 2))
LENGTHS = (6, 4, 5, 2, 1)
SOURCE = np.random.default_rng(0).integers(0, VOCABULARY, (5, 6)).astype("int32")
MASK = (np.arange(6) < np.array(LENGTHS)[:, None]).astype("int32")
MODELS = {
    "transformer": (transformer, {"layers": 2, "heads": 2, "width": 8, "feed_forward": 12}),
    "seq2seq": (seq2seq, {"embedding": 8, "units": 8, "layers": 2}),
}


@pytest.fixture(scope="module", params=MODELS)
def network(request):
    """A network of strong weights, and its module.

    With these seeds no two hypotheses that matter are nearly as good.
    """
    module, options = MODELS[request.param]
    build = getattr(module, request.param)
    vocabularies = {f"{side}_vocabulary": VOCABULARY for side in ("source", "target")}
    keras.utils.set_random_seed(4)
    model = reference.shaken(build(**vocabularies, **options), seed=1)
    model.set_weights([2 * weight for weight in model.get_weights()])
    return module, model


@functools.cache  # Tracing takes seconds.
def _searching(module: ModuleType, model: keras.Model, options: Beam):
    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def run(ids, mask):
        cache = module.encode(model, ids, mask, options.length)
        return beam_search.search(module.next_token(model), cache, tf.shape(ids)[0], options)

    return run


def searched(network, options: Beam = CHOICE, source=SOURCE, mask=MASK):
    return [x.numpy() for x in _searching(*network, options)(source, mask)]


@functools.cache
def _compiled(model: keras.Model):
    return tf.function(
        lambda inputs: model(inputs, training=False),
        input_signature=[
            {name: tf.TensorSpec([1, *x.shape[1:]], x.dtype) for name, x in model.input.items()}
        ],
    )


def plain(model: keras.Model, source: np.ndarray, options: Beam) -> list[tuple[float, list[int]]]:
    """Beam search over the whole network, one hypothesis at a time: (score, tokens), best first."""
    mask = np.ones((1, len(source)), "int32")
    return searched_plainly(
        model, {"source_ids": source[np.newaxis], "source_padding_mask": mask}, options
    )


def searched_plainly(
    model: keras.Model, given: dict[str, np.ndarray], options: Beam
) -> list[tuple[float, list[int]]]:
    """As `plain`, for a network that generates from any `given` inputs, each [1, ...]."""

    def log_probs(hypothesis: list[int]) -> np.ndarray:
        inputs = {
            **given,
            "target_ids": np.array([hypothesis], "int32"),
            "target_padding_mask": np.ones((1, len(hypothesis)), "int32"),
        }
        logits = np.asarray(_compiled(model)(inputs), np.float64)[0, -1]
        return logits - np.log(np.exp(logits).sum())

    alive, finished = [(0.0, [options.start])], []
    for tokens in range(1, options.length + 1):
        further = []
        for log_prob, hypothesis in alive:
            next_one = log_probs(hypothesis)
            allowed = set(range(len(next_one))) - {options.end, *options.banned}
            penalty = ((5 + tokens) / 6) ** options.alpha
            if tokens > 1:
                finished.append(
                    ((log_prob + next_one[options.end]) / penalty, [*hypothesis[1:], END])
                )
            further += [(log_prob + next_one[t], [*hypothesis, t]) for t in allowed]
        finished = sorted(finished, reverse=True)[: options.beams]
        alive = sorted(further, reverse=True)[: options.beams]
        if len(finished) == options.beams and finished[-1][0] >= alive[0][0] / penalty:
            break
    return finished


@pytest.mark.parametrize(
    ("beams", "alpha"),
    [
        (3, 0.6),
        pytest.param(1, 0.6, marks=pytest.mark.slow),
        pytest.param(3, 0.0, marks=pytest.mark.slow),
        pytest.param(4, 1.5, marks=pytest.mark.slow),
    ],
)
def test_it_agrees_with_a_plain_loop_over_the_whole_network(network, beams, alpha):
    options = replace(CHOICE, beams=beams, alpha=alpha)
    tokens, scores, margin = searched(network, options)
    assert margin.min() > 1e-5
    for row, length in enumerate(LENGTHS):
        for beam, (value, text) in enumerate(plain(network[1], SOURCE[row, :length], options)):
            np.testing.assert_array_equal(
                tokens[row, beam], [*text, *[0] * (options.length - len(text))]
            )
            assert scores[row, beam] == pytest.approx(value, abs=1e-4)


def test_texts_end_once_hold_nothing_banned_and_get_no_longer_than_they_may(network):
    for length in (2, 5):
        tokens, scores, _ = searched(network, replace(CHOICE, length=length))
        assert tokens.shape == (5, 3, length)
        assert scores.min() > beam_search.NEVER / 2
        for text in tokens.reshape(-1, length):
            (end,) = np.flatnonzero(text == END)
            assert end > 0
            assert not text[end + 1 :].any()
            assert not np.isin(text[:end], [0, 1, 2]).any()


def test_a_text_does_not_depend_on_its_batch(network):
    tokens, scores, margin = searched(network)
    for row, length in enumerate(LENGTHS):
        alone = searched(
            network, source=SOURCE[row : row + 1, :length], mask=MASK[row:, :length][:1]
        )
        np.testing.assert_array_equal(alone[0][0], tokens[row])
        np.testing.assert_allclose(alone[1][0], scores[row], atol=1e-5)
        np.testing.assert_allclose(alone[2][0], margin[row], atol=1e-4)


def test_it_stops_as_soon_as_nothing_can_change():
    """A step that ends with great certainty is taken a few times, not a hundred."""
    taken = []

    def step(prompt, cache, index):
        taken.append(int(index))
        logits = tf.one_hot(tf.fill([tf.shape(prompt)[0]], END), VOCABULARY, on_value=9.0)
        return logits, None, cache

    options = replace(CHOICE, length=100)
    tokens, scores, _ = beam_search.search(step, {"x": tf.zeros([2, 1])}, tf.constant(2), options)
    assert (tokens[:, 0, 1] == END).numpy().all()
    assert scores[0, 0] > -20
    assert max(taken) < 20


def test_the_penalty_is_the_published_one():
    assert beam_search.penalty(1.0, 0.6) == 1
    assert beam_search.penalty(7.0, 0.6) == pytest.approx(2**0.6)
    assert beam_search.penalty(7.0, 0.0) == 1


def test_longer_texts_win_under_a_stronger_penalty(network):
    lengths = [
        (searched(network, replace(CHOICE, alpha=alpha))[0][:, 0] > 0).sum() for alpha in (0.0, 3.0)
    ]
    assert lengths[1] > lengths[0]
