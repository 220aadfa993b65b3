"""Pre-trained weights of image networks: finding them, and what follows from them.

A network that starts from pre-trained weights reads images as they were trained on: the layer
"preprocessing", at its beginning, subtracts their mean and divides by their deviation. It is a part
of the network, so that training, evaluation and every signature do the same; before it, images
are float32 0-1, as without weights. Size, crop and interpolation are the data set's and the served
graph's (`preprocessing.py`).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import keras
import mlflow

import architectures
from architectures import image_checkpoints
from architectures.image_weights import assign, copy
from architectures.pretrained import ImageCheckpoint, Preprocessing
from pipelines import network as networks
from pipelines.errors import UserError
from pipelines.image.config import ImageConfig, is_run
from pipelines.run_uri import run_id
from pipelines.task import Network

FOLDER = "preprocessing"
_FILE = "preprocessing.json"
LAYER = "preprocessing"


class ImageData(Protocol):
    """What a data set of images knows: their shape, classes, and the weights to start from."""

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    @property
    def weights(self) -> Weights | None: ...


@dataclass(frozen=True)
class Weights:
    """Pre-trained weights.

    Attributes:
        uri: Where they are, as it was chosen.
        preprocessing: What the network that they are from was trained with.
        about: What is worth knowing about that, in a sentence.
        channels: Number of channels of the images that it reads.
        classes: Number of its classes; 0 without a head.
        class_names: Their names, as far as they are known.
        whole: Whether the head of a segmenting network is among them.
        hyperparameters: Hyperparameters that a network needs to take them.
        fill: Assigns them to a network, an architecture's, whose head takes the rows of the index
            of each class, or stays as it is for None.
    """

    uri: str
    preprocessing: Preprocessing
    about: str
    channels: int
    classes: int
    class_names: tuple[str, ...]
    whole: bool
    hyperparameters: Mapping[str, Any]
    fill: Callable[[keras.Model, str, Sequence[int] | None], None] = field(repr=False)


def find(config: ImageConfig) -> Weights | None:
    """Opens the weights that a config chooses; returns None if it chooses none.

    Raises:
        UserError: There are none, or they cannot be used.
    """
    if not config.weights:
        return None
    try:
        if is_run(config.weights):
            return _of_run(config)
        return _of_checkpoint(config, image_checkpoints.read(Path(config.weights).expanduser()))
    except (ValueError, OSError) as error:
        raise UserError(f"--weights: {error}") from error


def head_rows(weights: Weights, class_names: Sequence[str], segments: bool) -> list[int] | None:
    """Returns for each class its index in the weights' head; None where the head is to be new."""
    known = weights.class_names
    if not weights.classes or weights.whole != segments:
        return None
    if not known:
        return [*range(weights.classes)] if weights.classes == len(class_names) else None
    if sorted(known) != sorted(class_names) or len(set(known)) < len(known):
        return None
    return [known.index(name) for name in class_names]


def notes(weights: Weights | None, class_names: Sequence[str], segments: bool) -> list[str]:
    """Returns what is worth knowing about the weights of a run, in a sentence."""
    if weights is None:
        return []
    if segments and not weights.whole:
        head = "they are the encoder's, and the expanding path is new"
    elif head_rows(weights, class_names, segments) is None:
        reason = (
            f"its {weights.classes} classes are not those of the data"
            if weights.classes
            else "they have none"
        )
        head = f"the head is new: {reason}"
    elif weights.class_names:
        head = "the head is kept, as the classes agree"
    else:
        head = f"the head is kept: it has as many classes, {weights.classes}, without names"
    return [f"weights of {weights.uri}: {head}; {weights.about}"]


def build(
    config: ImageConfig,
    data: ImageData,
    error_message: str,
    fits: Callable[[keras.Model], bool],
    *,
    segments: bool = False,
) -> Network:
    """Builds the architecture that was chosen for a data set, with pre-trained weights if chosen.

    Args:
        config: Names the architecture, its hyperparameters and the weights.
        data: The data set.
        error_message: Error message for an architecture of another task, without its name.
        fits: Returns whether a network's output is the task's.
        segments: Whether the task is segmentation.

    Raises:
        UserError: The architecture is for another task, a hyperparameter cannot be chosen, or the
            weights do not fit.
    """
    weights = data.weights if config.weights else None
    shape, classes = data.image_shape, len(data.class_names)
    if weights is None:
        return networks.build(config, error_message, fits, classes=classes, input_shape=shape)
    if shape[-1] not in (1, weights.channels):
        raise UserError(
            f"--weights {weights.uri} are for images with {weights.channels} channels, and those "
            f"of the data have {shape[-1]}"
        )
    for name, value in weights.hyperparameters.items():
        # Other values have other weights, or change nothing of what is computed.
        chosen = str(config.model.get(name, value))
        if name in ("version", "normalize") and chosen != str(value):
            raise UserError(
                f"--model.{name} {config.model[name]} does not fit --weights {weights.uri}, which "
                f"need {value}"
            )
    completed = replace(config, model={**weights.hyperparameters, **config.model})
    built = networks.build(
        completed, error_message, fits, classes=classes, input_shape=(*shape[:2], weights.channels)
    )
    model = _preprocessed(built.model, shape, weights.preprocessing)
    try:
        weights.fill(model, config.architecture, head_rows(weights, data.class_names, segments))
    except ValueError as error:
        raise UserError(f"--weights: {error}") from error
    return replace(built, model=model)


