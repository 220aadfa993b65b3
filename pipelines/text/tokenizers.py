"""From text to the token ids that a network reads, in the training data and in the served graph.

`Words` splits at white space and around punctuation and looks words up, `Characters` looks up each
character, both with TensorFlow's own ops.
`WordPieces` are BERT's tokens (Devlin et al. 2019), with its [CLS] and [SEP] around them, from a
vocabulary that is trained on the data or a pre-trained encoder's; they need TF-Text's ops. Either
is a function from a batch of strings to inputs, the same in both places. Id 0 is padding.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import keras
import keras_hub
import tensorflow as tf
import tensorflow_text

from pipelines.datasets import in_memory
from pipelines.datasets.columns import strings
from pipelines.datasets.text_columns import PackedTexts
from pipelines.errors import UserError

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# More texts than these take longer and hardly change a vocabulary.
_MAX_TEXTS = 50_000
_CHUNK = 4096
# BERT splits text into words at white space and around punctuation and CJK characters.
_MARKS = (
    r"[!-/:-@\[-`{-~]|\p{P}|[\x{3400}-\x{4DBF}\x{4E00}-\x{9FFF}\x{F900}-\x{FAFF}"
    r"\x{20000}-\x{2A6DF}\x{2A700}-\x{2B73F}\x{2B740}-\x{2CEAF}\x{2F800}-\x{2FA1F}]"
)
_SEPARATORS = rf"[\p{{Z}}\p{{Cc}}\p{{Cf}}]|{_MARKS}"

Inputs = dict[str, tf.RaggedTensor]


class Tokenizer(Protocol):
    """Turns texts into the network's inputs."""

    @property
    def vocabulary(self) -> Sequence[str]:
        """Tokens in the order of their ids."""

    @property
    def resources(self) -> Sequence[Any]:
        """Layers and tables that the graph uses, for the export to track."""

    def __call__(self, *texts: tf.Tensor) -> Inputs:
        """Turns strings [batch], or pairs of them as two such, into ragged int32 [batch, tokens].

        Returns:
            "token_ids", "padding_mask" (1 at real tokens) and, from WordPieces, "segment_ids".
        """


class _LookedUp:
    """Tokens that are looked up in a vocabulary; rare ones share the id of [UNK].

    A text without tokens becomes one of padding, as not every network takes empty sequences.
    """

    def __init__(
        self,
        texts: PackedTexts,
        size: int,
        max_length: int,
        *,
        standardize: Callable[[tf.Tensor], tf.Tensor],
        split: str,
    ) -> None:
        self._layer = keras.layers.TextVectorization(
            max_tokens=size, standardize=standardize, split=split, ragged=True
        )
        self._layer.adapt(strings(texts[:_MAX_TEXTS]), batch_size=_CHUNK)
        self.vocabulary = [str(word) for word in self._layer.get_vocabulary()]
        self.resources = [self._layer]
        self._max_length = max_length

    def __call__(self, *texts: tf.Tensor) -> Inputs:
        joined = tf.strings.join(texts, " ") if len(texts) > 1 else texts[0]
        ids = tf.cast(self._layer(joined), tf.int32)[:, : self._max_length]
        padding = tf.RaggedTensor.from_tensor(
            tf.zeros([ids.nrows(), 1], tf.int32), lengths=tf.cast(ids.row_lengths() == 0, tf.int64)
        )
        return {
            "token_ids": tf.concat([ids, padding], axis=1),
            "padding_mask": tf.concat([tf.ones_like(ids), padding], axis=1),
        }


class Words(_LookedUp):
    """Words in lower case and punctuation marks."""

    def __init__(self, texts: PackedTexts, size: int, max_length: int) -> None:
        """Uses the most frequent words of `texts`, str [texts], at most `size` tokens in all."""
        super().__init__(texts, size, max_length, standardize=_spaced, split="whitespace")


