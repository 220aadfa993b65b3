"""Makes bible_en_es.txt.xz from two Debian packages, unpacked into one folder.

    python -m pipelines.datasets.extracts.make_bible_en_es UNPACKED_PACKAGES

sword-text-web 426.0 is the World English Bible, sword-text-sparv 2.60 the Reina-Valera of 1909.
They are read with pysword 0.2.8, which only this script needs. The extract has the verses with at
most `CHARACTERS` characters in either language, of chapters with equally many verses in both: one
line each, BOOK TAB CHAPTER TAB ENGLISH TAB SPANISH, in the order of the books.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipelines.datasets import extracts

CHARACTERS = 100
MODULES = ("engWEB2015eb", "spaRV1909eb")
PACKAGES = ("sword-text-web", "sword-text-sparv")
_NOTE = re.compile(r"<note\b.*?</note>", re.DOTALL)
_TERMS = re.compile(r"^License: public-domain\n((?: .*\n)+)", re.MULTILINE)


def main(package: Path, folder: Path = extracts.FOLDER) -> None:
    english, spanish = (_bible(package, module) for module in MODULES)
    lines = []
    for book, chapter, verses in _chapters(english, spanish):
        for verse in verses:
            place = {"books": [book], "chapters": [chapter], "verses": [verse], "clean": False}
            pair = [plain(bible.get(**place)) for bible in (english, spanish)]
            if all(0 < len(text) <= CHARACTERS for text in pair):
                lines.append("\t".join([book, str(chapter), *pair]) + "\n")
    extracts.write(
        "bible_en_es.txt",
        "".join(lines).encode(),
        source="Debian packages sword-text-web 426.0-1 and sword-text-sparv 2.60-1, "
        f"modules {' and '.join(MODULES)}",
        license=extracts.License("LicenseRef-public-domain", "bible_en_es.txt", _terms(package)),
        folder=folder,
    )


def plain(osis: str) -> str:
    """Returns a verse without markup and notes, with spaces as in print."""
    text = _NOTE.sub(" ", osis)
    # Words that translators added are in tags without spaces around them.
    text = re.sub(r"</?transChange[^>]*>", " ", text)
    text = " ".join(re.sub(r"<[^>]*>", "", text).split())
    text = re.sub(r" +([,.;:?!)”])", r"\1", text)
    text = re.sub(r"([“(¿¡]) +", r"\1", text)
    return re.sub(r"”(?=\w)", "” ", text)


def _bible(package: Path, module: str) -> Any:
    from pysword.modules import SwordModules

    modules = SwordModules(str(package / "usr/share/sword"))
    modules.parse_modules()
    return modules.get_bible_from_module(module)


def _chapters(english: Any, spanish: Any) -> Iterator[tuple[str, int, range]]:
    """Yields (book, chapter, verses) of chapters with equally many verses in both Bibles."""
    others = {book.name: book.chapter_lengths for book in _books(english)}
    for book in _books(spanish):
        lengths = zip(book.chapter_lengths, others.get(book.name, ()), strict=False)
        for chapter, (own, other) in enumerate(lengths, 1):
            if own == other:
                yield book.name, chapter, range(1, own + 1)


def _books(bible: Any) -> list[Any]:
    return [book for books in bible.get_structure().get_books().values() for book in books]


def _terms(package: Path) -> str:
    """Returns the terms of the texts, from the packages."""
    parts = []
    for name in PACKAGES:
        copyright_file = package / "usr/share/doc" / name / "copyright"
        text = copyright_file.read_text(encoding="utf-8")
        title = re.search(r"^Upstream-Name: (.*)$", text, re.MULTILINE)
        terms = _TERMS.search(text)
        if not title or not terms:
            raise ValueError(f"{copyright_file} does not say that the text is in the public domain")
        lines = [line[1:].rstrip() for line in terms[1].splitlines()]
        parts.append("\n".join([title[1], "", *("" if ln == "." else ln for ln in lines), ""]))
    return "\n".join(parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
