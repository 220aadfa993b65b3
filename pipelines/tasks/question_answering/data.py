"""Questions about a passage, and the span of it that answers: data sets in the form of SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016: features
"context", "question" and "answers", a sequence of "text" and "answer_start" in characters. An
evaluated question may have several answers, of which any is right; the first is trained on.
Questions without an answer (SQuAD 2.0) are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import loading
from pipelines.datasets.columns import ragged_examples
from pipelines.datasets.dataset import SPLITS
from pipelines.errors import UserError
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import Inputs, WordPieces, truncate

_CHUNK = 1024
# The target where the answer was truncated with its passage; the loss ignores it.
IGNORE_ID = -1


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions(TokenizedDataset):
    """Questions about passages.

    Examples are ({"token_ids": int32 [tokens], …}, {"start": int64 [], "end": int64 []}): the
    answer's first and last token. Training questions whose answer was truncated are left out; in
    validation and test their targets are `IGNORE_ID`.

    The columns are UTF-8 "question" and "context", bytes [questions]; "answers", a tuple of bytes
    each; and "spans", int32 [tokens, 2] each, as of `encode`.
    """

    tokenizer: WordPieces


def load(config: TextConfig, make_tokenizer: Callable[[np.ndarray], WordPieces]) -> Questions:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set.
        make_tokenizer: From the training texts, bytes [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, is not in SQuAD's form, or no answer is left in a split.
    """
    source = loading.open_dataset(config)
    _check(source.builder)
    columns = {split: _columns(_rows_of(source, split)) for split in SPLITS}
    return questions(columns, make_tokenizer, **source.identity())


def questions(
    columns: Mapping[str, Mapping[str, np.ndarray]],
    make_tokenizer: Callable[[np.ndarray], WordPieces],
    *,
    name: str,
    version: str,
    digest: str,
) -> Questions:
    """Returns the data set of `columns`, tokenized.

    Args:
        columns: By split, "question", "context" and "answers" as in `Questions`, and
            "answer_start", int [questions], the byte at which the first answer starts.
        make_tokenizer: From the training texts, bytes [texts], to a tokenizer.
        name: Name of the data set.
        version: Its version.
        digest: Its fingerprint.

    Raises:
        UserError: No answer is left in a split.
    """
    train = columns["train"]
    # Several questions are about one passage.
    contexts = np.array(list(dict.fromkeys(train["context"])), object)
    tokenizer = make_tokenizer(np.concatenate([contexts, train["question"]]))
    kept: dict[str, dict[str, np.ndarray]] = {}
    examples: dict[str, tf.data.Dataset] = {}
    for split, own in columns.items():
        inputs, spans = encode_columns(tokenizer, own["question"], own["context"])
        own = {**own, "spans": spans}
        targets = _targets(own)
        found = targets["start"] != IGNORE_ID
        if not found.any():
            raise UserError(f"{name} has no answer within --max_length tokens in its {split} split")
        if split == "train":
            inputs = {key: tf.ragged.boolean_mask(x, found) for key, x in inputs.items()}
            targets, own = ({k: v[found] for k, v in part.items()} for part in (targets, own))
        examples[split] = ragged_examples(inputs, targets)
        kept[split] = {k: own[k] for k in ("question", "context", "answers", "spans")}
    return Questions(
        name=name,
        version=version,
        digest=digest,
        sizes={split: len(own["question"]) for split, own in kept.items()},
        columns=kept,
        tokenizer=tokenizer,
        **examples,
    )


def encode(
    tokenizer: WordPieces, question: tf.Tensor, context: tf.Tensor
) -> tuple[Inputs, tf.RaggedTensor]:
    """Turns questions and passages into what the network reads; training and serving call it.

    [CLS] question [SEP] passage [SEP]: the question is truncated to half of the maximum length, the
    passage to the rest.

    Args:
        tokenizer: It splits texts into words and WordPieces.
        question: string [batch].
        context: string [batch].

    Returns:
        The tokenizer's inputs, ragged int32 [batch, tokens]; and for each token the start and the
        end of its word in the passage, int32 bytes [batch, tokens, 2], the same twice outside the
        passage.
    """
    question_ids = tokenizer.split(question)[:, : tokenizer.max_length // 2 - 2]
    pieces, starts, ends = tokenizer.words(context)
    inputs = tokenizer.pack(question_ids, pieces.merge_dims(1, 2))
    spans = tf.cast(tf.stack([starts.values, ends.values], -1), tf.int32)
    within = pieces.merge_dims(1, 2).with_values(tf.repeat(spans, pieces.values.row_lengths(), 0))
    lengths = inputs["token_ids"].row_lengths()
    kept = truncate(tf.concat([_nowhere(question_ids.row_lengths() + 2), within], 1), lengths - 1)
    return inputs, tf.concat([kept, _nowhere(tf.ones_like(lengths))], 1)


def _nowhere(lengths: tf.Tensor) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(
        tf.zeros([tf.reduce_sum(lengths), 2], tf.int32), lengths
    )


def encode_columns(
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
    """Returns the first and the last token that overlap a part of a passage.

    Args:
        spans: int [tokens, 2], as of `encode`.
        start: The part's first byte.
        end: The byte behind its last.

    Returns:
        `IGNORE_ID` twice where there is none.
    """
    # Tokens outside the passage have empty spans.
    touched = np.flatnonzero(np.maximum(spans[:, 0], start) < np.minimum(spans[:, 1], end))
    return (int(touched[0]), int(touched[-1])) if len(touched) else (IGNORE_ID, IGNORE_ID)


def _targets(columns: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = []
    for spans, start, answers in zip(
        columns["spans"], columns["answer_start"], columns["answers"], strict=True
    ):
        end = start + len(answers[0].rstrip())
        whole = end <= spans[:, 1].max()
        found.append(tokens_of(spans, start, end) if whole else (IGNORE_ID, IGNORE_ID))
    starts, ends = np.array(found, np.int64).T
    return {"start": starts, "end": ends}


def _columns(every: Iterator[dict[str, Any]]) -> dict[str, np.ndarray]:
    rows = [row for row in every if row["answers"]]
    columns = {name: np.empty(len(rows), object) for name in ("question", "context", "answers")}
    starts = np.empty(len(rows), np.int64)
    for number, row in enumerate(rows):
        for name, column in columns.items():
            column[number] = row[name]
        starts[number] = len(row["context"].decode()[: row["answer_start"]].encode())
    return {**columns, "answer_start": starts}


def _rows_of(source: loading.Source, split: str) -> Iterator[dict[str, Any]]:
    decoders = tfds.decode.PartialDecoding(
        {"question": True, "context": True, "answers": {"text", "answer_start"}}
    )
    for row in source.read(split, decoders=decoders).as_numpy_iterator():
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
