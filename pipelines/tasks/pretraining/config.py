"""The pipelines `bert_pretraining` and `electra_pretraining`: their options and defaults."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import architectures
from pipelines.bounds import Between
from pipelines.config import Pipeline
from pipelines.errors import UserError
from pipelines.recipe import Optimizer, Recipe
from pipelines.text.config import TextConfig, is_encoder


@dataclass(frozen=True)
class PretrainingConfig(TextConfig):
    """Encoder pre-training options."""

    masked: Annotated[float, Between(0.01, 0.9)] = 0.15
    """Fraction of tokens that are predicted."""
    max_length: Annotated[int, Between(16, 8192)] = 128
    """Maximum number of tokens; longer texts are split into several examples."""
    whole_words: bool = False
    """Mask whole words, with all their WordPieces."""
    initialization: Literal["local", "published"] = "local"
    """Initial weights; local suits small encoders: heads begin at neighbors."""

    has_classes = False

    def check(self) -> None:
        """Raises `UserError` for a network that is no encoder, and for dropout of words."""
        if not is_encoder(self.architecture):
            raise UserError(
                f"{self.architecture} cannot be pre-trained; those of BERT's family can"
            )
        for option in ("word_dropout", "token_cutoff"):
            if getattr(self, option):
                raise UserError(f"--{option} is not for pre-training: choose --masked instead")
        if self.encoder and self.vocabulary != TextConfig.vocabulary:
            raise UserError(
                f"--vocabulary cannot be chosen: it follows from the encoder {self.encoder}; "
                "without one, --encoder '', training starts from scratch"
            )
        super().check()


@dataclass(frozen=True)
class BertPretrainingConfig(PretrainingConfig):
    """Options of masked language modeling, alone or with a sentence task."""

    sentence_task: Literal["auto", "none", "next_sentence", "sentence_order"] = "auto"
    """Sentence-pair objective; auto takes that of the architecture's paper."""


@dataclass(frozen=True)
class ElectraPretrainingConfig(PretrainingConfig):
    """Options of replaced-token detection."""

    generator_divisor: Annotated[int, Between(1, 64)] = 4
    """Width of the discriminator divided by that of the generator."""
    detection_weight: Annotated[float, Between(0.0, 1_000_000.0)] = 50.0
    """Weight of the discriminator's loss; the generator's is 1."""

    def check(self) -> None:
        """Raises `UserError` for a network that is no ELECTRA."""
        if architectures.get(self.architecture).model_type != "electra":
            raise UserError(
                f"{self.architecture} is no discriminator; electra_small, _base and _large are"
            )
        super().check()


_ENCODER = "builtin:bert_tiny_sotu"

BERT = Pipeline(
    summary="Masked language modeling and sentence pairs",
    task="pipelines.tasks.pretraining.bert:BertPretraining",
    defaults=BertPretrainingConfig(
        dataset="sotu_sentences",
        architecture="bert_tiny",
        name="bert",
        encoder=_ENCODER,
        sentence_task="none",
        recipe=Recipe(
            epochs=1,
            batch_size=8,
            optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
        ),
    ),
    distillable=True,
    recipes={"bert_tiny_sotu": "pipelines.recipes.bert_tiny_sotu"},
)
ELECTRA = Pipeline(
    summary="Replaced-token detection",
    task="pipelines.tasks.pretraining.electra:ElectraPretraining",
    defaults=ElectraPretrainingConfig(
        dataset="sotu_sentences",
        architecture="electra_small",
        name="electra",
        encoder=_ENCODER,
        # The generator begins as the encoder too, whose size is small already.
        generator_divisor=1,
        recipe=Recipe(
            epochs=2,
            batch_size=8,
            optimizer=Optimizer(learning_rate=1e-3, clip_norm=1.0),
        ),
    ),
)
