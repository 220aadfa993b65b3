"""Which signature takes which columns, and which columns stand beside the outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from serving.client.calls import Signature, TensorInfo
from serving.errors import UserError
from serving.scoring import outputs
from serving.scoring.formats.rows import Column

_DEFAULTS = ("serving_default", "image_bytes")
_BYTES_SUFFIX = "_bytes"
_TEXT_INPUTS = ("text", "prompt")
_EXAMPLES = ("tensorflow/serving/classify", "tensorflow/serving/regress")
FILE, ROW = "file", "row"


@dataclass(frozen=True)
class Mapped:
    """A signature with the columns that it takes and those that are kept.

    Attributes:
        signature: Its key.
        inputs: Column by input.
        kept: Column by its name beside the outputs.
    """

    signature: str
    inputs: Mapping[str, Column]
    kept: Mapping[str, Column]

    @property
    def read(self) -> list[Column]:
        """The columns to read, each once."""
        return list(
            {each.name: each for each in (*self.inputs.values(), *self.kept.values())}.values()
        )

    def schema(self, signature: Signature, metadata: Mapping[str, str]) -> pa.Schema:
        """Returns the columns of the output."""
        own = [pa.field(FILE, pa.string()), pa.field(ROW, pa.int64())]
        own += [pa.field(name, column.type) for name, column in self.kept.items()]
        answers = [outputs.field(name, info) for name, info in signature.outputs.items()]
        return pa.schema([*own, *answers], dict(metadata))


def mapped(
    model: str,
    signatures: Mapping[str, Signature],
    columns: Sequence[Column],
    *,
    signature: str = "",
    given: Mapping[str, str] | None = None,
    keep: Sequence[str] | None = None,
) -> Mapped:
    """Returns what a model takes of the columns.

    Columns are taken by the names of inputs, else the only column that fits the only input.
    Without a chosen signature, that is `serving_default`, or `image_bytes` for encoded images, or
    the only one.

    Args:
        model: Name of the model, for errors.
        signatures: Its signatures.
        columns: The columns of the input.
        signature: The chosen signature; empty for none.
        given: Column by input, where they are chosen.
        keep: Columns to keep; None for the small ones.

    Raises:
        UserError: They do not fit, or a choice is none.
    """
    given = given or {}
    known = {column.name: column for column in columns}
    if signature and signature not in signatures:
        raise UserError(f"{model} has no signature {signature!r}; it has: {', '.join(signatures)}")
    for name in (*given.values(), *(keep or ())):
        if name not in known:
            raise UserError(f"there is no column {name!r}; there are: {_listed(columns)}")
    candidates = [key for key in _DEFAULTS if key in signatures] or (
        list(signatures) if len(signatures) == 1 else []
    )
    candidates = [signature] if signature else candidates
    if not candidates:
        raise UserError(f"choose a --signature of {model}: {', '.join(signatures)}")
    for rule in (_by_name, _only):
        for key in candidates:
            found = rule(signatures[key], known, given)
            if found is not None:
                _check(model, key, signatures[key], found, given)
                return Mapped(key, found, _kept(signatures[key], columns, keep))
    wanted = "; ".join(f"{key} takes {_inputs(signatures[key])}" for key in candidates)
    raise UserError(
        f"the columns do not tell what {model} is to read: its signature {wanted}; the input has "
        f"{_listed(columns)}; give --column INPUT=COLUMN"
        + ("" if signature else ", or another --signature" * (len(signatures) > 1))
    )


def _by_name(
    signature: Signature, known: Mapping[str, Column], given: Mapping[str, str]
) -> dict[str, Column] | None:
    """Returns the columns with the inputs' names, or those that are given for them."""
    if given.keys() - signature.inputs.keys():
        return None
    names = {name: given.get(name, name) for name in signature.inputs}
    if not all(
        names[name] in known
        and (
            name in given
            or known[names[name]].parsed
            or _fits(known[names[name]], name, info, signature)
        )
        for name, info in signature.inputs.items()
    ):
        return None
    return {name: known[names[name]] for name in signature.inputs}


def _only(
    signature: Signature, known: Mapping[str, Column], given: Mapping[str, str]
) -> dict[str, Column] | None:
    """Returns the only column that fits the only input without a column of its own."""
    if given.keys() - signature.inputs.keys() or len(signature.inputs) - len(given) != 1:
        return None
    [(name, info)] = [each for each in signature.inputs.items() if each[0] not in given]
    fitting = [
        column
        for column in known.values()
        if column.name not in given.values() and _fits(column, name, info, signature)
    ]
    if len(fitting) != 1:
        return None
    return {n: known[given[n]] if n in given else fitting[0] for n in signature.inputs}


def _fits(column: Column, name: str, info: TensorInfo, signature: Signature) -> bool:
    """Whether a column holds what an input takes, as far as can be told before reading it."""
    if info.dtype == "string":
        if column.kind == "record":
            return signature.method_name in _EXAMPLES
        if signature.method_name in _EXAMPLES:
            return False
        if column.kind == "image":
            return name not in _TEXT_INPUTS
        kinds = {"bytes" if name.endswith(_BYTES_SUFFIX) else "text"}
    elif info.dtype == "bool":
        kinds = {"boolean"}
    else:
        kinds = {"integer"} if "int" in info.dtype else {"integer", "float"}
    if column.kind not in kinds:
        return False
    shape = info.shape and info.shape[1:]
    if shape is None or column.depth == len(shape):
        return True
    # A list fills any shape that is fixed, and a single value one of a single place.
    return None not in shape and (column.depth == 1 or all(size == 1 for size in shape))


def _check(
    model: str,
    key: str,
    signature: Signature,
    found: Mapping[str, Column],
    given: Mapping[str, str],
) -> None:
    for name, info in signature.inputs.items():
        if info.shape is not None and (not info.shape or info.shape[0] is not None):
            size = info.shape[0] if info.shape else "a single value"
            raise UserError(
                f"signature {key} of {model} takes no batch of rows: the first dimension of "
                f"{name} is {size}"
            )
        if name in given and not _fits(found[name], name, info, signature):
            loose = info.dtype == "string" and found[name].kind in ("text", "bytes", "record")
            if not loose and not found[name].parsed:
                raise UserError(
                    f"column {found[name]} does not fit the input {_input(name, info)} of {key}"
                )


def _kept(
    signature: Signature, columns: Sequence[Column], keep: Sequence[str] | None
) -> dict[str, Column]:
    """Returns the kept columns by their names in the output, where `input_` avoids a clash."""
    chosen = [each for each in columns if (each.small if keep is None else each.name in keep)]
    for column in chosen:
        if column.type is None:
            raise UserError(f"column {column} cannot be kept beside the outputs")
    taken = {FILE, ROW, *signature.outputs}
    named = {}
    for column in chosen:
        name = column.name
        while name in taken or name in named:
            name = f"input_{name}"
        named[name] = column
    return named


def _inputs(signature: Signature) -> str:
    return ", ".join(_input(name, info) for name, info in signature.inputs.items())


def _input(name: str, info: TensorInfo) -> str:
    row = info.shape[1:] if info.shape else ()
    shape = "x".join("*" if size is None else str(size) for size in row)
    return f"{name} ({info.dtype}{shape and f' {shape}'})"


def _listed(columns: Sequence[Column]) -> str:
    return ", ".join(map(str, columns)) or "no columns"
