"""Several workers that train one network: the chief writes the run, the others help.

All workers do what needs all of them, in the same order: connect, build, train. The chief loads the
data first, so that what it downloads or prepares in a shared folder is there for the others, and
these wait until it has evaluated, exported and registered.
"""

from __future__ import annotations

import gc
import pickle
import signal
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.config import Config
from pipelines.errors import TrainingError
from pipelines.progress import stage
from pipelines.training import strategies
from pipelines.training.checkpoints import Checkpoint, Checkpoints
from pipelines.training.cluster import Cluster, workers_of

T = TypeVar("T")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Silence:
    """A log of training that keeps nothing: the chief's has it all."""

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        """Drops the metrics of an epoch."""

    def samples(self, text: str, step: int) -> None:
        """Drops the text that the network generated after an epoch."""

    def history(
        self,
        history: Mapping[str, Sequence[float]],
        *,
        kept: int | None = None,
        better: Mapping[str, bool] | None = None,
    ) -> None:
        """Drops the learning curves."""

    def steps(self, values: Mapping[int, Mapping[str, float]]) -> None:
        """Drops the metrics of steps."""

    def diagnosis(self, patterns: Sequence[str], report: str, table: str) -> None:
        """Drops a diagnosis."""

    def figure(self, name: str, figure: Figure) -> None:
        """Drops a figure."""


def of(config: Config) -> Cluster:
    """Returns the workers that a config trains on; often this process alone."""
    return workers_of(config.strategy, config.devices)


def connect(config: Config) -> None:
    """Connects this worker with the others, for which it may have to wait.

    Raises:
        UserError: They cannot be reached.
    """
    cluster = of(config)
    if len(cluster.workers) == 1:
        strategies.strategy(config)
        return
    with stage("workers") as bar:
        # TensorFlow waits where Python handles no signals. There is nothing to close yet, and never
        # in a worker that is not the chief.
        handlers = {number: signal.signal(number, signal.SIG_DFL) for number in _SIGNALS}
        strategies.strategy(config)
        if cluster.is_chief:
            for number, handler in handlers.items():
                signal.signal(number, handler)
        bar.advance(f"{cluster}, at {cluster.workers[cluster.index]}")


@contextmanager
def together(config: Config) -> Iterator[None]:
    """Tells in one sentence if another worker ends while the body runs.

    Raises:
        TrainingError: Another worker has ended, so that training cannot go on.
    """
    cluster = of(config)
    try:
        yield
    except tf.errors.OpError as error:
        if len(cluster.workers) == 1 or not _lost(error):
            raise
        # Thread pools that TensorFlow leaves open in these frames would complain at Python's end.
        traceback.clear_frames(error.__traceback__)
        gc.collect()
        raise TrainingError(
            f"another worker has ended, and {cluster} cannot go on alone; start all workers "
            "again, with --resume latest to go on from the last checkpoint"
        ) from None


def meet(config: Config) -> None:
    """Returns when all workers are here."""
    share(config, None)


def share(config: Config, value: T) -> T:
    """Returns the chief's value, in all workers, when all are here."""
    if len(of(config).workers) == 1:
        return value
    content = np.frombuffer(pickle.dumps(value), np.uint8)
    size = int(_of_chief(config, np.array([len(content)], np.int32))[0])
    numbers = np.zeros(-(-size // 4), np.int32)
    if of(config).is_chief:
        numbers.view(np.uint8)[:size] = content
    return pickle.loads(_of_chief(config, numbers).tobytes())


def _of_chief(config: Config, numbers: np.ndarray) -> np.ndarray:
    """Returns the chief's numbers, int32 of a shape that is the same in all workers."""
    strategy = strategies.strategy(config)

    def of_first(numbers: tf.Tensor) -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        first = tf.cast(context.replica_id_in_sync_group == 0, tf.int32)
        return context.all_reduce("SUM", first * numbers)

    summed = tf.function(lambda numbers: strategy.run(of_first, (numbers,)))
    return strategy.experimental_local_results(summed(tf.constant(numbers)))[0].numpy()


class Shared(Checkpoints):
    """Checkpoints that the chief writes, and that all workers go on from."""

    def __init__(self, config: Config, own: Checkpoints | None = None) -> None:
        """Takes the chief's; the others have none."""
        super().__init__(own.folder if own else Path())
        self._config, self._own = config, own

    def write(self, checkpoint: Checkpoint) -> None:
        if self._own:
            self._own.write(checkpoint)

    def newest(self) -> Checkpoint | None:
        return share(self._config, self._own.newest() if self._own else None)


def shared(config: Config, own: Checkpoints | None = None) -> Checkpoints | None:
    """Returns checkpoints for a training of all workers: one alone has its own."""
    return own if len(of(config).workers) == 1 else Shared(config, own)


def _lost(error: Exception) -> bool:
    """Returns whether an error tells that another worker has ended."""
    kinds = tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError
    signs = "Collective", "heartbeat", "unhealthy", "Socket closed", "Connection refused"
    return isinstance(error, kinds) or any(sign in str(error) for sign in signs)
