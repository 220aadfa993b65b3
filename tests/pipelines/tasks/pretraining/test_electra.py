"""Pre-training by replaced words: the pair of networks, and what is served of them."""

from __future__ import annotations

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
from pipelines.tasks.pretraining.config import ElectraPretrainingConfig
from pipelines.tasks.pretraining.electra import ElectraPretraining
from tests.pipelines import samples
from tests.pipelines.tasks.pretraining import examples


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tfds")
    examples.store_documents(folder)
    return folder


class Built:
    """A task with its data and its networks, whose weights are strong, so that answers differ."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.config = examples.config(
            folder, "electra_small", ElectraPretrainingConfig, generator_divisor=2, **options
        )
        self.task = ElectraPretraining()
        self.data = self.task.load(self.config)
        self.model: keras.Model = training.build(self.task, self.data, self.config)
        self.model.set_weights([5 * weight for weight in self.model.get_weights()])


@pytest.fixture(scope="module")
def electra(folder) -> Built:
    return Built(folder)


def test_both_networks_learn(folder):
    recipe = Recipe(epochs=8, batch_size=8, optimizer=Optimizer(5e-3, clip_norm=1.0))
    built = Built(folder, recipe=recipe)
    model = training.build(built.task, built.data, built.config)
    record: Any = samples.Record()
    training.fit(built.task, model, built.data, built.config, record)
    for part in ("masked_lm_loss", "replaced_token_loss"):
        assert record.curves[part][-1] < 0.9 * record.curves[part][0]
    assert {"val_replaced_token_auc", "val_masked_lm_accuracy"} <= record.curves.keys()


def test_a_served_detector_answers_as_the_trained_one(electra, tmp_path, at_once):
    signatures = electra.task.signatures(electra.model, electra.data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "detect", "token_ids", "embed", "embed_token_ids")
    ]
    folder = saved_model(electra.model, signatures, tmp_path / "saved")
    validate(folder, signatures)
    served = tf.saved_model.load(folder).signatures
    texts = ["The ship, a wäve", "", "and of " * 40]
    answer = {k: x.numpy() for k, x in served["detect"](text=tf.constant(texts)).items()}
    assert answer["words"][0, :5].tolist() == [b"The", b"ship", b",", b"a", "wäve".encode()]
    assert ((answer["replaced"] >= 0) & (answer["replaced"] <= 1)).all()
    assert not answer["replaced"][1].any()
    for start, end, word in zip(*(answer[k][0] for k in ("starts", "ends", "words")), strict=True):
        assert start < 0 or texts[0].encode()[start:end] == word
    vectors = served["embed"](text=tf.constant(texts))
    assert {name: x.shape[1] for name, x in vectors.items()} == {"cls": 16, "mean": 16, "max": 16}


def test_what_the_generator_puts_in_is_scored_beside_what_all_runs_share(electra):
    test = predict(electra.task, electra.model, electra.data, "test", 4)
    given = test.examples["given"]
    inputs = np.concatenate(
        [x["token_ids"] for x, _ in electra.data.test.batch(4).as_numpy_iterator()]
    )
    # Where tokens are put in already, the joint model changes nothing.
    np.testing.assert_array_equal(test.predicted["judged"][given], inputs[given])
    mask = electra.data.tokenizer.vocabulary.index("[MASK]")
    assert not (test.predicted["judged"] == mask).any()
    assert electra.task.scores(test).keys() == {
        *("replaced_token_auc", "replaced_token_f1", "replaced_token_accuracy"),
        *("own_auc", "own_share", "masked_lm_accuracy", "masked_lm_perplexity"),
    }


def test_all_that_is_chosen_is_hidden(electra):
    mask = electra.data.tokenizer.vocabulary.index("[MASK]")
    for inputs, target in training.batches(electra.task, electra.data, electra.config):
        hidden = inputs["token_ids"].numpy() == mask
        assert (hidden.sum(1) == (target["masked_lm"].numpy() > 0).sum(1)).all()
        original = target["replaced_token"].numpy()
        assert (original == inputs["token_ids"].numpy())[~hidden].all()


def test_token_ids_alone_need_no_text_ops(folder, tmp_path):
    built = Built(folder, text_signature=False)
    signatures = built.task.signatures(built.model, built.data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "token_ids", "embed_token_ids")
    ]
    assert not text_ops(ops(saved_model(built.model, signatures, tmp_path / "saved")))


def test_figures_show_what_is_told_and_guessed(electra):
    test = predict(electra.task, electra.model, electra.data, "test", 4)
    drawn = dict(electra.task.figures(electra.model, electra.data, test))
    assert drawn.keys() == {
        *("accuracy_by_frequency", "worst_mistakes", "lengths", "attention_layers"),
        *("attention_heads", "embedding_map", "probing", "confusion_matrix", "reliability"),
        "worst_detections",
    }
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    assert electra.task.samples(electra.model, electra.data).count("[") >= 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "bert_tiny"}, "bert_tiny is no discriminator; electra_small, _base and"),
        ({"generator_divisor": 3}, "divisor must divide"),
    ],
)
def test_choices_that_cannot_be_built_are_refused(folder, options, message):
    chosen = {"architecture": "electra_small", "kind": ElectraPretrainingConfig, **options}
    config = examples.config(folder, **chosen)
    task = ElectraPretraining()
    with pytest.raises(UserError, match=message):
        task.model(config, task.load(config))
