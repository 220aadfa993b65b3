"""A user's own image files in three splits, without those that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipelines.config import Config
from pipelines.datasets import files, splitting
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError

# A list, or columns that have the method `take`.
Examples = TypeVar("Examples", bound=Any)


def leave_out(problems: Sequence[tuple[Path, str]], total: int, skip_bad: bool) -> list[str]:
    """Returns a note about files that cannot be used; none where there are none.

    Args:
        problems: Files, each with what is wrong with it.
        total: Number of all files.
        skip_bad: Whether such files may be left out.

    Raises:
        UserError: There are such files, and `skip_bad` is false; or there are no others.
    """
    if not problems:
        return []
    path, reason = problems[0]
    others = f", and {len(problems) - 1} more files are bad" if len(problems) > 1 else ""
    sentence = f"{files.printable(path)} {reason}{others}"
    if not skip_bad:
        raise UserError(f"{sentence}; mend it, or pass --skip_bad true to leave such files out")
    if len(problems) == total:
        raise UserError(f"no file is good: {sentence}")
    return [f"{files.number(len(problems), 'bad file')} of {total} left out: {sentence}"]


def with_all_splits(
    path: Path,
    examples: Mapping[str, Examples],
    config: Config,
    keys: Callable[[Examples], Sequence[Hashable] | np.ndarray],
    labels: Callable[[Examples], Sequence[Hashable]] | None = None,
) -> tuple[dict[str, Examples], list[str]]:
    """Returns examples of all splits, and notes: splits that are missing are cut off from train.

    Args:
        path: Where the examples are from.
        examples: By split; "" for what is not split.
        config: Has the seed.
        keys: Returns what those of examples that are in one split have in common.
        labels: Returns the classes of examples; None for no classes.

    Raises:
        UserError: There are too few examples.
    """
    whole = examples["train" if "train" in examples else ""]
    missing = [split for split in SPLITS[1:] if not examples.get(split)]
    if not missing:
        return {split: examples[split] for split in SPLITS}, []
    groups = keys(whole)
    rows = splitting.stratified(
        groups, labels(whole) if labels else None, config.split_seed, missing
    )
    if empty := [split for split, chosen in rows.items() if not len(chosen)]:
        raise UserError(
            f"{path} has too few different images ({len(set(groups))}) for a {empty[0]} split of "
            "its own"
        )
    cut = {split: taken(whole, chosen) for split, chosen in rows.items()}
    note = (
        f"{path} is split into {', '.join(cut)} by --split_seed {config.split_seed}; equal images "
        "are in one split"
    )
    every = {**examples, **cut}
    return {split: every[split] for split in SPLITS}, [note]


def at_most(examples: Mapping[str, Examples], config: Config) -> dict[str, Examples]:
    """Returns no more than `config.max_examples` examples of each split, drawn at random."""
    most, seed = config.max_examples, config.split_seed
    return {
        split: taken(own, splitting.at_most(range(len(own)), most, seed))
        for split, own in examples.items()
    }


def taken(examples: Examples, rows: Sequence[int] | np.ndarray) -> Examples:
    """Returns some of the examples, which know how to take them, or are a list."""
    if isinstance(examples, list):
        return type(examples)(examples[row] for row in rows)
    return examples.take(np.asarray(rows, np.int64))


def relative(path: Path, base: Path) -> str:
    """Returns a path as seen from a folder, if it is there, as text that can be printed."""
    return files.printable(path.relative_to(base) if path.is_relative_to(base) else path)


def table_path(folder: Path, name: str) -> Path:
    """Returns the path of a file that a table in a folder names, also as Windows writes it."""
    path = folder / name.strip()
    if os.path.exists(path) or "\\" not in name:
        return path
    return folder / name.strip().replace("\\", "/")
