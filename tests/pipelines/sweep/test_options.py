"""The space and the options of a sweep: what they may be, and what is wrong, in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipelines.__main__ import main
from pipelines.errors import UserError
from pipelines.sweep import options
from pipelines.sweep.options import Sweep, flags
from pipelines.sweep.space import Choices, Range
from tests.pipelines.test_main import command

SPACE = """\
optimizer:
  learning_rate: {low: 1e-4, high: 0.1, log: true}
model:
  filters: [[4], [8, 8]]
  dropout: {low: 0, high: 0.5, step: 0.1}
  convolutions: {low: 1, high: 3}
batch-size: {low: 16, high: 64, step: 16}
augmentation.flip: [true, false]
"""


def parse(folder: Path, space: str = SPACE, *arguments: str) -> Sweep:
    file = folder / "space.yaml"
    file.write_text(space)
    return options.parse(["image_classification", "--space", str(file), *arguments])


def test_ranges_and_choices_are_read_by_the_types_of_their_options(tmp_path):
    sweep = parse(tmp_path)
    assert sweep.space == {
        "optimizer.learning_rate": Range(1e-4, 0.1, log=True),
        "model.filters": Choices(([4], [8, 8])),
        "model.dropout": Range(0.0, 0.5, step=0.1),
        "model.convolutions": Range(1, 3),
        "batch_size": Range(16, 64, step=16),
        "augmentation.flip": Choices((True, False)),
    }
    assert sweep.space["batch_size"].grid() == [16, 32, 48, 64]
    assert sweep.space["model.dropout"].grid() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert sweep.space["optimizer.learning_rate"].grid() is None
    assert sweep.trials == 20


def test_options_of_the_sweep_and_of_its_trials_stand_in_any_order(tmp_path):
    sweep = parse(tmp_path, SPACE, "--epochs", "3", "--trials", "7", "--", "--model.units", "[]")
    assert sweep.trials == 7
    config = sweep.config({"batch_size": 48, "model.filters": [8, 8], "augmentation.flip": True})
    assert (config.recipe.epochs, config.recipe.batch_size) == (3, 48)
    assert config.model["filters"] == [8, 8]
    assert config.model["units"] == []
    assert config.augmentation.flip is True  # type: ignore[attr-defined]


def test_the_name_of_a_sweep_follows_from_what_makes_its_trials_comparable(tmp_path):
    name = parse(tmp_path).name
    assert re.fullmatch("image_classification-[0-9a-f]{8}", name)
    same = parse(tmp_path, SPACE, "--trials", "99", "--sampler", "random", "--run_name", "mine")
    assert same.name == name
    assert parse(tmp_path, SPACE, "--epochs", "3").name != name
    assert parse(tmp_path, SPACE.replace("0.5", "0.6")).name != name
    assert parse(tmp_path, SPACE, "--sweep", "own").name == "own"


def test_a_grid_has_as_many_trials_as_combinations(tmp_path):
    space = "batch_size: [8, 16, 24]\nmodel.convolutions: {low: 1, high: 2}\n"
    assert parse(tmp_path, space, "--sampler", "grid").trials == 6
    assert parse(tmp_path, space, "--sampler", "grid", "--trials", "4").trials == 4
    assert parse(tmp_path, space, "--sampler", "grid", "--trials", "40").trials == 6


@pytest.mark.parametrize(
    "values", [[], [1, 2.5e-7, True], ["a b", "ü", 'quoted "text"'], [[1], []]]
)
def test_values_reach_the_config_through_the_arguments(values):
    (argument,) = flags({"model.units": values})
    config = options.cli.parse(["image_classification", argument])[1]
    assert config.model["units"] == values


MISTAKES = [
    ("", "--space .* must hold options, each with a range or choices"),
    ("- 1", "--space .* must hold options, each with a range or choices"),
    ("a: [1", ".*, line 1: expected .*"),
    (
        "batch_size: [1]\noptimizer:\n  learning_rat: [1]",
        ".*space.yaml, line 3: there is no option optimizer.learning_rat; the nearest is "
        "optimizer.learning_rate",
    ),
    ("nonsense: [1]", ".*, line 1: there is no option nonsense"),
    ("batch_size: [1]\nbatch_size: [2]", ".*, line 2: batch_size is there twice"),
    (
        "batch_size: {low: 1, high: 9, stepp: 2}",
        ".*batch_size: a range has low, high, log and step, not stepp; the nearest is step",
    ),
    ("batch_size: {low: 1}", ".*, line 1: batch_size: a range needs high"),
    ("batch_size: {low: 1.5, high: 9}", ".*batch_size: low must be an integer, not 1.5"),
    ("batch_size: {low: a, high: 9}", ".*batch_size: low must be a number, not a"),
    ("batch_size: {low: 9, high: 1}", ".*batch_size: low must be below high, not 9 and 1"),
    (
        "batch_size: {low: 1, high: 8, step: 2}",
        ".*high must be a whole number of steps of 2.* 3.5",
    ),
    ("batch_size: {low: 1, high: 8, step: -1}", ".*step must be above 0, not -1"),
    ("batch_size: {low: 1, high: 8, step: 1, log: true}", ".*a range has log or step, not both"),
    ("model.dropout: {low: 0, high: 0.5, log: true}", ".*low must be above 0 for log, not 0.0"),
    ("batch_size: {low: 1, high: 8, log: 3}", ".*log must be true or false, not 3"),
    ("model.dropout: {low: 0, high: .inf}", ".*high must be finite, not inf"),
    ("batch_size: []", ".*batch_size has no choices"),
    ("batch_size: [8, 16, 8]", ".*batch_size has a choice twice"),
    ("batch_size: 8", r".*batch_size must have a range, as .* command: --batch_size 8"),
    ("precision: {low: 1, high: 2}", ".*precision is no number, and takes a list of choices"),
    (
        "optimizer.learning_rate: {low: 0.001, high: 200}",
        ".*, line 1: --optimizer.learning_rate must be between 1e-12 and 100, not 200.0",
    ),
    ("batch_size: [8, many]", ".*, line 1: --batch_size must be an integer, not many"),
    ("batch_size: [8, 0]", ".*, line 1: --batch_size must be between 1 and 1000000, not 0"),
    ("precision: [float32, float8]", ".*--precision must be one of .*, not float8"),
    ("model.filterz: [1]", ".*, line 1: convnet has no hyperparameter 'filterz'; .*"),
    ("architecture: [convnet, resnet9]", ".*, line 1: unknown architecture 'resnet9'; .*"),
    ("seed: [1, 2]", ".*seed cannot vary, as the luckiest would win; --seeds 5 takes several"),
    ("dataset: [digits, mnist]", ".*dataset cannot vary within a sweep"),
]


@pytest.mark.parametrize(("space", "message"), MISTAKES, ids=[space for space, _ in MISTAKES])
def test_a_wrong_space_is_told_in_one_sentence_with_its_line(space, message, tmp_path):
    with pytest.raises(UserError) as error:
        parse(tmp_path, space)
    assert re.fullmatch(message, str(error.value))


OPTIONS = [
    ("--trials many", "--trials must be an integer, not many"),
    ("--trials -1", "--trials must be between 0 and 1000000, not -1"),
    ("--sampler tpee", "--sampler must be one of .*, not tpee"),
    ("--storage nowhere", "--storage must be an SQLAlchemy URL, .*, not 'nowhere'"),
    ("--sampler grid", "--sampler grid needs a step, .*, for optimizer.learning_rate"),
    ("--resume latest", "--resume is for runs; the same command goes on with a sweep"),
    ("--find_learning_rate true", "--find_learning_rate trains nothing, .*"),
    ("--epochz 3", "there is no option --epochz; .*"),
    ("--epochs 0", "--epochs must be between 1 and 100000, not 0"),
    ("--batch_size 3", "--batch_size varies by .*space.yaml, and cannot be chosen as well"),
    ("--model.filters [3]", "--model.filters varies by .*, and cannot be chosen as well"),
]


@pytest.mark.parametrize(("arguments", "message"), OPTIONS, ids=[line for line, _ in OPTIONS])
def test_wrong_options_are_told_in_one_sentence(arguments, message, tmp_path):
    with pytest.raises(UserError) as error:
        parse(tmp_path, SPACE, *arguments.split())
    assert re.fullmatch(message, str(error.value))


def test_cma_es_needs_two_ranges(tmp_path):
    with pytest.raises(UserError, match=r"--sampler cma_es needs two ranges at least, .* has 1"):
        parse(tmp_path, "batch_size: {low: 1, high: 9}\n", "--sampler", "cma_es")


def test_a_file_that_is_missing_and_a_pipeline_that_is_unknown(tmp_path, capsys):
    for arguments, message in (
        (["image_classification"], "--space FILE is missing: .*"),
        (
            ["image_classification", "--space", "no.yaml"],
            "--space no.yaml cannot be read: .*",
        ),
        (["image_clasification"], "unknown pipeline 'image_clasification'; the nearest .*"),
        (
            ["distillation", "--space", "no.yaml", "--teacher", "text_classification"],
            "--teacher must be a run, .* `python -m pipelines text_classification` makes one",
        ),
    ):
        assert main(["sweep", *arguments]) == 2
        assert re.fullmatch(f"error: {message}\n", capsys.readouterr().err)


def test_a_wrong_space_imports_no_tensorflow(tmp_path):
    file = tmp_path / "space.yaml"
    file.write_text("batch_size: [0]")
    done, heavy = command("sweep", "image_classification", "--space", str(file))
    assert done.returncode == 2
    assert "--batch_size must be between" in done.stderr
    assert not {"tensorflow", "keras", "mlflow"} & set(heavy.split())


def test_the_help_has_all_options_of_a_sweep(capsys):
    for arguments in (["--help"], ["image_classification", "--help"]):
        with pytest.raises(SystemExit):
            main(["sweep", *arguments])
        shown = capsys.readouterr().out
        for name in ("space", "trials", "sampler", "pruner", "trial_epochs", "sweep", "storage"):
            assert f"--{name}" in shown
