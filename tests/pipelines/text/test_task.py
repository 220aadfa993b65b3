"""Encoders: kept by a run and found again, read from elsewhere, frozen, fed with hidden words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import mlflow
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

import architectures
from architectures import heads
from architectures.bert import transformer_layers
from pipelines.config import Recipe
from pipelines.errors import UserError
from pipelines.tasks.text_classification.task import TextClassification
from pipelines.text import task as encoders
from pipelines.text.config import TextConfig
from pipelines.text.task import TextTask, find, freeze, read, read_vocabulary
from pipelines.text.tokenizers import SPECIAL
from tests.architectures import test_checkpoints as checkpoints
from tests.pipelines.written import ENCODER

FAMILIES = {
    "bert": "bert_tiny",
    "albert": "albert_base",
    "electra": "electra_small",
    "distilbert": "distilbert_base",
}
# As many as the tokens of the directories in Hugging Face's format.
VOCABULARY = [*SPECIAL, "red", "tree", "play", "##ing", "##ed", "!", ",", "."]
TEXTS = np.array(["red trees played", "playing, red!"], object)


def build(family: str, **options: Any) -> keras.Model:
    narrow = {"embedding": 8} if family in ("albert", "electra") else {}
    keras.utils.set_random_seed(3)
    chosen = {**ENCODER, **narrow, **options}
    return architectures.build(
        FAMILIES[family], vocabulary=len(VOCABULARY), max_length=32, **chosen
    )


def batch(model: keras.Model) -> dict[str, np.ndarray]:
    ids = np.array([[2, 5, 6, 7, 3, 0], [2, 7, 8, 10, 5, 3]], np.int32)
    inputs = {"token_ids": ids, "padding_mask": (ids > 0).astype(np.int32)}
    if "segment_ids" in model.input:
        inputs["segment_ids"] = np.array([[0, 0, 1, 1, 1, 0], [0, 0, 0, 1, 1, 1]], np.int32)
    return inputs


def chosen(architecture: str = "bert_tiny", **options: Any) -> TextConfig:
    defaults: dict[str, Any] = {"model": {} if "encoder" in options else ENCODER}
    return TextConfig(
        architecture=architecture, vocabulary=200, **{**defaults, "max_length": 16, **options}
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_read_again_with_its_vocabulary(family, tmp_path):
    encoder = build(family)
    for weight in encoder.weights:  # Zeros and ones would prove little.
        weight.assign(np.random.default_rng(1).normal(scale=0.3, size=weight.shape))
    encoders.write(encoder, VOCABULARY, tmp_path / "encoder")
    again = read(find(str(tmp_path / "encoder")), family)
    assert read_vocabulary(tmp_path / "encoder") == VOCABULARY
    assert [w.path for w in again.weights] == [w.path for w in encoder.weights]
    for one, other in zip(again.weights, encoder.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    inputs = batch(encoder)
    for one, other in zip(
        tf.nest.flatten(again(inputs)), tf.nest.flatten(encoder(inputs)), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert again.max_sequence_length == 32
    assert len(transformer_layers(again)) == (1 if family == "albert" else 2)
    # It is an encoder as any other: a head fits on it.
    head = heads.classifier(again, classes=3)
    assert head(inputs).shape == (2, 3)


@given(
    st.lists(
        st.text(
            st.one_of(
                st.sampled_from("\x0b\x0c\x1c\x85\u2028 é"),
                st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"),
            ),
            min_size=1,
            max_size=4,
        ),
        min_size=1,
        max_size=9,
    )
)
def test_any_token_keeps_its_place_in_a_vocabulary(folder, tokens):
    """Some characters end lines for Python and for nobody else."""
    encoders.write(_Unsaved(), tokens, folder)
    assert read_vocabulary(folder) == tokens


class _Unsaved:
    def save_to_preset(self, folder: str) -> None:
        pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("vocabulary")


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with a BERT and its vocabulary."""
    folder = tmp_path_factory.mktemp("kept") / "encoder"
    encoders.write(build("bert"), VOCABULARY, folder)
    return folder


@pytest.fixture
def run(store, kept) -> str:
    """The id of a run that kept the encoder, registered as version 2 of `reader`, its champion."""
    client = mlflow.MlflowClient()
    with mlflow.start_run() as nothing:
        mlflow.log_text("", "something_else.txt")
    with mlflow.start_run() as active:
        mlflow.log_artifacts(str(kept), "encoder")
    client.create_registered_model("reader")
    for finished in (nothing, active):
        client.create_model_version("reader", source="x", run_id=finished.info.run_id)
    client.set_registered_model_alias("reader", "champion", "2")
    return active.info.run_id


