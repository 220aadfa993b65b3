"""The workers of a training on several machines, as TF_CONFIG names them.

It is what TensorFlow itself reads: {"cluster": {"worker": ["HOST:PORT", …]}, "task": {"type":
"worker", "index": 0}}, the same list for all workers, and each worker's own index.
"""

from __future__ import annotations

import json
import os
import re
import socket
from dataclasses import dataclass
from typing import Any

from pipelines.errors import UserError

VARIABLE = "TF_CONFIG"
_JOBS = ("chief", "worker")
_ADDRESS = re.compile(r"\[?[\w.:-]+\]?:(\d{1,5})")


@dataclass(frozen=True)
class Cluster:
    """The workers that train together.

    Attributes:
        workers: Their addresses, as "HOST:PORT", the chief's first.
        index: This worker's place among them.
    """

    workers: tuple[str, ...] = ("localhost:0",)
    index: int = 0

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the run; the others only train."""
        return self.index == 0

    def __str__(self) -> str:
        return f"worker {self.index} of {len(self.workers)}"


def cluster() -> Cluster:
    """Returns the workers that TF_CONFIG names; this process alone if it names none.

    Raises:
        UserError: It is not what TensorFlow expects.
    """
    text = os.environ.get(VARIABLE, "")
    if not text.strip():
        return Cluster()
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UserError(f"{VARIABLE} must be JSON, not {_short(text)}: {error}") from error
    jobs, task = (_mapping(config, key) for key in ("cluster", "task"))
    if not jobs:
        return Cluster()
    if unknown := sorted(jobs.keys() - set(_JOBS)):
        raise UserError(
            f"{VARIABLE}'s cluster must have the jobs {' and '.join(_JOBS)}, not {unknown[0]!r}: "
            "a pipeline has no parameter servers and no evaluators"
        )
    workers = [(job, index, address) for job in _JOBS for index, address in _addresses(jobs, job)]
    kind, index = task.get("type"), task.get("index")
    places = [(job, number) for job, number, _ in workers]
    own = [place for place, task_of in enumerate(places) if task_of == (kind, index)]
    if not own or isinstance(index, bool):
        known = ", ".join(f"{job} {number}" for job, number in places)
        raise UserError(
            f"{VARIABLE}'s task must be one of its cluster ({known}), as "
            f'{{"type": "worker", "index": 0}}, not {json.dumps(task)}'
        )
    addresses = [address for _, _, address in workers]
    if twice := [address for address in addresses if addresses.count(address) > 1]:
        raise UserError(f"{VARIABLE} names the address {twice[0]} twice; each worker has its own")
    return Cluster(tuple(addresses), own[0])


def workers_of(strategy: str, devices: int = 0) -> Cluster:
    """Returns the workers that a choice of --strategy and --devices trains on.

    Raises:
        UserError: TF_CONFIG cannot be used, or does not go with the choice.
    """
    if strategy not in ("auto", "multi_worker"):
        if strategy == "one" and devices > 1:
            raise UserError(f"--strategy one trains on one device, but --devices is {devices}")
        return Cluster()
    found = cluster()
    if len(found.workers) < 2 and strategy == "multi_worker":
        raise UserError(
            f"--strategy multi_worker needs {VARIABLE} to name several workers; docs/scaling.md "
            "has an example"
        )
    if len(found.workers) > 1 and devices:
        raise UserError(
            "--devices does not go with several workers, which use all their GPUs; "
            "CUDA_VISIBLE_DEVICES limits them"
        )
    return found


def check_address(cluster: Cluster) -> None:
    """Raises `UserError` if something else listens at this worker's port."""
    address = cluster.workers[cluster.index]
    port = int(address.rpartition(":")[2])
    try:
        with socket.socket(socket.AF_INET6 if socket.has_ipv6 else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("", port))
    except OSError as error:
        raise UserError(
            f"{VARIABLE} gives {cluster} the address {address}, but its port cannot be used here: "
            f"{error.strerror}"
        ) from error


def _mapping(config: Any, key: str) -> dict[str, Any]:
    value = config.get(key, {}) if isinstance(config, dict) else None
    if not isinstance(value, dict):
        raise UserError(f'{VARIABLE} must be {{"cluster": {{…}}, "task": {{…}}}}, not {config!r}')
    return value


def _addresses(jobs: dict[str, Any], job: str) -> list[tuple[int, str]]:
    addresses = jobs.get(job, [])
    if not isinstance(addresses, list) or not all(map(_is_address, addresses)):
        raise UserError(
            f"{VARIABLE}'s cluster must list each {job} as HOST:PORT, not {_short(str(addresses))}"
        )
    return list(enumerate(addresses))


def _is_address(value: Any) -> bool:
    match = _ADDRESS.fullmatch(value) if isinstance(value, str) else None
    return match is not None and 0 < int(match[1]) < 2**16


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}…")
