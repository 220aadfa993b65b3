"""Image segmentation: what is trained, scored and shown."""

from __future__ import annotations

import functools
import tracemalloc
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines import evaluation
from pipelines.baselines import strongest
from pipelines.config import check
from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.image.examples import augmented, first_images
from pipelines.predictions import Predictions, collected
from pipelines.tasks.image_segmentation.data import IGNORE_ID, SegmentedImages
from pipelines.tasks.image_segmentation.figures import augmented_masks
from pipelines.tasks.image_segmentation.task import ImageSegmentation
from pipelines.testing import MemoryLog
from pipelines.training import trainer
from pipelines.training.batching import training_batches
from tests.pipelines.tasks.image_segmentation.examples import config, squares

TASK = ImageSegmentation(config())


@pytest.fixture(scope="module")
def data() -> SegmentedImages:
    return squares()


def test_a_network_learns_the_squares(data):
    recipe = config().recipe
    optimizer = replace(recipe.optimizer, learning_rate=0.02)
    recipe = replace(recipe, epochs=15, batch_size=4, optimizer=optimizer)
    task, log = ImageSegmentation(replace(config(), recipe=recipe)), MemoryLog()
    network = trainer.fit(task, trainer.build(task, data), data, log)
    found = evaluation.evaluate(task, network.model, data)
    scores, test = found.scores, found.test
    assert scores["validation/mean_iou"] > 0.75
    assert scores["test/mean_iou"] > 0.75
    # The metric in training is the score.
    assert log.curves["val_mean_iou"][-1] == pytest.approx(scores["validation/mean_iou"], 1e-4)
    assert test.predicted.keys() == {"mask"}
    assert test.predicted["mask"].dtype == test.examples["target"].dtype == np.uint8
    best = strongest(task.baselines(data), task.metric, task.greater_is_better)
    assert best.name == "logistic regression on pixels"


def test_scores_count_every_pixel_of_every_example_once(data):
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0, 0] = IGNORE_ID
    truth[1, 0] = 1
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[1, :2] = 1
    scores = evaluation.scores_of(TASK, Predictions({"target": truth}, {"mask": mask}), data)
    assert scores["iou_background"] == pytest.approx(20 / 24)
    assert scores["iou_gray"] == pytest.approx(4 / 8)
    assert np.isnan(scores["iou_white"])
    assert scores["mean_iou"] == pytest.approx((20 / 24 + 4 / 8) / 2)
    assert scores["pixel_accuracy"] == pytest.approx(24 / 28)


def test_the_loss_is_the_mean_over_pixels_with_a_class(data):
    logits = tf.random.stateless_normal((2, 3, 3, 3), (1, 2))
    mask = np.random.default_rng(0).integers(0, 3, (2, 3, 3)).astype(np.uint8)
    mask[:, 1] = IGNORE_ID
    probabilities = tf.nn.softmax(logits).numpy()
    counted = mask != IGNORE_ID
    expected = -np.log(probabilities[counted, mask[counted]]).mean()
    assert float(TASK.loss(data)(mask, logits)) == pytest.approx(expected, rel=1e-5)


def test_a_mask_has_the_most_probable_classes(data):
    logits = tf.constant([[[[0.0, 2.0, 1.0], [3.0, -1.0, 2.9]]]])
    mask = TASK.postprocess(logits, data)["mask"]
    assert mask.dtype == tf.uint8
    assert mask.numpy().tolist() == [[[1, 0]]]


def test_augmented_batches_keep_images_and_masks_together(data):
    """The squares are bright in the image wherever the mask has them."""
    task = ImageSegmentation(config(Augmentation(shift=0.2, flip=True)))
    shifted = examples = 0
    for inputs, mask in training_batches(task, data).as_numpy_iterator():
        assert (inputs.dtype, mask.dtype) == (np.float32, np.uint8)
        bright = inputs[..., 0] > 80 / 255
        assert (mask[bright] != 0).mean() > 0.9
        assert bright[(mask == 1) | (mask == 2)].mean() > 0.8
        shifted += (mask[:, 0] == IGNORE_ID).all(-1).sum() + (mask[:, -1] == IGNORE_ID).all(
            -1
        ).sum()
        examples += len(mask)
    assert 0 < shifted <= examples