def test_an_encoder_is_found_by_its_run_or_by_a_model_of_that_run(run, kept):
    for uri in (f"runs:/{run}", "models:/reader@champion", "models:/reader/2", str(kept)):
        found = find(uri)
        assert read_vocabulary(found) == VOCABULARY
        assert read(found, "bert").count_params() == build("bert").count_params()


@pytest.mark.parametrize(
    "uri",
    [
        "runs:/0123456789abcdef0123456789abcdef",
        "runs:/",
        "models:/reader/1",  # Its run kept no encoder.
        "models:/reader/3",
        "models:/reader/latest",
        "models:/reader@challenger",
        "models:/writer@champion",
        "models:/reader",
        "models:/",
    ],
)
def test_where_no_encoder_was_kept_it_is_said(uri, run):
    with pytest.raises(UserError) as caught:
        find(uri)
    assert str(caught.value) == f"--encoder {uri} has no saved encoder"


def test_a_folder_without_a_configuration_is_no_encoder(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError) as caught:
            find(str(folder))
        assert str(caught.value) == f"--encoder {folder} is no directory with a config.json"


def test_the_home_folder_may_be_written_as_a_tilde(kept, monkeypatch):
    monkeypatch.setenv("HOME", str(kept.parent))
    assert find("~/encoder") == kept


def test_an_encoder_of_another_family_is_refused(kept, tmp_path):
    message = "^the encoder is a bert; choose an architecture of its family$"
    with pytest.raises(UserError, match=message):
        read(kept, "albert")
    checkpoints.write(tmp_path, "electra")
    with pytest.raises(UserError, match=r"^the encoder is a electra; choose"):
        read(tmp_path, "bert")
    task = TextTask.__subclasses__()[0]()  # Whichever task it is.
    with pytest.raises(UserError, match=message):
        task.head(chosen("distilbert_base", encoder=str(kept)), 13, heads.classifier, classes=2)


@pytest.fixture(scope="module")
def huggingface(tmp_path_factory) -> dict[str, Path]:
    """Directories in Hugging Face's format by family, each with our vocabulary."""
    folders = {}
    for family in FAMILIES:
        folders[family] = checkpoints.write(tmp_path_factory.mktemp(family), family)
        (folders[family] / "vocab.txt").write_text("\n".join([*VOCABULARY, ""]))
    return folders


@pytest.mark.parametrize("family", FAMILIES)
def test_a_hugging_face_directory_is_an_encoder_with_a_vocabulary(family, huggingface):
    task = TextClassification()
    config = chosen(FAMILIES[family], encoder=str(huggingface[family]), max_length=9)
    task.choose(config)
    tokenizer = task.word_pieces(config, TEXTS)
    assert list(tokenizer.vocabulary) == VOCABULARY
    model = task.head(config, len(VOCABULARY), heads.classifier, classes=3)
    inputs = {
        name: value.to_tensor().numpy() for name, value in tokenizer(tf.constant(TEXTS)).items()
    }
    assert inputs.keys() == model.input.keys()
    assert inputs["token_ids"].tolist() == [[2, 5, 1, 7, 9, 3, 0], [2, 7, 8, 11, 5, 10, 3]]
    stored = checkpoints.tensors_of(family)[f"{family}.embeddings.word_embeddings.weight"]
    table = next(w for w in model.weights if w.path.endswith("token_embedding/embeddings"))
    np.testing.assert_array_equal(table, stored)
    assert model(inputs).shape == (2, 3)


def test_a_vocabulary_of_another_kind_is_refused(tmp_path):
    checkpoints.write(tmp_path, "roberta")
    (tmp_path / "vocab.txt").unlink()
    config = chosen("roberta_base", encoder=str(tmp_path))
    with pytest.raises(UserError, match=r"has no vocab\.txt, a WordPiece vocabulary$"):
        TextClassification().word_pieces(config, TEXTS)
    (tmp_path / "vocab.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match=r"^the vocabulary lacks"):
        TextClassification().word_pieces(config, TEXTS)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors"])
def test_a_damaged_directory_is_told_in_one_sentence(damage, tmp_path):
    checkpoints.write(tmp_path, "bert")
    (tmp_path / damage).write_text("{")
    with pytest.raises(UserError, match=r"config\.json|model\.safetensors") as caught:
        TextClassification().head(chosen(encoder=str(tmp_path)), 13, heads.classifier, classes=2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("model.weights.h5", None, "the weights in .* are missing or damaged"),
        ("model.weights.h5", "no weights", "the weights in .* are missing or damaged"),
        ("config.json", "{}", "the encoder is a ; choose an architecture of its family"),
    ],
)
def test_a_damaged_encoder_of_an_own_run_is_told_in_one_sentence(file, content, message, tmp_path):
    encoders.write(build("bert"), VOCABULARY, tmp_path)
    (tmp_path / file).unlink()
    if content:
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=f"^{message}$") as caught:
        TextClassification().head(chosen(encoder=str(tmp_path)), 13, heads.classifier, classes=2)
    assert "\n" not in str(caught.value)


