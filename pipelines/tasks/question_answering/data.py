"""Questions about a passage, and the span of it that answers: data sets in the form of SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016: features
"context", "question" and "answers", a sequence of "text" and "answer_start" in characters. An
evaluated question may have several answers, of which any is right; the first is trained on.
Questions without an answer (SQuAD 2.0) are left out, and noted.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import files, in_memory, loading, lookup, split_tables, text_columns
from pipelines.datasets.columns import ragged_examples
from pipelines.datasets.dataset import SPLITS, Content, contents_of_texts
from pipelines.datasets.stored import Stored
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import (
    Builder,
    Numbers,
    PackedTexts,
    PackedValues,
    column_of,
    digests,
    taken,
    texts_of,
    values_of,
)
from pipelines.errors import UserError
from pipelines.tasks.question_answering import own
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import Inputs, WordPieces, truncate

_CHUNK = 1024
# The target where the answer was truncated with its passage; the loss ignores it.
IGNORE_ID = -1
_ENCODED = ("question", "context")
_COLUMNS = ("question", "context", "answers", "answer_start", "spans")


@dataclass(frozen=True, kw_only=True, eq=False)
class Questions(TokenizedDataset):
    """Questions about passages.

    Examples are ({"token_ids": int32 [tokens], …}, {"start": int64 [], "end": int64 []}): the
    answer's first and last token. Training questions whose answer was truncated are left out; in
    validation and test their targets are `IGNORE_ID`.

    The columns are UTF-8 "question" and "context", bytes [questions]; "answers", a tuple of bytes
    each; "answer_start", the byte at which the first of them starts; "spans", int32 [tokens, 2]
    each, as of `encode`; and "block", a number for each passage, by which scores are resampled, as
    questions about one passage are not independent. Numbers are arrays, and so are others unless
    there are many, see `text_columns`.
    """

    tokenizer: WordPieces

    def contents(self, split: str) -> Iterator[Content]:
        columns = self.raw(split)
        return contents_of_texts([columns["question"], columns["context"]])


def load(config: TextConfig, make_tokenizer: Callable[[PackedTexts], WordPieces]) -> Questions:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set: a TFDS name, or the path of own questions, see `squad.py`.
        make_tokenizer: From the training texts, str [texts], to a tokenizer.

    Raises:
        UserError: The set cannot be had, is not in SQuAD's form, or no answer is left in a split.
    """
    if path := lookup.own_path(config.dataset):
        found = own.find(path)
        digest = files.digest(file for parts in found.values() for file in parts)
        identity = loading.own_identity(path, digest, config.max_examples)
        read = split_tables.at_most(own.read_splits(path, found, config), config)
    else:
        source = loading.open_dataset(config)
        _check(source.builder)
        identity = source.identity()
        read = {split: own.with_answers(_table(source, split)) for split in SPLITS}
    return questions(
        {split: columns_of(table) for split, table in read.items()},
        make_tokenizer,
        **identity,
        notes=list(dict.fromkeys(note for table in read.values() for note in table.notes)),
        left_out={split: table.left_out for split, table in read.items()},
    )


def questions(
    columns: Mapping[str, Mapping[str, PackedValues]],
    make_tokenizer: Callable[[PackedTexts], WordPieces],
    *,
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] | None = None,
    **identity: Unpack[loading.Identity],
) -> Questions:
    """Returns the data set of `columns`, tokenized.

    Args:
        columns: By split, "question", "context" and "answers" as in `Questions`, and
            "answer_start", int [questions], the byte at which the first answer starts.
        make_tokenizer: From the training texts, str [texts], to a tokenizer.
        notes: What is worth knowing of it.
        left_out: By split, the number of its questions that are left out.
        **identity: Name, version and digest of the data set, and whose it is.

    Raises:
        UserError: No answer is left in a split.
    """
    tokenizer = make_tokenizer(_texts(columns["train"]))
    kept: dict[str, dict[str, PackedValues]] = {}
    examples: dict[str, tf.data.Dataset] = {}
    notes, left_out = list(notes), dict(left_out or {})
    for split, part in columns.items():
        inputs, targets, part, found = _encoded(tokenizer, part, whole=split != "train")
        truncated = int((~found).sum())
        if truncated:
            outcome = "are left out" if split == "train" else "count as wrong"
            notes.append(
                f"{truncated} of the {len(found)} questions of {split} have their answer beyond "
                f"--max_length tokens; they {outcome}"
            )
        if not found.any():
            name = identity["name"]
            raise UserError(f"{name} has no answer within --max_length tokens in its {split} split")
        if split == "train":
            left_out[split] = left_out.get(split, 0) + truncated
        examples[split] = ragged_examples(inputs, targets)
        passages = digests(part["context"])
        kept[split] = {
            **{name: part[name] for name in _COLUMNS},
            "block": np.unique(passages, return_inverse=True)[1],
        }
    return Questions(
        **identity,
        sizes={split: len(part["question"]) for split, part in kept.items()},
        columns=kept,
        tokenizer=tokenizer,
        notes=tuple(notes),
        left_out={split: number for split, number in left_out.items() if number},
        **examples,
    )


