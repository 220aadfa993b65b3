"""One import is all that Keras needs to load the network of any architecture."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import keras

import architectures
from tests.architectures.tiny import TINY

ROOT = Path(__file__).resolve().parent.parent.parent
LOAD = """
import architectures.custom_objects
import keras
import sys

for file in sys.argv[1:]:
    network = keras.models.load_model(file)
    print("loaded", file, network.count_params())
print("registered", *keras.saving.get_custom_objects())
"""


def test_keras_loads_every_architecture_after_the_import(tmp_path):
    expected = {}
    for name, small in {small.name: small for small in TINY}.items():
        file = tmp_path / f"{name}.keras"
        small.model.save(file)
        config = zipfile.ZipFile(file).read("config.json").decode()
        if '"registered_name": "architectures>' in config:
            expected[str(file)] = str(small.parameters)
    assert len(expected) >= 10

    done = subprocess.run(
        [sys.executable, "-c", LOAD, *expected],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    loaded = {line[1]: line[2] for line in lines if line[0] == "loaded"}
    assert loaded == expected
    (registered,) = [set(line[1:]) for line in lines if line[0] == "registered"]
    for entry in architectures.ARCHITECTURES:
        architectures.builder(entry)
    known = {name for name in keras.saving.get_custom_objects() if "architectures>" in name}
    assert known
    assert known <= registered
