"""The table of pipelines: the project's own, and those that other packages add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines import catalog
from pipelines.__main__ import main
from pipelines.catalog import PIPELINES
from pipelines.cli import parse
from pipelines.config import Config
from pipelines.errors import UserError

OWN = """
from pipelines.config import Config, Pipeline

PIPELINE = Pipeline("Something else", "{module}_task:make", Config("data", "mlp"))
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Returns a function that installs a package with one entry point."""
    monkeypatch.syspath_prepend(str(tmp_path))
    catalog.foreign.cache_clear()

    def install(distribution: str, pipeline: str, source: str = OWN) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source.format(module=module))
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n"
        )
        entry = f"[{catalog.GROUP}]\n{pipeline} = {module}:PIPELINE\n"
        (info / "entry_points.txt").write_text(entry)

    yield install
    catalog.foreign.cache_clear()


def test_another_package_adds_a_pipeline(package, capsys):
    package("else-where", "something")
    assert list(catalog.pipelines()) == [*PIPELINES, "something"]
    assert catalog.get("something").summary == "Something else"
    assert main([]) == 0
    assert "something" in capsys.readouterr().out


def test_two_packages_with_one_name_are_both_named(package, capsys):
    package("first-one", "something")
    package("second-one", "something")
    assert main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    for part in ("something", "first-one", "second-one"):
        assert part in error


def test_a_package_may_not_take_a_name_of_the_project_s_own(package):
    package("bold-one", "translation")
    with pytest.raises(UserError, match=r"translation.*keras-foundry and bold-one"):
        catalog.pipelines()


def test_a_broken_package_is_one_sentence_and_stops_no_other(package, capsys):
    package("broken-one", "broken", "import nothing_of_the_kind\n")
    package("good-one", "good")
    assert main([]) == 0
    shown = capsys.readouterr()
    assert "good" in shown.out
    assert shown.err.count("\n") == 1
    assert "broken-one" in shown.err
    assert "nothing_of_the_kind" in shown.err
    assert main(["broken"]) == 2
    assert "broken-one" in capsys.readouterr().err


def test_a_pipeline_of_another_kind_is_refused(package):
    package("odd-one", "odd", "PIPELINE = 7\n")
    with pytest.raises(UserError, match="is of type int, not Pipeline"):
        catalog.get("odd")


def test_a_task_that_cannot_be_imported_names_its_package(package):
    package("half-one", "half")
    with pytest.raises(UserError, match="from the package half-one, cannot be imported"):
        catalog.make_task("half", Config())


def test_a_misspelled_pipeline_is_told_its_nearest():
    with pytest.raises(UserError, match="the nearest is image_classification"):
        catalog.get("image_clasification")


def test_a_fault_in_the_project_s_own_task_is_shown_as_it_is(monkeypatch):
    row = PIPELINES["forecasting"]
    broken = type(row)(row.summary, "pipelines.no_such_module:Task", row.defaults)
    monkeypatch.setitem(PIPELINES, "forecasting", broken)
    catalog.foreign.cache_clear()
    with pytest.raises(ModuleNotFoundError):
        catalog.make_task("forecasting", row.defaults)


@pytest.mark.parametrize(
    ("options", "title"),
    [
        ("", "convnet on digits, seed 0"),
        ("--seed 3 --epochs 2", "convnet on digits, seed 3, epochs 2"),
        (
            "--optimizer.learning_rate 0.1 --figures false",
            "convnet on digits, seed 0, learning_rate 0.1",
        ),
        ("--architecture mlp --name mine", "mlp on digits, seed 0"),
        (
            "--epochs 2 --batch_size 7 --patience 1 --image_size 9 --model.units [5]",
            "convnet on digits, seed 0, units [5], image_size 9, epochs 2, batch_size 7, …",
        ),
        (
            "--recipe resnet20_cifar10 --epochs 3",
            "resnet20 on cifar10, resnet20_cifar10, seed 0, epochs 3",
        ),
    ],
)
def test_a_title_says_what_tells_a_run_from_others(options, title):
    assert catalog.title(*parse(["image_classification", *options.split()])) == title
