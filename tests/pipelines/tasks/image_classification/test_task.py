"""Image classification: augmentation, networks, signatures, example files and figures."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.export.signature import Signature
from pipelines.image.config import Augmentation
from pipelines.predictions import Predictions
from pipelines.recipe import Recipe
from pipelines.task import Network
from pipelines.tasks.image_classification.data import LabeledImages
from pipelines.tasks.image_classification.task import ImageClassification
from pipelines.training import batching, trainer
from tests.pipelines import samples

TASK = ImageClassification(samples.config())


@pytest.fixture(scope="module")
def data() -> LabeledImages:
    return samples.striped()


@pytest.fixture(scope="module")
def network(data: LabeledImages) -> Network:
    return trainer.build(TASK, data)


@pytest.fixture(scope="module")
def test(network: Network, data: LabeledImages) -> Predictions:
    return predict(TASK, network.model, data, "test")


@pytest.fixture(scope="module")
def signatures(network: Network, data: LabeledImages) -> list[Signature]:
    return TASK.signatures(network, data)


def test_augmentation_changes_images_and_keeps_labels(data):
    images, labels = tf.random.stateless_uniform((4, 8, 8, 1), (1, 2)), tf.range(4)
    task = ImageClassification(samples.config(Recipe(seed=1), Augmentation(shift=0.3)))
    augment = task.augment(data)
    assert augment is not None
    seeds = tf.constant([[1, row] for row in range(4)])
    changed, same = augment(images, labels, seeds)
    assert same is labels
    assert np.any(changed != images)
    assert TASK.augment(data) is None


def test_predictions_do_not_depend_on_augmentation(data):
    strong = samples.config(Recipe(seed=1), Augmentation(shift=0.5, rotation=0.5, zoom=0.5))
    task = ImageClassification(strong)
    model = trainer.build(task, data).model
    ((images, _),) = data.test.batch(100).as_numpy_iterator()
    expected = keras.ops.softmax(model(images / np.float32(255), training=False))
    for _ in range(2):
        predictions = predict(task, model, data, "test")
        np.testing.assert_allclose(predictions.predicted["probabilities"], expected, rtol=1e-5)


def test_mixed_images_train_with_soft_labels_and_are_validated_with_hard_ones(data):
    """Class weights and smoothed labels, which recipes add to the loss, take both."""
    mixing = Augmentation(cut_mix=1.0, mix_up=0.2)
    recipe = Recipe(epochs=1, batch_size=25, label_smoothing=0.1, class_weights="balanced")
    task = ImageClassification(samples.config(recipe, mixing))
    network = trainer.build(task, data)
    (images, targets), *_ = batching.training_batches(task, data)
    assert targets.shape == (25, 3)
    logits = network.model(images, training=False)
    truth, log_p = targets.numpy(), tf.nn.log_softmax(logits).numpy()
    losses = -(0.9 * (truth * log_p).sum(-1) + 0.1 * log_p.mean(-1))
    counts = np.bincount([label for _, label in data.train.as_numpy_iterator()])
    losses *= truth @ (counts.sum() / (3 * counts))
    expected = losses.mean()
    values = network.model.evaluate(images, targets, return_dict=True, verbose=0)
    assert values["loss"] == pytest.approx(expected, rel=1e-4)
    right = (logits.numpy().argmax(-1) == truth.argmax(-1)).mean()
    assert values["accuracy"] == pytest.approx(right)
    labels = tf.cast(truth.argmax(-1), tf.int64)
    hard = network.model.evaluate(images, labels, return_dict=True, verbose=0)
    assert hard["accuracy"] == pytest.approx(right)


def test_augmented_examples_are_shown_with_their_labels(network, data, test):
    for augmentation, caption in (
        (Augmentation(flip=True), r"low|middle|top"),
        (Augmentation(mix_up=1.0), r"(low|middle|top) [01]\.\d\d\n(low|middle|top) 0\.\d\d|\w+"),
    ):
        task = ImageClassification(samples.config(augmentation=augmentation))
        name, figure = next(task.figures(network, data, test, []))
        assert name == "augmented_examples"
        assert len(figure.axes[0].images) == 24
        captions: dict[tuple[float, float], list[str]] = {}
        for text in figure.axes[0].texts[1:]:
            left, top = text.get_position()
            captions.setdefault((left, top // 1), []).append(text.get_text())
        assert len(captions) == 24
        assert all(re.fullmatch(caption, "\n".join(lines)) for lines in captions.values())
    name, _ = next(TASK.figures(network, data, test, []))
    assert name == "confusion_matrix"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"classes": 9}, "--model.classes cannot be chosen"),
        ({"depth": 3}, "convnet has no hyperparameter 'depth'"),
        ({"filters": 3}, "convnet: filters must be a list of integers, not 3"),
        ({"filters": [4] * 9}, "convnet: images of 8x8 are used up by stage 4 of 9"),
    ],
)
def test_a_network_that_cannot_be_built_is_a_user_error(model, message, data):
    config = samples.config(**{**model, "convolutions": 1})
    with pytest.raises(UserError, match=message):
        ImageClassification(config).network(data)


def test_all_signatures_return_the_predictions_of_the_network(signatures):
    """As tensor, file or tf.Example, an image gets the network's prediction."""
    for signature in signatures:
        assert signature.inputs.keys() == signature.examples.keys()
        outputs = signature.function(*map(tf.constant, signature.examples.values()))
        assert outputs.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            if expected.dtype == object:
                np.testing.assert_array_equal(outputs[key], expected)
            else:
                np.testing.assert_allclose(outputs[key], expected, rtol=1e-5, atol=1e-6)
    names = [signature.name for signature in signatures]
    assert names == ["serving_default", "image_bytes", "classify"]


