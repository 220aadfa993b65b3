"""Extracts: complete, with source and license, and made from packages by scripts."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import lzma
import struct
import sys
import types

import numpy as np
import pytest

from pipelines.datasets import extracts
from pipelines.datasets.extracts import (
    make_bible_en_es,
    make_births,
    make_brain_slices,
    make_cmudict,
    make_sotu,
    make_us_addresses,
    make_wordnet_glosses,
)
from pipelines.errors import UserError

RECORDS = json.loads((extracts.FOLDER / "extracts.json").read_text(encoding="utf-8"))
LICENSE = extracts.License("MIT", "some.txt", "Do what you want.\n")


@pytest.mark.parametrize("name", RECORDS)
def test_an_extract_is_what_its_record_says(name):
    record = RECORDS[name]
    compressed = (extracts.FOLDER / f"{name}.xz").read_bytes()
    assert hashlib.sha256(compressed).hexdigest() == record["sha256"]
    assert extracts.read(name) == lzma.decompress(compressed)
    assert record["source"]
    assert len((extracts.FOLDER / record["license_file"]).read_text(encoding="utf-8")) > 500
    assert (extracts.FOLDER / f"make_{name.partition('.')[0]}.py").is_file()


def test_every_extract_is_recorded_and_all_are_small():
    files = sorted(extracts.FOLDER.glob("*.xz"))
    assert [file.stem for file in files] == sorted(RECORDS)
    assert sum(file.stat().st_size for file in files) < 3_000_000


def test_what_is_written_is_read_again(tmp_path):
    for content in (b"first\n", b"second\n"):
        extracts.write("some.txt", content, source="Here", license=LICENSE, folder=tmp_path)
        assert extracts.read("some.txt", tmp_path) == content
    extracts.write("other.txt", b"third", source="There", license=LICENSE, folder=tmp_path)
    table = json.loads((tmp_path / "extracts.json").read_text(encoding="utf-8"))
    assert list(table) == ["other.txt", "some.txt"]
    assert table["some.txt"]["license_file"] == "licenses/some.txt"
    assert (tmp_path / "licenses" / "some.txt").read_text(encoding="utf-8") == LICENSE.text


def test_a_damaged_extract_is_an_error_in_one_sentence(tmp_path):
    extracts.write("some.txt", b"content", source="Here", license=LICENSE, folder=tmp_path)
    file = tmp_path / "some.txt.xz"
    content = bytearray(file.read_bytes())
    content[-20] ^= 1
    file.write_bytes(content)
    with pytest.raises(
        UserError, match=r"some\.txt\.xz is damaged \(SHA-256 \w+…, expected"
    ) as caught:
        extracts.read("some.txt", tmp_path)
    assert "\n" not in str(caught.value)


def test_a_swapped_extract_is_an_error(tmp_path):
    for name in ("some.txt", "other.txt"):
        extracts.write(name, name.encode(), source="Here", license=LICENSE, folder=tmp_path)
    (tmp_path / "other.txt.xz").rename(tmp_path / "some.txt.xz")
    with pytest.raises(UserError, match=r"some\.txt\.xz is damaged"):
        extracts.read("some.txt", tmp_path)


def test_a_missing_extract_is_an_error(tmp_path):
    extracts.write("some.txt", b"content", source="Here", license=LICENSE, folder=tmp_path)
    (tmp_path / "some.txt.xz").unlink()
    with pytest.raises(UserError, match=r"some\.txt\.xz is missing; reinstall the project"):
        extracts.read("some.txt", tmp_path)


@pytest.fixture
def package(tmp_path):
    """A function that writes a file of a package, of its unpacked folder."""

    def write(path: str, content: str | bytes) -> None:
        file = tmp_path / "package" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


@pytest.fixture
def made(tmp_path):
    """A function that runs a script on the package and returns content and license."""

    def run(script, name: str) -> tuple[bytes, str]:
        folder = tmp_path / "extracts"
        folder.mkdir()
        script.main(tmp_path / "package", folder)
        table = json.loads((folder / "extracts.json").read_text(encoding="utf-8"))
        license_file = folder / table[name]["license_file"]
        return extracts.read(name, folder), license_file.read_text(encoding="utf-8")

    return run


def test_addresses_are_made_from_the_labeled_xml(package, made):
    package("LICENSE", "MIT\n")
    package(
        "training/labeled.xml",
        "<Addresses>"
        "<A><Number>12</Number> <Street>Main\n</Street> <Street>St.,</Street></A>\n"
        "<A><Place>Rome &amp; Co</Place></A>"
        "</Addresses>",
    )
    content, text = made(make_us_addresses, "us_addresses.txt")
    assert content.decode() == ("12\tNumber\nMain\tStreet\nSt.,\tStreet\n\nRome & Co\tPlace\n")
    assert text == "MIT\n"


STDLIB = (
    "Data and contents are free. The software is not.\n\n   Apache License\nterms\n\n"
    "Creative Commons Zero v1.0 Universal\n\nfree\n"
)


def test_births_are_made_in_the_order_of_the_days(package, made):
    folder = "cdc-nchs-us-births-1969-1988"
    package(f"{folder}/LICENSE", STDLIB)
    package(
        f"{folder}/data/data.csv",
        "year,month,date_of_month,day_of_week,births\n1969,10,2,4,9\n1969,9,30,2,8000\n",
    )
    content, text = made(make_births, "births.txt")
    assert content.decode() == "1969-09-30\t8000\n1969-10-02\t9\n"
    assert "Creative Commons Zero" in text
    assert "Data and contents are free." in text
    assert "terms" not in text


def test_words_are_made_with_their_first_pronunciation(package, made):
    package("cmudict/LICENSE", "Terms of the data.\n\nThe software is licensed under Apache\n")
    entries = [
        "!EXCLAMATION  EH2 K",
        "AB  AE1 B",
        "CAT  K AE1 T",
        "CAT(1)  K AH0 T",
        "CAT'S  K AE1",
    ]
    package(
        "cmudict/data/dict.txt", "".join(f"{entry}\r\n" for entry in [*entries, "DOG  D AO1 G"])
    )
    content, text = made(make_cmudict, "cmudict.txt")
    assert content.decode() == "cat\tK AE1 T\ndog\tD AO1 G\n"
    assert text == "Terms of the data.\n"


class Bible:
    """As pysword gives it: books, their chapters' lengths, and verses in OSIS."""

    def __init__(self, verses: dict[str, list[list[str]]]) -> None:
        self._verses = verses

    def get_structure(self):
        return self

    def get_books(self):
        return {
            "ot": [
                types.SimpleNamespace(name=name, chapter_lengths=[len(c) for c in chapters])
                for name, chapters in self._verses.items()
            ]
        }

    def get(self, *, books, chapters, verses, clean):
        assert not clean
        return self._verses[books[0]][chapters[0] - 1][verses[0] - 1]


