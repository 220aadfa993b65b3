"""Signatures of a language model: the served graph generates and scores as the trained one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.task import Network
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.text import generation
from tests.architectures import reference
from tests.pipelines.tasks.language_modeling import examples


@pytest.mark.parametrize(
    ("architecture", "tokens"),
    [
        pytest.param("char_gpt_small", "characters", marks=pytest.mark.slow),
        ("gru", "word_pieces"),
    ],
)
def test_a_served_model_writes_and_scores_as_the_trained_one(
    architecture, tokens, tmp_path, at_once
):
    model_options: dict[str, Any] = {"units": [8], "embedding": 8}
    if architecture == "char_gpt_small":
        model_options = {"layers": 1, "heads": 2, "width": 8}
    config = examples.config(architecture, tokens=tokens, model=model_options)
    data = examples.loaded(config)
    task = LanguageModeling(config)
    model = reference.shaken(task.network(data).model)
    signatures = task.signatures(Network(model), data)
    assert [signature.name for signature in signatures] == [
        *("serving_default", "generate", "score", "generate_token_ids", "score_token_ids")
    ]
    assert len(signatures[1].expected["text"]) > 4
    folder = saved_model(model, signatures, tmp_path / "saved", examples=task.examples(data))
    validate(folder, signatures)
    assert bool(ops.text_ops(ops.ops(folder))) == (tokens == "word_pieces")

    served = tf.saved_model.load(folder).signatures
    prompts = ["Zoë likes", "", "  Ann \n\n", "日本 \x00", "Bob " * 50]
    plain = served["serving_default"](prompt=tf.constant(prompts))
    own = generation.parameters(len(prompts))
    full = served["generate"](prompt=tf.constant(prompts), **own)
    assert plain["text"].numpy().tolist() == full["text"].numpy().tolist()
    score = served["score"](text=tf.constant(prompts))
    ids = data.tokenizer(tf.constant(prompts))
    by_ids = served["score_token_ids"](
        token_ids=ids.to_tensor(), padding_mask=tf.ones_like(ids).to_tensor()
    )
    np.testing.assert_allclose(score["log_probability"], by_ids["log_probability"], rtol=1e-5)
    assert score["tokens"].numpy().tolist() == ids.row_lengths().numpy().tolist()
    assert (score["log_probability"][1], score["perplexity"][1]) == (0, 1)


def test_token_ids_alone_need_no_text_ops(tmp_path, at_once):
    config = examples.config(tokens="word_pieces", text_signature=False)
    data = examples.loaded(config)
    task = LanguageModeling(config)
    network = task.network(data)
    signatures = task.signatures(network, data)
    assert [signature.name for signature in signatures] == ["serving_default", "score_token_ids"]
    assert {"token_ids", "padding_mask", "length", "seed"} <= signatures[0].inputs.keys()
    folder = saved_model(network.model, signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))
    validate(folder, signatures)


def test_prompts_with_ties_are_no_verification_examples():
    task = LanguageModeling(examples.config())
    data = examples.loaded(task.config)
    network = task.network(data)
    model = network.model
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    generate = task.signatures(network, data)[1]
    # Any of equally probable tokens is the most probable.
    assert 0.0 not in generate.examples["temperature"]
