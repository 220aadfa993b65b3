"""The call of a client that a model card shows: complete code, which runs as it stands."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.export.signature import Signature

# An input with more numbers is shown as zeros, with more text as a file.
_MAX_NUMBERS = 12
_MAX_TEXT = 300
ADDRESS = "localhost:8500"
FILE = "FILE"


def call(model: str, signature: Signature) -> str:
    """Returns Python code that asks a served model for the first example of a signature.

    Args:
        model: The name under which it is served.
        signature: The signature to ask.
    """
    inputs = {name: _literal(array[:1]) for name, array in signature.examples.items()}
    named = "" if signature.name == "serving_default" else f", signature={signature.name!r}"
    lines = ["from serving.client import Client", ""]
    if any(text.startswith("np.") for text in inputs.values()):
        lines.insert(0, "import numpy as np\n")
    lines += ["inputs = {", *(f"    {name!r}: {text}," for name, text in inputs.items()), "}"]
    lines += [
        f'with Client("{ADDRESS}") as client:',
        f"    answers = client.predict({model!r}, inputs{named})",
        "for name, answer in answers.items():",
        "    print(name, answer[0])",
    ]
    return "\n".join([*lines, ""])


def _literal(array: np.ndarray) -> str:
    """Returns an input of one example, [1, ...], as an expression."""
    if array.dtype.kind in "OSU":
        texts = _decoded(array.tolist())
        if texts is None or len(repr(texts)) > _MAX_TEXT:
            return f'[open("{FILE}", "rb").read()]'
        return repr(texts)
    if array.size > _MAX_NUMBERS:
        return f"np.zeros({array.shape}, {array.dtype.name!r})"
    return f"np.array({array.tolist()}, {array.dtype.name!r})"


def _decoded(value: Any) -> Any:
    """Returns nested lists of texts instead of bytes; None if some are no UTF-8."""
    if isinstance(value, list):
        inner = [_decoded(each) for each in value]
        return None if any(each is None for each in inner) else inner
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        return None
