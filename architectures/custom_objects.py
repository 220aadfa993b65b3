"""Registers every layer of the architectures with Keras, those of other packages too.

With this import, Keras loads the file of any network that was built here:

    import architectures.custom_objects
    import keras

    network = keras.models.load_model("model.keras")
"""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

from architectures.catalog import foreign


def register() -> list[str]:
    """Imports every module that may register layers with Keras.

    Returns:
        One sentence for each package that cannot be imported.
    """
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        if not module.name.startswith("_"):
            importlib.import_module(f"architectures.{module.name}")
    problems = list(foreign().problems.values())
    for name, architecture in foreign().objects.items():
        try:
            importlib.import_module(architecture.builder.partition(":")[0])
        except Exception as error:  # Code of another package may raise anything.
            problems.append(f"{architecture.builder} of {name} cannot be imported: {error}")
    return problems


register()
