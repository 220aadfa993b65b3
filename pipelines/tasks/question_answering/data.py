"""Questions about a passage, and the span of it that answers: data sets in the form of SQuAD.

Rajpurkar et al., "SQuAD: 100,000+ Questions for Machine Comprehension of Text", 2016: features
"context", "question" and "answers", a sequence of "text" and "answer_start" in characters. An
evaluated question may have several answers, of which any is right; the first is trained on.
Questions without an answer (SQuAD 2.0) are left out, and noted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.datasets import files, loading, lookup, split_tables
from pipelines.datasets.columns import ragged_examples
from pipelines.datasets.dataset import SPLITS, Content, contents_of_texts
from pipelines.datasets.tables import Table
from pipelines.errors import UserError
from pipelines.tasks.question_answering import own
from pipelines.text.config import TextConfig
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import Inputs, WordPieces, truncate

_CHUNK = 1024
# The target where the answer was truncated with its passage; the loss ignores it.
IGNORE_ID = -1
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
    questions about one passage are not independent.
    """

    tokenizer: WordPieces

    def contents(self, split: str) -> Iterator[Content]:
        columns = self.raw(split)
        return contents_of_texts([columns["question"], columns["context"]])


def load(config: TextConfig, make_tokenizer: Callable[[np.ndarray], WordPieces]) -> Questions:
    """Prepares and opens the data set that `config` names.

    Args:
        config: Names the set: a TFDS name, or the path of own questions, see `squad.py`.
        make_tokenizer: From the training texts, bytes [texts], to a tokenizer.

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
    columns: Mapping[str, Mapping[str, np.ndarray]],
    make_tokenizer: Callable[[np.ndarray], WordPieces],
    *,
    notes: Sequence[str] = (),
    left_out: Mapping[str, int] | None = None,
    **identity: Unpack[loading.Identity],
) -> Questions:
    """Returns the data set of `columns`, tokenized.

    Args:
        columns: By split, "question", "context" and "answers" as in `Questions`, and
            "answer_start", int [questions], the byte at which the first answer starts.
        make_tokenizer: From the training texts, bytes [texts], to a tokenizer.
        notes: What is worth knowing of it.
        left_out: By split, the number of its questions that are left out.
        **identity: Name, version and digest of the data set, and whose it is.

    Raises:
        UserError: No answer is left in a split.
    """
    train = columns["train"]
    # Several questions are about one passage.
    contexts = np.array(list(dict.fromkeys(train["context"])), object)
    tokenizer = make_tokenizer(np.concatenate([contexts, train["question"]]))
    kept: dict[str, dict[str, np.ndarray]] = {}
    examples: dict[str, tf.data.Dataset] = {}
    notes, left_out = list(notes), dict(left_out or {})
    for split, part in columns.items():
        inputs, spans = encode_columns(tokenizer, part["question"], part["context"])
        part = {**part, "spans": spans}
        targets = _targets(part)
        found = targets["start"] != IGNORE_ID
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
            inputs = {key: tf.ragged.boolean_mask(x, found) for key, x in inputs.items()}
            targets, part = ({k: v[found] for k, v in own.items()} for own in (targets, part))
            left_out[split] = left_out.get(split, 0) + truncated
        examples[split] = ragged_examples(inputs, targets)
        kept[split] = {
            **{name: part[name] for name in _COLUMNS},
            "block": np.unique(part["context"], return_inverse=True)[1],
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


def columns_of(table: Table) -> dict[str, np.ndarray]:
    """Returns the columns that `questions` takes, of a table as of `own.with_answers`."""
    columns = {name: np.empty(len(table), object) for name in ("question", "context", "answers")}
    for name in ("question", "context"):
        columns[name][:] = [text.encode() for text in table.columns[name]]
    columns["answers"][:] = [
        tuple(answer.encode() for answer in answers) for answers in table.columns["answers"]
    ]
    places = zip(table.columns["context"], table.columns["start"], strict=True)
    starts = [len(context[:start].encode()) for context, start in places]
    return {**columns, "answer_start": np.array(starts, np.int64)}


def _table(source: loading.Source, split: str) -> Table:
    """Returns a split of TFDS as `squad.read` returns a user's own."""
    decoders = tfds.decode.PartialDecoding(
        {"question": True, "context": True, "answers": {"text", "answer_start"}}
    )
    columns: dict[str, list] = {name: [] for name in ("id", "question", "context", "answers")}
    for row in source.read(split, decoders=decoders).as_numpy_iterator():
        texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
        columns["id"].append("")
        columns["question"].append(row["question"].decode())
        columns["context"].append(row["context"].decode())
        columns["answers"].append(
            [
                (text.decode(), int(start))
                for text, start in zip(texts, starts, strict=True)
                if text.strip()
            ]
        )
    name = Path(f"{source.builder.name}, {split}")
    return Table(name, columns, range(1, len(columns["id"]) + 1), unit="question")


def _check(builder: tfds.core.DatasetBuilder) -> None:
    features = dict(builder.info.features.items())
    answers = dict(getattr(features.get("answers"), "feature", {}))
    if not {"context", "question"} <= set(features) or not {"text", "answer_start"} <= set(answers):
        raise UserError(
            f"{builder.name} has no questions with answers in a context, as squad has; its "
            f"features are: {', '.join(features)}"
        )
