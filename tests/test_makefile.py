"""`make` names what a machine lacks, in one sentence, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# A python3 that is new enough but cannot make environments, as Debian's without python3-venv.
WITHOUT_VENV = '#!/bin/sh\ncase "$2" in *ensurepip*) exit 1;; *) exit 0;; esac\n'
TOO_OLD = "#!/bin/sh\nexit 1\n"
WORKS = "#!/bin/sh\nexit 0\n"


@pytest.mark.parametrize(
    ("programs", "sentence"),
    [
        ({}, "git is missing: apt install git"),
        ({"git": WORKS}, "Python 3.11, 3.12 or 3.13 is missing: apt install python3"),
        (
            {"git": WORKS, "python3": TOO_OLD},
            "Python 3.11, 3.12 or 3.13 is missing: apt install python3",
        ),
        (
            {"git": WORKS, "python3": WITHOUT_VENV},
            "python3 has no venv module: apt install python3-venv",
        ),
    ],
)
def test_a_missing_program_is_named(tmp_path, programs, sentence):
    for name in ("Makefile", "requirements.lock", "requirements-build.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in programs.items():
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    make = shutil.which("make")
    assert make is not None
    done = subprocess.run(
        [make, "demo", "SHELL=/bin/sh"],
        cwd=tmp_path,
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout.strip() == sentence
    assert not (tmp_path / ".venv").exists()


def dry_run(*arguments: str) -> str:
    """What `make` would run, also where `make test` runs this and has set its own variables."""
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    return subprocess.run(
        ["make", "--dry-run", "--assume-old=install", *arguments],
        cwd=ROOT,
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_ports_of_the_server_are_chosen():
    commands = dry_run("serve", "PORT=9000", "REST_PORT=9001")
    assert commands.endswith("serving up --repository models --port 9000 --rest_port 9001\n")


def test_the_demo_depends_on_no_registry_of_images():
    text = dry_run("demo").replace("\\\n", " ")
    deploys = [line for line in text.splitlines() if "serving deploy" in line]
    assert deploys
    assert all("--engine embedded" in line for line in deploys)
