"""Each command of docs/training.md is run as it stands there, made short by options after it.

Digits are trained, resumed, swept and compared from end to end. What fine-tunes large networks has
stand-ins for weights and data, small ones in the same formats, and is built with them; the tests of
fine-tuning and of recipes train such networks, and serve them.
"""

from __future__ import annotations

import itertools
import re
import shlex
import signal
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors.numpy import save_file

import architectures
from pipelines.__main__ import main
from pipelines.cli import parse
from pipelines.sweep import options
from pipelines.text import pretrained
from pipelines.tracked_run import TrackedRun
from tests.architectures import gpt2_files
from tests.architectures.published_image_networks import random_resnet
from tests.end_to_end.beginning import begun
from tests.pages import ROOT, write_package
from tests.pipelines import written
from tests.pipelines.conftest import digits_dir
from tests.pipelines.tasks.language_modeling import examples, gpt2
from tests.pipelines.test_recipes import SMALLER, prepare

__all__ = ["digits_dir"]

PAGE = ROOT / "docs/training.md"
LITTLE = ("--max_examples", "60", "--batch_size", "60", "--figures", "false")
SMALL = (*LITTLE, "--architecture", "mlp", "--model.units", "[8]")


def commands(program: str = "python -m pipelines ") -> dict[str, list[list[str]]]:
    """Returns the arguments of a program's commands, by the heading that they stand below."""
    found: dict[str, list[list[str]]] = {}
    for section in re.split(r"^##+ ", PAGE.read_text(), flags=re.MULTILINE)[1:]:
        for block in re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith(program):
                    arguments = shlex.split(line.removeprefix(program), comments=True)
                    found.setdefault(section.partition("\n")[0], []).append(arguments)
    return found


COMMANDS = commands()


def test_every_section_with_commands_is_run_below():
    assert {heading: len(found) for heading, found in COMMANDS.items()} == {
        "The recipe": 1,
        "Fine-tuning": 1,
        "Recipes by name": 2,
        "Fine-tuning images": 2,
        "Fine-tuning GPT-2": 1,
        "Comparing runs": 3,
        "Never lose work": 2,
        "Sweeps": 1,
        "Several processes, and what was interrupted": 1,
        "Seeds": 1,
        "Augmentation": 1,
    }


def test_digits_from_a_recipe_to_a_comparison(store, workplace, digits_dir, monkeypatch, capsys):
    log = TrackedRun.metrics

    def preempted(tracked: TrackedRun, values: Any, step: int) -> None:
        log(tracked, values, step)
        if step in (1, 5):
            signal.raise_signal(signal.SIGTERM)

    def ends(code: int, arguments: list[str], *more: str) -> str:
        """Runs a command to an exit code, and returns the ID of the newest run of its pipeline."""
        assert main([*arguments, *more]) == code, capsys.readouterr().err
        runs = mlflow.search_runs(experiment_names=["image_classification"], output_format="list")
        return next(
            run.info.run_id
            for run in runs
            if isinstance(run, mlflow.entities.Run) and "mlflow.parentRunId" not in run.data.tags
        )

    data = ("--data_dir", str(digits_dir))
    short = (*SMALL, *data)
    (recipe,), (augmentation,) = COMMANDS["The recipe"], COMMANDS["Augmentation"]
    latest, by_id = COMMANDS["Never lose work"]
    with monkeypatch.context() as patch:
        patch.setattr(TrackedRun, "metrics", preempted)
        one = ends(130, recipe, *short, "--epochs", "31")
        again = [each.replace("RUN_ID", one) for each in by_id]
        assert ends(130, again, *data) == one
    assert ends(0, latest, *data) == one
    history = mlflow.MlflowClient().get_metric_history(one, "train/loss")
    assert [point.step for point in history] == list(range(1, 32))

    two = ends(0, augmentation, *short, "--epochs", "1", "--tag", "team=vision")
    (seeds,) = COMMANDS["Seeds"]
    three = ends(0, seeds, *short, "--epochs", "1", "--seeds", "2", "--tag", "team=vision")
    assert "test/deviation/accuracy" in mlflow.get_run(three).data.metrics

    compare_two, last, tagged = COMMANDS["Comparing runs"]
    given = iter((one, two))
    ids = [next(given) if each == "RUN" else each for each in compare_two]
    for arguments, compared in ((ids, (one, two)), (last, (one, two, three)), (tagged, (two,))):
        capsys.readouterr()
        assert main(arguments) == 0
        shown = capsys.readouterr().out
        assert all(each[:8] in shown for each in compared)
    assert "<html" in (workplace / "comparison.html").read_text()


def test_a_sweep_finds_options_and_trains_with_them(store, workplace, digits_dir, capsys):
    assert "space.yaml" in write_package(PAGE, workplace)
    (first,) = COMMANDS["Sweeps"]
    short = (*LITTLE[:2], *LITTLE[4:], "--data_dir", str(digits_dir), "--epochs", "1")
    assert main([*first, *short, "--trials", "1"]) == 0
    assert "registered models:/digits/1" in capsys.readouterr().out
    # Another machine's database is of another kind.
    (second,) = COMMANDS["Several processes, and what was interrupted"]
    assert set(options.parse(second[1:]).space) == {
        *("optimizer.learning_rate", "model.dropout", "model.filters", "batch_size"),
    }


