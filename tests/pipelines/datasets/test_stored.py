"""Columns in memory and in files: the same values, the same batches, and nothing left behind."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from pipelines.cli import parse
from pipelines.datasets import in_memory, stored
from pipelines.datasets.stored import Stored, is_mapped
from pipelines.errors import UserError
from pipelines.run import load
from pipelines.training import batching


@pytest.fixture
def few_bytes(monkeypatch, tmp_path) -> Path:
    """Puts columns of more than a few bytes into a folder."""
    monkeypatch.setattr(stored, "LIMIT", 8)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("shape", [(), (3,)])
def test_a_large_column_is_a_file_without_a_name_with_the_same_values(shape, few_bytes):
    parts = [np.random.default_rng(size).normal(size=(size, *shape)) for size in (0, 2, 5, 1)]
    column = Stored(np.float32, shape)
    for part in parts:
        column.append(part)
    found = column.column()
    assert is_mapped(found)
    assert not any(few_bytes.iterdir())
    np.testing.assert_array_equal(found, np.concatenate(parts).astype(np.float32))
    assert len(column) == len(found) == 8


def test_a_small_column_is_an_array():
    assert stored.stored([np.array([1]), np.array([2, 3])], np.int32).tolist() == [1, 2, 3]
    empty = Stored(np.int32, (2,)).column()
    assert (empty.shape, empty.dtype) == ((0, 2), np.int32)
    assert not is_mapped(empty)


def test_what_is_held_of_a_large_column_does_not_grow_with_it(few_bytes):
    part = np.zeros(1 << 14, np.int64)

    def held(parts: int) -> int:
        tracemalloc.start()
        column = stored.stored((part for _ in range(parts)), np.int64)
        assert column.nbytes == parts * part.nbytes
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    held(1)
    assert held(64) < held(8) + part.nbytes


def test_a_full_disk_is_one_sentence(few_bytes, monkeypatch):
    with Path("/dev/full").open("wb", buffering=0) as full:
        monkeypatch.setattr(tempfile, "TemporaryFile", lambda **_: full)
        with pytest.raises(UserError, match=r"cannot be kept in .*: the disk is full; .* TMPDIR"):
            stored.stored([np.zeros(9)], np.int64)


WORDS = [f"w{number % 7} w{number % 5} w{number}" for number in range(40)]
# The pipeline, its options, and a row of its table.
TABLES = {
    "text_classification": (
        ["--architecture=fasttext"],
        lambda text, n: {"text": text, "text_pair": text[::-1], "label": f"c{n % 2}"},
    ),
    "translation": (
        ["--source_tokens=words", "--target_tokens=words", "--max_length=4"],
        lambda text, n: {"source": text * (1 + n % 2), "target": text[::-1]},
    ),
    "language_modeling": (
        ["--architecture=lstm", "--context=4"],
        lambda text, n: {"text": text},
    ),
    "token_classification": (
        ["--architecture=bilstm"],
        lambda text, n: {"tokens": text.split(), "tags": ["O", "B-X", "I-X"]},
    ),
    "question_answering": (
        ["--architecture=bidaf"],
        lambda text, n: {"question": text, "context": f"{text} é {n}", "answer": f"{n}"},
    ),
    "bert_pretraining": (
        ["--encoder=", "--architecture=bert_tiny", "--max_length=24"],
        lambda text, n: {"text": f"{text}. ".capitalize() * (2 + n % 2)},
    ),
}


@pytest.mark.parametrize("pipeline", TABLES)
def test_batches_of_files_are_those_of_arrays(pipeline, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("table")
    options, row = TABLES[pipeline]
    rows = "".join(json.dumps(row(text, n)) + "\n" for n, text in enumerate(WORDS))
    (folder / "table.jsonl").write_text(rows)
    config = parse([pipeline, f"--dataset={folder}", "--batch_size=8", "--epochs=2", *options])

    def read() -> tuple[list, dict[str, list]]:
        task, data = load(*config)
        batches = list(batching.training_batches(task, data))
        for split in ("train", "validation", "test"):
            batches += list(data.split(split))
        columns = {
            f"{split}{name}": [x.tolist() if isinstance(x, np.ndarray) else x for x in column]
            for split in data.sizes
            for name, column in data.raw(split).items()
        }
        return [part.numpy().tolist() for part in tf.nest.flatten(batches)], {
            **columns,
            "": [data.digest],
        }

    arrays, files = read(), []

    def mapped(column: np.ndarray) -> bool:
        files.append(isinstance(column, np.memmap))
        return files[-1]

    monkeypatch.setattr(stored, "LIMIT", 8)
    monkeypatch.setattr(in_memory, "is_mapped", mapped)
    assert read() == arrays
    # Examples for pre-training are drawn by NumPy, and no tensors.
    assert any(files) or pipeline == "bert_pretraining"
