"""The examples of docs/client.md, run against the embedded server."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

from PIL import Image

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "client.md"
TEXT = PAGE.read_text()


def test_the_examples_answer_as_printed(repository, tmp_path, monkeypatch):
    from serving.server.lifecycle.version_policy import Model
    from tests.serving.in_process import serving
    from tests.serving.saved_models import half_plus_two, publish

    versions = tmp_path / "models"
    versions.mkdir()
    publish(repository / "half_plus_two" / "1", versions, 1)
    monkeypatch.chdir(tmp_path)
    for name in ("white", "black"):
        Image.new("RGB", (4, 4), name).save(f"{name}.png")
    for name in ("authority.pem", "client.pem", "client.key"):
        Path(name).write_text("PEM")
    models = [
        Model("half_plus_two", versions),
        Model("echo", repository / "echo"),
        Model("pictures", repository / "brightness"),
        Model("clicks", repository / "classifier"),
        Model("prices", repository / "half_plus_two_of_examples"),
    ]
    before, after = TEXT.split("## Versions and labels")
    assert before.count(">>>") > 10
    assert after.count(">>>") > 10
    with serving(*models) as address:
        names: dict[str, object] = {}
        run(before, names, address, versions)
        publish(half_plus_two(tmp_path / "other", two=5.0), versions, 2)
        run(after, names, address, versions)


def run(text: str, names: dict[str, object], address: str, versions: Path) -> None:
    """Runs examples and asserts that they print what stands below them."""
    text = text.replace('"localhost:8500"', f'"{address}"').replace(
        '"models"  #', f'"{versions}"  #'
    )
    parsed = doctest.DocTestParser().get_doctest(text, names, "client.md", str(PAGE), 0)
    report: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
    failed = runner.run(parsed, out=report.append, clear_globs=False).failed
    assert not failed, "".join(report)
    names.update(parsed.globs)


COMMANDS = re.findall(r"^python -m serving (.*?)(?: +#.*)?$", TEXT, re.MULTILINE)


def test_each_kind_of_question_is_shown():
    assert len(COMMANDS) >= 7
    for option in ("--picture", "--text", "--json -", "--label", "--version", "status"):
        assert any(option in command for command in COMMANDS)