# Choices


@pytest.mark.parametrize(("option", "value"), [("encoder", "some/folder"), ("freeze_layers", 1)])
@pytest.mark.parametrize("architecture", ["word_convnet", "bilstm"])
def test_only_encoders_take_the_options_of_encoders(option, value, architecture):
    config = chosen(architecture, **{"model": {}, option: value})
    with pytest.raises(UserError) as caught:
        TextTask.choose(TextClassification(), config)
    assert str(caught.value) == (
        f"--{option} needs an architecture of BERT's family, not {architecture}"
    )


def test_hyperparameters_of_a_trained_encoder_cannot_be_chosen(kept):
    config = chosen(encoder=str(kept), model={"width": 32})
    with pytest.raises(
        UserError, match=r"^--model\.width cannot be chosen: it follows from the enc"
    ):
        TextClassification().head(config, 13, heads.classifier, classes=2)


def test_those_of_its_head_can(kept):
    config = chosen(encoder=str(kept), model={"pooling": "max"})
    model = TextClassification().head(config, 13, heads.classifier, ("pooling",), classes=2)
    assert "pooling" in {layer.name for layer in model.layers}
    wrong = chosen(encoder=str(kept), model={"pooling": "sum"})
    with pytest.raises(UserError, match=r"pooling must be one of .*, not 'sum'"):
        TextClassification().head(wrong, 13, heads.classifier, ("pooling",), classes=2)


@pytest.mark.parametrize("trained", [True, False])
def test_texts_cannot_be_longer_than_the_encoder_reads(trained, kept):
    options: dict[str, Any] = {"max_length": 33}
    options |= {"encoder": str(kept)} if trained else {"model": {**ENCODER, "max_length": 32}}
    with pytest.raises(UserError, match=r"^--max_length must be at most the encoder's 32, not 33$"):
        TextClassification().head(chosen(**options), 13, heads.classifier, classes=2)
    shorter = chosen(**{**options, "max_length": 32})
    TextClassification().head(shorter, 13, heads.classifier, classes=2)


def test_an_encoder_from_scratch_reads_texts_of_the_chosen_length_and_no_longer_ones():
    task = TextClassification()
    task.head(chosen(max_length=21), 13, heads.classifier, classes=2)
    assert task._encoder is not None
    assert task._encoder.max_sequence_length == 21


@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_are_the_embeddings_and_the_first_layers(family):
    encoder = build(family, layers=3)
    freeze(encoder, 0)
    assert not encoder.non_trainable_weights
    freeze(encoder, 1)
    frozen = {weight.path for weight in encoder.non_trainable_weights}
    layers = transformer_layers(encoder)
    in_layers = {weight.path for layer in layers for weight in layer.weights}
    in_first = {weight.path for weight in layers[0].weights}
    embeddings = {
        path
        for path in (weight.path for weight in encoder.weights)
        if "embedding" in path and path not in in_layers
    }
    assert len(embeddings) >= 4
    assert frozen == in_first | embeddings
    # What stands behind the layers, as a pooler, goes on learning.
    left = {weight.path for weight in encoder.trainable_weights}
    assert left == {weight.path for weight in encoder.weights} - frozen


def test_more_layers_than_there_are_cannot_be_frozen():
    freeze(build("bert"), 2)
    with pytest.raises(UserError) as caught:
        freeze(build("bert"), 3)
    assert str(caught.value) == "--freeze_layers must be at most the encoder's 2 layers, not 3"


# Hidden words


def hiding(share: float, seed: int = 0, vocabulary: list[str] = VOCABULARY):
    task = TextClassification()
    task._vocabulary = vocabulary
    return task.augment(chosen(word_dropout=share, recipe=Recipe(seed=seed)))


