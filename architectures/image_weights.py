"""Assigning pre-trained weights to the residual networks and VGG networks of this package.

Layers get torchvision's names: `conv3_1_2` of `resnet.py` is `layer2.0.conv2`, and the first
convolution of `convnet.py` is `features.0`. What the sources compute is computed exactly, except
for rounding:

- a convolution with a bias before batch normalization, as keras.applications and torchvision's VGG
  networks have it, becomes one without: the bias is taken off the moving mean;
- torchvision's VGG networks average the last feature map to 7x7 before they flatten it, which
  changes nothing for images of 224x224; for other sizes that average, a linear map, becomes part of
  the first dense kernel.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence

import keras
import numpy as np

from architectures.pretrained import ImageCheckpoint, Stored
from architectures.resnet import IMAGENET_BLOCKS

HEAD = "logits"
_NORM = ("weight", "bias", "running_mean", "running_var")
# VGG networks by their number of convolutions.
_VGG = {8: "vgg11", 10: "vgg13", 13: "vgg16", 16: "vgg19"}
# So many names of tensors stand in a message.
_SHOWN = 6


def assign(
    model: keras.Model,
    architecture: str,
    checkpoint: ImageCheckpoint,
    head: Sequence[int] | None,
) -> None:
    """Assigns the weights of a checkpoint to a network: all of them or, with an error, none.

    Args:
        model: Built by `resnet.py`, by `residual_unet.py`, whose expanding path stays as it is, or
            by `convnet.py` as a VGG network.
        architecture: Its name, for messages.
        checkpoint: What `image_checkpoints.read` returned.
        head: For each class, its index in the checkpoint's head; None leaves the head as it is.

    Raises:
        ValueError: A tensor is missing, superfluous, or of another shape.
    """
    layers, stored = torchvision_names(model), dict(checkpoint.tensors())
    if head is None:
        layers = {base: layer for base, layer in layers.items() if layer.name != HEAD}
        stored = _without(stored, "fc.", "classifier.6.")
    if not any(name.startswith("classifier.") for name in stored):
        layers = _without(layers, "classifier.")

    expected = {f"{base}.{part}" for base, layer in layers.items() for part in _parts(layer)}
    folded = {
        f"{base}.bias"
        for base, layer in layers.items()
        if isinstance(layer, keras.layers.Conv2D) and not layer.use_bias
    }
    _check_names(architecture, checkpoint, expected, stored, folded & stored.keys())
    values = [
        (layer, _values(model, base, layer, stored, architecture, checkpoint))
        for base, layer in layers.items()
    ]
    biases = {f"{layers[b.removesuffix('.bias')].name}_norm": b for b in folded & stored.keys()}
    for layer, arrays in values:
        if layer.name in biases:
            arrays[2] = arrays[2] - stored[biases[layer.name]].read()
        if layer.name == HEAD and head is not None:
            arrays[:] = [array[..., list(head)] for array in arrays]
    for layer, arrays in values:
        layer.set_weights(arrays)


def copy(
    source: keras.Model,
    path: str,
    model: keras.Model,
    architecture: str,
    head: Sequence[int] | None,
) -> None:
    """Copies the weights of a network of this package to one with the same layers.

    Of a residual network and a U-Net with such an encoder, one takes the body of the other.

    Args:
        source: The network with the weights.
        path: Where it is from, for messages.
        model: The network that takes them: all of them or, with an error, none.
        architecture: Its name, for messages.
        head: For each class, its index in the head of `source`; None leaves the head as it is.

    Raises:
        ValueError: A layer is missing, superfluous, or of another shape.
    """
    theirs, ours = ({one.name: one for one in net.layers if one.weights} for net in (source, model))
    if head is None:
        theirs.pop(HEAD, None)
        ours.pop(HEAD, None)
    if any(name.startswith("up") for name in theirs) != any(n.startswith("up") for n in ours):
        theirs, ours = (
            {name: layer for name, layer in each.items() if _in_resnet(name) and name != HEAD}
            for each in (theirs, ours)
        )
    problems = []
    if missing := [name for name in ours if name not in theirs]:
        problems.append(f"lacks the layers {_listed(missing)}")
    if superfluous := [name for name in theirs if name not in ours]:
        problems.append(f"has the layers {_listed(superfluous)}, which {architecture} has not")
    if problems:
        raise ValueError(f"{path} {', and '.join(problems)}")
    values = {}
    for name, layer in ours.items():
        values[name] = theirs[name].get_weights()
        if name == HEAD and head is not None:
            values[name] = [value[..., list(head)] for value in values[name]]
        found, needed = ([w.shape for w in each] for each in (values[name], layer.get_weights()))
        if found != needed:
            raise ValueError(
                f"the layer {name} of {path} is {' and '.join(map(_by, found))}, and "
                f"{architecture} needs {' and '.join(map(_by, needed))}"
            )
    for name, value in values.items():
        ours[name].set_weights(value)


def torchvision_names(model: keras.Model) -> dict[str, keras.layers.Layer]:
    """Returns the layers of a residual or VGG network that have weights, by torchvision's names."""
    layers = {layer.name: layer for layer in model.layers if layer.weights}
    if "conv1" in layers:
        named = {_in_resnet(name): layer for name, layer in layers.items()}
        if any(name.startswith("up") for name in layers):
            named.pop("fc")
        return {base: layer for base, layer in named.items() if base}
    named, index, stage = {}, 0, "1"
    for name, layer in layers.items():
        if made := re.fullmatch(r"conv(\d+)_\d+", name):
            # torchvision counts activations and poolings as well.
            index, stage = index + (made[1] != stage), made[1]
            named[f"features.{index}"] = layer
            if f"{name}_norm" in layers:
                index += 1
                named[f"features.{index}"] = layers[f"{name}_norm"]
            index += 2
        elif made := re.fullmatch(r"dense(\d+)", name):
            named[f"classifier.{3 * int(made[1]) - 3}"] = layer
        elif name == HEAD:
            named["classifier.6"] = layer
    return named


