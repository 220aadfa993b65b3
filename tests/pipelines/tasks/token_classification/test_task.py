"""Tagging: what happens to a text between a request and the spans that are answered."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import evaluation, training
from pipelines.baselines import strongest
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.export import saved_model
from pipelines.export.ops import ops, text_ops
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions
from pipelines.tasks.token_classification import metrics as tagging
from pipelines.tasks.token_classification.data import TaggedTexts
from pipelines.tasks.token_classification.task import TokenClassification
from pipelines.text.config import TextConfig
from tests.pipelines import samples, written

BILSTM = {"embedding": 8, "units": [8], "dropout": 0.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    written.store_tagged(folder)
    # As in addresses: punctuation stays with its word.
    attached = {
        split: [{**row, "tokens": [f"{token}," for token in row["tokens"]]} for row in rows]
        for split, rows in written.tagged().items()
    }
    features = {"tokens": written.TOKENS, "tags": written.labels(*written.TAGS)}
    written.store(folder, "attached", features, attached)
    return folder


def config(folder: Path, architecture: str, dataset: str = "meetings", **options) -> TextConfig:
    model = {"model": BILSTM} if architecture == "bilstm" else {}
    return written.config(folder, dataset, architecture, **{**model, **options})


class Built:
    """A task with its data and its network, trained a little so that tags differ."""

    def __init__(self, chosen: TextConfig) -> None:
        self.config = chosen
        self.task = TokenClassification()
        self.data: TaggedTexts = self.task.load(chosen)
        model = training.build(self.task, self.data, chosen)
        record: Any = samples.Record()
        self.model: keras.Model = training.fit(self.task, model, self.data, chosen, record)

    @functools.cached_property
    def signatures(self) -> list[Signature]:
        return self.task.signatures(self.model, self.data)


RECIPE = replace(written.RECIPE, epochs=4)


@pytest.fixture(scope="module")
def words(folder) -> Built:
    return Built(config(folder, "bilstm", recipe=RECIPE))


@pytest.fixture(scope="module")
def cut(folder) -> Built:
    """A network that reads the first words only, of texts whose words end in commas."""
    return Built(config(folder, "bilstm", "attached", max_length=8, recipe=RECIPE))


@pytest.fixture(scope="module")
def encoder(folder) -> Built:
    return Built(config(folder, "bert_tiny", recipe=RECIPE))


@pytest.fixture(params=("words", "cut", "encoder"))
def built(request) -> Built:
    return request.getfixturevalue(request.param)


@functools.cache
def graph(function: Any, *specs: tf.TensorSpec) -> Any:
    return tf.function(function, input_signature=specs)


def exported(signature: Signature) -> Any:
    """The entry as it is exported; tracing it takes seconds, so that it is kept."""
    return graph(signature.function, *signature.inputs.values())


def test_all_signatures_answer_as_they_expect(built):
    names = []
    for signature in built.signatures:
        names.append(signature.name)
        assert signature.inputs.keys() == signature.examples.keys()
        examples = (tf.constant(signature.examples[key]) for key in signature.inputs)
        answers = exported(signature)(*examples)
        assert answers.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            answer = answers[key].numpy()
            assert (answer.dtype, answer.shape) == (expected.dtype, expected.shape), key
            if expected.dtype == np.float32:
                np.testing.assert_allclose(answer, expected, rtol=1e-5, atol=1e-6)
            else:
                np.testing.assert_array_equal(answer, expected)
    assert names == ["serving_default", "token_ids"]


def test_what_is_expected_are_the_tags_that_are_scored(built):
    """Serving reads texts as training reads words."""
    test = predict(built.task, built.model, built.data, "test", batch_size=5)
    scored = built.task._of_words(test)
    answer = built.signatures[0].expected
    assert {tag for row in scored.predicted["tags"] for tag in row} > {"O"}
    for words, given, own, truth in zip(
        answer["words"],
        answer["tags"],
        scored.predicted["tags"],
        scored.examples["words"],
        strict=True,
    ):
        read = [word.decode() for word in words if word]
        # Words that are cut off have no answer, and are scored as outside.
        assert read == list(truth[: len(read)])
        assert [tag.decode() for tag in given if tag] == list(own[: len(read)])
        assert set(own[len(read) :]) <= {"O"}
        assert len(own) == len(truth)
    count = sum(len(row) for row in scored.examples["words"])
    if built.config.max_length == 8:
        assert np.count_nonzero(answer["words"] != b"") < count
    else:
        assert np.count_nonzero(answer["words"] != b"") == count


def ask(built: Built, *texts: str) -> dict[str, np.ndarray]:
    answer = exported(built.signatures[0])(tf.constant([text.encode() for text in texts]))
    return {name: value.numpy() for name, value in answer.items()}


def test_spans_are_parts_of_the_text_as_it_was_sent(words):
    """Two spaces, letters of several bytes, and punctuation that touches a word."""
    text = "Zoë  met Dan O Neil in\nSão Paulo."
    answer = ask(words, text)
    assert b" ".join(answer["words"][0]).decode() == "Zoë met Dan O Neil in São Paulo ."
    assert answer["span_labels"].shape[1] > 0
    raw = text.encode()
    for start, end, piece in zip(
        answer["span_starts"][0], answer["span_ends"][0], answer["span_texts"][0], strict=True
    ):
        assert raw[start:end] == piece
    entities = tagging.get_entities([tag.decode() for tag in answer["tags"][0]])
    assert [label.decode() for label in answer["span_labels"][0]] == [e[0] for e in entities]


def test_texts_are_answered_alone_as_they_are_together(built):
    texts = ["", " \n", "Ann met Bob Stone in Oslo .", "in " * 90, "\x00 Zoë €5", "unseen"]
    together = ask(built, *texts)
    assert together["words"][:2].tolist() == [[b""] * together["words"].shape[1]] * 2
    assert np.all(together["span_starts"][:2] == -1)
    for index, text in enumerate(texts):
        for name, value in ask(built, text).items():
            row, width = together[name][index], value.shape[1]
            if value.dtype == np.float32:
                np.testing.assert_allclose(row[:width], value[0], rtol=1e-4, atol=1e-6)
            else:
                assert row[:width].tolist() == value[0].tolist()
            assert set(row[width:].tolist()) <= {b"", 0, -1}
    assert together["probabilities"].max() <= 1


def test_words_that_do_not_fit_are_left_out_of_the_answer(cut):
    answer = ask(cut, "in, in, in, in, in, in, in, in,")
    assert 0 < answer["words"].shape[1] < 8
    assert answer["words"].shape == answer["tags"].shape == answer["probabilities"].shape


def test_texts_of_another_shape_are_refused_before_they_reach_the_network(words):
    default = words.signatures[0]
    function = tf.function(default.function, input_signature=[tf.TensorSpec(None, tf.string)])
    for wrong in (tf.constant("Ann"), tf.constant([["Ann"]])):
        with pytest.raises(tf.errors.InvalidArgumentError):
            function(wrong)


@pytest.mark.parametrize("architecture", ["bilstm", "bert_tiny"])
def test_an_artefact_that_reads_token_ids_needs_no_ops_of_tf_text(architecture, folder, tmp_path):
    task, chosen = TokenClassification(), config(folder, architecture, text_signature=False)
    data = task.load(chosen)
    model = training.build(task, data, chosen)
    (only,) = task.signatures(model, data)
    assert only.name == "serving_default"
    assert set(only.inputs) == set(model.input)
    saved = saved_model.saved_model(model, [only], tmp_path / "saved_model")
    assert text_ops(ops(saved)) == []
    answer = tf.saved_model.load(str(saved)).signatures["serving_default"](
        **{name: tf.constant(value) for name, value in only.examples.items()}
    )
    np.testing.assert_array_equal(answer["tags"], only.expected["tags"])
    assert answer["tags"].shape == only.examples["token_ids"].shape


def test_an_artefact_that_reads_text_needs_them(words, tmp_path):
    saved = saved_model.saved_model(words.model, words.signatures, tmp_path / "saved_model")
    assert "RegexSplitWithOffsets" in text_ops(ops(saved))


def test_a_network_learns_to_tag(folder):
    built = Built(config(folder, "bilstm", recipe=replace(RECIPE, epochs=12)))
    test = predict(built.task, built.model, built.data, "validation", 8)
    scores = built.task.scores(test)
    assert scores.keys() == {"f1", "precision", "recall", "word_accuracy"}
    assert scores["f1"] > 0.8
    # What is scored can be drawn again and again.
    low, high = evaluation.intervals(built.task.scores, test)["f1"]
    assert low <= scores["f1"] <= high


def test_only_first_tokens_count_in_training(words):
    """A batch's loss is the mean over the tokens where a word begins."""
    data = words.data.train.take(9).padded_batch(9)
    ((inputs, target, weight),) = data
    logits = words.model(inputs, training=False)
    chance = tf.nn.softmax(logits).numpy()
    places = weight.numpy() > 0
    expected = -np.log(chance[places, target.numpy()[places]]).mean()
    loss = words.task.loss()(target, logits, sample_weight=weight)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert places.sum() < weight.numpy().size


