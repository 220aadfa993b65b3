"""`python -m architectures`: lists the architectures; `show NAME` prints and draws one."""

from __future__ import annotations

import argparse
import ast
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from architectures import ARCHITECTURES, build, builder

HEADER = ("name", "family", "source", "parameters", "input")


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code: 0, or 2 for a choice that cannot work."""
    parser = argparse.ArgumentParser(prog="python -m architectures", description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="list | show")
    listing = commands.add_parser("list", help="list all architectures (the default)")
    listing.add_argument("--markdown", action="store_true", help="as a Markdown table")
    show = commands.add_parser("show", help="print a summary and draw the graph")
    show.add_argument("name", help="a name from the list")
    show.add_argument(
        "hyperparameters", nargs="*", metavar="OPTION=VALUE", help="as classes=10 input_shape=8,8,1"
    )
    show.add_argument("--picture", type=Path, help="file to draw into (default: NAME.svg)")
    options = parser.parse_args(arguments)
    if options.command == "show":
        picture = options.picture or Path(f"{options.name}.svg")
        return _show(options.name, options.hyperparameters, picture)
    print(markdown() if options.command and options.markdown else _columns())
    return 0


def rows() -> Iterator[tuple[str, ...]]:
    """Yields the cells of the table, in the registry's order."""
    for name, entry in ARCHITECTURES.items():
        count = "" if entry.parameters is None else f"{entry.parameters:,}"
        yield name, entry.family, entry.source, count, entry.input


def markdown() -> str:
    """Returns the table as Markdown."""
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|---|---:|---|"]
    lines += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in rows()]
    return "\n".join(lines)


def _columns() -> str:
    table = [HEADER, *rows()]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    )


def _show(name: str, hyperparameters: Sequence[str], picture: Path) -> int:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        config = dict(map(_hyperparameter, hyperparameters))
        builder(name)
        import keras

        from architectures.drawing import draw

        # Shapes without memory: the largest networks show as fast as the smallest.
        with keras.StatelessScope(initialize_variables=False):
            model = build(name, **config)
            model.summary()
            draw(model, picture)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"picture {picture.absolute()}")
    return 0


def _hyperparameter(text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no hyperparameter: write OPTION=VALUE, as classes=10")
    try:
        return option, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return option, value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