def _in_resnet(name: str) -> str:
    """Returns torchvision's name of a layer of `resnet.py`; nothing for a layer of other files."""
    if name in ("conv1", "conv1_norm", HEAD):
        return {"conv1": "conv1", "conv1_norm": "bn1", HEAD: "fc"}[name]
    made = re.fullmatch(r"conv(\d+)_(\d+)_(\d+|shortcut)(_norm)?", name)
    if not made:
        return ""
    at = f"layer{int(made[1]) - 1}.{int(made[2]) - 1}"
    if made[3] == "shortcut":
        return f"{at}.downsample.{1 if made[4] else 0}"
    return f"{at}.{'bn' if made[4] else 'conv'}{made[3]}"


def looks_like(names: Collection[str]) -> str:
    """Returns the architecture that has tensors of torchvision's names; nothing if none has them.

    >>> looks_like({"features.0.weight"})
    ''
    """
    blocks: dict[str, int] = {}
    for name in names:
        if made := re.match(r"layer(\d+)\.(\d+)\.", name):
            blocks[made[1]] = max(blocks.get(made[1], 0), int(made[2]) + 1)
    if blocks:
        counts = tuple(blocks[stage] for stage in sorted(blocks))
        bottleneck = any(re.match(r"layer1\.0\.conv3\.", name) for name in names)
        for depth, published in IMAGENET_BLOCKS.items():
            if counts == published and bottleneck == (depth >= 50):
                return f"resnet{depth}"
        return ""
    of_norms = {name.rpartition(".")[0] for name in names if name.endswith("running_mean")}
    features = {name.rpartition(".")[0] for name in names if name.startswith("features.")}
    return _VGG.get(len(features - of_norms), "")


def _without(named: Mapping[str, object], *prefixes: str) -> dict:
    return {name: one for name, one in named.items() if not name.startswith(prefixes)}


