"""Text classification: what happens to a text between a request and the network."""

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

from pipelines import training
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.export import saved_model
from pipelines.export.ops import ops, text_ops
from pipelines.export.signature import Signature
from pipelines.tasks.text_classification.data import LabelledTexts
from pipelines.tasks.text_classification.task import TextClassification, _joined
from pipelines.text.config import TextConfig
from tests.pipelines import samples, written

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


def config(folder: Path, architecture: str, dataset: str = "topics", **options: Any) -> TextConfig:
    model = {"model": SMALL[architecture]} if architecture in SMALL else {}
    return written.config(folder, dataset, architecture, **{**model, **options})


class Built:
    """A task with its data and its untrained network."""

    def __init__(self, chosen: TextConfig) -> None:
        self.config = chosen
        self.task = TextClassification()
        self.data: LabelledTexts = self.task.load(chosen)
        self.model: keras.Model = training.build(self.task, self.data, chosen)

    @functools.cached_property
    def signatures(self) -> list[Signature]:
        return self.task.signatures(self.model, self.data)

    @property
    def default(self) -> Signature:
        return self.signatures[0]


@pytest.fixture(scope="module")
def words(folder) -> Built:
    return Built(config(folder, "word_convnet"))


@pytest.fixture(scope="module")
def encoder(folder) -> Built:
    return Built(config(folder, "bert_tiny"))


@pytest.fixture(scope="module")
def paired(folder) -> Built:
    return Built(config(folder, "electra_small", "pairs"))


@pytest.fixture(scope="module")
def paired_words(folder) -> Built:
    return Built(config(folder, "bigru", "pairs"))


BUILT = ("words", "encoder", "paired", "paired_words")


@pytest.fixture(params=BUILT)
def built(request) -> Built:
    return request.getfixturevalue(request.param)


@functools.cache
def graph(function: Any, *specs: tf.TensorSpec) -> Any:
    return tf.function(function, input_signature=specs)


def exported(signature: Signature) -> Any:
    """The entry as it is exported; tracing it takes seconds, so that it is kept."""
    return graph(signature.function, *signature.inputs.values())


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


def test_the_entries_are_named_and_read_texts_by_name(words, paired):
    assert [s.name for s in words.signatures] == ["serving_default", "token_ids", "classify"]
    assert list(words.default.inputs) == ["text"]
    # A tf.Example has one text.
    assert [s.name for s in paired.signatures] == ["serving_default", "token_ids"]
    assert list(paired.default.inputs) == ["text", "text_pair"]
    assert set(paired.signatures[1].inputs) == {"token_ids", "padding_mask", "segment_ids"}


def test_what_is_expected_is_the_network_on_the_examples_of_the_data_set(built):
    """Serving tokenizes as training does."""
    test = predict(built.task, built.model, built.data, "test", batch_size=5)
    chance = test.predicted["probabilities"]
    for signature in built.signatures:
        expected = signature.expected.get("probabilities", signature.expected.get("scores"))
        np.testing.assert_allclose(expected, chance, rtol=1e-4, atol=1e-6)
    names = [built.data.class_names[index].encode() for index in chance.argmax(-1)]
    assert built.default.expected["classes"].tolist() == names
    np.testing.assert_allclose(chance.sum(-1), 1, rtol=1e-5)


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


def test_texts_of_another_shape_are_refused_before_they_reach_the_network(built):
    count = len(built.default.inputs)
    spec = [tf.TensorSpec(None, tf.string)] * count
    ask = tf.function(built.default.function, input_signature=spec)
    for wrong in (tf.constant("ship"), tf.constant([["ship"]])):
        with pytest.raises(tf.errors.InvalidArgumentError):
            ask(*[wrong] * count)


def saved(built: Built, signatures: list[Signature], folder: Path) -> list[str]:
    """Exports and returns the ops that the SavedModel needs."""
    return ops(saved_model.saved_model(built.model, signatures, folder / "saved_model"))


def test_networks_of_words_need_no_ops_of_tf_text(words, paired_words, tmp_path):
    for index, built in enumerate((words, paired_words)):
        (tmp_path / str(index)).mkdir()
        assert not text_ops(saved(built, built.signatures, tmp_path / str(index)))


