"""Pre-trained encoders: where they are, reading and writing them, and freezing their layers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import keras_hub
import mlflow

import architectures
from architectures import checkpoints
from architectures.bert import transformer_layers
from architectures.electra import electra_of
from pipelines.errors import UserError
from pipelines.run_uri import run_id
from pipelines.text import encoders
from pipelines.text.config import checked_folder, is_encoder, is_reader

FOLDER = "encoder"
_VOCABULARY = "vocab.txt"
_WITH_SEGMENTS = {"albert", "bert", "electra"}


def family(architecture: str) -> str:
    """Returns an encoder's family, as "roberta"."""
    return architectures.get(architecture).model_type


def reads_segments(architecture: str) -> bool:
    """Returns whether an architecture is an encoder, or a reader, that reads "segment_ids"."""
    if is_reader(architecture):
        return True
    return is_encoder(architecture) and family(architecture) in _WITH_SEGMENTS


def find(uri: str, option: str = "--encoder", artifact: str = FOLDER) -> Path:
    """Returns the directory of a pre-trained network.

    Args:
        uri: A directory; `builtin:NAME`, an encoder of `encoders/`; `runs:/ID`, a run of a text
            pipeline with an encoder; or `models:/NAME@ALIAS` or `models:/NAME/VERSION`, a model
            that such a run registered.
        option: The option that chooses it, for errors.
        artifact: The run's artifact that holds it.

    Raises:
        UserError: There is none.
    """
    if uri.startswith(encoders.PREFIX):
        return encoders.find(uri, option)
    if not uri.startswith(("runs:/", "models:/")):
        return checked_folder(uri, option)
    try:
        return Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id(uri)}/{artifact}"))
    except UserError as error:
        raise UserError(f"{option} {error}") from error
    except (mlflow.MlflowException, OSError, ValueError) as error:
        raise UserError(f"{option} {uri} has no saved {artifact}") from error


def read(folder: Path, wanted: str) -> keras_hub.models.Backbone:
    """Returns the encoder in a directory, of Hugging Face's format or written by `write`.

    Raises:
        UserError: It is of another family than `wanted`; BERT may become an ELECTRA.
        ValueError: A file is missing or damaged.
    """
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"config.json in {folder} is not JSON: {error}") from None
    if "model_type" in config:
        found = config["model_type"]
    else:
        found = str(config.get("class_name", "")).removesuffix("Backbone").lower().replace("_", "")
    if found != wanted and (found, wanted) != ("bert", "electra"):
        raise UserError(f"the encoder is a {found}; choose an architecture of its family")
    if "model_type" in config:
        encoder = checkpoints.load(folder)
    else:
        try:
            encoder = keras_hub.models.Backbone.from_preset(str(folder))
        except OSError as error:
            raise ValueError(f"the weights in {folder} are missing or damaged") from error
    return encoder if found == wanted else electra_of(encoder)


def read_vocabulary(folder: Path) -> list[str]:
    """Returns the WordPiece vocabulary in an encoder's directory.

    Raises:
        UserError: There is none.
    """
    try:
        # Other characters that end lines may be tokens.
        text = (folder / _VOCABULARY).read_text(encoding="utf-8")
        return text.removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise UserError(f"{folder} has no {_VOCABULARY}, a WordPiece vocabulary") from None


def write(encoder: keras_hub.models.Backbone, vocabulary: Sequence[str], folder: Path) -> None:
    """Writes an encoder with its vocabulary."""
    encoder.save_to_preset(str(folder))
    text = "".join(f"{token}\n" for token in vocabulary)
    (folder / _VOCABULARY).write_text(text, encoding="utf-8")


def freeze(encoder: keras_hub.models.Backbone, count: int) -> None:
    """Freezes an encoder's embeddings and its first `count` layers; 0 freezes nothing.

    Raises:
        UserError: It has fewer layers.
    """
    layers = transformer_layers(encoder)
    if count > len(layers):
        raise UserError(
            f"--freeze_layers must be at most the encoder's {len(layers)} layers, not {count}"
        )
    if not count:
        return
    first = encoder.layers.index(layers[0])
    for layer in [*encoder.layers[:first], *layers[:count]]:
        layer.trainable = False
