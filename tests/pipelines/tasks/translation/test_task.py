"""Translation: what happens between a text and its served translation."""

from __future__ import annotations

import json
from dataclasses import replace

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
from pipelines.tasks.translation import decoding as translation
from pipelines.tasks.translation.data import ParallelTexts
from pipelines.tasks.translation.task import Translation
from tests.architectures import reference
from tests.pipelines import samples, translated

ARCHITECTURES = ("transformer_base", "lstm_seq2seq")


@pytest.fixture(scope="module")
def task() -> Translation:
    return Translation()


@pytest.fixture(scope="module")
def data(task) -> ParallelTexts:
    return translated.loaded(task, translated.config())


@pytest.fixture(scope="module")
def model(task, data) -> keras.Model:
    """A network of strong weights, so that its translations differ."""
    return reference.shaken(training.build(task, data, translated.config()))


@pytest.mark.parametrize(
    ("architecture", "options", "sampling"),
    [
        ("transformer_base", {"width": 32, "feed_forward": 64, "layers": 1, "heads": 2}, 0.0),
        ("lstm_seq2seq", {"embedding": 32, "units": 64, "dropout": 0.0}, 0.3),
    ],
)
def test_a_model_learns_what_can_be_learned(architecture, options, sampling):
    task, recipe = Translation(), Recipe(epochs=16, batch_size=16, optimizer=Optimizer(1e-2))
    if architecture == "transformer_base":
        options = {**options, "norm": "pre", "dropout": 0.0}
    config = translated.config(architecture, recipe=recipe, model=options, sampling=sampling)
    data = translated.loaded(task, config, {"train": 320, "validation": 16, "test": 32})
    record = samples.Record()
    trained = training.fit(
        task,
        training.build(task, data, config),
        data,
        config,
        record,  # type: ignore[arg-type]
    )
    scores, intervals, _ = training.evaluate(task, trained, data, recipe)
    nearest = task.baselines(data)[2]
    assert scores["test_bleu"] > nearest.test["bleu"] + 5
    assert scores["test_shuffled_perplexity"] > 2 * scores["test_perplexity"]
    low, high = intervals["bleu"]
    assert low <= scores["test_bleu"] <= high
    assert "val_accuracy" in record.curves
    assert task.samples(trained, data).startswith("source  ")


def test_baselines_know_words_but_not_the_marks_around_them(task, data):
    copied, replaced, nearest = (baseline.test for baseline in task.baselines(data))
    assert copied["bleu"] < 5
    assert replaced["chrf"] > nearest["chrf"] > copied["chrf"]
    assert replaced["chrf"] > 70
    assert replaced["exact_match"] == 0 < nearest["exact_match"]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_served_model_answers_as_the_trained_one(architecture, tmp_path, at_once):
    # What has learned nothing would end at once, were long texts not worth so much.
    task, config = Translation(), translated.config(architecture, length_penalty=5.0)
    data = translated.loaded(task, config)
    model = reference.shaken(task.model(config, data))
    signatures = task.signatures(model, data)
    assert [signature.name for signature in signatures] == ["serving_default", "token_ids"]
    folder = saved_model(model, signatures, tmp_path / "saved", examples=task.examples(data))
    validate(folder, signatures)
    served = tf.saved_model.load(folder).signatures["serving_default"]
    texts = [*data.raw("test")["source"], "", " \n", "日本語 never seen", "one two " * 200]
    found = {name: x.numpy() for name, x in served(text=tf.constant(texts)).items()}
    assert {name: x.shape for name, x in found.items()} == {
        **{"translation": (28,), "score": (28,), "translations": (28, 3), "scores": (28, 3)}
    }
    np.testing.assert_array_equal(found["translation"], found["translations"][:, 0])
    np.testing.assert_array_equal(found["score"], found["scores"][:, 0])
    assert (np.diff(found["scores"], axis=1) <= 0).all()
    expected = predict(task, model, data, "test", 7)
    np.testing.assert_array_equal(found["translation"][:24], expected.predicted["translation"])
    np.testing.assert_allclose(found["score"][:24], expected.predicted["score"], atol=1e-4)
    assert len(set(found["translation"])) > 2
    for row in (24, 25):  # Of nothing, nothing.
        assert not any(found["translations"][row])
        assert not found["scores"][row].any()
    for row in (0, 7, 26, 27):  # And each alone as among others.
        alone = {
            name: x.numpy() for name, x in served(text=tf.constant(texts[row : row + 1])).items()
        }
        np.testing.assert_array_equal(alone["translations"][0], found["translations"][row])
        np.testing.assert_allclose(alone["scores"][0], found["scores"][row], atol=1e-4)


