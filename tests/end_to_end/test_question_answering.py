"""From questions about addresses to a server that answers them in words."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.__main__ import main
from pipelines.datasets.builders import address_questions
from pipelines.tasks.question_answering import decoding
from pipelines.tasks.question_answering import task as module
from pipelines.tasks.question_answering.data import Questions, encode, load
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.serving.in_process import serving

SMALL = (
    *("--architecture", "bidaf", "--model.embedding", "16", "--model.units", "8"),
    *("--model.modeling", "1", "--name", "asked", "--epochs", "1", "--vocabulary", "200"),
    *("--batch_size", "16", "--figures", "false"),
)


@pytest.mark.slow
def test_a_server_answers_questions_as_the_trained_model_would(
    store, workplace, trained, monkeypatch
):
    loaded: list[Questions] = []

    def kept_data(*arguments: Any) -> Questions:
        loaded.append(load(*arguments))
        return loaded[-1]

    monkeypatch.setattr(module, "load", kept_data)
    monkeypatch.setattr(address_questions, "ROUNDS", {"train": 1, "validation": 1, "test": 1})
    monkeypatch.setattr(address_questions, "PARTS", {"train": 1, "validation": 1, "test": 1})
    assert main(["question_answering", "--data_dir", str(workplace / "data"), *SMALL]) == 0
    deployed = deploy("asked", workplace / "models", version=1)
    lines = (deployed.path / "assets.extra/examples/questions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert len(rows) == 8
    asked = {name: [row[name] for row in rows] for name in ("question", "context")}
    # Where an answer stands is told in characters, so what is before it may be any.
    asked = {
        "question": asked["question"] * 2,
        "context": [*asked["context"], *(f"Größe 日本: {context}" for context in asked["context"])],
    }

    columns = {
        name: np.array([text.encode() for text in texts], object) for name, texts in asked.items()
    }
    with (
        serving(Model("asked", workplace / "models" / "asked")) as address,
        Client(address, timeout=300) as client,
    ):
        ask_as_the_card_says("asked", address, workplace / "models")
        client.wait_until_ready("asked", timeout=300)
        answers = client.predict("asked", columns)

    ((data,), (network,)) = loaded, trained
    inputs, ragged = encode(data.tokenizer, *map(tf.constant, columns.values()))
    spans = [row.numpy() for row in ragged]
    logits = network.model.predict({k: x.to_tensor() for k, x in inputs.items()}, verbose=0)
    expected = {name: x.numpy() for name, x in decoding.most_probable_span(logits).items()}
    np.testing.assert_allclose(answers["score"], expected["score"], rtol=1e-4, atol=1e-6)
    two = np.sort(decoding.span_log_probs(logits).numpy().reshape(len(spans), -1))[:, -2:]
    unambiguous = two[:, 1] - two[:, 0] > decoding.TIE_TOLERANCE
    assert unambiguous.mean() > 0.7
    for row, context in enumerate(asked["context"]):
        answer = answers["answer"][row].decode()
        assert answer == context[answers["start"][row] : answers["end"][row]] != ""
        if unambiguous[row]:
            start, end = (expected[name][row] for name in ("start", "end"))
            place = slice(spans[row][start, 0], spans[row][end, 1])
            assert answer == columns["context"][row][place].decode()
