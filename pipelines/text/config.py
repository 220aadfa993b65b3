"""Options of tasks on text."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import architectures
from pipelines.bounds import Between
from pipelines.config import Config
from pipelines.errors import UserError
from pipelines.text import encoders


@dataclass(frozen=True)
class TextConfig(Config):
    """Text task options."""

    vocabulary: Annotated[int, Between(100, 1_000_000)] = 8000
    """Vocabulary size, built from the training split."""
    max_length: Annotated[int, Between(4, 8192)] = 128
    """Maximum number of tokens; longer texts are truncated."""
    word_dropout: Annotated[float, Between(0.0, 0.9)] = 0.0
    """Fraction of training tokens replaced with [UNK] (Iyyer et al. 2015)."""
    token_cutoff: Annotated[float, Between(0.0, 0.9)] = 0.0
    """Fraction of training tokens that the encoder does not read at all (Shen et al. 2020)."""
    encoder: str = ""
    """Pre-trained encoder: a Hugging Face directory, builtin:NAME, runs:/… or models:/…."""
    freeze_layers: Annotated[int, Between(0, 1000)] = 0
    """Freeze the encoder's embeddings and its first N layers; 0 trains all."""
    text_signature: bool = True
    """Export signatures that take strings; without them, token ids need no TF-Text ops."""

    head_hyperparameters = ("pooling",)
    has_classes = True

    def check(self) -> None:
        """Raises `UserError` if options of encoders are chosen for another network."""
        check_options(self)

    def check_paths(self) -> None:
        """Raises `UserError` if the encoder is to be in a directory, or built in, and is not."""
        if self.encoder.startswith(encoders.PREFIX):
            encoders.find(self.encoder)
        elif self.encoder and not self.encoder.startswith(("runs:/", "models:/")):
            checked_folder(self.encoder)


def checked_folder(path: str, option: str = "--encoder") -> Path:
    """Returns the directory of a pre-trained network, which `option` names.

    Raises:
        UserError: There is none.
    """
    folder = Path(path).expanduser()
    if not (folder / "config.json").exists():
        raise UserError(f"{option} {path} is no directory with a config.json")
    return folder


def is_encoder(architecture: str) -> bool:
    """Returns whether an architecture is of BERT's family."""
    return architectures.get(architecture).kind == "encoder"


def is_reader(architecture: str) -> bool:
    """Returns whether an architecture reads a question and a passage."""
    return architectures.get(architecture).kind == "reader"


def check_options(config: TextConfig) -> None:
    """Checks that options of encoders are chosen for an encoder alone.

    Raises:
        UserError: `encoder`, `freeze_layers` or `token_cutoff` is chosen for another network.
    """
    if is_encoder(config.architecture):
        return
    for option in ("encoder", "freeze_layers", "token_cutoff"):
        if getattr(config, option):
            raise UserError(
                f"--{option} needs an architecture of BERT's family, not {config.architecture}"
            )
