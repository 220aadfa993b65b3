"""The Python of tutorials that calls a served model, against the embedded server."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.pages import ROOT, python_blocks

# By tutorial, the served name, and a file that its client sends.
CALLS = {
    "images.md": ("greek", "greek/test/alpha/0.png"),
    "canary.md": ("digits", "models/digits/1/assets.extra/examples/0/0.png"),
}


@pytest.mark.parametrize("page", CALLS)
def test_the_client_of_a_tutorial_is_answered(page, repository, tmp_path, monkeypatch):
    from serving.server.lifecycle.version_policy import Model
    from tests.serving.in_process import serving

    model, file = CALLS[page]
    monkeypatch.chdir(tmp_path)
    Path(file).parent.mkdir(parents=True)
    Image.new("RGB", (4, 4), "white").save(file)
    (shown,) = python_blocks(ROOT / "docs/tutorials" / page)
    with serving(
        Model(model, repository / "brightness", labels={"stable": 1, "canary": 1}),
        labels_for_unavailable=True,
    ) as address:
        exec(shown.replace("localhost:8500", address), {})
