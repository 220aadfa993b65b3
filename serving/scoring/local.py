"""The local engine: shards are scored by processes of this machine."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from serving.errors import RolloutError
from serving.scoring import worker
from serving.scoring.formats.rows import Shard
from serving.scoring.shard import Done, Job

_PAUSE = 0.2
# Shards that wait in the queue for each process.
_AHEAD = 2


def run(
    job: Job, shards: Sequence[Shard], processes: int | None, advance: Callable[[int], object]
) -> Iterator[Done]:
    """Yields shards as they are done.

    Args:
        job: What to do.
        shards: The shards.
        processes: Number of processes, each of which loads the model; None for one for two
            processors.
        advance: Called with the number of rows that are done since the last call.

    Raises:
        RolloutError: A process has ended by itself.
        ServingError: The model cannot be loaded or run.
        UserError: A file cannot be read.
    """
    processors = os.cpu_count() or 1
    processes = min(processes or max(1, processors // 2), len(shards))
    context = multiprocessing.get_context("spawn")
    counter = context.Value("q", 0)
    threads = max(1, processors // processes)
    arguments = (counter, threads, job.output.log)
    pool = ProcessPoolExecutor(processes, context, worker.set_up, arguments)
    done = 0
    waiting = iter(shards)
    pending: dict[Future[Done], Shard] = {}
    try:
        while True:
            for shard in islice(waiting, processes * _AHEAD - len(pending)):
                pending[pool.submit(worker.run, job, shard)] = shard
            if not pending:
                break
            ended, _ = wait(pending, timeout=_PAUSE, return_when=FIRST_COMPLETED)
            advance(counter.value - done)
            done = counter.value
            for future in ended:
                shard = pending.pop(future)
                yield future.result()
    except BrokenProcessPool as error:
        raise RolloutError(
            f"a process ended by itself near row {shard.start} of {shard.path}, perhaps for lack "
            "of memory: try a smaller --batch_size or fewer --processes; the same command goes on, "
            f"and {job.output.log} has what TensorFlow said"
        ) from error
    except BaseException:
        for child in multiprocessing.active_children():
            with contextlib.suppress(OSError):
                child.kill()
        raise
    finally:
        pool.shutdown(cancel_futures=True)
