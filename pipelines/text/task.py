"""Tasks that read text, with an encoder from scratch, from elsewhere, or from an own run."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import keras_hub
import mlflow
import numpy as np
import tensorflow as tf

import architectures
from architectures import checkpoints
from architectures.bert import transformer_layers
from pipelines.config import TextConfig
from pipelines.errors import UserError
from pipelines.export.saved_model import Signature
from pipelines.run import Task
from pipelines.text.tokenizers import SPECIAL, WordPieces, Words, learn_word_pieces
from pipelines.tracking import run_id

FOLDER = "encoder"
_VOCABULARY = "vocab.txt"
_WITH_SEGMENTS = {"albert", "bert", "electra"}


class TextTask(Task):
    """What tasks on text share: tokenizer, encoder, and the entries of the SavedModel.

    Attributes:
        reads_text: Whether the artefact has an entry for strings.
    """

    reads_text = True
    _encoder: keras_hub.models.Backbone | None = None
    _vocabulary: Sequence[str] = ()

    def choose(self, config: TextConfig) -> None:
        """Takes note of the choices that later steps need.

        Raises:
            UserError: An encoder or layers to freeze are named for a network without them.
        """
        self.reads_text = config.text_signature
        if not is_encoder(config.architecture):
            for option in ("encoder", "freeze_layers"):
                if getattr(config, option):
                    raise UserError(
                        f"--{option} needs an architecture of BERT's family, "
                        f"not {config.architecture}"
                    )

    def words(self, config: TextConfig, texts: np.ndarray) -> Words:
        """Returns a tokenizer with a vocabulary of the words in `texts`, str [texts]."""
        return self._noted(Words(texts, config.vocabulary, config.max_length))

    def word_pieces(
        self, config: TextConfig, texts: np.ndarray, *, lowercase: bool = True
    ) -> WordPieces:
        """Returns a tokenizer with the encoder's vocabulary, or one learned from `texts`.

        Args:
            config: The choices.
            texts: str [texts], of the training split.
            lowercase: Whether what is learned is in lower case and without accents.

        Raises:
            UserError: The encoder's vocabulary cannot be read.
        """
        if config.encoder:
            vocabulary = read_vocabulary(find(config.encoder))
        else:
            vocabulary = learn_word_pieces(texts, config.vocabulary, lowercase=lowercase)
        segments = is_encoder(config.architecture) and family(config.architecture) in _WITH_SEGMENTS
        return self._noted(WordPieces(vocabulary, config.max_length, segments=segments))

    def _noted(self, tokenizer):
        self._vocabulary = tokenizer.vocabulary
        return tokenizer

    def head(
        self,
        config: TextConfig,
        vocabulary: int,
        head: Callable[..., keras.Model],
        options: Collection[str] = (),
        **given: Any,
    ) -> keras.Model:
        """Returns a head on the encoder that was chosen: pre-trained or from scratch.

        Args:
            config: The choices; hyperparameters that are not the head's are the encoder's.
            vocabulary: Number of tokens.
            head: One of `architectures.heads`.
            options: Those of its hyperparameters that may be chosen.
            **given: Those that follow from the data set.

        Raises:
            UserError: The choice cannot be built or does not fit the checkpoint.
        """
        own = {option: config.model[option] for option in options if option in config.model}
        others = {option: v for option, v in config.model.items() if option not in own}
        try:
            if not config.encoder:
                others.setdefault("max_length", config.max_length)
                encoder = architectures.build(config.architecture, vocabulary=vocabulary, **others)
            elif others:
                option = next(iter(others))
                raise UserError(f"--model.{option} cannot be chosen: it follows from the encoder")
            else:
                encoder = read(find(config.encoder), family(config.architecture))
            model = head(encoder, **given, **own)
        except ValueError as error:
            raise UserError(str(error)) from error
        if encoder.max_sequence_length < config.max_length:
            raise UserError(
                f"--max_length must be at most the encoder's {encoder.max_sequence_length}, "
                f"not {config.max_length}"
            )
        freeze(encoder, config.freeze_layers)
        self._encoder = encoder
        return model

    def augment(self, config: TextConfig) -> Callable[[Any, Any], tuple[Any, Any]] | None:
        """Hides tokens behind [UNK], but never those that hold a text together.

        Iyyer et al., "Deep Unordered Composition Rivals Syntactic Methods for Text
        Classification", 2015, section 3.1, where hidden words are left out instead.
        """
        if not config.word_dropout:
            return None
        random, vocabulary = keras.random.SeedGenerator(config.recipe.seed), self._vocabulary
        unknown = vocabulary.index("[UNK]")
        kept = [i for i, token in enumerate(vocabulary) if token in SPECIAL or not token]

        def hide(inputs, target):
            ids = inputs["token_ids"]
            chosen = keras.random.uniform(tf.shape(ids), seed=random) < config.word_dropout
            plain = tf.reduce_all(ids[..., tf.newaxis] != tf.constant(kept, ids.dtype), -1)
            return {**inputs, "token_ids": tf.where(chosen & plain, unknown, ids)}, target

        return hide

    def artifacts(self, model: keras.Model, data: Any) -> Mapping[str, Callable[[Path], None]]:
        """The trained encoder, for another run's `--encoder runs:/ID`."""
        encoder = self._encoder
        if encoder is None:
            return {}
        return {FOLDER: lambda folder: write(encoder, data.tokenizer.vocabulary, folder)}

    def token_signature(
        self,
        model: keras.Model,
        answer: Callable[[dict[str, tf.Tensor]], dict[str, tf.Tensor]],
        inputs: Mapping[str, np.ndarray],
        expected: Mapping[str, np.ndarray],
        name: str = "token_ids",
    ) -> Signature:
        """Returns the entry that reads token ids, int32 [batch, tokens], with ops of TensorFlow.

        Args:
            model: The trained network.
            answer: From its inputs to answers.
            inputs: A batch of them.
            expected: The Keras model's answers.
            name: The signature's key.
        """

        def token_ids(**given: tf.Tensor) -> dict[str, tf.Tensor]:
            return answer({name: tf.ensure_shape(x, [None, None]) for name, x in given.items()})

        specs = {key: tf.TensorSpec([None, None], tf.int32) for key in model.input}
        return Signature(
            name, _with_arguments(token_ids, list(specs)), specs, dict(inputs), dict(expected)
        )


