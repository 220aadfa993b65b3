"""Image classification: what happens to an image between a file and the network."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from pipelines import training
from pipelines.config import Recipe
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.image.config import Augmentation
from pipelines.predictions import Predictions
from pipelines.tasks.image_classification import data as images
from pipelines.tasks.image_classification.data import decode
from pipelines.tasks.image_classification.task import ImageClassification
from tests.pipelines import samples

TASK = ImageClassification()
SHAPES = st.tuples(st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


def encoded(image: np.ndarray, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image.squeeze(-1) if image.shape[-1] == 1 else image).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


@settings(max_examples=25)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, (2, *shape))))
def test_png_files_decode_to_the_very_tensors(batch):
    files = [tf.io.encode_png(image).numpy() for image in batch]
    np.testing.assert_array_equal(decode(tf.constant(files), batch.shape[1:]), batch)


@settings(max_examples=25)
@given(SHAPES.flatmap(lambda shape: arrays.arrays(np.uint8, shape)))
def test_files_of_another_size_are_resized_as_the_data_set_is(image):
    shape = (6, 5, image.shape[-1])
    file = tf.io.encode_png(image)
    np.testing.assert_array_equal(
        decode(tf.stack([file]), shape)[0], images.resize(tf.constant(image), shape)
    )


def test_a_batch_may_mix_files_of_all_kinds_and_sizes():
    shade = np.full((6, 4, 3), (200, 100, 50), np.uint8)
    files = [
        encoded(shade, "PNG"),
        encoded(shade, "JPEG", quality=100, subsampling=0),
        encoded(shade, "BMP"),
        encoded(shade, "GIF"),
        encoded(np.repeat(np.repeat(shade, 3, 0), 3, 1), "PNG"),
    ]
    answer = decode(tf.constant(files), (6, 4, 3)).numpy()
    assert answer.dtype == np.uint8
    assert answer.shape == (5, 6, 4, 3)
    assert np.abs(answer.astype(int) - shade).max() <= 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_gray_files_fill_the_channels_of_a_colour_model(kind):
    gray = np.full((4, 4, 1), 77, np.uint8)
    answer = decode(tf.constant([encoded(gray, kind)]), (4, 4, 3)).numpy()
    np.testing.assert_allclose(answer[0], np.full((4, 4, 3), 77), atol=1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_colour_files_become_gray_for_a_gray_model(kind):
    colour = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    answer = decode(tf.constant([encoded(colour, kind)]), (4, 4, 1)).numpy()
    luma = 0.299 * 200 + 0.587 * 100 + 0.114 * 50
    np.testing.assert_allclose(answer[0], np.full((4, 4, 1), luma), atol=2)


def test_what_is_no_image_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode(tf.constant([b"no image"]), (4, 4, 3))


def test_decoding_works_in_a_graph_for_any_number_of_files():
    spec = [tf.TensorSpec([None], tf.string)]
    graph = tf.function(lambda files: decode(files, (3, 3, 1)), input_signature=spec)
    image = np.arange(9, dtype=np.uint8).reshape(3, 3, 1)
    for count in (0, 1, 5):
        answer = graph(tf.constant([encoded(image, "PNG")] * count, tf.string, [count]))
        np.testing.assert_array_equal(answer, np.broadcast_to(image, (count, 3, 3, 1)))


def test_preprocessing_takes_bytes_to_zero_to_one():
    values = TASK.preprocess(tf.constant([0, 51, 255], tf.uint8))
    assert values.dtype == tf.float32
    np.testing.assert_allclose(values, [0, 0.2, 1])


@pytest.fixture
def batch() -> np.ndarray:
    return np.random.default_rng(0).uniform(size=(4, 8, 8, 1)).astype("float32")


def augment(choice: Augmentation, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what the task does to training images; their labels it leaves alone."""
    change = TASK.augment(samples.config(Recipe(seed=seed), choice))

    def images(batch: np.ndarray) -> np.ndarray:
        labels = tf.range(len(batch))
        changed, same = change(tf.constant(batch), labels)
        assert same is labels
        return changed.numpy()

    return images


def test_without_augmentation_there_is_none():
    assert TASK.augment(samples.config(Recipe(seed=1), Augmentation())) is None


@pytest.mark.parametrize(
    "choice",
    [
        Augmentation(shift=0.3),
        Augmentation(rotation=0.2),
        Augmentation(zoom=0.4),
        Augmentation(flip=True),
        Augmentation(shift=0.3, rotation=0.2, zoom=0.4, flip=True),
    ],
)
def test_augmentation_changes_images_alike_for_the_same_seed(choice, batch):
    one, same, other = (augment(choice, seed) for seed in (1, 1, 2))
    for _ in range(4):
        first, second, third = (change(batch) for change in (one, same, other))
        assert first.shape == batch.shape
        np.testing.assert_array_equal(first, second)
        assert np.any(first != batch)
        if np.any(first != third):
            break
    else:
        pytest.fail("the seed makes no difference")


def test_a_flip_mirrors_about_half_of_the_images_and_does_nothing_else():
    batch = np.random.default_rng(0).uniform(size=(200, 3, 4, 1)).astype("float32")
    flipped = augment(Augmentation(flip=True), seed=0)(batch)
    mirrored = np.all(flipped == batch[:, :, ::-1], axis=(1, 2, 3))
    kept = np.all(flipped == batch, axis=(1, 2, 3))
    assert np.all(mirrored ^ kept)
    assert 60 < mirrored.sum() < 140


def test_black_fills_what_a_shift_moves_in():
    white = np.ones((20, 8, 8, 1), "float32")
    shifted = augment(Augmentation(shift=0.3), seed=0)(white)
    assert shifted.min() == 0
    assert shifted.max() == pytest.approx(1)


