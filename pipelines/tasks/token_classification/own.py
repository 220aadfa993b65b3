"""A user's own tagged texts in three splits, with tags in the scheme BIO."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.datasets import files, split_tables
from pipelines.datasets.splitting import SPLITS
from pipelines.datasets.tables import Table
from pipelines.datasets.text_columns import columns_of, digests
from pipelines.errors import UserError
from pipelines.tasks.token_classification import conll, schemes
from pipelines.tasks.token_classification.schemes import OUTSIDE, type_of

_ALLOWED = "O, B-TYPE and I-TYPE, or those of IOB1, BIOES or BILOU"
_LISTED = 5


def find(path: Path) -> dict[str, list[Path]]:
    """Returns the files of each split, or all of them as "" where there are no splits.

    Raises:
        UserError: `path` holds no file that could have tagged texts.
    """
    found = files.find(path, conll.SUFFIXES)
    chosen = {split: _without_notes(own) for split, own in found.items()}
    if not all(chosen.values()):
        raise files.unlike(path, "token_classification", conll.NEEDS)
    return chosen


def _without_notes(found: Sequence[Path]) -> list[Path]:
    """Returns files without those in .txt, if there are others: they may be about the others."""
    return [file for file in found if file.suffix.lower() != ".txt"] or list(found)


def read_splits(
    path: Path, found: Mapping[str, Sequence[Path]], config: Config
) -> dict[str, Table]:
    """Reads tagged texts, and splits what is not split yet by `config.split_seed`.

    Args:
        path: What the user named.
        found: As of `find`.
        config: Has the options of own data.

    Returns:
        By split, "tokens" and "tags", a list of str each; all types of train.

    Raises:
        UserError: A file or a sentence cannot be used.
    """
    read = {split: [conll.read(file, config) for file in own] for split, own in found.items()}
    _check_tags(path, [table for own in read.values() for table in own])
    read = {
        split: [conll.leave_out_at(table, _odd_tags(table), config) for table in own]
        for split, own in read.items()
    }
    scheme = schemes.recognize(
        tags for own in read.values() for table in own for tags in table.columns["tags"]
    )
    read = {split: [_in_bio(table, scheme, config) for table in own] for split, own in read.items()}
    joined = {
        split: split_tables.joined(path, own)
        for split, own in _with_types_of_train(read, config).items()
    }
    every = [file for own in found.values() for file in own]
    added = [*_alike(joined), *files.unread(path, every, conll.SUFFIXES - {".txt"})]
    if scheme != schemes.BIO:
        added.append(f"the tags of {path} are in the scheme {scheme}, and are turned into BIO")
    first, table = next(iter(joined.items()))
    joined[first] = replace(table, notes=(*table.notes, *added))
    whole = joined.get("train", joined.get(""))
    if whole is not None:
        if len(joined) < len(SPLITS) and len(whole) == 1:
            raise UserError(
                f"{whole.path} is one sentence of {len(whole.columns['tags'][0])} tokens, which "
                "cannot be split; a blank line ends a sentence"
            )
        columns = {**whole.columns, "stratum": strata(whole.columns["tags"])}
        joined["train" if "train" in joined else ""] = replace(whole, columns=columns)
    splits = split_tables.with_all_splits(joined, config, "stratum", group="tokens")
    for split, table in splits.items():
        if not any(tag != OUTSIDE for tags in table.columns["tags"] for tag in tags):
            raise UserError(
                f"{path} has no spans in its {split} split: each of its tags is {OUTSIDE}, and "
                "there is nothing to find"
            )
    return splits


def _alike(splits: Mapping[str, Table]) -> Iterator[str]:
    """Yields notes of types that differ in letter case alone."""
    types = sorted({type_of(tag) for tag in labels(splits)})
    for folded in dict.fromkeys(map(str.casefold, types)):
        names = [name for name in types if name.casefold() == folded]
        if len(names) > 1:
            yield f"the types {', '.join(names)} are different ones: they differ in letter case"


def strata(texts: Iterable[Sequence[str]]) -> list[str]:
    """Returns by what texts are stratified, so that train has every type, and no split no span.

    Args:
        texts: The tags of each text, in BIO.
    """
    kinds: dict[frozenset[str], frozenset[str]] = {}  # Texts with the same types share one set.
    types = [
        kinds.setdefault(own, own)
        for tags in texts
        for own in [frozenset(type_of(tag) for tag in tags if tag != OUTSIDE)]
    ]
    found = ["a span" if own else "no span" for own in types]
    covered = set[str]()
    # What has a stratum of its own is in train.
    sizes = np.fromiter(map(len, types), np.int64, len(types))
    for text in np.argsort(-sizes, kind="stable"):
        if types[text] - covered:
            covered |= types[text]
            found[text] = f"text {text}"
    return found


def labels(splits: Mapping[str, Table]) -> tuple[str, ...]:
    """Returns the tags of all splits: O, and then type by type."""
    tags = {tag for table in splits.values() for row in table.columns["tags"] for tag in row}
    return tuple(sorted(tags, key=lambda tag: (type_of(tag), tag)))


def _check_tags(path: Path, every: Sequence[Table]) -> None:
    """Raises `UserError` if tags make out no spans at all."""
    counts = Counter(tag for table in every for _, tag in _tags(table))
    spans = counts.total() - counts[OUTSIDE]
    kinds = [tag for tag in counts if not schemes.is_tag(tag)]
    if not spans:
        raise UserError(f"{path} has no spans: each of its tags is {OUTSIDE}")
    if 2 * sum(counts[tag] for tag in kinds) <= spans:
        return
    table, line, tag = next(
        (table, *place) for table in every for place in _tags(table) if place[-1] == kinds[0]
    )
    where = replace(table, lines=[line]).place(0)
    if all(tag.isdecimal() for tag in counts):
        raise UserError(
            f"{where}: the tags are numbers, as {tag}; token_classification needs their names, as "
            "B-PER and I-PER"
        )
    listed = ", ".join(kinds[:_LISTED]) + (", …" if len(kinds) > _LISTED else "")
    raise UserError(
        f"token_classification needs spans, with the tags {_ALLOWED}; {where} has the tag {tag!r}, "
        f"and there are {listed}"
    )


def _tags(table: Table) -> Iterator[tuple[int, str]]:
    """Yields the line and the tag of each token."""
    for lines, tags in zip(table.columns["token_lines"], table.columns["tags"], strict=True):
        yield from zip(lines, tags, strict=True)


def _odd_tags(table: Table) -> dict[int, tuple[int, str]]:
    return {
        row: (token, f"the tag {tag!r} is not one of {_ALLOWED}")
        for row, tags in enumerate(table.columns["tags"])
        for token, tag in reversed(list(enumerate(tags)))
        if not schemes.is_tag(tag)
    }


def _in_bio(table: Table, scheme: str, config: Config) -> Table:
    """Returns a table with tags in BIO, and without white space in tokens."""
    tagged = table.columns["tags"]
    faults = {
        row: fault for row, tags in enumerate(tagged) if (fault := schemes.fault(tags, scheme))
    }
    table = conll.leave_out_at(table, faults, config)
    names = ("tokens", "tags", "token_lines")
    several = 0

    def rows() -> Iterator[dict[str, list]]:
        nonlocal several
        for tokens, tags, lines in zip(*(table.columns[name] for name in names), strict=True):
            row: list[tuple[str, str, int]] = []
            for token, tag, line in zip(tokens, schemes.to_bio(tags, scheme), lines, strict=True):
                first, *others = conll.words_of(token)
                several += bool(others)
                row.append((first, tag, line))
                row += [(other, tag.replace("B-", "I-", 1), line) for other in others]
            yield dict(zip(names, map(list, zip(*row, strict=True)), strict=True))

    columns = columns_of(rows())
    notes = table.notes
    if several:
        note = f"{several} tokens of {table.path} have white space, at which they are split"
        notes = (*notes, f"{note}, as texts are in serving")
    return replace(table, columns=columns, notes=notes)


def _with_types_of_train(
    read: Mapping[str, Sequence[Table]], config: Config
) -> dict[str, list[Table]]:
    """Returns tables without sentences of validation and test whose types are not in train."""
    found = {split: list(own) for split, own in read.items()}
    train = found.get("train", [])
    known = {tag for table in train for _, tag in _tags(table)}
    types = {type_of(tag) for tag in known}
    seen = np.concatenate([np.empty(0, np.int64), *map(_keys, train)])
    for split in SPLITS[1:] if train else ():
        own = found.get(split, [])
        for number, table in enumerate(own):
            faults = {
                row: (token, f"the tag {tag} is not in train, so that it cannot be learned")
                for row, tags in enumerate(table.columns["tags"])
                for token, tag in reversed(list(enumerate(tags)))
                if type_of(tag) not in types
            }
            table = conll.leave_out_at(table, faults, config)
            notes = list(table.notes)
            if others := sorted({tag for _, tag in _tags(table)} - known):
                notes.append(f"{table.path} has the tags {', '.join(others)}, which train has not")
            if twice := np.count_nonzero(np.isin(_keys(table), seen)):
                notes.append(
                    f"{twice} of the {len(table)} sentences of {table.path} are in train, too"
                )
            own[number] = replace(table, notes=tuple(notes))
    return found


def _keys(table: Table) -> np.ndarray:
    """Returns a digest of the tokens of each sentence, int64 [sentences]."""
    return digests(map(json.dumps, table.columns["tokens"]))
