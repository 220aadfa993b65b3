"""The pipeline `translation`: its options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipelines.bounds import Between
from pipelines.config import Config, Pipeline
from pipelines.recipe import Optimizer, Recipe


@dataclass(frozen=True)
class TranslationConfig(Config):
    """Translation options."""

    reverse: bool = False
    """Swap source and target."""
    source_tokens: Literal["auto", "pieces", "words", "characters"] = "auto"
    """Source tokens; auto takes those of a bundled data set, else WordPieces."""
    target_tokens: Literal["auto", "pieces", "words", "characters"] = "auto"
    """Target tokens. WordPieces of both languages share one vocabulary."""
    vocabulary: Annotated[int, Between(100, 1_000_000)] = 2000
    """Size of each vocabulary, built from the training split."""
    max_length: Annotated[int, Between(4, 8192)] = 48
    """Maximum number of tokens; longer sources and translations are truncated."""
    beams: Annotated[int, Between(1, 64)] = 4
    """Beam width; 1 is greedy search."""
    length_penalty: Annotated[float, Between(0.0, 10.0)] = 1.4
    """Exponent of the length penalty (Wu et al. 2016); 0 compares plain log-probabilities."""
    text_signature: bool = True
    """Export signatures that take strings; without them, token ids need no TF-Text ops."""


PIPELINE = Pipeline(
    summary="Translation, sequence to sequence",
    task="pipelines.tasks.translation.task:Translation",
    defaults=TranslationConfig(
        dataset="cmudict",
        architecture="lstm_seq2seq",
        model={"units": 128, "embedding": 64},
        length_penalty=0.6,
        recipe=Recipe(
            epochs=12,
            batch_size=64,
            label_smoothing=0.1,
            optimizer=Optimizer(
                learning_rate=3e-3,
                schedule="inverse_sqrt",
                warmup=0.2,
                clip_norm=1.0,
                average=0.998,
            ),
        ),
    ),
    recipes={"transformer_wmt14": "pipelines.recipes.transformer_wmt14"},
)
