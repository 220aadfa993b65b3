"""QANet: attention between passage and question by hand, the exact match, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from architectures.qanet import ContextQueryAttention, ExactMatch, qanet

# Two of the question, three of the passage, one of padding.
MASK = np.array([[1, 1, 1, 1, 1, 0]], np.int32)
SEGMENTS = np.array([[0, 0, 1, 1, 1, 1]], np.int32)


def softmax(scores: np.ndarray, axis: int) -> np.ndarray:
    powers = np.exp(scores - scores.max(axis, keepdims=True))
    return powers / powers.sum(axis, keepdims=True)


def test_passage_and_question_attend_to_each_other_as_published():
    random = np.random.default_rng(0)
    x = random.normal(size=(1, 6, 4)).astype("float32")
    layer = ContextQueryAttention()
    found = np.asarray(layer(x, mask=MASK, segments=SEGMENTS))
    weights = [random.normal(size=w.shape) for w in layer.get_weights()]
    layer.set_weights(weights)
    found = np.asarray(layer(x, mask=MASK, segments=SEGMENTS))

    of_context, of_query, of_product = weights
    query, context = x[0, :2], x[0, 2:5]
    scores = (context * of_product) @ query.T / 2 + context @ of_context + (query @ of_query).T
    over_query, over_context = softmax(scores, 1), softmax(scores, 0)
    asked = over_query @ query
    back = over_query @ over_context.T @ context
    expected = np.concatenate([context, asked, context * asked, context * back], axis=1)
    np.testing.assert_allclose(found[0, 2:5], expected, rtol=1e-4, atol=1e-5)


def test_tokens_match_those_of_the_other_side_alone():
    ids = np.array([[3, 4, 4, 5, 5, 3]], np.int32)
    found = ExactMatch()(ids, mask=MASK, segments=SEGMENTS)
    assert np.asarray(found)[0, :, 0].tolist() == [0, 1, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"heads": 3}, "qanet: width must be a multiple of heads, 3, not 8"),
        ({"blocks": 0}, "qanet: blocks must be positive integers, not 0"),
        ({"dropout": -0.1}, r"qanet: dropout must be a number in \[0, 1\), not -0.1"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        qanet(**{"vocabulary": 9, "width": 8, "heads": 2, **config})