def test_encoders_need_them_unless_they_read_token_ids_only(encoder, folder, tmp_path):
    assert "CaseFoldUTF8" in text_ops(saved(encoder, encoder.signatures, tmp_path))
    plain = Built(config(folder, "bert_tiny", text_signature=False))
    plain.model.set_weights(encoder.model.get_weights())
    (only,) = plain.signatures
    assert only.name == "serving_default"
    assert set(only.inputs) == {"token_ids", "padding_mask", "segment_ids"}
    assert {spec.dtype for spec in only.inputs.values()} == {tf.int32}
    (tmp_path / "plain").mkdir()
    assert not text_ops(saved(plain, [only], tmp_path / "plain"))
    loaded = tf.saved_model.load(str(tmp_path / "plain/saved_model"))
    asked = {name: tf.constant(value) for name, value in only.examples.items()}
    answer = loaded.signatures["serving_default"](**asked)
    np.testing.assert_allclose(
        answer["probabilities"], encoder.default.expected["probabilities"], rtol=1e-4, atol=1e-6
    )


def trained(built: Built, epochs: int = 1) -> keras.Model:
    recipe = replace(built.config.recipe, epochs=epochs)
    chosen = replace(built.config, recipe=recipe)
    model = training.build(built.task, built.data, chosen)
    record: Any = samples.Record()
    return training.fit(built.task, model, built.data, chosen, record)


def test_a_network_learns_what_a_text_is_about(folder):
    built = Built(config(folder, "word_convnet", word_dropout=0.1))
    model = trained(built, epochs=8)
    scores = built.task.scores(predict(built.task, model, built.data, "validation", 8))
    assert scores[built.task.metric] > 0.9
    (baseline,) = built.task.baselines(built.data)
    assert baseline.name == "TF-IDF and logistic regression"
    assert baseline.validation["accuracy"] > 0.9


def test_the_baseline_reads_both_texts_of_a_pair(paired):
    (baseline,) = paired.task.baselines(paired.data)
    assert baseline.validation.keys() == baseline.test.keys() >= {"accuracy", "log_loss"}
    first, second = paired.data.raw("test").values()
    assert _joined(paired.data, "test").tolist() == [
        f"{one} {other}" for one, other in zip(first, second, strict=True)
    ]


def test_a_frozen_encoder_stays_as_it_is_in_training(folder):
    built = Built(config(folder, "bert_tiny", freeze_layers=1))
    before = {weight.path: weight.numpy() for weight in built.model.weights}
    model = trained(built)
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


def test_what_a_run_keeps_is_the_trained_encoder(folder, tmp_path):
    built = Built(config(folder, "distilbert_base"))
    trained(built)
    ((name, write),) = built.task.artifacts(built.model, built.data).items()
    write(tmp_path / name)
    again = Built(
        config(folder, "distilbert_base", encoder=str(tmp_path / name), model={"pooling": "mean"})
    )
    assert again.data.tokenizer.vocabulary == built.data.tokenizer.vocabulary
    assert built.task._encoder is not None
    assert again.task._encoder is not None
    for one, other in zip(again.task._encoder.weights, built.task._encoder.weights, strict=True):
        np.testing.assert_array_equal(one, other)


NAMES = ["confusion_matrix", "reliability", "worst_mistakes", "lengths", "embedding_map"]


def test_the_figures_come_out(built):
    test = predict(built.task, built.model, built.data, "test", 8)
    figures = dict(built.task.figures(built.model, built.data, test))
    more = {
        "word_convnet": [],
        # Its pooling looks at all words, from nowhere.
        "bigru": ["attention_layers"],
    }
    of_encoders = ["attention_layers", "attention_heads", "probing"]
    assert list(figures) == NAMES + more.get(built.config.architecture, of_encoders)
    # The worst mistake is the text whose own class had the least chance.
    truth, chance = test.examples["target"], test.predicted["probabilities"]
    own = chance[np.arange(len(truth)), truth]
    worst = int(np.argmin(np.where(chance.argmax(-1) != truth, own, 2)))
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
        columns = built.data.columns["test"]
        for index, row in enumerate(rows):
            assert list(row) == [*names, "class"]
            assert [row[name] for name in names] == [columns[name][index] for name in names]
            assert row["class"] == built.data.class_names[columns["target"][index]]


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
        ("word_convnet", {"encoder": "runs:/1"}, "--encoder needs an architecture of BERT's fam"),
        ("lstm", {"freeze_layers": 1}, "--freeze_layers needs an architecture of BERT's family"),
        ("bert_tiny", {"freeze_layers": 9}, "--freeze_layers must be at most the encoder's 2"),
        ("bert_tiny", {"encoder": "nowhere"}, "--encoder nowhere is no directory with a config"),
    ],
)
def test_a_choice_that_cannot_work_is_told_in_one_sentence(architecture, options, message, folder):
    task, chosen = TextClassification(), config(folder, architecture, **options)
    with pytest.raises(UserError, match=message) as caught:
        task.model(chosen, task.load(chosen))
    assert "\n" not in str(caught.value)
