"""Decoded training examples on disk, for data sets that are larger than memory.

A folder of `--cache` has one for each data set and way of decoding it: its name has a digest of the
data's digest, of what examples look like, of the options that say how they are read, and of
TensorFlow's version. It is written under another name, which begins with a dot, and renamed when
it is whole, so that one half written is never read. Before one is read, its first examples are
compared with those of the data set.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf

from pipelines.config import Config
from pipelines.datasets.dataset import Dataset
from pipelines.errors import UserError, disk_is_full
from pipelines.training import batching

DataT = TypeVar("DataT", bound=Dataset)

# Options of all pipelines that say how examples are read; a task's own all may.
_READING = ("dataset", "max_examples", "skip_bad", "split_seed", "separator", "encoding")
# Options of tasks that are for what is done with an example that was read.
_AFTER = ("augmentation", "word_dropout", "token_cutoff")
# Examples of which one that was kept is compared with one that is read.
_COMPARED = 4


def kept(data: DataT, config: Config) -> DataT:
    """Returns the data set with its training examples on disk, where they are written if need be.

    Those that are in memory anyway, or that every epoch draws anew, stay as they are.

    Args:
        data: The data set.
        config: Has the folder; without one nothing is kept.

    Raises:
        UserError: The folder cannot be written.
    """
    if not config.cache or data.example_bytes is None or batching.is_small(data):
        return data
    folder = Path(config.cache).expanduser().resolve() / f"{data.name}-{_key(data, config)}"
    try:
        if not (folder.is_dir() and _fits(folder, data)):
            _write(data.train, folder)
    except (OSError, tf.errors.OpError) as error:
        reason = "the disk is full" if disk_is_full(error) else str(error).partition("\n")[0]
        raise UserError(f"--cache {config.cache} cannot be used: {reason}") from error
    note = f"training examples are read, decoded, from {folder}"
    return replace(data, train=_read(folder, data), notes=(*data.notes, note))


def _key(data: Dataset, config: Config) -> str:
    """Returns 16 hexadecimal digits of all that training examples follow from."""
    others = {field.name for field in fields(Config)} - set(_READING) | set(_AFTER)
    options = {x.name: getattr(config, x.name) for x in fields(config) if x.name not in others}
    about = [data.name, data.version, data.digest, data.sizes["train"], tf.__version__]
    about += [repr(data.train.element_spec), options]
    return hashlib.sha256(json.dumps(about, default=repr).encode()).hexdigest()[:16]


def _write(examples: tf.data.Dataset, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as scratch:
        examples.save(f"{scratch}/examples")
        shutil.rmtree(folder, ignore_errors=True)
        Path(scratch, "examples").rename(folder)


def _read(folder: Path, data: Dataset) -> tf.data.Dataset:
    examples = tf.data.Dataset.load(str(folder), data.train.element_spec)
    return examples.apply(tf.data.experimental.assert_cardinality(data.sizes["train"]))


def _fits(folder: Path, data: Dataset) -> bool:
    """Returns whether the first examples on disk are those of the data set."""
    try:
        first = list(islice(_read(folder, data).as_numpy_iterator(), _COMPARED))
    except Exception:  # TensorFlow raises whatever it stumbles over.
        return False
    wanted = list(islice(data.train.as_numpy_iterator(), _COMPARED))
    pairs = zip(tf.nest.flatten(first), tf.nest.flatten(wanted), strict=False)
    return len(first) == len(wanted) and all(np.array_equal(one, other) for one, other in pairs)
