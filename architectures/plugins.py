"""Objects that other installed packages add, by entry points of a group.

A package names them in its `pyproject.toml`, under the name by which they are to be known:

    [project.entry-points."keras_foundry.architectures"]
    small_net = "small_net.catalog:SMALL_NET"

https://packaging.python.org/en/latest/specifications/entry-points/ describes entry points.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Generic, TypeVar

DISTRIBUTION = "keras-foundry"

T = TypeVar("T")


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """What other packages add to one group.

    Attributes:
        objects: The objects that can be used, by name.
        distributions: The distribution, such as "my-package", that each of them comes from.
        problems: One sentence for each entry point that cannot be used, by name.
    """

    objects: dict[str, T]
    distributions: dict[str, str]
    problems: dict[str, str]


def find(group: str, own: Collection[str] = ()) -> dict[str, EntryPoint]:
    """Returns the entry points of a group by name, without importing anything.

    Args:
        group: The group, such as "keras_foundry.architectures".
        own: Names that this project defines itself.

    Raises:
        ValueError: Two packages, or a package and this project, define the same name.
    """
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=group):
        if entry.name in own:
            raise ValueError(_clash(group, entry.name, DISTRIBUTION, distribution(entry)))
        if entry.name in found:
            first, second = sorted((distribution(found[entry.name]), distribution(entry)))
            raise ValueError(_clash(group, entry.name, first, second))
        found[entry.name] = entry
    return dict(sorted(found.items()))


def load(group: str, kind: type[T], own: Collection[str] = ()) -> Plugins[T]:
    """Imports the objects of a group.

    A package that cannot be imported, or whose object is not of the type `kind`, becomes a problem
    and does not stop the others.

    Args:
        group: The group.
        kind: The type that the objects must have.
        own: Names that this project defines itself.

    Raises:
        ValueError: Two packages, or a package and this project, define the same name.
    """
    plugins: Plugins[T] = Plugins({}, {}, {})
    for name, entry in find(group, own).items():
        try:
            loaded = entry.load()
        except Exception as error:  # Code of another package may raise anything.
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            plugins.problems[name] = _problem(group, entry, reason)
            continue
        if not isinstance(loaded, kind):
            reason = f"{entry.value} is of type {type(loaded).__name__}, not {kind.__name__}"
            plugins.problems[name] = _problem(group, entry, reason)
            continue
        plugins.objects[name] = loaded
        plugins.distributions[name] = distribution(entry)
    return plugins


def distribution(entry: EntryPoint) -> str:
    """Returns the name of the distribution that an entry point belongs to."""
    return entry.dist.name if entry.dist else "an unknown package"


def _clash(group: str, name: str, first: str, second: str) -> str:
    packages = f"twice by {first}" if first == second else f"by both {first} and {second}"
    return f"the name {name!r} in the group {group} is defined {packages}; rename or uninstall one"


def _problem(group: str, entry: EntryPoint, reason: str) -> str:
    return f"{entry.name!r} of {distribution(entry)} in the group {group} cannot be used: {reason}"
