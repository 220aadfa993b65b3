"""The gate of the model registry: which alias a version gets, by validation alone."""

from __future__ import annotations

from typing import Literal

Alias = Literal["champion", "challenger", ""]
CHAMPION: Alias = "champion"
CHALLENGER: Alias = "challenger"


def gate(
    metric: str,
    value: float,
    baseline: float,
    *,
    champion_value: float | None,
    champion_version: int | None,
    same_data: bool,
    difference: tuple[float, float] | None = None,
    greater_is_better: bool = True,
    deviation: float | None = None,
    seeds: int = 1,
) -> tuple[Alias, str]:
    """Decides a candidate's alias from validation metrics.

    A tie with the champion does not replace it. Differences below a millionth are ignored, as
    networks compute in float32.

    Args:
        metric: Name of the metric.
        value: The candidate's value.
        baseline: The baseline's.
        champion_value: The champion's; None if it is not known.
        champion_version: The champion's version; None if there is none.
        same_data: Whether the champion was measured on the same data.
        difference: 95 % interval of the candidate's value less the champion's. If it contains 0,
            they tie. None: only equal values do.
        greater_is_better: Whether a higher value is better.
        deviation: The value's standard deviation over seeds, where it is a mean.
        seeds: The number of seeds.

    Returns:
        The alias and the comparison in one sentence.
    """
    sign = 1 if greater_is_better else -1
    own = f"validation {metric} {value:.4f}"
    if deviation is not None:
        own += f" ± {deviation:.4f} (mean of {seeds} seeds)"
    if not sign * round(value, 6) > sign * round(baseline, 6):
        return "", f"no alias: {own} does not beat the baseline's {baseline:.4f}"
    beats = f"{own} beats the baseline's {baseline:.4f}"
    if champion_version is None:
        return CHAMPION, f"champion: {beats}, and there was no champion yet"
    if not same_data or champion_value is None:
        return CHALLENGER, (
            f"challenger: {beats}; champion version {champion_version} was measured on other "
            "data, so the two do not compare"
        )
    gain = round(value - champion_value, 6) + 0.0  # Without the sign of -0.0.
    low, high = (gain, gain) if difference is None else (round(end, 6) for end in difference)
    against = f"{champion_value:.4f} of champion version {champion_version}"
    if difference is not None:
        against += f" (difference {gain:+.4f}, 95 % interval {low:+.4f} … {high:+.4f})"
    if min(sign * gain, sign * low, sign * high) > 0:
        return CHAMPION, f"champion: {beats} and the {against}"
    if max(sign * gain, sign * low, sign * high) < 0:
        return CHALLENGER, f"challenger: {beats} but not the {against}"
    return CHALLENGER, f"challenger: {beats} and ties with the {against}"
