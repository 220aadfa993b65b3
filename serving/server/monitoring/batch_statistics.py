"""How a request went through a queue for batches."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """What a request knows of its batches.

    Attributes:
        rows: How many rows it brought.
        inputs: How many tensors it fed.
        batch_size: Rows of the largest batch that any of them was in, padding included.
        queue_seconds: Until the first of its batches began.
        runtime_seconds: What its batches took, together.
        batches: Size and padding of each batch whose first row was its own; so each batch is
            told once.
    """

    rows: int
    inputs: int
    batch_size: int
    queue_seconds: float
    runtime_seconds: float
    batches: tuple[tuple[int, int], ...]
