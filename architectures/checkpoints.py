"""Weights from a Hugging Face directory: `config.json` beside `model.safetensors`.

The files come from wherever their owner keeps them; nothing here reads a network. keras_hub knows
how to read BERT, RoBERTa, ALBERT and DistilBERT. ELECTRA, whose tensors are called as BERT's with a
projection after the embeddings, is read here.

A linear layer is stored as [out, in] and used as [in, out]; attention kernels are then cut into
heads. Two things to know: BERT, ALBERT and ELECTRA are computed with the tanh approximation of
GELU, also where a file asks for the exact one (they differ by less than 0.001; it is what BERT and
ALBERT were trained with); and an ELECTRA checkpoint has no pooler, so that ours stays untrained.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import keras_hub
import safetensors

from architectures.bert import transformer_layers
from architectures.checks import check_choice

FAMILIES = ("albert", "bert", "distilbert", "electra", "roberta")
_GELU = ("gelu", "gelu_new", "gelu_pytorch_tanh")
# What a configuration may say where the encoders leave no choice.
_FIXED = {"hidden_act": _GELU, "activation": _GELU, "position_embedding_type": ("absolute",)}


def load(directory: str | Path) -> keras_hub.models.Backbone:
    """Builds the encoder that a directory describes, with its weights.

    Args:
        directory: A local directory with `config.json` and `model.safetensors`, possibly in
            several files with `model.safetensors.index.json` (not ELECTRA). Weights of heads in it
            are left aside.

    Returns:
        An encoder as those of `bert.py`, of the kind that `model_type` in `config.json` names.

    Raises:
        ValueError: A file or a tensor is missing, the kind is unknown, or a tensor has not the
            shape that `config.json` asks for.
    """
    directory = Path(directory).resolve()
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"load: {directory} has no config.json") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"load: config.json in {directory} is not JSON: {error}") from None
    check_choice("load", "model_type in config.json", config.get("model_type"), FAMILIES)
    for option, allowed in _FIXED.items():
        if option in config:
            check_choice("load", f"{option} in config.json", config[option], allowed)
    try:
        if config["model_type"] == "electra":
            return _electra(directory, config)
        return keras_hub.models.Backbone.from_preset(str(directory), name=config["model_type"])
    except KeyError as missing:
        raise ValueError(f"load: config.json in {directory} lacks {missing}") from None
    except FileNotFoundError:
        raise ValueError(f"load: {directory} has no model.safetensors") from None
    except safetensors.SafetensorError as error:
        # Its message names the tensor.
        raise ValueError(f"load: model.safetensors in {directory}: {error}") from None
    except ValueError as error:
        if str(error).startswith("load:"):
            raise
        reason = " ".join(str(error).split())
        raise ValueError(
            f"load: a tensor in {directory} has not the shape that config.json asks for: {reason}"
        ) from None


def _electra(directory: Path, config: dict[str, Any]) -> keras_hub.models.ElectraBackbone:
    encoder = keras_hub.models.ElectraBackbone(
        vocab_size=config["vocab_size"],
        num_layers=config["num_hidden_layers"],
        num_heads=config["num_attention_heads"],
        hidden_dim=config["hidden_size"],
        embedding_dim=config["embedding_size"],
        intermediate_dim=config["intermediate_size"],
        dropout=config.get("hidden_dropout_prob", 0.1),
        max_sequence_length=config["max_position_embeddings"],
        num_segments=config.get("type_vocab_size", 2),
        name="electra",
    )
    with safetensors.safe_open(directory / "model.safetensors", framework="numpy") as file:
        # Directories of a whole model have the prefix, those of the bare encoder have not.
        names = list(file.keys())
        prefix = "electra." if any(name.startswith("electra.") for name in names) else ""
        for entry in _electra_entries(encoder):
            tensor = file.get_tensor(prefix + entry.name)
            if tensor.shape != entry.shape:
                raise ValueError(
                    f"load: {prefix}{entry.name} in {directory} has not the shape that config.json "
                    f"asks for: {tensor.shape} instead of {entry.shape}"
                )
            tensor = tensor.T if entry.transposed else tensor
            entry.variable.assign(tensor.reshape(entry.variable.shape))
    return encoder


class _Entry(NamedTuple):
    """Where a stored tensor goes; `shape` is the one in which it is stored."""

    name: str
    variable: keras.Variable
    shape: tuple[int, ...]
    transposed: bool = False


def _electra_entries(encoder: keras_hub.models.ElectraBackbone) -> Iterator[_Entry]:
    tables = {
        "word": encoder.token_embedding.embeddings,
        "position": encoder.position_embedding.position_embeddings,
        "token_type": encoder.segment_embedding.embeddings,
    }
    norms = {"embeddings.LayerNorm": encoder.embeddings_layer_norm}
    linears = {}
    if encoder.hidden_dim != encoder.embedding_dim:
        linears["embeddings_project"] = encoder.embeddings_projection
    for index, layer in enumerate(transformer_layers(encoder)):
        at = f"encoder.layer.{index}"
        attention = layer._self_attention_layer
        norms |= {
            f"{at}.attention.output.LayerNorm": layer._self_attention_layer_norm,
            f"{at}.output.LayerNorm": layer._feedforward_layer_norm,
        }
        linears |= {
            f"{at}.attention.self.query": attention.query_dense,
            f"{at}.attention.self.key": attention.key_dense,
            f"{at}.attention.self.value": attention.value_dense,
            f"{at}.attention.output.dense": attention.output_dense,
            f"{at}.intermediate.dense": layer._feedforward_intermediate_dense,
            f"{at}.output.dense": layer._feedforward_output_dense,
        }

    for name, table in tables.items():
        yield _Entry(f"embeddings.{name}_embeddings.weight", table, tuple(table.shape))
    for name, norm in norms.items():
        yield _Entry(f"{name}.weight", norm.gamma, tuple(norm.gamma.shape))
        yield _Entry(f"{name}.bias", norm.beta, tuple(norm.beta.shape))
    for name, linear in linears.items():
        out = math.prod(linear.bias.shape)
        into = math.prod(linear.kernel.shape) // out
        yield _Entry(f"{name}.weight", linear.kernel, (out, into), transposed=True)
        yield _Entry(f"{name}.bias", linear.bias, (out,))