class Characters(_LookedUp):
    """Characters in lower case, runs of white space as one space, and a space at both ends.

    The spaces tell n-grams and filters where a text, as a word, begins and ends.
    """

    def __init__(self, texts: PackedTexts, size: int, max_length: int) -> None:
        """Uses the most frequent characters of `texts`, str [texts], at most `size` in all."""
        super().__init__(texts, size, max_length, standardize=_framed, split="character")


def are_single_words(texts: PackedTexts) -> bool:
    """Returns whether texts, str [texts], are single words, but for one in twenty at most."""
    return sum(len(text.split()) > 1 for text in texts) * 20 <= len(texts)


def _framed(texts: tf.Tensor) -> tf.Tensor:
    lowered = tf.strings.lower(_with_plain_space(texts), encoding="utf-8")
    return tf.strings.regex_replace(tf.strings.join([" ", lowered, " "]), r"\s+", " ")


def _spaced(texts: tf.Tensor) -> tf.Tensor:
    lowered = tf.strings.lower(_with_plain_space(texts), encoding="utf-8")
    return tf.strings.regex_replace(lowered, r"([^\p{L}\p{M}\p{N}\s])", r" \1 ")


def _with_plain_space(texts: tf.Tensor) -> tf.Tensor:
    """Replaces all white space and control characters with spaces.

    TensorFlow's ops know white space of ASCII only, and TF-Text's read up to the first zero byte.
    """
    return tf.strings.regex_replace(texts, r"[\p{Z}\p{Cc}]", " ")


