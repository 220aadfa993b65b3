"""Question answering: what happens between a question with its passage and a served answer."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import training
from pipelines.config import Optimizer, Recipe
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.tasks.question_answering import data as questions
from pipelines.tasks.question_answering import decoding as question_answering
from pipelines.tasks.question_answering.data import Questions
from pipelines.tasks.question_answering.task import QuestionAnswering
from tests.pipelines import asked, samples


@pytest.fixture(scope="module")
def task() -> QuestionAnswering:
    return QuestionAnswering()


@pytest.fixture(scope="module")
def data(task) -> Questions:
    return asked.loaded(task, asked.config())


@pytest.fixture(scope="module")
def model(task, data) -> keras.Model:
    """A network as large as its weights are strong, so that its answers differ."""
    model = training.build(task, data, asked.config())
    model.set_weights([8 * weight for weight in model.get_weights()])
    return model


def test_a_model_learns_what_can_be_learned():
    task, sizes = QuestionAnswering(), {"train": 96, "validation": 16, "test": 16}
    recipe = Recipe(epochs=12, batch_size=8, optimizer=Optimizer(4e-3, clip_norm=1.0))
    config = asked.config(
        recipe=recipe,
        model={"layers": 2, "heads": 2, "width": 32, "feed_forward": 32, "dropout": 0.0},
    )
    data = asked.loaded(task, config, sizes)
    record = samples.Record()
    built = training.build(task, data, config)
    trained = training.fit(task, built, data, config, record)  # type: ignore[arg-type]
    scores, intervals, test = training.evaluate(task, trained, data, recipe)
    (baseline,) = task.baselines(data)
    assert scores["test_f1"] > baseline.test["f1"] + 0.2
    low, high = intervals["f1"]
    assert low <= scores["test_f1"] <= high
    assert {"val_start_accuracy", "val_end_accuracy"} <= record.curves.keys()
    assert test.predicted.keys() == {"start", "end", "score"}


def test_the_baseline_answers_with_the_sentence_most_like_the_question(task, data):
    (baseline,) = task.baselines(data)
    # "Zoë lives in Rome" for "Rome": one word right of four, or of five for São Paulo.
    assert baseline.test["exact_match"] == 0
    assert 0.4 <= baseline.test["f1"] < 0.6


def test_names_keep_their_capital_letters(monkeypatch):
    texts = np.array([b"Ann lives in Rome.", "Zoë lives in Rome.".encode()] * 9, object)
    monkeypatch.setattr(questions, "load", lambda config, learn: learn(texts))
    tokenizer: Any = QuestionAnswering().load(asked.config())
    assert not tokenizer.lowercase
    assert {"A", "Z", "##ë", "Rome"} <= set(tokenizer.vocabulary)


def test_a_served_model_answers_as_the_trained_one(task, data, model, tmp_path, at_once):
    signatures = task.signatures(model, data)
    assert [signature.name for signature in signatures] == ["serving_default", "token_ids"]
    folder = saved_model(model, signatures, tmp_path / "saved", examples=task.examples(data))
    validate(folder, signatures)
    served = tf.saved_model.load(folder).signatures["serving_default"]
    columns = data.raw("test")
    context = [*columns["context"], b"  ", "Zoë: Łódź".encode() * 40]
    question = [*columns["question"], b"", b"Where? " * 40]
    answers = served(question=tf.constant(question), context=tf.constant(context))
    found = {name: values.numpy() for name, values in answers.items()}
    expected = predict(task, model, data, "test", 4)
    texts = [answer.decode() for answer in found["answer"]]
    assert texts[: len(expected)] == question_answering.texts(expected)
    assert len(set(texts)) > 2
    np.testing.assert_allclose(
        found["score"][: len(expected)], expected.predicted["score"], rtol=1e-4, atol=1e-6
    )
    for text, passage, start, end in zip(texts, context, found["start"], found["end"], strict=True):
        assert text == passage.decode()[start:end]
    assert (texts[-2], found["score"][-2]) == ("", 0)
    assert found["start"].dtype == found["end"].dtype == np.int64


@pytest.mark.parametrize("architecture", ["distilbert_base", "albert_base"])
def test_token_ids_alone_need_no_text_ops(architecture, tmp_path, at_once):
    task = QuestionAnswering()
    config = asked.config(architecture, text_signature=False)
    data = asked.loaded(task, config, {"train": 2, "validation": 1, "test": 2})
    (signature,) = signatures = task.signatures(task.model(config, data), data)
    assert signature.name == "serving_default"
    assert ("segment_ids" in signature.inputs) == (architecture == "albert_base")
    folder = saved_model(task.model(config, data), signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))


def test_undecided_examples_prove_nothing(task, data):
    model = task.model(asked.config(), data)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    signatures = task.signatures(model, data)
    assert [len(signature.expected["start"]) for signature in signatures] == [1, 1]


def test_figures_show_answers_and_where_the_network_looks(task, data, model):
    drawn = dict(task.figures(model, data, predict(task, model, data, "test", 4)))
    assert drawn.keys() == {
        *("reliability", "f1_by_kind", "answers", "worst_mistakes", "lengths"),
        *("attention_layers", "attention_heads"),
    }
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    shown = [text.get_text() for text in drawn["answers"].axes[0].texts]
    assert shown[0] == "Answers to the first test questions"
    assert data.raw("test")["question"][0].decode() in shown


def test_examples_are_eight_questions_with_their_answers(task, data):
    ((name, lines),) = task.examples(data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("questions.jsonl", 8)
    for row in rows:
        assert row.keys() == {"question", "context", "answers"}
        assert row["answers"][0] in row["context"]
    assert "ë" in lines.decode()


def test_an_architecture_that_is_no_encoder_is_refused(task):
    config = replace(asked.config(), architecture="bilstm", model={})
    with pytest.raises(UserError, match=r"^bilstm does not find answers; those of BERT's .* do$"):
        task.load(config)


def test_a_passage_longer_than_the_encoder_s_positions_is_refused(task, data):
    config = asked.config(model={"layers": 1, "heads": 2, "width": 8, "max_length": 16})
    with pytest.raises(UserError, match="--max_length must be at most the encoder's 16, not 48"):
        task.model(config, data)
