"""Files of byte-pair tokenizers: `vocab.json` with `merges.txt`, or `tokenizer.json`.

They are those of GPT-2's directories at Hugging Face. `vocab.json` maps tokens to ids; a line of
`merges.txt` is a pair of tokens, the first to be merged first; `tokenizer.json` holds both.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.errors import UserError
from pipelines.text.byte_pairs import END, BytePairTokenizer

_VOCABULARY, _MERGES, _TOKENIZER = "vocab.json", "merges.txt", "tokenizer.json"
_HEADER = "#version: 0.2"


def read(folder: Path, size: int, end: int | None = None) -> BytePairTokenizer:
    """Reads the tokenizer in a directory.

    Args:
        folder: The directory; `vocab.json` comes first where there is `tokenizer.json` too.
        size: Number of tokens of the network, at least that of the files.
        end: Id of the token between documents; None looks `<|endoftext|>` up.

    Raises:
        UserError: A file is missing or damaged, or is another kind of tokenizer's.
    """
    if (folder / _VOCABULARY).exists() and (folder / _MERGES).exists():
        place = folder / _VOCABULARY
        ids: Mapping[str, Any] = _object(place)
        merges = _lines(folder / _MERGES)
    elif (folder / _TOKENIZER).exists():
        place = folder / _TOKENIZER
        ids, merges = _parts(place)
    else:
        raise UserError(
            f"{folder} has no byte-pair tokenizer: neither {_VOCABULARY} with {_MERGES}, nor "
            f"{_TOKENIZER}"
        )
    numbers = [*ids.values()]
    if not all(isinstance(n, int) and n >= 0 for n in numbers) or len({*numbers}) < len(numbers):
        raise UserError(f"{place} does not map each token to an id of its own")
    if numbers and max(numbers) >= size:
        raise UserError(f"{place} has {max(numbers) + 1} tokens, the network {size}")
    if end is None and END not in ids:
        raise UserError(f"{place} has no {END}, the token between documents")
    vocabulary = [""] * size
    for token, number in ids.items():
        vocabulary[number] = token
    end = ids[END] if end is None else end
    if not 0 <= end < size:
        raise UserError(f"eos_token_id is {end}, and the network has {size} tokens")
    try:
        return BytePairTokenizer(vocabulary, merges, end)
    except ValueError as error:
        raise UserError(f"{place}: {error}") from None


def write(tokenizer: BytePairTokenizer, folder: Path) -> None:
    """Writes `vocab.json` and `merges.txt` into an existing directory."""
    ids = {token: number for number, token in enumerate(tokenizer.vocabulary) if token}
    text = json.dumps(ids, ensure_ascii=False)
    (folder / _VOCABULARY).write_text(text, encoding="utf-8")
    lines = [_HEADER, *map(" ".join, tokenizer.merges)]
    (folder / _MERGES).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _lines(path: Path) -> list[tuple[str, str]]:
    """Returns the pairs in a file of merges."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except UnicodeDecodeError:
        raise UserError(f"{path} is not UTF-8") from None
    lines = [line.removesuffix("\r") for line in lines]
    if lines[0].startswith("#version"):
        lines = ["", *lines[1:]]
    merges = []
    for number, line in enumerate(lines, 1):
        pair = line.split(" ")
        if line and len(pair) != 2:
            raise UserError(f"{path}, line {number}: {line!r} is not a pair of tokens")
        if line:
            merges.append((pair[0], pair[1]))
    return merges


def _parts(path: Path) -> tuple[Mapping[str, Any], list[tuple[str, str]]]:
    """Returns the ids and the pairs in a `tokenizer.json`."""
    found = _object(path)
    model = found.get("model") or {}
    cut = found.get("pre_tokenizer") or {}
    if model.get("type", "BPE") != "BPE" or cut.get("type") != "ByteLevel":
        raise UserError(
            f"{path} is of the kind {model.get('type')} after {cut.get('type')}, and not of "
            "GPT-2's, BPE after ByteLevel"
        )
    if cut.get("add_prefix_space") or not cut.get("use_regex", True) or found.get("normalizer"):
        raise UserError(
            f"{path} changes texts before it cuts them (normalizer, add_prefix_space, use_regex), "
            "which GPT-2's does not"
        )
    try:
        added = {one["content"]: one["id"] for one in found.get("added_tokens") or []}
        pairs = [one.split(" ") if isinstance(one, str) else one for one in model["merges"]]
        return {**model["vocab"], **added}, [(first, second) for first, second in pairs]
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path} has no vocab, merges and added_tokens as GPT-2's has") from None


def _object(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} is no JSON object")
    return found
