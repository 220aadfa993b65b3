"""What a run chooses: data set, architecture and recipe, as small frozen dataclasses.

They are the single source of the command line and of its help, of the parameters that MLflow
shows, and of the file that reproduces a run (`--config`). What only some tasks know stands in a
`Config` of their own, as images their `ImageConfig`.
`Config` of their own: `ImageConfig`, `TextConfig`, `LanguageConfig`, `SeriesConfig`.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import architectures
from pipelines.errors import UserError


@dataclass(frozen=True)
class Optimizer:
    """AdamW (Loshchilov & Hutter 2019) with a linear warmup."""

    learning_rate: float = 1e-3
    """Peak learning rate."""
    schedule: Literal["cosine", "inverse_sqrt"] = "cosine"
    """What follows the warmup: a cosine down to zero, or 1 / sqrt(step) (Vaswani et al. 2017)."""
    weight_decay: float = 1e-2
    """Decoupled weight decay."""
    warmup: float = 0.1
    """Share of all steps during which the learning rate rises."""
    clip_norm: float = 0.0
    """Largest norm of the whole gradient; 0 does not clip."""
    average: float = 0.0
    """Momentum of a moving average of weights, kept in the end; at most 1 - 4 / steps; 0: none."""


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images; each at 0 (or false) leaves them as they are."""

    shift: float = 0.0
    """Largest translation, as a share of height and width."""
    rotation: float = 0.0
    """Largest rotation, as a share of a full turn."""
    zoom: float = 0.0
    """Largest zoom in or out, as a share."""
    flip: bool = False
    """Mirror half of the images left to right."""


@dataclass(frozen=True)
class Recipe:
    """How the model is trained."""

    epochs: int = 10
    """Passes over the training split."""
    batch_size: int = 64
    """Examples per step, over all devices together."""
    patience: int = 0
    """Stop after this many epochs without a lower validation loss; 0 never stops early."""
    precision: Literal["float32", "mixed_bfloat16", "mixed_float16"] = "float32"
    """Keras dtype policy of training; what is exported computes in float32."""
    seed: int = 0
    """Seed of initialisation, shuffling, dropout and augmentation."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and learning-rate schedule."""


@dataclass(frozen=True)
class Config:
    """What the model is and what it learns from."""

    dataset: str = ""
    """An embedded set, a TFDS name, or own data as the README says for each task."""
    architecture: str = ""
    """A name that `python -m architectures` lists."""
    model: dict[str, Any] = field(default_factory=dict)
    """Hyperparameters of the architecture, each as --model.NAME VALUE."""
    name: str = ""
    """Name to register and serve the model under; empty takes the data set's."""
    data_dir: str = ""
    """Folder of prepared TFDS data; empty takes TFDS' own."""
    manual_dir: str = ""
    """Folder of files that TFDS uses instead of downloading them."""
    recipe: Recipe = Recipe()
    """How the model is trained."""

    @property
    def title(self) -> str:
        """What a run is called."""
        return f"{self.architecture} on {self.dataset}"

    def options(self) -> dict[str, Any]:
        """Returns the choices nested like the command line's options, as `--config` reads them."""
        values = asdict(self)
        return values | values.pop("recipe")

    def parameters(self) -> dict[str, Any]:
        """Returns the choices as one flat mapping, named like the command line's options."""
        return _flatten(self.options())


@dataclass(frozen=True)
class ImageConfig(Config):
    """What tasks on images choose besides."""

    image_size: int = 0
    """Side in pixels to which images are resized; 0 keeps the size that all of them share."""
    augmentation: Augmentation = Augmentation()
    """Augmentation of training images."""


@dataclass(frozen=True)
class TextConfig(Config):
    """What tasks on text choose besides."""

    vocabulary: int = 8000
    """Tokens of the vocabulary that is made from the training split."""
    max_length: int = 128
    """Tokens after which a text is cut off."""
    word_dropout: float = 0.0
    """Share of training tokens that are hidden behind [UNK] (Iyyer et al. 2015)."""
    encoder: str = ""
    """Pre-trained encoder: a Hugging Face directory, or runs:/… or models:/… of an own run."""
    freeze_layers: int = 0
    """Keep the encoder's embeddings and this many of its layers as they are; 0 trains all."""
    text_signature: bool = True
    """Whether the artefact reads strings; off leaves token ids, which need no TF-Text ops."""


