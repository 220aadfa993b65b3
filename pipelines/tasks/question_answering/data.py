"""Questions about a passage, and the span of it that answers: sets in the form of SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016: features
"context", "question" and "answers", a sequence of "text" and "answer_start" in characters. An
evaluated question may have several answers, of which any is right; trained is the first. Questions
without an answer (SQuAD 2.0) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.errors import UserError
from pipelines.tasks.text_classification.data import SPLITS, slices
from pipelines.text.config import TextConfig
from pipelines.text.tokenizers import Inputs, WordPieces, truncate

_CHUNK = 1024
# The target where the answer was cut off with the end of its passage: nothing is learned from it.
CUT_OFF = -1


@dataclass(frozen=True)
class Questions:
    """A data set of questions.

    Attributes:
        name: TFDS name.
        version: Version of the data set.
        digest: Fingerprint of the prepared files.
        columns: By split, UTF-8 "question" and "context", bytes [questions]; "answers", a tuple of
            bytes each; and "spans", int32 [tokens, 2] each, as of `encode`.
        tokenizer: Its vocabulary is that of the training split, or the encoder's.
        train: ({"token_ids": int32 [tokens], …}, {"start": int64 [], "end": int64 []}) examples,
            unbatched, as the others: the answer's first and last token. Questions whose answer
            was cut off are left out.
        validation: What choices look at; answers that were cut off are `CUT_OFF`, as in test.
        test: What is reported, once.
    """

    name: str
    version: str
    digest: str
    columns: Mapping[str, Mapping[str, np.ndarray]]
    tokenizer: WordPieces
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def sizes(self) -> dict[str, int]:
        """Number of questions in each split."""
        return {split: len(columns["question"]) for split, columns in self.columns.items()}

    @property
    def example_bytes(self) -> int:
        """Nothing to keep: the token ids are in memory already."""
        return 0

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the columns of a split."""
        return dict(self.columns[split])


