"""Pre-trained weights of image networks: files and directories as others write them.

Read are tensors of torchvision, timm and Hugging Face's ResNetForImageClassification in safetensors
files, alone or in a directory with `config.json`, and `.weights.h5` files of keras.applications
(`applications.py`). The files must be local; nothing is downloaded, and nothing that could run code
is opened. `image_weights.py` assigns what is read here to a network.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import keras  # noqa: F401  With it, NumPy has bfloat16.
import numpy as np
import safetensors

from architectures import applications
from architectures.pretrained import ImageCheckpoint, Stored
from architectures.pretrained_configs import about, read_json

# What PyTorch counts in training, of no use here.
_IGNORED = "num_batches_tracked"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".tar")
_H5 = (".h5", ".hdf5")
_WEIGHTS, _INDEX = "model.safetensors", "model.safetensors.index.json"


def read(path: str | Path) -> ImageCheckpoint:
    """Opens a checkpoint; its tensors are read when they are asked for.

    Args:
        path: A safetensors file; a directory with `model.safetensors`, or several such files with
            `model.safetensors.index.json`, and `config.json`; or a `.weights.h5` file of
            keras.applications' ResNet50, ResNet101, ResNet152, VGG16 or VGG19.

    Raises:
        ValueError: It is none of these, a file is missing or damaged, or its configuration asks for
            what the networks here do not compute.
    """
    path = Path(path)
    if path.is_dir():
        return _directory(path)
    if path.suffix in _PICKLES:
        raise ValueError(_pickle(path))
    if path.suffix in _H5:
        return applications.read(path)
    if path.suffix != ".safetensors":
        raise ValueError(
            f"{path} is no file of weights: those are .safetensors, .weights.h5 of "
            "keras.applications, or a directory of Hugging Face or timm"
        )
    if path.name == _WEIGHTS and (path.parent / "config.json").exists():
        return _directory(path.parent)
    return _checkpoint(path, _safetensors([path]), {})


def _pickle(path: Path) -> str:
    return (
        f"{path} is a pickle, which can run any code when it is opened, and so is not read; "
        "convert it where you trust it, as safetensors.torch.save_file(torch.load(FILE, "
        "weights_only=True), 'model.safetensors')"
    )


def _directory(folder: Path) -> ImageCheckpoint:
    if (folder / _WEIGHTS).exists():
        files = [folder / _WEIGHTS]
    elif (folder / _INDEX).exists():
        index = read_json(folder / _INDEX).get("weight_map")
        if not isinstance(index, Mapping):
            raise ValueError(f"{_INDEX} in {folder} has no weight_map")
        files = [folder / name for name in sorted(set(index.values()))]
    else:
        pickles = [one for one in sorted(folder.iterdir()) if one.suffix in _PICKLES]
        if pickles:
            raise ValueError(_pickle(pickles[0]))
        raise ValueError(f"{folder} has no {_WEIGHTS}")
    if not (folder / "config.json").exists():
        return _checkpoint(folder, _safetensors(files), {})
    return _checkpoint(folder, _safetensors(files), read_json(folder / "config.json"))


def _safetensors(files: list[Path]) -> dict[str, Stored]:
    """Returns the tensors of files by torchvision's names."""
    found = {}
    for path in files:
        try:
            with safetensors.safe_open(path, framework="numpy") as file:
                for name in file.keys():  # noqa: SIM118
                    shape = tuple(file.get_slice(name).get_shape())
                    found[torchvision_name(name)] = Stored(
                        name, shape, partial(_tensor, path, name)
                    )
        except FileNotFoundError:
            raise ValueError(f"{path} is missing") from None
        except (safetensors.SafetensorError, OSError) as error:
            raise ValueError(f"{path} cannot be read as safetensors: {error}") from None
    return {name: one for name, one in found.items() if not name.endswith(_IGNORED)}


def _tensor(path: Path, name: str) -> np.ndarray:
    with safetensors.safe_open(path, framework="numpy") as file:
        return file.get_tensor(name).astype(np.float32)


def _checkpoint(
    path: Path, found: Mapping[str, Stored], config: Mapping[str, object]
) -> ImageCheckpoint:
    head = found.get("fc.weight") or found.get("classifier.6.weight")
    first = found.get("conv1.weight") or found.get("features.0.weight")
    return ImageCheckpoint(
        path,
        lambda: found,
        classes=head.shape[0] if head else 0,
        channels=first.shape[1] if first and len(first.shape) == 4 else 3,
        normalized=any(name.endswith("running_mean") for name in found),
        **about(path, config),
    )


def torchvision_name(name: str) -> str:
    """Returns torchvision's name of a tensor that timm or Hugging Face name.

    >>> torchvision_name("resnet.encoder.stages.0.layers.1.layer.0.convolution.weight")
    'layer1.1.conv1.weight'
    """
    if made := re.fullmatch(r"pre_logits\.fc([12])\.(\w+)", name):
        return f"classifier.{3 * int(made[1]) - 3}.{made[2]}"
    if made := re.fullmatch(r"head\.fc\.(\w+)", name):
        return f"classifier.6.{made[1]}"
    short = name.removeprefix("resnet.")
    if made := re.fullmatch(r"embedder\.embedder\.(convolution|normalization)\.(\w+)", short):
        return f"{'conv1' if made[1] == 'convolution' else 'bn1'}.{made[2]}"
    if made := re.fullmatch(
        r"encoder\.stages\.(\d+)\.layers\.(\d+)\.(layer\.(\d+)|shortcut)\."
        r"(convolution|normalization)\.(\w+)",
        short,
    ):
        at, is_norm = f"layer{int(made[1]) + 1}.{made[2]}", made[5] == "normalization"
        if made[4] is None:
            return f"{at}.downsample.{int(is_norm)}.{made[6]}"
        return f"{at}.{'bn' if is_norm else 'conv'}{int(made[4]) + 1}.{made[6]}"
    if made := re.fullmatch(r"classifier\.1\.(\w+)", name):
        return f"fc.{made[1]}"
    return name