def test_letters_and_phones_take_no_ops_but_tensorflow_s(tmp_path, at_once):
    task, config = (
        Translation(),
        translated.config(source_tokens="characters", target_tokens="words"),
    )
    data = translated.loaded(task, config)
    assert data.source_tokenizer is not data.target_tokenizer
    assert (task.metric, task.greater_is_better) == ("token_error_rate", False)
    model = reference.shaken(task.model(config, data))
    signatures = task.signatures(model, data)
    folder = saved_model(model, signatures, tmp_path / "saved")
    validate(folder, signatures)
    assert not ops.text_ops(ops.ops(folder))
    predictions = predict(task, model, data, "validation", 8)
    assert {"token_error_rate", "exact_match", "bleu", "chrf"} <= task.scores(predictions).keys()


def test_token_ids_alone_need_no_text_ops(tmp_path, at_once):
    task, config = Translation(), translated.config(text_signature=False)
    data = translated.loaded(task, config)
    (signature,) = signatures = task.signatures(task.model(config, data), data)
    assert (signature.name, list(signature.inputs)) == (
        "serving_default",
        ["token_ids", "padding_mask"],
    )
    assert signature.expected["token_ids"].shape[1:] == (3, 24)
    folder = saved_model(task.model(config, data), signatures, tmp_path / "saved")
    assert not ops.text_ops(ops.ops(folder))


def test_evaluation_says_how_probable_targets_are(task, data, model):
    test = predict(task, model, data, "test", 5)
    (inputs, following, weight), *_ = data.test.take(1).as_numpy_iterator()
    given = {
        name: (x[:-1] if name.startswith("target") else x)[np.newaxis] for name, x in inputs.items()
    }
    logits = np.asarray(model(given))[0]
    chances = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = chances[np.arange(len(following)), following].sum()
    assert test.predicted["log_likelihood"][0] == pytest.approx(expected, rel=1e-4)
    assert test.predicted["target_tokens"][0] == weight.sum() == len(following)


def test_scheduled_sampling_mixes_in_more_and_more_of_its_own_words(data):
    task, config = Translation(), translated.config(sampling=1.0)
    translated.loaded(task, config)
    model = reference.shaken(training.build(task, data, config))
    learner = task.learner(model)
    assert isinstance(learner, translation.ScheduledSampling)
    batch = next(iter(training.batches(task, data, config)))
    expected = np.asarray(model(batch[0], training=False))
    np.testing.assert_array_equal(learner(batch[0], training=False), expected)
    seen = []
    network = learner.network

    class Watched:
        def __call__(self, inputs, training=False):
            seen.append(np.asarray(inputs["target_ids"]))
            return network(inputs, training=training)

    object.__setattr__(learner, "network", Watched())
    for steps, changed in ((0, 0.0), (10**9, 1.0)):
        seen.clear()
        learner.optimizer.iterations.assign(steps)
        learner(batch[0], training=True)
        true, mixed = seen
        np.testing.assert_array_equal(mixed[:, 0], true[:, 0])
        different = (mixed != true)[:, 1:].mean()
        assert (different > 0.5) == (changed == 1.0)
        assert (different == 0.0) == (changed == 0.0)


def test_figures_show_translations_alignment_and_lengths(task, data, model):
    drawn = dict(task.figures(model, data, predict(task, model, data, "test", 8)))
    assert drawn.keys() == {
        *("typical_translations", "worst_translations", "chrf_by_length", "lengths", "alignment")
    }
    assert all(isinstance(figure, Figure) for figure in drawn.values())
    (axes,) = drawn["alignment"].axes
    assert axes.get_title() == "decoder_layer_1_cross_attention"
    assert [label.get_text() for label in axes.get_yticklabels()][-1] == "[END]"
    np.testing.assert_allclose(axes.images[0].get_array().sum(-1), 1, rtol=1e-4)


def test_examples_are_eight_pairs_and_vocabularies_are_kept(task, data, model, tmp_path):
    ((name, lines),) = task.examples(data).items()
    rows = [json.loads(line) for line in lines.decode().splitlines()]
    assert (name, len(rows)) == ("pairs.jsonl", 8)
    assert rows[0]["target"] == data.raw("test")["target"][0]
    ((folder, write),) = task.artifacts(model, data).items()
    write(tmp_path / folder)
    assert (tmp_path / folder / "target.txt").read_text(encoding="utf-8").splitlines()[:4] == [
        *("[PAD]", "[UNK]", "[START]", "[END]")
    ]


@pytest.mark.parametrize("architecture", ["gpt2_small", "bilstm", "bert_tiny"])
def test_an_architecture_that_does_not_translate_is_refused(architecture):
    config = replace(translated.config(), architecture=architecture, model={})
    with pytest.raises(UserError, match=rf"^{architecture} does not translate; encoder-decoders"):
        Translation().load(config)


def test_what_follows_from_the_data_cannot_be_chosen(task, data):
    config = translated.config(model={"source_vocabulary": 9})
    with pytest.raises(UserError, match=r"--model\.source_vocabulary cannot be chosen"):
        task.model(config, data)
