"""Who may import whom, as docs/architecture.md says."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted(
    path
    for package in ("architectures", "benchmarks", "pipelines", "serving")
    for path in (ROOT / package).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Returns the dotted names that a file imports anywhere, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names |= {str(node.module), *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_each_module_imports_only_what_its_room_may(path):
    used = roots(path)
    package = path.relative_to(ROOT).parts[0]
    if package == "architectures":
        allowed = {"architectures", "keras", "keras_hub", "numpy"}
        if path.name == "checkpoints.py":
            allowed |= {"safetensors"}
        assert used - set(sys.stdlib_module_names) <= allowed
    elif package == "benchmarks":
        # Servers are processes there, as they are for anybody who uses them.
        assert not any(name.startswith("serving.server") for name in imported(path))
    elif package == "pipelines":
        assert not used & {"benchmarks", "serving"}
    else:
        assert not used & {"architectures", "benchmarks", "pipelines"}
        if "server" not in path.parts:
            assert not used & {"tensorflow", "tensorflow_serving", "keras"}
        if path.name != "model_registry.py":
            assert "mlflow" not in used


def test_only_the_runtime_uses_private_parts_of_tensorflow():
    private = {
        relative(path)
        for path in MODULES
        if any(name.startswith("tensorflow.python") for name in imported(path))
    }
    assert private == {"serving/server/servables/session.py"}