def _texts(columns: Mapping[str, PackedValues]) -> PackedTexts:
    """Returns all passages, each once, as several questions are about one, and all questions."""
    _, firsts = np.unique(digests(columns["context"]), return_index=True)
    contexts = taken(columns["context"], np.sort(firsts))
    texts = itertools.chain(contexts, columns["question"])
    return texts_of(column_of(text.decode() for text in texts))


def _encoded(
    tokenizer: WordPieces, columns: Mapping[str, PackedValues], whole: bool
) -> tuple[Inputs, dict[str, np.ndarray], dict[str, PackedValues], np.ndarray]:
    """Encodes the columns of a split, many questions at a time.

    Args:
        tokenizer: It splits texts into words and WordPieces.
        columns: As `questions` takes them.
        whole: Whether questions whose answer was truncated are kept.

    Returns:
        Of the questions that are kept the inputs, the targets "start" and "end", int64
        [questions], and the columns, "spans" among them; and whether the answer of each was not
        truncated, bool, of all questions.
    """
    spans, found = Builder(), Stored(bool)

    def chunks() -> Iterator[dict[str, tf.Tensor | tf.RaggedTensor]]:
        for start in range(0, len(columns["question"]), _CHUNK):
            own = {name: column[start : start + _CHUNK] for name, column in columns.items()}
            inputs, ragged = encode(tokenizer, *(tf.constant(own[n]) for n in _ENCODED))
            own["spans"] = np.fromiter(_rows(ragged), object, len(own["question"]))
            targets = _targets(own)
            good = targets["start"] != IGNORE_ID
            rows = np.full_like(good, True) if whole else good
            found.append(good)
            spans.append(own["spans"][rows])
            yield {
                **{name: tf.ragged.boolean_mask(x, rows) for name, x in inputs.items()},
                **{name: tf.constant(x[rows]) for name, x in targets.items()},
            }

    inputs = in_memory.joined(chunks())
    targets = {name: inputs.pop(name) for name in ("start", "end")}
    good = found.column()
    rows = np.arange(len(good)) if whole else np.flatnonzero(good)
    kept: dict[str, Any] = {name: taken(column, rows) for name, column in columns.items()}
    return inputs, targets, {**kept, "spans": values_of(spans.column())}, good


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


def columns_of(table: Table) -> dict[str, PackedValues]:
    """Returns the columns that `questions` takes, of a table as of `own.with_answers`."""
    names = ("question", "context", "answers", "start")
    starts = Numbers("q")

    def rows() -> Iterator[dict[str, Any]]:
        for row in zip(*(table.columns[name] for name in names), strict=True):
            question, context, answers, start = row
            starts.append(len(context[:start].encode()))
            found = tuple(answer.encode() for answer in answers)
            yield {"question": question.encode(), "context": context.encode(), "answers": found}

    columns = {name: values_of(column) for name, column in text_columns.columns_of(rows()).items()}
    return {**columns, "answer_start": np.array(starts)}


def _table(source: loading.Source, split: str) -> Table:
    """Returns a split of TFDS as `squad.read` returns a user's own."""
    decoders = tfds.decode.PartialDecoding(
        {"question": True, "context": True, "answers": {"text", "answer_start"}}
    )
    columns = text_columns.columns_of(
        {
            "id": "",
            "question": row["question"].decode(),
            "context": row["context"].decode(),
            "answers": [
                (text.decode(), int(start)) for text, start in _answers(row) if text.strip()
            ],
        }
        for row in source.read(split, decoders=decoders).as_numpy_iterator()
    )
    name = Path(f"{source.builder.name}, {split}")
    return Table(name, columns, range(1, len(columns["id"]) + 1), unit="question")


def _answers(row: Mapping[str, Any]) -> Iterator[tuple[bytes, int]]:
    return zip(row["answers"]["text"], row["answers"]["answer_start"], strict=True)


def _check(builder: tfds.core.DatasetBuilder) -> None:
    features = dict(builder.info.features.items())
    answers = dict(getattr(features.get("answers"), "feature", {}))
    if not {"context", "question"} <= set(features) or not {"text", "answer_start"} <= set(answers):
        raise UserError(
            f"{builder.name} has no questions with answers in a context, as squad has; its "
            f"features are: {', '.join(features)}"
        )
