"""A worker as a process, with a stub for the server itself."""

from __future__ import annotations

import subprocess
import sys

from tests.serving.server.processes import ENVIRONMENT, ROOT


def test_what_a_model_prints_is_neither_taken_for_ready_nor_in_the_way(tmp_path):
    """More than a pipe holds, before and after the worker is ready."""
    (tmp_path / "printing.py").write_text(
        "import os, sys, types\n"
        "from serving.server import worker\n"
        "def serve(flags, peers, stop, ready, zygote):\n"
        "    os.write(1, b'ready\\n' * 50_000)\n"
        "    ready()\n"
        "    os.write(1, b'printed\\n' * 50_000)\n"
        "worker.import_tensorflow = lambda: None\n"
        "def stub(name, **attributes):\n"
        "    sys.modules[name] = types.SimpleNamespace(**attributes)\n"
        "stub('serving.server.model_server', serve=serve)\n"
        "stub('serving.server.peers', Peers=lambda *_: None)\n"
        "sys.exit(worker.main(['0', sys.argv[1], '--port=1', '--model_base_path=/m']))\n"
    )
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "printing.py"), str(tmp_path)],
        cwd=ROOT,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.wait(120) == 0
        assert process.stdout
        assert process.stdout.read() == b"ready\n"
