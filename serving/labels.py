"""Which version label a request asks for: traffic split by weight."""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Mapping
from typing import Any

from serving import requests


class Split:
    """Shares requests out between version labels.

    A request with a key always gets the same label, as long as labels, order and seed stay; when
    a weight grows, only the keys that change sides move. Requests without a key are drawn from a
    sequence that the seed determines.

    Args:
        weights: Weight of each label, in any unit; empty asks for no label.
        seed: Of the draws, and of what keys mean.

    Raises:
        ValueError: A weight is negative or not finite, or none is positive.
    """

    def __init__(self, weights: Mapping[str, float], *, seed: int = 0) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()):
            raise ValueError(f"weights of labels must be finite and not negative: {dict(weights)}")
        self._weights = {label: weight for label, weight in weights.items() if weight > 0}
        if weights and not self._weights:
            raise ValueError(f"one weight at least must be positive: {dict(weights)}")
        self._seed = seed
        self._random = random.Random(seed)

    @classmethod
    def of(cls, label: str, labels: Mapping[str, float] | None, seed: int) -> Split:
        """Returns the split of a client's arguments, of which `label` or `labels` is given.

        Raises:
            ValueError: Both are, or weights are none.
        """
        if label and labels:
            raise ValueError(f"a client has a label or weights of labels, not {label!r} and those")
        return cls(labels or ({label: 1} if label else {}), seed=seed)

    @property
    def labels(self) -> list[str]:
        """The labels that requests may get; one that is empty if they get none."""
        return list(self._weights) or [""]

    def choose(self, key: str | None = None) -> str:
        """Returns the label of a request; empty if there is none to choose from."""
        if not self._weights:
            return ""
        point = self._random.random() if key is None else _fraction(f"{self._seed}:{key}")
        point *= sum(self._weights.values())
        for label, weight in self._weights.items():
            point -= weight
            if point < 0:
                return label
        return label  # What rounding left over.

    def spec(
        self,
        model: str,
        version: int | None,
        label: str | None,
        key: str | None,
        signature: str = "",
    ) -> Any:
        """Returns the ModelSpec of a request: its own version or label, or a label chosen here.

        Raises:
            ValueError: A version and a label.
        """
        if version is None and label is None:
            label = self.choose(key)
        return requests.model_spec(model, version, label or "", signature)

    def specs(self, model: str, version: int | None, label: str | None) -> list[Any]:
        """Returns the ModelSpecs that requests with these arguments may get."""
        labels = self.labels if version is None and label is None else [label or ""]
        return [requests.model_spec(model, version, name) for name in labels]


def _fraction(text: str) -> float:
    """Returns a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
