"""BiDAF: what its logits depend on, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from architectures.bidaf import bidaf


def test_what_a_question_asks_moves_the_logits_of_every_token_of_the_passage():
    model = bidaf(vocabulary=9, embedding=3, units=2, modeling=1)
    inputs = {
        "token_ids": np.array([[1, 2, 3, 4, 5, 6], [1, 7, 3, 4, 5, 6]], np.int32),
        "padding_mask": np.ones((2, 6), np.int32),
        "segment_ids": np.array([[0, 0, 1, 1, 1, 1]] * 2, np.int32),
    }
    first, second = model.predict(inputs, verbose=0)
    assert (np.abs(first - second)[2:] > 0).all()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"units": 0}, "bidaf: units must be positive integers, not 0"),
        ({"modeling": 0}, "bidaf: modeling must be positive integers, not 0"),
        ({"dropout": 1.0}, r"bidaf: dropout must be a number in \[0, 1\), not 1.0"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        bidaf(**{"vocabulary": 9, **config})
