"""The command `compare`: answers and latencies of two labels side by side."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from serving.client.traffic import STABLE
from serving.commands.options import add_model_command, positive_integer, server_address, server_tls
from serving.commands.output import print_table
from serving.commands.served import explained
from serving.errors import UserError
from serving.rollout.models_config import CANARY


def add_command(commands: Any) -> None:
    """Adds the command to a parser's `add_subparsers()`."""
    compare = add_model_command(
        commands, "compare", _compare, "show answers and latencies of two labels side by side"
    )
    compare.add_argument(
        "--labels",
        nargs=2,
        default=[STABLE, CANARY],
        metavar="LABEL",
        help="(default: stable canary)",
    )
    compare.add_argument(
        "--json", metavar="FILE", help="a request on each line (default: the golden requests)"
    )
    compare.add_argument("--signature", default="", help="signature of the lines of --json")
    compare.add_argument(
        "--repeats",
        type=positive_integer,
        default=5,
        help="repetitions of each request (default: 5)",
    )
    compare.add_argument("--timeout", type=float, default=30.0, help="seconds for an answer")


def _compare(options: argparse.Namespace) -> None:
    from serving.client import Client
    from serving.rollout import compare, golden
    from serving.rollout.model_repository import Repository

    one, other = options.labels
    tls = server_tls(options)
    address = server_address(options)
    with ExitStack() as stack:
        client = stack.enter_context(Client(address, timeout=options.timeout, tls=tls))
        for label in options.labels:
            stack.enter_context(explained(client, address, options.model, label=label))
        if options.json:
            try:
                lines = Path(options.json).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{options.json} cannot be read: {error}") from error
            requests = compare.read_requests(client, options.model, one, lines, options.signature)
        else:
            number = client.version(options.model, label=one)
            folder = Repository(options.repository).version(options.model, number)
            requests = [(each.signature, each.inputs) for each in golden.read(folder)]
        if not requests:
            raise UserError("there are no requests to compare with; give --json FILE")
        found = compare.compare(
            client, options.model, requests, (one, other), repeats=options.repeats
        )
    for table in compare.tables(found):
        print_table(table)