def test_the_network_sees_validation_and_test_images_as_they_are():
    """Augmentation is for training: what is predicted does not depend on it."""
    data = samples.striped()
    strong = samples.config(Recipe(seed=1), Augmentation(shift=0.5, rotation=0.5, zoom=0.5))
    model = training.build(TASK, data, strong)
    ((images, _),) = data.test.batch(100).as_numpy_iterator()
    expected = keras.ops.softmax(model(images / np.float32(255), training=False))
    for _ in range(2):
        predictions = predict(TASK, model, data, "test", 30)
        np.testing.assert_allclose(predictions.predicted["probabilities"], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"classes": 9}, "--model.classes cannot be chosen"),
        ({"depth": 3}, "convnet has no hyperparameter 'depth'"),
        ({"filters": 3}, "convnet: filters must be a list of integers, not 3"),
        ({"filters": [4] * 9}, "convnet: images of 8x8 are used up by stage 4 of 9"),
    ],
)
def test_a_network_that_cannot_be_built_is_the_users_mistake(model, message):
    config = samples.config(**{**model, "convolutions": 1})
    with pytest.raises(UserError, match=message):
        TASK.model(config, samples.striped())


@pytest.fixture(scope="module")
def model():
    return training.build(TASK, samples.striped(), samples.config())


def test_all_signatures_answer_as_they_expect(model):
    """Whatever way an image takes, the answer is the network's to the preprocessed tensor."""
    data = samples.striped()
    names = []
    for signature in TASK.signatures(model, data):
        names.append(signature.name)
        assert signature.inputs.keys() == signature.examples.keys()
        answers = signature.function(*map(tf.constant, signature.examples.values()))
        assert answers.keys() == signature.expected.keys()
        for key, expected in signature.expected.items():
            if expected.dtype == object:
                np.testing.assert_array_equal(answers[key], expected)
            else:
                np.testing.assert_allclose(answers[key], expected, rtol=1e-5, atol=1e-6)
    assert names == ["serving_default", "image_bytes", "classify"]


def test_probabilities_sum_to_one_and_name_the_most_probable_class(model):
    default, _, classify = TASK.signatures(model, samples.striped())
    chance, classes = default.expected["probabilities"], default.expected["classes"]
    np.testing.assert_allclose(chance.sum(-1), 1, rtol=1e-5)
    named = [samples.CLASSES[i].encode() for i in chance.argmax(-1)]
    assert classes.tolist() == named
    for row in classify.expected["classes"]:
        assert row.tolist() == [name.encode() for name in samples.CLASSES]


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 9, 8, 1), (2, 8, 8, 3), (8, 8, 1)])
def test_images_of_another_shape_are_refused_before_they_reach_the_network(model, shape):
    default, *_ = TASK.signatures(model, samples.striped())
    function = tf.function(
        default.function, input_signature=[tf.TensorSpec(None, tf.uint8, name="images")]
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        function(tf.zeros(shape, tf.uint8))


def test_examples_are_test_images_under_their_class():
    data = samples.striped()
    examples = TASK.examples(data)
    assert len(examples) == 8
    for (path, png), (image, label) in zip(
        examples.items(), itertools.islice(data.test.as_numpy_iterator(), 8), strict=True
    ):
        assert path.split("/")[0] == samples.CLASSES[label]
        np.testing.assert_array_equal(tf.io.decode_png(png), image)


@pytest.mark.parametrize("name", ["T-shirt/top", "/etc", "../up", "50%", "%2F", "two words", "é"])
def test_examples_stay_in_one_folder_whatever_their_class_is_called(name):
    data = replace(samples.striped(), class_names=(name, name, name))
    for path in TASK.examples(data):
        folder, file = path.split("/")
        assert unquote(folder) == name
        assert Path(folder, file).name == file
        assert folder not in ("", ".", "..")


def test_the_figures_show_the_worst_mistakes_first(model):
    data = samples.striped()
    test = predict(TASK, model, data, "test", 7)
    figures = dict(TASK.figures(model, data, test))
    assert list(figures) == ["confusion_matrix", "reliability", "worst_mistakes"]
    grid = figures["worst_mistakes"]
    assert grid.get_suptitle() == "Worst mistakes on the test split"
    shown = [axes for axes in grid.axes if axes.get_title()]
    captions = [axes.get_title() for axes in shown]
    chances = [float(caption.split()[-1]) for caption in captions]
    assert chances == sorted(chances)
    for caption in captions:
        predicted, _, _, truth, _ = caption.split()
        assert predicted != truth
    # Each caption stands under the image that it is about.
    labels, chance = test.examples["target"], test.predicted["probabilities"]
    wrong = np.flatnonzero(chance.argmax(-1) != labels)
    assert len(shown) == min(len(wrong), 24)
    worst = sorted(wrong, key=lambda index: chance[index, labels[index]])
    ((images, _),) = data.test.batch(100).as_numpy_iterator()
    for axes, index in zip(shown, worst, strict=False):
        np.testing.assert_array_equal(axes.images[0].get_array(), images[index].squeeze())


def test_a_network_without_mistakes_gets_a_figure_that_says_so(model):
    data = samples.striped()
    truth = predict(TASK, model, data, "test", 7).examples["target"]
    perfect = Predictions({"target": truth}, {"probabilities": np.eye(3, dtype="float32")[truth]})
    grid = dict(TASK.figures(model, data, perfect))["worst_mistakes"]
    assert grid.get_suptitle() == "No mistakes on test"
    assert not any(axes.images for axes in grid.axes)
