"""Text classification: what happens to a text between a request and the network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.errors import UserError
from pipelines.export import saved_model
from pipelines.export.ops import ops, text_ops
from pipelines.tasks.text_classification import probing
from pipelines.tasks.text_classification.config import TextClassificationConfig
from pipelines.tasks.text_classification.task import TextClassification, _joined
from pipelines.text import figures as text_figures
from tests.pipelines import written
from tests.pipelines.built import Built, exported, graph_ops

SMALL = {
    "word_convnet": {"embedding": 6, "filters": 5, "widths": [2, 3]},
    "bigru": {"embedding": 6, "units": [5], "output": "attention"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    written.store_topics(folder)
    written.store_pairs(folder)
    return folder


def config(
    folder: Path,
    architecture: str,
    dataset: str = "topics",
    *,
    tokens: Any = "auto",
    **options: Any,
) -> TextClassificationConfig:
    model = {"model": SMALL[architecture]} if architecture in SMALL else {}
    chosen = vars(written.config(folder, dataset, architecture, **{**model, **options}))
    return TextClassificationConfig(**chosen, tokens=tokens)


@pytest.fixture(scope="module")
def words(folder) -> Built:
    return Built(TextClassification(config(folder, "word_convnet")))


@pytest.fixture(scope="module")
def encoder(folder) -> Built:
    return Built(TextClassification(config(folder, "bert_tiny")))


@pytest.fixture(scope="module")
def paired(folder) -> Built:
    return Built(TextClassification(config(folder, "electra_small", "pairs")))


@pytest.fixture(scope="module")
def paired_words(folder) -> Built:
    return Built(TextClassification(config(folder, "bigru", "pairs")))


# Pairs of texts, and each kind of network.
BUILT = (
    *("encoder", "paired_words"),
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("words", "paired")),
)


@pytest.fixture(params=BUILT)
def built(request) -> Built:
    return request.getfixturevalue(request.param)


def test_all_signatures_answer_as_they_expect(built):
    for signature in built.signatures:
        assert signature.inputs.keys() == signature.examples.keys()
        examples = (tf.constant(signature.examples[key]) for key in signature.inputs)
        answers = exported(signature)(*examples)
        assert answers.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            assert answers[key].shape == expected.shape
            if expected.dtype == object:
                np.testing.assert_array_equal(answers[key], expected)
            else:
                np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-6)


def test_the_signatures_are_named_and_read_texts_by_name(words, paired):
    assert [s.name for s in words.signatures] == ["serving_default", "token_ids", "classify"]
    assert list(words.default.inputs) == ["text"]
    # A tf.Example has one text.
    assert [s.name for s in paired.signatures] == ["serving_default", "token_ids"]
    assert list(paired.default.inputs) == ["text", "text_pair"]
    assert set(paired.signatures[1].inputs) == {"token_ids", "padding_mask", "segment_ids"}


def test_what_is_expected_is_the_network_on_the_examples_of_the_data_set(built):
    """Serving tokenizes as training does."""
    probabilities = built.predict("test").predicted["probabilities"]
    for signature in built.signatures:
        expected = signature.expected.get("probabilities", signature.expected.get("scores"))
        np.testing.assert_allclose(expected, probabilities, rtol=1e-4, atol=1e-6)
    names = [built.data.class_names[index].encode() for index in probabilities.argmax(-1)]
    assert built.default.expected["classes"].tolist() == names
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)


def test_any_texts_get_an_answer_alone_and_together(built):
    count = len(built.default.inputs)
    ask = exported(built.default)
    texts = ["", " ", "ship", "wave " * 200, "unknown \u2028 Wörter\x00!", "\xff"]
    raw = [text.encode("latin-1" if text == "\xff" else "utf-8") for text in texts]
    together = ask(*[tf.constant(raw)] * count)["probabilities"].numpy()
    for text, row in zip(raw, together, strict=True):
        alone = ask(*[tf.constant([text])] * count)["probabilities"].numpy()
        np.testing.assert_allclose(alone, [row], rtol=1e-4, atol=1e-6)
    assert np.isfinite(together).all()


def test_texts_of_another_shape_are_refused_before_they_reach_the_network(words):
    spec = [tf.TensorSpec(None, tf.string)]
    ask = tf.function(words.default.function, input_signature=spec)
    for wrong in (tf.constant("ship"), tf.constant([["ship"]])):
        with pytest.raises(tf.errors.InvalidArgumentError):
            ask(wrong)


def test_networks_of_words_need_no_ops_of_tf_text(words, paired_words):
    for built in (words, paired_words):
        for signature in built.signatures:
            assert not text_ops(graph_ops(signature))


def test_encoders_need_them_unless_they_read_token_ids_only(encoder, folder, tmp_path):
    assert "CaseFoldUTF8" in text_ops(graph_ops(encoder.default))
    plain = Built(TextClassification(config(folder, "bert_tiny", text_signature=False)))
    plain.network.model.set_weights(encoder.network.model.get_weights())
    (only,) = plain.signatures
    assert only.name == "serving_default"
    assert set(only.inputs) == {"token_ids", "padding_mask", "segment_ids"}
    assert {spec.dtype for spec in only.inputs.values()} == {tf.int32}
    saved = saved_model.saved_model(plain.network.model, [only], tmp_path / "saved_model")
    assert not text_ops(ops(saved))
    loaded = tf.saved_model.load(str(saved))
    asked = {name: tf.constant(value) for name, value in only.examples.items()}
    answer = loaded.signatures["serving_default"](**asked)
    np.testing.assert_allclose(
        answer["probabilities"], encoder.default.expected["probabilities"], rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [("words", "the ship"), ("characters", " the ship "), ("auto", "the ship")],
)
def test_words_or_characters_are_read_as_chosen(folder, tokens, expected):
    data = TextClassification(config(folder, "bigru", tokens=tokens)).load()
    ids = data.tokenizer(tf.constant(["The ship"]))["token_ids"].to_list()[0]
    between = "" if tokens == "characters" else " "
    assert between.join(data.tokenizer.vocabulary[index] for index in ids) == expected


def test_a_network_learns_what_a_text_is_about(folder):
    task = TextClassification(config(folder, "word_convnet", word_dropout=0.1))
    built = Built(task, epochs=8)
    assert built.scores("validation")[task.metric] > 0.9
    for baseline in built.task.baselines(built.data):
        assert baseline.validation["accuracy"] > 0.9


def test_the_baselines_read_both_texts_of_a_pair(paired):
    baseline, *_ = paired.task.baselines(paired.data)
    assert baseline.validation.keys() == baseline.test.keys() >= {"accuracy", "log_loss"}
    first, second = paired.data.raw("test").values()
    assert _joined(paired.data, "test").tolist() == [
        f"{one} {other}" for one, other in zip(first, second, strict=True)
    ]


@pytest.fixture(scope="module")
def frozen(folder) -> tuple[Built, dict[str, np.ndarray]]:
    """A trained network whose encoder has a frozen layer, and its weights before training."""
    built = Built(TextClassification(config(folder, "distilbert_base", freeze_layers=1)))
    before = {weight.path: weight.numpy() for weight in built.network.model.weights}
    built.network = built.trained()
    return built, before


def test_a_frozen_encoder_stays_as_it_is_in_training(frozen):
    built, before = frozen
    model = built.network.model
    layers = [layer.name for layer in model.layers if layer.name.startswith("transformer_layer")]
    changed = {
        path.split("/")[0]
        for path, value in {w.path: w.numpy() for w in model.weights}.items()
        if path in before and np.any(before[path] != value)
    }
    assert len(layers) == 2
    assert changed >= {layers[1], "logits"}
    assert layers[0] not in changed
    assert not {name for name in changed if "embedding" in name}


def test_what_a_run_keeps_is_the_trained_encoder(frozen, folder, tmp_path):
    built, _ = frozen
    ((name, write),) = built.task.artifacts(built.network, built.data).items()
    write(tmp_path / name)
    options: dict[str, Any] = {"encoder": str(tmp_path / name), "model": {"pooling": "mean"}}
    task = TextClassification(config(folder, "distilbert_base", **options))
    data = task.load()
    assert data.tokenizer.vocabulary == built.data.tokenizer.vocabulary
    encoders = task.network(data).parts["encoder"], built.network.parts["encoder"]
    for one, other in zip(*(encoder.weights for encoder in encoders), strict=True):
        np.testing.assert_array_equal(one, other)


NAMES = ["confusion_matrix", "reliability", "worst_mistakes", "lengths", "embedding_map"]


def test_the_figures_come_out(built, monkeypatch):
    if built.task.config.architecture != "bert_tiny":  # Once is enough of what takes long.
        monkeypatch.setattr(text_figures, "embedding_map", lambda *arguments: Figure())
        monkeypatch.setattr(probing, "figure", lambda *arguments: Figure())
    test = built.predict("test")
    figures = dict(built.task.figures(built.network, built.data, test, []))
    more = {
        "word_convnet": [],
        # Its pooling has no query for each token.
        "bigru": ["attention_layers"],
    }
    of_encoders = ["attention_layers", "attention_heads", "probing"]
    assert list(figures) == NAMES + more.get(built.task.config.architecture, of_encoders)
    # The worst mistake is the text whose own class got the lowest probability.
    truth, probabilities = test.examples["target"], test.predicted["probabilities"]
    own = probabilities[np.arange(len(truth)), truth]
    worst = int(np.argmin(np.where(probabilities.argmax(-1) != truth, own, 2)))
    title, caption, *lines = (text.get_text() for text in figures["worst_mistakes"].axes[0].texts)
    assert title == "Worst mistakes on the test split"
    other, right = (built.data.class_names[index] for index in (1 - truth[worst], truth[worst]))
    assert caption == f"{other} {1 - own[worst]:.2f}, true {right} {own[worst]:.2f}"
    assert lines[0] in " ".join(column[worst] for column in built.data.raw("test").values())


def test_examples_are_test_texts_with_their_classes(words, paired):
    for built, names in ((words, ["text"]), (paired, ["text", "text_pair"])):
        ((path, content),) = built.task.examples(built.data).items()
        rows = [json.loads(line) for line in content.decode().splitlines()]
        assert path == "texts.jsonl"
        assert len(rows) == 8
        columns, labels = built.data.columns["test"], built.data.labels["test"]
        for index, row in enumerate(rows):
            assert list(row) == [*names, "class"]
            assert [row[name] for name in names] == [columns[name][index] for name in names]
            assert row["class"] == built.data.class_names[labels[index]]


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("convnet", {}, "convnet does not classify texts"),
        ("resnet18", {}, "resnet18 does not classify texts"),
        ("transformer_base", {}, "transformer_base does not classify texts"),
        ("gpt2_small", {}, "gpt2_small does not classify texts"),
        ("bigru", {"model": {"output": "sequence"}}, "bigru does not classify texts"),
        ("word_convnet", {"model": {"outputs": 3}}, "--model.outputs cannot be chosen: it follows"),
        ("word_convnet", {"model": {"widths": []}}, "word_convnet: widths needs at least one"),
        ("bert_tiny", {"model": {"classes": 3}}, "bert has no hyperparameter 'classes'"),
        ("bert_tiny", {"model": {"pooling": "sum"}}, "pooling must be one of"),
        ("bert_tiny", {"freeze_layers": 9}, "--freeze_layers must be at most the encoder's 2"),
        ("bert_tiny", {"encoder": "nowhere"}, "--encoder nowhere is no directory with a config"),
    ],
)
def test_a_choice_that_cannot_work_is_told_in_one_sentence(
    architecture, options, message, folder, words
):
    task = TextClassification(config(folder, architecture, **options))
    with pytest.raises(UserError, match=message) as caught:
        task.network(words.data)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("word_convnet", {"encoder": "runs:/1"}, "--encoder needs an architecture of BERT's fam"),
        ("bert_tiny", {"tokens": "words"}, "--tokens words is for networks without an encoder"),
        ("lstm", {"freeze_layers": 1}, "--freeze_layers needs an architecture of BERT's family"),
    ],
)
def test_choices_that_do_not_go_together_are_told_when_data_are_read(
    architecture, options, message, folder
):
    with pytest.raises(UserError, match=message) as caught:
        TextClassification(config(folder, architecture, **options)).load()
    assert "\n" not in str(caught.value)
