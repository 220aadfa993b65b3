"""`python -m serving deploy | query | status`: the command line of serving."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
from rich.console import Console
from rich.table import Table

from serving.errors import ServingError, UserError

console = Console(highlight=False, markup=False, emoji=False)


def main(arguments: Sequence[str]) -> int:
    """Runs the command line and returns its exit code.

    0: done. 1: the server refused or failed. 2: a choice cannot work. 130: interrupted.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        text = error.message
        if error.code is grpc.StatusCode.UNAVAILABLE and "connect" in text:
            text = f"no model server answers at {options.address}; start one with: make serve"
        print(f"error: {text}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _deploy(options: argparse.Namespace) -> None:
    from serving.deploy import deploy

    done = deploy(options.model, options.repository, alias=options.alias, version=options.version)
    how = "deployed" if done.fresh else "was deployed already"
    console.print(f"{done.name} version {done.version} {how}: {done.path}", soft_wrap=True)


def _query(options: argparse.Namespace) -> None:
    from serving import query
    from serving.client import Client

    files = query.images(options.images)
    with Client(options.address, timeout=options.timeout) as client:
        if options.wait:
            client.wait_until_ready(options.model, version=options.version, timeout=options.wait)
        answers = query.ask(client, options.model, files, options.version)
    table = Table("image", "answer", "probability", *(["truth"] if answers[0].truth else []))
    for answer in answers:
        row = [str(answer.path), answer.predicted, f"{answer.probability:.4f}", answer.truth]
        table.add_row(*row[: len(table.columns)])
    console.print(table)
    if options.picture:
        query.picture(answers, f"{options.model} answers over gRPC", options.picture)
        console.print(f"picture {options.picture.absolute()}", soft_wrap=True)


def _status(options: argparse.Namespace) -> None:
    from serving.client import Client

    with Client(options.address, timeout=options.timeout) as client:
        for entry in client.status(options.model):
            line = f"{options.model} version {entry.version} {entry.state} {entry.error}"
            console.print(line.strip(), soft_wrap=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serving", description="From a registered model to answers."
    )
    commands = parser.add_subparsers(required=True, metavar="deploy | query | status")

    deploy = commands.add_parser("deploy", help="copy a registered version to the model repository")
    deploy.set_defaults(command=_deploy)
    deploy.add_argument("model", help="registered name, which is also the served name")
    deploy.add_argument("--alias", default="champion", help="which version (default: champion)")
    deploy.add_argument("--version", type=int, help="which version, instead of an alias")
    deploy.add_argument("--repository", type=Path, default=Path("models"), help="(default: models)")

    query = commands.add_parser("query", help="ask a served image model about image files")
    query.set_defaults(command=_query)
    query.add_argument("model", help="served name")
    query.add_argument(
        "images", type=Path, nargs="+", help="image files, or a folder as CLASS/IMAGE"
    )
    query.add_argument("--version", type=int, help="version (default: the server's choice)")
    query.add_argument("--wait", type=float, default=0, help="seconds to wait for the model")
    query.add_argument("--picture", type=Path, help="file to draw the answers into")

    status = commands.add_parser("status", help="show the versions that a server knows")
    status.set_defaults(command=_status)
    status.add_argument("model", help="served name")

    for command in (query, status):
        command.add_argument(
            "--address", default="localhost:8500", help="HOST:PORT (default: localhost:8500)"
        )
        command.add_argument(
            "--timeout", type=float, default=30.0, help="seconds for an answer (default: 30)"
        )
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
