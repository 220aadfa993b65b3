"""From documents to a server that fills masks and tells replaced words, and on to a classifier."""

from __future__ import annotations

from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf

from architectures.layers import SequencePooling
from pipelines import training
from pipelines.__main__ import main
from pipelines.tasks.pretraining import data as segments
from pipelines.tasks.pretraining import masked_lm
from pipelines.text import task as encoders
from pipelines.text.task import dense
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import deploy
from tests.pipelines import written
from tests.pipelines.tasks.pretraining import examples
from tests.serving.in_process import serving

SMALL = (
    *("--epochs", "2", "--batch_size", "8", "--max_length", "24", "--vocabulary", "200"),
    *("--model.layers", "1", "--model.heads", "2", "--model.width", "16"),
    *("--model.feed_forward", "16", "--optimizer.learning_rate", "0.02"),
)
TEXTS = ["The [MASK] and a ship.", "no mask, Häher", "[MASK] of [MASK]", ""]


class Kept:
    """What the run in this process worked with."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.data: list[segments.Segments] = []
        self.models: list[keras.Model] = []
        load, fit = segments.load, training.fit

        def kept_data(*arguments, **options) -> segments.Segments:
            self.data.append(load(*arguments, **options))
            return self.data[-1]

        def kept_model(*arguments) -> keras.Model:
            self.models.append(fit(*arguments))
            return self.models[-1]

        monkeypatch.setattr(segments, "load", kept_data)
        monkeypatch.setattr(training, "fit", kept_model)


@pytest.fixture
def data_dir(workplace) -> Path:
    examples.store_documents(workplace / "data")
    written.store_topics(workplace / "data")
    return workplace / "data"


def train(pipeline: str, data_dir: Path, *options: str) -> str:
    """Runs a pipeline and returns the run's id."""
    assert main([pipeline, "--data_dir", str(data_dir), "--name", pipeline, *options]) == 0
    (run, *_) = mlflow.search_runs(
        experiment_names=[pipeline], order_by=["start_time DESC"], output_format="list"
    )
    return run.info.run_id


def ask(name: str, workplace: Path, **signatures: dict[str, list[str]]):
    """Serves version 1 and returns its answer to each signature's inputs."""
    deploy(name, workplace / "models", version=1)
    with (
        serving(Model(name, workplace / "models" / name)) as address,
        Client(address, timeout=60) as client,
    ):
        client.wait_until_ready(name, timeout=120)
        return {
            signature: client.predict(name, inputs, signature=signature)
            for signature, inputs in signatures.items()
        }


def goes_on(run: str, architecture: str, data_dir: Path) -> None:
    """Trains a classifier on the run's encoder, frozen, which has to come out as it went in."""
    options = ("--architecture", architecture, "--encoder", f"runs:/{run}", "--freeze_layers", "1")
    short = ("--dataset", "topics", "--epochs", "1", "--batch_size", "8", "--max_length", "24")
    second = train("text_classification", data_dir, *short, *options, "--model.pooling", "mean")
    folders = [encoders.find(f"runs:/{one}") for one in (run, second)]
    assert encoders.read_vocabulary(folders[0]) == encoders.read_vocabulary(folders[1])
    family = encoders.family(architecture)
    old, new = (encoders.read(folder, family) for folder in folders)
    for one, other in zip(old.weights, new.weights, strict=True):
        if "pooled" not in one.path:
            np.testing.assert_array_equal(one, other)


def vectors(encoder: keras.Model, inputs: dict) -> dict[str, np.ndarray]:
    hidden = encoder.predict({k: inputs[k] for k in encoder.input}, verbose=0)["sequence_output"]
    real = inputs["padding_mask"]
    pooled = {mode: SequencePooling(mode)(hidden, mask=real) for mode in ("mean", "max")}
    return {"cls": hidden[:, 0], **{mode: np.asarray(x) for mode, x in pooled.items()}}


def alike(found: dict, expected: dict) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


