"""The network of question answering: where its answers can be."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import architectures
from pipelines.tasks.question_answering.network import of_reader, span_finder

IDS = np.array([[2, 5, 6, 3, 7, 8, 9, 3, 0, 0], [2, 5, 3, 6, 6, 6, 6, 6, 6, 3]], np.int32)


def check_within_passage(model: keras.Model) -> None:
    inputs = {"token_ids": IDS, "padding_mask": (IDS > 0) * 1, "segment_ids": np.zeros_like(IDS)}
    logits = model.predict({name: inputs[name] for name in model.input}, verbose=0)
    for name in ("start", "end"):
        assert logits[name].dtype == np.float32
        within = [np.flatnonzero(row > -1e9).tolist() for row in logits[name]]
        assert within == [[4, 5, 6], [3, 4, 5, 6, 7, 8]]


@pytest.mark.parametrize("architecture", ["bert_tiny", "distilbert_base"])
def test_answers_lie_within_the_passage(architecture):
    encoder = architectures.build(
        architecture, vocabulary=20, layers=1, heads=2, width=8, feed_forward=8, max_length=16
    )
    check_within_passage(span_finder(encoder, separator=3))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("qanet", {"width": 8, "heads": 2, "blocks": 1}), ("bidaf", {"units": 4, "modeling": 1})],
)
def test_answers_of_a_reader_lie_within_the_passage(architecture, options):
    reader = architectures.build(architecture, vocabulary=20, **options)
    check_within_passage(of_reader(reader, separator=3))
