"""The commands `up`, `down` and `logs`: a server of the model repository."""

from __future__ import annotations

import argparse
import contextlib
import ipaddress
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc

from serving.commands import signals
from serving.commands.options import DEFAULT_REPOSITORY, add_repository
from serving.commands.words import as_called
from serving.engines import record
from serving.engines.engine import ENGINES, choose
from serving.engines.process import ALL_INTERFACES, LOOPBACK, ServerProcess
from serving.errors import ServingError, UserError

_PAUSE = 0.2
# Flags of the server that `up` sets itself, and its options for them.
_OWN = {
    "--host": "--host",
    "--port": "--port",
    "--rest_api_port": "--rest_port",
    "--model_config_file": "--repository",
    "--model_base_path": "--repository",
    "--model_name": "--repository",
}


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds `up`, `down` and `logs` to the command line."""
    up = commands.add_parser("up", help="serve the model repository on the best available engine")
    up.set_defaults(command=_up)
    up.add_argument(
        "--engine",
        choices=("auto", *ENGINES),
        default="auto",
        help="(default: auto: docker, else binary, else embedded)",
    )
    up.add_argument("--gpu", action="store_true", help="refuse to serve without a GPU")
    add_repository(up)
    up.add_argument(
        "--host",
        type=_address,
        default=LOOPBACK,
        help="IP address to listen on; 0.0.0.0 lets other machines in (default: 127.0.0.1)",
    )
    up.add_argument("--port", type=int, default=8500, help="gRPC port (default: 8500)")
    up.add_argument(
        "--rest_port",
        "--rest_api_port",
        type=int,
        default=8501,
        help="REST port; 0 for none (default: 8501)",
    )
    up.add_argument("--detach", action="store_true", help="return when ready, leave it running")
    up.add_argument(
        "--timeout", type=float, default=300.0, help="seconds until ready (default: 300)"
    )
    up.add_argument(
        "flags", nargs="*", help="TensorFlow Serving's flags, after --, as in -- --enable_batching"
    )

    down = commands.add_parser("down", help="stop the server that up started")
    down.set_defaults(command=_down)
    add_repository(down)

    logs = commands.add_parser("logs", help="show the server's log")
    logs.set_defaults(command=_logs)
    add_repository(logs)
    logs.add_argument("--follow", action="store_true", help="continue until the server ends")


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"it must be an IP address, not {text!r}") from None


def _up(options: argparse.Namespace) -> None:
    for flag in options.flags:
        if not flag.startswith("--"):
            raise UserError(f"flags of TensorFlow Serving begin with --, unlike {flag!r}")
        name = flag.partition("=")[0]
        if name in _OWN:
            raise UserError(f"{name} is set by up itself; give {_OWN[name]} before the --")
    engine = choose(options.engine, gpu=options.gpu)
    _say(f"engine {engine.name}: {engine.reason}")
    with signals.as_ctrl_c():
        running = record.start(
            engine,
            options.repository,
            host=options.host,
            port=options.port,
            rest_port=options.rest_port,
            options=options.flags,
        )
        with _stopped_afterwards(options.repository, running) as keep:
            running.wait_until_ready(options.timeout)
            if options.detach:
                keep()
                _say(_welcome(options.repository, running, detached=True))
                return
            with contextlib.suppress(KeyboardInterrupt):
                _say(_welcome(options.repository, running, detached=False))
                while running.alive:
                    time.sleep(_PAUSE)
                if not record.knows(options.repository, running):
                    return  # Stopped by `down`.
                raise ServingError(
                    grpc.StatusCode.ABORTED,
                    f"the model server ended by itself; its log, {running.log}, ends with:\n"
                    f"{running.log_end()}",
                )


def _down(options: argparse.Namespace) -> None:
    running = record.read(options.repository)
    if running is None:
        _say(f"no server of {options.repository} is running")
        return
    running.check_own()
    # Before the stop, so that a waiting `up` sees that `down` stopped the server.
    record.forget(options.repository, running)
    _stop(options.repository, running)
    _say(f"{running.engine} at {running.address} is stopped")


def _logs(options: argparse.Namespace) -> None:
    running = record.read(options.repository)
    log = running.log if running else options.repository / record.LOG
    try:
        file = log.open(errors="replace")
    except FileNotFoundError as error:
        raise UserError(f"there is no log {log}; start a server: python -m serving up") from error
    except OSError as error:
        raise UserError(f"{log} cannot be read: {error.strerror}") from error
    with file:
        while True:
            # Checked before reading, so that the last lines are printed.
            continues = options.follow and running is not None and running.alive
            for line in file:
                print(line, end="", flush=True)
            if not continues:
                return
            time.sleep(_PAUSE)


def _welcome(repository: Path, running: ServerProcess, *, detached: bool) -> str:
    at = "" if repository == DEFAULT_REPOSITORY else f" --repository {repository}"
    rest = f"\n  REST  {running.rest_url}/v1/models/MODEL" if running.rest_port else ""
    end = f"  python -m serving down{at}" if detached else "  Ctrl-C stops the server"
    return (
        f"ready, serving {repository}\n  gRPC  {running.address}{rest}\n"
        f"  {_reach(running)}\nnext:\n"
        f"  python -m serving status{at}\n  python -m serving logs{at}\n{end}"
    )


def _reach(running: ServerProcess) -> str:
    """Returns who can reach the server, in one line."""
    if running.engine == "binary":
        return "all interfaces: TensorFlow Serving has no flag to listen on one, so mind firewalls"
    if running.host == ALL_INTERFACES:
        return "all interfaces: other machines reach it"
    if ipaddress.ip_address(running.host).is_loopback:
        return "this machine alone; --host 0.0.0.0 lets others in"
    return f"the interface of {running.host}"


@contextlib.contextmanager
def _stopped_afterwards(repository: Path, running: ServerProcess) -> Iterator[Callable[[], Any]]:
    """Stops the server after the block; yields a function that leaves it running instead."""
    with contextlib.ExitStack() as stack:
        stack.callback(_stop, repository, running)
        yield stack.pop_all


def _stop(repository: Path, running: ServerProcess) -> None:
    """Stops the server; kills it if that is interrupted."""
    try:
        running.stop()
    except KeyboardInterrupt:
        running.stop(0)
        raise
    finally:
        record.forget(repository, running)


def _say(text: str) -> None:
    print(as_called(text), file=sys.stdout, flush=True)