def test_verses_are_made_of_chapters_that_are_divided_alike(package, made, monkeypatch):
    bibles = {
        "engWEB2015eb": Bible(
            {
                "Genesis": [["<w>In</w> the <w>beginning</w>, God<note>a</note> .", "x" * 101]],
                "Ruth": [["One.", "Two."], ["Three."]],
                "Tobit": [["Four."]],
            }
        ),
        "spaRV1909eb": Bible(
            {"Genesis": [["<w>EN</w> el principio", "Y"]], "Ruth": [["Uno."], ["Tres."]]}
        ),
    }

    class Modules:
        def __init__(self, folder):
            assert folder.endswith("package/usr/share/sword")

        def parse_modules(self):
            pass

        def get_bible_from_module(self, name):
            return bibles[name]

    fake = types.ModuleType("pysword.modules")
    fake.SwordModules = Modules  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pysword", types.ModuleType("pysword"))
    monkeypatch.setitem(sys.modules, "pysword.modules", fake)
    for name in make_bible_en_es.PACKAGES:
        terms = "License: public-domain\n Free.\n .\n Take it.\n\nLicense: GPL\n Not.\n"
        package(f"usr/share/doc/{name}/copyright", f"Upstream-Name: {name}\n\nFiles: *\n{terms}")
    content, text = made(make_bible_en_es, "bible_en_es.txt")
    assert content.decode() == (
        "Genesis\t1\tIn the beginning, God.\tEN el principio\nRuth\t2\tThree.\tTres.\n"
    )
    assert text == "sword-text-web\n\nFree.\n\nTake it.\n\nsword-text-sparv\n\nFree.\n\nTake it.\n"


@pytest.mark.parametrize(
    ("osis", "text"),
    [
        ("<w>only</w> born</q><note>n</note><q>Son</q>", "only born Son"),
        ("<w>Gracia</w><transChange>sea</transChange><w>con</w>", "Gracia sea con"),
        ("the Omega,</q><note>n</note><q>”</q><w>says</w>", "the Omega,” says"),
        ("¿ <w>Qué</w> ? ( <w>Selah</w>.)", "¿Qué? (Selah.)"),
    ],
)
def test_markup_leaves_words_and_marks_as_in_print(osis, text):
    assert make_bible_en_es.plain(osis) == text


def test_texts_that_are_not_in_the_public_domain_are_an_error(tmp_path):
    folder = tmp_path / "usr/share/doc" / make_bible_en_es.PACKAGES[0]
    folder.mkdir(parents=True)
    (folder / "copyright").write_text("Upstream-Name: A\n\nLicense: other\n Pay.\n")
    with pytest.raises(ValueError, match="does not say that the text is in the public domain"):
        make_bible_en_es._terms(tmp_path)