def test_the_baselines_read_words(words):
    baselines = words.task.baselines(words.data)
    names = [baseline.name for baseline in baselines]
    assert names == ["most frequent tag of a word", "hidden Markov model"]
    for baseline in baselines:
        assert baseline.validation["f1"] > 0.9
    assert strongest(baselines, words.task.metric, words.task.greater_is_better) in baselines


def test_the_most_probable_tag_is_the_answer():
    logits = tf.constant([[[0.0, 2.0, 1.0], [3.0, -1.0, 2.9]]])
    answer = TokenClassification().answers(logits)
    assert answer["tag_ids"].dtype == tf.int32
    assert answer["tag_ids"].numpy().tolist() == [[1, 0]]
    np.testing.assert_allclose(
        answer["probabilities"], tf.reduce_max(tf.nn.softmax(logits), -1), rtol=1e-6
    )


def test_words_that_were_cut_off_are_outside():
    task = TokenClassification()
    task._labels = ("O", "B-X", "I-X")
    examples = {
        "tags": tagging.column([("B-X", "O"), ("B-X", "I-X", "I-X")]),
        "weight": np.array([[0, 1, 0, 1, 0], [0, 1, 0, 0, 0]], np.float32),
    }
    answers = {"tag_ids": np.array([[2, 1, 2, 0, 2], [0, 1, 2, 2, 2]])}
    of_words = task._of_words(Predictions(examples, answers)).predicted["tags"]
    assert of_words.tolist() == [("B-X", "O"), ("B-X", "O", "O")]
    scores = task.scores(Predictions(examples, answers))
    assert scores["f1"] == pytest.approx(1 / 2)
    assert scores["word_accuracy"] == pytest.approx(3 / 5)


