"""The command line of rollouts: deploy, promote, rollback, undeploy, status, compare."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from serving.client.traffic import STABLE
from serving.commands import options as command_options
from serving.commands import signals
from serving.engines import engine as engines
from serving.engines import record as server_record
from serving.errors import UserError
from serving.rollout.models_config import ALIASES, CANARY

if TYPE_CHECKING:
    from serving.rollout.model_registry import Registered
    from serving.rollout.model_repository import Repository
    from serving.rollout.promote import Place, Rollout
    from serving.rollout.status import Standing

console = Console(highlight=False, markup=False, emoji=False)

_LABELS = {alias: label for label, alias in ALIASES.items()}


def add(commands: Any) -> None:
    """Adds the subcommands to a parser's `add_subparsers()`."""
    _add_deploy(commands)
    promote = _command(
        commands, "promote", _promote, "move a label, by default stable to the canary"
    )
    promote.add_argument("--label", default=STABLE, help="label to move (default: stable)")
    which = promote.add_mutually_exclusive_group()
    which.add_argument("--version", type=int, help="version that gets it, from the repository")
    which.add_argument(
        "--from", dest="source", default=CANARY, help="label whose version it is (default: canary)"
    )
    _command(commands, "rollback", _rollback, "give stable back to the version that had it before")
    undeploy = _command(commands, "undeploy", _undeploy, "stop serving versions and delete them")
    undeploy.add_argument("--version", type=int, help="which version (default: all)")
    undeploy.add_argument("--force", action="store_true", help="even if it has a label")
    status = _command(
        commands,
        "status",
        _status,
        "show registry, repository and server side by side; exit code 1 where they differ",
        model="?",
    )
    status.add_argument("--timeout", type=float, default=10.0, help="seconds for an answer")
    _add_compare(commands)


def _add_deploy(commands: Any) -> None:
    deploy = _command(commands, "deploy", _deploy, "make a registered version answer to a label")
    which = deploy.add_mutually_exclusive_group()
    which.add_argument("--alias", default="champion", help="which version (default: champion)")
    which.add_argument("--version", type=int, help="which version, instead of an alias")
    deploy.add_argument(
        "--label", help="label to answer to (default: canary for the challenger, else stable)"
    )
    deploy.add_argument(
        "--engine",
        choices=("auto", *engines.NAMES),
        default="auto",
        help="what the candidate is tried on (default: auto)",
    )
    deploy.add_argument(
        "--latency-budget",
        "--latency_budget",
        type=_positive,
        default=5000.0,
        metavar="MS",
        help="milliseconds that a golden request may take, median (default: 5000)",
    )
    deploy.add_argument(
        "--unverified",
        action="store_true",
        help="take a version without golden requests; its record says so",
    )