def test_recipes_have_a_list_and_train_what_they_say(workplace, capsys):
    listing, (*cifar,) = COMMANDS["Recipes by name"]
    with pytest.raises(SystemExit) as raised:
        main(listing)
    assert not raised.value.code
    assert "resnet20_cifar10" in capsys.readouterr().out
    example, sizes, _ = SMALLER["resnet20_cifar10"]
    prepare("cifar10", example, sizes, workplace / "data")
    network = begun(cifar, "--data_dir", str(workplace / "data"))
    assert network.name == "resnet20"
    assert network.count_params() == pytest.approx(270_000, rel=0.02)


def test_an_encoder_is_fine_tuned(workplace):
    """Half of its layers are frozen; the stand-in has twelve narrow ones."""
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz"]
    sizes = {"layers": 12, "width": 8, "heads": 2, "feed_forward": 8}
    encoder = architectures.build("bert_base", vocabulary=len(vocabulary), **sizes)
    pretrained.write(encoder, vocabulary, workplace / "DIRECTORY")
    written.store_topics(workplace / "data")
    (arguments,) = COMMANDS["Fine-tuning"]
    data = ("--dataset", "topics", "--data_dir", str(workplace / "data"))
    model = begun(arguments, *data)
    trained = {v.path for v in model.trainable_variables}
    for number in range(12):
        learns = any(f"transformer_layer_{number}/" in path for path in trained)
        assert learns == (number > 5), number


def images(folder: Path, side: int) -> None:
    folder.mkdir(parents=True)
    random = np.random.default_rng(0)
    for number in range(20):
        values = random.integers(0, 256, (side, side, 3)).astype(np.uint8)
        Image.fromarray(values).save(folder / f"{number}.png")


def test_images_are_fine_tuned_from_weights(workplace):
    for name in ("cat", "dog"):
        images(workplace / "pets" / name, 40)
    images(workplace / "masks" / "images", 64)
    (workplace / "masks" / "masks").mkdir()
    for number in range(20):
        mask = np.zeros((64, 64), np.uint8)
        mask[number : number + 30, 10:40] = 1
        Image.fromarray(mask).save(workplace / "masks" / "masks" / f"{number}.png")
    (workplace / "resnet50.a1_in1k").mkdir()
    tensors = random_resnet(50, 8, 10)
    save_file(tensors, workplace / "resnet50.a1_in1k" / "model.safetensors")
    text = '{"architecture": "resnet50", "num_classes": 10, "pretrained_cfg": {"input_size": %s}}'
    (workplace / "resnet50.a1_in1k" / "config.json").write_text(text % [3, 32, 32])
    save_file(random_resnet(34, 8, 10), workplace / "resnet34.safetensors")

    pets, masks = COMMANDS["Fine-tuning images"]
    network = begun(pets, "--model.width", "8")
    kernel = network.get_layer("conv1").get_weights()[0]
    np.testing.assert_array_equal(kernel, tensors["conv1.weight"].transpose(2, 3, 1, 0))
    assert {v.path.split("/")[-2] for v in network.trainable_variables} == {"logits"}
    network = begun(masks, "--model.width", "8", "--model.filters", "[16,8,8,4,4]")
    assert network.output_shape[1:3] == (256, 256)


def test_gpt2_is_fine_tuned(workplace):
    gpt2.write(workplace / "gpt2", n_positions=256)
    lines = "\n".join(examples.speeches()["train"] * 40)
    (workplace / "novel.txt").write_text(lines, encoding="utf-8")
    sizes = [f"--model.{name}={value}" for name, value in gpt2_files.SIZES.items()]
    (arguments,) = COMMANDS["Fine-tuning GPT-2"]
    model = begun(arguments, *sizes)
    expected = gpt2_files.random_tensors(
        {**gpt2_files.CONFIG, "vocab_size": gpt2.SIZE, "n_positions": 256}
    )
    assert any(np.array_equal(v, expected["wte.weight"]) for v in model.get_weights())


def test_what_mlflow_runs_is_an_entry_point_with_these_options(workplace):
    write_package(PAGE, workplace)
    entries = yaml.safe_load((ROOT / "MLproject").read_text())["entry_points"]
    found = [one for each in commands("mlflow run . ").values() for one in each]
    assert len(found) == 2
    for arguments in found:
        entry = arguments[arguments.index("-e") + 1]
        assert entry in entries
        given = itertools.pairwise(arguments)
        chosen = dict(value.split("=") for option, value in given if option == "-P")
        pipeline = chosen.pop("pipeline", entry)
        flags = [f"--{name}={value}" for name, value in chosen.items()]
        if entry == "sweep":
            assert options.parse([pipeline, *flags]).options.trials == 30
        else:
            assert parse([pipeline, *flags])[1].resume == "RUN_ID"
