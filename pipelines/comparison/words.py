"""Numbers and names as a comparison shows them, on the console and in the report."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from pipelines.comparison.comparison import ComparedRun, Difference

MISSING = "–"
# Characters of a commit.
_COMMIT = 10


def number(value: float | None) -> str:
    """Returns a score with four decimals; two digits where it is tiny, four where it is large."""
    if value is None:
        return MISSING
    if value and abs(value) < 1e-3:
        return f"{value:.2g}"
    return f"{value:.4f}" if abs(value) < 1e5 else f"{value:.4g}"


def signed(value: float) -> str:
    """Returns a difference with its sign."""
    return f"+{number(value)}" if value > 0 else number(value)


def score(run: ComparedRun, name: str) -> str:
    """Returns a run's score, with its deviation over seeds if there were several."""
    value = number(run.scores.get(name))
    return f"{value} ± {number(run.deviations[name])}" if name in run.deviations else value


def interval(bounds: tuple[float, float] | None, *, sign: bool = False) -> str:
    """Returns an interval as "0.91 … 0.95", "" for none."""
    if bounds is None:
        return ""
    return " … ".join(signed(bound) if sign else number(bound) for bound in bounds)


def parameter(run: ComparedRun, name: str) -> str:
    """Returns a run's parameter; a commit is as long as Git shows it."""
    value = run.parameters.get(name)
    if value is None:
        return MISSING
    return value[:_COMMIT] if name == "code.commit" else value or "(empty)"


def started(run: ComparedRun) -> str:
    """Returns when a run started, in UTC."""
    return datetime.fromtimestamp(run.started / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def duration(run: ComparedRun) -> str:
    """Returns how long a run took, as "0:01:23"."""
    return MISSING if run.seconds is None else str(timedelta(seconds=round(run.seconds)))


def sentence(difference: Difference) -> str:
    """Returns what a difference says, as "run 2 less run 1"."""
    return f"run {difference.run} less run {difference.reference}"