def ids(seed: int = 0) -> dict[str, tf.Tensor]:
    drawn = np.random.default_rng(seed).integers(0, len(VOCABULARY), (100, 50)).astype(np.int32)
    return {"token_ids": tf.constant(drawn), "padding_mask": tf.ones([100, 50], tf.int32)}


def test_without_word_dropout_nothing_is_hidden():
    assert hiding(0.0) is None


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_about_that_share_of_words_is_hidden_and_never_a_special_token(share):
    before, label = ids(), tf.range(100)
    after, same = hiding(share)(before, label)
    assert same is label
    assert after["padding_mask"] is before["padding_mask"]
    old, new = before["token_ids"].numpy(), after["token_ids"].numpy()
    assert new.dtype == np.int32
    plain = old >= len(SPECIAL)
    np.testing.assert_array_equal(new[~plain], old[~plain])
    hidden = new[plain] != old[plain]
    assert set(new[plain][hidden]) == {VOCABULARY.index("[UNK]")}
    assert hidden.mean() == pytest.approx(share, abs=0.03)


def test_padding_of_words_is_never_hidden():
    vocabulary = ["", "[UNK]", "red", "tree"]
    before = {"token_ids": tf.constant(np.arange(4000, dtype=np.int32).reshape(40, 100) % 4)}
    after = hiding(0.9, vocabulary=vocabulary)(before, None)[0]["token_ids"].numpy()
    assert (after[:, ::4] == 0).all()
    assert 0.8 < (after[:, 2::4] == 1).mean() < 1


def test_words_are_hidden_alike_for_the_same_seed_and_anew_each_time():
    one, same, other = hiding(0.5, 1), hiding(0.5, 1), hiding(0.5, 2)
    first = [one(ids(), None)[0]["token_ids"].numpy() for _ in range(2)]
    second = [same(ids(), None)[0]["token_ids"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(first, second)
    assert np.any(first[0] != first[1])
    assert np.any(first[0] != other(ids(), None)[0]["token_ids"].numpy())


def test_words_are_hidden_in_training_data_too():
    """In the graph of a data set every batch is hidden in another way."""
    hide = hiding(0.5)
    data = tf.data.Dataset.from_tensors(ids()).repeat(2).map(lambda inputs: hide(inputs, 0)[0])
    first, second = (batch["token_ids"] for batch in data.as_numpy_iterator())
    assert 0.1 < (first != second).mean() < 0.6


# The signature of token ids


def test_token_ids_are_a_signature_of_any_length(kept):
    model = heads.classifier(read(kept, "bert"), classes=2)
    inputs = batch(model)
    expected = {"logits": model(inputs).numpy()}

    def answer(given: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"logits": model(given)}

    signature = TextClassification().token_signature(model, answer, inputs, expected)
    assert signature.name == "token_ids"
    assert not signature.resources
    assert signature.inputs.keys() == signature.examples.keys() == set(model.input)
    assert {(spec.dtype, tuple(spec.shape)) for spec in signature.inputs.values()} == {
        (tf.int32, (None, None))
    }
    # Arguments come in the order of the inputs.
    order = [signature.examples[name] for name in signature.inputs]
    np.testing.assert_allclose(
        signature.function(*map(tf.constant, order))["logits"], expected["logits"], atol=1e-6
    )
    shorter = [x[:1, :4] for x in order]
    assert signature.function(*map(tf.constant, shorter))["logits"].shape == (1, 2)
    graph = tf.function(
        signature.function, input_signature=[tf.TensorSpec(None, tf.int32)] * len(order)
    )
    with pytest.raises(tf.errors.InvalidArgumentError):
        graph(*(tf.constant(x[0]) for x in order))


def test_an_encoder_is_kept_as_it_is_after_training(tmp_path):
    task = TextClassification()
    assert task.artifacts(keras.Model(), None) == {}
    model = task.head(chosen(), len(VOCABULARY), heads.classifier, classes=2)
    kernel = model.trainable_weights[0]
    kernel.assign(kernel + 1)
    data: Any = type("Data", (), {"tokenizer": type("T", (), {"vocabulary": VOCABULARY})})
    (name, write), *others = task.artifacts(model, data).items()
    assert (name, others) == ("encoder", [])
    write(tmp_path / name)
    again = read(tmp_path / name, "bert")
    np.testing.assert_array_equal(again.trainable_weights[0], kernel)
    config = json.loads((tmp_path / name / "config.json").read_text())
    assert config["class_name"] == "BertBackbone"
