"""From a folder of text to a server that continues a prompt and scores a text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
from safetensors.numpy import load_file

import architectures
from pipelines.__main__ import main
from pipelines.task import Network
from pipelines.tasks.language_modeling import weights
from pipelines.tasks.language_modeling.data import RunningText
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.text import generation, plain_generation
from pipelines.training import trainer
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.architectures import gpt2_files
from tests.end_to_end.deploying import ask_as_the_card_says, deploy
from tests.pages import ROOT, python_blocks
from tests.pipelines.tasks.language_modeling import examples, gpt2
from tests.serving.in_process import serving

SHORT = ("--epochs", "2", "--batch_size", "8", "--context", "24", "--vocabulary", "120")
NETWORK = (
    *("--architecture", "lstm", "--tokens", "words"),
    *("--model.units", "[16]", "--model.embedding", "16", "--model.tie_embeddings", "true"),
)


@pytest.fixture
def folder(workplace) -> Path:
    made = workplace / "own"
    made.mkdir()
    for split, speeches in examples.speeches().items():
        (made / f"{split}.txt").write_text("\n".join(speeches), encoding="utf-8")
    return made


def test_a_server_generates_and_scores_as_the_trained_model(
    store, workplace, folder, monkeypatch, at_once
):
    kept: list[Any] = []
    load, fit = LanguageModeling.load, trainer.fit

    def kept_data(task: LanguageModeling) -> RunningText:
        kept.append(load(task))
        return kept[-1]

    def kept_network(*arguments) -> Network:
        kept.append(fit(*arguments))
        return kept[-1]

    monkeypatch.setattr(LanguageModeling, "load", kept_data)
    monkeypatch.setattr(trainer, "fit", kept_network)
    options = (*NETWORK, *SHORT, "--name", "speeches", "--dataset", str(folder))
    assert main(["language_modeling", *options]) == 0
    data, network = kept
    model = network.model

    (run,) = mlflow.search_runs(experiment_names=["language_modeling"], output_format="list")
    artifacts = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"samples", "figures", "network"} <= artifacts
    assert {"test/perplexity", "test/bits_per_character"} <= run.data.metrics.keys()

    deployed = deploy("speeches", workplace / "models", version=1)
    lines = (deployed.path / "assets.extra/examples/prompts.jsonl").read_text().splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines][:3]
    greedy = {"length": 10, "temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 0}
    sampled = {"length": 12, "temperature": 1.0, "top_k": 0, "top_p": 0.95, "seed": 11}
    chosen = [greedy] * 3 + [{**sampled, "seed": 11 + row} for row in range(3)]
    columns: dict[str, Any] = {
        "prompt": prompts * 2,
        **{
            name: np.array([choice[name] for choice in chosen], spec.dtype.as_numpy_dtype)
            for name, spec in generation.PARAMETERS.items()
        },
    }
    with (
        serving(Model("speeches", workplace / "models" / "speeches")) as address,
        Client(address, timeout=300) as client,
    ):
        ask_as_the_card_says("speeches", address, workplace / "models")
        client.wait_until_ready("speeches", timeout=300)
        together = client.predict("speeches", columns, signature="generate")
        again = client.predict("speeches", columns, signature="generate")
        alone = [
            client.predict(
                "speeches",
                {name: values[row : row + 1] for name, values in columns.items()},
                signature="generate",
            )
            for row in range(6)
        ]
        default = client.predict("speeches", {"prompt": prompts})
        (shown,) = [each for each in python_blocks(ROOT / "docs/signatures.md") if "seed" in each]
        names: dict[str, Any] = {"client": client, "np": np}
        exec(shown.replace("sotu_text", "speeches"), names)
        assert names["answers"]["text"].shape == (1,)
        texts = [*examples.speeches()["test"][:3], "", prompts[0], "  Ann \n\n", "日本 \x00 Bob"]
        score = client.predict("speeches", {"text": texts}, signature="score")

    assert together["text"].tolist() == again["text"].tolist()
    assert together["text"].tolist() == [answer["text"][0] for answer in alone]
    assert len(set(together["text"].tolist())) > 3
    ids = data.tokenizer(np.array([p.encode() for p in prompts * 2], object)).to_list()
    generated = plain_generation.generate(model, ids, chosen, data.context)
    for row, (tokens, margin) in enumerate(generated):
        if margin > 1e-4:
            text = data.tokenizer.detokenize(np.array([tokens], np.int32).reshape(1, -1)).numpy()[0]
            assert together["text"][row] == text
            assert together["tokens"][row] == len(tokens)
    assert default["text"].shape == (3,)

    ids = data.tokenizer(np.array([text.encode() for text in texts], object)).to_list()
    expected = plain_generation.score(model, ids, data.context)
    np.testing.assert_allclose(score["log_probability"], expected, rtol=1e-4, atol=1e-5)
    assert score["tokens"].tolist() == [len(row) for row in ids]
    for log_prob, perplexity, row in zip(expected, score["perplexity"], ids, strict=True):
        assert perplexity == pytest.approx(math.exp(-log_prob / max(1, len(row))), rel=1e-4)


@pytest.mark.slow
def test_a_pretrained_gpt2_is_fine_tuned_and_served(store, workplace, folder, trained, at_once):
    """From a Hugging Face directory to strings in one call, and to the next run's weights."""
    directory = gpt2.write(workplace / "gpt2")
    sizes = [f"--model.{name}={value}" for name, value in gpt2_files.SIZES.items()]
    options = ("--architecture", "gpt2_small", *sizes, "--weights", str(directory))
    short = ("--epochs", "1", "--batch_size", "8", "--context", "24", "--figures", "false")
    named = ("--dataset", str(folder), "--name", "tuned", "--freeze", "embedding")
    assert main(["language_modeling", *options, *short, *named, "--optimizer.warmup", "0"]) == 0
    (network,) = trained
    (run,) = mlflow.search_runs(experiment_names=["language_modeling"], output_format="list")
    assert run.data.params["tokens"] == "byte_pairs"

    tokenizer = weights.read_tokenizer(f"runs:/{run.info.run_id}")
    before = gpt2_files.random_tensors({**gpt2_files.CONFIG, "vocab_size": gpt2.SIZE})
    after = load_file(weights.find(f"runs:/{run.info.run_id}") / "model.safetensors")
    frozen = {name for name in before if (after[f"transformer.{name}"] == before[name]).all()}
    assert frozen == {"wte.weight", "wpe.weight"}
    again = architectures.build(
        "gpt2_small", vocabulary=gpt2.SIZE, max_length=24, **gpt2_files.SIZES
    )
    weights.load(again, f"runs:/{run.info.run_id}")
    for one, other in zip(again.get_weights(), network.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)

    deploy("tuned", workplace / "models", version=1)
    prompts = ["Zoë likes", "", "  Bob\n\n isn't", "日本 \x00"]
    chosen = [
        {"length": 12, "temperature": 1.0, "top_k": 0, "top_p": 0.95, "seed": row}
        for row in range(len(prompts))
    ]
    columns = {
        name: np.array([choice[name] for choice in chosen], spec.dtype.as_numpy_dtype)
        for name, spec in generation.PARAMETERS.items()
    }
    with (
        serving(Model("tuned", workplace / "models" / "tuned")) as address,
        Client(address, timeout=300) as client,
    ):
        client.wait_until_ready("tuned", timeout=300)
        found = client.predict("tuned", {"prompt": prompts, **columns}, signature="generate")
        score = client.predict("tuned", {"text": prompts}, signature="score")
    ids = tokenizer(np.array([prompt.encode() for prompt in prompts], object)).to_list()
    special = tokenizer.ids
    plain = plain_generation.generate(network.model, ids, chosen, 24, special)
    for text, count, (tokens, margin) in zip(found["text"], found["tokens"], plain, strict=True):
        if margin > 1e-4:
            expected = tokenizer.detokenize(np.array([tokens], np.int32).reshape(1, -1)).numpy()[0]
            assert text.decode() == expected.decode(errors="replace")
            assert count == len(tokens)
    log_probs = plain_generation.score(network.model, ids, 24, special)
    np.testing.assert_allclose(score["log_probability"], log_probs, rtol=1e-4, atol=1e-5)
    assert score["tokens"].tolist() == list(map(len, ids))


def test_a_network_that_does_not_model_language_is_an_error_in_one_sentence(store, folder, capsys):
    assert main(["language_modeling", "--dataset", str(folder), "--architecture", "bilstm"]) == 2
    assert capsys.readouterr().err == (
        "error: bilstm does not model language; decoders and recurrent networks in one direction "
        "do\n"
    )
