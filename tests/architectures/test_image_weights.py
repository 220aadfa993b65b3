"""Pre-trained image weights: logits equal those of the published networks, computed elsewhere."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest
from safetensors.numpy import save_file

from architectures import image_checkpoints
from architectures.convnet import convnet
from architectures.counting import abstract
from architectures.image_weights import assign, looks_like, torchvision_names
from architectures.residual_unet import residual_unet
from architectures.resnet import resnet
from tests.architectures.published_image_networks import (
    VGG,
    random_resnet,
    random_vgg,
    resnet_logits,
    resnet_maps,
    vgg_logits,
)

WIDTH = 4


def assert_close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def images(height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(2, height, width, 3)).astype(np.float32)


def written(folder, tensors):
    save_file(tensors, folder / "weights.safetensors")
    return image_checkpoints.read(folder / "weights.safetensors")


def in_huggingface_names(tensors):
    """Returns a residual network's tensors in the names of ResNetForImageClassification."""
    renamed = {}
    for name, value in tensors.items():
        name = re.sub(r"^conv1\.", "resnet.embedder.embedder.convolution.", name)
        name = re.sub(r"^bn1\.", "resnet.embedder.embedder.normalization.", name)
        name = re.sub(r"^fc\.", "classifier.1.", name)
        if made := re.fullmatch(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)", name):
            stage, block, kind, index, part = made.groups()
            at = f"resnet.encoder.stages.{int(stage) - 1}.layers.{block}"
            if kind == "downsample.":
                word = ("convolution", "normalization")[int(index)]
                name = f"{at}.shortcut.{word}.{part}"
            else:
                word = "convolution" if kind == "conv" else "normalization"
                name = f"{at}.layer.{int(index) - 1}.{word}.{part}"
        renamed[name] = value
    return renamed


@pytest.mark.parametrize(("depth", "version"), [(18, "1.5"), (34, "1.5"), (50, "1"), (50, "1.5")])
@pytest.mark.parametrize("names", ["timm", "huggingface"])
def test_a_residual_network_has_the_published_logits(tmp_path, depth, version, names):
    if names == "huggingface" and depth != 50:
        pytest.skip("names differ by the kind of block alone")
    tensors = random_resnet(depth, WIDTH, 5)
    stored = in_huggingface_names(tensors) if names == "huggingface" else tensors
    model = resnet(depth, classes=5, input_shape=(64, 64, 3), version=version, width=WIDTH)
    assign(model, f"resnet{depth}", written(tmp_path, stored), head=range(5))
    expected = resnet_logits(tensors, images(), depth, version=version)
    assert_close(model(images(), training=False), expected)
    assert np.abs(expected).max() > 0.1
    other = resnet_logits(tensors, images(), depth, version="1" if version == "1.5" else "1.5")
    assert depth < 50 or np.abs(other - expected).max() > 0.01


def test_the_published_width_has_the_published_logits(tmp_path):
    tensors = random_resnet(18, 64, 5)
    model = resnet(18, classes=5, input_shape=(64, 64, 3))
    assign(model, "resnet18", written(tmp_path, tensors), head=range(5))
    expected = resnet_logits(tensors, images(), 18)
    assert_close(model(images(), training=False), expected)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_every_depth_has_torchvisions_names_and_shapes(depth):
    """Kernels are stored as [out, in, height, width] and used as [height, width, in, out]."""
    stored = {
        name: value.shape[2:] + value.shape[1::-1] if value.ndim > 1 else value.shape
        for name, value in random_resnet(depth, 1, 2).items()
        if not name.endswith("num_batches_tracked")
    }
    with abstract():
        layers = torchvision_names(resnet(depth, classes=2, input_shape=(32, 32, 3), width=1))
        found = {
            f"{base}.{part}": tuple(weight.shape)
            for base, layer in layers.items()
            for part, weight in zip(
                ("weight", "bias", "running_mean", "running_var"), layer.weights, strict=False
            )
        }
    assert found == stored
    assert looks_like(stored) == f"resnet{depth}"


