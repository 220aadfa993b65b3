"""Send images, texts or JSON lines to a served model, several requests at a time."""

from __future__ import annotations

import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import numpy as np

from serving.client import Client
from serving.client.calls import Signature
from serving.errors import ServingError, UserError
from serving.query import json_lines, pictures
from serving.query.display import Answer

_TEXT_SUFFIX = ".txt"
# Names of inputs by docs/signatures.md; an input of another name may take either.
_BYTES_SUFFIX = "_bytes"
_TEXT_INPUTS = ("text", "prompt")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Model:
    """The model to query: name, version or label, and signature, as in `Client.predict`."""

    name: str
    version: int | None = None
    label: str | None = None
    signature: str = ""

    def signatures(self, client: Client) -> dict[str, Signature]:
        """Returns the signatures that can be called.

        Raises:
            ServingError: The server refused, failed, or could not be reached.
            UserError: The model does not have the chosen signature.
        """
        found = client.metadata(self.name, version=self.version, label=self.label)
        found.pop("__saved_model_init_op", None)
        if self.signature and self.signature not in found:
            known = ", ".join(found)
            raise UserError(f"{self.name} has no signature {self.signature!r}; it has: {known}")
        return found

    def predict(
        self, client: Client, signature: str, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        return client.predict(
            self.name, inputs, signature=signature, version=self.version, label=self.label
        )


def images(paths: Sequence[Path]) -> list[tuple[Path, str]]:
    """Returns image files with their true class; empty where it is unknown.

    Args:
        paths: Image files, and folders laid out as CLASS/IMAGE, where folders within CLASS count
            too; or of images alone. Hidden files do not count.

    Raises:
        UserError: A path does not exist, is no image file, or is a folder without images.
    """
    found: list[tuple[Path, str]] = []
    for path in paths:
        if path.is_dir():
            inside = _in_classes(path) or [(p, "") for p in sorted(path.iterdir()) if _is_image(p)]
            if not inside:
                raise UserError(f"{path} holds no images as CLASS/IMAGE")
            found += inside
        elif not path.exists():
            raise UserError(f"there is no file {path}; a text is given by --text")
        elif path.suffix.lower() in (".json", ".jsonl"):
            raise UserError(f"{path} is no image file; lines of JSON are given by --json")
        elif path.suffix.lower() not in pictures.SUFFIXES:
            known = ", ".join(sorted(pictures.SUFFIXES))
            raise UserError(f"{path} is no image file; known are: {known}")
        else:
            found.append((path, ""))
    return found


def _in_classes(folder: Path) -> list[tuple[Path, str]]:
    """Returns the images below the folders of a folder, with the class that each stands for."""
    inside = []
    for path in folder.glob("*/**/*"):
        parts = path.relative_to(folder).parts
        if _is_image(path) and not any(part.startswith(".") for part in parts):
            # As training reads the name of a folder: T-shirt%2Ftop is T-shirt/top.
            name = unicodedata.normalize("NFC", parts[0])
            inside.append((path, name.replace("%2F", "/").replace("%25", "%")))
    return sorted(inside, key=lambda pair: (pair[0].stem.zfill(12), pair[0].parent))


def _is_image(path: Path) -> bool:
    hidden = path.name.startswith(".")
    return path.suffix.lower() in pictures.SUFFIXES and path.is_file() and not hidden


def are_texts(paths: Sequence[Path]) -> bool:
    """Returns whether the files hold texts rather than images."""
    return bool(paths) and all(path.suffix.lower() == _TEXT_SUFFIX for path in paths)


def texts(paths: Sequence[Path]) -> list[str]:
    """Returns the lines of text files that are not blank.

    Raises:
        UserError: A file cannot be read or is not text in UTF-8.
    """
    lines: list[str] = []
    for path in paths:
        try:
            lines += _content(path).decode().splitlines()
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is not text in UTF-8: {error}") from error
    return [line for line in lines if line.strip()]


def ask_about_images(
    client: Client,
    model: Model,
    files: Sequence[tuple[Path, str]],
    *,
    batch_size: int = 32,
    concurrency: int = 4,
) -> Iterator[Answer]:
    """Sends image files, and yields the answers in the files' order.

    The signature is `image_bytes`, unless the model names one or has another for strings. What
    takes text gets no image. PNG, JPEG and plain GIF and BMP files are sent as they are, others as
    PNG (`serving.query.pictures`).

    Args:
        client: The connection.
        model: The model.
        files: Image files with their true class, as `images` returns them.
        batch_size: Files in one request.
        concurrency: Requests at the same time.

    Raises:
        ServingError: The server refused, failed, or could not be reached.
        UserError: No signature takes one string for each image, or it takes text; or a file cannot
            be read or decoded.
    """
    key, name = _string_signature(model, model.signatures(client), "images")

    def send(batch: Sequence[tuple[Path, str]]) -> list[Answer]:
        read = [pictures.read(path) for path, _ in batch]
        encoded = np.array([content for content, _ in read], object)
        try:
            outputs = model.predict(client, key, {name: encoded})
        except ServingError as error:
            if error.code is grpc.StatusCode.INVALID_ARGUMENT:
                for path, _ in batch:  # The server does not say which file is damaged.
                    pictures.check(path)
            raise
        return [
            Answer(str(path), _row(outputs, index, len(batch)), truth, converted)
            for index, ((path, truth), (_, converted)) in enumerate(zip(batch, read, strict=True))
        ]

    for answers in in_order(send, _batches(files, batch_size), concurrency):
        yield from answers


def ask_about_texts(
    client: Client,
    model: Model,
    lines: Sequence[str],
    *,
    batch_size: int = 32,
    concurrency: int = 4,
) -> Iterator[Answer]:
    """As `ask_about_images`, for texts; the signature is one that takes a string of text."""
    key, name = _string_signature(model, model.signatures(client), "text")

    def send(batch: Sequence[str]) -> list[Answer]:
        outputs = model.predict(client, key, {name: np.array(batch, object)})
        return [Answer(text, _row(outputs, index, len(batch))) for index, text in enumerate(batch)]

    for answers in in_order(send, _batches(lines, batch_size), concurrency):
        yield from answers


def ask_json(
    client: Client, model: Model, lines: Iterable[str], *, concurrency: int = 4
) -> Iterator[str]:
    """Sends each line as a request, and yields a line of outputs for each, in order.

    Args:
        client: The connection.
        model: The model; its default signature is the only one, else `serving_default`.
        lines: As `json_lines.inputs` reads them; blank lines are skipped.
        concurrency: Requests at the same time.

    Raises:
        ServingError: As `ask_about_images`, with the number of the line.
        UserError: A line does not fit the signature, or a signature must be chosen.
    """
    signatures = model.signatures(client)
    only = next(iter(signatures)) if len(signatures) == 1 else "serving_default"
    key = model.signature or only
    if key not in signatures:
        raise UserError(f"choose a signature of {model.name}: {', '.join(signatures)}")

    def send(numbered: tuple[int, str]) -> str:
        number, line = numbered
        arrays, one = json_lines.inputs(line, signatures[key], f"line {number}")
        try:
            outputs = model.predict(client, key, arrays)
        except ServingError as error:
            raise ServingError(error.code, f"line {number}: {error.message}") from error
        return json_lines.outputs(outputs, one)

    numbered = ((number, line) for number, line in enumerate(lines, 1) if line.strip())
    yield from in_order(send, numbered, concurrency)


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], concurrency: int
) -> Iterator[Result]:
    """Yields the results in the order of the items; reads at most 2 * concurrency items ahead.

    The first error ends it; calls that have not started are cancelled.
    """
    pool = ThreadPoolExecutor(concurrency)
    pending: deque[Future[Result]] = deque()
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            while pending and (pending[0].done() or len(pending) >= 2 * concurrency):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _string_signature(
    model: Model, signatures: Mapping[str, Signature], what: str
) -> tuple[str, str]:
    """Returns the key and the input of a signature that takes one string for each example.

    Args:
        model: The model, with the chosen signature.
        signatures: Its signatures.
        what: What the strings hold: "images" or "text".
    """
    if model.signature:
        signatures = {model.signature: signatures[model.signature]}
    fitting = {
        key: next(iter(signature.inputs))
        for key, signature in signatures.items()
        if [info.dtype for info in signature.inputs.values()] == ["string"]
    }
    # Except in the default signature, an input named "inputs" takes a serialized tf.Example.
    plain = [key for key, name in fitting.items() if name != "inputs" or model.signature]
    for key in ("image_bytes", "serving_default", *plain):
        if key in fitting and _takes(fitting[key], what):
            return key, fitting[key]
    if plain:
        other = "text" if what == "images" else "images"
        raise UserError(
            f"{model.name} takes {other}, not {what}: signature {plain[0]} has the input "
            f"{fitting[plain[0]]}"
        )
    takes = "; ".join(
        f"{key} takes " + ", ".join(f"{name} {i.dtype}" for name, i in signature.inputs.items())
        for key, signature in signatures.items()
    )
    raise UserError(
        f"no signature of {model.name} takes {what} as one string ({takes}); ask it with --json"
    )


def _takes(name: str, what: str) -> bool:
    """Whether an input of strings may take "images" or "text", by its name."""
    return name not in _TEXT_INPUTS if what == "images" else not name.endswith(_BYTES_SUFFIX)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _row(outputs: Mapping[str, np.ndarray], index: int, count: int) -> dict[str, np.ndarray]:
    """Returns one example's outputs; an output without a batch dimension belongs to all."""
    return {
        name: array[index, ...] if array.ndim and len(array) == count else array
        for name, array in sorted(outputs.items())
    }
