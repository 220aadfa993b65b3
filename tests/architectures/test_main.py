"""`python -m architectures`: the table, and what `show` prints and draws."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import keras
import pytest
from PIL import Image

import architectures
from architectures import drawing
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
    picture = tmp_path / "net.svg"
    arguments = ["resnet20", "depth=8", "input-shape=16,16,3", "--picture", str(picture)]
    assert main(["show", *arguments]) == 0
    printed = capsys.readouterr().out
    assert "conv2_1_add" in printed
    assert printed.rstrip().endswith(f"picture {picture}")
    elements = list(ElementTree.parse(picture).iter())
    names = {element.text for element in elements if element.text}
    with_names = architectures.build("resnet20", depth=8, input_shape=(16, 16, 3))
    assert {layer.name for layer in with_names.layers} <= names
    # Arcs go around the layers of three residuals, and nothing else is round.
    paths = [e.get("d", "") for e in elements if e.tag.endswith("path")]
    assert sum("C" in path for path in paths) == 11
    assert not list(tmp_path.glob(".*"))


STARTS = {
    ".png": b"\x89PNG",
    ".PDF": b"%PDF",
    ".jpg": b"\xff\xd8\xff",
    ".webp": b"RIFF",
    ".ps": b"%!PS",
}


@pytest.mark.parametrize("ending", STARTS)
def test_a_picture_has_the_format_of_its_ending(ending, tmp_path, capsys):
    picture = tmp_path / f"net{ending}"
    assert main(["show", "mlp", "units=[3]", "--picture", str(picture)]) == 0
    assert picture.read_bytes().startswith(STARTS[ending])


def test_a_narrow_terminal_cuts_no_number_of_parameters(tmp_path):
    done = subprocess.run(
        [*(sys.executable, "-m", "architectures", "show", "vgg11"), f"--picture={tmp_path}/a.svg"],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "60"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "102,764,544 │" in done.stdout
    assert "…" not in done.stdout
    # Nor is there a message of TensorFlow's native library.
    assert done.stderr == ""


def test_a_name_is_all_that_show_asks_for(capsys):
    with pytest.raises(SystemExit):
        main(["show"])
    assert capsys.readouterr().err.endswith("the following arguments are required: name\n")


def test_a_picture_of_many_layers_is_no_higher_than_a_bitmap_can_be(tmp_path):
    inputs = outputs = keras.Input((1,))
    for _ in range(700):
        outputs = keras.layers.Identity()(outputs)
    drawing.draw(keras.Model(inputs, outputs), tmp_path / "net.png")
    with Image.open(tmp_path / "net.png") as picture:
        assert 50_000 < picture.height <= 60_001


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
        (["mlp", "unit=3"], "mlp has no hyperparameter 'unit'; the nearest is units; it has: "),
        (["mlp", "units=0"], "mlp: units must be a list of integers, not 0"),
    ],
)
def test_a_wrong_choice_gets_one_sentence_and_exit_code_2(arguments, sentence, tmp_path, capsys):
    assert main(["show", *arguments, "--picture", str(tmp_path / "net.svg")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {sentence}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("picture", "sentence"),
    [
        ("net.bmp", r"a picture's file ends in \.svg, \.png, \.pdf, .*, not as net\.bmp"),
        ("net", r"a picture's file ends in \.svg, .*, not as net"),
        ("nowhere/net.svg", r"there is no folder .*/nowhere for the picture"),
    ],
)
def test_a_picture_that_cannot_be_written_gets_one_sentence(picture, sentence, tmp_path, capsys):
    assert main(["show", "mlp", "--picture", str(tmp_path / picture)]) == 2
    assert re.fullmatch(f"error: {sentence}\n", capsys.readouterr().err)


WRONG = [
    ("show resnet51", "unknown architecture 'resnet51'; the nearest are resnet"),
    ("show mlp unit=3", "mlp has no hyperparameter 'unit'"),
    ("show bert_tiny layer=3", "bert_tiny has no hyperparameter 'layer'; the nearest is layers"),
    ("show mlp --picture net.bmp", "a picture's file ends in"),
]


def test_wrong_choices_are_told_before_keras_is_imported(capfd):
    """All in one process, which is to import little."""
    script = (
        "import sys; from architectures.__main__ import main\n"
        f"print([main(line.split()) for line in {[line for line, _ in WRONG]}], *sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    codes, _, modules = done.stdout.partition("] ")
    assert codes == "[2, 2, 2, 2"
    assert not {"keras", "tensorflow"} & set(modules.split())
    for line, (_, sentence) in zip(done.stderr.splitlines(), WRONG, strict=True):
        assert line.startswith(f"error: {sentence}")
