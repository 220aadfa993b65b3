"""`python -m serving.server --port=8500 --model_name=NAME --model_base_path=FOLDER`.

A model server that speaks TensorFlow Serving's protocol and takes its flags. It is installed as
`foundry-model-server`, too.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from serving.errors import UserError
from serving.server.flags import check, parse
from serving.server.supervisor import supervise


def main(arguments: Sequence[str] | None = None) -> int:
    """Serves until SIGTERM or Ctrl-C; returns the exit code.

    0: it was told to end. 1: a model could not be loaded. 2: a choice cannot work.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    set_up_logging()
    try:
        flags = parse(arguments)
        if flags.version:
            return _print_versions()
        check(flags)
        return supervise(flags, arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def set_up_logging(name: str = "") -> None:
    """Logs to stderr as TensorFlow Serving does, with the name of the process if it has one."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname).1s {name}%(name)s] %(message)s"
    )


def _print_versions() -> int:
    from importlib.metadata import version

    print(f"TensorFlow ModelServer: {version('tensorflow-serving-api')}")
    print(f"TensorFlow Library: {version('tensorflow')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
