"""A walk through MLflow's pages in Chromium, as a user goes, with a screenshot of each page."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SCREENSHOTS = ROOT / "build" / "screenshots"
_SIZE = {"width": 1440, "height": 1000}
_PATIENCE = 60_000  # Milliseconds; the first page waits for the server's imports.


@contextlib.contextmanager
def ui(folder: Path, environment: Mapping[str, str], port: int) -> Iterator[str]:
    """Runs `python -m pipelines ui` and yields the address that it prints."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines", "ui", "--port", str(port)],
        cwd=folder,
        env={**environment, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.communicate(timeout=60)


class Browser:
    """A page of Chromium, which speaks of what a user sees on it."""

    def __init__(self, page) -> None:
        self.page = page
        self.problems: list[str] = []
        page.set_default_timeout(_PATIENCE)
        page.on("pageerror", lambda error: self.problems.append(str(error)))

    def open(self, address: str) -> None:
        self.page.goto(address)

    def sees(self, *texts: str) -> None:
        """Waits until each text is on the page."""
        for text in texts:
            self.page.get_by_text(text).first.wait_for()

    def sees_a_figure(self) -> None:
        """Waits until a picture that is larger than an icon has loaded."""
        self.page.wait_for_function("[...document.images].some(each => each.naturalWidth > 400)")

    def click(self, name: str, role: str = "link") -> None:
        self.page.get_by_role(role, name=name, exact=True).first.click()

    def text(self) -> str:
        return self.page.inner_text("body")

    def keep(self, name: str) -> None:
        """Keeps a screenshot for people to look at."""
        self.page.wait_for_timeout(500)  # What moves, as a chart that is drawn, comes to rest.
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Yields a browser; skips the test where there is none."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if not program:
        pytest.skip("there is no Chromium: apt-get install chromium")
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    # Chromium cannot confine its processes for root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=options)
        try:
            yield Browser(chromium.new_page(viewport=_SIZE, locale="en-US"))
        finally:
            chromium.close()


def walk(shown: Browser, address: str, names: tuple[str, str]) -> None:
    """Goes through the pages of two runs of `image_classification` on digits.

    Args:
        shown: The browser.
        address: What `python -m pipelines ui` prints.
        names: Those of the runs; the first one's version is the champion.
    """
    page, (first, second) = shown.page, names
    shown.open(address)
    # MLflow opens its assistant at the first visit.
    page.get_by_role("button", name="Close").first.click()
    shown.sees(first, second, "validation/accuracy", "test/accuracy", "test/margin/accuracy")
    shown.sees("optimizer.learning_rate", "digits")
    shown.keep("1 runs")

    shown.click("Experiments")
    shown.sees("image_classification", "Image classification: its training runs.")
    shown.keep("2 experiments")

    shown.open(address)
    shown.click(first)
    shown.sees("About this run", "digits/train", "architecture", "support vector machine")
    shown.sees("Accuracy on test", "test/accuracy", "optimizer.learning_rate")
    shown.sees_a_figure()
    # Neither the machine's load, nor what the code keeps for itself.
    assert not re.search(r"System metrics \(|process\.", shown.text())
    shown.keep("3 run")
    shown.click("Model metrics", "tab")
    for section in ("test", "test/baseline", "test/interval", "test/margin", "train", "validation"):
        page.get_by_text(re.compile(rf"^{section}\s*\(\d+\)$")).first.wait_for()
    page.locator(".js-plotly-plot").first.wait_for()
    shown.keep("4 metrics")
    shown.click("Artifacts", "tab")
    shown.sees("figures", "card.md", "network")
    page.get_by_text("figures", exact=True).first.click()
    page.get_by_text("learning_curves.png", exact=True).first.click()
    shown.sees_a_figure()
    shown.keep("5 figure")

    shown.open(address)
    shown.sees(first)
    for name in names:
        page.get_by_role("row").filter(has_text=name).get_by_role("checkbox").first.check()
    shown.click("Compare", "button")
    shown.sees("Comparing 2 Runs", "epochs", first, second)
    assert "unknown" not in shown.text()  # A hyperparameter that one run has not logged.
    shown.keep("6 comparison")

    shown.open(address.partition("#")[0] + "#/models")
    page.get_by_role("dialog").first.wait_for()  # MLflow's words on aliases, at the first visit.
    page.keyboard.press("Escape")
    shown.click("digits")
    shown.sees("champion", "architecture", "Version 1", "Image classification: versions from")
    shown.keep("7 model")
    shown.click("Version 1")
    shown.sees("Accuracy on test", "champion", "validation_accuracy", "Schema", "Inputs (1)")
    page.get_by_text("Inputs (1)").click()
    shown.sees("images")
    shown.keep("8 version")
