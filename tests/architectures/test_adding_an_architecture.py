"""The package of docs/adding-an-architecture.md, installed and run as a package of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs/adding-an-architecture.md").read_text()
FILES = dict(re.findall(r"^`([\w./-]+)`, .*?^```(?:toml|python)\n(.*?)^```", PAGE, re.M | re.S))
COMMANDS = re.search(r"^Install the package.*?```sh\n(.*?)```", PAGE, re.M | re.S)


class Project:
    """The page's files in a folder, installed in another one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        for name, text in FILES.items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        site = folder / "site"
        offline = ["--no-build-isolation", "--no-index", "--quiet"]
        self.environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": "",
            "PYTHONPATH": f"{ROOT}:{site}",
            "PYTHONSAFEPATH": "1",  # The installed package counts, not the folder's.
            "TF_CPP_MIN_LOG_LEVEL": "3",
        }
        self.run("-m", "pip", "install", "--no-deps", *offline, "--target", str(site), ".")

    def run(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Runs Python in the folder, which must end with the exit code."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code, done.stdout[-4000:] + done.stderr[-4000:]
        return done


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp("adding"))


def test_the_page_shows_four_files_and_five_commands():
    assert list(FILES) == [
        *("pyproject.toml", "all_cnn/__init__.py", "all_cnn/builder.py", "test_all_cnn.py"),
    ]
    assert COMMANDS
    assert COMMANDS[1].splitlines() == [
        "python -m pip install --no-deps .",
        "python -m architectures list",
        "python -m architectures show all_cnn",
        "python -m pytest",
        "python -m pipelines image_classification --architecture all_cnn",
    ]


def test_the_listing_shows_it_without_importing_keras(project):
    listing = project.run("-m", "architectures", "list")
    assert listing.stderr == ""
    (line,) = [line for line in listing.stdout.splitlines() if line.startswith("all_cnn ")]
    cells = re.split(r"\s{2,}", line)
    assert cells[1:3] == ["all-convolutional network", "Springenberg et al. 2015"]
    assert cells[3:] == ["1,369,738", "image 32x32x3"]
    script = "import sys, architectures as a; a.get('all_cnn'); print('keras' in sys.modules)"
    assert project.run("-c", script).stdout == "False\n"


def test_it_is_drawn_its_own_tests_pass_and_the_command_of_a_pipeline_reaches_its_builder(project):
    """In one process, which imports TensorFlow once.

    A whole run takes a minute; what this one is told is a sentence of the page's builder.
    """
    command = ["image_classification", "--architecture", "all_cnn", "--model.filters", "0"]
    script = (
        "import sys, pytest\n"
        "from architectures.__main__ import main\n"
        "from pipelines.__main__ import main as pipelines\n"
        "assert main(['show', 'all_cnn']) == 0\n"
        f"assert pipelines({command}) == 2\n"
        "sys.exit(pytest.main(['-q', '-p', 'no:cacheprovider']))"
    )
    done = project.run("-c", script)
    assert "1,369,738" in done.stdout
    assert "12 passed" in done.stdout
    assert "conv8" in (project.folder / "all_cnn.svg").read_text()
    assert done.stderr.splitlines() == ["error: all_cnn: filters must be positive integers, not 0"]