def test_without_augmentation_examples_are_unchanged(data):
    assert TASK.augment(data) is None


def test_mix_up_is_not_for_masks():
    with pytest.raises(UserError, match=r"--augmentation.mix_up is for classification: .*cut_mix"):
        check(config(Augmentation(mix_up=0.2)))
    check(config(Augmentation(cut_mix=1.0)))


def test_augmented_examples_are_shown_with_their_masks(data):
    images, masks = augmented(ImageSegmentation(config(Augmentation(shift=0.4))), data, 4)
    assert images.shape[:3] == masks.shape
    assert np.any(masks == IGNORE_ID)
    figure = augmented_masks(images, masks, data.class_names)
    assert [text.get_text() for text in figure.axes[0].texts][-2:] == ["image", "mask"]
    assert "void" in [text.get_text() for text in figure.legends[0].get_texts()]


@pytest.mark.parametrize(
    ("shape", "model", "message"),
    [
        (
            (40, 48, 1),
            {"depth": 4},
            r"unet: images of side 40 do not divide evenly at depth 4 .* the nearest that do are "
            r"32 and 48; choose such a side as --image_size",
        ),
        (
            (44, 44, 1),
            {"padding": "valid", "depth": 2},
            "unet does not predict a class for each pixel; unet does, with --model.padding same",
        ),
        ((16, 16, 1), {"classes": 9}, "--model.classes cannot be chosen"),
    ],
)
def test_a_network_that_cannot_be_built_is_a_user_error(shape, model, message):
    with pytest.raises(UserError, match=message):
        ImageSegmentation(config(**model)).network(squares(shape))


def test_a_classifier_is_an_error(data):
    classifier = replace(config(), architecture="resnet20", model={})
    with pytest.raises(UserError, match="resnet20 does not predict a class for each pixel"):
        ImageSegmentation(classifier).network(data)


def test_examples_are_test_images(data):
    examples = TASK.examples(data)
    assert list(examples) == [f"{number}.png" for number in range(8)]
    for png, image in zip(examples.values(), first_images(data.test, 8), strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(png), image)


def test_the_figures_are_those_of_the_test_split(data):
    truth = np.stack([mask for _, mask in data.test.as_numpy_iterator()])
    test = Predictions({"target": truth}, {"mask": np.where(truth == IGNORE_ID, 0, truth)})
    figures = dict(TASK.figures(TASK.network(data), data, test, []))
    assert figures["confusion_matrix"].get_suptitle().startswith("Pixel accuracy 100.0% on ")
    assert "worst_masks" in figures


def test_an_evaluation_holds_statistics_and_not_the_masks(monkeypatch):
    """With seven times the examples, memory grows by a tenth of their masks at most."""
    side, most = 64, 1 << 16
    monkeypatch.setattr(evaluation, "collected", functools.partial(collected, most=most))
    monkeypatch.setattr(evaluation, "_MAX_COUNTS", 1 << 12)

    def example(number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        mask = tf.random.stateless_uniform((side, side), [0, number], 0, 3, tf.int32)
        return tf.ones((side, side, 1), tf.uint8), tf.cast(mask, tf.uint8)

    inputs = keras.Input((side, side, 1))
    model = keras.Model(inputs, keras.layers.Conv2D(3, 1)(inputs))
    peaks = {}
    for count in (8, 50, 350):  # The first one is for what is imported and cached.
        examples = tf.data.Dataset.range(count).map(example)
        data = replace(squares(), validation=examples.take(8), test=examples)
        tracemalloc.start()
        found = evaluation.evaluate(TASK, model, data)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert len(found.reduced) == count
        assert found.test.predicted["mask"].nbytes < most
    assert peaks[350] - peaks[50] < 300 * 2 * side**2 / 10
