"""What tasks on text share: tokenizers, an encoder with a head, word dropout, signatures."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

import keras
import tensorflow as tf

import architectures
from architectures.bert import hyperparameters
from pipelines import stateless
from pipelines.datasets.text_columns import PackedTexts
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.task import Augment, Network, Task
from pipelines.text import pretrained
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import SPECIAL, Characters, WordPieces, Words, train_word_pieces

TextConfigT = TypeVar("TextConfigT", bound=TextConfig)
TextDataT = TypeVar("TextDataT", bound=TokenizedDataset)

# The id of [PAD].
_PADDING = 0


class TextTask(Task[TextConfigT, TextDataT]):
    """A task on text; its network is one over words or an encoder of BERT's family with a head."""

    def words(self, texts: PackedTexts) -> Words:
        """Returns a tokenizer whose vocabulary is the words of the training texts, str [texts]."""
        return Words(texts, self.config.vocabulary, self.config.max_length)

    def characters(self, texts: PackedTexts) -> Characters:
        """Returns a tokenizer whose vocabulary is the characters of the training texts."""
        return Characters(texts, self.config.vocabulary, self.config.max_length)

    def word_pieces(self, texts: PackedTexts, *, lowercase: bool = True) -> WordPieces:
        """Returns a tokenizer with the encoder's vocabulary, or one trained on `texts`.

        Args:
            texts: str [texts], of the training split.
            lowercase: Whether a vocabulary that is trained is in lower case and without accents.

        Raises:
            UserError: The encoder's vocabulary cannot be read.
        """
        config = self.config
        if config.encoder:
            vocabulary = pretrained.read_vocabulary(pretrained.find(config.encoder))
        else:
            vocabulary = train_word_pieces(texts, config.vocabulary, lowercase=lowercase)
        segments = pretrained.reads_segments(config.architecture)
        return WordPieces(vocabulary, config.max_length, segments=segments)

    def head(
        self,
        data: TextDataT,
        build_head: Callable[..., keras.Model],
        options: Collection[str] = (),
        **fixed: Any,
    ) -> Network:
        """Returns a head on the encoder of the config, pre-trained or from scratch.

        Args:
            data: The data set; the encoder's vocabulary is its tokenizer's.
            build_head: From an encoder to a network with logits, as in `architectures.heads`.
            options: Those of the head's hyperparameters that may be chosen; all others in
                `config.model` are the encoder's.
            **fixed: Hyperparameters of the head that follow from the data set.

        Returns:
            The network, and its encoder as the part "encoder".

        Raises:
            UserError: The choice cannot be built or does not fit the checkpoint.
        """
        config = self.config
        own = {option: config.model[option] for option in options if option in config.model}
        others = {option: v for option, v in config.model.items() if option not in own}
        try:
            if not config.encoder:
                others.setdefault("max_length", config.max_length)
                vocabulary = len(data.tokenizer.vocabulary)
                encoder = architectures.build(config.architecture, vocabulary=vocabulary, **others)
            elif others:
                option = next(iter(others))
                raise UserError(
                    f"--model.{option} cannot be chosen: it follows from the encoder "
                    f"{config.encoder}; without one, --encoder '', training starts from scratch"
                )
            else:
                folder = pretrained.find(config.encoder)
                encoder = pretrained.read(folder, pretrained.family(config.architecture))
            model = build_head(encoder, **fixed, **own)
        except ValueError as error:
            raise UserError(str(error)) from error
        if encoder.max_sequence_length < config.max_length:
            raise UserError(
                f"--max_length must be at most the encoder's {encoder.max_sequence_length}, "
                f"not {config.max_length}"
            )
        pretrained.freeze(encoder, config.freeze_layers)
        defaults = inspect.signature(build_head).parameters
        head = {option: own.get(option, defaults[option].default) for option in options}
        return Network(model, {"encoder": encoder}, {**hyperparameters(encoder), **head})

    def augment(self, data: TextDataT) -> Augment | None:
        """Drops random words and tokens, but no special ones; targets stay as they are.

        Word dropout replaces tokens with [UNK] (Iyyer et al., "Deep Unordered Composition Rivals
        Syntactic Methods for Text Classification", 2015, section 3.1, where dropped words are left
        out instead). Token cutoff hides them from attention, as padding is, in their places (Shen
        et al., "A Simple but Tough-to-Beat Data Augmentation Approach for Natural Language
        Understanding and Generation", 2020, where their embeddings become zero).
        """
        config, vocabulary = self.config, data.tokenizer.vocabulary
        if not config.word_dropout and not config.token_cutoff:
            return None
        unknown = vocabulary.index("[UNK]")
        special = [i for i, token in enumerate(vocabulary) if token in SPECIAL or not token]

        def drop(
            inputs: dict[str, tf.Tensor], target: Any, seeds: tf.Tensor
        ) -> tuple[dict[str, tf.Tensor], Any]:
            ids = inputs["token_ids"]
            plain = tf.reduce_all(ids[..., tf.newaxis] != tf.constant(special, ids.dtype), -1)
            changed = dict(inputs)
            if config.word_dropout:
                chosen = stateless.uniform(seeds, tf.shape(ids)[1:]) < config.word_dropout
                changed["token_ids"] = tf.where(chosen & plain, unknown, ids)
            if config.token_cutoff:
                drawn = stateless.uniform(stateless.stream(seeds, 1), tf.shape(ids)[1:])
                cut = (drawn < config.token_cutoff) & plain
                changed["token_ids"] = tf.where(cut, _PADDING, changed["token_ids"])
                changed["padding_mask"] = tf.where(cut, 0, inputs["padding_mask"])
            return changed, target

        return drop

    def signature_pair(self, strings: Signature, token_ids: Signature) -> list[Signature]:
        """Returns both signatures, or without `text_signature` the one for token ids alone."""
        return [strings, token_ids] if self.config.text_signature else [token_ids]

    def artifacts(self, network: Network, data: TextDataT) -> Mapping[str, Callable[[Path], None]]:
        """Returns the trained encoder, for another run's `--encoder runs:/ID`."""
        encoder = network.parts.get("encoder")
        if encoder is None:
            return {}
        vocabulary = data.tokenizer.vocabulary
        return {pretrained.FOLDER: lambda folder: pretrained.write(encoder, vocabulary, folder)}
