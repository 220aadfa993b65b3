"""Lists the architectures; `show NAME` prints a summary of one and draws its graph."""

from __future__ import annotations

import argparse
import ast
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from architectures import ARCHITECTURES, Architecture, build, check, pipes
from architectures.catalog import foreign, table
from architectures.quiet import quiet
from architectures.summary import summary

# What `--picture` writes.
ENDINGS = (".svg", ".png", ".pdf", ".jpg", ".jpeg", ".webp", ".gif", ".tif", ".tiff", ".eps", ".ps")
# Columns of a summary: in fewer, Keras cuts numbers of parameters; in more, there is only space.
_WIDTH, _WIDEST = 80, 120
HEADER = ("name", "family", "source", "parameters", "input")


PROGRAM = "python -m architectures"


def parser_of(prog: str = PROGRAM) -> argparse.ArgumentParser:
    """Returns the parser of a program called `prog`."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__)
    commands = parser.add_subparsers(dest="command", metavar="list | show")
    listing = commands.add_parser("list", help="list all architectures (the default)")
    listing.add_argument("--markdown", action="store_true", help="print a Markdown table")
    show = commands.add_parser("show", help="print a summary and draw the graph")
    show.add_argument("name", help="a name from the list")
    show.add_argument(
        "hyperparameters",
        nargs="*",
        default=[],
        metavar="OPTION=VALUE",
        help="hyperparameters, such as classes=10 input_shape=8,8,1",
    )
    show.add_argument(
        "--picture",
        type=Path,
        metavar="FILE",
        help=f"picture to write, {', '.join(ENDINGS)} (default: NAME.svg)",
    )
    return parser


def main(arguments: Sequence[str], prog: str = PROGRAM) -> int:
    """Runs the command line, whose program help calls `prog`.

    Returns:
        The exit code: 0, or 2 for a user error.
    """
    options = parser_of(prog).parse_args(arguments)
    try:
        if options.command == "show":
            picture = options.picture or Path(f"{options.name}.svg")
            _show(options.name, options.hyperparameters, picture)
        else:
            _list(as_markdown=options.command == "list" and options.markdown)
    except BrokenPipeError:
        raise  # Nobody reads on.
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def rows(architectures: Mapping[str, Architecture] = ARCHITECTURES) -> Iterator[tuple[str, ...]]:
    """Yields the cells of the listing, by default of this package's own architectures."""
    for name, entry in architectures.items():
        count = "" if entry.parameters is None else f"{entry.parameters:,}"
        yield name, entry.family, entry.source, count, entry.input


def markdown(architectures: Mapping[str, Architecture] = ARCHITECTURES) -> str:
    """Returns the listing as a Markdown table, by default of this package's own architectures."""
    lines = [f"| {' | '.join(HEADER)} |", "|---|---|---|---:|---|"]
    lines += [f"| `{name}` | {' | '.join(cells)} |" for name, *cells in rows(architectures)]
    return "\n".join(lines)


def _list(*, as_markdown: bool) -> None:
    print(markdown(table()) if as_markdown else _columns(table()))
    for problem in foreign().problems.values():
        print(f"warning: {problem}", file=sys.stderr)


def _columns(architectures: Mapping[str, Architecture]) -> str:
    cells = [HEADER, *rows(architectures)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADER))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column == 3 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )


def _show(name: str, hyperparameters: Sequence[str], picture: Path) -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    config = dict(map(_hyperparameter, hyperparameters))
    # What is wrong shows before Keras is imported, which takes seconds.
    check(name, config)
    if picture.suffix.lower() not in ENDINGS:
        raise ValueError(f"a picture's file ends in {', '.join(ENDINGS)}, not as {picture.name}")
    if not picture.parent.is_dir():
        raise ValueError(f"there is no folder {picture.parent} for the picture")
    with quiet():
        from architectures.counting import abstract
        from architectures.drawing import draw

    # Without allocating weights, the largest networks are shown as fast as the smallest.
    with abstract():
        model = build(name, **config)
        print(summary(model, max(_WIDTH, min(shutil.get_terminal_size().columns, _WIDEST))))
        draw(model, picture)
    print(f"picture {picture.absolute()}")


def _hyperparameter(text: str) -> tuple[str, Any]:
    option, equals, value = text.partition("=")
    if not equals:
        raise ValueError(
            f"{text!r} is not a hyperparameter: write OPTION=VALUE, such as classes=10"
        )
    try:
        return option.replace("-", "_"), ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return option.replace("-", "_"), value


if __name__ == "__main__":
    with pipes.may_close():
        sys.exit(main(sys.argv[1:]))
