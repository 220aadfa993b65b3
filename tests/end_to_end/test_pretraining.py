"""From documents to a server that fills masks, and on to a classifier with the same encoder."""

from __future__ import annotations

from pathlib import Path

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf

from pipelines.__main__ import main
from pipelines.tasks.pretraining import masked_lm
from pipelines.tasks.pretraining.embedding import embedder, encoder_inputs
from pipelines.tasks.pretraining.signatures import is_unambiguous, tokenize_masked
from pipelines.text import pretrained
from pipelines.text.tokenizers import WordPieces, dense
from serving.client import Client
from serving.server.lifecycle.version_policy import Model
from tests.end_to_end.deploying import deploy
from tests.pipelines import written
from tests.pipelines.tasks.pretraining import examples
from tests.serving.in_process import serving

EPOCHS = 6
SMALL = (
    *("--epochs", str(EPOCHS), "--batch_size", "8", "--max_length", "24", "--vocabulary", "200"),
    *("--model.layers", "1", "--model.heads", "2", "--model.width", "16"),
    *("--model.feed_forward", "16", "--optimizer.learning_rate", "0.01"),
    *("--model.dropout", "0", "--optimizer.clip_norm", "1", "--encoder", ""),
)
FIGURES = {
    *("accuracy_by_frequency", "worst_mistakes", "lengths", "attention_layers", "learning_curves"),
    *("attention_heads", "embedding_map", "probing", "confusion_matrix", "reliability"),
}
TEXTS = ["The [MASK] and a ship.", "no mask, Häher", "[MASK] of [MASK]", ""]


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


def check_learned(run: str, *losses: str) -> None:
    """Checks that losses went down, and that each epoch's samples show what was predicted."""
    client = mlflow.MlflowClient()
    for name in losses:
        curve = [metric.value for metric in client.get_metric_history(run, name)]
        assert len(curve) == EPOCHS
        # It begins at the frequencies of tokens, which is most of what so few sentences teach.
        assert curve[-1] < 0.97 * curve[0]
    for epoch in range(1, EPOCHS + 1):
        text = mlflow.artifacts.load_text(f"runs:/{run}/samples/epoch_{epoch:03d}.txt")
        assert ", not " in text


def figures(run: str) -> set[str]:
    found = mlflow.artifacts.list_artifacts(f"runs:/{run}/figures") or ()
    return {Path(file.path).stem for file in found}


def saved_encoder(run: str, family: str) -> tuple[keras.Model, WordPieces]:
    """Returns the encoder that a run saved, and its tokenizer."""
    folder = pretrained.find(f"runs:/{run}")
    return pretrained.read(folder, family), WordPieces(pretrained.read_vocabulary(folder), 24)


def check_embeddings(found: dict, run: str, family: str, texts: list[str]) -> None:
    """Checks that vectors are those of the encoder that the run saved."""
    encoder, tokenizer = saved_encoder(run, family)
    inputs = {k: x.numpy() for k, x in dense(tokenizer(tf.constant(texts))).items()}
    expected = embedder(encoder).predict(encoder_inputs(encoder, inputs), verbose=0)
    assert found.keys() == expected.keys()
    for name, vectors in expected.items():
        np.testing.assert_allclose(found[name], vectors, rtol=1e-4, atol=1e-5)


