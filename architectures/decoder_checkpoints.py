"""GPT-2's weights from and to a Hugging Face directory with `config.json` and `model.safetensors`.

The files are local; nothing is downloaded. Tensors have the names of the published model (Radford
et al. 2019): `wte`, `wpe`, `h.0.ln_1`, `h.0.attn.c_attn`, …, `ln_f`, with or without the prefix
`transformer.`. Kernels are stored as they are used, [in, out]; that of queries, keys and values is
one, and so is their bias. The output layer is tied to the embeddings, and `lm_head.weight`, where a
file has it, has to equal them. The causal masks that older files hold (`attn.bias`) are ignored.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import safetensors
import safetensors.numpy

from architectures.checks import check_choice
from architectures.decoder import SIZES
from architectures.transformer_layer import by_name, stack

CONFIG = "config.json"
_WEIGHTS, _PICKLED = "model.safetensors", "pytorch_model.bin"
_INDEX = f"{_WEIGHTS}.index.json"
_PREFIX, _HEAD, _EMBEDDINGS = "transformer.", "lm_head.weight", "wte.weight"
_MASKS = (".attn.bias", ".attn.masked_bias")
# What a configuration may say, by option, where it says it; the first is what files say here.
_FIXED: dict[str, tuple[Any, ...]] = {
    "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
    "layer_norm_epsilon": (1e-5,),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True,),
}
_MAX_NAMES = 4


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of a published decoder.

    Attributes:
        layers: Number of layers.
        heads: Number of attention heads.
        width: Features of each position.
        feed_forward: Inner features of the feed-forward networks.
        vocabulary: Number of tokens.
        max_length: Number of positions.
        end: Id of the token between documents; None where the configuration does not name it.
    """

    layers: int
    heads: int
    width: int
    feed_forward: int
    vocabulary: int
    max_length: int
    end: int | None = None

    def hyperparameters(self) -> dict[str, int]:
        """Returns those of the layers, by the names that `decoder` gives them."""
        names = ("layers", "heads", "width", "feed_forward")
        return {name: getattr(self, name) for name in names}

    def size(self) -> str | None:
        """Returns the published size, as "gpt2_medium"; None where it is none of them."""
        for name, sizes in SIZES.items():
            known = {"feed_forward": 4 * sizes["width"], **sizes}
            if all(known[key] == value for key, value in self.hyperparameters().items()):
                return name
        return None


def read_config(directory: str | Path) -> DecoderConfig:
    """Reads `config.json` in a directory.

    Raises:
        ValueError: It is missing or damaged, is no GPT-2's, or asks for what `decoder` cannot be.
    """
    path = Path(directory, CONFIG)
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{directory} has no {CONFIG}") from None
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    try:
        check_choice(str(path), "model_type", config.get("model_type"), ("gpt2",))
        for option, allowed in _FIXED.items():
            check_choice(str(path), option, config.get(option, allowed[0]), allowed)
        width = config["n_embd"]
        return DecoderConfig(
            layers=config["n_layer"],
            heads=config["n_head"],
            width=width,
            feed_forward=config.get("n_inner") or 4 * width,
            vocabulary=config["vocab_size"],
            max_length=config.get("n_positions") or config["n_ctx"],
            end=config.get("eos_token_id"),
        )
    except KeyError as missing:
        raise ValueError(f"{path} lacks {missing}") from None


def load(model: keras.Model, directory: str | Path) -> None:
    """Loads weights into a model.

    Args:
        model: A model of `decoder` with the sizes of the directory's `read_config`.
        directory: A local directory with `model.safetensors`, possibly in several files with
            `model.safetensors.index.json`; float32, float16 or bfloat16.

    Raises:
        ValueError: A file is missing or damaged, tensors are missing or superfluous, or have other
            shapes than the model's.
    """
    directory = Path(directory)
    files = _files(directory)
    wanted = {tensor.name: tensor for tensor in _tensors(model)}
    stored = {_plain(name): name for name in files}
    if missing := wanted.keys() - stored.keys():
        raise ValueError(f"the weights in {directory} lack {_names(missing)}")
    others = {name for name in stored.keys() - wanted.keys() if not name.endswith(_MASKS)}
    if superfluous := others - {_HEAD}:
        raise ValueError(
            f"the weights in {directory} have tensors that are not {model.name}'s: "
            f"{_names(superfluous)}"
        )
    for name, tensor in wanted.items():
        found = _read(files[stored[name]], stored[name])
        if found.shape != tensor.shape:
            raise ValueError(
                f"{stored[name]} in {directory} is {list(found.shape)}, where the network's is "
                f"{list(tensor.shape)}"
            )
        tensor.assign(found)
    if _HEAD in stored:
        head, embeddings = (_read(files[stored[n]], stored[n]) for n in (_HEAD, _EMBEDDINGS))
        if not np.array_equal(head, embeddings):
            raise ValueError(
                f"{_HEAD} in {directory} is not its {_EMBEDDINGS}, to which the output layer of "
                "GPT-2 is tied"
            )


