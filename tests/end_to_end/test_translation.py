"""From your own pairs of texts to a server that translates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import tensorflow as tf

from pipelines.__main__ import main
from pipelines.task import Network
from pipelines.tasks.translation.config import TranslationConfig
from pipelines.tasks.translation.data import ParallelTexts, source_inputs
from pipelines.tasks.translation.decoding import beam
from pipelines.tasks.translation.task import Translation
from pipelines.training import trainer
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.pages import ROOT, python_blocks
from tests.pipelines.tasks.translation import examples
from tests.pipelines.text.test_beam_search import plain
from tests.serving.in_process import serving

SMALL = (
    *("--architecture", "transformer_base"),
    *("--model.layers", "1", "--model.heads", "2", "--model.width", "16"),
    *("--model.feed_forward", "16", "--model.norm", "pre"),
)
SHORT = (
    *("--epochs", "2", "--batch_size", "16", "--max_length", "16", "--vocabulary", "150"),
    *("--beams", "2", "--length_penalty", "0.6", "--optimizer.learning_rate", "0.02"),
    *("--name", "sentences", "--figures", "false"),
)


def own_tables(folder: Path) -> Path:
    folder.mkdir()
    for split, columns in examples.columns().items():
        rows = (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))
        lines = [json.dumps(row, ensure_ascii=False) for row in rows]
        (folder / f"{split}.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return folder


@pytest.mark.slow
def test_a_server_translates_as_the_trained_model_would(store, workplace, monkeypatch, at_once):
    kept: list[Any] = []
    load, fit = Translation.load, trainer.fit

    def kept_data(task: Translation) -> ParallelTexts:
        kept.append(load(task))
        return kept[-1]

    def kept_network(*arguments) -> Network:
        kept.append(fit(*arguments))
        return kept[-1]

    monkeypatch.setattr(Translation, "load", kept_data)
    monkeypatch.setattr(trainer, "fit", kept_network)
    folder = own_tables(workplace / "own")
    arguments = ["--dataset", str(folder), *SHORT, *SMALL]
    assert main(["translation", *arguments]) == 0
    data, network = kept
    model = network.model

    (run,) = mlflow.search_runs(experiment_names=["translation"], output_format="list")
    artifacts = {
        Path(run.info.artifact_uri) / name for name in ("samples", "vocabulary", "network")
    }
    assert all(folder.is_dir() for folder in artifacts)
    assert {"test/bleu", "test/chrf", "test/perplexity"} <= run.data.metrics.keys()

    deployed = deploy("sentences", workplace / "models", version=1)
    lines = (deployed.path / "assets.extra/examples/pairs.jsonl").read_text(encoding="utf-8")
    texts = [json.loads(line)["source"] for line in lines.splitlines()] + ["", "Zoë sees (Zoë)!"]
    with (
        serving(Model("sentences", workplace / "models" / "sentences")) as address,
        Client(address, timeout=300) as client,
    ):
        ask_as_the_card_says("sentences", address, workplace / "models")
        client.wait_until_ready("sentences", timeout=300)
        asked = np.array([text.encode() for text in texts], object)
        answers = client.predict("sentences", {"text": asked})
        alone = client.predict("sentences", {"text": asked[3:4]})
        (shown,) = python_blocks(ROOT / "docs/tutorials/translation.md")
        exec(shown.replace("localhost:8500", address).replace("cmudict", "sentences"), {})
        inputs = source_inputs(data.source_tokenizer, tf.constant(texts), 16)
        ids, mask = (x.to_tensor().numpy() for x in inputs.values())
        by_ids = client.predict(
            "sentences", {"token_ids": ids, "padding_mask": mask}, signature="token_ids"
        )
    np.testing.assert_array_equal(alone["translations"][0], answers["translations"][3])
    assert answers["translation"][8] == b""

    # A plain beam search over the whole network, without a cache, agrees.
    options = beam(TranslationConfig(beams=2, max_length=16, length_penalty=0.6))
    unambiguous = 0
    for row in (0, 1, 2, 9):
        best, second = plain(model, ids[row, : mask[row].sum()], options)
        assert answers["score"][row] == pytest.approx(best[0], abs=1e-3)
        if best[0] - second[0] > 1e-3:
            unambiguous += 1
            expected = data.target_tokenizer.detokenize(tf.constant([best[1]])).numpy()[0]
            assert answers["translation"][row] == expected
            text = by_ids["token_ids"][row, 0]
            assert text[: len(best[1])].tolist() == best[1]
            assert not text[len(best[1]) :].any()
    assert unambiguous