def test_probabilities_sum_to_one_with_the_most_probable_class(signatures):
    default, _, classify = signatures
    probabilities, classes = default.expected["probabilities"], default.expected["classes"]
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    named = [samples.CLASSES[i].encode() for i in probabilities.argmax(-1)]
    assert classes.tolist() == named
    for row in classify.expected["classes"]:
        assert row.tolist() == [name.encode() for name in samples.CLASSES]


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 9, 8, 1), (2, 8, 8, 3), (8, 8, 1)])
def test_images_of_another_shape_are_an_error_before_the_network(signatures, shape):
    default, *_ = signatures
    function = tf.function(
        default.function, input_signature=[tf.TensorSpec(None, tf.uint8, name="images")]
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(tf.zeros(shape, tf.uint8))


def test_examples_are_test_images_by_class(data):
    examples = TASK.examples(data)
    assert len(examples) == 8
    for (path, png), (image, label) in zip(
        examples.items(), itertools.islice(data.test.as_numpy_iterator(), 8), strict=True
    ):
        assert path.split("/")[0] == samples.CLASSES[label]
        np.testing.assert_array_equal(tf.io.decode_png(png), image)


@pytest.mark.parametrize("name", ["T-shirt/top", "/etc", "../up", "50%", "%2F", "two words", "é"])
def test_examples_of_a_class_are_in_one_folder_for_any_class_name(name, data):
    renamed = replace(data, class_names=(name, name, name))
    for path in TASK.examples(renamed):
        folder, file = path.split("/")
        assert unquote(folder) == name
        assert Path(folder, file).name == file
        assert folder not in ("", ".", "..")


def test_the_figures_show_the_worst_mistakes_first(network, data, test):
    figures = dict(TASK.figures(network, data, test, []))
    assert list(figures) == ["confusion_matrix", "reliability", "worst_mistakes"]
    grid = figures["worst_mistakes"]
    title, *lines = [text.get_text() for text in grid.axes[0].texts]
    assert title == "Worst mistakes on the test split"
    captions = [" ".join(pair) for pair in zip(lines[::2], lines[1::2], strict=True)]
    shown = grid.axes[0].images
    assert len(captions) == len(shown)
    scores = [float(caption.split()[-1]) for caption in captions]
    assert scores == sorted(scores)
    for caption in captions:
        predicted, _, _, truth, _ = caption.split()
        assert predicted != truth
    # Captions belong to their images.
    labels, probabilities = test.examples["target"], test.predicted["probabilities"]
    wrong = np.flatnonzero(probabilities.argmax(-1) != labels)
    assert len(shown) == min(len(wrong), 24)
    worst = sorted(wrong, key=lambda index: probabilities[index, labels[index]])
    ((images, _),) = data.test.batch(100).as_numpy_iterator()
    for image, index in zip(shown, worst, strict=False):
        np.testing.assert_array_equal(image.get_array(), images[index].squeeze())


def test_without_mistakes_a_figure_says_so(network, data, test):
    truth = test.examples["target"]
    perfect = Predictions({"target": truth}, {"probabilities": np.eye(3, dtype="float32")[truth]})
    grid = dict(TASK.figures(network, data, perfect, []))["worst_mistakes"]
    assert [text.get_text() for text in grid.axes[0].texts] == ["No mistakes on test"]
    assert not grid.axes[0].images
