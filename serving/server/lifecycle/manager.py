"""The model manager: polls base paths, loads and unloads versions, provides sessions.

Counterpart: tensorflow_serving/core/aspired_versions_manager.cc and basic_manager.cc.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import grpc

from serving.errors import ServingError
from serving.server import thread_pool
from serving.server.lifecycle import version_policy
from serving.server.lifecycle.file_system_source import aspired_versions
from serving.server.lifecycle.served_model import Lease, Served, Version, select_version
from serving.server.lifecycle.version_policy import Model, State
from serving.server.servables.base import Servable

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1
# Time between two checks of whether the caller of `reload` still waits.
_CHECK_SECONDS = 0.5


class Manager:
    """Keeps the aspired versions of each model available.

    One thread polls and decides; others load and unload; any thread may acquire a session. A
    version is unloaded when the requests that use it have ended.

    Args:
        models: The models to serve.
        load: Returns the session of the version in a folder, ready to answer.
        poll_seconds: Time between two polls of the base paths; 0 polls once, a negative number
            never.
        load_retries: Further attempts to load a version that failed.
        retry_seconds: Time between two attempts.
        load_threads: Versions loaded at the same time, each of another model.
        unload_threads: Versions unloaded at the same time.
        labels_for_unavailable: Whether a new label may name a version that is not available.
    """

    def __init__(
        self,
        models: Sequence[Model],
        load: Callable[[Path], Servable],
        *,
        poll_seconds: float = 1.0,
        load_retries: int = 5,
        retry_seconds: float = 60.0,
        load_threads: int = 1,
        unload_threads: int = 1,
        labels_for_unavailable: bool = False,
    ) -> None:
        self._served = {model.name: Served(model) for model in models}
        self._load = load
        self._poll_seconds = poll_seconds
        self._load_retries = load_retries
        self._retry_seconds = retry_seconds
        self._labels_for_unavailable = labels_for_unavailable
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._next_poll = 0.0 if poll_seconds >= 0 else float("inf")
        self._stopping = threading.Event()
        self._loaders = ThreadPoolExecutor(load_threads, thread_name_prefix="load")
        self._unloaders = ThreadPoolExecutor(unload_threads, thread_name_prefix="unload")
        # What these threads do, until it has ended.
        self._work: set[Future[None]] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._watch, name="manager", daemon=True)

    def start(self, *, check_labels: bool = True) -> None:
        """Starts to poll and returns when every model is available.

        Args:
            check_labels: Whether labels are rejected, as no version is available yet. False for a
                configuration that was in use before.

        Raises:
            ServingError: FAILED_PRECONDITION for a label; UNKNOWN if a model could not be loaded,
                while the others are served.
        """
        if check_labels:
            with self._lock:
                self._check_labels([served.model for served in self._served.values()], known={})
        self._thread.start()
        self._wait(list(self._served.values()), "servable(s)")

    def reload(
        self,
        models: Sequence[Model],
        timeout: float | None = None,
        is_active: Callable[[], bool] = lambda: True,
        *,
        check_labels: bool = True,
    ) -> None:
        """Serves these models from now on, and no others; waits until the new ones are available.

        Args:
            models: The models to serve.
            timeout: Seconds to wait; None for as long as it takes.
            is_active: Whether the caller still waits; called every half second.
            check_labels: As for `start`.

        Raises:
            ServingError: A label names a version that is not available, and nothing has
                changed; or a new model could not be loaded, or not in `timeout` seconds.
        """
        with self._changed:
            known = {name: s.model.labels for name, s in self._served.items() if s.listed}
            if check_labels:
                self._check_labels(models, known)
            listed = {model.name for model in models}
            for name, served in self._served.items():
                if served.listed and name not in listed:
                    served.listed = False
                    served.aspire({})
            for model in models:
                served = self._served.setdefault(model.name, Served(model))
                served.model, served.listed = model, True
            if self._poll_seconds >= 0:
                self._next_poll = 0.0
            self._changed.notify_all()
        new = [self._served[name] for name in listed.difference(known)]
        self._wait(new, "model(s)", timeout, is_active)

    def stop(self, seconds: float = 5.0) -> None:
        """Stops polling and frees every session.

        Args:
            seconds: Time after which it returns in any case. A load, a look at a file system, and
                the end of a session that is in use can hang, and cannot be interrupted.
        """
        deadline = time.monotonic() + seconds
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(seconds)
        self._loaders.shutdown(wait=False, cancel_futures=True)
        wait(list(self._work), max(0.0, deadline - time.monotonic()))
        with self._lock:
            self._ended = True
            for served in self._served.values():
                for version in served.versions.values():
                    if version.session:
                        session, version.session = version.session, None
                        self._submit(self._unloaders, self._close, served, session)
        self._unloaders.shutdown(wait=False)
        late = wait(list(self._work), max(0.0, deadline - time.monotonic())).not_done
        if late or self._thread.is_alive():
            log.warning("Some models could not be unloaded in time; they end with the process")

    def acquire(self, name: str, choice: int | str | None = None) -> Lease:
        """Returns a context that yields the number and session of an available version.

        The version stays loaded until the context ends. Entering the context raises ServingError:
        NOT_FOUND, or INVALID_ARGUMENT for an unknown label.

        Args:
            name: The model's name.
            choice: Its version, or a version's label; None takes the highest available version.
        """
        return Lease(self._lock, lambda: select_version(self._served.get(name), name, choice))

    def status(self, name: str, number: int | None = None) -> list[Version]:
        """Returns the versions that are or were served, highest first.

        Raises:
            ServingError: NOT_FOUND.
        """
        with self._lock:
            served = self._served.get(name)
            known = served.versions if served else {}
            if number is not None:
                known = {number: known[number]} if number in known else {}
            if not known:
                what = "any versions" if number is None else f"version {number}"
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND, f"Could not find {what} of model {name}"
                )
            return sorted(known.values(), key=lambda v: v.number, reverse=True)

    def models(self) -> list[Model]:
        """Returns the configured models."""
        with self._lock:
            return [served.model for served in self._served.values() if served.listed]

    def _check_labels(
        self, models: Sequence[Model], known: Mapping[str, Mapping[str, int]]
    ) -> None:
        """Raises FAILED_PRECONDITION if a label names a version that is not available."""
        for model in models:
            served = self._served.get(model.name)
            ready = served.ready() if served else []
            for label, number in model.labels.items():
                same = known.get(model.name, {}).get(label, number) == number
                if number not in ready and not (self._labels_for_unavailable and same):
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {number} of model {model.name}, "
                        "which is not currently available for inference",
                    )

    def _wait(
        self,
        models: Sequence[Served],
        what: str,
        timeout: float | None = None,
        is_active: Callable[[], bool] = lambda: True,
    ) -> None:
        """Waits until the models are settled; raises UNKNOWN if one is not available then."""
        deadline = float("inf") if timeout is None else time.monotonic() + timeout

        def settled() -> bool:
            return self._stopping.is_set() or all(
                served.settled() or not served.listed for served in models
            )

        with thread_pool.waiting(), self._changed:
            while not settled() and (left := deadline - time.monotonic()) > 0 and is_active():
                self._changed.wait(min(left, _CHECK_SECONDS))
            in_time = settled()
            failed = [
                f"{{{{name: {served.model.name} version: {version.number}}} "
                f"due to error: {version.error}}}"
                for served in models
                for version in served.versions.values()
                if version.error and not served.ready()
            ]
        if failed:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                f"{len(failed)} {what} did not become available: {{{', '.join(failed)}, }}",
            )
        if not in_time:
            raise ServingError(
                grpc.StatusCode.DEADLINE_EXCEEDED, "The models did not become available in time"
            )

    def _watch(self) -> None:
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= self._next_poll:
                pause = self._poll_seconds if self._poll_seconds > 0 else float("inf")
                self._next_poll = now + pause
                self._poll()
            with self._lock:
                known = list(self._served.values())
            for served in known:
                while not self._stopping.is_set() and self._step(served):
                    pass
            with self._changed:
                if not self._stopping.is_set() and time.monotonic() < self._next_poll:
                    self._changed.wait(_TICK_SECONDS)

    def _poll(self) -> None:
        """Reads every base path; if one cannot be read, all models stay as they are."""
        with self._lock:
            listed = [(s, s.model) for s in self._served.values() if s.listed]
        aspired = aspired_versions([model for _, model in listed])
        if aspired is None:
            return
        with self._changed:
            for (served, model), paths in zip(listed, aspired, strict=True):
                if served.listed and served.model is model:  # Not changed meanwhile.
                    served.aspire(paths)
            self._changed.notify_all()

    def _step(self, served: Served) -> bool:
        """Takes one step towards the aspired versions; returns whether there was one to take."""
        with self._lock:
            for version in served.versions.values():
                if version.state is State.UNLOADING and not version.requests and version.session:
                    session, version.session = version.session, None
                    self._submit(self._unloaders, self._unload, served, version, session)
            action = version_policy.next_action(served.states(), served.aspired)
            if action is None:
                return False
            version = served.versions[action.version]
            if action.kind == "unload":
                log.info("Unloading servable %s version %d", served.model.name, version.number)
                version.state = State.UNLOADING
                return True
            if time.monotonic() < version.retry_at:
                return False
            version.state = State.LOADING
        self._submit(self._loaders, self._try_load, served, version)
        return True

    def _submit(
        self, pool: ThreadPoolExecutor, function: Callable[..., None], *arguments: object
    ) -> None:
        work = pool.submit(function, *arguments)
        self._work.add(work)
        work.add_done_callback(self._work.discard)

    def _unload(self, served: Served, version: Version, session: Servable) -> None:
        self._close(served, session)
        with self._changed:
            served.unloaded(version)
            self._changed.notify_all()
        log.info("Unloaded servable %s version %d", served.model.name, version.number)

    @staticmethod
    def _close(served: Served, session: Servable) -> None:
        try:
            session.close()
        except Exception:  # The manager goes on with the other versions.
            log.exception("Closing a version of servable %s failed", served.model.name)

    def _try_load(self, served: Served, version: Version) -> None:
        name = served.model.name
        log.info("Loading servable %s version %d from %s", name, version.number, version.path)
        try:
            session = self._load(version.path)
        except Exception as exception:  # A damaged model may raise anything; the others go on.
            error = (
                exception
                if isinstance(exception, ServingError)
                else ServingError(grpc.StatusCode.INTERNAL, str(exception))
            )
            with self._changed:
                version.failed_loads += 1
                version.error = error
                if version.failed_loads > self._load_retries:
                    version.state = State.END
                else:
                    version.state = State.START
                    version.retry_at = time.monotonic() + self._retry_seconds
                self._changed.notify_all()
            log.error("Loading servable %s version %d failed: %s", name, version.number, error)
            return
        with self._changed:
            ended = self._ended
            if not ended:
                version.session, version.state, version.error = session, State.AVAILABLE, None
                self._changed.notify_all()
        if ended:  # `stop` has not waited for it.
            self._close(served, session)
        else:
            log.info("Successfully loaded servable %s version %d", name, version.number)
