"""Reading pre-trained image weights: files, directories, and what their configurations say."""

from __future__ import annotations

import json
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from architectures.image_checkpoints import read, torchvision_name
from architectures.pretrained import IMAGENET, Preprocessing

TENSORS: dict[str, np.ndarray] = {
    "conv1.weight": np.arange(6, dtype=np.float32).reshape(1, 3, 2, 1),
    "bn1.running_mean": np.array([0.5], np.float32),
    "bn1.num_batches_tracked": np.array(3, np.int64),
    "fc.weight": np.ones((4, 1), np.float32),
}
TIMM: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": 4,
    "label_names": ["a", "b", "c", "d"],
    "pretrained_cfg": {
        "mean": [0.5, 0.4, 0.3],
        "std": [0.1, 0.2, 0.3],
        "interpolation": "bicubic",
        "crop_pct": 0.95,
        "input_size": [3, 288, 288],
    },
}


def directory(folder, config, tensors=TENSORS, **others):
    save_file(tensors, folder / "model.safetensors")
    for name, values in {"config": config, **others}.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.float64])
def test_tensors_of_any_float_are_read_as_float32(tmp_path, dtype):
    save_file({"conv1.weight": TENSORS["conv1.weight"].astype(dtype)}, tmp_path / "x.safetensors")
    (one,) = read(tmp_path / "x.safetensors").tensors().values()
    assert one.read().dtype == np.float32
    np.testing.assert_array_equal(one.read(), TENSORS["conv1.weight"])
    assert one.shape == (1, 3, 2, 1)


def test_a_file_alone_is_taken_for_one_of_imagenet(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors")
    found = read(tmp_path / "x.safetensors")
    assert (found.assumed, found.preprocessing) == (True, IMAGENET)
    assert (found.classes, found.channels, found.normalized) == (4, 3, True)
    assert found.tensors().keys() == {"conv1.weight", "bn1.running_mean", "fc.weight"}


def test_timms_configuration_says_how_images_are_preprocessed(tmp_path):
    found = read(directory(tmp_path, TIMM))
    assert found.preprocessing == Preprocessing(
        (0.5, 0.4, 0.3), (0.1, 0.2, 0.3), 288, 0.95, "bicubic"
    )
    assert (found.architecture, found.assumed) == ("resnet18", False)
    assert found.class_names == ("a", "b", "c", "d")
    # The file in a directory is the directory.
    again = read(tmp_path / "model.safetensors")
    assert again.preprocessing == found.preprocessing


def test_timms_older_configuration_has_no_inner_mapping(tmp_path):
    flat = {"architecture": "resnet18", **TIMM["pretrained_cfg"]}
    assert read(directory(tmp_path, flat)).preprocessing.size == 288


RESNET: dict[str, Any] = {"model_type": "resnet", "id2label": {"1": "dog", "0": "cat", "10": "owl"}}
PROCESSOR: dict[str, Any] = {
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "resample": 3,
    "size": {"shortest_edge": 224},
    "crop_pct": 0.9,
}


def test_hugging_faces_configuration_says_the_same(tmp_path):
    found = read(directory(tmp_path, RESNET, preprocessor_config=PROCESSOR))
    assert found.preprocessing == Preprocessing((0.5,) * 3, (0.25,) * 3, 224, 0.9, "bicubic")
    assert found.class_names == ("cat", "dog", "owl")
    assert found.version == "1.5"


@pytest.mark.parametrize(
    ("options", "size", "share"),
    [
        ({"size": 224}, 224, 0.9),
        ({"size": {"shortest_edge": 384}}, 384, 0.0),
        ({"size": {"height": 160, "width": 160}}, 160, 0.0),
        ({"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": 224}, 224, 0.875),
        (
            {
                "size": {"shortest_edge": 256},
                "do_center_crop": True,
                "crop_size": {"height": 224, "width": 224},
            },
            224,
            0.875,
        ),
    ],
)
def test_hugging_faces_sizes_are_of_an_edge_of_a_crop_or_of_the_whole(
    tmp_path, options, size, share
):
    found = read(directory(tmp_path, RESNET, preprocessor_config={**PROCESSOR, **options}))
    assert (found.preprocessing.size, found.preprocessing.crop_share) == (size, share)


def test_another_scale_of_values_changes_mean_and_deviation(tmp_path):
    options = {**PROCESSOR, "rescale_factor": 1 / 127.5}
    found = read(directory(tmp_path, RESNET, preprocessor_config=options)).preprocessing
    # (255 x / 127.5 - 0.5) / 0.25 is (x - 0.25) / 0.125.
    np.testing.assert_allclose([found.mean, found.deviation], [[0.25] * 3, [0.125] * 3])


def test_names_that_nobody_gave_to_classes_are_none(tmp_path):
    config = {"model_type": "resnet", "id2label": {"0": "LABEL_0", "1": "LABEL_1"}}
    found = read(directory(tmp_path, config | {"downsample_in_bottleneck": True}))
    assert (found.class_names, found.version, found.assumed) == ((), "1", True)


def test_tensors_in_several_files_are_found_by_their_index(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(TIMM))
    index = {}
    for number, (name, value) in enumerate(TENSORS.items()):
        save_file({name: value}, tmp_path / f"part{number}.safetensors")
        index[name] = f"part{number}.safetensors"
    text = json.dumps({"weight_map": index})
    (tmp_path / "model.safetensors.index.json").write_text(text)
    stored = read(tmp_path).tensors()
    np.testing.assert_array_equal(stored["fc.weight"].read(), TENSORS["fc.weight"])
    (tmp_path / "part1.safetensors").unlink()
    with pytest.raises(ValueError, match=r"part1\.safetensors is missing"):
        read(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "resnet18.pth", "x.pt"])
