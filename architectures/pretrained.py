"""What pre-trained weights of image networks are, whatever wrote them.

Tensors have torchvision's names and torch's layout: kernels of convolutions are [out, in, height,
width], those of dense layers [out, in].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
INTERPOLATIONS = ("bilinear", "bicubic", "lanczos", "nearest")


@dataclass(frozen=True)
class Preprocessing:
    """How images become what a network reads.

    Attributes:
        mean: Of each channel of values 0-1, subtracted; empty leaves values as they are.
        deviation: Of each channel, by which the difference is divided.
        size: Height and width in pixels; 0 if it is not said.
        crop_share: The square in the middle of an image that is kept, as a fraction of its shorter
            side; 0 keeps the whole image, squeezed into the square.
        interpolation: One of `INTERPOLATIONS`.
    """

    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    size: int = 0
    crop_share: float = 0.0
    interpolation: str = "bilinear"


# What torchvision's and most of timm's networks were trained with.
IMAGENET = Preprocessing(IMAGENET_MEAN, IMAGENET_DEVIATION, 224, 0.875)


@dataclass(frozen=True)
class Stored:
    """A stored tensor.

    Attributes:
        name: Its name in the checkpoint.
        shape: Its shape, in torch's layout.
        read: Reads it, as float32.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


@dataclass(frozen=True)
class ImageCheckpoint:
    """The pre-trained weights of an image network.

    Attributes:
        path: Where they are.
        tensors: Opens them: each by torchvision's name.
        preprocessing: What the network was trained with.
        assumed: Whether that is a guess, as no configuration says it.
        classes: Number of classes of its head; 0 without one.
        class_names: Of its head, in their order, as far as they are known.
        channels: Number of channels of the images that it reads.
        normalized: Whether its convolutions are followed by batch normalization.
        architecture: Its name, if a configuration says it.
        version: "1" or "1.5" for a residual network, if it is known.
    """

    path: Path
    tensors: Callable[[], Mapping[str, Stored]] = field(repr=False)
    preprocessing: Preprocessing
    assumed: bool = False
    classes: int = 0
    class_names: tuple[str, ...] = ()
    channels: int = 3
    normalized: bool = True
    architecture: str = ""
    version: str = ""
