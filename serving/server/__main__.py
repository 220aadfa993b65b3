"""`python -m serving.server --port=8500 --model_name=NAME --model_base_path=FOLDER`.

A model server that speaks TensorFlow Serving's protocol and takes its flags, also installed as
`foundry-model-server`.

Counterpart: tensorflow_serving/model_servers/main.cc.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from serving.server.flags import check, parse, usage
from serving.server.process import exit_code, set_up_logging
from serving.server.supervisor import supervise


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code of `process.exit_code`."""
    set_up_logging()
    return exit_code(lambda: _serve(sys.argv[1:] if arguments is None else arguments))


def _serve(arguments: Sequence[str]) -> int:
    flags = parse(arguments)
    if flags.help:
        return _tell(usage())
    if flags.version:
        return _tell(
            f"TensorFlow ModelServer: {version('tensorflow-serving-api')}\n"
            f"TensorFlow Library: {version('tensorflow')}"
        )
    check(flags)
    return supervise(flags, arguments)


def _tell(text: str) -> int:
    """Prints a text, of which a reader such as `head` may want the beginning only."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # What is left in the buffer would fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
