"""The command `foundry`: its commands are those of the three packages, under one name."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from foundry.__main__ import commands, main, usage, version
from pipelines import catalog
from serving.__main__ import parsers

ROOT = Path(__file__).resolve().parent.parent.parent
# Called otherwise, as `foundry compare` compares runs.
COMPARE_LABELS = "compare-labels"


@pytest.mark.parametrize("name", commands())
def test_each_command_shows_its_own_help(name, capsys):
    code: object
    try:
        code = main([name, "--help"])
    except SystemExit as ended:  # argparse's.
        code = ended.code
    program = "python -m serving compare" if name == COMPARE_LABELS else f"foundry {name}"
    assert code == 0
    assert capsys.readouterr().out.startswith(f"usage: {program} ")


def test_every_command_of_serving_is_one_of_foundry():
    words = {c.words[0] for c in commands().values() if c.module == "serving.__main__"}
    assert words == set(parsers()[1])


def test_a_pipeline_is_trained_by_its_name(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "forecasting", "--help"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: foundry train forecasting ")
    assert main(["train", "forecasting", "--epochs", "0"]) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_help_lists_all_and_a_wrong_name_gets_the_nearest(capsys):
    assert main(["--help"]) == 0
    assert capsys.readouterr().out == usage()
    assert all(f"  {name} " in usage() for name in commands())
    assert main([]) == 2
    capsys.readouterr()
    assert main(["deploi"]) == 2
    assert capsys.readouterr().err == (
        "error: there is no command deploi; the nearest is deploy; foundry --help lists all\n"
    )


def test_help_imports_nothing_that_takes_a_moment():
    script = (
        "import sys; from foundry.__main__ import main; main(['--help'])\n"
        "print({'argcomplete', 'jsonargparse', 'keras', 'mlflow', 'tensorflow'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_there_is_one_version(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    client = ROOT / "serving/client_distribution/pyproject.toml"
    assert tomllib.loads(client.read_text())["project"]["version"] == project
    for name in (
        "README.md",
        "docs/scaling.md",
        "pipelines/kubernetes/Dockerfile",
        "pipelines/kubernetes/MLproject",
        "pipelines/kubernetes/job.yaml",
    ):
        named = re.findall(r"keras[-_]foundry[-:](\d[\d.]*\d)", (ROOT / name).read_text())
        assert set(named) == {project}, name
    changes = (ROOT / "CHANGELOG.md").read_text()
    assert re.findall(r"^## (\d\S*)$", changes, re.MULTILINE)[0] == project
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-foundry {version()}\n"


def completed(line: str) -> list[str]:
    """Returns what bash would offer at the end of a line."""
    script = "import foundry.__main__ as m; m.console()"
    # argcomplete writes to descriptor 8, and is silent on 9.
    done = subprocess.run(
        ["bash", "-c", 'exec "$0" -c "$1" 8>&1 9>/dev/null >/dev/null', sys.executable, script],
        cwd=ROOT,
        env={
            **os.environ,
            **{"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"},
            **{"_ARGCOMPLETE": "1", "_ARGCOMPLETE_IFS": "\n"},
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return [word.strip() for word in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("foundry pro", ["project", "promote"]),
        ("foundry train image_c", ["image_captioning", "image_classification"]),
        ("foundry train forecasting --keep ", ["auto", "best", "last"]),
        ("foundry train forecasting --dataset READ", ["README.md"]),
        ("foundry train forecasting --architecture lstm_", ["lstm_seq2seq"]),
        ("foundry sweep forecasting --spac", ["--space"]),
        ("foundry compare --exp", ["--experiment"]),
        ("foundry deploy digits --engine ", ["auto", "binary", "docker", "embedded"]),
        ("foundry compare-labels --lab", ["--labels"]),
        ("foundry architectures sh", ["show"]),
        ("foundry completion z", ["zsh"]),
    ],
)
def test_a_shell_completes_commands_options_and_values(line, offered):
    assert sorted(completed(line)) == offered


def test_a_shell_takes_the_code_for_completion(capsys):
    assert main(["completion", "bash"]) == 0
    code = capsys.readouterr().out
    asked = subprocess.run(
        ["bash", "-c", f"{code}\ncomplete -p foundry"], capture_output=True, text=True, check=True
    )
    assert "foundry" in asked.stdout


def test_all_pipelines_can_be_completed():
    assert set(completed("foundry train ")) == set(catalog.pipelines())


def test_every_module_of_a_command_exists():
    for command in commands().values():
        assert callable(importlib.import_module(command.module).main)
