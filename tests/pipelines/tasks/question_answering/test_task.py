"""Question answering: what happens between a question with its passage and a served answer."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import evaluation
from pipelines.errors import UserError
from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.tasks.question_answering import task as module
from pipelines.tasks.question_answering.data import Questions
from pipelines.tasks.question_answering.decoding import answer_texts
from pipelines.tasks.question_answering.task import QuestionAnswering
from pipelines.testing import MemoryLog
from pipelines.training import trainer
from tests.pipelines.tasks.question_answering import examples

SIMILAR = "the sentence most like the question"


@pytest.fixture(scope="module")
def task() -> QuestionAnswering:
    return QuestionAnswering(examples.config())


@pytest.fixture(scope="module")
def data(task) -> Questions:
    return examples.loaded(task)


@pytest.fixture(scope="module")
def network(task, data) -> Network:
    """A network with such large weights that its answers differ."""
    network = trainer.build(task, data)
    network.model.set_weights([8 * weight for weight in network.model.get_weights()])
    return network


def test_a_network_learns_what_can_be_learned():
    recipe = Recipe(epochs=12, batch_size=8, optimizer=Optimizer(4e-3, clip_norm=1.0))
    model = {"layers": 2, "heads": 2, "width": 32, "feed_forward": 32, "dropout": 0.0}
    task = QuestionAnswering(examples.config(recipe=recipe, model=model))
    data = examples.loaded(task, {"train": 96, "validation": 16, "test": 16})
    record = MemoryLog()
    network = trainer.fit(task, trainer.build(task, data), data, record)
    found = evaluation.evaluate(task, network.model, data)
    scores, intervals, test = found.scores, found.intervals, found.test
    similar = {each.name: each.test["f1"] for each in task.baselines(data)}[SIMILAR]
    assert scores["test/f1"] > similar + 0.2
    low, high = intervals["f1"]
    assert low <= scores["test/f1"] <= high
    assert {"val_start_accuracy", "val_end_accuracy"} <= record.curves.keys()
    assert test.predicted.keys() == {"start", "end", "score"}


def test_the_baselines_are_a_random_span_the_most_similar_sentence_and_a_linear_model(task, data):
    random, similar, linear = task.baselines(data)
    assert random.name == "a random span as long as the answer"
    assert random.test["f1"] < 0.4
    assert similar.name == SIMILAR
    # "Zoë lives in Rome" for "Rome": one word right of four, or of five for São Paulo.
    assert similar.test["exact_match"] == 0
    assert 0.4 <= similar.test["f1"] < 0.6
    assert linear.name == "log-linear reader"
    assert linear.test["exact_match"] > 0.6  # What stands three words after the name.


@pytest.mark.parametrize(
    ("architecture", "model"),
    [
        pytest.param(
            "qanet",
            {"width": 8, "heads": 1, "convolutions": 1, "blocks": 1, "block_convolutions": 1},
            marks=pytest.mark.slow,
        ),
        ("bidaf", {"embedding": 8, "units": 4, "modeling": 1}),
    ],
)
def test_a_reader_is_exported(architecture, model, tmp_path, at_once):
    task = QuestionAnswering(examples.config(architecture, model=model))
    data = examples.loaded(task, {"train": 9, "validation": 1, "test": 2})
    network = task.network(data)
    signatures = task.signatures(network, data)
    validate(saved_model(network.model, signatures, tmp_path / "saved"), signatures)


def test_names_keep_their_capital_letters(monkeypatch):
    texts = np.array([b"Ann lives in Rome.", "Zoë lives in Rome.".encode()] * 9, object)
    monkeypatch.setattr(module, "load", lambda config, make_tokenizer: make_tokenizer(texts))
    tokenizer: Any = QuestionAnswering(examples.config()).load()
    assert not tokenizer.lowercase
    assert {"A", "Z", "##ë", "Rome"} <= set(tokenizer.vocabulary)


def test_a_served_model_answers_as_the_trained_one(task, data, network, tmp_path, at_once):
    signatures = task.signatures(network, data)
    assert [signature.name for signature in signatures] == ["serving_default", "token_ids"]
    folder = saved_model(
        network.model, signatures, tmp_path / "saved", examples=task.examples(data)
    )
    validate(folder, signatures)
    served = tf.saved_model.load(folder).signatures["serving_default"]
    columns = data.raw("test")
    context = [*columns["context"], b"  ", "Zoë: Łódź".encode() * 40]
    question = [*columns["question"], b"", b"Where? " * 40]
    answers = served(question=tf.constant(question), context=tf.constant(context))
    found = {name: values.numpy() for name, values in answers.items()}
    expected = evaluation.predict(task, network.model, data, "test")
    texts = [answer.decode() for answer in found["answer"]]
    assert texts[: len(expected)] == answer_texts(expected)
    assert len(set(texts)) > 2
    np.testing.assert_allclose(
        found["score"][: len(expected)], expected.predicted["score"], rtol=1e-4, atol=1e-6
    )
    for text, passage, start, end in zip(texts, context, found["start"], found["end"], strict=True):
        assert text == passage.decode()[start:end]
    assert (texts[-2], found["score"][-2]) == ("", 0)
    assert found["start"].dtype == found["end"].dtype == np.int64


@pytest.mark.parametrize(
    "architecture", ["distilbert_base", pytest.param("albert_base", marks=pytest.mark.slow)]
)
def test_token_ids_alone_need_no_text_ops(architecture, tmp_path, at_once):
    task = QuestionAnswering(examples.config(architecture, text_signature=False))
    data = examples.loaded(task, {"train": 2, "validation": 1, "test": 2})
    network = task.network(data)
    (signature,) = signatures = task.signatures(network, data)
    assert signature.name == "serving_default"
    assert ("segment_ids" in signature.inputs) == (architecture == "albert_base")
    folder = saved_model(network.model, signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))


def test_ties_verify_nothing(task, data):
    network = task.network(data)
    network.model.set_weights([np.zeros_like(x) for x in network.model.get_weights()])
    signatures = task.signatures(network, data)
    assert [len(signature.expected["start"]) for signature in signatures] == [1, 1]


def test_the_figures_show_answers_and_attention(task, data, network):
    test = evaluation.predict(task, network.model, data, "test")
    plotted = dict(task.figures(network, data, test, []))
    assert plotted.keys() == {
        *("reliability", "f1_by_kind", "answers", "worst_mistakes", "lengths"),
        *("attention_layers", "attention_heads"),
    }
    assert all(isinstance(figure, Figure) for figure in plotted.values())
    shown = [text.get_text() for text in plotted["answers"].axes[0].texts]
    assert shown[0] == "Answers to the first test questions"
    question, context = (data.raw("test")[name][0].decode() for name in ("question", "context"))
    assert f"{question} | {context}" in " ".join(shown)


def test_examples_are_eight_questions_with_their_answers(task, data):
    ((name, lines),) = task.examples(data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("questions.jsonl", 8)
    for row in rows:
        assert row.keys() == {"question", "context", "answers"}
        assert row["answers"][0] in row["context"]
    assert "ë" in lines.decode()


def test_a_passage_longer_than_the_encoder_s_positions_is_refused(data):
    model = {"layers": 1, "heads": 2, "width": 8, "max_length": 16}
    task = QuestionAnswering(examples.config(model=model))
    with pytest.raises(UserError, match="--max_length must be at most the encoder's 16, not 48"):
        task.network(data)
