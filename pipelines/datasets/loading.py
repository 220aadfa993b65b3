"""Data sets with their data on disk: bundled ones, those of other packages, public ones of TFDS."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import requests
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core import read_only_builder
from tensorflow_datasets.core.download import downloader

from pipelines.config import Config
from pipelines.datasets import catalog, lookup
from pipelines.datasets.debian import SYSTEM
from pipelines.datasets.untuned import untuned
from pipelines.errors import UserError

# Data sets whose test split has no labels; results are reported on their validation split.
_UNLABELED_TEST = {"glue", "imagenet2012"}

# The digest of larger data sets is that of their files' names and sizes, not of the bytes.
_DIGEST_BYTES = 1 << 30

# Of a split that is not read in full, the number of runs of neighboring examples that are.
_RUNS = 20


@dataclass(frozen=True)
class Splits:
    """TFDS split expressions. Model selection uses validation only; test is reported once."""

    train: str
    validation: str
    test: str


def prepared(name: str, *, data_dir: str = "", manual_dir: str = "") -> tfds.core.DatasetBuilder:
    """Returns the builder of `name` with its data on disk, preparing it if necessary.

    Args:
        name: A data set of `catalog.names()`, a TFDS name with optional config and version
            (`cifar10`, `ag_news_subset/1.0.0`).
        data_dir: Folder of prepared data; empty takes TFDS' default.
        manual_dir: Folder of files to use instead of downloads, under the names that TFDS
            records for them.

    Raises:
        UserError: The data set is unknown, cannot be downloaded, or its download is damaged.
    """
    builder = lookup.builder(name, data_dir)
    if not builder.is_prepared():
        with contextlib.ExitStack() as stack:
            files = SYSTEM.get(builder.name)
            if not manual_dir and files and files.exist():
                manual_dir = str(stack.enter_context(files.restored()))
            _prepare(builder, manual_dir)
    return builder


class Identity(TypedDict):
    """The fields that tell which data set a `Dataset` is, and whose."""

    name: str
    version: str
    digest: str
    license: NotRequired[str]
    homepage: NotRequired[str]


@dataclass(frozen=True)
class Source:
    """A data set that is prepared on disk, with its fixed splits.

    Attributes:
        builder: TFDS builder with its data on disk.
        splits: TFDS split expressions of "train", "validation" and "test".
        part: What the digest says beside the data where examples are left out.
    """

    builder: tfds.core.DatasetBuilder
    splits: Mapping[str, str]
    part: str = ""

    def identity(self) -> Identity:
        """Returns the fields of a `Dataset` that say which one it is and whose."""
        info = self.builder.info
        return {
            "name": self.builder.name,
            "version": str(info.version),
            "digest": part_digest(digest(self.builder), self.part),
            "license": info.redistribution_info.license or "",
            "homepage": info.homepage or "",
        }

    def sizes(self) -> dict[str, int]:
        """Returns the number of examples in each split."""
        infos = self.builder.info.splits
        return {split: infos[chosen].num_examples for split, chosen in self.splits.items()}

    def read(self, split: str, **options: Any) -> tf.data.Dataset:
        """Returns the rows of a split, dicts of features; options are those of `as_dataset`."""
        return untuned(self.builder.as_dataset(split=self.splits[split], **options))


def open_dataset(config: Config) -> Source:
    """Returns the data set that a config names, preparing it if necessary.

    Raises:
        UserError: The data set is unknown or cannot be had.
    """
    builder = prepared(config.dataset, data_dir=config.data_dir, manual_dir=config.manual_dir)
    whole = asdict(splits(builder))
    if not config.max_examples:
        return Source(builder, whole)
    some = {split: spread(builder, read, config.max_examples) for split, read in whole.items()}
    return Source(builder, some, "" if some == whole else str(some))


def _prepare(builder: tfds.core.DatasetBuilder, manual_dir: str) -> None:
    if builder.name in catalog.BUNDLED:  # Takes a moment; TFDS would announce a download.
        tfds.disable_progress_bar()
        with contextlib.redirect_stdout(io.StringIO()):
            builder.download_and_prepare()
        tfds.enable_progress_bar()
        return
    try:
        with _few_retries():
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual_dir or None)
            )
    except requests.exceptions.RequestException as error:
        raise UserError(
            f"{builder.name} is not prepared in {builder.data_path} and could not be downloaded; "
            "connect to a network, or put its files into a folder and pass it as --manual_dir, "
            f"or use a bundled data set: {', '.join(catalog.BUNDLED)}"
        ) from error
    except tfds.download.DownloadError as error:
        raise UserError(
            f"the download of {builder.name} is damaged: {str(error).splitlines()[0]}"
        ) from error
    except AssertionError as error:  # TFDS raises it for a missing manual download.
        raise UserError(f"{builder.name}: {str(error).splitlines()[0]}") from error


@contextlib.contextmanager
def _few_retries() -> Iterator[None]:
    """Reports a missing network after seconds; TFDS' ten retries take minutes."""
    retries = downloader.MAX_RETRIES
    downloader.MAX_RETRIES = 2
    try:
        yield
    finally:
        downloader.MAX_RETRIES = retries


