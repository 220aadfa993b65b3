"""What a rollout changes: the files of a model repository and the servers that serve it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from serving.client import TLS, Client
from serving.client.traffic import STABLE
from serving.errors import RolloutError, ServingError
from serving.rollout import model_repository, models_config, servers
from serving.rollout.model_repository import Repository
from serving.rollout.models_config import Entry

WAIT = 120.0


@dataclass(frozen=True)
class RolloutTarget:
    """A model repository and its running servers.

    Attributes:
        repository: The model repository.
        address: Servers to notify: HOST:PORT, several by commas; None for the default address, if
            the server there serves this repository.
        wait: Seconds that a server may take for a version.
        tls: Encryption of the connections.
        servers: Open connections to the servers; see `connected`.
    """

    repository: Repository
    address: str | None = None
    wait: float = WAIT
    tls: TLS | None = None
    servers: Sequence[Client] = ()

    @contextlib.contextmanager
    def connected(self) -> Iterator[RolloutTarget]:
        """Yields the target with connections to its running servers.

        Raises:
            UserError: `models.config` cannot be read.
            ServingError: UNAVAILABLE, nothing answers at an address that was given.
        """
        known = models_config.names(self.repository.config())
        with servers.connect(self.address, known, self.tls) as clients:
            yield replace(self, servers=clients)

    def apply(
        self,
        name: str,
        after: Entry,
        history: Sequence[int] | None = None,
        *,
        fresh: int | None = None,
    ) -> None:
        """Changes what is served of a model, step by step; undoes it if a server refuses.

        Without servers, only the files change: a server that starts later reads their final state.

        Args:
            name: Served name.
            after: What to serve.
            history: Versions that were stable, oldest first, from now on; None extends the history
                by the version that becomes stable.
            fresh: A version whose files came with this rollout; if it fails, they are removed.

        Raises:
            ServingError: A server refuses a step.
            RolloutError: A file cannot be written.
        """
        files = self.repository
        original = files.config()
        before = models_config.entry(original, name)
        base_path = str((files.path / name).absolute())
        old_history = files.history(name)
        current, new = before.labels.get(STABLE), after.labels.get(STABLE)
        # Servers are notified of all steps, even of those that the file contains already: a rollout
        # that was killed may have written the file without notifying them.
        steps = models_config.steps(before, after) if self.servers else [after]
        number = 0
        try:
            if history is None:
                history = (
                    model_repository.since(old_history, current, new)
                    if new is not None
                    else old_history
                )
                # Before the label moves, so that no label moves without its history. Until it has
                # moved, the version before the last one of the history is the stable one.
                self._write_history(name, history)
            for number, step in enumerate(steps):
                config = models_config.changed(original, name, base_path, step)
                files.write_config(config)
                for server in self.servers:
                    sent = config
                    if number == 0:  # Labels that the server assigns otherwise cannot move yet.
                        own = servers.labels(server, name, {*before.labels, *after.labels})
                        versions = step.versions.union(own.values())
                        entry = Entry(versions, own)
                        sent = models_config.changed(original, name, base_path, entry)
                    servers.notify(server, sent, name, step.versions, self.wait)
        except (ServingError, OSError, KeyboardInterrupt) as error:
            with contextlib.suppress(OSError):
                files.write_config(original)
                self._write_history(name, old_history)
            if number == 0:
                # No label has moved. TensorFlow Serving ends its attempts to load a version, and
                # with them a reload that waits for it, only when its files are gone.
                self._remove(name, fresh)
            for server in self.servers:
                with contextlib.suppress(ServingError):
                    servers.notify(server, original, name, (), self.wait)
            self._remove(name, fresh)
            if isinstance(error, OSError):
                raise RolloutError(f"{files.path} cannot be written: {error}") from error
            raise
        # A history is shortened last: until the label has moved, its end is needed. What follows
        # the stable version in it is ignored, so it may also stay.
        with contextlib.suppress(OSError):
            self._write_history(name, history)

    def wait_until_unloaded(self, name: str, versions: Collection[int]) -> list[int]:
        """Waits until the servers have unloaded versions that are not to be served any more.

        Returns:
            The versions that a server still has after `wait` seconds, for example because requests
            are still running. It unloads them when these have ended.
        """
        loaded = set()
        for server in self.servers:
            try:
                servers.wait_until_ended(server, name, versions, self.wait)
            except ServingError:
                states = {entry.version: entry.state for entry in servers.states(server, name)}
                loaded |= {number for number in versions if states.get(number, "END") != "END"}
        return sorted(loaded)

    def _remove(self, name: str, version: int | None) -> None:
        if version is not None and self.repository.version(name, version).exists():
            with contextlib.suppress(OSError):
                self.repository.remove(name, version)
                self.repository.write_history(name, self.repository.history(name))

    def _write_history(self, name: str, history: Sequence[int]) -> None:
        if list(history) != self.repository.history(name):
            self.repository.write_history(name, history)
