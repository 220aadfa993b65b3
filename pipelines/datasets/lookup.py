"""What `--dataset` names: a user's own files, or the builder of a data set. Needs no TensorFlow."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow_datasets as tfds

from architectures.words import nearest
from pipelines.datasets import catalog
from pipelines.errors import UserError

# Endings that no data set's name has.
_SUFFIXES = {
    *(".csv", ".tsv", ".tab", ".json", ".jsonl", ".ndjson", ".parquet", ".txt"),
    *(".conll", ".conllu", ".bio", ".iob", ".iob2"),
}


def check(dataset: str, data_dir: str = "") -> None:
    """Checks that a name is that of files or of a data set, which may have to be prepared yet.

    Names with a namespace, as `huggingface:squad`, may need a network, and are not looked up.

    Raises:
        UserError: There is neither.
    """
    if dataset and not own_path(dataset) and ":" not in dataset:
        builder(dataset, data_dir)


def builder(name: str, data_dir: str = "") -> tfds.core.DatasetBuilder:
    """Returns the builder of a data set, whose data may not be on disk yet.

    Args:
        name: A data set of `catalog.names()`, a TFDS name with optional config and version
            (`cifar10`, `ag_news_subset/1.0.0`).
        data_dir: Folder of prepared data; empty takes TFDS' default.

    Raises:
        UserError: The data set is unknown.
    """
    foreign, base = catalog.foreign(), _base(name)
    if base in foreign.problems:
        raise UserError(foreign.problems[base])
    try:
        return tfds.builder(name, data_dir=data_dir or None)
    except (AssertionError, ValueError) as error:
        # For a known data set, TFDS says which version or configuration does not exist.
        _, known, reason = str(error).partition('}": ')
        if known:
            raise UserError(f"{name}: {reason.partition('. Here are')[0]}") from error
        own = catalog.names()
        every = [*own, *tfds.list_builders(with_community_datasets=False)]
        raise UserError(
            f"unknown data set {name!r}; {nearest(base, every)}without a network there are: "
            f"{', '.join(own)}; any TFDS name or the path of your own data works too"
        ) from error
    except Exception as error:  # Code of another package may raise anything.
        if base not in foreign.objects:
            raise
        raise UserError(catalog.problem(base, foreign.distributions[base], str(error))) from error


def own_path(dataset: str) -> Path | None:
    """Returns the path of a user's own file or folder, or none for the name of a data set.

    A name without a slash that is also that of a data set means the data set, as does the name of
    a folder that TFDS has prepared.

    Raises:
        UserError: It can only be a path, and nothing is there.
    """
    path = Path(dataset).expanduser()
    looks_like = path.is_absolute() or dataset.startswith((".", "~")) or dataset.endswith("/")
    if path.exists():
        return path if looks_like or not (_is_known(dataset) or _is_prepared(path)) else None
    if looks_like or path.suffix.lower() in _SUFFIXES:
        beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
        near = nearest(path.name, beside).removesuffix("; ")
        raise UserError(f"there is no file or folder {dataset}{'; ' * bool(near)}{near}")
    return None


def _is_prepared(folder: Path) -> bool:
    """Returns whether TFDS has prepared a folder, as NAME/VERSION or NAME/CONFIG/VERSION."""
    found = (folder.glob(f"{depth}/dataset_info.json") for depth in ("*", "*/*"))
    return any(any(files) for files in found)


def _is_known(dataset: str) -> bool:
    base = _base(dataset)
    if base in catalog.names():
        return True
    try:
        tfds.builder_cls(base)
    except (ValueError, ImportError):
        return False
    return True


def _base(name: str) -> str:
    """Returns the name of a data set without its configuration and version."""
    return re.split("[/:]", name)[0]
