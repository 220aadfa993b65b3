"""Pre-trained encoders: written and read again, found in runs and folders, frozen."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from architectures import heads
from architectures.bert import transformer_layers
from pipelines.errors import UserError
from pipelines.text import pretrained
from pipelines.text.config import check_options
from pipelines.text.pretrained import find, freeze, read, read_vocabulary
from tests.architectures import test_checkpoints as checkpoints
from tests.pipelines.text.encoders import FAMILIES, VOCABULARY, batch, build, chosen


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_written_is_read_again_with_its_vocabulary(family, tmp_path):
    encoder = build(family)
    for weight in encoder.weights:  # Zeros and ones would prove little.
        weight.assign(np.random.default_rng(1).normal(scale=0.3, size=weight.shape))
    pretrained.write(encoder, VOCABULARY, tmp_path / "encoder")
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
    pretrained.write(_Unsaved(), tokens, folder)
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
    pretrained.write(build("bert"), VOCABULARY, folder)
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
        "models:/",
    ],
)
def test_where_no_encoder_was_kept_it_is_said(uri, run):
    with pytest.raises(UserError) as caught:
        find(uri)
    assert str(caught.value) == f"--encoder {uri} has no saved encoder"


def test_an_alias_that_is_missing_is_named_with_the_versions_that_there_are(run):
    with pytest.raises(UserError) as caught:
        find("models:/reader@challenger")
    assert str(caught.value) == (
        "--encoder models:/reader@challenger: reader has no alias challenger, only versions 1, "
        "2 champion; give models:/reader/2"
    )


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


@pytest.mark.parametrize(("option", "value"), [("encoder", "some/folder"), ("freeze_layers", 1)])
@pytest.mark.parametrize("architecture", ["word_convnet", "bilstm"])
def test_only_encoders_take_the_options_of_encoders(option, value, architecture):
    config = chosen(architecture, **{"model": {}, option: value})
    with pytest.raises(UserError) as caught:
        check_options(config)
    assert str(caught.value) == (
        f"--{option} needs an architecture of BERT's family, not {architecture}"
    )


def test_encoders_take_the_options_of_encoders():
    check_options(chosen(encoder="some/folder", freeze_layers=1))


def test_families_with_two_segments_are_known():
    with_segments = [f for f, name in FAMILIES.items() if pretrained.reads_segments(name)]
    assert with_segments == ["bert", "albert", "electra"]
    assert not pretrained.reads_segments("word_convnet")


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
