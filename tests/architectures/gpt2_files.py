"""GPT-2 directories in Hugging Face's names: written here, and computed in NumPy as published."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

CONFIG: dict[str, Any] = {
    "model_type": "gpt2",
    "vocab_size": 300,
    "n_positions": 24,
    "n_embd": 16,
    "n_layer": 2,
    "n_head": 4,
    "n_inner": None,
    "activation_function": "gelu_new",
    "layer_norm_epsilon": 1e-5,
    "bos_token_id": 299,
    "eos_token_id": 299,
}
# The options that a network of these sizes is built with.
SIZES = {"layers": 2, "heads": 4, "width": 16}


def random_tensors(config: Mapping[str, Any] = CONFIG, seed: int = 0) -> dict[str, np.ndarray]:
    """Returns random tensors with the names and shapes of the published file."""
    width, inner = config["n_embd"], config["n_inner"] or 4 * config["n_embd"]
    shapes: dict[str, tuple[int, ...]] = {
        "wte.weight": (config["vocab_size"], width),
        "wpe.weight": (config["n_positions"], width),
        "ln_f.weight": (width,),
        "ln_f.bias": (width,),
    }
    for layer in range(config["n_layer"]):
        for name, *shape in (
            ("ln_1", width),
            ("attn.c_attn", width, 3 * width),
            ("attn.c_proj", width, width),
            ("ln_2", width),
            ("mlp.c_fc", width, inner),
            ("mlp.c_proj", inner, width),
        ):
            shapes[f"h.{layer}.{name}.weight"] = tuple(shape)
            shapes[f"h.{layer}.{name}.bias"] = tuple(shape[-1:])
    random = np.random.default_rng(seed)
    return {
        name: random.normal(1.0 if "ln" in name and "weight" in name else 0.0, 0.3, shape).astype(
            np.float32
        )
        for name, shape in shapes.items()
    }


def write(folder: Path, tensors: Mapping[str, np.ndarray] | None = None, **changes: Any) -> Path:
    """Writes a directory without a tokenizer; `changes` are those of the configuration."""
    folder.mkdir(exist_ok=True)
    config = {**CONFIG, **changes}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(
        dict(random_tensors(config) if tensors is None else tensors), folder / "model.safetensors"
    )
    return folder


def logits(
    tensors: Mapping[str, np.ndarray], ids: np.ndarray, config: Mapping[str, Any] = CONFIG
) -> np.ndarray:
    """Returns the published network's logits in float64.

    Args:
        tensors: Without a prefix.
        ids: int [tokens].
        config: Sizes.
    """
    t = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}

    def norm(x: np.ndarray, name: str) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5)
        return x * t[f"{name}.weight"] + t[f"{name}.bias"]

    def conv1d(x: np.ndarray, name: str) -> np.ndarray:
        return x @ t[f"{name}.weight"] + t[f"{name}.bias"]

    def gelu(x: np.ndarray) -> np.ndarray:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))

    def attention(x: np.ndarray, name: str) -> np.ndarray:
        query, key, value = np.split(conv1d(x, f"{name}.c_attn"), 3, axis=-1)
        size = x.shape[-1] // config["n_head"]
        outputs = []
        for head in range(config["n_head"]):
            q, k, v = (part[:, head * size : (head + 1) * size] for part in (query, key, value))
            scores = np.where(np.tri(len(x), dtype=bool), q @ k.T / np.sqrt(size), -np.inf)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            outputs.append(weights / weights.sum(-1, keepdims=True) @ v)
        return conv1d(np.concatenate(outputs, -1), f"{name}.c_proj")

    x = t["wte.weight"][ids] + t["wpe.weight"][: len(ids)]
    for layer in range(config["n_layer"]):
        at = f"h.{layer}"
        x = x + attention(norm(x, f"{at}.ln_1"), f"{at}.attn")
        x = x + conv1d(gelu(conv1d(norm(x, f"{at}.ln_2"), f"{at}.mlp.c_fc")), f"{at}.mlp.c_proj")
    return norm(x, "ln_f") @ t["wte.weight"].T
