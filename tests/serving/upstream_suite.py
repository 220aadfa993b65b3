"""`python -m tests.serving.upstream_suite CHECKOUT [TEST …]`: TensorFlow Serving's end-to-end test.

It runs tensorflow_serving/model_servers/tensorflow_model_server_test.py of a checkout of
tensorflow/serving, tag 2.20.0, against this project's server. Nothing in the checkout is changed.

The test was written for Keras 2. Its two Keras models are exported here with the name of the input
that it asks for, and with variables that a session can restore: Keras 3 leaves mirrored ones out.
"""

from __future__ import annotations

import argparse
import os
import runpy
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_serving
from tensorflow.python.platform import flags

ROOT = Path(__file__).resolve().parent.parent.parent
CLASS = "TensorflowModelServerTest"
TEXT_MODEL = "servables/tensorflow/testdata/tf_text_regression/01/saved_model.pb"
_save = tf.saved_model.save


def main() -> None:
    """Runs the named tests, or all that this server can pass; exits with unittest's code."""
    parser = argparse.ArgumentParser()
    parser.add_argument("checkout", type=Path)
    parser.add_argument("tests", nargs="*", metavar="TEST")
    options = parser.parse_args()
    sources = options.checkout.resolve() / "tensorflow_serving"
    test = sources / "model_servers" / "tensorflow_model_server_test.py"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TEST_SRCDIR"] = str(_with_server(Path(folder) / "srcdir", sources))
        os.environ["TEST_TMPDIR"] = str(Path(folder) / "tmp")
        tensorflow_serving.__path__.append(str(sources))
        flags.os = os  # The test takes it from there.
        tf.saved_model.save = tf.compat.v1.saved_model.save = _export
        names = options.tests or _tests(test, sources)
        sys.argv = [str(test), *(f"{CLASS}.{name}" for name in names)]
        runpy.run_path(str(test), run_name="__main__")


def _with_server(folder: Path, sources: Path) -> Path:
    """Lays out what Bazel would: the test's data, and the server's command beside them."""
    inside = folder / "tf_serving" / "tensorflow_serving"
    (inside / "model_servers").mkdir(parents=True)
    (inside / "servables").symlink_to(sources / "servables")
    server = inside / "model_servers" / "tensorflow_model_server"
    python = shlex.quote(sys.executable)
    server.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {python} -m serving.server "$@"\n'
    )
    server.chmod(0o755)
    return folder


def _tests(test: Path, sources: Path) -> list[str]:
    """Returns the names of the tests but those that cannot pass, in unittest's order."""
    left_out = {"test_profiler_service_with_valid_trace_request": "there is no profiler"}
    if not (sources / TEXT_MODEL).exists():
        left_out["test_tf_text"] = "the checkout lacks its model"
    for name, reason in left_out.items():
        print(f"{name} is left out: {reason}", file=sys.stderr)
    lines = (line.strip() for line in test.read_text().splitlines())
    names = (line[4:].partition("(")[0] for line in lines if line.startswith("def test"))
    # One of them sets up TensorFlow, and must not come late.
    return sorted(name for name in names if name not in left_out)


def _export(model: Any, path: str, *arguments: Any, **options: Any) -> None:
    if not isinstance(model, tf.keras.Model):
        return _save(model, path, *arguments, **options)
    module = tf.Module()
    weights = model.get_weights()
    if weights:  # The mirrored one: a dense layer.
        with tf.distribute.MirroredStrategy(devices=("/cpu:0", "/cpu:1")).scope():
            module.kernel, module.bias = map(tf.Variable, weights)

    def run(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": x @ module.kernel + module.bias if weights else model(x)}

    module.model = model
    signature = tf.function(run, input_signature=[tf.TensorSpec([None, 1], tf.float32, "x")])
    return _save(module, path, signatures=signature)


if __name__ == "__main__":
    main()
