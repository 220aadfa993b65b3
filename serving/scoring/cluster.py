"""The engine of clusters: shards are scored by a pool of Ray Data's actors.

Each actor holds the model. All nodes need this package and a file system that they share, with the
input, the output and the model at the same paths. The shard of an actor that is lost with its node
goes to another one, which writes the same part again.
"""

from __future__ import annotations

import logging
import os
import pickle
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serving.errors import RolloutError, ServingError, UserError
from serving.scoring import worker
from serving.scoring.formats.rows import Shard
from serving.scoring.shard import Done, Job, score

_ERROR = re.compile(r"[\w.]*(Error|Exception|Died)\w*\b")


def run(
    job: Job,
    shards: Sequence[Shard],
    actors: int | None,
    gpus: float,
    advance: Callable[[int], object],
) -> Iterator[Done]:
    """Yields shards as they are done, on the cluster of RAY_ADDRESS, or a new one of this machine.

    Args:
        job: What to do.
        shards: The shards.
        actors: Number of actors; None for one on each processor, or on each share of a GPU.
        gpus: GPUs of an actor.
        advance: Called with the number of rows that are done since the last call.

    Raises:
        RolloutError: The cluster cannot be reached, or the model cannot be loaded or run.
        UserError: Ray is not installed, it has too few GPUs, or a file cannot be read.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UserError(
            "Ray is not installed; install this package with its extra: pip install "
            "'keras-foundry[ray]'"
        ) from error
    running = ray.is_initialized()
    try:
        if not running:
            ray.init(log_to_driver=False, logging_level="ERROR")
        there = ray.cluster_resources()
        room = there.get("GPU", 0) // gpus if gpus else there.get("CPU", 1)
        if room < 1:
            raise UserError(
                f"the cluster has {there.get('GPU', 0):g} GPUs, too few for --gpus {gpus:g}"
            )
        size = min(actors or int(room), len(shards))
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        answers = ray.data.from_items(
            [{"shard": pickle.dumps(shard)} for shard in shards], override_num_blocks=len(shards)
        ).map_batches(
            _Scorer,
            fn_constructor_args=(job, os.getcwd()),
            batch_size=1,
            compute=ray.data.ActorPoolStrategy(size=size),
            num_cpus=0 if gpus else 1,
            num_gpus=gpus or None,
        )
        for answer in answers.iter_rows():
            if answer["error"]:
                raise (UserError if answer["of_user"] else RolloutError)(answer["error"])
            done = Done(answer["number"], answer["rows"], answer["rejected"])
            advance(done.rows + done.rejected)
            yield done
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise RolloutError(
            f"the cluster failed: {_said(error)}; the same command goes on"
        ) from error
    finally:
        if not running:
            ray.shutdown()


def _said(error: Exception) -> str:
    """Returns the line of an error that says what went wrong, out of Ray's traces and advice."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return next((line for line in lines if _ERROR.match(line)), lines[0])


class _Scorer:
    """An actor."""

    def __init__(self, job: Job, folder: str) -> None:
        self._job, self._folder = job, folder
        worker.set_environment(1)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Scores the shard that a batch holds."""
        answer = {"number": 0, "rows": 0, "rejected": 0, "error": "", "of_user": False}
        try:
            os.chdir(self._folder)  # Paths may be relative to it.
            shard = pickle.loads(batch["shard"][0])
            done = score(self._job, shard, worker.load(self._job.model))
            answer |= {"number": done.number, "rows": done.rows, "rejected": done.rejected}
        except UserError as error:
            answer |= {"error": str(error), "of_user": True}
        except ServingError as error:
            answer |= {"error": error.message}
        except OSError as error:
            answer |= {"error": f"a node of the cluster does not share the files: {error}"}
        return {name: [value] for name, value in answer.items()}