@dataclass(frozen=True)
class PretrainingConfig(TextConfig):
    """What pre-training of encoders chooses besides."""

    masked: float = 0.15
    """Share of the tokens that are to be guessed."""
    whole_words: bool = False
    """Choose whole words, all pieces of them."""


@dataclass(frozen=True)
class BertConfig(PretrainingConfig):
    """What pre-training by masked words alone, or with sentences, chooses besides."""

    sentence_task: Literal["auto", "none", "next_sentence", "sentence_order"] = "auto"
    """What is asked about pairs; auto: what the architecture's paper asks."""


@dataclass(frozen=True)
class ElectraConfig(PretrainingConfig):
    """What pre-training by replaced tokens chooses besides."""

    generator_divisor: int = 4
    """How many times narrower the generator is than the discriminator."""
    detection_weight: float = 50.0
    """Weight of the discriminator's loss; the generator's is 1."""


@dataclass(frozen=True)
class TranslationConfig(Config):
    """What translation chooses besides."""

    reverse: bool = False
    """Translate the other way round: from what the data set calls the target."""
    source_tokens: Literal["auto", "pieces", "words", "characters"] = "auto"
    """What the source is cut into; auto takes what is known of an embedded set, else WordPieces."""
    target_tokens: Literal["auto", "pieces", "words", "characters"] = "auto"
    """The same for the target. WordPieces of both languages share one vocabulary."""
    vocabulary: int = 2000
    """Tokens of each vocabulary that is made from the training split."""
    max_length: int = 48
    """Tokens after which a source, and a translation, is cut off."""
    beams: int = 4
    """Translations that are kept in beam search; 1 is greedy."""
    length_penalty: float = 1.4
    """Exponent of the penalty on length (Wu et al. 2016); 0 compares log-probabilities as such."""
    label_smoothing: float = 0.1
    """Share of each target's probability that is spread over all tokens (Szegedy et al. 2016)."""
    sampling: float = 0.0
    """Share of own tokens read in the end of training: scheduled sampling (Bengio et al. 2015)."""
    text_signature: bool = True
    """Whether the artefact reads strings; off leaves token ids, which need no TF-Text ops."""


@dataclass(frozen=True)
class LanguageConfig(Config):
    """What language models choose besides."""

    tokens: Literal["characters", "words", "word_pieces"] = "words"
    """What is predicted one after the other."""
    vocabulary: int = 8000
    """Tokens of the vocabulary that is made from the training split."""
    context: int = 64
    """Tokens that the network reads at once."""
    max_texts: int = 0
    """Read so many documents of each split; 0 reads all."""
    text_signature: bool = True
    """Whether the artefact reads strings; off leaves token ids, which need no TF-Text ops."""


@dataclass(frozen=True)
class SeriesConfig(Config):
    """What tasks on time series choose besides."""

    column: str = ""
    """Column to forecast, of a CSV or Parquet file; empty takes the only numeric one."""
    season: int = 0
    """Steps of a season; 0 takes the one that is known of an embedded set, else none."""
    history: int = 60
    """Steps that the network reads."""
    horizon: int = 12
    """Steps that it forecasts."""
    scaling: Literal["series", "window"] = "series"
    """Mean and deviation that are taken out: of the training split, or of each history itself."""


@dataclass(frozen=True)
class DistillConfig(Config):
    """What a student chooses besides; the data set is the teacher's."""

    teacher: str = ""
    """runs:/… or models:/… of an own run, or a pipeline, whose default run is then made first."""
    temperature: float = 2.0
    """What logits are divided by before student and teacher compare (Hinton et al. 2015)."""
    alpha: float = 0.9
    """Share of the loss that compares with the teacher; the rest compares with the truth."""
    inherit: bool = False
    """Start an encoder of BERT's family from layers of its teacher (Sanh et al. 2019)."""

    @property
    def title(self) -> str:
        """What a run is called."""
        return f"{self.architecture} from {self.teacher}"


