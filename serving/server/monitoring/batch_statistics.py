"""The statistics of a batched request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BatchStatistics:
    """The size and times of a request's batches.

    Attributes:
        rows: Number of its rows.
        inputs: Number of the tensors that it feeds.
        batch_size: Rows of its largest batch, including padding.
        queue_seconds: Time until its first batch started.
        runtime_seconds: Total time of its batches.
        batches: Size and padding of each batch whose first row is one of its rows; so each batch
            is counted once.
    """

    rows: int
    inputs: int
    batch_size: int
    queue_seconds: float
    runtime_seconds: float
    batches: tuple[tuple[int, int], ...]