def _with_arguments(function: Callable, names: list[str]) -> Callable:
    """Gives a function of keywords positional arguments, as exports call it."""
    return lambda *values: function(**dict(zip(names, values, strict=True)))


def dense(inputs: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
    """Pads ragged inputs with zeros to the longest of the batch."""
    return {name: ragged.to_tensor() for name, ragged in inputs.items()}


def is_encoder(architecture: str) -> bool:
    """Returns whether an architecture is of BERT's family."""
    return architectures.get(architecture).kind == "encoder"


def family(architecture: str) -> str:
    """Returns an encoder's family, as "roberta"."""
    return architectures.get(architecture).model_type


def find(uri: str) -> Path:
    """Returns the directory of a pre-trained encoder.

    Args:
        uri: A directory; `runs:/ID`, a run of a text pipeline with an encoder; or
            `models:/NAME@ALIAS` or `models:/NAME/VERSION`, a model that such a run registered.

    Raises:
        UserError: There is none.
    """
    if not uri.startswith(("runs:/", "models:/")):
        folder = Path(uri).expanduser()
        if not (folder / "config.json").exists():
            raise UserError(f"--encoder {uri} is no directory with a config.json")
        return folder
    try:
        return Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id(uri)}/{FOLDER}"))
    except (mlflow.MlflowException, OSError, ValueError) as error:
        raise UserError(f"--encoder {uri} leads to no run that kept an encoder") from error


def read(folder: Path, wanted: str) -> keras_hub.models.Backbone:
    """Returns the encoder in a directory, of Hugging Face's format or written by `write`.

    Raises:
        UserError: It is of another family than `wanted`.
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
    if found != wanted:
        raise UserError(f"the encoder is a {found}; choose an architecture of its family")
    if "model_type" in config:
        return checkpoints.load(folder)
    try:
        return keras_hub.models.Backbone.from_preset(str(folder))
    except OSError as error:
        raise ValueError(f"the weights in {folder} are missing or damaged") from error


def read_vocabulary(folder: Path) -> list[str]:
    """Returns the WordPiece vocabulary that lies beside an encoder.

    Raises:
        UserError: There is none.
    """
    try:
        # Other characters that end lines may be tokens.
        text = (folder / _VOCABULARY).read_text(encoding="utf-8")
        return text.removesuffix("\n").split("\n")
    except FileNotFoundError:
        raise UserError(f"{folder} has no {_VOCABULARY}, a WordPiece vocabulary") from None


def write(encoder: keras_hub.models.Backbone, vocabulary: list[str], folder: Path) -> None:
    """Writes an encoder with its vocabulary."""
    encoder.save_to_preset(str(folder))
    text = "".join(f"{token}\n" for token in vocabulary)
    (folder / _VOCABULARY).write_text(text, encoding="utf-8")


def freeze(encoder: keras_hub.models.Backbone, count: int) -> None:
    """Keeps an encoder's embeddings and its first `count` layers as they are, if any.

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
