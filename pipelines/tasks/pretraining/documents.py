"""Documents to pre-train on: sentences in their order, document by document.

From a TFDS set, a feature `sentences`, a sequence of texts, is taken as it is. Else the feature
`text` is cut into sentences, as of `wiki40b/en`: its markers of articles, sections and paragraphs
go, and so do the headings. A class label, where the set has one, is what layers are probed for.
The sentences are held in memory, and so are their tokens.

Own text: FOLDER/train.txt, FOLDER/validation.txt and FOLDER/test.txt, or folders of these names
full of .txt files. A line is a sentence or a paragraph; a blank line ends a document, and so does
the end of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow_datasets as tfds

from pipelines.config import Config
from pipelines.datasets import loading
from pipelines.errors import UserError
from pipelines.text.sentences import split_sentences

SPLITS = ("train", "validation", "test")
_MARKER = "_START_"
_PARAGRAPH = "_START_PARAGRAPH_"
_NEWLINE = "_NEWLINE_"


@dataclass(frozen=True)
class Documents:
    """Documents in three splits.

    Attributes:
        name: Name of the set.
        version: Its version.
        digest: Fingerprint of its files.
        sentences: By split, the sentences of each document.
        labels: By split, int64 [documents]; zeros where documents have no label.
        class_names: In the order of the labels; empty where documents have none.
    """

    name: str
    version: str
    digest: str
    sentences: Mapping[str, Sequence[Sequence[str]]]
    labels: Mapping[str, np.ndarray]
    class_names: tuple[str, ...]


def load(config: Config) -> Documents:
    """Prepares and opens the data set that `config` names.

    Raises:
        UserError: The set cannot be had, or holds no text.
    """
    folder = Path(config.dataset).expanduser()
    if folder.is_dir() and any(_files(folder, split) for split in SPLITS):
        return _own(folder)
    builder = loading.prepared(
        config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir
    )
    text, label = _features(builder)
    chosen = loading.splits(builder)
    sentences, labels = {}, {}
    for split in SPLITS:
        rows = list(_rows(builder, getattr(chosen, split), (text, *filter(None, [label]))))
        cut = [cut_up(row[text]) for row in rows]
        kept = [number for number, document in enumerate(cut) if document]
        sentences[split] = [cut[number] for number in kept]
        labels[split] = np.array([rows[n][label] if label else 0 for n in kept], np.int64)
    return _checked(
        Documents(
            name=loading.name(builder),
            version=str(builder.info.version),
            digest=loading.digest(builder),
            sentences=sentences,
            labels=labels,
            class_names=tuple(builder.info.features[label].names) if label else (),
        )
    )


def cut_up(document: bytes | np.ndarray) -> list[str]:
    """Returns the sentences of a text, or of an array of sentences as TFDS gives it."""
    if isinstance(document, np.ndarray):
        return [sentence.decode() for sentence in document if sentence.strip()]
    return [
        sentence
        for paragraph in paragraphs(document.decode())
        for sentence in _sentences(paragraph)
    ]


def paragraphs(text: str) -> Iterator[str]:
    """Yields the paragraphs of a text: its lines, or what wiki40b marks as such.

    In wiki40b a marker stands on a line of its own, and the line below is what it says.
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


def _sentences(paragraph: str) -> list[str]:
    return split_sentences(" ".join(paragraph.split()))


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


def _rows(
    builder: tfds.core.DatasetBuilder, split: str, names: Sequence[str]
) -> Iterator[dict[str, Any]]:
    examples = builder.as_dataset(
        split=split, read_config=tfds.ReadConfig(interleave_cycle_length=1)
    )
    yield from examples.map(lambda row: {name: row[name] for name in names}).as_numpy_iterator()


def _own(folder: Path) -> Documents:
    digest = hashlib.sha256()
    sentences: dict[str, list[list[str]]] = {}
    for split in SPLITS:
        files = _files(folder, split)
        if not files:
            raise UserError(
                f"{folder} needs {split}.txt or a folder {split} with .txt files, as it needs "
                "train, validation and test"
            )
        sentences[split] = []
        for file in files:
            content = file.read_bytes()
            digest.update(str(file.relative_to(folder)).encode() + content)
            try:
                lines = content.decode("utf-8-sig").splitlines()
            except UnicodeDecodeError as error:
                raise UserError(f"{file} is not UTF-8: {error.reason}") from error
            stripped = [" ".join(line.split()) for line in lines]
            sentences[split] += [list(group) for full, group in groupby(stripped, bool) if full]
    return _checked(
        Documents(
            name=loading.own_name(folder),
            version="1.0.0",
            digest=digest.hexdigest()[:12],
            sentences=sentences,
            labels={split: np.zeros(len(own), np.int64) for split, own in sentences.items()},
            class_names=(),
        )
    )


def _files(folder: Path, split: str) -> list[Path]:
    file = folder / f"{split}.txt"
    return [*([file] if file.is_file() else []), *sorted((folder / split).glob("*.txt"))]


def _checked(documents: Documents) -> Documents:
    for split, own in documents.sentences.items():
        if not own:
            raise UserError(f"{documents.name} has no text in its {split} split")
    return documents