def _preprocessed(
    model: keras.Model, shape: tuple[int, int, int], preprocessing: Preprocessing
) -> keras.Model:
    """Returns a network like another, which reads images of `shape` with values 0-1."""
    images = x = keras.Input(shape, name="images")
    channels = model.input.shape[-1]
    if channels != shape[-1]:
        x = keras.layers.Concatenate(dtype="float32", name="rgb")([x] * channels)
    if preprocessing.mean:
        pairs = [*zip(preprocessing.mean, preprocessing.deviation, strict=True)]
        # Whatever precision the network is trained in.
        x = keras.layers.Rescaling(
            [1 / deviation for _, deviation in pairs],
            [-mean / deviation for mean, deviation in pairs],
            dtype="float32",
            name=LAYER,
        )(x)
    if x is images:
        return model
    # Calling the layers one by one keeps them at the top, where they are frozen and looked into. In
    # the copy they are in one graph alone, and so are their inputs and outputs.
    extended = keras.Model(images, model.call(x), name=model.name)
    return keras.Model.from_config(extended.get_config())


def _of_checkpoint(config: ImageConfig, checkpoint: ImageCheckpoint) -> Weights:
    preprocessing, family = checkpoint.preprocessing, architectures.get(config.architecture).family
    if len(preprocessing.mean) != checkpoint.channels:
        raise ValueError(
            f"the configuration of {checkpoint.path} has a mean for {len(preprocessing.mean)} "
            f"channels, and its first convolution reads {checkpoint.channels}"
        )
    chosen: dict[str, Any] = {"version": checkpoint.version} if checkpoint.version else {}
    if family == "VGG":
        chosen = {"normalize": checkpoint.normalized}
    elif checkpoint.version == "1" and _has_basic_blocks(config.architecture):
        chosen = {}  # Both versions are the same.
    mean = "ImageNet's mean and deviation are assumed, as no configuration gives them"
    if not checkpoint.assumed:
        mean = f"images are normalized by mean {_rounded(preprocessing.mean)} and deviation "
        mean += _rounded(preprocessing.deviation)
    return Weights(
        config.weights,
        preprocessing,
        mean,
        checkpoint.channels,
        checkpoint.classes,
        checkpoint.class_names,
        whole=False,
        hyperparameters=chosen,
        fill=lambda model, name, rows: assign(model, name, checkpoint, rows),
    )


def _has_basic_blocks(architecture: str) -> bool:
    return architectures.get(architecture).published.get("depth", 0) < 50


def _rounded(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.3g}" for value in values)


def _of_run(config: ImageConfig) -> Weights:
    uri = config.weights
    try:
        run = run_id(uri)
        network = mlflow.artifacts.download_artifacts(f"runs:/{run}/network/model.keras")
    except UserError as error:
        raise UserError(f"--weights {error}") from error
    except (mlflow.MlflowException, OSError, ValueError) as error:
        raise UserError(f"--weights {uri} has no saved network") from error
    source = architectures.load(network)
    if len(source.inputs) != 1 or len(source.input.shape) != 4:
        raise UserError(f"--weights {uri} are of no network on images")
    recorded = _recorded(run)
    names = tuple(recorded.pop("class_names", ()))
    built, model = recorded.pop("architecture", ""), recorded.pop("model", {})
    for name in ("mean", "deviation"):
        recorded[name] = tuple(recorded.get(name, ()))
    preprocessing = Preprocessing(**recorded)
    # A network of another name may have its body, as a U-Net with a residual encoder has.
    shared = model if built == config.architecture else {"version", "width"} & model.keys()
    known = inspect.signature(architectures.builder(config.architecture)).parameters
    chosen = {name: model[name] for name in shared if name in known and model[name] is not None}
    first = next(layer for layer in source.layers if layer.weights)
    return Weights(
        uri,
        preprocessing,
        "images are preprocessed as in that run",
        int(first.input.shape[-1]),
        int(source.output.shape[-1]),
        names,
        whole=len(source.output.shape) == 4,
        hyperparameters=chosen,
        fill=lambda model, name, rows: copy(source, uri, model, name, rows),
    )


def _recorded(run: str) -> dict[str, Any]:
    """Returns what `record` wrote; nothing for a run that did not."""
    try:
        file = mlflow.artifacts.download_artifacts(f"runs:/{run}/{FOLDER}/{_FILE}")
    except (mlflow.MlflowException, OSError):
        return {}
    return json.loads(Path(file).read_text(encoding="utf-8"))


def record(
    config: ImageConfig, network: Network, data: ImageData
) -> dict[str, Callable[[Path], None]]:
    """Returns the run's artifact with what its network does with images, and for which classes."""
    given = asdict(data.preprocessing)
    if not config.weights:
        given |= {"mean": (), "deviation": ()}
    height, width, _ = data.image_shape
    given |= {
        "size": height if height == width else 0,
        "class_names": data.class_names,
        "architecture": config.architecture,
        "model": {
            name: value
            for name, value in network.hyperparameters.items()
            if name not in ("classes", "input_shape")
        },
    }

    def write(folder: Path) -> None:
        folder.mkdir()
        text = json.dumps(given, indent=2, ensure_ascii=False)
        (folder / _FILE).write_text(f"{text}\n", encoding="utf-8")

    return {FOLDER: write}
