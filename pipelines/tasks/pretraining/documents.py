"""Documents for pre-training: sentences in their order, document by document.

Of a TFDS set, a feature `sentences`, a sequence of texts, is taken as it is. Otherwise the feature
`text` is split into sentences, without the headings and the markers of articles, sections and
paragraphs that `wiki40b/en` has. A class label, where the set has one, is what layers are probed
for. The sentences are held in memory, and so are their tokens.

Your own text: FOLDER/train.txt, FOLDER/validation.txt and FOLDER/test.txt, or folders of these
names with .txt files. A line is a sentence or a paragraph; a blank line ends a document, and so
does the end of a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

from pipelines.config import Config
from pipelines.datasets import loading
from pipelines.datasets.dataset import SPLITS
from pipelines.errors import UserError
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
        return _load_folder(folder)
    source = loading.open_dataset(config)
    text, label = _features(source.builder)
    names = [name for name in (text, label) if name]
    in_order = tfds.ReadConfig(interleave_cycle_length=1)
    sentences, labels = {}, {}
    for split in SPLITS:
        examples = source.read(split, read_config=in_order)
        chosen = examples.map(lambda row: {name: row[name] for name in names})
        rows = list(chosen.as_numpy_iterator())
        documents = [sentences_of(row[text]) for row in rows]
        kept = [number for number, document in enumerate(documents) if document]
        sentences[split] = [documents[number] for number in kept]
        labels[split] = np.array([rows[n][label] if label else 0 for n in kept], np.int64)
    return _checked(
        Documents(
            **source.identity(),
            sentences=sentences,
            labels=labels,
            class_names=tuple(source.builder.info.features[label].names) if label else (),
        )
    )


def first_sentences(documents: Documents, split: str, count: int) -> np.ndarray:
    """Returns sentences of a split, one of each document in turn, str [at most `count`]."""
    own = documents.sentences[split]
    found = [
        document[turn]
        for turn in range(min(count, max(map(len, own))))
        for document in own
        if turn < len(document)
    ]
    return np.array(found[:count], object)


def sentences_of(document: bytes | np.ndarray) -> list[str]:
    """Returns the sentences of a text, or of an array of sentences as TFDS gives it."""
    if isinstance(document, np.ndarray):
        return [sentence.decode() for sentence in document if sentence.strip()]
    return [
        sentence
        for paragraph in paragraphs(document.decode())
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


def _load_folder(folder: Path) -> Documents:
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
            labels={name: np.zeros(len(split), np.int64) for name, split in sentences.items()},
            class_names=(),
        )
    )


def _files(folder: Path, split: str) -> list[Path]:
    file = folder / f"{split}.txt"
    return [*([file] if file.is_file() else []), *sorted((folder / split).glob("*.txt"))]


def _checked(documents: Documents) -> Documents:
    for split, sentences in documents.sentences.items():
        if not sentences:
            raise UserError(f"{documents.name} has no text in its {split} split")
    return documents
