"""From own pairs of texts to a server that translates."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pytest
import tensorflow as tf

from pipelines.__main__ import main
from pipelines.tasks.translation import data as parallel_texts
from pipelines.text import reversible
from pipelines.text.beam_search import Beam
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import deploy
from tests.pipelines import translated
from tests.pipelines.text.test_beam_search import plain
from tests.serving.in_process import serving

SMALL = {
    "transformer_base": (
        *("--model.layers", "1", "--model.heads", "2", "--model.width", "16"),
        *("--model.feed_forward", "16", "--model.norm", "pre"),
    ),
    "lstm_seq2seq": ("--model.embedding", "16", "--model.units", "16", "--sampling", "0.3"),
}
SHORT = (
    *("--epochs", "2", "--batch_size", "16", "--max_length", "16", "--vocabulary", "150"),
    *("--beams", "2", "--length_penalty", "0.6", "--optimizer.learning_rate", "0.02"),
    *("--name", "spoken"),
)


def own_tables(folder: Path) -> Path:
    folder.mkdir()
    for split, columns in translated.columns().items():
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.parametrize("architecture", SMALL)
def test_a_server_translates_as_the_trained_model_would(
    architecture, store, workplace, trained, monkeypatch
):
    loaded: list[parallel_texts.ParallelTexts] = []
    load = parallel_texts.load

    def kept_data(*arguments) -> parallel_texts.ParallelTexts:
        loaded.append(load(*arguments))
        return loaded[-1]

    monkeypatch.setattr(parallel_texts, "load", kept_data)
    folder = own_tables(workplace / "own")
    options = ["--dataset", str(folder), "--architecture", architecture, *SHORT]
    assert main(["translation", *options, *SMALL[architecture]]) == 0
    ((data,), (model,)) = loaded, trained

    (run,) = mlflow.search_runs(experiment_names=["translation"], output_format="list")
    artifacts = {
        Path(run.info.artifact_uri) / name for name in ("samples", "vocabulary", "network")
    }
    assert all(folder.is_dir() for folder in artifacts)
    assert {"test_bleu", "test_chrf", "test_perplexity"} <= run.data.metrics.keys()

    deployed = deploy("spoken", workplace / "models", version=1)
    lines = (deployed.path / "assets.extra/examples/pairs.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["source"] for line in lines.splitlines()] + ["", "Zoë sees (Zoë)!"]
    with (
        serving(Model("spoken", workplace / "models" / "spoken")) as address,
        Client(address, timeout=60) as client,
    ):
        client.wait_until_ready("spoken", timeout=120)
        asked = np.array([text.encode() for text in texts], object)
        answers = client.predict("spoken", {"text": asked})
        alone = client.predict("spoken", {"text": asked[3:4]})
        inputs = parallel_texts.source_inputs(data.source_tokenizer, tf.constant(texts), 16)
        ids, mask = (x.to_tensor().numpy() for x in inputs.values())
        by_ids = client.predict(
            "spoken", {"token_ids": ids, "padding_mask": mask}, signature="token_ids"
        )
    np.testing.assert_array_equal(alone["translations"][0], answers["translations"][3])
    assert answers["translation"][8] == b""

    # A plain beam search over the whole network, without a cache, agrees.
    banned = (reversible.PAD, reversible.UNKNOWN, reversible.START)
    choice = Beam(2, 16, 0.6, reversible.START, reversible.END, banned)
    decided = 0
    for row in (0, 1, 2, 9):
        best, second = plain(model, ids[row, : mask[row].sum()], choice)
        assert answers["score"][row] == pytest.approx(best[0], abs=1e-3)
        if best[0] - second[0] > 1e-3:
            decided += 1
            written = data.target_tokenizer.texts(tf.constant([best[1]])).numpy()[0]
            assert answers["translation"][row] == written
            text = by_ids["token_ids"][row, 0]
            assert text[: len(best[1])].tolist() == best[1]
            assert not text[len(best[1]) :].any()
    assert decided