def save(model: keras.Model, directory: str | Path, *, end: int) -> None:
    """Writes a model of `decoder` as `config.json` and `model.safetensors` in a directory.

    Args:
        model: The model; float32 weights are written.
        directory: An existing directory.
        end: Id of the token between documents.
    """
    parts = by_name(model.layers)
    layers = stack(parts, "layer")
    sizes = layers[0].get_config()
    vocabulary, width = parts["token_embedding"].embeddings.shape
    config = {
        "model_type": "gpt2",
        "architectures": ["GPT2LMHeadModel"],
        "vocab_size": vocabulary,
        "n_positions": parts["position_embedding"].position_embeddings.shape[0],
        "n_embd": width,
        "n_layer": len(layers),
        "n_head": sizes["heads"],
        "n_inner": sizes["feed_forward"],
        "embd_pdrop": sizes["dropout"],
        "attn_pdrop": sizes["attention_dropout"],
        "resid_pdrop": sizes["dropout"],
        "bos_token_id": end,
        "eos_token_id": end,
        **{option: allowed[0] for option, allowed in _FIXED.items()},
    }
    text = json.dumps(config, indent=2) + "\n"
    Path(directory, CONFIG).write_text(text, encoding="utf-8")
    tensors = {_PREFIX + tensor.name: tensor.stored() for tensor in _tensors(model)}
    safetensors.numpy.save_file(tensors, Path(directory, _WEIGHTS), metadata={"format": "pt"})


class _Tensor(NamedTuple):
    """A stored tensor, and the variables that it is split into along its last axis."""

    name: str
    shape: tuple[int, ...]
    variables: tuple[keras.Variable, ...]

    def assign(self, tensor: np.ndarray) -> None:
        parts = np.split(tensor.astype(np.float32), len(self.variables), axis=-1)
        for variable, part in zip(self.variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape))

    def stored(self) -> np.ndarray:
        shape = (*self.shape[:-1], self.shape[-1] // len(self.variables))
        parts = [np.asarray(variable, np.float32).reshape(shape) for variable in self.variables]
        return np.ascontiguousarray(np.concatenate(parts, axis=-1))


def _tensors(model: keras.Model) -> Iterator[_Tensor]:
    """Yields the tensors of the published model for a model of `decoder`."""
    parts = by_name(model.layers)
    tables = {
        "wte": parts["token_embedding"].embeddings,
        "wpe": parts["position_embedding"].position_embeddings,
    }
    for name, table in tables.items():
        yield _Tensor(f"{name}.weight", tuple(table.shape), (table,))
    norms = {"ln_f": parts["norm"]}
    linears: dict[str, list[Any]] = {}
    for number, layer in enumerate(stack(parts, "layer")):
        at, attention = f"h.{number}", layer.self_attention
        norms |= {f"{at}.ln_1": layer.self_attention_norm, f"{at}.ln_2": layer.feed_forward_norm}
        linears |= {
            f"{at}.attn.c_attn": [
                *(attention.query_dense, attention.key_dense, attention.value_dense)
            ],
            f"{at}.attn.c_proj": [attention.output_dense],
            f"{at}.mlp.c_fc": [layer.inner],
            f"{at}.mlp.c_proj": [layer.outer],
        }
    for name, norm in norms.items():
        yield _Tensor(f"{name}.weight", tuple(norm.gamma.shape), (norm.gamma,))
        yield _Tensor(f"{name}.bias", tuple(norm.beta.shape), (norm.beta,))
    for name, dense in linears.items():
        out = math.prod(dense[0].bias.shape)
        into = math.prod(dense[0].kernel.shape) // out
        kernels, biases = tuple(d.kernel for d in dense), tuple(d.bias for d in dense)
        yield _Tensor(f"{name}.weight", (into, out * len(dense)), kernels)
        yield _Tensor(f"{name}.bias", (out * len(dense),), biases)


def _files(directory: Path) -> Mapping[str, Path]:
    """Returns, by the name of each stored tensor, its file."""
    if (directory / _INDEX).exists():
        try:
            index = json.loads((directory / _INDEX).read_text(encoding="utf-8"))["weight_map"]
        except (ValueError, KeyError):
            raise ValueError(f"{directory / _INDEX} has no weight_map") from None
        return {name: directory / file for name, file in index.items()}
    if not (directory / _WEIGHTS).exists():
        if (directory / _PICKLED).exists():
            raise ValueError(
                f"{directory} has {_PICKLED}, which can run any code when it is read; save the "
                f"model as {_WEIGHTS} first, as save_pretrained of its library does"
            )
        raise ValueError(f"{directory} has no {_WEIGHTS}")
    return dict.fromkeys(_opened(directory / _WEIGHTS).keys(), directory / _WEIGHTS)


def _opened(path: Path) -> Any:
    try:
        return safetensors.safe_open(path, framework="numpy")
    except FileNotFoundError:
        raise ValueError(f"{path.parent} has no {path.name}") from None
    except (safetensors.SafetensorError, OSError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _read(path: Path, name: str) -> np.ndarray:
    try:
        return _opened(path).get_tensor(name)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: {error}") from None


def _plain(name: str) -> str:
    return name.removeprefix(_PREFIX)


def _names(names: Collection[str]) -> str:
    """Returns the first names, and how many there are besides."""
    shown = sorted(names)[:_MAX_NAMES]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")
