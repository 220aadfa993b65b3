"""`python -m serving.server.worker INDEX FOLDER --flag=value …`: a process that answers requests.

The supervisor starts it, reads "ready" from its standard output once it answers, and holds its
standard input open: when that closes, the worker stops.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.server.flags import parse
from serving.server.process import exit_code, import_tensorflow, set_up_logging
from serving.server.servables.session_options import set_environment
from serving.server.zygote import Zygote


def main(arguments: Sequence[str]) -> int:
    """Answers until SIGTERM or the supervisor's end; returns the exit code."""
    index, folder, *rest = arguments
    # The supervisor reads one line of stdout. Models may print too: that goes to stderr, the log.
    to_supervisor = os.dup(1)
    os.dup2(2, 1)
    # The supervisor has already logged unknown flags, once for all workers.
    logging.getLogger("serving.server.flags").setLevel(logging.CRITICAL)
    flags = parse(rest)
    set_up_logging(f"worker {index} " if flags.workers > 1 else "")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # The supervisor passes it on as SIGTERM.
    set_environment(flags)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    # It takes seconds: not before the flags are known to be right.
    import_tensorflow()
    from serving.server.model_server import serve
    from serving.server.peers import Peers

    zygote = Zygote.forked()  # Before this process has threads.
    threading.Thread(target=_stop_when_orphaned, args=[stop], name="orphan", daemon=True).start()

    def ready() -> None:
        os.write(to_supervisor, b"ready\n")

    def run() -> int:
        serve(flags, Peers(Path(folder), int(index), flags.workers), stop, ready, zygote)
        return 0

    return exit_code(run)


def _stop_when_orphaned(stop: threading.Event) -> None:
    while os.read(0, 1024):  # Not through sys.stdin, whose lock would be held at the end.
        pass
    stop.set()


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not Python's and TensorFlow's own end: it waits for threads that load or close a model.
    os._exit(code)
