"""The command line: help, lists, exit codes and messages, before any work is done."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import ChainMap
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from pipelines import config as recipe
from pipelines.__main__ import main
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.config import Config
from pipelines.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("tensorflow", "keras", "mlflow", "sklearn", "matplotlib", "tensorflow_datasets")


def command(*arguments: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs the command line in a process; returns it and the heavy packages it imported."""
    script = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('pipelines', run_name='__main__')\n"
        "finally:\n"
        f"    print(*[name for name in {HEAVY} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done, done.stdout.rsplit("\n", 2)[1]


def meanings(config: Config) -> dict[str, str]:
    """Returns the line under each field of the dataclasses, by dotted option."""
    lines: dict[str, dict[str, str]] = {}
    for node in ast.parse(Path(recipe.__file__).read_text()).body:
        if isinstance(node, ast.ClassDef):
            lines[node.name] = {
                field.target.id: str(text.value.value)
                for field, text in zip(node.body, node.body[1:], strict=False)
                if isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(text, ast.Expr)
                and isinstance(text.value, ast.Constant)
            }

    def below(choice, prefix: str) -> dict[str, str]:
        inherited = [lines.get(kind.__name__, {}) for kind in type(choice).__mro__]
        found: dict[str, str] = {}
        for field in fields(choice):
            value = getattr(choice, field.name)
            if is_dataclass(value):
                nested = prefix if field.name == "recipe" else f"{prefix}{field.name}."
                found |= below(value, nested)
            else:
                found[prefix + field.name] = ChainMap(*inherited)[field.name]
        return found

    return below(config, "")


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_help_names_every_option_with_its_meaning_and_default(pipeline, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "500")  # So that no word is broken.
    with pytest.raises(SystemExit) as left:
        parse([pipeline, "--help"])
    assert left.value.code == 0
    shown = capsys.readouterr().out
    assert PIPELINES[pipeline].summary in shown
    entries = {}
    for entry in re.split(r"\n+(?=  -|\S)", shown):
        option, *rest = entry.split()
        entries[option] = " ".join(rest)
    config = PIPELINES[pipeline].defaults
    defaults = config.parameters() | {"model": config.model}
    for option, meaning in meanings(config).items():
        assert meaning in entries[f"--{option}"]
        assert entries[f"--{option}"].endswith(f"default: {defaults[option]})")


def test_a_task_knows_only_the_options_that_it_understands():
    known = {name: meanings(pipeline.defaults) for name, pipeline in PIPELINES.items()}
    assert "augmentation.flip" in known["image_classification"]
    assert "augmentation.flip" not in known["text_classification"]
    assert "horizon" in known["forecasting"]
    assert "horizon" not in known["image_classification"]
    with pytest.raises(UserError, match="--horizon"):
        parse(["image_classification", "--horizon", "3"])


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_every_option_has_a_line_of_meaning(pipeline):
    config = PIPELINES[pipeline].defaults
    lines = meanings(config)
    assert len(lines) >= len(replace(config, model={}).parameters())
    for option, meaning in lines.items():
        assert meaning.endswith("."), option
        assert "\n" not in meaning, option


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
def test_the_list_of_pipelines_imports_no_tensorflow(arguments):
    done, heavy = command(*arguments)
    assert done.returncode == 0
    for name, pipeline in PIPELINES.items():
        assert name in done.stdout
        assert pipeline.defaults.dataset in done.stdout
    assert heavy == ""


def test_help_imports_no_tensorflow():
    done, heavy = command("image_classification", "--help")
    assert done.returncode == 0
    assert "--optimizer.learning_rate" in done.stdout
    assert heavy == ""


MISTAKES = [
    (["resnet"], "unknown pipeline 'resnet'; known are: .*image_classification"),
    (["--epochs", "3"], "unknown pipeline '--epochs'"),
    (["image_classification", "--nonsense", "3"], "--nonsense"),
    (["image_classification", "nonsense"], "nonsense"),
    (["image_classification", "--optimizer.nonsense", "3"], "--optimizer.nonsense"),
    (["image_classification", "--epochs", "many"], "--epochs: .*int.*many"),
    (["image_classification", "--epochs", "1.5"], "--epochs: .*int.*1.5"),
    (["image_classification", "--epochs"], "--epochs: expected one argument"),
    (["image_classification", "--epochs", "0"], "--epochs must be between 1 and 100000, not 0"),
    (["image_classification", "--precision", "float8"], "--precision: .*mixed_bfloat16.*float8"),
    (["image_classification", "--augmentation.flip", "maybe"], "--augmentation.flip: .*maybe"),
    (["image_classification", "--history", "3"], "--history"),
    (["forecasting", "--augmentation.flip", "true"], "--augmentation.flip"),
    (["forecasting", "--horizon", "0"], "--horizon must be between 1 and 10000, not 0"),
    (["text_classification", "--text_signature", "3"], "--text_signature: .*3"),
    (["image_classification", "--model", "3"], "--model: .*3"),
    (
        ["image_classification", "--architecture", "resnet9"],
        "'resnet9'; `python -m architectures` lists them",
    ),
    (["image_classification", "--config", "nowhere.yaml"], "--config: .*nowhere.yaml"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=lambda part: str(part)[:50])
def test_a_mistake_ends_with_code_2_and_one_sentence(arguments, message, workplace, capsys):
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(rf"error: .*{message}.*\n", shown.err)
    assert shown.out == ""
    assert list(workplace.iterdir()) == [], "nothing is made before the choices are checked"


@pytest.mark.parametrize("text", ["[1, 2", "epochs: many", "nonsense: 3", "- 1\n- 2\n"])
def test_a_file_that_holds_no_choices_is_refused(text, workplace, capsys):
    Path("config.yaml").write_text(text)
    assert main(["image_classification", "--config", "config.yaml"]) == 2
    assert re.fullmatch(r"error: \S.*\n", capsys.readouterr().err)
