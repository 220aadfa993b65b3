"""n-gram models: probabilities by hand, by another library, and that they add up to one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.lm import KneserNeyInterpolated
from nltk.util import ngrams as nltk_ngrams

from pipelines.tasks.language_modeling import ngrams
from pipelines.tasks.language_modeling.ngrams import KneserNey

TEXTS = st.lists(st.integers(0, 4), min_size=2, max_size=60)


@given(TEXTS, TEXTS, st.integers(1, 5))
def test_the_probabilities_of_all_next_tokens_add_up_to_one(train, context, order):
    model = KneserNey(np.array(train), 5, order)
    rows = [model.log_probabilities(np.array([*context, token])) for token in range(5)]
    np.testing.assert_allclose(np.exp(rows).sum(0)[-1], 1, rtol=1e-9)


def reference(
    train: list[int], vocabulary: int, order: int, history: list[int], token: int, top: bool = True
) -> float:
    """The definition, n-gram by n-gram: Chen & Goodman 1998, equations 25 to 27."""
    if not order:
        return 1 / vocabulary

    def grams(length):
        return [tuple(train[i : i + length]) for i in range(len(train) - length + 1)]

    def count(gram):
        if top:
            return grams(len(gram)).count(gram)
        return len({longer[0] for longer in grams(len(gram) + 1) if longer[1:] == gram})

    every = {gram: count(gram) for gram in set(grams(order))}
    numbers = [sum(value == n for value in every.values()) for n in (1, 2, 3, 4)]
    discounts = (0.0, *ngrams._FALLBACK)
    if all(numbers[:3]):
        y = numbers[0] / (numbers[0] + 2 * numbers[1])
        found = [n - (n + 1) * y * numbers[n] / numbers[n - 1] for n in (1, 2, 3)]
        discounts = (0.0, *found) if min(found) > 0 else discounts
    lower = reference(train, vocabulary, order - 1, history[1:], token, top=False)
    after = {gram: value for gram, value in every.items() if gram[:-1] == tuple(history)}
    total = sum(after.values())
    if not total:
        return lower
    left = sum(discounts[min(value, 3)] for value in after.values())
    own = after.get((*history, token), 0)
    return (own - discounts[min(own, 3)] + left * lower) / total


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_it_computes_what_the_paper_defines(order):
    random = np.random.default_rng(order)
    # Frequent and rare tokens, so that all discounts are estimated.
    train = np.minimum(random.geometric(0.25, 400) - 1, 11)
    test = np.minimum(random.geometric(0.2, 30) - 1, 11)
    found = np.exp(KneserNey(train, 12, order).log_probabilities(test))
    for place in range(order - 1, len(test)):
        history = test[place - order + 1 : place].tolist()
        expected = reference(train.tolist(), 12, order, history, test[place])
        assert found[place] == pytest.approx(expected, rel=1e-9)


def test_a_small_text_by_hand(monkeypatch):
    monkeypatch.setattr(ngrams, "_FALLBACK", (0.5, 0.5, 0.5))
    # a b a b a c: ab twice, ba twice, ac once; before a stands b, before b a, before c a.
    model = KneserNey(np.array([0, 1, 0, 1, 0, 2]), 4, 2)
    unigram = dict.fromkeys((0, 1, 2), (0.5 + 3 * 0.5 / 4) / 3) | {3: 3 * 0.5 / 4 / 3}
    after_a = {1: (1.5 + 2 * 0.5 * unigram[1]) / 3, 3: (2 * 0.5 * unigram[3]) / 3}
    for token, expected in after_a.items():
        found = model.log_probabilities(np.array([0, token]))
        assert np.exp(found[1]) == pytest.approx(expected)
    # c was never followed by anything.
    assert np.exp(model.log_probabilities(np.array([2, 1]))[1]) == pytest.approx(unigram[1])
    assert np.exp(model.log_probabilities(np.array([1]))[0]) == pytest.approx(unigram[1])


def test_with_one_discount_it_is_nltks_kneser_ney(monkeypatch):
    monkeypatch.setattr(ngrams, "_discounts", lambda counts: (0.1, 0.1, 0.1))
    train = [0, 1, 2, 0, 1, 1, 2, 2, 0, 2, 1, 0, 0, 1, 2, 1]
    text = [str(token) for token in train]
    other = KneserNeyInterpolated(2, discount=0.1)
    other.fit([list(nltk_ngrams(text, 2)) + [(token,) for token in text]], text)
    model = KneserNey(np.array(train), 3, 2)
    # Below its bigrams nltk neither discounts nor smooths further.
    before = {
        token: len({a for a, b in itertools.pairwise(train) if b == token}) for token in range(3)
    }
    pairs = list(itertools.pairwise(train))
    for context in range(3):
        for token in range(3):
            follow = [b for a, b in pairs if a == context]
            weight = 0.1 * len(set(follow)) / len(follow)
            own = max(follow.count(token) - 0.1, 0) / len(follow)
            assert other.score(str(token), [str(context)]) == pytest.approx(
                own + weight * before[token] / sum(before.values())
            )
            lowest = (before[token] - 0.1 + 0.3 / 3) / sum(before.values())
            found = np.exp(model.log_probabilities(np.array([context, token]))[1])
            assert found == pytest.approx(own + weight * lowest)


def test_longer_contexts_help_where_they_decide():
    random = np.random.default_rng(0)
    text = [0, 0]
    for _ in range(3000):
        text.append((text[-1] + text[-2] + (random.random() < 0.1)) % 5)
    train, test = np.array(text[:2500]), np.array(text[2500:])
    log_probs = [KneserNey(train, 5, order).log_probabilities(test).mean() for order in (1, 2, 3)]
    assert log_probs[2] > log_probs[1] + 0.5
    assert log_probs[2] > -0.6
