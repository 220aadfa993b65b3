"""Reading the configurations that timm and Hugging Face write beside weights of image networks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from architectures.pretrained import (
    IMAGENET,
    IMAGENET_DEVIATION,
    IMAGENET_MEAN,
    INTERPOLATIONS,
    Preprocessing,
)

# Pillow's numbers of resampling filters.
_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}


def about(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what a configuration says about a checkpoint: attributes of `ImageCheckpoint`.

    Args:
        path: The directory or file of the weights.
        config: What `config.json` holds; empty where there is none.

    Raises:
        ValueError: It asks for what the networks here do not compute.
    """
    try:
        if config.get("model_type") == "resnet":
            return _huggingface(path, config)
        if "model_type" in config:
            raise ValueError(f"model_type must be 'resnet', not {config['model_type']!r}")
        return _timm(config) if config else {"preprocessing": IMAGENET, "assumed": True}
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ValueError(f"the configuration in {path} cannot be used: {error}") from None


def read_json(file: Path) -> dict[str, Any]:
    """Returns the JSON object in a file.

    Raises:
        ValueError: There is none.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ValueError(f"{file} is not JSON: {error}") from None
    if not isinstance(values, dict):
        raise ValueError(f"{file} is not a JSON object")
    return values


def _huggingface(path: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Reads `config.json` and `preprocessor_config.json` of a ResNetForImageClassification."""
    for option, needed in (("hidden_act", "relu"), ("downsample_in_first_stage", False)):
        if config.get(option, needed) != needed:
            raise ValueError(f"{option} must be {needed!r}, not {config[option]!r}")
    labels = config.get("id2label", {})
    named = [str(labels[key]) for key in sorted(labels, key=int)]
    # What transformers writes where nobody named the classes.
    generic = all(name == f"LABEL_{index}" for index, name in enumerate(named))
    file = path / "preprocessor_config.json"
    return {
        "class_names": () if generic else tuple(named),
        "version": "1" if config.get("downsample_in_bottleneck") else "1.5",
        "assumed": not file.exists(),
        "preprocessing": _image_processor(read_json(file)) if file.exists() else IMAGENET,
    }


def _image_processor(config: Mapping[str, Any]) -> Preprocessing:
    """Reads the `preprocessor_config.json` of Hugging Face's ConvNextImageProcessor and kin."""
    scale = 255 * config.get("rescale_factor", 1 / 255) if config.get("do_rescale", True) else 255
    normalizes = config.get("do_normalize", True)
    mean = config.get("image_mean", IMAGENET_MEAN) if normalizes else (0.0, 0.0, 0.0)
    deviation = config.get("image_std", IMAGENET_DEVIATION) if normalizes else (1.0, 1.0, 1.0)
    size, crop, share = config.get("size", 224), config.get("crop_size"), 0.0
    if isinstance(size, Mapping) and "shortest_edge" not in size:
        side = size["height"]
    else:
        side = size["shortest_edge"] if isinstance(size, Mapping) else size
        if config.get("do_center_crop") and crop:
            crop = crop["height"] if isinstance(crop, Mapping) else crop
            side, share = crop, crop / side
        elif side < 384:  # Larger images are squeezed as a whole, as ConvNeXt's are.
            share = config.get("crop_pct") or 0.875
    return _checked(
        [value / scale for value in mean],
        [value / scale for value in deviation],
        side,
        share,
        _PILLOW.get(config.get("resample", 3), str(config.get("resample"))),
    )


def _timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """Reads timm's `config.json`."""
    cfg = config.get("pretrained_cfg", config)
    mode = cfg.get("crop_mode") or "center"
    if mode not in ("center", "squash"):
        raise ValueError(f"crop_mode must be 'center' or 'squash', not {mode!r}")
    size = cfg.get("input_size", (3, 224, 224))
    if len(size) != 3 or size[1] != size[2]:
        raise ValueError(f"input_size must be [channels, size, size], not {size!r}")
    share = cfg.get("crop_pct", 0.875)
    if mode == "squash":
        if share != 1:
            raise ValueError(f"crop_pct must be 1 with crop_mode 'squash', not {share!r}")
        share = 0.0
    return {
        "preprocessing": _checked(
            cfg.get("mean", IMAGENET_MEAN),
            cfg.get("std", IMAGENET_DEVIATION),
            size[1],
            share,
            cfg.get("interpolation", "bilinear"),
        ),
        "assumed": "mean" not in cfg,
        "class_names": tuple(map(str, config.get("label_names") or cfg.get("label_names") or ())),
        "architecture": str(config.get("architecture") or cfg.get("architecture") or ""),
    }


def _checked(
    mean: Any, deviation: Any, size: int, share: float, interpolation: str
) -> Preprocessing:
    """Returns preprocessing, if it can be done."""
    if len(mean) != len(deviation) or not all(value > 0 for value in deviation):
        raise ValueError(f"mean {mean!r} and deviation {deviation!r} do not fit together")
    if interpolation not in INTERPOLATIONS:
        allowed = ", ".join(map(repr, INTERPOLATIONS))
        raise ValueError(f"interpolation must be one of {allowed}, not {interpolation!r}")
    if not 0 <= share <= 1:
        raise ValueError(f"the crop share must be at most 1, not {share!r}")
    return Preprocessing(
        tuple(map(float, mean)),
        tuple(map(float, deviation)),
        int(size),
        float(share),
        interpolation,
    )