def _flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def check(config: Config) -> None:
    """Raises `UserError` for a value that no run can use, before any work is done."""
    if config.architecture not in architectures.names():
        raise UserError(
            f"unknown architecture {config.architecture!r}; `python -m architectures` lists them"
        )
    if config.name and not re.fullmatch(r"\w[\w.-]*", config.name):
        raise UserError(f"--name must be letters, digits, '_', '-' and '.', not {config.name!r}")
    recipe = config.recipe
    bounds = (
        ("epochs", recipe.epochs, 1, 100_000),
        ("batch_size", recipe.batch_size, 1, 1_000_000),
        ("patience", recipe.patience, 0, 100_000),
        ("seed", recipe.seed, 0, 2**31 - 1),
        ("optimizer.learning_rate", recipe.optimizer.learning_rate, 1e-12, 100.0),
        ("optimizer.weight_decay", recipe.optimizer.weight_decay, 0.0, 1.0),
        ("optimizer.warmup", recipe.optimizer.warmup, 0.0, 0.9),
        ("optimizer.average", recipe.optimizer.average, 0.0, 0.99999),
        ("optimizer.clip_norm", recipe.optimizer.clip_norm, 0.0, 1e9),
    )
    for option, value, low, high in (*bounds, *_own_bounds(config)):
        if not low <= value <= high:
            raise UserError(f"--{option} must be between {low} and {high}, not {value}")
    if recipe.optimizer.schedule == "inverse_sqrt" and not recipe.optimizer.warmup:
        raise UserError("--optimizer.schedule inverse_sqrt needs --optimizer.warmup above 0")
    if recipe.optimizer.average and recipe.patience:
        raise UserError("--patience keeps the best weights, --optimizer.average their average")


def _own_bounds(config: Config) -> tuple[tuple[str, float, float, float], ...]:
    """Returns (option, value, lowest, highest) of what only some tasks know."""
    if isinstance(config, ImageConfig):
        return (
            ("augmentation.shift", config.augmentation.shift, 0.0, 0.5),
            ("augmentation.rotation", config.augmentation.rotation, 0.0, 0.5),
            ("augmentation.zoom", config.augmentation.zoom, 0.0, 0.5),
            ("image_size", config.image_size, 0, 4096),
        )
    if isinstance(config, TextConfig):
        return (
            ("vocabulary", config.vocabulary, 100, 1_000_000),
            ("max_length", config.max_length, 4, 8192),
            ("word_dropout", config.word_dropout, 0.0, 0.9),
            ("freeze_layers", config.freeze_layers, 0, 1000),
            *_pretraining_bounds(config),
        )
    if isinstance(config, TranslationConfig):
        return (
            ("vocabulary", config.vocabulary, 100, 1_000_000),
            ("max_length", config.max_length, 4, 8192),
            ("beams", config.beams, 1, 64),
            ("length_penalty", config.length_penalty, 0.0, 10.0),
            ("label_smoothing", config.label_smoothing, 0.0, 0.9),
            ("sampling", config.sampling, 0.0, 1.0),
        )
    if isinstance(config, LanguageConfig):
        return (
            ("vocabulary", config.vocabulary, 100, 1_000_000),
            ("context", config.context, 2, 8192),
            ("max_texts", config.max_texts, 0, 2**31 - 1),
        )
    if isinstance(config, SeriesConfig):
        return (
            ("season", config.season, 0, 100_000),
            ("history", config.history, 1, 100_000),
            ("horizon", config.horizon, 1, 10_000),
        )
    if isinstance(config, DistillConfig):
        return (
            ("temperature", config.temperature, 0.1, 100.0),
            ("alpha", config.alpha, 0.0, 1.0),
        )
    return ()


def _pretraining_bounds(config: TextConfig) -> tuple[tuple[str, float, float, float], ...]:
    bounds: list[tuple[str, float, float, float]] = []
    if isinstance(config, PretrainingConfig):
        bounds += [
            ("masked", config.masked, 0.01, 0.9),
            ("max_length", config.max_length, 16, 8192),
        ]
    if isinstance(config, ElectraConfig):
        bounds += [
            ("generator_divisor", config.generator_divisor, 1, 64),
            ("detection_weight", config.detection_weight, 0.0, 1e6),
        ]
    return tuple(bounds)
