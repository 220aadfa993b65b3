"""`python -m serving COMMAND`: the command line of serving."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO, TypeVar

import grpc
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from serving.commands import options as command_options
from serving.commands import rollout, up
from serving.errors import RolloutError, ServingError, UserError
from serving.rollout.servers import DEFAULT_ADDRESS

Item = TypeVar("Item")

console = Console(highlight=False, markup=False, emoji=False)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: a server or a rollout failed, or a status found differences. 2: a choice cannot
    work. 130: interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        return options.command(options) or 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except RolloutError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ServingError as error:
        text = error.message
        if error.code is grpc.StatusCode.UNAVAILABLE and "connect" in text:
            address = getattr(options, "address", None) or DEFAULT_ADDRESS
            text = f"no model server answers at {address}; start one: python -m serving up"
        print(f"error: {text}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read the answers has had enough; what is left in the buffer goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _query(options: argparse.Namespace) -> None:
    from serving.client import Client
    from serving.query import ask as query
    from serving.query import display as answers

    kinds = [bool(options.files), bool(options.text), options.json is not None]
    if sum(kinds) != 1:
        options.parser.error("give either image files, text files, --text or --json")
    if options.json is not None and options.picture:
        raise UserError("--picture draws images, and --json has none")
    model = query.Model(options.model, options.version, options.label, options.signature)
    with_texts = bool(options.text) or query.are_texts(options.files)
    if with_texts and options.picture:
        raise UserError("--picture draws images, not texts")
    lines: list[str] = []
    files: list[tuple[Path, str]] = []
    if with_texts:
        lines = options.text or query.texts(options.files)
    elif options.files:
        files = query.images(options.files)
    sizes = {"batch_size": options.batch_size, "concurrency": options.concurrency}
    with Client(
        command_options.address(options),
        timeout=options.timeout,
        tls=command_options.tls(options),
    ) as client:
        if options.wait:
            client.wait_until_ready(
                options.model, version=options.version, label=options.label, timeout=options.wait
            )
        if options.json is not None:
            with _lines(options.json) as (source, total):
                found = query.ask_json(client, model, source, concurrency=options.concurrency)
                for line in _progress(found, total, quiet=sys.stdout.isatty()):
                    print(line, flush=True)
            return
        found_answers = (
            query.ask_about_texts(client, model, lines, **sizes)
            if with_texts
            else query.ask_about_images(client, model, files, **sizes)
        )
        answered = list(_progress(found_answers, len(lines) or len(files)))
    if answered:
        console.print(answers.table(answered, "text" if with_texts else "image"))
    if options.picture:
        answers.picture(answered, f"{options.model} answers over gRPC", options.picture)
        console.print(f"picture {options.picture.absolute()}", soft_wrap=True)


@contextmanager
def _lines(path: str) -> Iterator[tuple[Iterable[str], int | None]]:
    """Opens a file of lines, or the standard input as "-"; their number where it is known."""
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
            raise UserError(f"{path} is no text in UTF-8: {error}") from error
        try:
            yield file, total
        except UnicodeDecodeError as error:
            raise UserError(f"the standard input is no text in UTF-8: {error}") from error


def _progress(items: Iterable[Item], total: int | None, *, quiet: bool = False) -> Iterator[Item]:
    """Passes items on and shows on the standard error, if it is a terminal, how many there were."""
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
        redirect_stdout=False,  # Answers go where they were sent.
        redirect_stderr=False,
    ) as progress:
        task = progress.add_task("answers", total=total)
        for item in items:
            yield item
            progress.advance(task)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="From a registered model to answers."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    rollout.add(commands)

    query = commands.add_parser(
        "query", help="ask a served model about images, texts or JSON lines"
    )
    query.set_defaults(command=_query, parser=query)
    query.add_argument("model", help="served name")
    query.add_argument(
        "files",
        type=Path,
        nargs="*",
        help="image files, or a folder as CLASS/IMAGE; or .txt files with a text on each line",
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
        type=command_options.positive,
        default=4,
        help="requests at the same time (default: 4)",
    )
    query.add_argument(
        "--batch_size",
        type=command_options.positive,
        default=32,
        help="images or texts in a request (default: 32)",
    )
    query.add_argument("--wait", type=float, default=0, help="seconds to wait for the model")
    query.add_argument("--picture", type=Path, help="file to draw images and answers into")

    query.add_argument("--repository", type=Path, default=Path("models"), help="(default: models)")
    query.add_argument(
        "--address",
        help="HOST:PORT, several by commas, or unix:PATH "
        "(default: the one that `up` has started, else localhost:8500)",
    )
    query.add_argument(
        "--timeout", type=float, default=30.0, help="seconds for an answer (default: 30)"
    )
    command_options.add_encryption(query)
    up.add_commands(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
