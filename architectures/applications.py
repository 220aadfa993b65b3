"""Weights of keras.applications' networks, `.weights.h5` files that Keras saved.

The files of ResNet50, ResNet101, ResNet152, VGG16 and VGG19 are read, with or without the head.
Differences to our networks, none of which is more than rounding after the change made here: their
convolutions have biases (`image_weights.py` takes care of them), their normalizations add 1.001e-5
to the variance, ours 1e-5; and they read images in the order BGR.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from architectures.pretrained import ImageCheckpoint, Preprocessing, Stored

# Means of keras.applications' "caffe" mode, of values 0-255, in the order of RGB.
_CAFFE = (123.68, 116.779, 103.939)
# Epsilon of keras.applications' normalizations, and ours.
_EPSILONS = (1.001e-5, 1e-5)
_VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
# Networks of keras.applications by their number of convolutions.
_APPLICATIONS = {
    53: ("resnet50", "ResNet50"),
    104: ("resnet101", "ResNet101"),
    155: ("resnet152", "ResNet152"),
    13: ("vgg16", "VGG16"),
    16: ("vgg19", "VGG19"),
}


def read(path: Path) -> ImageCheckpoint:
    """Opens the weights of a network of keras.applications, which its convolutions tell apart.

    Raises:
        ValueError: It is none of those, or the file is damaged.
    """
    shapes: dict[int, list[tuple[int, ...]]] = {1: [], 2: [], 4: []}
    try:
        with h5py.File(path) as file:
            file.visititems(
                lambda _, one: (
                    shapes.setdefault(one.ndim, []).append(one.shape)
                    if isinstance(one, h5py.Dataset)
                    else None
                )
            )
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5: {error}") from None
    convolutions, dense = len(shapes[4]), shapes[2]
    if convolutions not in _APPLICATIONS:
        raise ValueError(
            f"{path} has {convolutions} convolutions, as no ResNet50, ResNet101, ResNet152, VGG16 "
            "or VGG19 of keras.applications"
        )
    name, builder = _APPLICATIONS[convolutions]
    options: dict[str, Any] = {"include_top": bool(dense), "input_shape": (64, 64, 3)}
    if dense:
        options["classes"] = dense[-1][1]
    if dense and name.startswith("vgg"):
        # It flattens the last feature map, whose side is that of the image by 32.
        options["input_shape"] = (32 * math.isqrt(dense[0][0] // 512),) * 2 + (3,)
    return ImageCheckpoint(
        path,
        partial(_tensors_of_applications, path, builder, options),
        preprocessing=Preprocessing(tuple(mean / 255 for mean in _CAFFE), (1 / 255,) * 3, 224),
        classes=options.get("classes", 0),
        normalized=name.startswith("resnet"),
        architecture=name,
        version="1" if name.startswith("resnet") else "",
    )


def _tensors_of_applications(
    path: Path, builder: str, options: Mapping[str, Any]
) -> dict[str, Stored]:
    """Reads a file with the network of keras.applications that it belongs to."""
    network = getattr(keras.applications, builder)(weights=None, **options)
    try:
        network.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} does not fit keras.applications.{builder}: {reason}") from None
    found, feature, stage = {}, 0, "1"
    for layer in network.layers:
        if vgg := re.fullmatch(r"block(\d)_conv\d", layer.name):
            # torchvision counts activations and poolings as well.
            feature, stage = feature + (vgg[1] != stage), vgg[1]
            base, feature = f"features.{feature}", feature + 2
        elif layer.weights:
            base = _name_in_applications(layer.name, vgg=builder.startswith("VGG"))
        for variable, value in zip(layer.weights, layer.get_weights(), strict=True):
            value = _in_torch_layout(layer.name, variable.name, value)
            found[f"{base}.{_VARIABLES[variable.name]}"] = Stored(
                f"{layer.name}/{variable.name}", value.shape, partial(np.asarray, value)
            )
    return found


def _name_in_applications(layer: str, *, vgg: bool) -> str:
    """Returns torchvision's name of a layer of keras.applications' ResNet, or of a dense one."""
    if block := re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer):
        at = f"layer{int(block[1]) - 1}.{int(block[2]) - 1}"
        if block[3] == "0":
            return f"{at}.downsample.{int(block[4] == 'bn')}"
        return f"{at}.{block[4]}{block[3]}"
    known = {"conv1_conv": "conv1", "conv1_bn": "bn1", "fc1": "classifier.0", "fc2": "classifier.3"}
    return known.get(layer) or ("classifier.6" if vgg else "fc")


def _in_torch_layout(layer: str, variable: str, value: np.ndarray) -> np.ndarray:
    if variable == "moving_variance":
        # What is added to the variance, theirs or ours, makes the same sum.
        return value + np.float32(_EPSILONS[0] - _EPSILONS[1])
    if variable != "kernel":
        return value
    if value.ndim == 4:
        # Their images are BGR, ours RGB.
        first = layer in ("conv1_conv", "block1_conv1")
        return (value[:, :, ::-1] if first else value).transpose(3, 2, 0, 1)
    if layer == "fc1":
        side = math.isqrt(len(value) // 512)
        return value.reshape(side, side, 512, -1).transpose(3, 2, 0, 1)
    return value.T