def _parts(layer: keras.layers.Layer) -> tuple[str, ...]:
    """Returns the last words of the names of a layer's tensors, in the order of its weights."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return _NORM
    return ("weight", "bias")[: len(layer.weights)]


def _check_names(
    architecture: str,
    checkpoint: ImageCheckpoint,
    expected: Collection[str],
    stored: Mapping[str, Stored],
    folded: Collection[str],
) -> None:
    """Raises ValueError unless the tensors are those of the network."""
    path = checkpoint.path
    found, wanted = looks_like(stored.keys()), looks_like(expected)
    if found and wanted and found != wanted:
        raise ValueError(f"{path} has the weights of a {found}; {architecture} needs a {wanted}")
    said = re.sub(r"^(tv_|gluon_)|(_bn|_v1b)$", "", checkpoint.architecture)
    if said and wanted and said != wanted:
        raise ValueError(f"{path} has the weights of a {said}; {architecture} needs a {wanted}")
    missing = sorted(set(expected) - stored.keys())
    superfluous = sorted(
        one.name for name, one in stored.items() if name not in expected and name not in folded
    )
    problems = []
    if missing:
        problems.append(f"lacks {_listed(missing)}")
    if superfluous:
        problems.append(f"has {_listed(superfluous)}, which {architecture} has not")
    if problems:
        raise ValueError(f"{path} {', and '.join(problems)}")


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _values(
    model: keras.Model,
    base: str,
    layer: keras.layers.Layer,
    stored: Mapping[str, Stored],
    architecture: str,
    checkpoint: ImageCheckpoint,
) -> list[np.ndarray]:
    """Returns the values of a layer's weights; the head's are of the checkpoint's classes."""
    values = []
    for part, variable in zip(_parts(layer), layer.weights, strict=True):
        one, shape = stored[f"{base}.{part}"], tuple(variable.shape)
        if layer.name == HEAD:
            shape = (*shape[:-1], checkpoint.classes)
        value = one.read()
        if part == "weight" and isinstance(layer, keras.layers.Conv2D):
            value = value.transpose(2, 3, 1, 0) if value.ndim == 4 else value
        elif part == "weight" and isinstance(layer, keras.layers.Dense):
            value = _dense_kernel(value, _flattened(model, layer))
        if value.shape != shape:
            needed = shape[::-1] if len(shape) == 2 else shape
            needed = (shape[3], shape[2], *shape[:2]) if len(shape) == 4 else needed
            raise ValueError(
                f"{one.name} in {checkpoint.path} is {_by(one.shape)}, and {architecture} needs "
                f"{_by(needed)}"
            )
        values.append(value)
    return values


def _by(shape: Sequence[int]) -> str:
    return "x".join(map(str, shape))


def _flattened(model: keras.Model, dense: keras.layers.Dense) -> tuple[int, ...] | None:
    """Returns (height, width, channels) of the feature map that a dense layer reads flattened."""
    source = dense.input._keras_history.operation
    if isinstance(source, keras.layers.Flatten):
        return tuple(source.input.shape[1:])
    return None


def _dense_kernel(value: np.ndarray, flattened: tuple[int, ...] | None) -> np.ndarray:
    """Returns a dense kernel, [in, out], of a stored one, [out, in] or [out, channels, side, side].

    Args:
        value: The stored kernel.
        flattened: (height, width, channels) of the feature map that is flattened before; the
            stored kernel is for one that is averaged to its own size first.
    """
    if flattened is None:
        return value.reshape(value.shape[:2]).T if value.shape[2:] in ((), (1, 1)) else value
    height, width, channels = flattened
    if value.ndim == 2:
        side = math.isqrt(value.shape[1] // channels)
        if side * side * channels != value.shape[1]:
            return value.T
        value = value.reshape(-1, channels, side, side)
    if value.shape[1] != channels:
        return value
    rows, columns = _averages(height, value.shape[2]), _averages(width, value.shape[3])
    if rows.shape == columns.shape == value.shape[2:] and height == width == len(rows):
        kernel = value.transpose(2, 3, 1, 0)
    else:
        kernel = np.einsum("ocij,ih,jw->hwco", value, rows, columns, optimize=True)
    return kernel.reshape(height * width * channels, -1)


def _averages(size: int, target: int) -> np.ndarray:
    """Returns the averages of torch's AdaptiveAvgPool2d, [target, size], along one dimension."""
    matrix = np.zeros((target, size), np.float32)
    for index in range(target):
        start, end = index * size // target, -(-(index + 1) * size // target)
        matrix[index, start:end] = 1 / (end - start)
    return matrix
