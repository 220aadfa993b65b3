"""The command: tables on the console, and a report that needs nothing else."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from io import StringIO

import mlflow
import pytest
from rich.console import Console

from pipelines.__main__ import main
from pipelines.comparison import command, console_tables, drawings, report
from pipelines.comparison.comparison import compare, read
from tests.pipelines.comparison import stored

_VOID = {"meta", "br", "use", "path", "stop"}


class Page(HTMLParser):
    """Checks that tags are closed, and collects the text, and what is named from outside."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.counts: dict[str, int] = {}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.links += [
            str(value)
            for name, value in attrs
            if name in ("src", "href", "xlink:href") and not str(value).startswith("#")
        ]
        if tag not in _VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        if tag not in _VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text += data


def test_runs_are_compared_shown_written_and_logged(store, workplace, capsys):
    one = stored.log("one <b>&", parameters={"learning_rate": 0.1, "same": "same value"})
    two = stored.log("two", better=0.02, parameters={"learning_rate": 0.2, "same": "same value"})
    assert main(["compare", one[:8], "two", "--output", "found.html"]) == 0
    shown = capsys.readouterr().out
    assert "better" in shown
    assert "learning_rate" in shown
    assert "same value" not in shown

    page = (workplace / "found.html").read_text(encoding="utf-8")
    parsed = Page(page)
    assert parsed.links == []
    assert not re.search(r"@import|url\((?!#)|<script|<link|https?://(?!www\.w3\.org)", page)
    assert parsed.counts["svg"] == 3, "loss, accuracy and the difference"
    for text in ("one <b>&", "learning_rate", "0.9200", "better", one, two):
        assert text in parsed.text
    assert "same value" not in page
    assert 'name="viewport"' in page
    assert "prefers-color-scheme: dark" in page
    assert drawings._TEXT not in page

    (run,) = mlflow.search_runs(experiment_names=[command.EXPERIMENT], output_format="list")
    assert run.data.tags["compared.1"] == one
    assert run.data.tags["compared.2"] == two
    assert mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/comparison.html") == page
    numbers = json.loads(mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/comparison.json"))
    assert numbers["runs"] == {"1": one, "2": two}
    assert numbers["parameters"] == {"learning_rate": ["0.1", "0.2"]}
    assert numbers["differences"][0]["verdict"] == "better"

    assert main(["compare", "--experiment", "image_classification", "--last", "2", "--no_log"]) == 0
    runs = mlflow.search_runs(experiment_names=[command.EXPERIMENT], output_format="list")
    assert len(runs) == 1


def test_tables_of_many_runs_fit_a_narrow_console(store):
    ids = [stored.log(f"a run with quite a long name {n}", parameters={"n": n}) for n in range(7)]
    found = compare([read(mlflow.get_run(each), str(n)) for n, each in enumerate(ids, 1)])
    output = StringIO()
    console_tables.show(found, Console(file=output, width=80, highlight=False))
    text = output.getvalue()
    tables = [line for line in text.splitlines() if not line.startswith("note")]
    assert max(map(len, tables)) <= 80
    for label in "1234567":
        assert f"run {label}" in text
    assert len(drawings.colors(30)) == 30
    assert Page(report.html(found)).counts["table"] == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "two runs at least can be compared, and none was named"),
        (["one"], "two runs at least can be compared, and there is only one"),
        (["one", "--last", "0"], "--last must be at least 1, not 0"),
        (["one", "--experiment", "forecasting"], "either runs are named, or --experiment"),
        (["--tag", "nothing"], "--tag must be KEY=VALUE, not 'nothing'"),
        (["one", "two", "--nothing"], "unrecognized arguments: --nothing; python -m pipelines"),
        (["one", "two", "--output", "no/such/folder.html"], "--output no/such/folder.html cannot"),
    ],
)
def test_wrong_choices_are_one_sentence(store, capsys, arguments, message):
    stored.log("one")
    stored.log("two")
    assert main(["compare", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