class WordPieces:
    """BERT's tokens: [CLS] text [SEP], or [CLS] first [SEP] second [SEP].

    A vocabulary without capital letters reads texts in lower case and without accents.
    """

    def __init__(
        self, vocabulary: Sequence[str], max_length: int, *, segments: bool = True
    ) -> None:
        """Uses `vocabulary` as it is; `segments` says whether the network reads "segment_ids".

        Raises:
            UserError: It lacks a special token, or its first is not [PAD].
        """
        if missing := set(SPECIAL) - set(vocabulary):
            raise UserError(f"the vocabulary lacks {', '.join(sorted(missing))}")
        if vocabulary[0] != "[PAD]":
            raise UserError(f"the vocabulary's first token must be [PAD], not {vocabulary[0]!r}")
        self.vocabulary = list(vocabulary)
        self.lowercase = is_lowercase(vocabulary)
        self._tokenizer = keras_hub.models.BertTokenizer(
            vocabulary=self.vocabulary, lowercase=self.lowercase, strip_accents=self.lowercase
        )
        self.resources = [self._tokenizer]
        self.max_length = max_length
        self.segments = segments
        # Outside a graph keras_hub returns lists.
        self.split = tf.function(self._tokens, reduce_retracing=True)

    def _tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return self._tokenizer(_with_plain_space(texts))

    def __call__(self, *texts: tf.Tensor) -> Inputs:
        return self.pack(*(self.split(text) for text in texts))

    def pieces(self, words: tf.RaggedTensor) -> tf.RaggedTensor:
        """Returns the tokens of each word, at least one: [batch, words] to [batch, words, tokens].

        Words without a token, as a lone control character, become [UNK].
        """
        split = self.split(words.flat_values)
        unknown = tf.fill(
            [split.nrows(), 1], tf.cast(self._tokenizer.token_to_id("[UNK]"), split.dtype)
        )
        missing = tf.cast(split.row_lengths() == 0, tf.int64)
        split = tf.concat([split, tf.RaggedTensor.from_tensor(unknown, lengths=missing)], axis=1)
        return words.with_flat_values(split)

    def words(self, texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
        """Splits strings [batch] into words, and these into tokens.

        Words are split before lower case and removed accents change lengths, so that their
        positions are those in the original text.

        Returns:
            The words' tokens, int32 [batch, words, tokens]; and the start and end of each word in
            the text's UTF-8, int64 bytes [batch, words].
        """
        words, starts, ends = _split(texts, _SEPARATORS, _MARKS)
        return self.pieces(words), starts, ends

    def pack(self, *segments: tf.RaggedTensor) -> Inputs:
        """Puts [CLS] before the first segment, int32 [batch, tokens], and [SEP] behind each.

        Pairs longer than the maximum length are truncated: the last segment first, the others only
        if they do not fit by themselves.
        """
        kept, batch = [], segments[0].nrows()
        available = tf.fill([batch], tf.constant(self.max_length - 1 - len(segments), tf.int64))
        for segment in segments:
            lengths = tf.minimum(segment.row_lengths(), available)
            available -= lengths
            kept.append(truncate(segment, lengths))
        separator = self._column(self._tokenizer.sep_token_id, batch)
        parts = [self._column(self._tokenizer.cls_token_id, batch)]
        numbers = [tf.zeros_like(parts[0])]
        for number, segment in enumerate(kept):
            parts += [segment, separator]
            numbers += [tf.ones_like(part) * number for part in (segment, separator)]
        ids = tf.concat(parts, axis=1)
        inputs = {"token_ids": ids, "padding_mask": tf.ones_like(ids)}
        return inputs | {"segment_ids": tf.concat(numbers, axis=1)} if self.segments else inputs

    @staticmethod
    def _column(token: int, batch: tf.Tensor) -> tf.RaggedTensor:
        return tf.RaggedTensor.from_tensor(tf.fill([batch, 1], tf.constant(token, tf.int32)))


def split_words(
    texts: tf.Tensor, *, punctuation_apart: bool
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """Splits texts, string [batch], at white space and control characters.

    Args:
        texts: UTF-8.
        punctuation_apart: Whether each punctuation mark is a word of its own.

    Returns:
        Words, and their starts and ends in the text, int64, in bytes; each [batch, words].
    """
    space, marks = r"[\p{Z}\p{Cc}]+", r"[!-/:-@\[-`{-~]|\p{P}"
    return _split(texts, *((f"{space}|{marks}", marks) if punctuation_apart else (space, "")))


def _split(
    texts: tf.Tensor, separators: str, kept: str
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    # The op stops at the first zero byte.
    texts = tf.strings.regex_replace(texts, r"\x00", " ")
    return tensorflow_text.regex_split_with_offsets(texts, separators, kept)


def truncate(segment: tf.RaggedTensor, lengths: tf.Tensor) -> tf.RaggedTensor:
    """Truncates each row to its number in `lengths`, int64 [batch]."""
    starts = segment.row_starts()
    kept = tf.ragged.range(starts, starts + tf.minimum(segment.row_lengths(), lengths))
    return kept.with_values(tf.gather(segment.values, kept.values))


def train_word_pieces(texts: PackedTexts, size: int, *, lowercase: bool = True) -> list[str]:
    """Trains a WordPiece vocabulary of about `size` tokens on `texts`, str [texts]."""
    return keras_hub.tokenizers.compute_word_piece_vocabulary(
        tf.data.Dataset.from_tensor_slices(strings(texts[:_MAX_TEXTS]))
        .batch(_CHUNK)
        .map(_with_plain_space),
        vocabulary_size=size,
        lowercase=lowercase,
        strip_accents=lowercase,
        reserved_tokens=list(SPECIAL),
    )


def is_lowercase(vocabulary: Sequence[str]) -> bool:
    """Returns whether no token of a vocabulary has a capital letter, special tokens aside."""
    return not any(token != token.lower() for token in vocabulary if token not in SPECIAL)


def dense(inputs: Mapping[str, tf.RaggedTensor]) -> dict[str, tf.Tensor]:
    """Pads ragged inputs with zeros to the longest of the batch."""
    return {name: ragged.to_tensor() for name, ragged in inputs.items()}


def tokenize(tokenizer: Tokenizer, *texts: PackedTexts) -> dict[str, tf.RaggedTensor]:
    """Returns the inputs for whole columns of texts, str [texts], chunk by chunk."""
    return in_memory.joined(
        tokenizer(*(strings(column[start : start + _CHUNK]) for column in texts))
        for start in range(0, len(texts[0]), _CHUNK)
    )
