"""Options of tasks on images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipelines.bounds import Between
from pipelines.config import Config


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


@dataclass(frozen=True)
class ImageConfig(Config):
    """Image task options."""

    image_size: Annotated[int, Between(0, 4096)] = 0
    """Height and width in pixels to which images are resized; 0 keeps their common size."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of training images."""

    has_classes = True
