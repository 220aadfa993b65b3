"""Pre-trained image weights in a pipeline: what they need, what they change, what is said."""

from __future__ import annotations

import json
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from architectures.pretrained import Preprocessing
from pipelines.config import check
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig
from pipelines.image.weights import Weights, build, find, head_rows, notes
from pipelines.tasks.image_classification.data import LabeledImages
from tests.architectures.published_image_networks import (
    random_resnet,
    resnet_logits,
    resnet_maps,
)

MEAN, DEVIATION = [0.2, 0.3, 0.4], [0.5, 0.6, 0.7]
NAMES = ("cat", "dog", "owl")
FITS = ("does not classify images", lambda model: model.output.shape == (None, 3))


@pytest.fixture(scope="module")
def tensors():
    return random_resnet(18, 4, 3)


@pytest.fixture(scope="module")
def timm(tensors, tmp_path_factory):
    """A directory as timm writes it, of a small ResNet-18 whose classes are in another order."""
    folder = tmp_path_factory.mktemp("timm")
    save_file(tensors, folder / "model.safetensors")
    config = {
        "architecture": "resnet18",
        "label_names": ["owl", "cat", "dog"],
        "pretrained_cfg": {"mean": MEAN, "std": DEVIATION, "input_size": [3, 40, 40]},
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def config(weights, architecture="resnet18", **model) -> ImageConfig:
    return ImageConfig(architecture=architecture, weights=str(weights), model={"width": 4, **model})


def data(weights: Weights | None, shape=(64, 64, 3), names=NAMES) -> LabeledImages:
    one = tf.data.Dataset.from_tensors((tf.zeros(shape, tf.uint8), tf.constant(0, tf.int64)))
    return LabeledImages(
        name="x",
        version="1.0.0",
        digest="0",
        sizes={"train": 1, "validation": 1, "test": 1},
        image_shape=shape,
        class_names=names,
        weights=weights,
        preprocessing=weights.preprocessing if weights else Preprocessing(),
        train=one,
        validation=one,
        test=one,
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_the_network_reads_images_from_0_to_1_and_normalizes_them_itself(timm, tensors, channels):
    weights = find(config(timm))
    assert weights is not None
    network = build(config(timm), data(weights, (64, 64, channels)), *FITS)
    images = np.random.default_rng(0).uniform(size=(2, 64, 64, channels)).astype(np.float32)
    normalized = (images - np.array(MEAN)) / np.array(DEVIATION)
    # In the order of the data's classes.
    expected = resnet_logits(tensors, normalized.astype(np.float32), 18)[:, [1, 2, 0]]
    np.testing.assert_allclose(network.model(images, training=False), expected, 1e-4, 1e-4)
    # Layers stay at the top, so that they can be frozen by their names.
    assert {"conv1", "conv5_2_2_norm", "logits"} < {layer.name for layer in network.model.layers}


def test_a_head_of_other_classes_is_new_and_the_note_says_so(timm):
    weights = find(config(timm))
    assert weights is not None
    names = ("cat", "dog", "fox")
    (note,) = notes(weights, names, segments=False)
    assert note == (
        f"weights of {timm}: the head is new: its 3 classes are not those of the data; images are "
        "normalized by mean 0.2, 0.3, 0.4 and deviation 0.5, 0.6, 0.7"
    )
    network = build(config(timm), data(weights, names=names), *FITS)
    kernel = network.model.get_layer("logits").get_weights()[0]
    assert np.abs(kernel).max() < 0.1  # As initialized; those of the file are larger.
    (note,) = notes(weights, NAMES, segments=False)
    assert "the head is kept, as the classes agree" in note
    assert notes(None, NAMES, segments=False) == []


def some(**options) -> Weights:
    common = {"uri": "x", "preprocessing": Preprocessing(), "about": "y", "channels": 3}
    own = {"classes": 3, "class_names": (), "whole": False, "hyperparameters": {}}
    return Weights(**{**common, **own, **options}, fill=lambda *_: None)


@pytest.mark.parametrize(
    ("options", "rows", "said"),
    [
        ({}, [0, 1, 2], "kept: it has as many classes, 3, without names"),
        ({"classes": 4}, None, "new: its 4 classes"),
        ({"classes": 0}, None, "new: they have none"),
        ({"class_names": ("dog", "owl", "cat")}, [2, 0, 1], "kept, as the classes agree"),
        ({"class_names": ("dog", "owl", "owl")}, None, "new: its 3 classes"),
        ({"whole": True}, None, "new"),
    ],
)
def test_the_head_is_kept_where_the_classes_agree(options, rows, said):
    assert head_rows(some(**options), NAMES, segments=False) == rows
    assert said in notes(some(**options), NAMES, segments=False)[0]


def test_a_segmenting_network_takes_the_body_of_a_classifier():
    assert head_rows(some(), NAMES, segments=True) is None
    assert "the expanding path is new" in notes(some(), NAMES, segments=True)[0]
    assert head_rows(some(whole=True), NAMES, segments=True) == [0, 1, 2]


def test_without_weights_the_network_is_the_architectures_own():
    chosen = ImageConfig(architecture="resnet18", model={"width": 4})
    assert find(chosen) is None
    network = build(chosen, data(None), *FITS)
    assert network.model.layers[1].name == "conv1_pad"


def huggingface(folder, **options):
    tensors = random_resnet(50, 2, 3)
    save_file(tensors, folder / "model.safetensors")
    settings = {"model_type": "resnet", "downsample_in_bottleneck": True, **options}
    (folder / "config.json").write_text(json.dumps(settings))
    return folder, tensors


def test_the_version_of_a_residual_network_follows_from_its_weights(tmp_path):
    folder, tensors = huggingface(tmp_path)
    chosen = replace(config(folder, "resnet50"), model={"width": 2})
    weights = find(chosen)
    assert weights is not None
    assert "ImageNet's mean and deviation are assumed" in weights.about
    network = build(chosen, data(weights), *FITS)
    assert network.hyperparameters["version"] == "1"
    how = weights.preprocessing
    images = np.random.default_rng(0).uniform(size=(1, 64, 64, 3))
    normalized = ((images - np.array(how.mean)) / np.array(how.deviation)).astype(np.float32)
    expected = resnet_logits(tensors, normalized, 50, version="1")
    np.testing.assert_allclose(network.model(images, training=False), expected, 1e-4, 1e-4)
    other = replace(chosen, model={"width": 2, "version": "1.5"})
    with pytest.raises(UserError, match=r"--model\.version 1\.5 does not fit .*, which need 1$"):
        build(other, data(weights), *FITS)


def test_weights_of_another_network_are_refused_in_a_sentence(timm):
    chosen = config(timm, "resnet34")
    with pytest.raises(UserError, match="weights of a resnet18; resnet34 needs a resnet34"):
        build(chosen, data(find(chosen)), *FITS)


def test_images_of_other_channels_are_refused(timm):
    with pytest.raises(UserError, match="images with 3 channels, and those of the data have 4"):
        build(config(timm), data(find(config(timm)), (64, 64, 4)), *FITS)


@pytest.mark.parametrize("architecture", ["convnet", "resnet20", "resnet50_v2", "mlp"])
def test_only_networks_with_published_weights_take_files(architecture):
    with pytest.raises(UserError, match=rf"needs one of .*resnet18.*vgg19; {architecture} takes"):
        check(ImageConfig(architecture=architecture, weights="x.safetensors"))
    check(ImageConfig(architecture=architecture, weights="runs:/1"))


def test_a_path_where_nothing_is_is_named(tmp_path):
    missing = ImageConfig(architecture="resnet18", weights=str(tmp_path / "no"))
    with pytest.raises(UserError, match="no: there is no such file or directory"):
        missing.check_paths()
    for path in (str(tmp_path), "runs:/1", ""):
        ImageConfig(architecture="resnet18", weights=path).check_paths()
    with pytest.raises(UserError, match=r"--weights: .* has no model\.safetensors"):
        find(config(tmp_path))


def test_a_unet_normalizes_images_and_has_the_encoder_of_the_weights(timm, tensors):
    chosen = config(timm, "resnet18_unet")
    weights = find(chosen)
    network = build(chosen, data(weights), "", lambda model: True, segments=True)
    last = keras.Model(network.model.input, network.model.get_layer("conv5_2_relu").output)
    images = np.random.default_rng(0).uniform(size=(1, 64, 64, 3)).astype(np.float32)
    normalized = ((images - np.array(MEAN)) / np.array(DEVIATION)).astype(np.float32)
    expected = resnet_maps(tensors, normalized, 18)[-1]
    np.testing.assert_allclose(last(images, training=False), expected, 1e-4, 1e-4)
    assert network.model.output.shape == (None, 64, 64, 3)
