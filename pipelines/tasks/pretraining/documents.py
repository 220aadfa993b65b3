"""Documents for pre-training: sentences in their order, document by document.

Of a TFDS set, a feature `sentences`, a sequence of texts, is taken as it is. Otherwise the feature
`text` is split into sentences, without the headings and the markers of articles, sections and
paragraphs that `wiki40b/en` has. A class label, where the set has one, is what layers are probed
for.

Your own text is read as `text/documents.py` says. In a text file a line is a sentence or a
paragraph; a blank line ends a document, and so does the end of the file. A row of a table is a
document, and split into sentences.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from pipelines.config import Config
from pipelines.datasets import files, loading, lookup
from pipelines.datasets.dataset import SPLITS
from pipelines.datasets.text_columns import Column, Numbers, column_of
from pipelines.errors import UserError
from pipelines.text import documents
from pipelines.text.sentences import split_sentences

_MARKER = "_START_"
_PARAGRAPH = "_START_PARAGRAPH_"
_NEWLINE = "_NEWLINE_"


@dataclass(frozen=True)
class Documents:
    """Documents in three splits.

    Attributes:
        name: Name of the set.
        version: Version of the set.
        digest: Fingerprint of its files.
        sentences: By split, a list of the sentences of each document, see `text_columns`.
        labels: By split, int64 [documents]; zeros where documents have no label.
        class_names: In the order of the labels; empty where documents have none.
        notes: What is worth knowing, in sentences.
        left_out: By split, the number of files and documents that are left out.
        license: Its license, "" where it is not stated.
        homepage: Where it comes from.
    """

    name: str
    version: str
    digest: str
    sentences: Mapping[str, Column]
    labels: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]
    notes: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    license: str = ""
    homepage: str = ""


def load(config: Config) -> Documents:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, or holds no text.
    """
    if path := lookup.own_path(config.dataset):
        return _own(path, config)
    source = loading.open_dataset(config)
    text, label = _features(source.builder)
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    sentences, labels, left_out = {}, {}, {}
    for split, size in source.sizes().items():
        examples = source.read(split, read_config=in_order)
        sentences[split], labels[split] = _read(examples, text, label)
        left_out[split] = size - len(labels[split])
    return _checked(
        Documents(
            **source.identity(),
            sentences=sentences,
            labels=labels,
            class_names=tuple(source.builder.info.features[label].names) if label else (),
            notes=_notes(left_out),
            left_out=left_out,
        )
    )


def _read(examples: tf.data.Dataset, text: str, label: str) -> tuple[Column, np.ndarray]:
    """Returns the sentences of each document that has some, and its label, or 0."""
    names, labels = [name for name in (text, label) if name], Numbers("q")
    chosen = examples.map(lambda row: {name: row[name] for name in names})

    def found() -> Iterator[list[str]]:
        for row in chosen.as_numpy_iterator():
            if document := sentences_of(row[text]):
                labels.append(row[label] if label else 0)
                yield document

    return column_of(found()), np.array(labels, np.int64)


def first_sentences(source: Documents, split: str, count: int) -> np.ndarray:
    """Returns sentences of a split, one of each document in turn, str [at most `count`]."""
    own = source.sentences[split][:count]
    found = [
        document[turn]
        for turn in range(min(count, max(map(len, own))))
        for document in own
        if turn < len(document)
    ]
    return np.array(found[:count], object)


def lines_of(document: str) -> list[str]:
    """Returns the lines of a document, their words one space apart."""
    return [line for line in (" ".join(line.split()) for line in document.split("\n")) if line]


def sentences_of(document: str | bytes | np.ndarray) -> list[str]:
    """Returns the sentences of a text, or of an array of sentences as TFDS gives it."""
    if isinstance(document, np.ndarray):
        return [sentence.decode() for sentence in document if sentence.strip()]
    text = document if isinstance(document, str) else document.decode()
    return [
        sentence
        for paragraph in paragraphs(text)
        for sentence in split_sentences(" ".join(paragraph.split()))
    ]


def paragraphs(text: str) -> Iterator[str]:
    """Yields the paragraphs of a text: its lines, or what wiki40b marks as such.

    In wiki40b a marker has a line of its own, and the line below it is what it marks.
    """
    lines = text.splitlines()
    if not any(line.startswith(_MARKER) for line in lines):
        yield from filter(str.strip, lines)
        return
    kind = _PARAGRAPH
    for line in lines:
        if line.startswith(_MARKER):
            kind = line.strip()
        elif kind == _PARAGRAPH:
            yield from filter(str.strip, line.split(_NEWLINE))


def _features(builder: tfds.core.DatasetBuilder) -> tuple[str, str]:
    """Returns the names of the text and of the label, "" without one, among the features."""
    features = loading.features(builder)
    sequence = features.get("sentences")
    if isinstance(sequence, tfds.features.Sequence) and isinstance(
        sequence.feature, tfds.features.Text
    ):
        text = "sentences"
    elif isinstance(features.get("text"), tfds.features.Text):
        text = "text"
    else:
        raise UserError(
            f"{builder.name} has no feature text, and no sentences, to pre-train on; its features "
            f"are: {', '.join(features)}"
        )
    labels = [k for k, v in features.items() if isinstance(v, tfds.features.ClassLabel)]
    return text, labels[0] if labels else ""


def _own(path: Path, config: Config) -> Documents:
    own = documents.read(path, config, "pre-training", _between_blank_lines)
    split = sentences_of if own.rows else lines_of
    sentences = {name: column_of(filter(None, map(split, own.texts[name]))) for name in SPLITS}
    empty = {name: len(own.texts[name]) - len(sentences[name]) for name in SPLITS}
    return _checked(
        Documents(
            **loading.own_identity(path, own.digest()),
            sentences=sentences,
            labels={name: np.zeros(len(found), np.int64) for name, found in sentences.items()},
            class_names=(),
            notes=[*own.notes, *_notes(empty)],
            left_out={name: own.left_out[name] + empty[name] for name in SPLITS},
        )
    )


def _notes(empty: Mapping[str, int]) -> list[str]:
    return [
        f"left out: {files.number(count, 'document')} of {split} without text"
        for split, count in empty.items()
        if count
    ]


def _between_blank_lines(text: str) -> list[str]:
    """Returns the documents of a text file."""
    lines = text.split("\n")
    return ["\n".join(group) for full, group in groupby(lines, lambda x: bool(x.strip())) if full]


def _checked(source: Documents) -> Documents:
    for split, sentences in source.sentences.items():
        if not len(sentences):
            raise UserError(f"{source.name} has no text in its {split} split")
    return source
