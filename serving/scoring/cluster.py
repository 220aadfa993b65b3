"""The engine of clusters: shards are scored by a pool of Ray Data's actors.

Each actor holds the model. All nodes need this package and a file system that they share, with the
input, the output and the model at the same paths. The shard of an actor that is lost with its node
goes to another one, which writes the same part again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from serving.errors import RolloutError, ServingError, UserError
from serving.scoring import worker
from serving.scoring.formats.rows import Shard
from serving.scoring.shard import Done, Job, score


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
        answers = ray.data.from_items(
            [{"place": place} for place in range(len(shards))], override_num_blocks=len(shards)
        ).map_batches(
            _Scorer,
            fn_constructor_args=(job, shards, os.getcwd()),
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
        said = str(error).strip().rpartition("\n")[2]
        raise RolloutError(f"the cluster failed: {said}; the same command goes on") from error
    finally:
        if not running:
            ray.shutdown()


class _Scorer:
    """An actor."""

    def __init__(self, job: Job, shards: Sequence[Shard], folder: str) -> None:
        self._job, self._shards, self._folder = job, shards, folder
        worker.set_environment(1)

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[Any]]:
        """Scores the shard whose place a batch holds."""
        answer = {"number": 0, "rows": 0, "rejected": 0, "error": "", "of_user": False}
        try:
            os.chdir(self._folder)  # Paths may be relative to it.
            done = score(
                self._job, self._shards[int(batch["place"][0])], worker.load(self._job.model)
            )
            answer |= {"number": done.number, "rows": done.rows, "rejected": done.rejected}
        except UserError as error:
            answer |= {"error": str(error), "of_user": True}
        except ServingError as error:
            answer |= {"error": error.message}
        except OSError as error:
            answer |= {"error": f"a node of the cluster does not share the files: {error}"}
        return {name: [value] for name, value in answer.items()}
