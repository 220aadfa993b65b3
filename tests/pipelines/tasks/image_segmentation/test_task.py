"""Image segmentation: what happens to an image between a file and the masks that are answered."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from pipelines import training
from pipelines.baselines import strongest
from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.predictions import Predictions
from pipelines.task import Data
from pipelines.tasks.image_classification import data as images
from pipelines.tasks.image_segmentation import metrics as segmentation
from pipelines.tasks.image_segmentation.data import VOID
from pipelines.tasks.image_segmentation.task import ImageSegmentation
from tests.pipelines import samples, segmented


@pytest.fixture(scope="module")
def task() -> ImageSegmentation:
    """The task after its data set was loaded."""
    task = ImageSegmentation()
    task.class_names = segmented.CLASSES
    return task


@pytest.fixture(scope="module")
def model(task):
    return training.build(task, segmented.squares(), segmented.config())


def test_loading_tells_the_task_its_classes(tmp_path, monkeypatch):
    data: Data = segmented.squares()
    monkeypatch.setattr("pipelines.tasks.image_segmentation.data.load", lambda config: data)
    task = ImageSegmentation()
    assert task.load(segmented.config()) is data
    assert task.class_names == segmented.CLASSES


def test_a_model_learns_what_can_be_learned(task):
    data, recipe = segmented.squares(), segmented.config().recipe
    optimizer = replace(recipe.optimizer, learning_rate=0.02)
    recipe = replace(recipe, epochs=15, batch_size=4, optimizer=optimizer)
    config = replace(segmented.config(), recipe=recipe)
    record = samples.Record()
    built = training.build(task, data, config)
    trained = training.fit(task, built, data, config, record)  # type: ignore[arg-type]
    scores, _, test = training.evaluate(task, trained, data, config.recipe)
    assert scores["validation_mean_iou"] > 0.75
    assert scores["test_mean_iou"] > 0.75
    # What is followed in training is what is scored in the end.
    assert record.curves["val_mean_iou"][-1] == pytest.approx(scores["validation_mean_iou"], 1e-4)
    assert test.predicted.keys() == {"mask"}
    assert test.predicted["mask"].dtype == test.examples["target"].dtype == np.uint8
    best = strongest(task.baselines(data), task.metric, task.greater_is_better)
    assert best.name == "logistic regression on pixels"


def test_scores_count_every_pixel_of_every_example_once(task):
    truth = np.zeros((2, 4, 4), np.uint8)
    truth[0, 0] = VOID
    truth[1, 0] = 1
    mask = np.zeros((2, 4, 4), np.uint8)
    mask[1, :2] = 1
    scores = task.scores(Predictions({"target": truth}, {"mask": mask}))
    assert scores["iou_background"] == pytest.approx(20 / 24)
    assert scores["iou_gray"] == pytest.approx(4 / 8)
    assert np.isnan(scores["iou_white"])
    assert scores["mean_iou"] == pytest.approx((20 / 24 + 4 / 8) / 2)
    assert scores["pixel_accuracy"] == pytest.approx(24 / 28)


def test_pixels_of_no_class_cost_nothing(task):
    """Not in the loss, which is the mean over the others."""
    logits = tf.random.stateless_normal((2, 3, 3, 3), (1, 2))
    mask = np.random.default_rng(0).integers(0, 3, (2, 3, 3)).astype(np.uint8)
    mask[:, 1] = VOID
    chance = tf.nn.softmax(logits).numpy()
    some = mask != VOID
    expected = -np.log(chance[some, mask[some]]).mean()
    assert float(task.loss()(mask, logits)) == pytest.approx(expected, rel=1e-5)


def test_the_most_probable_class_is_the_answer(task):
    logits = tf.constant([[[[0.0, 2.0, 1.0], [3.0, -1.0, 2.9]]]])
    mask = task.answers(logits)["mask"]
    assert mask.dtype == tf.uint8
    assert mask.numpy().tolist() == [[[1, 0]]]


def test_augmented_batches_keep_images_and_masks_together(task):
    """Bright pixels are the squares, wherever they went."""
    config = segmented.config(Augmentation(shift=0.2, flip=True))
    data = segmented.squares()
    moved = still = 0
    for inputs, mask in training.batches(task, data, config).as_numpy_iterator():
        assert (inputs.dtype, mask.dtype) == (np.float32, np.uint8)
        bright = inputs[..., 0] > 80 / 255
        assert (mask[bright] != 0).mean() > 0.9
        assert bright[(mask == 1) | (mask == 2)].mean() > 0.8
        moved += (mask[:, 0] == VOID).all(-1).sum() + (mask[:, -1] == VOID).all(-1).sum()
        still += len(mask)
    assert 0 < moved <= still


def test_without_augmentation_batches_are_the_examples(task):
    assert task.augment(segmented.config()) is None


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
            "unet does not answer for every pixel of an image; unet does, with "
            "--model.padding same",
        ),
        ((16, 16, 1), {"classes": 9}, "--model.classes cannot be chosen"),
    ],
)
def test_a_network_that_cannot_be_built_is_the_users_mistake(task, shape, model, message):
    with pytest.raises(UserError, match=message):
        task.model(segmented.config(**model), segmented.squares(shape))


def test_a_classifier_is_refused(task):
    config = replace(segmented.config(), architecture="resnet20", model={})
    with pytest.raises(UserError, match="resnet20 does not answer for every pixel of an image"):
        task.model(config, segmented.squares())


@pytest.mark.parametrize("channels", [1, 3])
def test_all_signatures_answer_as_they_expect(task, channels):
    data = segmented.squares((16, 24, channels))
    model = training.build(task, data, segmented.config())
    default, image_bytes = task.signatures(model, data)
    assert (default.name, image_bytes.name) == ("serving_default", "image_bytes")
    assert default.expected.keys() == {"mask", "probabilities"}
    assert image_bytes.expected.keys() == {"mask", "probabilities", "overlay"}
    for signature in (default, image_bytes):
        assert signature.inputs.keys() == signature.examples.keys()
        answers = signature.function(*map(tf.constant, signature.examples.values()))
        assert answers.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            if key == "probabilities":
                assert expected.dtype == np.float32
                np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-6)
                np.testing.assert_allclose(expected.sum(-1), 1, rtol=1e-5)
            else:
                np.testing.assert_array_equal(answers[key], expected)
    count = len(default.examples["images"])
    assert default.expected["mask"].dtype == np.uint8
    assert default.expected["mask"].shape == (count, 16, 24)
    assert default.expected["probabilities"].shape == (count, 16, 24, 3)
    assert signature.expected["overlay"].shape == (count,)


def test_masks_are_proved_on_images_without_a_pixel_that_is_undecided(task, model, monkeypatch):
    """Half of the images are made undecided, which is as close as rounding comes to it."""
    data = segmented.squares()
    first = images.first(data.test, 10)

    def predict(inputs, **_):
        logits = np.zeros((len(inputs), *segmented.SHAPE[:2], 3), np.float32)
        logits[..., 1] = np.where(np.arange(len(inputs)) % 2, 1.0, 1e-5)[:, None, None]
        return logits

    monkeypatch.setattr(model, "predict", predict)
    default, _ = task.signatures(model, data)
    np.testing.assert_array_equal(np.sort(default.examples["images"], 0), np.sort(first[1::2], 0))
    assert (default.expected["mask"] == 1).all()
    # Where all are undecided, one has to do.
    monkeypatch.setattr(model, "predict", lambda inputs, **_: predict(inputs) * 0)
    default, _ = task.signatures(model, data)
    assert len(default.examples["images"]) == 1


def test_proofs_stay_small_however_large_the_images(task, model, monkeypatch):
    monkeypatch.setattr("pipelines.tasks.image_segmentation.task._MOST_NUMBERS", 2 * 16 * 16 * 3)
    default, _ = task.signatures(model, segmented.squares())
    assert 1 <= len(default.examples["images"]) <= 2


def test_a_file_of_another_size_gets_an_overlay_of_its_own_size(task, model):
    data = segmented.squares()
    (tensor,) = images.first(data.test, 1)
    large = Image.fromarray(tensor.squeeze()).resize((50, 40)).convert("RGB")
    file = io.BytesIO()
    large.save(file, "PNG")
    _, image_bytes = task.signatures(model, data)
    small = tf.io.encode_png(tensor)
    answer = image_bytes.function(tf.stack([tf.constant(file.getvalue()), small]))
    assert answer["mask"].shape == (2, 16, 16)
    overlays = [np.asarray(Image.open(io.BytesIO(png))) for png in answer["overlay"].numpy()]
    assert [overlay.shape for overlay in overlays] == [(40, 50, 3), (16, 16, 3)]
    colours = segmentation.palette(segmented.CLASSES)
    rows, columns = ((2 * np.arange(side) + 1) * 16 // (2 * side) for side in (40, 50))
    mask = answer["mask"].numpy()[0][rows][:, columns]
    expected = segmentation.overlay(np.asarray(large), mask, colours)
    np.testing.assert_array_equal(overlays[0], expected)


@pytest.mark.parametrize("shape", [(2, 16, 16), (2, 17, 16, 1), (2, 16, 16, 3), (16, 16, 1)])
def test_images_of_another_shape_are_refused_before_they_reach_the_network(task, model, shape):
    default, _ = task.signatures(model, segmented.squares())
    function = tf.function(
        default.function, input_signature=[tf.TensorSpec(None, tf.uint8, name="images")]
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(tf.zeros(shape, tf.uint8))


def test_examples_are_test_images(task):
    data = segmented.squares()
    examples = task.examples(data)
    assert list(examples) == [f"{number}.png" for number in range(8)]
    for png, image in zip(examples.values(), images.first(data.test, 8), strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(png), image)


def test_the_pictures_are_drawn_from_the_test_split(task, model):
    data = segmented.squares()
    truth = np.stack([mask for _, mask in data.test.as_numpy_iterator()])
    test = Predictions({"target": truth}, {"mask": np.where(truth == VOID, 0, truth)})
    pictures = dict(task.figures(model, data, test))
    assert pictures["confusion_matrix"].axes[0].get_title() == "100.0% of all test pixels are right"
    assert "worst_masks" in pictures
