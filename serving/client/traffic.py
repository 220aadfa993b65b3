"""Version labels of requests: traffic split by weight, and labels that a server lacks."""

from __future__ import annotations

import hashlib
import math
import random
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from serving.client import calls
from serving.client.calls import Call, Result
from serving.errors import ServingError

STABLE = "stable"
UNKNOWN_SECONDS = 10.0
_UNRECOGNIZED = "Unrecognized servable version label: "


class Split:
    """Distributes requests over version labels.

    A request with a key always gets the same label, as long as labels, order and seed stay; when
    a weight grows, only the keys that change sides move. The labels of requests without a key are a
    random sequence that the seed determines.

    Args:
        weights: Weight of each label, in any unit; empty asks for no label.
        seed: Seed of the random choice, and of the label of a key.
        by_default: Whether the labels are a default, which a server need not know.

    Raises:
        ValueError: A weight is negative or not finite, or none is positive.
    """

    def __init__(
        self, weights: Mapping[str, float], *, seed: int = 0, by_default: bool = False
    ) -> None:
        if not all(math.isfinite(weight) and weight >= 0 for weight in weights.values()):
            raise ValueError(f"weights of labels must be finite and not negative: {dict(weights)}")
        self._weights = {label: weight for label, weight in weights.items() if weight > 0}
        if weights and not self._weights:
            raise ValueError(f"at least one weight must be positive: {dict(weights)}")
        self._seed = seed
        self._random = random.Random(seed)
        self._by_default = by_default
        self._unknown: dict[tuple[str, str], float] = {}

    @classmethod
    def of(cls, label: str | None, labels: Mapping[str, float] | None, seed: int) -> Split:
        """Returns the split of a client's arguments `label` or `labels`.

        Without both it is `stable`, by default; an empty label is none.

        Raises:
            ValueError: Both are set, or the weights are invalid.
        """
        if label and labels:
            raise ValueError(f"a client has a label or weights of labels, not {label!r} and those")
        if label is None and labels is None:
            return cls({STABLE: 1}, seed=seed, by_default=True)
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
        return label  # Rounding.

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
            if time.monotonic() < self._unknown.get((model, label), 0.0):
                label = self._replacement(label)
        return calls.model_spec(model, version, label or "", signature)

    def specs(self, model: str, version: int | None, label: str | None) -> list[Any]:
        """Returns the ModelSpecs to wait for before requests with these arguments are sent."""
        own = version is None and label is None and not self._by_default
        labels = self.labels if own else [label or ""]
        return [calls.model_spec(model, version, name) for name in labels]

    def routed(self, call: Call[Result], version: int | None, label: str | None) -> Call[Result]:
        """Returns the call with a fallback, if its label was chosen here and not by the caller."""
        return replace(call, fallback=self.fallback) if version is None and label is None else call

    def fallback(self, request: Any, error: ServingError) -> bool:
        """Replaces the label of a request, if the server does not know the one chosen for it.

        The label counts as unknown for `UNKNOWN_SECONDS`.

        Args:
            request: The message that was sent; it is changed.
            error: The server's error.

        Returns:
            Whether the request has changed and may be sent again.
        """
        specs = calls.specs_of(request)
        if not specs or error.message != f"{_UNRECOGNIZED}{specs[0].version_label}":
            return False
        model, label = specs[0].name, specs[0].version_label
        replacement = self._replacement(label)
        if replacement is None:
            return False
        self._unknown[model, label] = time.monotonic() + UNKNOWN_SECONDS
        for spec in specs:
            spec.ClearField("version_label")
            spec.version_label = replacement
        return True

    def forget(self) -> None:
        """Forgets which labels a server does not know, since its labels have changed."""
        self._unknown.clear()

    def _replacement(self, label: str) -> str | None:
        """Returns the label that takes the requests of one that a server does not know."""
        if self._by_default:
            return ""
        return STABLE if label != STABLE and STABLE in self._weights else None


def _fraction(text: str) -> float:
    """Returns a number in [0, 1) that depends on the text alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2**48
