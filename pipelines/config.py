"""The config of a run: data set, architecture and recipe, as small frozen dataclasses.

The command line and its help, the bounds check, MLflow's parameters, MLproject and the file that
reproduces a run (`--config`) all follow from them. An option is one field: its type, with its
bounds as `Annotated[int, Between(1, 64)]`, its default and its docstring. Options of one kind of
task are in a subclass of `Config`, as `ImageConfig` in `pipelines/image/config.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import architectures
from pipelines.bounds import Between, bounds
from pipelines.errors import UserError
from pipelines.recipe import Recipe

# The tag of a student's run, `runs:/ID` of its teacher's.
TEACHER = "teacher"


@dataclass(frozen=True)
class Config:
    """Options of every pipeline."""

    dataset: str = ""
    """A bundled data set, a TFDS name, or the path of a folder or file."""
    architecture: str = ""
    """A name that `python -m architectures` lists."""
    model: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters of the architecture, each as --model.NAME VALUE."""
    name: str = ""
    """Name of the registered and served model; empty takes the data set's."""
    data_dir: str = ""
    """TFDS data directory; empty takes TFDS' default."""
    manual_dir: str = ""
    """TFDS manual directory: files to use instead of downloads."""
    max_examples: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Maximum number of examples (images, rows, documents, windows) of each split; 0 takes all."""
    skip_bad: bool = False
    """Leave out own files and rows that cannot be used, and count them, instead of ending."""
    split_seed: Annotated[int, Between(0, 2**31 - 1)] = 0
    """Seed that splits own data without splits into train, validation and test."""
    separator: str = ""
    """Field separator of own CSV files, as ";" or tab; empty recognizes it."""
    encoding: str = ""
    """Encoding of own text files; empty recognizes UTF-8, UTF-16 and Latin-1."""
    cache: str = ""
    """Folder of decoded training examples and of what image files hold; empty keeps neither."""
    strategy: Literal["auto", "one", "mirrored", "multi_worker"] = "auto"
    """One device, all GPUs (mirrored), or the workers of TF_CONFIG; auto takes what there is."""
    devices: Annotated[int, Between(0, 1024)] = 0
    """Number of devices to train on; 0: all GPUs. Without a GPU, the CPU is split, for trials."""
    data_service: str = ""
    """Servers that prepare training batches, as grpc://HOST:PORT,…; see data_service --help."""
    figures: bool = True
    """Draw figures for the run."""
    diagnose: Annotated[bool | int, Between(0, 1_000_000)] = False
    """Measure gradients, updates and activations of all layers: true, or every so many steps."""
    find_learning_rate: bool = False
    """Try rising learning rates for a moment, suggest one, and train nothing."""
    run_name: str = ""
    """Name of the run in MLflow; empty: architecture, data set, seed, and changed options."""
    tag: list[str] = field(default_factory=list)
    """Tag of the run in MLflow, as KEY=VALUE; may be repeated."""
    note: str = ""
    """Note on the run, shown as its description in MLflow."""
    resume: str = ""
    """Go on with a run that has not finished, by its ID, or with the latest one of the pipeline."""
    recipe: Recipe = field(default_factory=Recipe)
    """Training hyperparameters."""

    # Hyperparameters that --model.NAME may give to a head on top of the architecture.
    head_hyperparameters: ClassVar[tuple[str, ...]] = ()
    # Whether targets are classes of the data set, which the loss may weight.
    has_classes: ClassVar[bool] = False

    @property
    def tags(self) -> dict[str, str]:
        """The chosen tags of the run by key."""
        return dict(tag.split("=", 1) for tag in self.tag)

    def options(self) -> dict[str, Any]:
        """Returns the options, nested as on the command line and in the file of `--config`."""
        values = asdict(self)
        return values | values.pop("recipe")

    def parameters(self) -> dict[str, Any]:
        """Returns the options as one flat mapping, by their names on the command line."""
        return _flatten(self.options())

    def hyperparameters(self) -> dict[str, Any]:
        """Returns the parameters without those that only name and describe the run."""
        labels = {"run_name", "tag", "note", "resume"}
        return {name: value for name, value in self.parameters().items() if name not in labels}

    def of_run(self, uri: str, tags: Mapping[str, str]) -> Config:
        """Returns the config that builds a run's network again, whatever the run started from.

        Args:
            uri: `runs:/ID` of a run with this config.
            tags: The run's.
        """
        return self

    def check(self) -> None:
        """Raises `UserError` for choices of a kind of task that no run can use."""

    def check_paths(self) -> None:
        """Raises `UserError` if there is nothing at a path that is chosen."""


