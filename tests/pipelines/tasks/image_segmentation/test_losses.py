"""Losses of segmentation, by hand; void pixels count in none."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from pipelines.tasks.image_segmentation.data import IGNORE_ID
from pipelines.tasks.image_segmentation.losses import loss

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 4, 4, 3)).astype("float32")
MASK = RANDOM.integers(0, 3, (2, 4, 4)).astype("int64")
MASK[0, :2] = IGNORE_ID
MASK[1][MASK[1] == 2] = 0  # A class that does not occur in the second image.
VALID = MASK != IGNORE_ID
PROBABILITIES = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
TRUE = np.take_along_axis(PROBABILITIES, np.where(VALID, MASK, 0)[..., None], -1)[..., 0]


def dice() -> float:
    """Returns the mean over images of the mean over the classes that occur."""
    means = []
    for mask, valid, probabilities in zip(MASK, VALID, PROBABILITIES, strict=True):
        classes = np.unique(mask[valid])
        overlap = [
            2
            * probabilities[mask == c, c].sum()
            / ((mask == c).sum() + probabilities[valid][:, c].sum())
            for c in classes
        ]
        means.append(1 - np.mean(overlap))
    return float(np.mean(means))


CROSS_ENTROPY = float(-np.log(TRUE[VALID]).mean())
EXPECTED = {
    "cross_entropy": CROSS_ENTROPY,
    "focal": float((-np.log(TRUE) * (1 - TRUE) ** 2)[VALID].mean()),
    "dice": dice(),
    "cross_entropy+dice": CROSS_ENTROPY + dice(),
}


@pytest.mark.parametrize("kind", EXPECTED)
def test_losses_are_those_of_the_papers_over_pixels_with_a_class(kind):
    own = loss(kind)
    assert float(own(MASK, LOGITS)) == pytest.approx(EXPECTED[kind], rel=1e-5)
    changed = np.where(VALID[..., None], LOGITS, 9 * LOGITS)
    assert float(own(MASK, changed)) == pytest.approx(EXPECTED[kind], rel=1e-5)
    again = keras.losses.deserialize(keras.losses.serialize(own))
    assert float(again(MASK, LOGITS)) == pytest.approx(EXPECTED[kind], rel=1e-5)


@pytest.mark.parametrize("kind", ["focal", "cross_entropy+dice"])
def test_a_recipe_weights_the_classes_of_every_loss_that_has_some(kind):
    own, ones = loss(kind), np.where(VALID, 1, IGNORE_ID)
    weighted = own.with_recipe(0.0, [1.0, 0.0, 1.0])
    left = float(loss("dice")(ones, LOGITS)) if kind != "focal" else 0.0
    assert float(weighted(ones, LOGITS)) == pytest.approx(left, abs=1e-6)
    smoothed = own.with_recipe(0.1, None)
    assert float(smoothed(MASK, LOGITS)) != pytest.approx(EXPECTED[kind])
