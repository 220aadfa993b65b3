"""The commands of docs/scoring.md, run on files of those names."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import mlflow
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from serving.__main__ import main
from serving.rollout import models_config
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry
from serving.scoring import local
from serving.scoring.shard import score
from serving.scoring.worker import load
from tests.serving import rollouts

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "scoring.md").read_text()
SHELL = "\n".join(re.findall(r"^```sh\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL))
COMMANDS = re.findall(r"^python -m serving (.*)$", SHELL, re.MULTILINE)


@pytest.fixture
def here(saved, tmp_path, monkeypatch):
    """The models and files that the page names; scoring takes place in this process."""
    monkeypatch.chdir(tmp_path)
    uri = rollouts.store_of(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    rollouts.register(uri, tmp_path, saved / "brightness")
    mlflow.MlflowClient(uri, uri).set_registered_model_alias("digits", "champion", "1")
    repository = Repository(Path("models"))
    for name, model, number in (
        ("digits", "brightness", 1),
        ("era", "echo", 3),
        ("era", "echo", 4),
    ):
        shutil.copytree(saved / model, repository.version(name, number))
    entry = Entry.of({"stable": 3, "canary": 4})
    config = models_config.changed(repository.config(), "era", str(Path("models/era")), entry)
    repository.write_config(config)
    Path("images").mkdir()
    Image.new("RGB", (8, 8), "white").save("images/1.png")
    pq.write_table(pa.table({"text": ["good", None], "stars": [5, 1]}), "reviews.parquet")
    Path("parts").mkdir()
    Path("parts/1.csv").write_text("id,review,title\n7,good,a title\n")

    def run(job, shards, processes, advance):
        return (score(job, shard, load(job.model), advance) for shard in shards)

    monkeypatch.setattr(local, "run", run)
    yield
    mlflow.set_tracking_uri(None)  # type: ignore[arg-type]


def test_the_commands_do_what_the_page_says(here):
    commands = [shlex.split(command) for command in COMMANDS]
    assert len(commands) == 7
    for arguments in commands:
        if "ray" not in arguments:
            assert main(arguments) == 0
    assert pd.read_parquet("scores/digits")["classes"].tolist() == ["bright"]
    assert pd.read_parquet("scores/by-folder")["file"].tolist() == ["images/1.png"]
    found = pd.read_parquet("scores/era")
    assert list(found.columns) == ["file", "row", "input_text", "stars", "text"]
    assert found["text"].tolist() == ["good"]
    assert "column text has no value" in Path("scores/era/_rejected.jsonl").read_text()
    versions = [
        pq.read_schema(f"scores/{name}/part-00000.parquet").metadata[b"scored_by.version"]
        for name in ("digits", "era", "canary", "csv")
    ]
    assert versions == [b"1", b"3", b"4", b"3"]
    assert list(pd.read_parquet("scores/csv").columns) == ["file", "row", "id", "text"]
    (shown,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    shows: dict[str, pd.DataFrame] = {}
    exec(shown.replace("scores/era", "scores/digits"), shows)
    assert shows["scores"]["classes"].tolist() == ["bright"]
    for path in Path("scores/era").iterdir():
        if not path.name.startswith("."):
            assert f"`{path.name}`" in TEXT
    metadata = pq.read_schema("scores/era/part-00000.parquet").metadata
    names = {name.decode() for name in metadata if name != b"ARROW:schema"}
    assert names == {
        f"scored_by.{name}" for name in ("model", "version", "source", "digest", "signature")
    }
