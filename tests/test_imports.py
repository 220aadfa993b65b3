"""Who may import whom, as docs/architecture.md says."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from pipelines.catalog import PIPELINES

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("architectures", "benchmarks", "drift", "foundry", "pipelines", "serving")
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    """Returns the dotted name of a module or package."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}

# By package, the packages of this project whose modules its own may import besides their siblings:
# always those below. A name stands for the modules of that folder, not of folders within.
BELOW = {
    "architectures": (),
    "drift": (),
    "foundry": (
        *("architectures", "pipelines", "pipelines.comparison", "pipelines.sweep"),
        *("pipelines.variants", "serving"),
    ),
    "pipelines.comparison": ("architectures", "pipelines"),
    "pipelines": (
        *("architectures", "drift", "pipelines.cards", "pipelines.datasets", "pipelines.export"),
        "pipelines.training",
    ),
    "pipelines.cards": (*("architectures", "pipelines", "pipelines.datasets", "pipelines.export"),),
    "pipelines.sweep": (
        *("architectures", "pipelines", "pipelines.datasets", "pipelines.training"),
    ),
    "pipelines.variants": (
        *("pipelines", "pipelines.comparison", "pipelines.datasets", "pipelines.export"),
        "pipelines.training",
    ),
    "pipelines.training": ("architectures", "pipelines", "pipelines.datasets"),
    "pipelines.export": ("drift", "pipelines", "pipelines.datasets"),
    "pipelines.image": (*("architectures", "pipelines", "pipelines.datasets", "pipelines.export"),),
    "pipelines.text": (
        *("architectures", "pipelines", "pipelines.datasets", "pipelines.export"),
        *("pipelines.text.encoders", "pipelines.training"),
    ),
    "pipelines.text.encoders": ("pipelines",),
    "pipelines.recipes": ("pipelines", "pipelines.image", "pipelines.text"),
    "pipelines.datasets": ("architectures", "pipelines", "pipelines.datasets.builders"),
    "pipelines.datasets.builders": (
        *("pipelines", "pipelines.datasets", "pipelines.datasets.extracts", "pipelines.text"),
    ),
    "pipelines.datasets.extracts": ("pipelines", "pipelines.datasets"),
    "serving.protocol": (),
    "serving.client": ("serving", "serving.protocol"),
    "serving.engines": ("serving",),
    "serving.query": ("serving", "serving.client", "serving.protocol"),
    "serving.rollout": (
        *("serving", "serving.client", "serving.engines", "serving.protocol", "serving.query"),
    ),
    "serving.scoring.formats": ("serving", "serving.protocol", "serving.query"),
    "serving.scoring": (
        *("serving", "serving.client", "serving.protocol", "serving.query", "serving.rollout"),
        *("serving.scoring.formats", "serving.server.servables"),
    ),
    "serving.watching": ("drift", "serving", "serving.protocol"),
    "serving.commands": (
        *("serving", "serving.client", "serving.engines", "serving.query", "serving.rollout"),
        *("serving.scoring", "serving.watching"),
    ),
}


@cache
def imported(path: Path) -> frozenset[str]:
    """Returns the dotted names that a file imports anywhere, for types and in functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            names |= {one if one in MODULES else str(node.module) for one in inner}
    return frozenset(names)


def arrows(module: str) -> set[str]:
    """Returns the modules of this project that a module imports."""
    return {name for name in imported(MODULES[module]) if name in MODULES} - {module}


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def folder(module: str) -> str:
    """Returns the package that holds a module."""
    return module if MODULES[module].name == "__init__.py" else module.rpartition(".")[0]


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_each_module_imports_only_what_its_package_may(path):
    used = roots(path)
    package = path.relative_to(ROOT).parts[0]
    if package == "architectures":
        allowed = {"architectures", "keras", "keras_hub", "numpy"}
        if path.stem.endswith("checkpoints"):
            allowed |= {"safetensors"}
        if path.name == "applications.py":
            allowed |= {"h5py"}
        if path.name == "drawing.py":
            allowed |= {"matplotlib"}
        assert used - set(sys.stdlib_module_names) <= allowed
    elif package == "benchmarks":
        # Servers are processes there, as they are for anybody who uses them.
        assert not any(name.startswith("serving.server") for name in imported(path))
    elif package == "drift":
        assert used - set(sys.stdlib_module_names) <= {"PIL", "drift", "numpy", "scipy"}
    elif package == "foundry":
        assert "benchmarks" not in used
    elif package == "pipelines":
        assert not used & {"benchmarks", "foundry", "serving"}
    else:
        assert not used & {"architectures", "benchmarks", "foundry", "pipelines"}
        if "server" not in path.parts:
            assert not used & {"tensorflow", "tensorflow_serving", "keras"}
        if path.name != "model_registry.py":
            assert "mlflow" not in used


def test_there_is_no_circle_of_imports():
    """Nor among imports for types alone, or within functions."""
    left = {module: arrows(module) for module in MODULES}
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize("package", BELOW)
def test_imports_point_downward(package):
    upward = [
        f"{module} imports {other}"
        for module in MODULES
        if folder(module) == package
        for other in arrows(module)
        if folder(other) not in (package, *BELOW[package])
        # The table of pipelines has each task's row, and recipes have its options.
        and not (
            (module == "pipelines.catalog" or package == "pipelines.recipes")
            and other.endswith(".config")
        )
    ]
    assert upward == []


def test_nothing_below_the_tasks_imports_a_task_but_the_table_and_recipes_its_row():
    for module in MODULES:
        if module.startswith("pipelines") and not module.startswith("pipelines.tasks"):
            tasks = {name for name in arrows(module) if name.startswith("pipelines.tasks.")}
            rows = {name for name in tasks if name.endswith(".config")}
            has_rows = module == "pipelines.catalog" or folder(module) == "pipelines.recipes"
            assert tasks == (rows if has_rows else set()), module


def test_the_server_needs_only_the_protocol_of_the_rest():
    for module in MODULES:
        if module.startswith("serving.server"):
            others = {n for n in arrows(module) if not n.startswith("serving.server")}
            assert {folder(name) for name in others} <= {"serving", "serving.protocol"}, module


def test_only_the_session_uses_private_parts_of_tensorflow():
    private = {
        relative(path)
        for path in FILES
        if any(name.startswith("tensorflow.python") for name in imported(path))
    }
    assert private == {"serving/server/servables/session.py"}


CONFIGS = sorted({PIPELINES[name].task.rpartition(".")[0] + ".config" for name in PIPELINES})


def without_tensorflow(program: str) -> None:
    """Runs a program in a process of its own that may not import TensorFlow."""
    guard = "import sys; sys.modules['tensorflow'] = None; sys.modules['keras'] = None; "
    done = subprocess.run(
        [sys.executable, "-c", guard + program],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr


def test_listing_and_configs_need_no_tensorflow():
    imports = "; ".join(f"import {config}" for config in CONFIGS)
    without_tensorflow(f"{imports}; import architectures; architectures.names()")


def test_the_help_of_every_pipeline_needs_no_tensorflow():
    without_tensorflow(
        "import contextlib, io\n"
        "from pipelines.__main__ import main\n"
        "from pipelines.catalog import PIPELINES\n"
        "for name in PIPELINES:\n"
        "    text = io.StringIO()\n"
        "    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):\n"
        "        main([name, '--help'])\n"
        "    assert '--architecture' in text.getvalue(), name\n"
    )


def test_the_client_needs_no_tensorflow():
    without_tensorflow("from serving.client import AsyncClient, Client, example, image")