def load(config: TextConfig, learn: Callable[[np.ndarray], WordPieces]) -> Questions:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        learn: From the training texts, bytes [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, is not in SQuAD's form, or no answer is left in a split.
    """
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    _check(builder)
    chosen = loading.splits(builder)
    asked = {split: _columns(builder, getattr(chosen, split)) for split in SPLITS}
    return questions(
        asked,
        learn,
        name=loading.name(builder),
        version=str(builder.info.version),
        digest=loading.digest(builder),
    )


def questions(
    asked: Mapping[str, Mapping[str, np.ndarray]],
    learn: Callable[[np.ndarray], WordPieces],
    **about: str,
) -> Questions:
    """Returns the data set of what is `asked` in each split.

    Args:
        asked: By split, "question", "context" and "answers" as in `Questions.columns`, and
            "answer_start", int [questions], the byte at which the first answer starts.
        learn: From the training texts, bytes [texts], to a tokenizer.
        **about: `name`, `version` and `digest`.

    Raises:
        UserError: No answer is left in a split.
    """
    train = asked["train"]
    # Passages are asked about again and again.
    contexts = np.array(list(dict.fromkeys(train["context"])), object)
    tokenizer = learn(np.concatenate([contexts, train["question"]]))
    columns: dict[str, dict[str, np.ndarray]] = {}
    examples: dict[str, tf.data.Dataset] = {}
    for split, given in asked.items():
        inputs, spans = encoded(tokenizer, given["question"], given["context"])
        given = {**given, "spans": spans}
        targets = _targets(given)
        found = targets["start"] != CUT_OFF
        if not found.any():
            raise UserError(
                f"{about['name']} has no answer within --max_length tokens in its {split} split"
            )
        if split == "train":
            inputs = {name: tf.ragged.boolean_mask(x, found) for name, x in inputs.items()}
            targets, given = ({k: v[found] for k, v in part.items()} for part in (targets, given))
        examples[split] = slices(inputs, targets)
        columns[split] = {k: given[k] for k in ("question", "context", "answers", "spans")}
    return Questions(columns=columns, tokenizer=tokenizer, **about, **examples)


def encode(
    tokenizer: WordPieces, question: tf.Tensor, context: tf.Tensor
) -> tuple[Inputs, tf.RaggedTensor]:
    """Turns questions and passages into what the network reads; training and serving call it.

    [CLS] question [SEP] passage [SEP]: of a question are kept as many tokens as fill half of the
    length at most, of its passage what fits behind it.

    Args:
        tokenizer: Cuts texts into words and pieces.
        question: string [batch].
        context: string [batch].

    Returns:
        The tokenizer's inputs, ragged int32 [batch, tokens]; and for each token where the passage's
        word that it is of starts and ends, int32 bytes [batch, tokens, 2], the same twice outside
        the passage.
    """
    asked = tokenizer.split(question)[:, : tokenizer.max_length // 2 - 2]
    pieces, starts, ends = tokenizer.words(context)
    inputs = tokenizer.pack(asked, pieces.merge_dims(1, 2))
    spans = tf.cast(tf.stack([starts.values, ends.values], -1), tf.int32)
    within = pieces.merge_dims(1, 2).with_values(tf.repeat(spans, pieces.values.row_lengths(), 0))
    lengths = inputs["token_ids"].row_lengths()
    kept = truncate(tf.concat([_nowhere(asked.row_lengths() + 2), within], 1), lengths - 1)
    return inputs, tf.concat([kept, _nowhere(tf.ones_like(lengths))], 1)


def _nowhere(lengths: tf.Tensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(
        tf.zeros([tf.reduce_sum(lengths), 2], tf.int32), lengths
    )


def encoded(
    tokenizer: WordPieces, question: np.ndarray, context: np.ndarray
) -> tuple[Inputs, np.ndarray]:
    """Encodes whole columns, bytes [questions], chunk by chunk; spans int32 [tokens, 2] each."""
    chunks = [
        encode(tokenizer, *(tf.constant(x[i : i + _CHUNK]) for x in (question, context)))
        for i in range(0, len(question), _CHUNK)
    ]
    inputs = {name: tf.concat([chunk[name] for chunk, _ in chunks], 0) for name in chunks[0][0]}
    spans = np.empty(len(question), object)
    rows = (row for _, ragged in chunks for row in _rows(ragged))
    for number, row in enumerate(rows):
        spans[number] = row
    return inputs, spans


def _rows(ragged: tf.RaggedTensor) -> list[np.ndarray]:
    return np.split(ragged.values.numpy(), ragged.row_splits.numpy()[1:-1])


def tokens_of(spans: np.ndarray, start: int, end: int) -> tuple[int, int]:
    """Returns the first and the last token that a piece of a passage, in bytes, has a part in.

    Args:
        spans: int [tokens, 2], as of `encode`.
        start: The piece's first byte.
        end: The byte behind its last.

    Returns:
        `CUT_OFF` twice where there is none.
    """
    # Tokens outside the passage span no bytes at all.
    touched = np.flatnonzero(np.maximum(spans[:, 0], start) < np.minimum(spans[:, 1], end))
    return (int(touched[0]), int(touched[-1])) if len(touched) else (CUT_OFF, CUT_OFF)


def _targets(given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = []
    for spans, start, answers in zip(
        given["spans"], given["answer_start"], given["answers"], strict=True
    ):
        end = start + len(answers[0].rstrip())
        whole = end <= spans[:, 1].max()
        found.append(tokens_of(spans, start, end) if whole else (CUT_OFF, CUT_OFF))
    starts, ends = np.array(found, np.int64).T
    return {"start": starts, "end": ends}


def _columns(builder: tfds.core.DatasetBuilder, split: str) -> dict[str, np.ndarray]:
    rows = [row for row in _rows_of(builder, split) if row["answers"]]
    columns = {name: np.empty(len(rows), object) for name in ("question", "context", "answers")}
    starts = np.empty(len(rows), np.int64)
    for number, row in enumerate(rows):
        for name, column in columns.items():
            column[number] = row[name]
        starts[number] = len(row["context"].decode()[: row["answer_start"]].encode())
    return {**columns, "answer_start": starts}


def _rows_of(builder: tfds.core.DatasetBuilder, split: str) -> Iterator[dict[str, Any]]:
    decoders = tfds.decode.PartialDecoding(
        {"question": True, "context": True, "answers": {"text", "answer_start"}}
    )
    for row in builder.as_dataset(split=split, decoders=decoders).as_numpy_iterator():
        answers, starts = tuple(row["answers"]["text"]), row["answers"]["answer_start"]
        yield {**row, "answers": answers, "answer_start": int(starts[0]) if answers else 0}


def _check(builder: tfds.core.DatasetBuilder) -> None:
    features = dict(builder.info.features.items())
    answers = dict(getattr(features.get("answers"), "feature", {}))
    if not {"context", "question"} <= set(features) or not {"text", "answer_start"} <= set(answers):
        raise UserError(
            f"{builder.name} has no questions with answers in a context, as squad has; its "
            f"features are: {', '.join(features)}"
        )
