"""Input of training from other processes or machines, by tf.data service.

`python -m pipelines data_service` starts servers that prepare batches: they read, shuffle,
preprocess and augment. With `--data_service grpc://HOST:PORT,…` a training takes its batches from
them, of several servers in turn, so that they are the same ones, in the same order, as without.
"""

from __future__ import annotations

import argparse
import re
import signal
import socket
import threading
from collections.abc import Callable, Sequence

import tensorflow as tf

from pipelines.errors import UserError

SCHEME = "grpc://"
_SECONDS = 5.0


def addresses(option: str) -> list[str]:
    """Returns the servers of `--data_service` as HOST:PORT; none for "".

    Raises:
        UserError: It is no list of grpc://HOST:PORT.
    """
    servers = [server.strip() for server in option.split(",")] if option else []
    for server in servers:
        if not re.fullmatch(rf"{SCHEME}[\w.-]+:\d+", server):
            raise UserError(f"--data_service must be {SCHEME}HOST:PORT, not {server!r}")
    return [server.removeprefix(SCHEME) for server in servers]


def check(option: str) -> None:
    """Raises `UserError` if a server of `--data_service` does not answer."""
    for server in addresses(option):
        host, _, port = server.rpartition(":")
        try:
            socket.create_connection((host, int(port)), timeout=_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UserError(
                f"--data_service {SCHEME}{server} does not answer ({error}); start it there with "
                f"python -m pipelines data_service --port {port}"
            ) from error


def served(
    batches: Callable[[int, int], tf.data.Dataset], servers: Sequence[str]
) -> tf.data.Dataset:
    """Returns the batches as the servers prepare them, in the same order.

    Args:
        batches: Takes a count and a number, and returns each count-th batch from the number on.
        servers: As HOST:PORT; none prepares the batches in this process.
    """
    if not servers:
        return batches(1, 0)
    streams = [
        batches(len(servers), number).apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.OFF, f"{SCHEME}{server}"
            )
        )
        for number, server in enumerate(servers)
    ]
    if len(streams) == 1:
        return streams[0]
    turns = tf.data.Dataset.range(len(streams)).repeat()
    return tf.data.Dataset.choose_from_datasets(streams, turns, stop_on_empty_dataset=True)


def main(arguments: Sequence[str]) -> int:
    """Serves batches until Ctrl-C or SIGTERM.

    Raises:
        UserError: A port is taken.
    """
    parser = argparse.ArgumentParser(
        prog="python -m pipelines data_service",
        description="Prepares batches for trainings with --data_service, until Ctrl-C or SIGTERM.",
    )
    parser.add_argument("--port", type=int, default=5050, help="first port (default: 5050)")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of servers, on ports in a row (default: 1)"
    )
    options = parser.parse_args(arguments)
    if not (options.port > 0 and options.workers > 0 and options.port + options.workers <= 2**16):
        raise UserError("--port and --workers must be positive, and ports end at 65535")
    ports = range(options.port, options.port + options.workers)
    servers = [_start(port) for port in ports]
    ended = threading.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, lambda *_: ended.set())
    host = socket.gethostname()
    option = ",".join(f"{SCHEME}{host}:{port}" for port in ports)
    print(f"serving batches; train with --data_service {option}", flush=True)
    while not ended.wait(1.0):
        pass
    for dispatcher, worker in servers:
        worker._stop()
        dispatcher._stop()
    print("ended")
    return 0


def _start(
    port: int,
) -> tuple[tf.data.experimental.service.DispatchServer, tf.data.experimental.service.WorkerServer]:
    """Returns a dispatcher on a port, with the worker that it has its batches from."""
    service = tf.data.experimental.service
    _check_free(port)
    dispatcher = service.DispatchServer(service.DispatcherConfig(port=port))
    worker = service.WorkerServer(service.WorkerConfig(dispatcher_address=f"localhost:{port}"))
    return dispatcher, worker


def _check_free(port: int) -> None:
    try:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise UserError(f"port {port} cannot be used: {error.strerror}") from error
