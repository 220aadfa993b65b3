"""Token classification: what happens to a text between a request and its spans."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from seqeval.metrics.sequence_labeling import get_entities

from pipelines import evaluation
from pipelines.baselines import strongest
from pipelines.errors import UserError
from pipelines.export import saved_model
from pipelines.export.ops import ops, text_ops
from pipelines.tasks.token_classification import decoding
from pipelines.tasks.token_classification.data import as_column
from pipelines.tasks.token_classification.task import TokenClassification
from pipelines.text.config import TextConfig
from tests.pipelines import written
from tests.pipelines.built import Built, exported, graph_ops

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


EPOCHS = 4  # So that tags differ.


@pytest.fixture(scope="module")
def words(folder) -> Built:
    return Built(TokenClassification(config(folder, "bilstm")), epochs=12)


@pytest.fixture(scope="module")
def cut(folder) -> Built:
    """A network that reads the first words only, of texts whose words end in commas."""
    chosen = config(folder, "bilstm", "attached", max_length=8)
    return Built(TokenClassification(chosen), EPOCHS)


@pytest.fixture(scope="module")
def encoder(folder) -> Built:
    return Built(TokenClassification(config(folder, "bert_tiny")), EPOCHS)


@pytest.fixture(params=("words", pytest.param("cut", marks=pytest.mark.slow), "encoder"))
def built(request) -> Built:
    return request.getfixturevalue(request.param)


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
    scored = decoding.tags_of_words(built.predict("test"), built.data.labels)
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
        # Truncated words have no answer, and are scored as outside.
        assert read == list(truth[: len(read)])
        assert [tag.decode() for tag in given if tag] == list(own[: len(read)])
        assert set(own[len(read) :]) <= {"O"}
        assert len(own) == len(truth)
    count = sum(len(row) for row in scored.examples["words"])
    if built.task.config.max_length == 8:
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
    entities = get_entities([tag.decode() for tag in answer["tags"][0]])
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


@pytest.mark.parametrize(
    "architecture", ["bilstm", pytest.param("bert_tiny", marks=pytest.mark.slow)]
)
def test_an_artefact_that_reads_token_ids_needs_no_ops_of_tf_text(architecture, folder, tmp_path):
    built = Built(TokenClassification(config(folder, architecture, text_signature=False)))
    model, (only,) = built.network.model, built.signatures
    assert only.name == "serving_default"
    assert set(only.inputs) == set(model.input)
    saved = saved_model.saved_model(model, [only], tmp_path / "saved_model")
    assert text_ops(ops(saved)) == []
    answer = tf.saved_model.load(str(saved)).signatures["serving_default"](
        **{name: tf.constant(value) for name, value in only.examples.items()}
    )
    np.testing.assert_array_equal(answer["tags"], only.expected["tags"])
    assert answer["tags"].shape == only.examples["token_ids"].shape


def test_a_signature_that_reads_text_needs_them(words):
    assert "RegexSplitWithOffsets" in text_ops(graph_ops(words.default))
    assert text_ops(graph_ops(words.signatures[1])) == []


def test_a_network_learns_to_tag(words):
    predictions = words.predict("validation")
    scores = evaluation.scores_of(words.task, predictions, words.data)
    assert scores.keys() == {"f1", "precision", "recall", "word_accuracy"}
    assert scores["f1"] > 0.8
    # Scored predictions can be resampled.
    drawn = evaluation.intervals(
        lambda drawn: words.task.scores(drawn, words.data),
        words.task.reduce(predictions, words.data),
    )
    low, high = drawn["f1"]
    assert low <= scores["f1"] <= high


def test_only_first_tokens_count_in_training(words):
    """A batch's loss is the mean over the tokens where a word begins."""
    data = words.data.train.take(9).padded_batch(9)
    ((inputs, target, weight),) = data
    logits = words.network.model(inputs, training=False)
    probabilities = tf.nn.softmax(logits).numpy()
    places = weight.numpy() > 0
    expected = -np.log(probabilities[places, target.numpy()[places]]).mean()
    loss = words.task.loss(words.data)(target, logits, sample_weight=weight)
    assert float(loss) == pytest.approx(expected, rel=1e-4)
    assert places.sum() < weight.numpy().size


def test_the_baselines_read_words(words):
    baselines = words.task.baselines(words.data)
    names = [baseline.name for baseline in baselines]
    assert names == [
        *("most frequent tag of a word", "hidden Markov model", "maximum-entropy Markov model"),
    ]
    for baseline in baselines:
        assert baseline.validation["f1"] > 0.9
    assert strongest(baselines, words.task.metric, words.task.greater_is_better) in baselines


def test_the_figures_come_out(built):
    test = built.predict("test")
    figures = dict(built.task.figures(built.network, built.data, test, []))
    attention = ["attention_layers", "attention_heads"]
    assert list(figures) == [
        *("f1_by_type", "confusion_matrix", "worst_mistakes", "reliability", "lengths"),
        *(attention if built.task.config.architecture == "bert_tiny" else []),
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


def test_signatures_are_verified_with_texts_that_python_splits_in_its_own_way(words):
    """Symbols, accents of their own, and white space that ASCII does not know."""
    strange = ["5€", "Zoe\u0308", "a\x85b", "x\u2028y", "क\u093f", "½"]
    strange += ["©", "_", "😀", "’s", "\xad"]
    assert words.data.punctuation_apart
    columns = {"words": as_column([[word, "met", "."] for word in strange])}
    default, _ = words.task.signatures(
        words.network, replace(words.data, columns={"test": columns})
    )
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
        ("bert_tiny", {"model": {"pooling": "max"}}, "bert has no hyperparameter 'pooling'"),
        ("bert_tiny", {"freeze_layers": 3}, "--freeze_layers must be at most the encoder's 2"),
    ],
)
def test_a_choice_that_cannot_work_is_told_in_one_sentence(
    architecture, options, message, folder, words
):
    task = TokenClassification(config(folder, architecture, **options))
    with pytest.raises(UserError, match=message) as caught:
        task.network(words.data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("bilstm", {"encoder": "runs:/1"}, "--encoder needs an architecture of BERT's family, not"),
    ],
)
def test_choices_that_do_not_go_together_are_told_when_data_are_read(
    architecture, options, message, folder
):
    with pytest.raises(UserError, match=message) as caught:
        TokenClassification(config(folder, architecture, **options)).load()
    assert "\n" not in str(caught.value)
