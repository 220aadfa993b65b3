"""Pre-trained decoders: a Hugging Face directory of GPT-2 with its byte pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras

import architectures
from architectures import decoder_checkpoints
from architectures.decoder import SIZES
from architectures.decoder_checkpoints import DecoderConfig
from pipelines.errors import UserError
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.text import byte_pair_files, pretrained
from pipelines.text.byte_pairs import BytePairTokenizer

FOLDER = "weights"
_OPTION = "--weights"


def find(weights: str) -> Path:
    """Returns the directory that `weights` names: a directory, `runs:/…` or `models:/…`.

    Raises:
        UserError: There is none.
    """
    return pretrained.find(weights, _OPTION, FOLDER)


def read_tokenizer(weights: str) -> BytePairTokenizer:
    """Reads the tokenizer of pre-trained weights.

    Raises:
        UserError: There is none, or it is of another kind.
    """
    folder = find(weights)
    config = _config(folder)
    return byte_pair_files.read(folder, config.vocabulary, config.end)


def sizes(config: LanguageModelingConfig) -> DecoderConfig:
    """Returns the sizes of the weights that a config names, which the architecture has to have.

    Raises:
        UserError: The architecture has others; the message says which one has these.
    """
    folder = find(config.weights)
    stored = _config(folder)
    resolved = architectures.resolve(config.architecture, **config.model)
    known: dict[str, Any] = SIZES.get(resolved.get("size", ""), {})
    chosen = {**known, **{name: x for name, x in resolved.items() if x is not None}}
    chosen = {"feed_forward": 4 * chosen.get("width", 0), **chosen}
    wrong = {name: n for name, n in stored.hyperparameters().items() if chosen.get(name) != n}
    if wrong:
        if size := stored.size():
            advice = f"the weights of a {size}: choose --architecture {size}"
            advice += " without --model options" if config.architecture == size else ""
        else:
            options = " ".join(f"--model.{name} {n}" for name, n in wrong.items())
            advice = f"no {config.architecture}: add {options}"
        raise UserError(f"{_OPTION} {config.weights} has {advice}")
    if config.context > stored.max_length:
        raise UserError(
            f"--context must be at most {stored.max_length}, the positions of {config.weights}, "
            f"not {config.context}"
        )
    return stored


def load(model: keras.Model, weights: str) -> None:
    """Loads pre-trained weights into a decoder of their `sizes`.

    Raises:
        UserError: A file or a tensor is missing, superfluous or damaged.
    """
    try:
        decoder_checkpoints.load(model, find(weights))
    except ValueError as error:
        raise UserError(f"{_OPTION}: {error}") from error


def write(model: keras.Model, tokenizer: BytePairTokenizer, folder: Path) -> None:
    """Writes a decoder and its byte pairs as a Hugging Face directory."""
    folder.mkdir()
    decoder_checkpoints.save(model, folder, end=tokenizer.ids.end)
    byte_pair_files.write(tokenizer, folder)


def _config(folder: Path) -> DecoderConfig:
    try:
        return decoder_checkpoints.read_config(folder)
    except ValueError as error:
        raise UserError(f"{_OPTION}: {error}") from error
