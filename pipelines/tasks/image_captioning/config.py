"""The pipeline `image_captioning`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.config import Config, Pipeline
from pipelines.errors import UserError
from pipelines.image.config import Augmentation
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class CaptioningConfig(Config):
    """Image captioning options."""

    image_size: Annotated[int, Between(0, 4096)] = 0
    """Height and width in pixels to which images are resized; 0 keeps their common size."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Augmentation of training images; a flip makes "left" of "right", and captions stay."""
    tokens: Literal["auto", "words", "pieces", "characters"] = "auto"
    """Tokens of captions; auto takes words for a bundled data set, else WordPieces."""
    vocabulary: Annotated[int, Between(10, 1_000_000)] = 2000
    """Size of the vocabulary, built from the training captions."""
    max_length: Annotated[int, Between(4, 1024)] = 32
    """Maximum number of tokens of a caption, its end included; longer ones are truncated."""
    beams: Annotated[int, Between(1, 64)] = 3
    """Beam width; 1 is greedy search."""
    length_penalty: Annotated[float, Between(0.0, 10.0)] = 1.0
    """Exponent of the length penalty (Wu et al. 2016); 0 compares plain log-probabilities."""

    def check(self) -> None:
        """Raises `UserError` for augmentation that mixes images."""
        super().check()
        if self.augmentation.mixes:
            raise UserError(
                "--augmentation.mix_up and --augmentation.cut_mix are for classes: two images have "
                "no caption in common"
            )


PIPELINE = Pipeline(
    summary="Image captioning",
    task="pipelines.tasks.image_captioning.task:ImageCaptioning",
    defaults=CaptioningConfig(
        dataset="digit_scenes",
        architecture="cnn_transformer_captioner",
        model={
            **{"filters": [16, 32, 64], "layers": 2, "heads": 4, "width": 64, "feed_forward": 128},
            "dropout": 0.0,
        },
        recipe=Recipe(
            epochs=12,
            batch_size=16,
            optimizer=Optimizer(learning_rate=3e-3, schedule="cosine", warmup=0.05, clip_norm=1.0),
        ),
    ),
)
