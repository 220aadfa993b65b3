"""The contract of TensorFlow Serving's gRPC API, as far as this project implements it.

Each case is a request and what comes back: a code with its text, or an answer. "…" in a text
stands for anything. The table speaks of any server that serves version 1 of these models, built
in `saved_models.py`:

    half_plus_two        x -> y = x / 2 + 2, floats of one dimension
    sum_and_difference   a, b -> sum, difference; also a signature `only_sum`
    echo                 text -> text, strings
    flatten              images -> pixels [N, 4], from any shape that fits
    scale                x, factor = 3 -> y = factor * x

and, built in `inference_models.py`:

    half_plus_two_of_examples    feature x -> y = x / 2 + 2, y2 = x / 2 + 3; x2 -> y3 = x2 / 2 + 3,
                                 by signatures for classification and regression
    half_plus_two_of_examples_in_tensorflow_2    the same, written by TensorFlow 2
    half_plus_three_of_examples  the same with y = x / 2 + 3
    classifier                   feature probability -> labels and scores of two classes
    malformed                    signatures that are named after what is wrong with them

The REST API has a table of its own, in `rest.py`.

Sources: tensorflow/serving and tensorflow at 2.20; the comments name files of theirs.
"""

from __future__ import annotations

from typing import Any

from tests.serving.contract import cases, inference, models, predict
from tests.serving.contract.cases import Case

CASES = [*predict.CASES, *inference.CASES, *models.CASES]
RESPONSES: dict[str, Any] = {**cases.RESPONSES, **inference.RESPONSES}

__all__ = ["CASES", "RESPONSES", "Case"]