def test_speeches_are_made_whole_within_the_limits_of_an_era(package, made):
    package("sotu/LICENSE", STDLIB)
    lengths = {1800: 9_000, 1801: 60_000, 1802: 61_000, 1900: 20_000}
    lengths |= dict.fromkeys(range(1940, 1970), 60000)
    for year, length in lengths.items():
        text = f"[Applause] Year {year}. " + "x  y\n" * length
        content = {"year": year, "name": "A", "party": "none", "text": text[: length + 11]}
        package(f"sotu/data/{year}_a_n.json", json.dumps(content))
    content, _ = made(make_sotu, "sotu.jsonl")
    speeches = [json.loads(line) for line in content.decode().splitlines()]
    years = [speech["year"] for speech in speeches]
    assert years == sorted(years)
    assert 1800 not in years  # Too short.
    assert [year for year in years if year >= 1933] != list(range(1940, 1970))
    assert sum(len(s["text"]) for s in speeches if s["year"] >= 1933) <= 1_000_000
    for speech in speeches:
        assert speech["text"].startswith(f"Year {speech['year']}. x y x y")
        assert speech["name"] == f"{speech['year']}_a_n"


def nifti(volume: np.ndarray, kind: int = 2) -> bytes:
    header = bytearray(352)
    struct.pack_into("<8h", header, 40, 3, *volume.shape, 1, 1, 1, 1)
    struct.pack_into("<h", header, 70, kind)
    struct.pack_into("<f", header, 108, 352.0)
    return gzip.compress(bytes(header) + volume.tobytes(order="F"))


def test_slices_are_made_from_the_volumes(package, made):
    head = np.random.default_rng(0).integers(1, 255, (6, 8, 5), np.uint8)
    brain = head.copy()
    brain[:, :, [0, 3]] = 0
    brain[:4] = 0
    templates = "usr/share/mricron/templates"
    package(f"{templates}/ch2.nii.gz", nifti(head))
    package(f"{templates}/ch2bet.nii.gz", nifti(brain))
    package(
        "usr/share/doc/mricron-data/copyright",
        "Format: 1.0\n\nFiles: *\nLicense: BSD-3-clause\n\nFiles: b\nLicense: GPL\n\n"
        "License: BSD-3-clause\n Terms.\n",
    )
    content, text = made(make_brain_slices, "brain_slices.npy")
    images, masks = np.load(io.BytesIO(content))
    expected = head.transpose(2, 0, 1)[[1, 2, 4], ::2, ::2]
    np.testing.assert_array_equal(images, expected)
    np.testing.assert_array_equal(masks[:, :2], 0)
    np.testing.assert_array_equal(masks[:, 2], 1)
    assert text == "Files: *\nLicense: BSD-3-clause\n\nLicense: BSD-3-clause\n Terms.\n"


def test_a_volume_of_another_type_is_an_error(tmp_path):
    (tmp_path / "some.nii.gz").write_bytes(nifti(np.zeros((2, 2, 2), np.uint8), kind=4))
    with pytest.raises(ValueError, match="is not a volume of unsigned bytes"):
        make_brain_slices.volume(tmp_path / "some.nii.gz")


def test_glosses_are_made_from_the_nouns(package, made):
    def line(offset: int, file: str, lemma: str, pointer: str, gloss: str) -> str:
        return f"{offset:08} {file} n 01 {lemma} 0 001 {pointer} n 0000 | {gloss}  \n"

    nouns = [
        line(1, "05", "animal", "~ 00000002", 'a living being that can move; "they kept one"'),
        line(2, "05", "cat", "@ 00000001", 'a small animal that purrs; "a cat in a bag"'),
        line(3, "05", "Tom", "@i 00000002", "a cat that hunts one mouse"),
        line(4, "05", "dog", "@ 00000001", "an animal"),
        line(5, "15", "yard", "@ 00000001", "a place of some other file"),
        line(6, "06", "tool", "@ 00000001", "what stands in both files alike"),
        line(7, "05", "cow", "@ 00000001", "what stands in both files alike"),
        *(
            line(number, "20", "tree", "@ 00000002", f"one more tree of {number} trees")
            for number in range(10, 15)
        ),
    ]
    package("usr/share/wordnet/data.noun", "  1 Terms  \n  2 of use.  \n" + "".join(nouns))
    content, text = made(make_wordnet_glosses, "wordnet_glosses.txt")
    lines = content.decode().splitlines()
    assert lines[0] == "animal\tanimal\ta small animal that purrs"
    assert len(lines) == 4  # And of the trees no more than three.
    assert all(line.startswith("plant\tcat\tone more tree of 1") for line in lines[1:])
    assert text == "Terms\nof use.\n"