def test_masks_are_filled_and_pairs_judged_as_by_the_trained_model(
    store, workplace, data_dir, at_once, monkeypatch
):
    kept = Kept(monkeypatch)
    run = train("bert_pretraining", data_dir, "--dataset", "shores", *SMALL)
    second = [*TEXTS[1:], "a ship"]
    plain = [text.replace("[MASK]", "reef") for text in TEXTS]
    answers = ask(
        "bert_pretraining",
        workplace,
        fill_mask={"text": TEXTS},
        serving_default={"text": TEXTS},
        embed={"text": plain},
        next_sentence={"text": plain, "text_pair": second},
    )
    ((data,), (model,)) = kept.data, kept.models
    inputs, masks = masked_lm.with_masks(data.tokenizer, tf.constant(TEXTS))
    given = {k: x.numpy() for k, x in dense({**inputs, "mask_positions": masks}).items()}
    logits = model.predict(given, verbose=0)["masked_lm"]
    expected = masked_lm.best_arrays(logits, given["mask_positions"])
    filled = answers["fill_mask"]
    np.testing.assert_allclose(filled["scores"], expected["scores"], rtol=1e-4, atol=1e-6)
    vocabulary = ["", *data.tokenizer.vocabulary[1:]]
    certain = masked_lm.decided(logits, given["mask_positions"])
    for row in np.flatnonzero(certain):
        found = [[token.decode() for token in place] for place in filled["tokens"][row]]
        assert found == [[vocabulary[i] for i in place] for place in expected["guesses"][row]]
    assert (filled["tokens"][:, 0, 0] != b"").tolist() == [True, False, True, False]
    for name, value in answers["serving_default"].items():
        np.testing.assert_array_equal(value, filled[name])

    ids = {k: x.numpy() for k, x in dense(data.tokenizer(tf.constant(plain))).items()}
    alike(answers["embed"], vectors(encoders.read(encoders.find(f"runs:/{run}"), "bert"), ids))
    texts = (tf.constant(plain), tf.constant(second))
    pairs = {k: x.numpy() for k, x in dense(data.tokenizer(*texts)).items()}
    pairs["mask_positions"] = np.zeros((4, 1), np.int32)
    chance = keras.ops.softmax(model.predict(pairs, verbose=0)["next_sentence"])
    alike(answers["next_sentence"], {"probability": np.asarray(chance)[:, 0]})

    ((_, fills),) = [
        (file.path, mlflow.artifacts.load_text(f"runs:/{run}/{file.path}"))
        for file in mlflow.MlflowClient().list_artifacts(run, "samples")
        if file.path.endswith("002.txt")
    ]
    assert ", not " in fills
    goes_on(run, "bert_tiny", data_dir)


def test_replaced_words_are_told_as_by_the_trained_model(
    store, workplace, data_dir, at_once, monkeypatch
):
    kept = Kept(monkeypatch)
    options = ("--generator_divisor", "2", "--model.embedding", "8")
    run = train("electra_pretraining", data_dir, "--dataset", "shores", *SMALL, *options)
    texts = ["The reef and a ship.", "", "moss of a Häher, a tree"]
    answers = ask("electra_pretraining", workplace, detect={"text": texts}, embed={"text": texts})
    ((data,), (model,)) = kept.data, kept.models
    ids = {k: x.numpy() for k, x in dense(data.tokenizer(tf.constant(texts))).items()}
    alike(answers["embed"], vectors(encoders.read(encoders.find(f"runs:/{run}"), "electra"), ids))

    # Where nothing is masked, the joint model judges the text as it is.
    judged = model.predict({**ids, "mask_positions": np.zeros((3, 1), np.int32)}, verbose=0)
    np.testing.assert_array_equal(judged["replaced_token"][..., 1], ids["token_ids"])
    chance = 1 / (1 + np.exp(-judged["replaced_token"][..., 0]))
    found = answers["detect"]
    pieces, *_ = data.tokenizer.words(tf.constant(texts))
    for row, words in enumerate(pieces.to_list()):
        place = 1
        for number, tokens in enumerate(words):
            own = chance[row, place : place + len(tokens)]
            assert found["replaced"][row, number] == pytest.approx(own.max(), rel=1e-4)
            place += len(tokens)
        spelled = b" ".join(found["words"][row, : len(words)]).decode()
        assert spelled.replace(" ", "") == texts[row].replace(" ", "")
    goes_on(run, "electra_small", data_dir)