def test_served_masks_and_pairs_are_those_of_the_trained_model(
    store, workplace, data_dir, at_once, trained
):
    options = ("--dataset", "shores", "--sentence_task", "next_sentence", *SMALL)
    run = train("bert_pretraining", data_dir, *options)
    ((network,), (_, tokenizer)) = trained, saved_encoder(run, "bert")
    plain = [text.replace("[MASK]", "reef") for text in TEXTS]
    pairs = {"text": plain, "text_pair": [*TEXTS[1:], "a ship"]}
    deploy("bert_pretraining", workplace / "models")
    with (
        serving(Model("bert_pretraining", workplace / "models" / "bert_pretraining")) as address,
        Client(address, timeout=300) as client,
    ):
        client.wait_until_ready("bert_pretraining", timeout=300)
        filled, default, vectors, followed = (
            client.predict("bert_pretraining", inputs, signature=signature)
            for signature, inputs in (
                ("fill_mask", {"text": TEXTS}),
                ("serving_default", {"text": TEXTS}),
                ("embed", {"text": plain}),
                ("next_sentence", pairs),
            )
        )

    ragged, positions = tokenize_masked(tokenizer, tf.constant(TEXTS))
    inputs = {k: x.numpy() for k, x in dense({**ragged, "mask_positions": positions}).items()}
    logits = network.model.predict(inputs, verbose=0)["masked_lm"]
    expected = masked_lm.top_k_arrays(logits, inputs["mask_positions"])
    np.testing.assert_allclose(filled["scores"], expected["scores"], rtol=1e-4, atol=1e-6)
    vocabulary = ["", *tokenizer.vocabulary[1:]]
    for row in np.flatnonzero(is_unambiguous(logits, inputs["mask_positions"])):
        found = [[token.decode() for token in mask] for mask in filled["tokens"][row]]
        assert found == [[vocabulary[i] for i in mask] for mask in expected["guesses"][row]]
    assert (filled["tokens"][:, 0, 0] != b"").tolist() == [True, False, True, False]
    for name, value in default.items():
        np.testing.assert_array_equal(value, filled[name])

    check_embeddings(vectors, run, "bert", plain)
    ids = dense(tokenizer(*(tf.constant(texts) for texts in pairs.values())))
    outputs = network.model({**ids, "mask_positions": tf.zeros([4, 1], tf.int32)})
    probability = tf.nn.softmax(outputs["next_sentence"])[:, 0]
    assert followed.keys() == {"probability"}
    np.testing.assert_allclose(followed["probability"], probability, rtol=1e-4, atol=1e-5)

    check_learned(run, "train/loss")
    assert figures(run) == {*FIGURES, "worst_sentence_pairs"}
    metrics = mlflow.get_run(run).data.metrics
    assert {"train/val_masked_lm_accuracy", "train/val_next_sentence_accuracy"} <= metrics.keys()
    # Better than equal probabilities of all tokens.
    assert metrics["test/masked_lm_perplexity"] < 0.5 * len(tokenizer.vocabulary)


@pytest.mark.slow
def test_a_classifier_continues_with_the_encoder_that_replaced_tokens_trained(
    store, data_dir, at_once
):
    options = (
        *("--generator_divisor", "2", "--model.embedding", "8"),
        *("--initialization", "published"),
    )
    run = train("electra_pretraining", data_dir, "--dataset", "shores", *SMALL, *options)
    model = mlflow.artifacts.download_artifacts("models:/electra_pretraining/1")
    (folder,) = (file.parent for file in Path(model).rglob("saved_model.pb"))
    signatures = tf.saved_model.load(folder).signatures
    texts = ["The ship, a wäve", "", "and of " * 40]
    vectors, answer = (
        {name: x.numpy() for name, x in signatures[key](text=tf.constant(texts)).items()}
        for key in ("embed", "detect")
    )
    check_embeddings(vectors, run, "electra", texts)
    assert answer["words"][0, :5].tolist() == [b"The", b"ship", b",", b"a", "wäve".encode()]
    assert ((answer["replaced"] >= 0) & (answer["replaced"] <= 1)).all()
    assert not answer["replaced"][1].any()
    for start, end, word in zip(*(answer[k][0] for k in ("starts", "ends", "words")), strict=True):
        assert start < 0 or texts[0].encode()[start:end] == word
    check_learned(run, "train/masked_lm_loss", "train/replaced_token_loss")
    assert figures(run) == {*FIGURES, "worst_replaced_tokens"}
    metrics = mlflow.get_run(run).data.metrics
    assert {"train/val_replaced_token_auc", "train/val_masked_lm_accuracy"} <= metrics.keys()

    # The encoder is frozen, so that it comes out as it went in.
    encoder = ("--architecture", "electra_small", "--encoder", f"runs:/{run}")
    short = ("--dataset", "topics", "--epochs", "1", "--batch_size", "8", "--max_length", "24")
    frozen = ("--freeze_layers", "1", "--model.pooling", "mean")
    second = train("text_classification", data_dir, *short, *encoder, *frozen)
    (old, before), (new, after) = (saved_encoder(one, "electra") for one in (run, second))
    assert before.vocabulary == after.vocabulary
    for one, other in zip(old.weights, new.weights, strict=True):
        if "pooled" not in one.path:
            np.testing.assert_array_equal(one, other)
