"""Language models: what happens between documents and a served text."""

from __future__ import annotations

import json
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
from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.export.validation import validate
from pipelines.predictions import Predictions
from pipelines.tasks.language_modeling import metrics as language_modeling
from pipelines.tasks.language_modeling import signatures as language_signatures
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.text import generation
from pipelines.text.generation import DEFAULTS
from tests.architectures import reference
from tests.pipelines import samples, spoken


@pytest.fixture(scope="module")
def task() -> LanguageModeling:
    return LanguageModeling()


@pytest.fixture(scope="module")
def data() -> RunningText:
    return spoken.loaded(spoken.config())


@pytest.fixture(scope="module")
def model(task, data) -> keras.Model:
    """A network whose weights are strong enough that its texts differ."""
    return reference.shaken(training.build(task, data, spoken.config()))


def test_a_model_learns_what_can_be_learned(task, data):
    recipe = Recipe(epochs=20, batch_size=4, optimizer=Optimizer(0.03, clip_norm=1.0))
    config = spoken.config(recipe=recipe)
    record = samples.Record()
    built = training.build(task, data, config)
    trained = training.fit(task, built, data, config, record)  # type: ignore[arg-type]
    scores, intervals, test = training.evaluate(task, trained, data, recipe)
    unigram, ngram = task.baselines(data)
    assert scores["test_perplexity"] < 0.4 * unigram.test["perplexity"]
    assert scores["test_bits_per_character"] < unigram.test["bits_per_character"] / 1.4
    assert ngram.test["perplexity"] < unigram.test["perplexity"]
    low, high = intervals["perplexity"]
    assert low < scores["test_perplexity"] < high
    assert test.predicted.keys() == {"log_probabilities"}


def test_scores_are_those_of_all_tokens(task, data, model):
    """The same as of one network reading the whole split at once, where windows do not matter."""
    predictions = predict(task, model, data, "test", 8)
    row = data.rows["test"]
    likely = np.full(len(row.tokens), np.nan)
    for start, values, weight in zip(
        data.starts("test"),
        predictions.predicted["log_probabilities"],
        predictions.examples["weight"] > 0,
        strict=True,
    ):
        places = start + 1 + np.flatnonzero(weight)
        assert np.isnan(likely[places]).all()
        likely[places] = values[weight]
    assert not np.isnan(likely[1:]).any()
    found = task.scores(predictions)
    assert found["perplexity"] == pytest.approx(np.exp(-likely[1:].mean()), rel=1e-5)
    characters = sum(map(len, spoken.speeches()["test"]))
    bits = -likely[1:].sum() / np.log(2) / characters
    assert found["bits_per_character"] == pytest.approx(bits, rel=1e-5)


def test_a_uniform_guess_scores_the_same_bits_whatever_is_unknown():
    """Hiding a word behind [UNK] is no way to fewer bits."""
    data = {size: spoken.loaded(spoken.config(vocabulary=size)) for size in (10, 100)}
    found = {}
    for size, one in data.items():
        likely = np.log(1 / len(one.tokenizer.vocabulary))
        shape = one.weights("test").shape
        examples = {"weight": one.weights("test"), **one.raw("test")}
        answers = {"log_probabilities": np.full(shape, likely)}
        found[size] = language_modeling.scores(Predictions(examples, answers))
    assert found[10]["perplexity"] < found[100]["perplexity"]
    assert found[10]["bits_per_character"] > found[100]["bits_per_character"]


def test_baselines_predict_the_same_tokens_of_the_same_documents(task, data):
    unigram, ngram = task.baselines(data)
    assert unigram.name == "unigram"
    assert ngram.name.startswith("Kneser-Ney")
    tokens = data.rows["train"].tokens
    counts = np.bincount(tokens, minlength=len(data.tokenizer.vocabulary))
    test = data.rows["test"].tokens[1:]
    plain = np.exp(-np.log(counts[test] / counts.sum()).mean())
    assert unigram.test["perplexity"] == pytest.approx(plain, rel=0.05)