def _add_compare(commands: Any) -> None:
    compare = _command(
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
    compare.add_argument("--signature", default="", help="signature that the lines are for")
    compare.add_argument(
        "--repeats",
        type=command_options.positive,
        default=5,
        help="how often each request is sent (default: 5)",
    )
    compare.add_argument("--timeout", type=float, default=30.0, help="seconds for an answer")


def _command(
    commands: Any,
    name: str,
    function: Callable[[argparse.Namespace], int | None],
    text: str,
    model: str | None = None,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text)
    parser.set_defaults(command=function, parser=parser)
    parser.add_argument("model", nargs=model, help="registered name, which is also the served name")
    parser.add_argument("--repository", type=Path, default=Path("models"), help="(default: models)")
    parser.add_argument(
        "--address",
        help="servers to talk to: HOST:PORT, several by commas "
        "(default: the one that `up` has started; else localhost:8500, and to change something, "
        "only if it serves this repository)",
    )
    command_options.add_encryption(parser)
    return parser


def _place(options: argparse.Namespace) -> Place:
    from serving.rollout.model_repository import Repository
    from serving.rollout.promote import Place

    tls = command_options.tls(options)
    options.address = options.address or server_record.address(options.repository)
    return Place(Repository(options.repository), options.address, tls=tls)


def _deploy(options: argparse.Namespace) -> None:
    from serving.rollout.deploy import deploy
    from serving.rollout.model_registry import Registry

    alias = options.alias if options.version is None else ""
    with signals.as_ctrl_c():  # The candidate's server ends with the command.
        done = deploy(
            _place(options),
            Registry(),
            options.model,
            lambda: engines.choose(options.engine),
            alias=alias,
            version=options.version,
            label=options.label or _LABELS.get(alias, STABLE),
            budget=options.latency_budget,
            unverified=options.unverified,
        )
    if done.proof is not None and done.proof.requests:
        console.print(
            f"{done.proof.requests} golden requests answered within tolerance, "
            f"the slowest in {done.proof.slowest:.1f} ms",
            soft_wrap=True,
        )
    _say(done, "deployed")


def _promote(options: argparse.Namespace) -> None:
    from serving.rollout import promote as rollout

    _say(
        rollout.promote(
            _place(options),
            options.model,
            label=options.label,
            version=options.version,
            source=options.source,
        ),
        "promoted",
    )


def _rollback(options: argparse.Namespace) -> None:
    from serving.rollout import promote as rollout

    _say(rollout.rollback(_place(options), options.model), "is stable again")


def _undeploy(options: argparse.Namespace) -> None:
    from serving.rollout import promote as rollout

    gone = rollout.undeploy(
        _place(options), options.model, version=options.version, force=options.force
    )
    numbers = ", ".join(map(str, gone))
    console.print(f"{options.model} version {numbers} is gone", soft_wrap=True)


def _say(done: Rollout, how: str) -> None:
    """Tells the registry what the labels are now, and the user what was done."""
    from serving.rollout.model_registry import Registry

    labels = ", ".join(f"{label} {n}" for label, n in sorted(done.after.labels.items()))
    console.print(f"{done.name} version {done.version} {how}: {done.path}", soft_wrap=True)
    console.print(f"labels: {labels}", soft_wrap=True)
    if not done.servers:
        console.print("no running server serves this repository; start one: python -m serving up")
    if done.loaded:
        numbers = ", ".join(map(str, done.loaded))
        print(
            f"warning: {done.name} version {numbers} is still loaded; the server unloads it when "
            "its last request has ended",
            file=sys.stderr,
        )
    if done.unblessed:
        print(f"warning: {done.unblessed}", file=sys.stderr)
    try:
        Registry().follow(done.name, done.after.labels, done.label)
    except UserError as error:  # What is served has changed all the same.
        print(f"warning: the registry's aliases stay as they were: {error}", file=sys.stderr)


def _status(options: argparse.Namespace) -> int:
    from serving.rollout import models_config
    from serving.rollout import status as standing
    from serving.rollout.model_registry import Registry
    from serving.rollout.model_repository import Repository

    files = Repository(options.repository)
    running = server_record.read(options.repository)
    listed = {*files.models(), *models_config.names(files.config())}
    names = [options.model] if options.model else sorted(listed)
    if not names and running is None:
        raise UserError(f"{files.path} holds no models; deploy one: python -m serving deploy MODEL")
    if running:
        console.print(running.line, soft_wrap=True)
    registered: dict[str, list[Registered] | None] = dict.fromkeys(names)
    with contextlib.suppress(UserError):  # The table says so.
        registry = Registry()
        registered |= {name: registry.versions(name) for name in names}
    found: dict[str, list[Standing]] = {}
    lines: list[str] = []
    for name in names:
        try:
            for address, each in _standings(options, files, name, registered[name]).items():
                found.setdefault(address, []).append(each)
                lines += standing.differences(each, address)
        except UserError as error:  # Served by another policy, which says nothing of the others.
            if options.model:
                raise
            lines.append(str(error))
    for address, standings in found.items():
        if len(found) > 1:
            console.print(f"server {address}", soft_wrap=True)
        _print(standing.table(standings))
    lines = list(dict.fromkeys(lines))
    for line in lines:
        console.print(line, soft_wrap=True)
    return 1 if lines else 0


def _standings(
    options: argparse.Namespace, files: Repository, name: str, registered: list[Registered] | None
) -> dict[str, Standing]:
    """Returns how a model stands, by the address of each server that was asked.

    Raises:
        UserError: It is served by another policy than specific versions, or nothing knows it.
    """
    from serving.client import Client
    from serving.rollout import status as standing

    found: dict[str, Standing] = {}
    tls = command_options.tls(options)
    for address in command_options.address(options).split(","):
        with Client(address, timeout=options.timeout, attempts=1, label="", tls=tls) as client:
            found[address] = (
                standing.seen_from(next(iter(found.values())), client)
                if found
                else standing.look(files, name, registered, client)
            )
    if not any(each.versions for each in found.values()):
        raise UserError(
            f"no model {name!r} is in {files.path}, nor in the registry or on a server that answers"
        )
    return found


def _compare(options: argparse.Namespace) -> None:
    from serving.client import Client
    from serving.rollout import compare, golden
    from serving.rollout.model_repository import Repository

    one, other = options.labels
    tls = command_options.tls(options)
    with Client(command_options.address(options), timeout=options.timeout, tls=tls) as client:
        if options.json:
            try:
                lines = Path(options.json).read_text(encoding="utf-8").splitlines()
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{options.json} cannot be read: {error}") from error
            asks = compare.asks_of(client, options.model, one, lines, options.signature)
        else:
            number = client.version(options.model, label=one)
            folder = Repository(options.repository).version(options.model, number)
            asks = [(each.signature, each.inputs) for each in golden.read(folder)]
        if not asks:
            raise UserError("there are no requests to compare with; give --json FILE")
        found = compare.compare(client, options.model, asks, (one, other), repeats=options.repeats)
    for table in compare.tables(found):
        _print(table)


def _print(table: Table) -> None:
    """Prints a table, in its full width where it does not go to a terminal."""
    wide = Console(highlight=False, markup=False, emoji=False, width=200)
    (console if console.is_terminal else wide).print(table)


def _positive(text: str) -> float:
    number = float(text)
    if not number > 0:
        raise argparse.ArgumentTypeError(f"must be more than 0, not {text}")
    return number
