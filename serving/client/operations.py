"""The operations of a client: what is sent, in which order, and what is returned.

Each operation is a generator. It yields a `Request` to be sent, or a `Pause`, and is resumed with
the result of the call or the `ServingError` that it failed with. Two drivers send and sleep:
`Client`, which blocks its thread, and `AsyncClient`, which awaits. So both have the same methods.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from serving.client import calls
from serving.client.calls import Call, Classes, ModelConfig, Signature, VersionStatus
from serving.client.readiness import PAUSE, Wait
from serving.client.traffic import Split
from serving.errors import ServingError

Result = TypeVar("Result")


@dataclass(frozen=True)
class Request:
    """A call to send. `timeout`: seconds to wait for the response; None takes the client's."""

    call: Call[Any]
    timeout: float | None


@dataclass(frozen=True)
class Pause:
    """Seconds in which nothing is sent."""

    seconds: float


Operation: TypeAlias = Generator[Request | Pause, Any, Result]


@dataclass(frozen=True)
class Settings:
    """What operations need of the client's arguments: `timeout`, and its labels."""

    timeout: float
    split: Split


def predict(
    settings: Settings,
    model: str,
    inputs: Mapping[str, Any],
    *,
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    outputs: Sequence[str] = (),
    timeout: float | None = None,
) -> Operation[dict[str, np.ndarray]]:
    """Runs a signature of a model.

    Args:
        model: Served name.
        inputs: Array, or what NumPy makes one of, for each input of the signature. Their
            dtypes must be the signature's; strings are `str` or `bytes`.
        signature: Key of the signature; empty takes `serving_default`.
        version: Version; None leaves the choice to the label, or else to the server.
        label: Version label, instead of the client's; empty asks for none.
        key: Determines the label where the client chooses labels by weight, for example a
            user's name: the same key always gets the same label.
        outputs: Names of the outputs to return; empty returns all.
        timeout: Seconds to wait, instead of the client's.

    Returns:
        An array for each output; strings are `bytes` in an object array.

    Raises:
        ServingError: The server refused, failed, or could not be reached in time.
        TypeError: An input of a type that no tensor has.
        ValueError: A version and a label.
    """
    spec = settings.split.spec(model, version, label, key, signature)
    call = calls.predict(spec, inputs, outputs)
    return (yield from _send(settings.split.routed(call, version, label), timeout))


