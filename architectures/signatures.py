"""Hyperparameters of builders, read from their source: nothing of Keras is imported."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterable, Mapping
from pathlib import Path

from architectures.catalog import get
from architectures.words import nearest


def hyperparameters(name: str) -> list[str] | None:
    """Returns the names of an architecture's hyperparameters in the order of its builder.

    Returns:
        None if that takes more than reading the function, and the TypedDict that `**` unpacks.

    Raises:
        ValueError: The architecture is unknown, or the package that defines it cannot be used.
    """
    module, _, function = get(name).builder.partition(":")
    try:
        found = importlib.util.find_spec(module)
        source = Path(found.origin or "").read_text(encoding="utf-8") if found else ""
        statements = ast.parse(source).body
    except Exception:  # Code of another package may raise anything; building it says what.
        return None
    functions = {one.name: one for one in statements if isinstance(one, ast.FunctionDef)}
    classes = {one.name: one for one in statements if isinstance(one, ast.ClassDef)}
    if function not in functions or functions[function].decorator_list:
        return None
    taken = functions[function].args
    names = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)]
    if not taken.kwarg:
        return names
    match taken.kwarg.annotation:
        case ast.Subscript(value=ast.Name("Unpack"), slice=ast.Name(keys)) if keys in classes:
            return names + _keys(keys, classes)
    return None


def _keys(name: str, classes: Mapping[str, ast.ClassDef]) -> list[str]:
    """Returns the keys of a TypedDict, those of its bases first."""
    bases = [base.id for base in classes[name].bases if isinstance(base, ast.Name)]
    inherited = [key for base in bases if base in classes for key in _keys(base, classes)]
    own = [
        one.target.id
        for one in classes[name].body
        if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)
    ]
    return inherited + own


def check(name: str, chosen: Iterable[str]) -> None:
    """Checks that an architecture has the hyperparameters that are chosen.

    Raises:
        ValueError: It is unknown, or has no such hyperparameter.
    """
    known = hyperparameters(name)
    unknown = sorted(set(chosen) - set(known)) if known is not None else []
    if known is not None and unknown:
        raise ValueError(no_hyperparameter(name, unknown[0], known))


def no_hyperparameter(name: str, unknown: str, known: Iterable[str]) -> str:
    """Returns the error message for a hyperparameter that an architecture does not have."""
    names = sorted(known)
    return (
        f"{name} has no hyperparameter {unknown!r}; {nearest(unknown, names)}"
        f"it has: {', '.join(names)}"
    )
