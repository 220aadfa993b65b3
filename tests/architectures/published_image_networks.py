"""Published image networks in raw TensorFlow ops, from tensors in torch's names and layout.

An independent computation: nothing here is of `architectures`. Residual networks are those of He et
al. 2015 as torchvision and timm name their tensors; VGG networks those of Simonyan & Zisserman 2015
as torchvision computes them, with the average to 7x7 before the dense layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

Tensors = Mapping[str, np.ndarray]

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
VGG = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def random_resnet(depth: int, width: int, classes: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random tensors of a residual network in timm's names."""
    made = _Random(seed)
    made.convolution("conv1", 3, width, 7)
    made.norm("bn1", width)
    into = width
    for stage, count in enumerate(BLOCKS[depth]):
        inner = width * 2**stage
        out = inner * (4 if depth >= 50 else 1)
        for block in range(count):
            at = f"layer{stage + 1}.{block}"
            kernels = (1, 3, 1) if depth >= 50 else (3, 3)
            widths = [into, *[inner] * (len(kernels) - 1), out]
            for index, kernel in enumerate(kernels, 1):
                made.convolution(f"{at}.conv{index}", widths[index - 1], widths[index], kernel)
                made.norm(f"{at}.bn{index}", widths[index])
            if block == 0 and into != out:
                made.convolution(f"{at}.downsample.0", into, out, 1)
                made.norm(f"{at}.downsample.1", out)
            into = out
    made.dense("fc", into, classes)
    return made.tensors


def random_vgg(
    name: str,
    classes: int,
    *,
    normalize: bool = False,
    filters: tuple[int, ...] = (4, 6, 8, 10, 12),
    units: int = 16,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Returns random tensors of a VGG network in torchvision's names."""
    made, index, into = _Random(seed), 0, 3
    for width, count in zip(filters, VGG[name], strict=True):
        for _ in range(count):
            made.convolution(f"features.{index}", into, width, 3, bias=True)
            if normalize:
                made.norm(f"features.{index + 1}", width)
            index, into = index + (3 if normalize else 2), width
        index += 1
    for at, size, out in ((0, into * 49, units), (3, units, units), (6, units, classes)):
        made.dense(f"classifier.{at}", size, out)
    return made.tensors


class _Random:
    def __init__(self, seed: int) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self._random = np.random.default_rng(seed)

    def convolution(self, name: str, into: int, out: int, side: int, *, bias: bool = False) -> None:
        self._kernel(name, (out, into, side, side))
        if bias:
            self._vector(f"{name}.bias", out, -0.5, 0.5)

    def dense(self, name: str, into: int, out: int) -> None:
        self._kernel(name, (out, into))
        self._vector(f"{name}.bias", out, -0.5, 0.5)

    def norm(self, name: str, width: int) -> None:
        self._vector(f"{name}.weight", width, 0.5, 1.0)
        self._vector(f"{name}.bias", width, -0.3, 0.3)
        self._vector(f"{name}.running_mean", width, -0.3, 0.3)
        self._vector(f"{name}.running_var", width, 0.5, 2.0)
        self.tensors[f"{name}.num_batches_tracked"] = np.array(7, np.int64)

    def _kernel(self, name: str, shape: tuple[int, ...]) -> None:
        deviation = np.sqrt(1 / np.prod(shape[1:]))
        self.tensors[f"{name}.weight"] = self._random.normal(0, deviation, shape).astype(np.float32)

    def _vector(self, name: str, size: int, low: float, high: float) -> None:
        self.tensors[name] = self._random.uniform(low, high, size).astype(np.float32)


def resnet_maps(
    tensors: Tensors, images: np.ndarray, depth: int, *, version: str = "1.5"
) -> list[tf.Tensor]:
    """Returns the feature maps of the stem and of the four stages."""
    x = tf.nn.relu(_norm(tensors, "bn1", _convolution(tensors, "conv1", images, 2)))
    maps = [x]
    # torch pads with minus infinity before it takes the maximum.
    x = tf.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], constant_values=-np.inf)
    x = tf.nn.max_pool2d(x, 3, 2, "VALID")
    for stage, count in enumerate(BLOCKS[depth], 1):
        for block in range(count):
            at, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            strides: tuple[int, ...] = (stride, 1)
            if depth >= 50:
                strides = (stride, 1, 1) if version == "1" else (1, stride, 1)
            y = x
            for index, step in enumerate(strides, 1):
                y = _convolution(tensors, f"{at}.conv{index}", y, step)
                y = _norm(tensors, f"{at}.bn{index}", y)
                y = tf.nn.relu(y) if index < len(strides) else y
            if f"{at}.downsample.0.weight" in tensors:
                x = _convolution(tensors, f"{at}.downsample.0", x, stride)
                x = _norm(tensors, f"{at}.downsample.1", x)
            x = tf.nn.relu(x + y)
        maps.append(x)
    return maps


def resnet_logits(
    tensors: Tensors, images: np.ndarray, depth: int, *, version: str = "1.5"
) -> np.ndarray:
    x = resnet_maps(tensors, images, depth, version=version)[-1]
    return _dense(tensors, "fc", tf.reduce_mean(x, [1, 2])).numpy()


def vgg_logits(
    tensors: Tensors, images: np.ndarray, name: str, *, normalize: bool = False
) -> np.ndarray:
    x, index = tf.constant(images), 0
    for count in VGG[name]:
        for _ in range(count):
            x = _convolution(tensors, f"features.{index}", x, 1)
            if normalize:
                x = _norm(tensors, f"features.{index + 1}", x)
            x, index = tf.nn.relu(x), index + (3 if normalize else 2)
        x, index = tf.nn.max_pool2d(x, 2, 2, "VALID"), index + 1
    x = tf.transpose(_averaged(x, 7), [0, 3, 1, 2])
    x = tf.reshape(x, [len(images), -1])
    x = tf.nn.relu(_dense(tensors, "classifier.0", x))
    x = tf.nn.relu(_dense(tensors, "classifier.3", x))
    return _dense(tensors, "classifier.6", x).numpy()


def _averaged(x: tf.Tensor, side: int) -> tf.Tensor:
    """Returns what torch's AdaptiveAvgPool2d(side) does."""
    height, width = x.shape[1:3]
    rows = [slice(i * height // side, -(-(i + 1) * height // side)) for i in range(side)]
    columns = [slice(i * width // side, -(-(i + 1) * width // side)) for i in range(side)]
    return tf.stack(
        [
            tf.stack([tf.reduce_mean(x[:, row, column], [1, 2]) for column in columns], 1)
            for row in rows
        ],
        1,
    )


def _convolution(tensors: Tensors, name: str, x: tf.Tensor, stride: int) -> tf.Tensor:
    kernel = tensors[f"{name}.weight"].transpose(2, 3, 1, 0)
    pad = kernel.shape[0] // 2
    x = tf.nn.conv2d(x, kernel, stride, [(0, 0), (pad, pad), (pad, pad), (0, 0)])
    bias = tensors.get(f"{name}.bias")
    return x if bias is None else x + bias


def _norm(tensors: Tensors, name: str, x: tf.Tensor) -> tf.Tensor:
    weight, bias, mean, variance = (
        tensors[f"{name}.{part}"] for part in ("weight", "bias", "running_mean", "running_var")
    )
    return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias


def _dense(tensors: Tensors, name: str, x: tf.Tensor) -> tf.Tensor:
    return x @ tensors[f"{name}.weight"].T + tensors[f"{name}.bias"]
