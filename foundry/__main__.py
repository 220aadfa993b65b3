"""`foundry COMMAND`: architectures, pipelines and serving under one name.

Each command is one of `python -m architectures`, `python -m pipelines` or `python -m serving`, and
takes the same options. Nothing but the chosen command's module is imported.
"""

from __future__ import annotations

import difflib
import importlib
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from architectures import pipes

PROGRAM = "foundry"
DISTRIBUTION = "keras-foundry"


@dataclass(frozen=True)
class Command:
    """A command of `foundry`.

    Attributes:
        summary: What it does, in a line.
        module: The module whose `main(arguments, prog)` runs it and returns its exit code.
        words: What comes before its arguments on that module's own command line.
    """

    summary: str
    module: str
    words: tuple[str, ...] = ()

    def run(self, name: str, arguments: Sequence[str]) -> int:
        """Runs the command, called `name`, and returns its exit code."""
        main: Callable[..., int] = importlib.import_module(self.module).main
        if self.words == (name,):  # Its parser adds the word by itself.
            return main([name, *arguments], prog=PROGRAM)
        if self.words:  # Called otherwise there; its help says how.
            return main([*self.words, *arguments])
        return main(arguments, prog=f"{PROGRAM} {name}")


def _serving(summary: str, word: str) -> Command:
    return Command(summary, "serving.__main__", (word,))


def _pipelines(summary: str, *words: str) -> Command:
    return Command(summary, "pipelines.__main__", words)


# By heading, the commands by name.
COMMANDS: Mapping[str, Mapping[str, Command]] = {
    "train": {
        "train": _pipelines("run a training pipeline, tracked and compared with baselines"),
        "sweep": _pipelines("search hyperparameters of a pipeline", "sweep"),
        "compare": _pipelines("compare runs", "compare"),
        "export": _pipelines("export smaller variants of what a run trained", "export"),
        "ui": _pipelines("open the MLflow UI on the store", "ui"),
        "architectures": Command("list the architectures, show one", "architectures.__main__"),
        "project": Command("write an MLflow project into a folder", "foundry.project"),
    },
    "serve": {
        "deploy": _serving("serve a registered version under a label", "deploy"),
        "promote": _serving("move a label, by default stable to the canary", "promote"),
        "rollback": _serving("move stable back to the version before", "rollback"),
        "undeploy": _serving("stop serving versions and delete them", "undeploy"),
        "status": _serving("show registry, repository and server side by side", "status"),
        "compare-labels": _serving("compare answers and latencies of two labels", "compare"),
        "query": _serving("send images, texts or JSON lines to a served model", "query"),
        "score": _serving("score files of rows without a server", "score"),
        "watch": _serving("compare logged requests with validation", "watch"),
        "up": _serving("start a model server on the model repository", "up"),
        "down": _serving("stop the server that up started", "down"),
        "logs": _serving("show the server's log", "logs"),
    },
    "shell": {
        "completion": Command("print what completes commands in a shell", "foundry.completion"),
    },
}


def commands() -> dict[str, Command]:
    """Returns all commands by name."""
    return {name: command for group in COMMANDS.values() for name, command in group.items()}


def main(arguments: Sequence[str]) -> int:
    """Runs a command and returns its exit code; 2 for a user error."""
    known = commands()
    if not arguments or arguments[0] in ("-h", "--help"):
        print(usage(), end="")
        return 0 if arguments else 2
    if arguments[0] == "--version":
        print(f"{DISTRIBUTION} {version()}")
        return 0
    name, *rest = arguments
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        nearest = f"the nearest is {near[0]}; " if near else ""
        print(
            f"error: there is no command {name}; {nearest}{PROGRAM} --help lists all",
            file=sys.stderr,
        )
        return 2
    return known[name].run(name, rest)


def usage() -> str:
    """Returns the help of `foundry` itself."""
    lines = [f"usage: {PROGRAM} COMMAND [--help] …", f"       {PROGRAM} --version"]
    for heading, group in COMMANDS.items():
        lines += ["", f"{heading}:"]
        lines += [f"  {name:<16}{command.summary}" for name, command in group.items()]
    return "\n".join([*lines, ""])


def version() -> str:
    """Returns the version of the installed distribution."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "of a checkout that is not installed"


def console() -> None:
    """The program `foundry`."""
    if "_ARGCOMPLETE" in os.environ:  # A shell asks how to go on.
        importlib.import_module("foundry.completion").complete()
    with pipes.may_close():
        sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    console()
