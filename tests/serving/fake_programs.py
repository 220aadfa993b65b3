"""Programs for a PATH of the test's own: a docker, a tensorflow_model_server, an nvidia-smi.

Each writes down how it was called. The servers are this project's own, or small ones that answer
nothing but a connection.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

_RECORD = """\
import json, os, signal, subprocess, sys, time
from pathlib import Path
folder = Path({folder!r})
with open(folder / "{name}.calls", "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
"""

_DOCKER = """\
state = folder / "state"
command, *arguments = sys.argv[1:]
def container(name):
    file = state / name
    return int(file.read_text()) if file.exists() else None
if command == "info":
    if not {daemon}:
        sys.exit("Cannot connect to the Docker daemon")
    print(json.dumps({runtimes!r}) if "Runtimes" in arguments[-1] else "29.0.0")
elif command == "image":
    sys.exit(0 if (state / "image").exists() else "No such image")
elif command == "pull":
    if not {pullable}:
        sys.exit("no such host")
    (state / "image").touch()
elif command == "run":
    name = arguments[arguments.index("--name") + 1]
    image = next(i for i, each in enumerate(arguments) if each.startswith("tensorflow/serving:"))
    (state / name).write_text(str(os.getpid()))
    os.execv(sys.executable, [sys.executable, *{server!r}, *arguments[image + 1:]])
elif command == "stop":
    pid = container(arguments[-1])
    if pid is None:
        sys.exit("No such container")
    os.kill(pid, signal.SIGTERM)
    (state / arguments[-1]).unlink()
elif command == "inspect":
    pid = container(arguments[-1])
    if pid is None:
        sys.exit("No such object")
    print("true" if Path(f"/proc/{{pid}}").exists() else "false")
"""

# Answers a connection to gRPC and to REST, without TensorFlow.
SMALL = """\
import http.server, signal, sys, threading
from concurrent import futures
import grpc
flags = dict(flag[2:].partition("=")[::2] for flag in sys.argv[1:])
print("started with", flags, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_error(400)
server = grpc.server(futures.ThreadPoolExecutor(1))
server.add_insecure_port("0.0.0.0:" + flags["port"])
server.start()
if flags["rest_api_port"] != "0":
    http.server.ThreadingHTTPServer(("", int(flags["rest_api_port"])), Handler).serve_forever()
signal.pause()
"""

FAILS = """\
import sys
print("a long story", flush=True)
sys.exit("Failed to start server. Error: NOT_FOUND: no such thing")
"""
NEVER_READY = "import signal\nprint('still loading', flush=True)\nsignal.pause()\n"
DEAF = (
    "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print('deaf', flush=True)\nwhile True: signal.pause()\n"
)

OWN_SERVER = ("-m", "serving.server")


def small_server(folder: Path, program: str = SMALL) -> tuple[str, ...]:
    """Returns arguments for Python that run a program."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "server.py"
    file.write_text(program)
    return (str(file),)


def docker(
    folder: Path,
    *,
    server: tuple[str, ...] = (),
    daemon: bool = True,
    pullable: bool = True,
    runtimes: tuple[str, ...] = ("runc",),
) -> None:
    """Puts a docker on the path.

    Args:
        folder: The path.
        server: What Python runs as a container, with the flags after it.
        daemon: Whether a daemon answers.
        pullable: Whether images can be pulled; none is there at first.
        runtimes: What the daemon has.
    """
    (folder / "state").mkdir(parents=True, exist_ok=True)
    body = _DOCKER.format(
        daemon=daemon, pullable=pullable, runtimes=dict.fromkeys(runtimes), server=server
    )
    _write(folder, "docker", body)


def tensorflow_model_server(folder: Path, server: tuple[str, ...] = ()) -> Path:
    """Puts a tensorflow_model_server on the path."""
    body = f"os.execv(sys.executable, [sys.executable, *{server!r}, *sys.argv[1:]])\n"
    return _write(folder, "tensorflow_model_server", body)


def nvidia_smi(folder: Path, listed: str) -> None:
    """Puts an nvidia-smi on the path."""
    _write(folder, "nvidia-smi", f"print({listed!r}, end='')\n")


def calls(folder: Path, name: str) -> list[list[str]]:
    """Returns the arguments of each call of a program so far."""
    file = folder / f"{name}.calls"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def _write(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / name
    head = f"#!{sys.executable} -S\n" if body.startswith("print") else f"#!{sys.executable}\n"
    file.write_text(head + _RECORD.format(folder=str(folder), name=name) + body)
    file.chmod(0o755)
    return file