def classify(
    settings: Settings,
    model: str,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Operation[list[Classes]]:
    """Classifies examples.

    Args:
        model: Served name.
        examples: Features of each example: integers, booleans, floats, strings, or lists or
            arrays of them, as `serving.protocol.examples.example` takes them.
        context: Features that all examples share.
        signature: As in `predict`.
        version: As in `predict`.
        label: As in `predict`.
        key: As in `predict`.
        timeout: As in `predict`.

    Returns:
        Pairs of label and score for each example, in the model's order. Bytes of labels that are
        not UTF-8 are written as \\xff.

    Raises:
        ServingError: As `predict`; TypeError and ValueError: features that do not fit.
    """
    spec = settings.split.spec(model, version, label, key, signature)
    call = calls.classify(spec, examples, context)
    return (yield from _send(settings.split.routed(call, version, label), timeout))


def regress(
    settings: Settings,
    model: str,
    examples: Iterable[Mapping[str, Any]],
    *,
    context: Mapping[str, Any] | None = None,
    signature: str = "",
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Operation[np.ndarray]:
    """As `classify`, but returns a value for each example: float32 [examples]."""
    spec = settings.split.spec(model, version, label, key, signature)
    call = calls.regress(spec, examples, context)
    return (yield from _send(settings.split.routed(call, version, label), timeout))


def multi_inference(
    settings: Settings,
    model: str,
    examples: Iterable[Mapping[str, Any]],
    tasks: Mapping[str, Literal["classify", "regress"]],
    *,
    context: Mapping[str, Any] | None = None,
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Operation[dict[str, list[Classes] | np.ndarray]]:
    """As `classify` and `regress`, with several signatures at once.

    Args:
        tasks: By the key of a signature, whether it classifies or regresses.

    Returns:
        By signature what `classify` or `regress` returns.
    """
    spec = settings.split.spec(model, version, label, key)
    call = calls.multi_inference(spec, examples, tasks, context)
    return (yield from _send(settings.split.routed(call, version, label), timeout))


def metadata(
    settings: Settings,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Operation[dict[str, Signature]]:
    """Returns the signatures of a model by key.

    Raises:
        ServingError: As `predict`.
    """
    spec = settings.split.spec(model, version, label, key)
    return (yield from _send(settings.split.routed(calls.metadata(spec), version, label), timeout))


def version(
    settings: Settings,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    key: str | None = None,
    timeout: float | None = None,
) -> Operation[int]:
    """Returns the version that answers calls with these arguments.

    Raises:
        ServingError: As `predict`.
    """
    call = calls.version_of(settings.split.spec(model, version, label, key))
    return (yield from _send(settings.split.routed(call, version, label), timeout))


def status(
    settings: Settings,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    timeout: float | None = None,
) -> Operation[list[VersionStatus]]:
    """Returns the state of each version that the server knows, highest first.

    The request is sent once, however many attempts the client makes otherwise. TensorFlow Serving
    lists all versions whatever the label.

    Raises:
        ServingError: As `predict`.
    """
    spec = calls.model_spec(model, version, label or "")
    return (yield from _send(calls.status(spec), timeout))


def wait_until_ready(
    settings: Settings,
    model: str,
    *,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 60.0,
) -> Operation[int]:
    """Waits until a version is available, or a label is assigned, and returns its number.

    Without both, it waits for what calls will ask for: the client's label, or each of its labels
    (the number is then the first one's), or any version.

    Raises:
        ServingError: The last error, when `timeout` seconds have passed; at once if the version
            failed to load.
    """
    wait = Wait(timeout)
    ready: list[int] = []
    for spec in settings.split.specs(model, version, label):
        # A status contains no labels.
        call: Call[Any] = calls.version_of(spec) if spec.version_label else calls.status(spec)
        found = None
        while found is None:
            try:
                answer = yield Request(call, min(settings.timeout, wait.left()))
            except ServingError as error:
                wait.check_error(error)
            else:
                found = answer if isinstance(answer, int) else wait.available(spec, answer)
            if found is None:
                yield Pause(PAUSE)
        ready.append(found)
    return ready[0]


def reload(
    settings: Settings,
    models: Iterable[ModelConfig],
    *,
    metrics: Sequence[str] = (),
    timeout: float | None = None,
) -> Operation[dict[str, int]]:
    """Makes the server serve these models, and no others.

    Args:
        models: All models; one that is not among them is unloaded. A label may only be assigned
            to a version that is available already.
        metrics: Names of the server's metrics to watch meanwhile.
        timeout: Seconds to wait until the new models are available.

    Returns:
        By how much each metric grew.

    Raises:
        ServingError: As `predict`.
    """
    increases = yield from _send(calls.reload(models, metrics), timeout)
    settings.split.forget()
    return increases


def healthy(
    settings: Settings, service: str = "", *, timeout: float | None = None
) -> Operation[bool]:
    """Returns whether the server reports that it, or one of its services, is serving.

    A server that cannot be reached in time is not healthy.

    Raises:
        ServingError: The server does not have the service, or no health service.
    """
    try:
        return (yield from _send(calls.health(service), timeout))
    except ServingError as error:
        if error.code in calls.OUT_OF_REACH:
            return False
        raise


def _send(call: Call[Result], timeout: float | None) -> Operation[Result]:
    """Sends a call, and once more if its fallback changes the request."""
    try:
        return (yield Request(call, timeout))
    except ServingError as error:
        if call.fallback is None or not call.fallback(call.request, error):
            raise
    return (yield Request(call, timeout))
