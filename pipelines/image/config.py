"""Options of tasks on images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import architectures
from pipelines.bounds import Between
from pipelines.config import Config
from pipelines.errors import UserError

# Families of architectures whose pre-trained weights others publish.
_PUBLISHED = ("residual network", "VGG", "U-Net with a residual encoder")


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation of training images; 0 (or false) switches each off."""

    shift: Annotated[float, Between(0.0, 0.5)] = 0.0
    """Maximum translation, as a fraction of height and width."""
    rotation: Annotated[float, Between(0.0, 0.5)] = 0.0
    """Maximum rotation, as a fraction of a full turn."""
    zoom: Annotated[float, Between(0.0, 0.5)] = 0.0
    """Maximum zoom in or out, as a fraction."""
    flip: bool = False
    """Flip half of the images horizontally."""
    vertical_flip: bool = False
    """Flip half of the images vertically."""
    crop: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Least area of a random crop, as a fraction, resized to the image (Szegedy et al. 2015)."""
    crop_padding: Annotated[int, Between(0, 512)] = 0
    """Pixels around an image, black, before a random crop of its own size (He et al. 2016)."""
    brightness: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Maximum change of brightness, as a fraction of white."""
    contrast: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Maximum change of contrast, as a fraction."""
    saturation: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Maximum change of the saturation of colors, as a fraction."""
    hue: Annotated[float, Between(0.0, 0.5)] = 0.0
    """Maximum turn of the hue of colors, as a fraction of a full turn."""
    rand_augment: Annotated[int, Between(0, 8)] = 0
    """Number of operations of RandAugment for each image (Cubuk et al. 2020), often 2."""
    magnitude: Annotated[float, Between(0.0, 10.0)] = 9.0
    """Magnitude of the operations of RandAugment."""
    erasing: Annotated[float, Between(0.0, 1.0)] = 0.0
    """Fraction of images of which a rectangle becomes black (Zhong et al. 2020)."""
    cut_mix: Annotated[float, Between(0.0, 10.0)] = 0.0
    """Alpha of CutMix, a rectangle of another image and a part of its label (Yun et al. 2019)."""
    mix_up: Annotated[float, Between(0.0, 10.0)] = 0.0
    """Alpha of MixUp, the mean with another image and its label (Zhang et al. 2018)."""

    @property
    def active(self) -> bool:
        """Whether anything is changed."""
        return self != Augmentation(magnitude=self.magnitude)

    @property
    def mixes(self) -> bool:
        """Whether images are mixed, so that their labels are too."""
        return bool(self.cut_mix or self.mix_up)


@dataclass(frozen=True)
class ImageConfig(Config):
    """Image task options."""

    image_size: Annotated[int, Between(0, 4096)] = 0
    """Height and width in pixels to which images are resized; 0 keeps their common size."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of training images."""
    weights: str = ""
    """Pre-trained weights: a file, a directory, or runs:/… or models:/… of your own run."""

    has_classes = True

    def of_run(self, uri: str, tags: Mapping[str, str]) -> ImageConfig:
        """Returns the config with a run's own weights, which say how images are preprocessed."""
        return replace(self, weights=uri) if self.weights else self

    def check(self) -> None:
        """Raises `UserError` if weights are chosen for a network that cannot have them."""
        super().check()
        if not self.weights or is_run(self.weights):
            return
        takes = [name for name in architectures.names() if takes_weights(name)]
        if self.architecture not in takes:
            raise UserError(
                f"--weights {self.weights} needs one of the architectures {', '.join(takes)}; "
                f"{self.architecture} takes those of an own run alone, runs:/… or models:/…"
            )

    def check_paths(self) -> None:
        """Raises `UserError` if there is nothing where the weights are to be."""
        super().check_paths()
        if self.weights and not is_run(self.weights):
            path = Path(self.weights).expanduser()
            if not path.exists():
                raise UserError(f"--weights {self.weights}: there is no such file or directory")


def is_run(weights: str) -> bool:
    """Returns whether pre-trained weights are those of an own run or registered model."""
    return weights.startswith(("runs:/", "models:/"))


def takes_weights(architecture: str) -> bool:
    """Returns whether others publish weights of an architecture, which can be read."""
    return architectures.get(architecture).family in _PUBLISHED
