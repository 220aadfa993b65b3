"""What tasks on text rate: an encoder with a head, its vocabulary, word dropout, artifacts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from architectures import heads
from pipelines.errors import UserError
from pipelines.task import Network
from pipelines.text import pretrained
from pipelines.text.tokenizers import SPECIAL
from tests.architectures import test_checkpoints as checkpoints
from tests.pipelines.text.encoders import (
    DATA,
    FAMILIES,
    VOCABULARY,
    build,
    task,
    tokenized_with,
)
from tests.pipelines.written import ENCODER

TEXTS = np.array(["red trees played", "playing, red!"], object)


@pytest.fixture(scope="module")
def kept(tmp_path_factory) -> Path:
    """A folder with a BERT and its vocabulary."""
    folder = tmp_path_factory.mktemp("kept") / "encoder"
    pretrained.write(build("bert"), VOCABULARY, folder)
    return folder


def test_an_encoder_of_another_family_is_refused(kept):
    message = "^the encoder is a bert; choose an architecture of its family$"
    with pytest.raises(UserError, match=message):
        task("distilbert_base", encoder=str(kept)).head(DATA, heads.classifier, classes=2)


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
    own = task(FAMILIES[family], encoder=str(huggingface[family]), max_length=9)
    tokenizer = own.word_pieces(TEXTS)
    assert list(tokenizer.vocabulary) == VOCABULARY
    model = own.head(DATA, heads.classifier, classes=3).model
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
    own = task("roberta_base", encoder=str(tmp_path))
    with pytest.raises(UserError, match=r"has no vocab\.txt, a WordPiece vocabulary$"):
        own.word_pieces(TEXTS)
    (tmp_path / "vocab.txt").write_text("one\ntwo\n")
    with pytest.raises(UserError, match=r"^the vocabulary lacks"):
        own.word_pieces(TEXTS)


@pytest.mark.parametrize("damage", ["config.json", "model.safetensors"])
def test_a_damaged_directory_is_told_in_one_sentence(damage, tmp_path):
    checkpoints.write(tmp_path, "bert")
    (tmp_path / damage).write_text("{")
    with pytest.raises(UserError, match=r"config\.json|model\.safetensors") as caught:
        task(encoder=str(tmp_path)).head(DATA, heads.classifier, classes=2)
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
    pretrained.write(build("bert"), VOCABULARY, tmp_path)
    (tmp_path / file).unlink()
    if content:
        (tmp_path / file).write_text(content)
    with pytest.raises(UserError, match=f"^{message}$") as caught:
        task(encoder=str(tmp_path)).head(DATA, heads.classifier, classes=2)
    assert "\n" not in str(caught.value)


def test_hyperparameters_of_a_trained_encoder_cannot_be_chosen(kept):
    own = task(encoder=str(kept), model={"width": 32})
    with pytest.raises(
        UserError, match=r"^--model\.width cannot be chosen: it follows from the enc"
    ):
        own.head(DATA, heads.classifier, classes=2)


def test_those_of_its_head_can(kept):
    own = task(encoder=str(kept), model={"pooling": "max"})
    model = own.head(DATA, heads.classifier, ("pooling",), classes=2).model
    assert "pooling" in {layer.name for layer in model.layers}
    wrong = task(encoder=str(kept), model={"pooling": "sum"})
    with pytest.raises(UserError, match=r"pooling must be one of .*, not 'sum'"):
        wrong.head(DATA, heads.classifier, ("pooling",), classes=2)


@pytest.mark.parametrize("trained", [True, False])
def test_texts_cannot_be_longer_than_the_encoder_reads(trained, kept):
    options: dict[str, Any] = {"max_length": 33}
    options |= {"encoder": str(kept)} if trained else {"model": {**ENCODER, "max_length": 32}}
    with pytest.raises(UserError, match=r"^--max_length must be at most the encoder's 32, not 33$"):
        task(**options).head(DATA, heads.classifier, classes=2)
    shorter = task(**{**options, "max_length": 32})
    shorter.head(DATA, heads.classifier, classes=2)


def test_an_encoder_from_scratch_reads_texts_of_the_chosen_length_and_no_longer_ones():
    network = task(max_length=21).head(DATA, heads.classifier, classes=2)
    assert network.parts["encoder"].max_sequence_length == 21


# Word dropout


def dropping(rate: float, vocabulary: list[str] = VOCABULARY) -> Any:
    return task(word_dropout=rate).augment(tokenized_with(vocabulary))


def seeds(rows: int, key: int = 0) -> tf.Tensor:
    return tf.stack([tf.fill([rows], key), tf.range(rows)], axis=1)


def ids(seed: int = 0) -> dict[str, tf.Tensor]:
    drawn = np.random.default_rng(seed).integers(0, len(VOCABULARY), (100, 50)).astype(np.int32)
    return {"token_ids": tf.constant(drawn), "padding_mask": tf.ones([100, 50], tf.int32)}


def test_without_word_dropout_nothing_is_dropped():
    assert dropping(0.0) is None


@pytest.mark.parametrize("rate", [0.1, 0.5])
def test_about_that_fraction_of_words_is_dropped_and_never_a_special_token(rate):
    before, label = ids(), tf.range(100)
    after, same = dropping(rate)(before, label, seeds(100))
    assert same is label
    assert after["padding_mask"] is before["padding_mask"]
    old, new = before["token_ids"].numpy(), after["token_ids"].numpy()
    assert new.dtype == np.int32
    plain = old >= len(SPECIAL)
    np.testing.assert_array_equal(new[~plain], old[~plain])
    dropped = new[plain] != old[plain]
    assert set(new[plain][dropped]) == {VOCABULARY.index("[UNK]")}
    assert dropped.mean() == pytest.approx(rate, abs=0.03)


def test_padding_of_words_is_never_dropped():
    vocabulary = ["", "[UNK]", "red", "tree"]
    before = {"token_ids": tf.constant(np.arange(4000, dtype=np.int32).reshape(40, 100) % 4)}
    after = dropping(0.9, vocabulary)(before, None, seeds(40))[0]["token_ids"].numpy()
    assert (after[:, ::4] == 0).all()
    assert 0.8 < (after[:, 2::4] == 1).mean() < 1


def test_about_that_fraction_of_tokens_is_cut_off_from_the_rest_in_its_place():
    own = task(token_cutoff=0.3)
    before, label = ids(), tf.range(100)
    cut: Any = own.augment(tokenized_with(VOCABULARY))
    after, same = cut(before, label, seeds(100))
    assert same is label
    old, new = before["token_ids"].numpy(), after["token_ids"].numpy()
    hidden = after["padding_mask"].numpy() == 0
    assert after["padding_mask"].dtype == tf.int32
    assert set(new[hidden]) == {VOCABULARY.index("[PAD]")}
    np.testing.assert_array_equal(new[~hidden], old[~hidden])
    plain = old >= len(SPECIAL)
    assert not hidden[~plain].any()
    assert hidden[plain].mean() == pytest.approx(0.3, abs=0.03)
    both: Any = task(token_cutoff=0.3, word_dropout=0.3).augment(tokenized_with(VOCABULARY))
    mixed, _ = both(before, label, seeds(100))
    np.testing.assert_array_equal(mixed["padding_mask"], after["padding_mask"])
    dropped = mixed["token_ids"].numpy()[plain & ~hidden] == VOCABULARY.index("[UNK]")
    assert dropped.mean() == pytest.approx(0.3, abs=0.03), "they are drawn apart"


def test_the_words_that_are_dropped_follow_from_the_seeds_alone():
    """Neither other texts of the batch nor padding make a difference."""
    drop, before = dropping(0.5), ids()
    whole = drop(before, None, seeds(100))[0]["token_ids"].numpy()
    other = drop(before, None, seeds(100, key=1))[0]["token_ids"].numpy()
    assert 0.1 < (whole != other).mean() < 0.6
    part = {name: x[30:50, :20] for name, x in before.items()}
    alone = drop(part, None, seeds(100)[30:50])[0]["token_ids"].numpy()
    np.testing.assert_array_equal(alone, whole[30:50, :20])


# Artifacts


def test_an_encoder_is_kept_as_it_is_after_training(tmp_path):
    own = task()
    network = own.head(DATA, heads.classifier, classes=2)
    assert own.artifacts(Network(network.model), DATA) == {}
    kernel = network.model.trainable_weights[0]
    kernel.assign(kernel + 1)
    (name, write), *others = own.artifacts(network, DATA).items()
    assert (name, others) == ("encoder", [])
    write(tmp_path / name)
    again = pretrained.read(tmp_path / name, "bert")
    np.testing.assert_array_equal(again.trainable_weights[0], kernel)
    config = json.loads((tmp_path / name / "config.json").read_text())
    assert config["class_name"] == "BertBackbone"
