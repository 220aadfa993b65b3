"""`python -m serving.server --port=8500 --model_name=NAME --model_base_path=FOLDER`.

A model server that speaks TensorFlow Serving's protocol and takes its flags.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.errors import ServingError, UserError
from serving.server.flags import Flags, parse

log = logging.getLogger("serving.server")

_DRAIN_SECONDS = 10


def main(arguments: Sequence[str]) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname).1s %(name)s] %(message)s"
    )
    try:
        flags = parse(arguments)
        if flags.version:
            return _print_versions()
        base_path = Path(flags.model_base_path).absolute()
        if not flags.model_base_path:
            raise UserError("--model_base_path is missing: the folder of the model's versions")
        if not base_path.is_dir():
            raise UserError(
                f"Could not find base path {base_path} for servable {flags.model_name}; "
                "deploy a model first"
            )
        return _serve(flags, base_path)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1


def _serve(flags: Flags, base_path: Path) -> int:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow takes seconds to import: not before the flags are known to be right.
    from serving.server import grpc_front
    from serving.server.core import Core
    from serving.server.manager import Manager, Model
    from serving.server.runtime import Session
    from serving.server.warmup import warm_up

    def load(path: Path) -> Session:
        session = Session(path, flags.saved_model_tags.split(","))
        try:
            if flags.enable_model_warmup:
                warm_up(session, path)
        except Exception:
            session.close()
            raise
        return session

    manager = Manager(
        [Model(flags.model_name, base_path)],
        load,
        poll_seconds=flags.file_system_poll_wait_seconds,
        load_retries=flags.max_num_load_retries,
        retry_seconds=flags.load_retry_interval_micros / 1e6,
    )
    try:
        if not _until_ready(manager, stop):
            return 0
        server, port = grpc_front.serve(Core(manager), flags.port, threads=flags.grpc_max_threads)
        log.info("Running gRPC ModelServer at 0.0.0.0:%d ...", port)
        stop.wait()
        log.info("Stopping: requests in flight have %d s to end", _DRAIN_SECONDS)
        server.stop(_DRAIN_SECONDS).wait()
    finally:
        manager.stop()
    return 0


def _until_ready(manager, stop: threading.Event) -> bool:
    """Starts the manager; returns False if a signal came before the models were available."""
    failure: list[ServingError] = []
    settled = threading.Event()

    def start() -> None:
        try:
            manager.start()
        except ServingError as error:
            failure.append(error)
        finally:
            settled.set()

    threading.Thread(target=start, name="start", daemon=True).start()
    while not settled.wait(0.1):
        if stop.is_set():
            return False
    if failure:
        raise failure[0]
    return True


def _print_versions() -> int:
    from importlib.metadata import version

    print(f"TensorFlow ModelServer: {version('tensorflow-serving-api')}")
    print(f"TensorFlow Library: {version('tensorflow')}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
