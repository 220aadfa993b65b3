"""All bundled data sets: the same examples everywhere, without a network."""

from __future__ import annotations

import hashlib
import socket
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from pipelines.datasets import catalog, loading
from tests.pipelines.datasets.conftest import Examples

# Fingerprints of the examples: if one changes, the data set needs a new version.
SETS = {
    "brain_slices": ((78, 20, 20), "200e2cc53ac8"),
    "digits_canvas": ((2000, 300, 400), "5168d3330ab1"),
    "digit_scenes": ((4000, 400, 400), "2f0f7526fad6"),
    "cmudict_syllables": ((16000, 1948, 1948), "e1f16bb6f3a3"),
    "sotu_era": ((10350, 2040, 2100), "678284313087"),
    "sotu_cloze": ((8000, 1000, 1000), "afbcd981ad2b"),
    "sotu_sentences": ((84, 17, 17), "b4cbbafde82f"),
    "sotu_text": ((84, 17, 17), "5c24c22b2b44"),
    "wordnet_glosses": ((5603, 1200, 1197), "ca49e6d1d05e"),
    "us_addresses": ((1042, 223, 223), "28667e5884ec"),
    "address_questions": ((8355, 848, 926), "56cff8547f74"),
    "bible_en_es": ((9098, 833, 836), "e88b46a7ef05"),
    "cmudict": ((16000, 1948, 1948), "1d012f79e30a"),
    "cmudict_stress": ((13767, 1774, 1802), "69bf75693421"),
    "elnino": ((512, 110, 110), "0d0b207c229f"),
    "sunspots": ((216, 47, 46), "c27594bc1b27"),
    "co2": ((368, 79, 79), "668ee85568f1"),
    "births": ((5114, 1095, 1096), "4d6e56f0aed8"),
}
OPTIONAL = {"hironsan"}


def fingerprint(examples: Examples) -> str:
    """Returns a hash of all examples that does not depend on their order in a split."""
    sha = hashlib.sha256()
    for split, members in examples.items():
        sha.update(split.encode())
        for content in sorted(b"".join(_bytes(member)) for member in members):
            sha.update(content)
    return sha.hexdigest()[:12]


def _bytes(value: Any) -> list[bytes]:
    if isinstance(value, dict):
        return [part for key in sorted(value) for part in _bytes(value[key])]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [part + b"\0" for part in value]
    return [value if isinstance(value, bytes) else np.asarray(value).tobytes()]


def test_every_bundled_data_set_is_tested():
    assert set(SETS) | OPTIONAL | {"digits"} == set(catalog.BUNDLED)


@pytest.mark.parametrize("name", SETS)
def test_a_bundled_data_set_is_the_same_everywhere(name, examples):
    sizes, expected = SETS[name]
    found = examples(name)
    assert list(found) == ["train", "validation", "test"]
    assert tuple(map(len, found.values())) == sizes
    assert fingerprint(found) == expected


@pytest.mark.parametrize("name", ["brain_slices", "us_addresses", "elnino"])
def test_a_bundled_data_set_is_prepared_without_a_network(name, tmp_path, monkeypatch):
    def refuse(*arguments, **options):
        raise AssertionError("used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert loading.prepared(name, data_dir=str(tmp_path)).is_prepared()


@pytest.mark.parametrize("name", ["sunspots", "us_addresses"])
def test_a_second_preparation_has_the_same_digest(name, bundled, tmp_path):
    again = loading.prepared(name, data_dir=str(tmp_path))
    assert loading.digest(again) == loading.digest(bundled(name))


@pytest.mark.parametrize("name", SETS)
def test_a_bundled_data_set_has_a_source_and_a_license(name, bundled):
    info = bundled(name).info
    assert info.description
    assert info.homepage.startswith("https://")
    assert info.redistribution_info.license
    assert loading.splits(bundled(name)) == loading.Splits("train", "validation", "test")


def test_the_table_imports_none_of_the_packages_with_data():
    code = (
        "import sys; from pipelines.datasets import catalog; "
        "print([name for name in ('statsmodels', 'sklearn', 'pandas') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