@pytest.mark.parametrize(
    ("architecture", "tokens"),
    [
        ("lstm", "words"),
        ("char_gpt_small", "characters"),
        ("gru", "word_pieces"),
    ],
)
def test_a_served_model_writes_and_scores_as_the_trained_one(
    architecture, tokens, task, tmp_path, at_once
):
    model_options: dict[str, Any] = {"units": [8], "embedding": 8}
    if architecture == "char_gpt_small":
        model_options = {"layers": 1, "heads": 2, "width": 8}
    config = spoken.config(architecture, tokens=tokens, model=model_options)
    data = spoken.loaded(config)
    model = reference.shaken(task.model(config, data))
    signatures = task.signatures(model, data)
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


def test_token_ids_alone_need_no_text_ops(task, tmp_path, at_once):
    config = spoken.config(tokens="word_pieces")
    data = spoken.loaded(config)
    model = task.model(config, data)
    signatures = language_signatures.signatures(model, data, reads_text=False)
    assert [signature.name for signature in signatures] == ["serving_default", "score_token_ids"]
    assert {"token_ids", "padding_mask", "length", "seed"} <= signatures[0].inputs.keys()
    folder = saved_model(model, signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))
    validate(folder, signatures)


def test_undecided_texts_prove_nothing(task, data):
    model = task.model(spoken.config(), data)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    generate = task.signatures(model, data)[1]
    # Of equally likely tokens the likeliest is any.
    assert 0.0 not in generate.examples["temperature"]


def test_samples_show_prompts_and_what_goes_on_with_them(task, data, model):
    text = task.samples(model, data)
    assert text.startswith("[]")
    assert text.count("\n\n[") == 2
    (first,) = language_signatures.beginnings(data, "validation", 1)
    (prompt,) = data.tokenizer.text(tf.ragged.constant([first], dtype=tf.int32)).numpy()
    assert f"[{prompt.decode()}]" in text
    choice = {**DEFAULTS, "seed": 1}
    ((tokens, _),) = language_modeling.written(model, [first], [choice], data.context)
    written = data.tokenizer.text(tf.ragged.constant([tokens], dtype=tf.int32)).numpy()[0]
    assert f"[{prompt.decode()}]{written.decode()}" in text


@pytest.mark.parametrize("architecture", ["lstm", "char_gpt_small"])
def test_figures_show_surprise_context_attention_and_tokens(task, architecture):
    config = spoken.config(architecture)
    data = spoken.loaded(config)
    model = task.model(config, data)
    test = predict(task, model, data, "test", 8)
    task = LanguageModeling()
    assert "mixture" not in dict(task.figures(model, data, test))
    _, ngram = task.baselines(data)
    drawn = dict(task.figures(model, data, test))
    (line, _) = drawn["mixture"].axes[0].lines
    ends = np.asarray(line.get_ydata())[[0, -1]]
    expected = [task.scores(test)["perplexity"], ngram.test["perplexity"]]
    np.testing.assert_allclose(ends, expected, rtol=1e-5)
    attention = {"attention_layers", "attention_heads"} if architecture != "lstm" else set()
    assert drawn.keys() == {
        *("perplexity_by_position", "mixture", "surprisal", "token_map"),
        *attention,
    }
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    shown = "".join(text.get_text() for text in drawn["surprisal"].axes[0].texts)
    beginning = spoken.speeches()["test"][0]
    assert shown.replace(r"\$", "$").startswith(beginning)


def test_examples_are_eight_beginnings(task, data):
    ((name, lines),) = task.examples(data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("prompts.jsonl", 8)
    assert all(row.keys() == {"prompt"} for row in rows)


@pytest.mark.parametrize(
    ("architecture", "model"),
    [
        ("bert_tiny", {}),
        ("resnet20", {}),
        ("transformer_base", {}),
        ("bilstm", {}),
        ("lstm", {"bidirectional": True}),
        ("tapped_delay_line", {}),
    ],
)
def test_architectures_that_cannot_write_are_refused(task, data, architecture, model, monkeypatch):
    config = spoken.config(architecture, model=model)
    monkeypatch.setattr("pipelines.tasks.language_modeling.data.load", lambda *_: data)
    with pytest.raises(UserError, match=f"^{architecture} does not model language; decoders and"):
        task.model(config, task.load(config))


def test_options_that_follow_from_the_data_cannot_be_chosen(task, data):
    for architecture, option in (("lstm", "outputs"), ("char_gpt_small", "max_length")):
        config = spoken.config(architecture, model={option: 7})
        with pytest.raises(UserError, match=f"--model.{option} cannot be chosen: it follows"):
            task.model(config, data)
