"""Data sets of other packages: used by name, and errors that name the packages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.datasets import catalog, loading
from pipelines.errors import UserError

BUILDER = """
import numpy as np
import tensorflow_datasets as tfds

class {builder}(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({{"number": tfds.features.Scalar(np.int64)}})
        return self.dataset_info_from_configs(features=features)

    def _split_generators(self, dl_manager):
        return {{split: self._generate_examples() for split in ("train", "validation", "test")}}

    def _generate_examples(self):
        yield 0, {{"number": 7}}
"""

Install = Callable[[str, str, str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """A function that installs a package with one entry point."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(package: str, name: str, value: str, code: str) -> None:
        folder = tmp_path / value.partition(":")[0]
        folder.mkdir()
        (folder / "__init__.py").write_text(code)
        info = tmp_path / f"{package.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{catalog.GROUP}]\n{name} = {value}\n")
        catalog.foreign.cache_clear()

    yield write
    monkeypatch.undo()
    catalog.foreign.cache_clear()


def test_a_data_set_of_another_package_is_used_by_its_name(install, tmp_path):
    install("lucky-package", "lucky", "lucky_module:Lucky", BUILDER.format(builder="Lucky"))
    assert catalog.names() == [*catalog.BUNDLED, "lucky"]
    assert catalog.foreign().distributions == {"lucky": "lucky-package"}
    builder = loading.prepared("lucky", data_dir=str(tmp_path / "data"))
    assert [int(row["number"]) for row in builder.as_dataset(split="test")] == [7]
    with pytest.raises(UserError, match=r"unknown data set 'nonsense'; .*births, lucky; any TFDS"):
        loading.prepared("nonsense")


@pytest.mark.parametrize(
    ("value", "code", "reason"),
    [
        ("broken_module:Broken", "import missing_package", "ModuleNotFoundError: No module named"),
        ("no_class:Broken", "", "AttributeError: module 'no_class' has no attribute 'Broken'"),
        ("function:Broken", "def Broken(): pass", "is of type function, not type"),
        ("other_class:Broken", "class Broken: pass", "Broken is not a TFDS builder"),
        (
            "other_name:OtherName",
            BUILDER.format(builder="OtherName"),
            "the name of OtherName is 'other_name', not 'broken'",
        ),
    ],
)
def test_a_broken_package_is_one_sentence_and_does_not_stop_others(
    install, tmp_path, value, code, reason
):
    install("broken-package", "broken", value, code)
    for name in ("broken", "broken/small:1.0.0"):
        with pytest.raises(UserError, match="'broken' of broken-package") as caught:
            loading.prepared(name)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
    assert "broken" not in catalog.names()
    assert loading.prepared("sunspots", data_dir=str(tmp_path / "data")).is_prepared()


def test_a_builder_that_cannot_be_made_is_one_sentence(install, tmp_path):
    code = BUILDER.format(builder="Faulty").replace("features=features", "feature=features")
    install("faulty-package", "faulty", "faulty_module:Faulty", code)
    with pytest.raises(UserError, match="'faulty' of faulty-package cannot be used: ") as caught:
        loading.prepared("faulty", data_dir=str(tmp_path / "data"))
    assert "unexpected keyword argument 'feature'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_that_clash_are_an_error_that_names_both_packages(install):
    install("first-package", "same", "first_module:Same", "")
    install("second-package", "same", "second_module:Same", "")
    with pytest.raises(UserError, match=r"'same' .* by both first-package and second-package"):
        loading.prepared("digits")


def test_a_bundled_name_of_another_package_is_an_error(install):
    install("own-digits", "digits", "own_digits:Digits", "")
    with pytest.raises(UserError, match=r"'digits' .* by both keras-foundry and own-digits"):
        loading.prepared("digits")
