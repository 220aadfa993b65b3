"""A comparison as one HTML file: no scripts, no other files, for wide and narrow screens."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from html import escape

from pipelines import metric_names
from pipelines.comparison import drawings, words
from pipelines.comparison.comparison import ComparedRun, Comparison

_STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --soft: #5b6470; --back: #ffffff;
  --text: #1d2228; --head: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --line: #3a424c; --soft: #9aa5b1; --back: #14181d;
  --text: #e4e8ec; --head: #1f252c; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--back);
  color: var(--text); font: 1rem/1.45 system-ui, sans-serif; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
thead th { background: var(--head); white-space: nowrap; }
tbody th { font-weight: 500; position: sticky; left: 0; background: var(--back); min-width: 8rem;
  max-width: 14rem; overflow-wrap: anywhere; }
td { overflow-wrap: break-word; min-width: 6rem; max-width: 22rem; }
td small { display: block; color: var(--soft); white-space: nowrap; }
.swatch { display: inline-block; width: .8em; height: .8em; border-radius: 50%;
  margin-right: .4em; }
.run { display: inline-block; }
.curves { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1rem; }
svg { width: 100%; height: auto; max-width: 36rem; display: block; }
"""


def html(comparison: Comparison) -> str:
    """Returns the report of a comparison."""
    runs, drawn = comparison.runs, drawings.colors(len(comparison.runs))
    title = f"Comparison of {len(runs)} runs"
    parts = [f"<h1>{title}</h1>", _runs(runs, drawn)]
    parts += [f"<p>Note: {escape(note)}.</p>" for note in comparison.notes]
    if comparison.scores:
        parts += ["<h2>Scores</h2>", "<p class=soft>Below a score, its 95 % interval.</p>"]
        parts.append(_table(runs, drawn, comparison.scores, _score, metric_names.words))
    if comparison.differences:
        parts += ["<h2>Differences on test</h2>", _differences(comparison, drawn)]
    curves = [f"<div>{picture}</div>" for _, picture in drawings.curves(comparison)]
    if curves:
        parts.append("<h2>Learning curves</h2><p class=soft>Solid: validation; dashed: training.")
        parts.append(f"{_legend(runs, drawn)}</p><div class=curves>{''.join(curves)}</div>")
    parts.append("<h2>Parameters that differ</h2>")
    if comparison.parameters:
        parts.append(_table(runs, drawn, comparison.parameters, _parameter, str))
    else:
        parts.append("<p>All parameters are the same.</p>")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{title}</title><style>{_STYLE}</style>'
    )
    body = "\n".join(parts)
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _runs(runs: Sequence[ComparedRun], drawn: Sequence[str]) -> str:
    headers = ("run", "pipeline", "status", "started (UTC)", "time", "id")
    rows = [
        [
            f"{_swatch(color)}{escape(run.title)}",
            *map(
                escape,
                (
                    *(run.pipeline, run.status.lower(), words.started(run), words.duration(run)),
                    run.id,
                ),
            ),
        ]
        for run, color in zip(runs, drawn, strict=True)
    ]
    return _rows(headers, rows)


def _table(
    runs: Sequence[ComparedRun],
    drawn: Sequence[str],
    names: Iterable[str],
    cell: Callable[[ComparedRun, str], str],
    shown: Callable[[str], str],
) -> str:
    """Returns a table with a row for each name and a column for each run."""
    headers = [
        "",
        *(f"{_swatch(color)}run {run.label}" for run, color in zip(runs, drawn, strict=True)),
    ]
    rows = [[escape(shown(name)), *(cell(run, name) for run in runs)] for name in names]
    return _rows(headers, rows)


def _differences(comparison: Comparison, drawn: Sequence[str]) -> str:
    headers = ("", "score", "difference", "95 % interval", "")
    rows = [
        [
            words.sentence(each),
            escape(metric_names.words(each.name)),
            words.signed(each.value),
            words.interval(each.interval, sign=True),
            each.verdict,
        ]
        for each in comparison.differences
    ]
    text = (
        "<p class=soft>By the paired bootstrap: both runs are scored on the same resamples of the "
        "test split. An interval around 0 shows no clear difference.</p>"
    )
    names = {each.name for each in comparison.differences}
    metric = comparison.metric if comparison.metric in names else None
    picture = drawings.differences(comparison.differences, metric, drawn) if metric else ""
    return f"{text}{picture}{_rows(headers, rows)}"


def _rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of cells that are HTML already; the first of each row is its header."""
    head = "".join(f"<th>{header}</th>" for header in headers)
    body = "".join(
        f"<tr><th>{first}</th>{''.join(f'<td>{cell}</td>' for cell in rest)}</tr>\n"
        for first, *rest in rows
    )
    table = f"<table><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f"<div class=wide>{table}</div>"


def _score(run: ComparedRun, name: str) -> str:
    bounds = words.interval(run.intervals.get(name))
    return words.score(run, name) + (f"<small>{bounds}</small>" if bounds else "")


def _parameter(run: ComparedRun, name: str) -> str:
    return escape(words.parameter(run, name))


def _legend(runs: Sequence[ComparedRun], drawn: Sequence[str]) -> str:
    return " ".join(
        f" <span class=run>{_swatch(color)}{escape(run.title)}</span>"
        for run, color in zip(runs, drawn, strict=True)
    )


def _swatch(color: str) -> str:
    return f'<span class=swatch style="background:{color}"></span>'