@dataclass(frozen=True)
class Pipeline:
    """A pipeline: a task with its default data set, architecture and recipe.

    Attributes:
        summary: The task in a few words, for listings.
        task: `module:callable` that makes the task from a config; imported only to run it.
        defaults: The default config; its class has the pipeline's options.
        distillable: Whether its networks' outputs are logits over classes or tokens, so that a
            student can learn from them.
        recipes: Recipes by name: a module, whose docstring says in its first line what it trains,
            and then what to expect, and whose `CONFIG` takes the place of `defaults`.
    """

    summary: str
    task: str
    defaults: Config
    distillable: bool = False
    recipes: Mapping[str, str] = field(default_factory=dict)


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


# What MLflow takes as the key of a tag, and the keys that runs set themselves.
_KEY = re.compile(r"\w[\w. :-]{0,249}")
_OWN_KEYS = {"pipeline", "dataset", "architecture", "device", "engine"}
_OWN_KEYS |= {"baseline", "diagnosis", "failure", "range_test"}
_OWN_KEYS |= {"resume", "resumes", "resumed", "resumed_by"}
_OWN_PREFIXES = ("mlflow.", "code.", "process.")
_MAX_TEXT = 5000


def check(config: Config) -> None:
    """Raises `UserError` for values that no run can use, before any work is done."""
    try:
        chosen = config.model.keys() - set(config.head_hyperparameters)
        architectures.check(config.architecture, chosen)
    except ValueError as error:
        raise UserError(str(error)) from error
    if config.name:
        check_name(config.name)
    values = config.parameters()
    for option, between in bounds(type(config)).items():
        if not between.low <= values[option] <= between.high:
            raise UserError(f"--{option} must be {between}, not {values[option]}")
    config.recipe.check()
    if config.recipe.class_weights and not config.has_classes:
        raise UserError("--class_weights is for classification and segmentation")
    _check_labels(config)
    config.check()


def check_name(name: str) -> None:
    """Raises `UserError` for a name that cannot be served.

    It is that of a folder in a model repository, beside the file `models.config`.
    """
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"--name must be letters, digits, '_', '-' and '.', not {name!r}")
    if (size := len(name.encode())) > 255:
        raise UserError(f"--name must be at most 255 bytes, as it names a folder, not {size}")
    if name == "models.config":
        raise UserError("--name must not be 'models.config', a file of model repositories")


def _check_labels(config: Config) -> None:
    """Raises `UserError` for a tag, a note or a run's name that MLflow does not take."""
    for tag in config.tag:
        key, equals, _ = tag.partition("=")
        if not equals or not _KEY.fullmatch(key):
            raise UserError(
                "--tag must be KEY=VALUE with a key of letters, digits, '_', '-', '.', ':' and "
                f"spaces, not {tag!r}"
            )
        if key in _OWN_KEYS or key.startswith(_OWN_PREFIXES):
            raise UserError(f"--tag {key} cannot be chosen: the run sets it")
    for option, text in (
        ("run_name", config.run_name),
        ("note", config.note),
        *config.tags.items(),
    ):
        if len(text) > _MAX_TEXT:
            raise UserError(f"--{option} must be at most {_MAX_TEXT} characters, not {len(text)}")
