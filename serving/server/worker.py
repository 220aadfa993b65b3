"""`python -m serving.server.worker INDEX FOLDER --flag=value …`: a process that answers.

The supervisor starts it, reads "ready" from its standard output when it answers, and holds its
standard input open: when that ends, so does the worker.
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
from serving.server.__main__ import set_up_logging
from serving.server.flags import parse
from serving.server.servables.session_options import set_environment


def main(arguments: Sequence[str]) -> int:
    """Answers until SIGTERM or the supervisor's end; returns the exit code."""
    index, folder, *rest = arguments
    # The supervisor reads one line, and models may print: that goes where the log goes.
    told = os.dup(1)
    os.dup2(2, 1)
    # The supervisor has named what it does not know, once for all workers.
    logging.getLogger("serving.server.flags").setLevel(logging.CRITICAL)
    flags = parse(rest)
    set_up_logging(f"worker {index} " if flags.workers > 1 else "")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The supervisor passes it on as SIGTERM.
    threading.Thread(target=_until_orphaned, args=[stop], name="orphan", daemon=True).start()
    set_environment(flags)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # TensorFlow takes seconds to import: not before the flags are known to be right.
    from serving.server.model_server import serve
    from serving.server.peers import Peers

    def ready() -> None:
        os.write(told, b"ready\n")

    peers = Peers(Path(folder), int(index), flags.workers)
    try:
        serve(flags, peers, stop, ready)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"Failed to start server. Error: {error}", file=sys.stderr)
        return 1
    return 0


def _until_orphaned(stop: threading.Event) -> None:
    while os.read(0, 1024):  # Not through sys.stdin, whose lock would be held at the end.
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
