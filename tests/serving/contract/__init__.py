"""The contract of TensorFlow Serving's gRPC API, as far as this project implements it.

Each case is a request and what comes back: a code with its text, or an answer. "…" in a text
stands for anything. The table speaks of any server that serves version 1 of these models, built
in `saved_models.py`:

    half_plus_two        x -> y = x / 2 + 2, floats of one dimension
    sum_and_difference   a, b -> sum, difference; also a signature `only_sum`
    echo                 text -> text, strings
    flatten              images -> pixels [N, 4], from any shape that fits
    scale                x, factor = 3 -> y = factor * x

Sources: tensorflow/serving and tensorflow at 2.20; the comments name files of theirs.
"""

from __future__ import annotations

from tests.serving.contract import models, predict
from tests.serving.contract.cases import RESPONSES, Case

CASES = [*predict.CASES, *models.CASES]

__all__ = ["CASES", "RESPONSES", "Case"]
