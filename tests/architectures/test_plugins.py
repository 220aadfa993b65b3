"""Entry points of other packages: merged, refused where names clash, and reported where broken."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import architectures
from architectures import catalog, plugins
from architectures.__main__ import main

ROOT = Path(__file__).resolve().parent.parent.parent
GROUP = "keras_foundry.architectures"
SMALL = """
from architectures import Architecture

SMALL = Architecture(
    "{module}.builder:small_net",
    "image_classifier",
    "dense network",
    "this test",
    published={{"classes": 2, "input_shape": (3,)}},
)
"""
BUILDER = """
import keras


@keras.saving.register_keras_serializable(package="{module}")
class Doubled(keras.layers.Layer):
    def call(self, inputs):
        return 2 * inputs


def small_net(*, classes, input_shape, units=4):
    inputs = keras.Input(input_shape, name="features")
    x = Doubled(name="doubled")(keras.layers.Dense(units, name="dense")(inputs))
    return keras.Model(inputs, keras.layers.Dense(classes, name="logits")(x))
"""


class Site:
    """A folder on the path in which distributions are installed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def distribute(self, name: str, *, group: str = GROUP, **entries: str) -> None:
        """Adds a distribution with entry points, names to values, of a group."""
        info = self.folder / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        lines = [f"{key} = {value}" for key, value in entries.items()]
        (info / "entry_points.txt").write_text("\n".join([f"[{group}]", *lines, ""]))
        importlib.invalidate_caches()

    def module(self, name: str, text: str = SMALL, builder: str = BUILDER) -> None:
        """Adds a package `name` that defines `SMALL` in `name.catalog`."""
        package = self.folder / name
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "catalog.py").write_text(text.format(module=name))
        (package / "builder.py").write_text(builder.format(module=name))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    before = set(sys.modules)
    catalog.foreign.cache_clear()
    yield Site(tmp_path)
    catalog.foreign.cache_clear()
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in str(
            sys.modules[name].__file__
        ):
            del sys.modules[name]


def test_an_architecture_of_another_package_is_listed_built_and_loaded(site, tmp_path, capsys):
    site.module("their_nets")
    site.distribute("their-nets", small_net="their_nets.catalog:SMALL")
    assert "small_net" in architectures.names()
    assert architectures.get("small_net").family == "dense network"
    assert "small_net" not in architectures.ARCHITECTURES
    model = architectures.build("small_net", units=3)
    assert model.get_layer("dense").units == 3
    assert model.count_params() == (3 * 3 + 3) + (3 * 2 + 2)
    assert main([]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "small_net" in line]
    assert line.split() == ["small_net", "dense", "network", "this", "test", "3"]
    assert main(["list", "--markdown"]) == 0
    assert "| `small_net` | dense network | this test |  | 3 |" in capsys.readouterr().out
    model.save(tmp_path / "model.keras")
    script = "import architectures; print(architectures.load('model.keras').count_params())"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={"PYTHONPATH": f"{ROOT}:{tmp_path}", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [str(model.count_params())]


def test_listing_imports_no_builder_of_another_package(site):
    site.module("lazy_nets", builder="raise RuntimeError('imported')\n")
    site.distribute("lazy-nets", small_net="lazy_nets.catalog:SMALL")
    assert main([]) == 0
    with pytest.raises(ValueError, match="lazy-nets, cannot be imported: imported"):
        architectures.build("small_net")


@pytest.mark.parametrize(
    ("module", "value", "reason"),
    [
        ("", "absent_nets.catalog:SMALL", "ModuleNotFoundError: No module named 'absent_nets'"),
        ("", "bad_nets.catalog:SMALL", "AttributeError: module 'bad_nets.catalog' has no"),
        ("SMALL = len", "bad_nets.catalog:SMALL", "is of type builtin_function_or_method, not"),
        ("1 / 0", "bad_nets.catalog:SMALL", "ZeroDivisionError: division by zero"),
        (
            SMALL.replace("image_classifier", "classifier"),
            "bad_nets.catalog:SMALL",
            "ValueError: Architecture: kind must be one of 'image_classifier', .*'classifier'$",
        ),
        (
            SMALL.replace("{module}.builder:", "{module}.builder."),
            "bad_nets.catalog:SMALL",
            "ValueError: Architecture: builder must be 'package.module:function', not 'bad_nets",
        ),
    ],
    ids=["no module", "no object", "wrong type", "error", "unknown kind", "no function"],
)
def test_a_broken_package_is_one_sentence_and_does_not_stop_the_others(
    module, value, reason, site, capsys
):
    site.module("bad_nets", module)
    site.module("good_nets")
    site.distribute("bad-nets", bad=value)
    site.distribute("good-nets", good="good_nets.catalog:SMALL")
    assert main([]) == 0
    printed = capsys.readouterr()
    assert "good " in printed.out
    (line,) = printed.err.splitlines()
    assert line.startswith(f"warning: 'bad' of bad-nets in the group {GROUP} cannot be used: ")
    with pytest.raises(ValueError, match=reason):
        architectures.get("bad")
    assert architectures.build("good").count_params()
    assert architectures.build("mlp", units=[2]).name == "mlp"


@pytest.mark.parametrize(
    ("name", "packages"),
    [("small", "alpha-nets and beta-nets"), ("resnet50", "keras-foundry and beta-nets")],
)
def test_a_name_that_two_packages_define_is_an_error_that_names_both(name, packages, site, capsys):
    site.module("nets")
    site.distribute("beta-nets", **{name: "nets.catalog:SMALL"})
    site.distribute("alpha-nets", small="nets.catalog:SMALL")
    sentence = f"the name '{name}' in the group {GROUP} is defined by both {packages}; rename or"
    with pytest.raises(ValueError, match=f"^{sentence}"):
        architectures.names()
    assert main([]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {sentence}")


def test_any_group_is_found_without_imports_and_loaded_with_its_packages(site):
    group = "keras_foundry.datasets"
    site.distribute("their-data", group=group, z="absent.module:Z", a="json:JSONDecoder")
    assert list(plugins.find(group)) == ["a", "z"]
    loaded = plugins.load(group, type)
    assert loaded.objects == {"a": importlib.import_module("json").JSONDecoder}
    assert loaded.distributions == {"a": "their-data"}
    assert list(loaded.problems) == ["z"]
    with pytest.raises(ValueError, match="defined by both keras-foundry and their-data"):
        plugins.find(group, own=["a"])
    assert plugins.load("keras_foundry.nothing", type) == plugins.Plugins({}, {}, {})
