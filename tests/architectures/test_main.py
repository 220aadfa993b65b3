"""`python -m architectures`: the table, and what `show` prints and draws."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import architectures
from architectures.__main__ import main, markdown, rows

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_table_lists_every_architecture_without_importing_keras():
    script = (
        "import runpy, sys; sys.argv = ['architectures'];\n"
        "try: runpy.run_module('architectures', run_name='__main__')\n"
        "except SystemExit: print('keras' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    header, *lines, imported = done.stdout.splitlines()
    assert header.split() == ["name", "family", "source", "parameters", "input"]
    assert [line.split()[0] for line in lines] == list(architectures.ARCHITECTURES)
    assert imported == "False"


def test_every_row_is_complete():
    for name, family, source, count, inputs in rows():
        assert all((name, family, source, inputs))
        entry = architectures.ARCHITECTURES[name]
        assert count == ("" if entry.parameters is None else f"{entry.parameters:,}")


def test_the_markdown_table_has_the_same_rows():
    lines = markdown().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == list(architectures.ARCHITECTURES)


def test_show_draws_each_layer_and_each_shortcut(tmp_path, capsys):
    figure = tmp_path / "net.svg"
    arguments = ["resnet20", "depth=8", "input_shape=16,16,3", "--figure", str(figure)]
    assert main(["show", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "conv2_1_add" in printed
    assert printed.rstrip().endswith(f"figure {figure}")
    names = {element.text for element in ElementTree.parse(figure).iter() if element.text}
    with_names = architectures.build("resnet20", depth=8, input_shape=(16, 16, 3))
    assert {layer.name for layer in with_names.layers} <= names
    # Three residuals go around their layers.
    paths = [e.get("d", "") for e in ElementTree.parse(figure).iter() if e.tag.endswith("path")]
    assert sum("C" in path for path in paths) >= 3
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["resnet51"], "unknown architecture 'resnet51'; the nearest are resnet"),
        (["lstm"], "lstm needs a value for outputs"),
        (
            ["mlp", "units"],
            "'units' is not a hyperparameter: write OPTION=VALUE, such",
        ),
        (["mlp", "depth=3"], "mlp has no hyperparameter 'depth'"),
        (["mlp", "units=0"], "mlp: units must be a list of integers, not 0"),
    ],
)
def test_a_wrong_choice_gets_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, capsys):
    assert main(["show", *arguments, "--figure", str(tmp_path / "net.svg")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())
