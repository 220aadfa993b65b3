"""The model manager: watches base paths, loads and unloads versions, hands out sessions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import grpc

from serving.errors import ServingError
from serving.server import versions
from serving.server.runtime import Session
from serving.server.versions import State

log = logging.getLogger(__name__)

_TICK_SECONDS = 0.1


@dataclass(frozen=True)
class Model:
    """A model to serve: its name and the folder of its versions."""

    name: str
    base_path: Path


@dataclass
class Version:
    """What the manager knows of one version of one model."""

    number: int
    path: Path
    state: State = State.START
    error: ServingError | None = None
    session: Session | None = None
    requests: int = 0
    failed_loads: int = 0
    retry_at: float = 0.0


@dataclass
class _Served:
    """A model with its versions and those that should be served."""

    model: Model
    aspired: set[int] = field(default_factory=set)
    versions: dict[int, Version] = field(default_factory=dict)

    def states(self) -> dict[int, State]:
        return {number: version.state for number, version in self.versions.items()}


class Manager:
    """Keeps the newest version of each model available.

    One thread watches, loads and unloads; requests take sessions from any thread. A version is
    unloaded when the requests that use it have ended.

    Args:
        models: What to serve.
        load: From a version's folder to a session that is ready to answer.
        poll_seconds: Time between two looks at the base paths; 0 looks once.
        load_retries: Further attempts to load a version that failed.
        retry_seconds: Time between two attempts.
    """

    def __init__(
        self,
        models: Sequence[Model],
        load: Callable[[Path], Session],
        *,
        poll_seconds: float = 1.0,
        load_retries: int = 5,
        retry_seconds: float = 60.0,
    ) -> None:
        self._served = {model.name: _Served(model) for model in models}
        self._load = load
        self._poll_seconds = poll_seconds
        self._load_retries = load_retries
        self._retry_seconds = retry_seconds
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="manager", daemon=True)

    def start(self) -> None:
        """Starts to watch and returns when every model is available.

        Raises:
            ServingError: A model's newest version could not be loaded.
        """
        self._thread.start()
        with self._changed:
            self._changed.wait_for(
                lambda: (
                    self._stopping.is_set()
                    or all(self._settled(served) for served in self._served.values())
                )
            )
            failed = [
                f"{{{{name: {name} version: {version.number}}} due to error: {version.error}}}"
                for name, served in self._served.items()
                for version in served.versions.values()
                if version.error and not self._ready(served)
            ]
        if failed:
            raise ServingError(
                grpc.StatusCode.UNKNOWN,
                f"{len(failed)} servable(s) did not become available: {{{', '.join(failed)}, }}",
            )

    def stop(self) -> None:
        """Stops watching and frees every session."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()
        for served in self._served.values():
            for version in served.versions.values():
                if version.session:
                    self._close(served, version.session)

    @contextmanager
    def acquire(self, name: str, number: int | None = None) -> Iterator[tuple[int, Session]]:
        """Yields an available version's number and session, kept until the body ends.

        Args:
            name: The model's name.
            number: Its version; None takes the highest available one.

        Raises:
            ServingError: NOT_FOUND.
        """
        with self._lock:
            served = self._served.get(name)
            ready = self._ready(served) if served else []
            if number is None and ready:
                number = max(ready)
            if served is None or number not in ready:
                request = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise ServingError(
                    grpc.StatusCode.NOT_FOUND, f"Servable not found for request: {request}"
                )
            version = served.versions[number]
            version.requests += 1
        try:
            assert version.session is not None
            yield version.number, version.session
        finally:
            with self._lock:
                version.requests -= 1

    def status(self, name: str, number: int | None = None) -> list[Version]:
        """Returns the versions that the server knows or knew, highest first.

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

    @staticmethod
    def _ready(served: _Served) -> list[int]:
        return [n for n, version in served.versions.items() if version.state is State.AVAILABLE]

    @staticmethod
    def _settled(served: _Served) -> bool:
        """Whether all aspired versions are available or have failed for good."""
        states = [served.versions[number].state for number in served.aspired]
        return bool(states) and all(s in (State.AVAILABLE, State.END) for s in states)

    def _watch(self) -> None:
        next_poll = 0.0
        while not self._stopping.is_set():
            now = time.monotonic()
            if now >= next_poll:
                self._poll()
                next_poll = now + self._poll_seconds if self._poll_seconds > 0 else float("inf")
            for served in self._served.values():
                while not self._stopping.is_set() and self._step(served):
                    pass
            self._stopping.wait(_TICK_SECONDS)

    def _poll(self) -> None:
        """Looks at every base path; one that cannot be read leaves all models as they are."""
        aspired: dict[str, dict[int, Path]] = {}
        for name, served in self._served.items():
            base = served.model.base_path
            try:
                children = versions.found(child.name for child in base.iterdir())
            except OSError:
                log.error("Could not find base path %s for servable %s", base, name)
                return
            if not children:
                log.warning(
                    "No versions of servable %s found under base path %s. Did you forget to name "
                    "your leaf directory as a number (eg. '/1/')?",
                    name,
                    base,
                )
            aspired[name] = {n: base / children[n] for n in versions.latest(children)}
        with self._changed:
            for name, paths in aspired.items():
                served = self._served[name]
                for number, path in paths.items():
                    known = served.versions.get(number)
                    # Unloaded, and back again; a failed one is back only if it was gone.
                    again = (
                        known
                        and known.state is State.END
                        and (known.error is None or number not in served.aspired)
                    )
                    if known is None or again:
                        served.versions[number] = Version(number, path)
                for number, version in served.versions.items():
                    if version.state is State.START and number not in paths:
                        version.state = State.END
                served.aspired = set(paths)
            self._changed.notify_all()

    def _step(self, served: _Served) -> bool:
        """Takes one step towards the aspired versions and returns whether it took one."""
        self._unload_idle(served)
        with self._lock:
            action = versions.next_action(served.states(), served.aspired)
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
        self._try_load(served, version)
        return True

    def _unload_idle(self, served: _Served) -> None:
        """Frees the sessions that no request uses any more."""
        with self._lock:
            idle = [
                version
                for version in served.versions.values()
                if version.state is State.UNLOADING and not version.requests
            ]
        for version in idle:  # Nobody can take an unloading version: no lock is needed.
            assert version.session is not None
            self._close(served, version.session)
            version.session = None
            with self._lock:
                version.state = State.END
            log.info("Unloaded servable %s version %d", served.model.name, version.number)

    @staticmethod
    def _close(served: _Served, session: Session) -> None:
        try:
            session.close()
        except Exception:  # Watching and the other versions go on all the same.
            log.exception("Closing a version of servable %s failed", served.model.name)

    def _try_load(self, served: _Served, version: Version) -> None:
        name = served.model.name
        log.info("Loading servable %s version %d from %s", name, version.number, version.path)
        try:
            session = self._load(version.path)
        except Exception as exception:  # Whatever a damaged model raises, the others go on.
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
            version.session, version.state, version.error = session, State.AVAILABLE, None
            self._changed.notify_all()
        log.info("Successfully loaded servable %s version %d", name, version.number)
