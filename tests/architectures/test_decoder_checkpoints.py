"""GPT-2's checkpoints: the published network's logits, and what is wrong with others."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from architectures.decoder import decoder
from architectures.decoder_checkpoints import load, read_config, save
from tests.architectures import gpt2_files
from tests.architectures.gpt2_files import CONFIG, SIZES, random_tensors, write

IDS = np.random.default_rng(1).integers(0, 300, 24)


def made(**changes):
    options = {"vocabulary": 300, "max_length": 24, **SIZES, **changes}
    return decoder("gpt2_small", **options)


def logits(model, ids=IDS):
    inputs = {"token_ids": ids[np.newaxis], "padding_mask": np.ones((1, len(ids)), np.int32)}
    return np.asarray(model(inputs, training=False))[0]


def test_logits_are_those_of_the_published_network(tmp_path):
    tensors = random_tensors()
    model = made()
    load(model, write(tmp_path / "gpt2", tensors))
    expected = gpt2_files.logits(tensors, IDS)
    assert np.abs(expected).max() > 3
    np.testing.assert_allclose(logits(model), expected, atol=1e-4)


def test_other_names_of_the_same_tensors(tmp_path):
    """With a prefix, tied logits and causal masks; in several files; in 16 bits."""
    tensors = random_tensors()
    expected = gpt2_files.logits(tensors, IDS)
    prefixed = {f"transformer.{name}": tensor for name, tensor in tensors.items()}
    prefixed["transformer.h.0.attn.bias"] = np.ones((1, 1, 24, 24), np.float32)
    prefixed["transformer.h.1.attn.masked_bias"] = np.array(-1e4, np.float32)
    prefixed["lm_head.weight"] = tensors["wte.weight"]
    model = made()
    load(model, write(tmp_path / "prefixed", prefixed))
    np.testing.assert_allclose(logits(model), expected, atol=1e-4)

    folder = write(tmp_path / "sharded", tensors)
    (folder / "model.safetensors").unlink()
    parts = {"a.safetensors": list(tensors)[::2], "b.safetensors": list(tensors)[1::2]}
    for file, names in parts.items():
        save_file({name: tensors[name] for name in names}, folder / file)
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    model = made()
    load(model, folder)
    np.testing.assert_allclose(logits(model), expected, atol=1e-4)

    for kind in (np.float16, ml_dtypes.bfloat16):
        half = {name: tensor.astype(kind) for name, tensor in tensors.items()}
        load(model, write(tmp_path / "half", half))
        widened = {name: tensor.astype(np.float32) for name, tensor in half.items()}
        np.testing.assert_allclose(logits(model), gpt2_files.logits(widened, IDS), atol=1e-4)


def test_a_saved_model_is_the_file_that_it_came_from(tmp_path):
    tensors = random_tensors()
    model = made()
    load(model, write(tmp_path / "gpt2", tensors))
    saved = tmp_path / "saved"
    saved.mkdir()
    save(model, saved, end=299)
    found = load_file(saved / "model.safetensors")
    assert found.keys() == {f"transformer.{name}" for name in tensors}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[f"transformer.{name}"], tensor)
    assert read_config(saved) == read_config(tmp_path / "gpt2")
    config = json.loads((saved / "config.json").read_text())
    assert {key: config[key] for key in CONFIG} == {**CONFIG, "n_inner": 64}


@pytest.mark.parametrize("size", ["gpt2_small", "gpt2_medium", "gpt2_large", "gpt2_xl"])
def test_a_configuration_knows_its_published_size(size, tmp_path):
    sizes = {
        "gpt2_small": (12, 12, 768),
        "gpt2_medium": (24, 16, 1024),
        "gpt2_large": (36, 20, 1280),
        "gpt2_xl": (48, 25, 1600),
    }
    layers, heads, width = sizes[size]
    config = {**CONFIG, "n_layer": layers, "n_head": heads, "n_embd": width}
    (tmp_path / "config.json").write_text(json.dumps(config))
    assert read_config(tmp_path).size() == size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "bert"}, "model_type must be one of 'gpt2', not 'bert'"),
        ({"activation_function": "relu"}, "activation_function must be one of 'gelu_new', "),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon must be one of 1e-05, not 1e-06"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings must be one of True, not False"),
    ],
)
def test_a_configuration_of_another_network_is_refused(changes, message, tmp_path):
    with pytest.raises(ValueError, match=f"config.json: {message}"):
        read_config(write(tmp_path, {"a": np.ones(1)}, **changes))


def test_files_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(ValueError, match=r" has no config.json$"):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config.json is not JSON: "):
        read_config(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    with pytest.raises(ValueError, match=r"config.json lacks 'n_embd'$"):
        read_config(tmp_path)
    model = made()
    with pytest.raises(ValueError, match=r" has no model.safetensors$"):
        load(model, tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"pytorch_model.bin, which can run any code"):
        load(model, tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ValueError, match=r"model.safetensors is damaged: "):
        load(model, tmp_path)


def test_tensors_that_are_missing_superfluous_or_of_other_shapes_are_named(tmp_path):
    tensors = random_tensors()
    model = made()

    def load_with(message: str, **changes: np.ndarray | None) -> None:
        found = {name: t for name, t in {**tensors, **changes}.items() if t is not None}
        with pytest.raises(ValueError, match=message):
            load(model, write(tmp_path / "gpt2", found))

    load_with(
        "lack h.0.ln_1.bias, h.1.mlp.c_fc.weight$",
        **{"h.0.ln_1.bias": None, "h.1.mlp.c_fc.weight": None},
    )
    load_with(
        "that are not decoder's: h.2.ln_1.weight, score.weight$",
        **{"h.2.ln_1.weight": np.ones(16), "score.weight": np.ones(16)},
    )
    load_with(
        r"wpe.weight in .* is \[23, 16\], where the network's is \[24, 16\]$",
        **{"wpe.weight": tensors["wpe.weight"][:23]},
    )
    load_with(
        "lm_head.weight in .* is not its wte.weight", **{"lm_head.weight": np.ones((300, 16))}
    )
    with pytest.raises(ValueError, match=r"lack h\.2\.attn\.c_attn\.bias, .* and 8 more$"):
        load(made(layers=3), write(tmp_path / "gpt2", tensors))