def test_the_figures_come_out(built):
    test = predict(built.task, built.model, built.data, "test", 8)
    figures = dict(built.task.figures(built.model, built.data, test))
    attention = ["attention_layers", "attention_heads"]
    assert list(figures) == [
        *("f1_by_type", "confusion_matrix", "worst_mistakes", "reliability", "lengths"),
        *(attention if built.config.architecture == "bert_tiny" else []),
    ]


def test_examples_are_test_texts_with_words_and_tags(words):
    ((path, content),) = words.task.examples(words.data).items()
    rows = [json.loads(line) for line in content.decode().splitlines()]
    assert path == "texts.jsonl"
    assert len(rows) == 8
    for row, stored in zip(rows, written.tagged()["test"], strict=False):
        assert row == {
            "text": " ".join(stored["tokens"]),
            "words": stored["tokens"],
            "tags": stored["tags"],
        }


def test_the_proof_holds_for_texts_that_python_splits_in_its_own_way(folder, tmp_path):
    """Symbols, accents of their own, and white space that ASCII does not know."""
    strange = ["5€", "Zoe\u0308", "a\x85b", "x\u2028y", "क\u093f", "½"]
    strange += ["©", "_", "😀", "’s", "\xad"]
    rows = [{"tokens": [word, "met", "."], "tags": ["B-PER", "O", "O"]} for word in strange]
    features = {"tokens": written.TOKENS, "tags": written.labels(*written.TAGS)}
    splits = dict.fromkeys(("train", "validation", "test"), rows)
    written.store(tmp_path, "strange", features, splits)
    task, chosen = TokenClassification(), config(tmp_path, "bilstm", "strange")
    data = task.load(chosen)
    assert data.punctuation_apart
    default, _ = task.signatures(training.build(task, data, chosen), data)
    answer = exported(default)(*map(tf.constant, default.examples.values()))
    for name, expected in default.expected.items():
        if expected.dtype == object:
            np.testing.assert_array_equal(answer[name], expected)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("convnet", {}, "convnet does not tag tokens"),
        ("word_convnet", {}, "word_convnet does not tag tokens"),
        ("gpt2_small", {}, "gpt2_small does not tag tokens"),
        ("bilstm", {"model": {"output": "last"}}, "--model.output cannot be chosen: it follows"),
        ("bilstm", {"model": {"units": 3}}, "recurrent: units must be a list of"),
        ("bilstm", {"encoder": "runs:/1"}, "--encoder needs an architecture of BERT's family, not"),
        ("bert_tiny", {"model": {"pooling": "max"}}, "bert has no hyperparameter 'pooling'"),
        ("bert_tiny", {"freeze_layers": 3}, "--freeze_layers must be at most the encoder's 2"),
    ],
)
def test_a_choice_that_cannot_work_is_told_in_one_sentence(architecture, options, message, folder):
    task, chosen = TokenClassification(), config(folder, architecture, **options)
    with pytest.raises(UserError, match=message) as caught:
        task.model(chosen, task.load(chosen))
    assert "\n" not in str(caught.value)
