"""Messages name commands in the words of the program that was called."""

from __future__ import annotations

import subprocess
import sys

import pytest

import pipelines.words
import serving.commands.words

SERVING = {
    "python -m serving deploy digits --version 2": "foundry deploy digits --version 2",
    "start one: python -m serving up": "start one: foundry up",
    "next: python -m serving compare digits": "next: foundry compare-labels digits",
    "python -m serving.server": "python -m serving.server",
}
PIPELINES = {
    "`python -m pipelines translation` makes one": "`foundry train translation` makes one",
    "python -m pipelines sweep translation": "foundry sweep translation",
    "next       python -m serving deploy digits": "next       foundry deploy digits",
}


@pytest.mark.parametrize("program", ["/usr/bin/foundry", "/site-packages/foundry/__main__.py"])
def test_a_message_speaks_of_foundry_where_that_was_called(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "deploy"])
    for said, expected in SERVING.items():
        assert serving.commands.words.as_called(said) == expected
    for said, expected in PIPELINES.items():
        assert pipelines.words.as_called(said) == expected


@pytest.mark.parametrize("program", ["/home/me/foundry/serving/__main__.py", "/usr/bin/pytest", ""])
def test_a_message_stays_where_a_module_was_called(program, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program])
    for said in SERVING:
        assert serving.commands.words.as_called(said) == said
    for said in PIPELINES:
        assert pipelines.words.as_called(said) == said


@pytest.mark.parametrize(
    ("module", "hint"), [("foundry", "foundry up"), ("serving", "python -m serving up")]
)
def test_a_command_gives_its_hint_so(module, hint, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", module, "logs", "--repository", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.endswith(f"start a server: {hint}\n")
