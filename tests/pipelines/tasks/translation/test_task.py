"""The task of translation: what happens between a text and its scores."""

from __future__ import annotations

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from pipelines.errors import UserError
from pipelines.evaluation import evaluate, predict
from pipelines.recipe import Optimizer, Recipe
from pipelines.task import Network
from pipelines.tasks.translation.data import ParallelTexts
from pipelines.tasks.translation.decoding import DECODERS
from pipelines.tasks.translation.task import Translation
from pipelines.testing import MemoryLog
from pipelines.training import trainer
from tests.architectures import reference
from tests.pipelines.tasks.translation import examples


@pytest.fixture(scope="module")
def task() -> Translation:
    return Translation(examples.config())


@pytest.fixture(scope="module")
def data(task) -> ParallelTexts:
    return examples.loaded(task.config)


@pytest.fixture(scope="module")
def network(task, data) -> Network:
    """A network of strong weights, so that its translations differ."""
    return Network(reference.shaken(trainer.build(task, data).model))


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        pytest.param(
            "transformer_base",
            {"width": 32, "feed_forward": 64, "layers": 1, "heads": 2},
            marks=pytest.mark.slow,
        ),
        ("lstm_seq2seq", {"embedding": 32, "units": 64, "dropout": 0.0}),
    ],
)
def test_a_model_learns_what_can_be_learned(architecture, options):
    recipe = Recipe(epochs=24, batch_size=16, optimizer=Optimizer(1e-2))
    if architecture == "transformer_base":
        options = {**options, "norm": "pre", "dropout": 0.0}
    task = Translation(examples.config(architecture, recipe=recipe, model=options))
    data = examples.loaded(task.config, {"train": 320, "validation": 16, "test": 32})
    record = MemoryLog()
    trained = trainer.fit(task, trainer.build(task, data), data, record)
    found = evaluate(task, trained.model, data)
    scores, intervals = found.scores, found.intervals
    nearest = task.baselines(data)[2]
    assert scores["test/bleu"] > nearest.test["bleu"] + 5
    assert scores["test/shuffled_perplexity"] > 2 * scores["test/perplexity"]
    low, high = intervals["bleu"]
    assert low <= scores["test/bleu"] <= high
    assert "val_accuracy" in record.curves
    assert task.sampler(trained, data)().startswith("source  ")


def test_evaluation_says_how_probable_targets_are(task, data, network):
    test = predict(task, network.model, data, "test")
    (inputs, following, weight), *_ = data.test.take(1).as_numpy_iterator()
    batch = {
        name: (x[:-1] if name.startswith("target") else x)[np.newaxis] for name, x in inputs.items()
    }
    logits = np.asarray(network.model(batch))[0]
    log_probs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = log_probs[np.arange(len(following)), following].sum()
    assert test.predicted["log_likelihood"][0] == pytest.approx(expected, rel=1e-4)
    assert test.predicted["target_tokens"][0] == weight.sum() == len(following)


def test_figures_show_translations_alignment_and_lengths(task, data, network):
    figures = dict(task.figures(network, data, predict(task, network.model, data, "test"), []))
    assert figures.keys() == {
        *("typical_translations", "worst_translations", "chrf_by_length", "lengths", "alignment")
    }
    assert all(isinstance(figure, Figure) for figure in figures.values())
    axes, _ = figures["alignment"].axes  # The other one is the color bar's.
    # Cut to the width of its panel.
    assert axes.get_title("left").startswith("decoder_layer_1_")
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "[END]"
    np.testing.assert_allclose(axes.images[0].get_array().sum(-1), 1, rtol=1e-4)


def test_examples_are_eight_pairs_and_vocabularies_are_kept(task, data, network, tmp_path):
    ((name, lines),) = task.examples(data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("pairs.jsonl", 8)
    assert rows[0]["target"] == data.raw("test")["target"][0]
    ((folder, write),) = task.artifacts(network, data).items()
    write(tmp_path / folder)
    assert (tmp_path / folder / "target.txt").read_text(encoding="utf-8").splitlines()[:4] == [
        *("[PAD]", "[UNK]", "[START]", "[END]")
    ]


@pytest.mark.parametrize("architecture", ["gpt2_small", "bilstm", "bert_tiny"])
def test_an_architecture_that_does_not_translate_is_refused(architecture):
    task = Translation(examples.config(architecture, model={}))
    with pytest.raises(UserError, match=rf"^{architecture} does not translate; encoder-decoders"):
        task.load()


def test_what_follows_from_the_data_cannot_be_chosen(data):
    task = Translation(examples.config(model={"source_vocabulary": 9}))
    with pytest.raises(UserError, match=r"--model\.source_vocabulary cannot be chosen"):
        task.network(data)


def test_an_encoder_decoder_that_cannot_be_decoded_is_refused(task, data, monkeypatch):
    """As one of another package: its kind fits, but nothing here decodes it token by token."""
    monkeypatch.delitem(DECODERS, "transformer")
    with pytest.raises(UserError, match=r"^transformer_base does not translate$"):
        task.network(data)
