"""Pre-training by hidden words: families, what is asked of each, and what is served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
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
from pipelines.export.ops import ops, text_ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.bert import BertPretraining
from pipelines.tasks.pretraining.data import Segments
from pipelines.text.tokenizers import SPECIAL
from tests.pipelines import samples
from tests.pipelines.tasks.pretraining import examples

TASKS = {
    "bert_tiny": "next_sentence",
    "albert_base": "sentence_order",
    "roberta_base": "",
    "distilbert_base": "",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    examples.store_documents(folder)
    return folder


class Built:
    """A task with its data and its network, whose weights are strong, so that answers differ."""

    def __init__(self, folder: Path, architecture: str = "bert_tiny", **options: Any) -> None:
        self.config = examples.config(folder, architecture, **options)
        self.task = BertPretraining()
        self.data: Segments = self.task.load(self.config)
        self.model: keras.Model = training.build(self.task, self.data, self.config)
        self.model.set_weights([5 * weight for weight in self.model.get_weights()])


@pytest.fixture(scope="module")
def bert(folder) -> Built:
    return Built(folder)


def test_hidden_words_and_pairs_are_learned(folder):
    recipe = Recipe(epochs=8, batch_size=8, optimizer=Optimizer(5e-3, clip_norm=1.0))
    built = Built(folder, recipe=recipe)
    model = training.build(built.task, built.data, built.config)
    record: Any = samples.Record()
    model = training.fit(built.task, model, built.data, built.config, record)
    assert record.curves["loss"][-1] < 0.9 * record.curves["loss"][0]
    assert {"val_masked_lm_accuracy", "val_next_sentence_accuracy"} <= record.curves.keys()
    test = predict(built.task, model, built.data, "test", 8)
    # Better than a guess among all tokens alike.
    perplexity = built.task.scores(test)["masked_lm_perplexity"]
    assert perplexity < 0.5 * len(built.data.tokenizer.vocabulary)


@pytest.mark.parametrize("architecture", TASKS)
def test_each_family_is_asked_what_its_paper_asks(folder, architecture, tmp_path, at_once):
    built = Built(folder, architecture)
    name = TASKS[architecture]
    assert built.data.sentence_task == name
    ((inputs, target),) = built.data.train.take(1).as_numpy_iterator()
    assert set(target) == ({name} if name else set())
    assert ("segment_ids" in inputs) == bool(name)
    entries = ["serving_default", "fill_mask", "token_ids", "embed", "embed_token_ids"]
    entries += [name, f"{name}_token_ids"] if name else []
    signatures = built.task.signatures(built.model, built.data)
    assert [signature.name for signature in signatures] == entries
    if architecture in ("albert_base", "distilbert_base"):
        validate(saved_model(built.model, signatures, tmp_path / "saved"), signatures)
    scores = built.task.scores(predict(built.task, built.model, built.data, "test", 4))
    expected = {"masked_lm_accuracy", "masked_lm_perplexity"}
    assert scores.keys() == expected | ({f"{name}_accuracy"} if name else set())
    for baseline in built.task.baselines(built.data):
        assert baseline.test.keys() == scores.keys()


def test_training_batches_are_masked_anew(bert):
    batches = training.batches(bert.task, bert.data, bert.config)
    special, mask = len(SPECIAL), bert.data.tokenizer.vocabulary.index("[MASK]")
    texts = []
    for _ in range(2):
        drawn = [(x["token_ids"].numpy(), y["masked_lm"].numpy()) for x, y in batches]
        assert len(drawn) == int(batches.cardinality())
        chosen = sum((hidden > 0).sum() for _, hidden in drawn)
        plain = sum(((ids >= special) | (ids == mask)).sum() for ids, _ in drawn)
        assert chosen / plain == pytest.approx(0.15, abs=0.04)
        texts.append({row.tobytes() for ids, _ in drawn for row in ids})
    assert len(texts[0] & texts[1]) < len(texts[0]) / 10


def test_a_shown_token_may_be_the_true_one(bert):
    """Without context: each is guessed right, and no other token but the most frequent is."""
    inputs, target = masked_lm.arrays(bert.data, "test")
    answer = masked_lm.as_shown(bert.data)("test")
    hidden = target["masked_lm"]
    shown = np.take_along_axis(inputs["token_ids"], inputs["mask_positions"], 1)
    kept = (shown == hidden) & (hidden > 0)
    assert kept.any()
    share = masked_lm.neighbours_of(bert.data).share
    right = (answer["guess"] == hidden) & (hidden > 0)
    assert (kept | (hidden == share.argmax()))[right].all()
    assert (answer["log_probability"][kept] > np.log(share[hidden[kept]])).all()
    other = (shown != bert.data.tokenizer.vocabulary.index("[MASK]")) & ~kept & (hidden > 0)
    assert (answer["log_probability"][other] < np.log(share[hidden[other]])).all()
    names = [baseline.name for baseline in bert.task.baselines(bert.data)]
    assert names == [
        *("most frequent token, prior", "token as shown, prior"),
        "counts of neighbours, words in common",
    ]


def test_what_is_not_hidden_does_not_count(bert):
    predictions = predict(bert.task, bert.model, bert.data, "test", 3)
    changed = {name: value.copy() for name, value in predictions.predicted.items()}
    empty = predictions.examples["masked_lm"] == 0
    assert empty.any()
    changed["guess"][empty] = 0
    changed["log_probability"][empty] = -99
    again = replace(predictions, answers=changed)
    assert bert.task.scores(again) == bert.task.scores(predictions)


def test_a_text_s_masks_are_filled_whatever_stands_beside_it(bert):
    (fill,) = (s for s in bert.task.signatures(bert.model, bert.data) if s.name == "fill_mask")
    texts = ["the [MASK] and a ship", "[MASK] [MASK] wave", "no mask", ""]
    together = {name: x.numpy() for name, x in fill.function(tf.constant(texts)).items()}
    assert together["tokens"].shape == together["scores"].shape == (4, 2, masked_lm.GUESSES)
    assert (together["tokens"] != b"").any(-1).tolist() == [
        [True, False],
        [True, True],
        [False, False],
        [False, False],
    ]
    for row, text in enumerate(texts):
        alone = fill.function(tf.constant([text]))
        masks = text.count("[MASK]")
        assert alone["tokens"].shape == (1, masks, masked_lm.GUESSES)
        np.testing.assert_array_equal(alone["tokens"][0], together["tokens"][row, :masks])
        np.testing.assert_allclose(alone["scores"][0], together["scores"][row, :masks], rtol=1e-4)


def test_token_ids_alone_need_no_text_ops(folder, tmp_path):
    built = Built(folder, text_signature=False)
    signatures = built.task.signatures(built.model, built.data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "token_ids", "embed_token_ids", "next_sentence_token_ids")
    ]
    assert not text_ops(ops(saved_model(built.model, signatures, tmp_path / "saved")))


def test_figures_show_guesses_pairs_and_layers(bert):
    test = predict(bert.task, bert.model, bert.data, "test", 4)
    drawn = dict(bert.task.figures(bert.model, bert.data, test))
    assert drawn.keys() == {
        *("accuracy_by_frequency", "worst_mistakes", "lengths", "attention_layers"),
        *("attention_heads", "embedding_map", "probing", "confusion_matrix", "reliability"),
        "worst_pairs",
    }
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    captions = [text.get_text() for text in drawn["worst_mistakes"].axes[0].texts]
    assert captions[0] == "Wrong guesses on the test split, the most certain first"
    assert any("____" in caption for caption in captions)


def test_samples_show_guesses_in_their_places(bert):
    text = bert.task.samples(bert.model, bert.data)
    assert len(text.split("\n\n")) == 5
    assert ", not " in text


def test_examples_are_sentences_of_test(bert):
    ((name, lines),) = bert.task.examples(bert.data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("texts.jsonl", 8)
    spoken = {s for document in bert.data.documents.sentences["test"] for s in document}
    assert {row["text"] for row in rows} <= spoken


@pytest.mark.parametrize(
    ("architecture", "options", "message"),
    [
        ("bilstm", {}, "bilstm cannot be pre-trained; those of BERT's family can"),
        ("bert_tiny", {"word_dropout": 0.1}, "--word_dropout is not for pre-training"),
        (
            "roberta_base",
            {"sentence_task": "next_sentence"},
            "--sentence_task next_sentence needs segments, which roberta_base lacks",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_refused(folder, architecture, options, message):
    with pytest.raises(UserError, match=message):
        BertPretraining().load(examples.config(folder, architecture, **options))


@pytest.mark.parametrize("chosen", ["none", "sentence_order"])
def test_the_question_about_pairs_can_be_chosen(folder, chosen):
    task, config = BertPretraining(), examples.config(folder, sentence_task=chosen)
    own = {"masked_lm", chosen} - {"none"}
    assert set(task.model(config, task.load(config)).output) == own
    assert task.loss().keys() == task.metrics().keys() == own
