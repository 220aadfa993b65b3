"""Encoders from a Hugging Face directory with `config.json` and `model.safetensors`.

The files must be local; nothing is downloaded. keras_hub reads BERT, RoBERTa, ALBERT and
DistilBERT. ELECTRA, whose tensors are named as in BERT with a projection after the embeddings, is
read here.

Kernels of linear layers are stored as [out, in] and used as [in, out]; attention kernels are split
into heads. There are two differences: BERT, ALBERT and ELECTRA use the tanh approximation of GELU
even if the configuration asks for the exact one (they differ by less than 0.001, and BERT and
ALBERT were trained with the approximation); and ELECTRA checkpoints have no pooler, so that ours
stays untrained.
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
# Values of a configuration that the encoders can represent.
_FIXED = {"hidden_act": _GELU, "activation": _GELU, "position_embedding_type": ("absolute",)}


def load(directory: str | Path) -> keras_hub.models.Backbone:
    """Loads the encoder in a directory, with its weights.

    Args:
        directory: A local directory with `config.json` and `model.safetensors`, possibly in
            several files with `model.safetensors.index.json` (not ELECTRA). Weights of heads are
            ignored.

    Returns:
        An encoder like those of `bert.py`; `model_type` in `config.json` names its family.

    Raises:
        ValueError: A file or a tensor is missing, the family is unknown, or a tensor does not have
            the shape that `config.json` asks for.
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
            f"load: a tensor in {directory} does not have the shape that config.json asks for: "
            f"{reason}"
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
        # Checkpoints of models with a head have the prefix, those of the encoder alone do not.
        names = list(file.keys())
        prefix = "electra." if any(name.startswith("electra.") for name in names) else ""
        for target in _electra_tensors(encoder):
            tensor = file.get_tensor(prefix + target.name)
            if tensor.shape != target.shape:
                raise ValueError(
                    f"load: {prefix}{target.name} in {directory} does not have the shape that "
                    f"config.json asks for: {tensor.shape} instead of {target.shape}"
                )
            tensor = tensor.T if target.transposed else tensor
            target.variable.assign(tensor.reshape(target.variable.shape))
    return encoder


class _Tensor(NamedTuple):
    """The variable that a stored tensor is assigned to; `shape` is the stored shape."""

    name: str
    variable: keras.Variable
    shape: tuple[int, ...]
    transposed: bool = False


def _electra_tensors(encoder: keras_hub.models.ElectraBackbone) -> Iterator[_Tensor]:
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
        yield _Tensor(f"embeddings.{name}_embeddings.weight", table, tuple(table.shape))
    for name, norm in norms.items():
        yield _Tensor(f"{name}.weight", norm.gamma, tuple(norm.gamma.shape))
        yield _Tensor(f"{name}.bias", norm.beta, tuple(norm.beta.shape))
    for name, linear in linears.items():
        out = math.prod(linear.bias.shape)
        into = math.prod(linear.kernel.shape) // out
        yield _Tensor(f"{name}.weight", linear.kernel, (out, into), transposed=True)
        yield _Tensor(f"{name}.bias", linear.bias, (out,))
