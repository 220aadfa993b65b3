"""The documentation as a site: no broken link, every page is reached, nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def build(target: Path) -> None:
    """Builds the site, a warning being an error."""
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(target)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("site")
    build(target)
    return target


def test_every_page_is_on_the_site(site):
    pages = {page.relative_to(ROOT).with_suffix("") for page in (ROOT / "docs").rglob("*.md")}
    assert pages
    missing = [page for page in pages if not (site / page.with_suffix(".html")).exists()]
    assert missing == []


def test_the_reference_has_what_others_build_on(site):
    for page, names in {
        "architectures": ("architectures.build", "architectures.architecture.Architecture"),
        "pipelines": ("pipelines.task.Task.load", "pipelines.config.Config", "pipelines.testing"),
        "client": ("serving.client.Client", "serving.client.operations.predict"),
    }.items():
        text = (site / "api" / f"{page}.html").read_text()
        for name in names:
            assert f'id="{name}"' in text, name


def test_pages_load_nothing_from_elsewhere(site):
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="([^"]*)"', page.read_text())
        loaded += re.findall(
            r'<link rel="(?:stylesheet|preconnect)"[^>]*href="([^"]*)"', page.read_text()
        )
        assert loaded
        assert [address for address in loaded if "//" in address] == [], page


def test_a_file_of_a_page_has_its_name_above_it(site):
    text = (site / "docs/adding-a-pipeline.html").read_text()
    assert '<span class="filename">tabular/task.py</span>' in text
