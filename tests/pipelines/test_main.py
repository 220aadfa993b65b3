"""The command: lists, exit codes and messages, before any work is done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.catalog import PIPELINES

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("tensorflow", "keras", "mlflow", "sklearn", "matplotlib", "tensorflow_datasets")


def command(*arguments: str) -> tuple[subprocess.CompletedProcess[str], str]:
    """Runs the command in a process 80 columns wide; returns the heavy packages it imported too."""
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
        env={**os.environ, "COLUMNS": "80"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done, done.stdout.rsplit("\n", 2)[1]


def test_the_list_of_pipelines_has_no_cut_word_and_imports_no_tensorflow():
    done, heavy = command()
    assert done.returncode == 0
    listed = done.stdout.split("architecture", 1)[1].splitlines()[1:-1]
    assert all(len(line) <= 80 for line in listed)
    words = " ".join(listed).split()
    for name, pipeline in PIPELINES.items():
        for text in (name, pipeline.summary, pipeline.defaults.dataset):
            assert set(text.split()) <= set(words)
        assert pipeline.defaults.architecture in words
    assert heavy == ""


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_without_a_pipeline_lists_the_pipelines(option, capsys):
    assert main([option]) == 0
    shown = capsys.readouterr().out
    assert "usage: python -m pipelines PIPELINE" in shown
    assert set(PIPELINES) <= set(shown.split())


@pytest.mark.parametrize(
    "arguments",
    [
        "image_classification --model.filterz 3",
        "image_classification --dataset ./nowhere",
        "image_classification --dataset cifar11",
        "text_classification --encoder models:/era/1",
    ],
)
def test_a_wrong_choice_imports_no_tensorflow(arguments):
    done, heavy = command(*arguments.split())
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert not {"tensorflow", "keras", "mlflow"} & set(heavy.split())


def test_help_imports_no_tensorflow():
    done, heavy = command("image_classification", "--help")
    assert done.returncode == 0
    assert "--optimizer.learning_rate" in done.stdout
    assert heavy == ""


MISTAKES = [
    ("resnet", "unknown pipeline 'resnet'; known are: .*image_classification.*"),
    ("--epochs 3", "unknown pipeline '--epochs'.*"),
    ("image_classification --nonsense 3", "there is no option --nonsense; .*"),
    ("image_clasification", "unknown pipeline 'image_clasification'; the nearest is image_class.*"),
    (
        "image_classification --batchsize 3",
        "there is no option --batchsize; the nearest is --batch_size; --help lists the options",
    ),
    (
        "image_classification --model.filterz 3",
        "convnet has no hyperparameter 'filterz'; the nearest is filters; it has: activation, .*",
    ),
    (
        "text_classification --architecture bert_tiny --model.layer 3",
        "bert_tiny has no hyperparameter 'layer'; the nearest is layers; it has: dropout, .*",
    ),
    (
        "text_classification --architecture bert_tiny --encoder ./bert",
        "--encoder ./bert is no directory with a config.json",
    ),
    (
        "text_classification --encoder ./bert",
        "--encoder needs an architecture of BERT's family, not bigru",
    ),
    (
        "question_answering --architecture bilstm",
        "bilstm does not find answers; bidaf, qanet and those of BERT's family do",
    ),
    (
        "bert_pretraining --architecture lstm",
        "lstm cannot be pre-trained; those of BERT's family can",
    ),
    (
        "bert_pretraining --word_dropout 0.1",
        "--word_dropout is not for pre-training: choose --masked instead",
    ),
    (
        "electra_pretraining --architecture bert_tiny",
        "bert_tiny is no discriminator; electra_small, _base and _large are",
    ),
    ("distillation --dataset digits", "--dataset follows from the teacher, and cannot be digits"),
    (
        "distillation --teacher runs:/7 --max-examples 3",
        "--max_examples follows from the teacher's run, and cannot be chosen",
    ),
    (
        "distillation --teacher text_clasification",
        "--teacher must be a run .* not 'text_clasification'; the nearest is text_classification",
    ),
    ("distillation --teacher forecasting", "--teacher must be of .*, not of forecasting"),
    ("image_classification --dataset ./nowhere", "there is no file or folder ./nowhere"),
    (
        "image_classification --dataset digit",
        "unknown data set 'digit'; the nearest is digits; without a network there are: .*",
    ),
    (
        "image_classification --dataset cifar11",
        "unknown data set 'cifar11'; the nearest is cifar10.*; .*",
    ),
    ("image_classification --tag good", "--tag must be KEY=VALUE .* not 'good'"),
    ("image_classification --tag =good", "--tag must be KEY=VALUE .* not '=good'"),
    ("image_classification --tag mlflow.user=me", "--tag mlflow.user cannot be chosen: .*"),
    ("image_classification --max-examples -1", "--max_examples must be between 0 and .*, not -1"),
    (
        f"image_classification --name {'a' * 260}",
        "--name must be at most 255 bytes, as it names a folder, not 260",
    ),
    (
        "image_classification --name models.config",
        "--name must not be 'models.config', a file of model repositories",
    ),
    ("image_classification nonsense", "there is no option nonsense; .*"),
    ("image_classification --optimizer.nonsense 3", "there is no option --optimizer.nonsense; .*"),
    ("image_classification --history 3", "there is no option --history; .*"),
    ("forecasting --augmentation.flip true", "there is no option --augmentation.flip; .*"),
    ("image_classification --epochs many", "--epochs must be an integer, not many"),
    ("image_classification --epochs 1.5", "--epochs must be an integer, not 1.5"),
    ("image_classification --epochs=", "--epochs must be an integer, not ''"),
    ("image_classification --epochs", "--epochs: expected one argument"),
    ("image_classification --epochs 0", "--epochs must be between 1 and 100000, not 0"),
    (
        "image_classification --optimizer.learning_rate 200",
        "--optimizer.learning_rate must be between 1e-12 and 100, not 200.0",
    ),
    ("image_classification --augmentation.zoom far", "--augmentation.zoom must be a number, .*"),
    (
        "image_classification --precision float8",
        "--precision must be one of 'float32', 'mixed_bfloat16', 'mixed_float16', not float8",
    ),
    (
        "image_classification --augmentation.flip maybe",
        "--augmentation.flip must be true or false, not maybe",
    ),
    ("text_classification --text_signature 3", "--text_signature must be true or false, not 3"),
    ("image_classification --model 3", "--model must be a mapping, not 3"),
    ("image_classification --optimizer fast", "--optimizer: .*fast.*"),
    ("forecasting --horizon 0", "--horizon must be between 1 and 10000, not 0"),
    ("image_classification --name a/b", "--name must be letters, .* not 'a/b'"),
    (
        "image_classification --architecture resnet9",
        "unknown architecture 'resnet9'; the nearest are resnet.*; `python -m .*` lists all",
    ),
    ("image_classification --config nowhere.yaml", "--config: .*nowhere.yaml.*"),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES, ids=[line for line, _ in MISTAKES])
def test_a_mistake_ends_with_code_2_and_one_sentence(arguments, message, workplace, capsys):
    assert main(arguments.split()) == 2
    shown = capsys.readouterr()
    assert re.fullmatch(rf"error: {message}\n", shown.err)
    assert shown.out == ""
    assert list(workplace.iterdir()) == [], "nothing is written before the config is checked"


SEVERAL = {
    "cluster": {"worker": ["localhost:1", "localhost:2"]},
    "task": {"type": "worker", "index": 0},
}


@pytest.mark.parametrize(
    ("arguments", "workers", "message"),
    [
        (
            "image_classification --strategy multi_worker --seeds 2",
            True,
            "--seeds does not go with several workers: train each seed by itself",
        ),
        (
            "image_classification --on_nan restore",
            True,
            "--on_nan restore does not go with several workers",
        ),
        *(
            (
                f"sweep image_classification --space space.yaml{strategy}",
                workers,
                "a trial of a sweep trains on one machine: leave out .* on each machine",
            )
            for strategy, workers in (
                ("", True),
                (" --strategy multi_worker", True),
                (" --strategy multi_worker", False),
            )
        ),
    ],
)
def test_what_several_workers_cannot_do_is_one_sentence(
    arguments, workers, message, workplace, capsys, monkeypatch
):
    (workplace / "space.yaml").write_text("batch_size: [8, 16]")
    monkeypatch.setenv("TF_CONFIG", json.dumps(SEVERAL) if workers else "")
    assert main(arguments.split()) == 2
    assert re.fullmatch(rf"error: {message}\n", capsys.readouterr().err)
    assert [each.name for each in workplace.iterdir()] == ["space.yaml"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2", "--config must be a YAML file of options: .*line 1.*"),
        ("- 1\n- 2\n", "--config must be a YAML file of options: - 1 - 2"),
        ("", "--config must be a YAML file of options: it is empty"),
        ("epochs: many", "--epochs must be an integer, not many"),
        ("name: 3", "--name must be a string, not 3"),
        ("nonsense: 3", "there is no option nonsense; .*"),
        ("optimizer: {nonsense: 3}", "there is no option nonsense; .*"),
        ("optimizer: 3", "--optimizer must be a mapping, not 3"),
    ],
)
def test_a_mistake_in_a_file_ends_with_code_2_and_one_sentence(text, message, workplace, capsys):
    Path("config.yaml").write_text(text)
    assert main(["image_classification", "--config", "config.yaml"]) == 2
    assert re.fullmatch(rf"error: {message}\n", capsys.readouterr().err)