def test_a_pickle_is_refused_with_the_way_to_convert_it(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(ValueError, match=r"is a pickle, which can run any code .*save_file"):
            read(path)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"model_type": "vit"}, "model_type must be 'resnet', not 'vit'"),
        (RESNET | {"hidden_act": "silu"}, "hidden_act must be 'relu', not 'silu'"),
        ({"interpolation": "box"}, "interpolation must be one of 'bilinear', .*, not 'box'"),
        ({"crop_mode": "border"}, "crop_mode must be 'center' or 'squash', not 'border'"),
        ({"input_size": [3, 224, 192]}, r"input_size must be .*, not \[3, 224, 192\]"),
        ({"mean": [0.5], "std": [0.1, 0.2]}, r"mean \[0.5\] and deviation .* do not fit together"),
        ({"mean": [0.5], "std": [0]}, "mean .* do not fit together"),
        ({"crop_pct": 87.5}, "the crop share must be at most 1, not 87.5"),
        ({"pretrained_cfg": 3}, "the configuration in .* cannot be used"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_named(tmp_path, config, sentence):
    with pytest.raises(ValueError, match=sentence):
        read(directory(tmp_path, config))


def test_files_that_are_not_weights_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no model\.safetensors"):
        read(tmp_path)
    for name, content in (("x.safetensors", b"no"), ("x.h5", b"no"), ("x.onnx", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            read(tmp_path / name)
    directory(tmp_path, {})
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is not JSON"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("name", "ours"),
    [
        ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("resnet.embedder.embedder.convolution.weight", "conv1.weight"),
        ("embedder.embedder.normalization.running_var", "bn1.running_var"),
        ("resnet.encoder.stages.3.layers.2.layer.1.normalization.bias", "layer4.2.bn2.bias"),
        (
            "resnet.encoder.stages.1.layers.0.shortcut.convolution.weight",
            "layer2.0.downsample.0.weight",
        ),
        (
            "resnet.encoder.stages.1.layers.0.shortcut.normalization.bias",
            "layer2.0.downsample.1.bias",
        ),
        ("classifier.1.bias", "fc.bias"),
        ("pre_logits.fc1.weight", "classifier.0.weight"),
        ("pre_logits.fc2.bias", "classifier.3.bias"),
        ("head.fc.bias", "classifier.6.bias"),
    ],
)
def test_other_names_become_torchvisions(name, ours):
    assert torchvision_name(name) == ours