@pytest.mark.parametrize("name", VGG)
@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize(("height", "width"), [(32, 64), (224, 224), (288, 256)])
def test_a_vgg_network_has_the_published_logits(tmp_path, name, normalize, height, width):
    if height > 200 and (name != "vgg11" or normalize):
        pytest.skip("the size changes the first dense layer alone")
    tensors = random_vgg(name, 5, normalize=normalize)
    model = small_vgg(name, normalize=normalize, shape=(height, width, 3))
    assign(model, name, written(tmp_path, tensors), head=range(5))
    expected = vgg_logits(tensors, images(height, width), name, normalize=normalize)
    assert_close(model(images(height, width), training=False), expected)


def small_vgg(name, *, normalize=False, shape=(32, 32, 3), classes=5):
    return convnet(
        classes=classes,
        input_shape=shape,
        filters=(4, 6, 8, 10, 12),
        convolutions=VGG[name],
        units=(16, 16),
        normalize=normalize,
        stage_dropout=0.0,
    )


@pytest.mark.parametrize(("depth", "names"), [(18, "timm"), (50, "huggingface")])
def test_the_encoder_of_a_unet_has_the_feature_maps_of_the_published_network(
    tmp_path, names, depth
):
    tensors = random_resnet(depth, WIDTH, 1000)
    stored = in_huggingface_names(tensors) if names == "huggingface" else tensors
    model = residual_unet(
        depth, classes=3, input_shape=(64, 64, 3), filters=(6, 5, 4, 3, 2), width=WIDTH
    )
    before = model.get_layer("logits").get_weights()
    assign(model, f"resnet{depth}_unet", written(tmp_path, stored), head=None)
    skips = [model.get_layer(f"up{level}_concat").input[1] for level in (4, 3, 2, 1)]
    last = model.get_layer("up1_concat").input[0]
    found = keras.Model(model.input, [*skips, last])(images(), training=False)
    found[-1] = found[-1][:, ::2, ::2]  # It is up-sampled already.
    for ours, published in zip(found, resnet_maps(tensors, images(), depth), strict=True):
        assert_close(ours, published)
    for old, new in zip(before, model.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_a_new_head_stays_as_it_is_and_the_body_is_loaded(tmp_path):
    tensors = random_resnet(18, WIDTH, 1000)
    model = resnet(18, classes=3, input_shape=(32, 32, 3), width=WIDTH)
    before = model.get_layer("logits").get_weights()
    assign(model, "resnet18", written(tmp_path, tensors), head=None)
    for old, new in zip(before, model.get_layer("logits").get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    kernel = tensors["layer4.1.conv2.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv5_2_2").get_weights()[0], kernel)


def test_classes_in_another_order_take_their_own_rows_of_the_head(tmp_path):
    tensors = random_resnet(18, WIDTH, 4)
    model = resnet(18, classes=3, input_shape=(64, 64, 3), width=WIDTH)
    assign(model, "resnet18", written(tmp_path, tensors), head=[2, 0, 3])
    expected = resnet_logits(tensors, images(), 18)[:, [2, 0, 3]]
    assert_close(model(images(), training=False), expected)


def test_a_vgg_network_without_its_dense_layers_gets_new_ones(tmp_path):
    tensors = {k: v for k, v in random_vgg("vgg11", 5).items() if k.startswith("features.")}
    model = small_vgg("vgg11")
    before = model.get_layer("dense1").get_weights()[0]
    assign(model, "vgg11", written(tmp_path, tensors), head=None)
    np.testing.assert_array_equal(model.get_layer("dense1").get_weights()[0], before)
    kernel = tensors["features.0.weight"].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(model.get_layer("conv1_1").get_weights()[0], kernel)


def test_timms_names_of_a_vgg_networks_dense_layers_are_known(tmp_path):
    tensors = random_vgg("vgg11", 5)
    timm = {k: v for k, v in tensors.items() if k.startswith("features.")}
    for number, at in (("0", "pre_logits.fc1"), ("3", "pre_logits.fc2")):
        kernel = tensors[f"classifier.{number}.weight"]
        side = 7 if number == "0" else 1
        timm[f"{at}.weight"] = kernel.reshape(len(kernel), -1, side, side)
        timm[f"{at}.bias"] = tensors[f"classifier.{number}.bias"]
    timm |= {f"head.fc.{part}": tensors[f"classifier.6.{part}"] for part in ("weight", "bias")}
    model = small_vgg("vgg11", shape=(64, 64, 3))
    assign(model, "vgg11", written(tmp_path, timm), head=range(5))
    expected = vgg_logits(tensors, images(), "vgg11")
    assert_close(model(images(), training=False), expected)


def refused(tmp_path, tensors, model, architecture="resnet18", head=None):
    """Returns the sentence about a checkpoint, after which the network is what it was."""
    before = model.get_weights()
    checkpoint = written(tmp_path, tensors)
    with pytest.raises(ValueError, match=r"weights\.safetensors") as error:
        assign(model, architecture, checkpoint, head)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    return str(error.value).replace(str(checkpoint.path), "FILE")


@pytest.fixture(scope="module")
def small():
    return resnet(18, classes=3, input_shape=(32, 32, 3), width=WIDTH)


def test_a_missing_tensor_is_named(tmp_path, small):
    tensors = random_resnet(18, WIDTH, 3)
    del tensors["layer4.1.bn2.bias"]
    assert refused(tmp_path, tensors, small) == "FILE lacks layer4.1.bn2.bias"


def test_a_superfluous_tensor_is_named(tmp_path, small):
    tensors = random_resnet(18, WIDTH, 3)
    tensors["layer1.0.se.fc1.weight"] = np.zeros(3, np.float32)
    sentence = "FILE has layer1.0.se.fc1.weight, which resnet18 has not"
    assert refused(tmp_path, tensors, small) == sentence


def test_of_many_tensors_some_are_named(tmp_path, small):
    tensors = random_resnet(18, WIDTH, 3)
    others = {f"x{key}": one for key, one in tensors.items() if "layer4" in key}
    kept = {key: one for key, one in tensors.items() if "layer4.1" not in key}
    sentence = refused(tmp_path, kept | others, small)
    assert re.fullmatch(
        r"FILE lacks layer4\.1\.bn1\.bias, .* and 4 more, and has xlayer4.* and \d+ more, which "
        "resnet18 has not",
        sentence,
    )


def test_another_depth_is_recognized(tmp_path, small):
    tensors = random_resnet(34, WIDTH, 3)
    sentence = "FILE has the weights of a resnet34; resnet18 needs a resnet18"
    assert refused(tmp_path, tensors, small) == sentence
    vgg = small_vgg("vgg13", classes=3)
    sentence = refused(tmp_path, random_vgg("vgg16", 3), vgg, "vgg13")
    assert sentence == "FILE has the weights of a vgg16; vgg13 needs a vgg13"


def test_another_shape_is_named_with_both(tmp_path, small):
    tensors = random_resnet(18, WIDTH, 3)
    tensors["layer2.0.conv1.weight"] = np.zeros((8, 2, 3, 3), np.float32)
    assert refused(tmp_path, tensors, small) == (
        "layer2.0.conv1.weight in FILE is 8x2x3x3, and resnet18 needs 8x4x3x3"
    )


def test_weights_without_norms_do_not_fit_a_vgg_network_with_them(tmp_path):
    vgg = small_vgg("vgg11", normalize=True, classes=3)
    sentence = refused(tmp_path, random_vgg("vgg11", 3), vgg, "vgg11")
    assert sentence.startswith("FILE lacks features.")
