"""All benchmarks: which run, what a failure leaves, and the page of their newest tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import BENCHMARKS, all, performance, report, setup
from benchmarks.__main__ import _parser, main


def test_every_benchmark_runs_but_those_of_hours_and_of_a_gpu():
    assert set(BENCHMARKS) - set(all.NAMES) <= {"all", "defaults", "gpu"}


@pytest.mark.parametrize("name", all.NAMES)
def test_every_benchmark_is_quick_if_asked(name):
    assert _parser().parse_args([name, "--quick"]).quick
    assert not _parser().parse_args([name]).quick


def test_after_a_failure_the_others_run_and_the_page_is_written(monkeypatch, tmp_path, capsys):
    asked: list[tuple[str, bool]] = []
    written: list[Path] = []

    def code(name: str, quick: bool) -> int:
        asked.append((name, quick))
        return int(name == "text")

    monkeypatch.setattr(all, "_code", code)
    monkeypatch.setattr(performance, "write", written.append)
    page = tmp_path / "page.md"
    assert main(["all", "--quick", "--only", "text", "input", "--page", str(page)]) == 1
    assert asked == [("text", True), ("input", True)]
    assert written == [page]
    assert capsys.readouterr().err == "error: failed, see above: text\n"


def test_a_store_that_cannot_be_read_is_told_in_a_sentence(store, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(all, "_code", lambda name, quick: 0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nosuch://place")
    page = tmp_path / "page.md"
    assert main(["all", "--only", "text", "--page", str(page)]) == 2
    assert "the tracking store nosuch://place cannot be used: " in capsys.readouterr().err
    assert not page.exists()


def test_the_page_has_the_newest_table_of_each(store, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(setup, "COMMANDS", ("architectures --help",))
    assert main(["setup", "--only", "help", "--rounds", "1"]) == 0
    for ratio in (1.0, 2.0):
        report.log_tables("input", {}, [{"name": "records", "ratio": ratio, "none": None}], {})
    report.log_tables("defaults", {}, [{"name": "elsewhere"}], {})
    page = tmp_path / "docs" / "performance.md"
    performance.write(page)
    text = page.read_text()
    assert text.index("## input") < text.index("## setup")
    assert "| name | ratio |\n| --- | --- |\n| records | 2.00 |\n" in text
    assert "| architectures --help | one second | CPU s |" in text
    assert "1.00 |\n" not in text.split("## setup")[0]
    assert "elsewhere" not in text
    assert text.count("Machine: ") == 1
    assert [file.name for file in page.parent.iterdir()] == ["performance.md"]
