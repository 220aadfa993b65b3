"""What a run chooses: data set, architecture and recipe, as small frozen dataclasses.

They are the single source of the command line and of its help, of the parameters that MLflow
shows, and of the file that reproduces a run (`--config`).
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import architectures
from pipelines.errors import UserError


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019): linear warmup, then cosine decay to zero."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    weight_decay: float = 1e-2
    """Decoupled weight decay."""
    warmup: float = 0.1
    """Share of all steps during which the learning rate rises."""
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; each at 0 (or false) leaves them as they are."""

    shift: float = 0.0
    """Largest translation, as a share of height and width."""
    rotation: float = 0.0
    """Largest rotation, as a share of a full turn."""
    zoom: float = 0.0
    """Largest zoom in or out, as a share."""
    flip: bool = False
    """Mirror half of the images left to right."""


@dataclass(frozen=True)
class Recipe:
    """How the model is trained."""

    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Examples per step, over all devices together."""
    patience: int = 0
    """Stop after this many epochs without a lower validation loss; 0 never stops early."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy of training; what is exported computes in float32."""
    seed: int = 0
    """Seed of initialisation, shuffling, dropout and augmentation."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and learning-rate schedule."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of training images."""


@dataclass(frozen=True)
class Config:
    """What the model is and what it learns from."""

    dataset: str = ""
    """An embedded set, a TFDS name, or a folder of images as FOLDER/SPLIT/CLASS/IMAGE."""
    architecture: str = ""
    """A name that `python -m architectures` lists."""
    model: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters of the architecture, each as --model.NAME VALUE."""
    name: str = ""
    """Name to register and serve the model under; empty takes the data set's."""
    image_size: int = 0
    """Side in pixels to which images are resized; 0 keeps the size that all of them share."""
    data_dir: str = ""
    """Folder of prepared TFDS data; empty takes TFDS' own."""
    manual_dir: str = ""
    """Folder of files that TFDS uses instead of downloading them."""
    recipe: Recipe = Recipe()
    """How the model is trained."""

    def options(self) -> dict[str, Any]:
        """Returns the choices nested like the command line's options, as `--config` reads them."""
        values = asdict(self)
        return values | values.pop("recipe")

    def parameters(self) -> dict[str, Any]:
        """Returns the choices as one flat mapping, named like the command line's options."""
        return _flatten(self.options())


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check(config: Config) -> None:
    """Raises `UserError` for a value that no run can use, before any work is done."""
    if config.architecture not in architectures.names():
        raise UserError(
            f"unknown architecture {config.architecture!r}; `python -m architectures` lists them"
        )
    if config.name and not re.fullmatch(r"\w[\w.-]*", config.name):
        raise UserError(f"--name must be letters, digits, '_', '-' and '.', not {config.name!r}")
    recipe = config.recipe
    bounds = (
        ("epochs", recipe.epochs, 1, 100_000),
        ("batch_size", recipe.batch_size, 1, 1_000_000),
        ("patience", recipe.patience, 0, 100_000),
        ("seed", recipe.seed, 0, 2**31 - 1),
        ("optimizer.learning_rate", recipe.optimizer.learning_rate, 1e-12, 100.0),
        ("optimizer.weight_decay", recipe.optimizer.weight_decay, 0.0, 1.0),
        ("optimizer.warmup", recipe.optimizer.warmup, 0.0, 0.9),
        ("optimizer.clip_norm", recipe.optimizer.clip_norm, 0.0, 1e9),
        ("augmentation.shift", recipe.augmentation.shift, 0.0, 0.5),
        ("augmentation.rotation", recipe.augmentation.rotation, 0.0, 0.5),
        ("augmentation.zoom", recipe.augmentation.zoom, 0.0, 0.5),
        ("image_size", config.image_size, 0, 4096),
    )
    for option, value, low, high in bounds:
        if not low <= value <= high:
            raise UserError(f"--{option} must be between {low} and {high}, not {value}")
