"""A worker as a process, with a stub for the server itself."""

from __future__ import annotations

import subprocess
import sys

from tests.serving.server.processes import ENVIRONMENT, ROOT


def test_what_a_model_prints_and_a_load_that_hangs_are_not_in_the_way(tmp_path):
    """More than a pipe holds, before and after the worker is ready; then a thread without end."""
    (tmp_path / "printing.py").write_text(
        "import os, runpy, sys, threading, time, types\n"
        "from serving.server import process\n"
        "def serve(flags, peers, stop, ready, zygote):\n"
        "    os.write(1, b'ready\\n' * 50_000)\n"
        "    ready()\n"
        "    os.write(1, b'printed\\n' * 50_000)\n"
        "    threading.Thread(target=time.sleep, args=[600]).start()\n"
        "process.import_tensorflow = lambda: None\n"
        "def stub(name, **attributes):\n"
        "    sys.modules[name] = types.SimpleNamespace(**attributes)\n"
        "stub('serving.server.model_server', serve=serve)\n"
        "stub('serving.server.peers', Peers=lambda *_: None)\n"
        "sys.argv += ['--port=1', '--model_base_path=/m']\n"
        "runpy.run_module('serving.server.worker', run_name='__main__')\n"
    )
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "printing.py"), "0", str(tmp_path)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.wait(60) == 0
        assert process.stdout
        assert process.stdout.read() == b"ready\n"