def splits(builder: tfds.core.DatasetBuilder) -> Splits:
    """Returns fixed, disjoint splits: the data set's own, or else fractions of train."""
    own = set(builder.info.splits)
    if builder.name in _UNLABELED_TEST:
        own -= {"test"}
    for validation in ("validation", "val"):  # The second in COCO's sets of captions.
        if {"train", validation, "test"} <= own:
            return Splits("train", validation, "test")
    if "train" not in own:
        raise UserError(f"{builder.name} has no train split; it has: {', '.join(sorted(own))}")
    # MNLI's genres that are also those of its training split.
    if held_out := own & {"validation", "test"} or own & {"validation_matched"}:
        return Splits("train[:90%]", "train[90%:]", held_out.pop())
    return Splits("train[:80%]", "train[80%:90%]", "train[90%:]")


def spread(builder: tfds.core.DatasetBuilder, split: str, most: int) -> str:
    """Returns a split expression of at most `most` examples, in runs evenly spread over `split`.

    Runs of neighbors are read fast from large data sets; several of them are of all classes where
    examples are in an order.
    """
    (whole,) = tfds.core.ReadInstruction.from_spec(split).to_absolute(builder.info.splits)
    first, size = whole.from_ or 0, builder.info.splits[split].num_examples
    if size <= most:
        return split
    runs = min(most, _RUNS)
    taken = [run * most // runs for run in range(runs + 1)]
    gaps = max(1, runs - 1)
    starts = [first + taken[run] + run * (size - most) // gaps for run in range(runs)]
    return "+".join(
        f"{whole.splitname}[{start}:{start + taken[run + 1] - taken[run]}]"
        for run, start in enumerate(starts)
    )


def features(builder: tfds.core.DatasetBuilder) -> dict[str, tfds.features.FeatureConnector]:
    """Returns a data set's features by name, in the builder's order or else alphabetically."""
    own = dict(builder.info.features.items())
    # Prepared files keep no order: it would differ between processes.
    read_only = isinstance(builder, read_only_builder.ReadOnlyBuilder)
    return {name: own[name] for name in sorted(own)} if read_only else own


def own_identity(path: Path, digest: str, max_examples: int = 0) -> Identity:
    """Returns the fields `name`, `version` and `digest` of a user's own data.

    Args:
        path: Where the data are.
        digest: Fingerprint of the data.
        max_examples: How many examples of each split are taken, if the digest does not say it.
    """
    part = str(max_examples or "")
    return {"name": own_name(path), "version": "1.0.0", "digest": part_digest(digest, part)}


def part_digest(digest: str, part: str) -> str:
    """Returns the digest of data of which only a part is taken; "" stands for all of them."""
    return hashlib.sha256(f"{digest} {part}".encode()).hexdigest()[:12] if part else digest


def own_name(path: Path) -> str:
    """Returns the name of a data set in a user's own folder or file, whose suffix is left out.

    Characters that MLflow's model registry does not allow become "_".
    """
    path = path.resolve()
    return re.sub(r"[^\w.-]|^\W", "_", path.name if path.is_dir() else path.stem)


def digest(builder: tfds.core.DatasetBuilder) -> str:
    """Returns 12 hexadecimal digits that change when the prepared data change."""
    sha = hashlib.sha256(builder.info.full_name.encode())
    files = sorted(path for path in Path(builder.data_path).rglob("*") if path.is_file())
    sizes = [path.stat().st_size for path in files]
    small = sum(sizes) < _DIGEST_BYTES
    for path, size in zip(files, sizes, strict=True):
        if path.suffix == ".json":  # Metadata of TFDS, with dates.
            continue
        sha.update(f"{path.relative_to(builder.data_path)} {size}".encode())
        if small:
            with path.open("rb") as file:
                hashlib.file_digest(file, lambda: sha)  # A piece at a time.
    return sha.hexdigest()[:12]
