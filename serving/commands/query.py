"""The command `query`: send images, texts or JSON lines to a served model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from serving.commands.options import (
    add_encryption,
    add_repository,
    positive_integer,
    server_address,
    server_tls,
)
from serving.commands.output import console, print_line
from serving.commands.served import explained
from serving.errors import UserError

Item = TypeVar("Item")


def add_command(commands: Any) -> None:
    """Adds the command to a parser's `add_subparsers()`."""
    query = commands.add_parser("query", help="send images, texts or JSON lines to a served model")
    query.set_defaults(command=_query, parser=query)
    query.add_argument("model", help="served name")
    query.add_argument(
        "files",
        type=Path,
        nargs="*",
        help="image files, or a folder of images or as CLASS/IMAGE; or .txt files with a text on "
        "each line",
    )
    query.add_argument("--text", action="append", help="a text; may be given several times")
    query.add_argument(
        "--json", metavar="FILE", help="a request on each line, {INPUT: VALUE}; - reads stdin"
    )
    which = query.add_mutually_exclusive_group()
    which.add_argument(
        "--version", type=int, help="version (default: label stable, where the server knows it)"
    )
    which.add_argument("--label", help="version label, instead of a version")
    query.add_argument(
        "--signature", default="", help="signature (default: the one that takes such input)"
    )
    query.add_argument(
        "--concurrency",
        type=positive_integer,
        default=4,
        help="requests at the same time (default: 4)",
    )
    query.add_argument(
        "--batch_size",
        type=positive_integer,
        default=32,
        help="images or texts in a request (default: 32)",
    )
    query.add_argument("--wait", type=float, default=0, help="seconds to wait for the model")
    query.add_argument(
        "--picture", type=Path, help="PNG file for a figure of the images with their answers"
    )
    add_repository(query)
    query.add_argument(
        "--address",
        help="HOST:PORT, several by commas, or unix:PATH "
        "(default: the server that `up` has started, else localhost:8500)",
    )
    query.add_argument(
        "--timeout", type=float, default=30.0, help="seconds for an answer (default: 30)"
    )
    add_encryption(query)


def _query(options: argparse.Namespace) -> None:
    from serving.client import Client
    from serving.query import ask, display

    kinds = [bool(options.files), bool(options.text), options.json is not None]
    if sum(kinds) != 1:
        options.parser.error("give either image files, text files, --text or --json")
    if options.json is not None and options.picture:
        raise UserError("--picture draws images, and --json has none")
    model = ask.Model(options.model, options.version, options.label, options.signature)
    with_texts = bool(options.text) or ask.are_texts(options.files)
    if with_texts and options.picture:
        raise UserError("--picture draws images, not texts")
    texts: list[str] = []
    images: list[tuple[Path, str]] = []
    if with_texts:
        texts = options.text or ask.texts(options.files)
    elif options.files:
        images = ask.images(options.files)
    sizes = {"batch_size": options.batch_size, "concurrency": options.concurrency}
    address = server_address(options)
    which = {"version": options.version, "label": options.label or ""}
    with (
        Client(address, timeout=options.timeout, tls=server_tls(options)) as client,
        explained(client, address, options.model, **which),
    ):
        if options.wait:
            client.wait_until_ready(
                options.model, version=options.version, label=options.label, timeout=options.wait
            )
        if options.json is not None:
            with _lines(options.json) as (lines, total):
                results = ask.ask_json(client, model, lines, concurrency=options.concurrency)
                for line in _progress(results, total, quiet=sys.stdout.isatty()):
                    print(line, flush=True)
            return
        found = (
            ask.ask_about_texts(client, model, texts, **sizes)
            if with_texts
            else ask.ask_about_images(client, model, images, **sizes)
        )
        answers = list(_progress(found, len(texts) or len(images)))
    if answers:
        console.print(display.table(answers, "text" if with_texts else "image"))
    if said := display.conversions(answers):
        print_line(said)
    if options.picture:
        display.figure(answers, f"{options.model} answers over gRPC", options.picture)
        print_line(f"picture {options.picture.absolute()}")


@contextmanager
def _lines(path: str) -> Iterator[tuple[Iterable[str], int | None]]:
    """Yields the lines of a file, or of the standard input as "-", and their number if known."""
    with ExitStack() as stack:
        file: TextIO = sys.stdin
        total = None
        try:
            if path != "-":
                file = stack.enter_context(open(path, encoding="utf-8"))
                total = sum(1 for line in file if line.strip())
                file.seek(0)
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not text in UTF-8: {error}") from error
        try:
            yield file, total
        except UnicodeDecodeError as error:
            raise UserError(f"the standard input is not text in UTF-8: {error}") from error


def _progress(items: Iterable[Item], total: int | None, *, quiet: bool = False) -> Iterator[Item]:
    """Yields the items, with a progress bar on the standard error if it is a terminal."""
    errors = Console(stderr=True)
    columns = (
        *(TextColumn("answers"), BarColumn(), MofNCompleteColumn()),
        *(TimeElapsedColumn(), TimeRemainingColumn()),
    )
    with Progress(
        *columns,
        console=errors,
        transient=True,
        disable=quiet or not errors.is_terminal,
        redirect_stdout=False,  # Answers stay on the standard output.
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task("answers", total=total)
        for item in items:
            yield item
            progress.advance(task)
