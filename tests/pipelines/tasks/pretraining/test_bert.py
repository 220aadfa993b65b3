"""Masked language modeling: families, their sentence tasks, and what is served."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.evaluation import predict, score, scores_of
from pipelines.export.ops import ops, text_ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.tasks.pretraining.bert import BertPretraining
from pipelines.tasks.pretraining.electra import ElectraPretraining
from pipelines.text.tokenizers import SPECIAL
from pipelines.training import batching
from tests.pipelines.tasks.pretraining import examples

# By architecture: the sentence task, and those of its signatures that are exported.
FAMILIES = {
    "albert_base": ("sentence_order", ("serving_default", "sentence_order")),
    "roberta_base": ("", ()),
    "distilbert_base": ("", ("serving_default", "embed_token_ids")),
}


def check_family(built: examples.Built, sentence_task: str) -> list:
    """Checks the data, signatures and scores of a family, and returns its signatures."""
    task, data, name = built.task, built.data, sentence_task
    assert data.sentence_task == name
    ((inputs, target),) = data.train.take(1).as_numpy_iterator()
    assert set(target) == ({name} if name else set())
    assert ("segment_ids" in inputs) == bool(name)
    keys = ["serving_default", "fill_mask", "token_ids", "embed", "embed_token_ids"]
    keys += [name, f"{name}_token_ids"] if name else []
    signatures = task.signatures(built.network, data)
    assert [signature.name for signature in signatures] == keys
    scores = score(task, built.network.model, data, "test")
    expected = {"masked_lm_accuracy", "masked_lm_perplexity"}
    assert scores.keys() == expected | ({f"{name}_accuracy"} if name else set())
    for baseline in task.baselines(data):
        assert baseline.test.keys() == scores.keys()
    return signatures


def test_bert_learns_next_sentences(bert):
    check_family(bert, "next_sentence")


@pytest.mark.parametrize("architecture", FAMILIES)
def test_each_family_has_the_sentence_task_of_its_paper(folder, architecture):
    data = BertPretraining(examples.config(folder, architecture)).load()
    assert data.sentence_task == FAMILIES[architecture][0]


@pytest.mark.parametrize(
    "architecture",
    [
        "roberta_base",
        pytest.param("albert_base", marks=pytest.mark.slow),
        pytest.param("distilbert_base", marks=pytest.mark.slow),
    ],
)
def test_each_family_has_the_signatures_and_scores_of_its_sentence_task(
    folder, architecture, tmp_path, at_once
):
    built = examples.build(examples.config(folder, architecture))
    sentence_task, exported = FAMILIES[architecture]
    signatures = check_family(built, sentence_task)
    chosen = [signature for signature in signatures if signature.name in exported]
    if chosen:
        validate(saved_model(built.network.model, chosen, tmp_path / "saved"), chosen)


def test_training_batches_are_masked_again_in_every_epoch(bert):
    config = bert.task.config
    task = BertPretraining(replace(config, recipe=replace(config.recipe, epochs=2)))
    batches = batching.training_batches(task, bert.data)
    special, mask = len(SPECIAL), bert.data.vocabulary.index("[MASK]")
    every = [(x["token_ids"].numpy(), y["masked_lm"].numpy()) for x, y in batches]
    assert len(every) == int(batches.cardinality())
    steps = batching.steps_per_epoch(bert.data, config.recipe.batch_size)
    texts = []
    for drawn in (every[:steps], every[steps:]):
        chosen = sum((masked > 0).sum() for _, masked in drawn)
        ordinary = sum(((ids >= special) | (ids == mask)).sum() for ids, _ in drawn)
        assert chosen / ordinary == pytest.approx(0.15, abs=0.04)
        texts.append({row.tobytes() for ids, _ in drawn for row in ids})
    assert len(texts[0] & texts[1]) < len(texts[0]) / 10


def test_tokens_that_are_not_masked_do_not_count(bert):
    predictions = predict(bert.task, bert.network.model, bert.data, "test")
    changed = {name: value.copy() for name, value in predictions.predicted.items()}
    empty = predictions.examples["masked_lm"] == 0
    assert empty.any()
    changed["token"][empty] = 0
    changed["log_probability"][empty] = -99
    scores = scores_of(bert.task, replace(predictions, predicted=changed), bert.data)
    assert scores == scores_of(bert.task, predictions, bert.data)


def test_token_ids_alone_need_no_text_ops(bert, tmp_path):
    task = BertPretraining(replace(bert.task.config, text_signature=False))
    signatures = task.signatures(bert.network, bert.data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "token_ids", "embed_token_ids", "next_sentence_token_ids")
    ]
    del signatures[1]  # The default once more.
    assert not text_ops(ops(saved_model(bert.network.model, signatures, tmp_path / "saved")))


def test_examples_are_sentences_of_test(bert):
    ((name, lines),) = bert.task.examples(bert.data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("texts.jsonl", 8)
    sentences = {s for document in bert.data.documents.sentences["test"] for s in document}
    assert {row["text"] for row in rows} <= sentences


def test_a_sentence_task_without_segments_is_an_error(folder):
    config = examples.config(folder, "roberta_base", sentence_task="next_sentence")
    with pytest.raises(UserError, match="needs segments, which roberta_base lacks"):
        BertPretraining(config).load()


@pytest.mark.parametrize("chosen", ["none", "sentence_order"])
def test_the_sentence_task_can_be_chosen(folder, chosen):
    task = BertPretraining(examples.config(folder, sentence_task=chosen))
    data = task.load()
    own = {"masked_lm", chosen} - {"none"}
    assert set(task.network(data).model.output) == own
    assert task.loss(data).keys() == task.metrics(data).keys() == own


@pytest.fixture(scope="module")
def encoder_folder(bert, tmp_path_factory):
    """The encoder of a run, with the weights of its head."""
    folder = tmp_path_factory.mktemp("run") / "encoder"
    (write,) = bert.task.artifacts(bert.network, bert.data).values()
    write(folder)
    return folder


def test_a_run_goes_on_with_the_encoder_and_its_head(bert, encoder_folder):
    for initialization in ("local", "published"):
        config = replace(
            bert.task.config,
            encoder=str(encoder_folder),
            model={},
            initialization=initialization,
        )
        model = BertPretraining(config).network(bert.data).model
        before = {weight.path: weight.numpy() for weight in bert.network.model.weights}
        for weight in model.weights:
            if "next_sentence" not in weight.path:
                np.testing.assert_array_equal(weight, before[weight.path])


def test_a_head_of_another_size_begins_anew(bert, encoder_folder, folder, tmp_path):
    other = shutil.copytree(encoder_folder, tmp_path / "encoder")
    weights: Any = {"masked_lm/bias": np.ones(3, np.float32)}
    np.savez(other / "masked_lm.npz", **weights)
    config = replace(bert.task.config, encoder=str(other), model={})
    bias = BertPretraining(config).network(bert.data).model.get_layer("masked_lm").bias
    np.testing.assert_allclose(bias, np.log(bert.data.counts.unigram), rtol=1e-6)


@pytest.mark.parametrize("divisor", [1, 2])
def test_a_discriminator_may_begin_as_a_bert(bert, encoder_folder, electra, divisor):
    config = replace(
        electra.task.config, encoder=str(encoder_folder), model={}, generator_divisor=divisor
    )
    network = ElectraPretraining(config).network(electra.data)
    trained = {weight.path: weight.numpy() for weight in bert.network.parts["encoder"].weights}
    for weight in network.parts["encoder"].weights:
        np.testing.assert_array_equal(weight, trained[weight.path])
    weights = {weight.path: weight.numpy() for weight in network.model.weights}
    own = weights["generator_layer_0/self_attention_layer/query/kernel"]
    theirs = trained["transformer_layer_0/self_attention_layer/query/kernel"]
    assert np.array_equal(own, theirs) == (divisor == 1)
    head = bert.network.model.get_layer("masked_lm_dense").kernel.numpy()
    assert np.array_equal(weights["masked_lm_dense/kernel"], head) == (divisor == 1)
