"""A model card as one HTML file: no scripts, no other files, for wide and narrow screens."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt

from pipelines.cards.card import Facts, markdown
from pipelines.export.signature import Signature

_FIGURES = 4
_STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --back: #ffffff; --text: #1d2228;
  --head: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --line: #3a424c; --back: #14181d; --text: #e4e8ec;
  --head: #1f252c; } }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums;
  display: block; overflow-x: auto; overflow-wrap: normal; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { background: var(--head); }
pre { background: var(--head); padding: .8rem; overflow-x: auto; border-radius: .3rem; }
code { font-size: .9em; }
figure { margin: 1.5rem 0; } figcaption { font-size: .9rem; }
img { max-width: 100%; background: #ffffff; }
"""


def documents(
    facts: Facts,
    signatures: Sequence[Signature],
    *,
    megabytes: float,
    milliseconds: float,
    figures: Mapping[str, bytes],
) -> dict[str, str]:
    """Returns the model card by the names of its files, `card.md` and `card.html`.

    Args:
        facts: The facts of the run.
        signatures: As in `card.markdown`, as the next two.
        megabytes: Size of the SavedModel.
        milliseconds: Time of a request.
        figures: Figures of the run by name, as PNG; the page has the first of them.
    """
    text = markdown(facts, signatures, megabytes=megabytes, milliseconds=milliseconds)
    first = dict(itertools.islice(figures.items(), _FIGURES))
    return {"card.md": text, "card.html": html(text, facts.name, first)}


def html(text: str, title: str, figures: Mapping[str, bytes]) -> str:
    """Returns Markdown as a page with figures, PNG by name, below."""
    # What is no part of Markdown itself is shown as it is, as names may hold anything.
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = reader.render(text).replace("&lt;br&gt;", "<br>")
    pictures = "".join(_picture(name, content) for name, content in figures.items())
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, '
        f'initial-scale=1"><title>{escape(title)}</title><style>{_STYLE}</style>'
    )
    shown = f"<h2>Figures</h2>\n{pictures}" if pictures else ""
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}{shown}\n'
        "</body></html>\n"
    )


def _picture(name: str, png: bytes) -> str:
    content = base64.b64encode(png).decode()
    caption = escape(name.replace("_", " "))
    return (
        f'<figure><img alt="{caption}" src="data:image/png;base64,{content}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )
