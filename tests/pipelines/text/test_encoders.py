"""Built-in encoders: found by name, refused when damaged, made from a directory."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import tensorflow as tf

from architectures.bert import transformer_layers
from architectures.electra import electra_of
from pipelines.errors import UserError
from pipelines.text import encoders, pretrained
from tests.pipelines.text.encoders import VOCABULARY, batch, build


@pytest.fixture
def folder(tmp_path):
    """A folder with one encoder, `builtin:tiny`."""
    made = tmp_path / "made"
    pretrained.write(build("bert"), VOCABULARY, made)
    folder = tmp_path / "encoders"
    folder.mkdir()
    encoders.write(
        "tiny", made, command="train tiny", dataset="words/1.0.0", license="CC0-1.0", folder=folder
    )
    return folder


def test_what_is_written_is_found_and_read(folder):
    found = encoders.find("builtin:tiny", folder=folder)
    assert pretrained.read_vocabulary(found) == VOCABULARY
    for one, other in zip(
        pretrained.read(found, "bert").weights, build("bert").weights, strict=True
    ):
        np.testing.assert_array_equal(one, other)
    (record,) = json.loads((folder / "encoders.json").read_text()).values()
    assert [record[name] for name in ("command", "dataset", "license")] == [
        *("train tiny", "words/1.0.0", "CC0-1.0")
    ]
    weights = (found / "model.weights.h5").read_bytes()
    assert record["sha256"]["model.weights.h5"] == hashlib.sha256(weights).hexdigest()


def test_one_that_is_written_again_keeps_its_card(folder, tmp_path):
    (folder / "tiny" / "README.md").write_text("A card.")
    encoders.write(
        "tiny", tmp_path / "made", command="again", dataset="", license="", folder=folder
    )
    assert (folder / "tiny" / "README.md").read_text() == "A card."
    assert json.loads((folder / "encoders.json").read_text())["tiny"]["command"] == "again"
    assert sorted(file.name for file in folder.iterdir()) == ["encoders.json", "tiny"]


def test_an_unknown_name_is_an_error_with_the_known_ones(folder):
    with pytest.raises(UserError, match=r"--encoder builtin:large does not exist.*builtin:tiny"):
        encoders.find("builtin:large", folder=folder)


@pytest.mark.parametrize("damage", ["missing", "changed"])
def test_a_damaged_file_is_an_error(folder, damage):
    file = folder / "tiny" / "model.weights.h5"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match="reinstall the project"):
        encoders.find("builtin:tiny", folder=folder)


@pytest.mark.parametrize("name", json.loads((encoders.FOLDER / "encoders.json").read_text()))
def test_each_built_in_encoder_is_whole_and_has_a_card(name):
    folder = encoders.find(f"builtin:{name}")
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    assert sum(sizes.values()) < 8e6
    card = (folder / "README.md").read_text(encoding="utf-8")
    record = json.loads((encoders.FOLDER / "encoders.json").read_text())[name]
    for fact in (f"builtin:{name}", *(record[key] for key in ("command", "dataset", "license"))):
        assert fact in card
    vocabulary = pretrained.read_vocabulary(folder)
    encoder = pretrained.read(folder, "bert")
    assert encoder.vocabulary_size == len(vocabulary)
    ids = tf.constant([[vocabulary.index(token) for token in ("[CLS]", "the", "[SEP]")]])
    inputs = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    assert np.isfinite(encoder(inputs)["sequence_output"]).all()


def test_an_electra_has_what_its_bert_has():
    bert = build("bert")
    electra = electra_of(bert)
    assert len(transformer_layers(electra)) == len(transformer_layers(bert))
    assert electra.dropout == bert.dropout
    for name, value in bert(batch(bert)).items():
        np.testing.assert_array_equal(electra(batch(bert))[name], value)
