"""Replaced-token detection: generator and discriminator, and what is served of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipelines.errors import UserError
from pipelines.evaluation import predict, scores_of
from pipelines.export.ops import ops, text_ops
from pipelines.export.saved_model import saved_model
from pipelines.tasks.pretraining.electra import ElectraPretraining
from pipelines.training import batching


def test_the_generator_s_tokens_are_scored_apart_from_the_fixed_corruption(electra):
    test = predict(electra.task, electra.network.model, electra.data, "test")
    fixed = test.examples["fixed_corruption"]
    inputs, _ = electra.data.arrays("test")
    # The joint model changes nothing in the fixed corruption.
    np.testing.assert_array_equal(
        test.predicted["corrupted_ids"][fixed], inputs["token_ids"][fixed]
    )
    mask = electra.data.vocabulary.index("[MASK]")
    assert not (test.predicted["corrupted_ids"] == mask).any()
    assert scores_of(electra.task, test, electra.data).keys() == {
        *("replaced_token_auc", "replaced_token_f1", "replaced_token_accuracy"),
        *("own_auc", "own_rate", "masked_lm_accuracy", "masked_lm_perplexity"),
    }


def test_all_chosen_tokens_are_masked(electra):
    mask = electra.data.vocabulary.index("[MASK]")
    for inputs, target in batching.training_batches(electra.task, electra.data):
        masked = inputs["token_ids"].numpy() == mask
        assert (masked.sum(1) == (target["masked_lm"].numpy() > 0).sum(1)).all()
        original = target["replaced_token"].numpy()
        assert (original == inputs["token_ids"].numpy())[~masked].all()


def test_baselines_predict_what_is_known_before_training(electra):
    prior, surprisal, farther = electra.task.baselines(electra.data)
    names = ("prior, most frequent token", "neighbor counts", "counts of four neighbors")
    assert (prior.name, surprisal.name, farther.name) == names
    assert farther.test["replaced_token_auc"] > 0.5
    assert prior.test["replaced_token_auc"] == 0.5
    assert prior.test["replaced_token_f1"] == 0.0
    assert surprisal.test["masked_lm_perplexity"] < prior.test["masked_lm_perplexity"]
    assert surprisal.test["replaced_token_auc"] != 0.5
    assert prior.test.keys() == surprisal.test.keys()
    assert "own_auc" not in surprisal.test


def test_token_ids_alone_need_no_text_ops(electra, tmp_path):
    task = ElectraPretraining(replace(electra.task.config, text_signature=False))
    signatures = task.signatures(electra.network, electra.data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "token_ids", "embed_token_ids")
    ]
    default = signatures[:1]
    assert not text_ops(ops(saved_model(electra.network.model, default, tmp_path / "saved")))


def test_choices_that_cannot_be_built_are_an_error(electra):
    config = electra.task.config
    with pytest.raises(UserError, match="divisor must divide"):
        ElectraPretraining(replace(config, generator_divisor=3)).network(electra.data)
