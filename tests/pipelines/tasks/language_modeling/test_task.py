"""The task of language modeling: what happens between documents and scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.errors import UserError
from pipelines.evaluation import evaluate, predict, scores_of
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.signatures import prompts_of
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.testing import MemoryLog
from pipelines.text import plain_generation
from pipelines.text.generation import DEFAULTS
from pipelines.training import trainer
from tests.architectures import reference
from tests.pipelines.tasks.language_modeling import examples


@pytest.fixture(scope="module")
def task() -> LanguageModeling:
    return LanguageModeling(examples.config())


@pytest.fixture(scope="module")
def data() -> RunningText:
    return examples.loaded(examples.config())


@pytest.fixture(scope="module")
def network(task, data) -> Network:
    """A network whose weights are strong enough that its texts differ."""
    return Network(reference.shaken(trainer.build(task, data).model))


def test_a_model_learns_what_can_be_learned(data):
    recipe = Recipe(epochs=20, batch_size=4, optimizer=Optimizer(0.03, clip_norm=1.0))
    task = LanguageModeling(examples.config(recipe=recipe))
    record = MemoryLog()
    trained = trainer.fit(task, trainer.build(task, data), data, record)
    found = evaluate(task, trained.model, data)
    scores, intervals, test = found.scores, found.intervals, found.test
    unigram, ngram = task.baselines(data)
    assert scores["test/perplexity"] < 0.4 * unigram.test["perplexity"]
    assert scores["test/bits_per_character"] < unigram.test["bits_per_character"] / 1.4
    assert ngram.test["perplexity"] < unigram.test["perplexity"]
    low, high = intervals["perplexity"]
    assert low < scores["test/perplexity"] < high
    assert test.predicted.keys() == {"log_probabilities"}


def test_scores_are_those_of_all_tokens(task, data, network):
    """The same as of one network reading the whole split at once, where windows do not matter."""
    predictions = predict(task, network.model, data, "test")
    row = data.streams["test"]
    log_probs = np.full(len(row.tokens), np.nan)
    for start, values, weight in zip(
        data.windows["test"].starts,
        predictions.predicted["log_probabilities"],
        predictions.examples["weight"] > 0,
        strict=True,
    ):
        places = start + 1 + np.flatnonzero(weight)
        assert np.isnan(log_probs[places]).all()
        log_probs[places] = values[weight]
    assert not np.isnan(log_probs[1:]).any()
    found = scores_of(task, predictions, data)
    assert found["perplexity"] == pytest.approx(np.exp(-log_probs[1:].mean()), rel=1e-5)
    characters = sum(map(len, examples.speeches()["test"]))
    bits = -log_probs[1:].sum() / np.log(2) / characters
    assert found["bits_per_character"] == pytest.approx(bits, rel=1e-5)


def test_samples_show_prompts_and_their_continuations(task, data, network):
    sample = task.sampler(network, data)
    text = sample()
    assert sample() == text
    assert text.startswith("[]")
    assert text.count("\n\n[") == 2
    (first,) = prompts_of(data, "validation", 1)
    (prompt,) = data.tokenizer.detokenize(tf.ragged.constant([first], dtype=tf.int32)).numpy()
    assert f"[{prompt.decode()}]" in text
    choice = {**DEFAULTS, "seed": 1}
    ((tokens, _),) = plain_generation.generate(network.model, [first], [choice], data.context)
    written = data.tokenizer.detokenize(tf.ragged.constant([tokens], dtype=tf.int32)).numpy()[0]
    assert f"[{prompt.decode()}]{written.decode()}" in text


@pytest.mark.parametrize("architecture", ["lstm", "char_gpt_small"])
def test_figures_show_positions_mixture_surprisal_attention_and_tokens(architecture):
    config = examples.config(architecture)
    data = examples.loaded(config)
    task = LanguageModeling(config)
    network, baselines = task.network(data), task.baselines(data)
    test = predict(task, network.model, data, "test")
    figures = dict(task.figures(network, data, test, baselines))
    line, *_ = figures["mixture"].axes[0].lines
    ends = np.asarray(line.get_ydata())[[0, -1]]
    expected = [scores_of(task, test, data)["perplexity"], baselines[-1].test["perplexity"]]
    np.testing.assert_allclose(ends, expected, rtol=1e-5)
    attention = {"attention_layers", "attention_heads"} if architecture != "lstm" else set()
    assert figures.keys() == {
        *("perplexity_by_position", "mixture", "surprisal", "token_map"),
        *attention,
    }
    assert all(isinstance(figure, Figure) for figure in figures.values())
    _, *texts = figures["surprisal"].axes[0].texts
    shown = "".join(text.get_text() for text in texts)
    beginning = examples.speeches()["test"][0]
    assert shown.startswith(beginning)


def test_examples_are_eight_prompts(task, data):
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
def test_architectures_that_do_not_model_language_are_refused(
    data, architecture, model, monkeypatch
):
    task = LanguageModeling(examples.config(architecture, model=model))
    monkeypatch.setattr("pipelines.tasks.language_modeling.task.load", lambda _: data)
    with pytest.raises(UserError, match=f"^{architecture} does not model language; decoders and"):
        task.network(task.load())


def test_options_that_follow_from_the_data_cannot_be_chosen(data):
    for architecture, option in (("lstm", "outputs"), ("char_gpt_small", "max_length")):
        config = examples.config(architecture, model={option: 7})
        with pytest.raises(UserError, match=f"--model.{option} cannot be chosen: it follows"):
            LanguageModeling(config).network(data)
