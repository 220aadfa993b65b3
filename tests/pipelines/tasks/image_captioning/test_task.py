"""Image captioning as a task: the test kit, learning, augmentation, decoding, what a run keeps."""

from __future__ import annotations

import csv
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import evaluation
from pipelines.catalog import PIPELINES
from pipelines.config import check
from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.recipe import Recipe
from pipelines.tasks.image_captioning.captions import START
from pipelines.tasks.image_captioning.config import CaptioningConfig
from pipelines.tasks.image_captioning.figures import places
from pipelines.tasks.image_captioning.task import ImageCaptioning
from pipelines.testing import (
    CHECKS,
    Trained,
    a_saved_model_answers_like_the_network,
    train,
)
from pipelines.training import trainer
from tests.pipelines.tasks.image_captioning import examples
from tests.pipelines.text.test_beam_search import searched_plainly


class Corners(ImageCaptioning):
    """The task on tiny pictures in memory."""

    def load(self):
        return examples.loaded(self.config)


@pytest.fixture(scope="module")
def lstm() -> Trained:
    chosen = examples.config()
    return train(Corners(replace(chosen, recipe=replace(chosen.recipe, epochs=25))))


@pytest.fixture(scope="module")
def transformer() -> Trained:
    return train(Corners(examples.config("cnn_transformer_captioner")))


@pytest.mark.parametrize(
    "check",
    [
        # The default architecture is exported below.
        pytest.param(
            check,
            marks=pytest.mark.slow if check is a_saved_model_answers_like_the_network else [],
        )
        for check in CHECKS
    ],
    ids=lambda check: check.__name__,
)
def test_the_kit(check, lstm, tmp_path, at_once):
    check(lstm, tmp_path)


def test_a_saved_transformer_answers_like_the_network(transformer, tmp_path, at_once):
    a_saved_model_answers_like_the_network(transformer, tmp_path)


def test_the_network_learns_to_look(lstm):
    scores = evaluation.scores_of(lstm.task, lstm.test, lstm.data)
    assert scores["exact_match"] > 0.9
    assert scores["cider"] > max(baseline.test["cider"] for baseline in lstm.baselines[:1])
    assert scores["shuffled_perplexity"] > 1.5 * scores["perplexity"]
    # The attention of the word that names the row differs for upper and lower corners.
    images = np.stack([image for (image,) in lstm.data.alone("test").as_numpy_iterator()])
    found = places(lstm.network.model, images, np.full((len(images), 1), START, np.int32))
    assert found.shape == (16, 1, 2, 2)
    np.testing.assert_allclose(found.sum((-1, -2)), 1, rtol=1e-4)


@pytest.mark.parametrize(
    "architecture", [pytest.param("lstm", marks=pytest.mark.slow), "transformer"]
)
def test_captions_are_those_of_a_plain_beam_search(architecture, request):
    """Without a cache, over the whole network."""
    trained = request.getfixturevalue(architecture)
    images = np.stack([image for (image,) in trained.data.alone("test").as_numpy_iterator()])
    compared = 0
    for row in (0, 5, 9):
        given = {"images": images[row : row + 1] / np.float32(255)}
        options = trained.task._beam(trained.data)
        (score, ids), (second, _) = searched_plainly(trained.network.model, given, options)
        assert trained.test.predicted["score"][row] == pytest.approx(score, abs=1e-3)
        if score - second > 1e-3:
            caption = trained.data.tokenizer.detokenize(tf.constant([ids])).numpy()[0]
            assert trained.test.predicted["caption"][row] == caption
            compared += 1
    assert compared


def test_augmentation_changes_images_and_no_captions():
    task = Corners(examples.config(augmentation=Augmentation(brightness=0.5)))
    data = task.load()
    augment = task.augment(data)
    assert augment
    ((inputs, target, _),) = data.train.take(4).batch(4)
    seeds = tf.constant([[1, 2], [3, 4], [5, 6], [7, 8]])
    inputs = task.preprocess(inputs)
    changed, same = augment(inputs, target, seeds)
    assert np.abs(changed["images"] - inputs["images"]).max() > 0.05
    for name in ("target_ids", "target_padding_mask"):
        np.testing.assert_array_equal(changed[name], inputs[name])
    np.testing.assert_array_equal(same, target)
    network = trainer.build(task, data)
    test = evaluation.predict(task, network.model, data, "test")
    names = [name for name, _ in task.figures(network, data, test, [])]
    assert names == [
        *("augmented_examples", "attention", "captions", "best_captions", "worst_captions")
    ]
    assert Corners(examples.config()).augment(data) is None


@pytest.mark.parametrize("mixed", [Augmentation(mix_up=0.2), Augmentation(cut_mix=1.0)])
def test_images_are_not_mixed(mixed):
    with pytest.raises(UserError, match="two images have no caption in common"):
        check(examples.config(augmentation=mixed))


def test_other_architectures_are_refused():
    with pytest.raises(UserError, match="convnet does not caption images; cnn_lstm_captioner and"):
        ImageCaptioning(CaptioningConfig(dataset="digit_scenes", architecture="convnet")).load()


def test_examples_are_pictures_with_a_table_as_own_data_have_it(lstm):
    files = lstm.task.examples(lstm.data)
    assert len(files) == 9
    rows = list(csv.DictReader(files["captions.csv"].decode().splitlines()))
    assert len(rows) == 16
    references = lstm.data.raw("test")["references"]
    assert [row["caption"] for row in rows if row["image"] == "3.png"] == list(references[3])
    first = next(lstm.data.alone("test").as_numpy_iterator())[0]
    np.testing.assert_array_equal(tf.io.decode_png(files["0.png"]), first)


def test_samples_are_captions_of_validation_images(lstm):
    text = lstm.log.texts[25]
    assert text.count("model  ") == text.count("true   ") == 6
    assert lstm.data.raw("validation")["references"][0][0] in text


def test_the_vocabulary_is_kept(lstm, tmp_path):
    lstm.task.artifacts(lstm.network, lstm.data)["vocabulary"](tmp_path / "vocabulary")
    lines = (tmp_path / "vocabulary/captions.txt").read_text().splitlines()
    assert lines == lstm.data.tokenizer.vocabulary
    assert lines[:4] == ["[PAD]", "[UNK]", "[START]", "[END]"]


def test_the_default_run_is_the_task():
    pipeline = PIPELINES["image_captioning"]
    check(pipeline.defaults)
    assert pipeline.task.endswith(f":{ImageCaptioning.__name__}")
    assert isinstance(pipeline.defaults.recipe, Recipe)
    assert keras.losses.get(ImageCaptioning(pipeline.defaults).loss(None))  # type: ignore[arg-type]
