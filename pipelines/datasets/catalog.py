"""The table of data sets: those bundled with this project, and those of other packages.

A bundled data set needs no network. Another package adds a data set by an entry point of the group
`keras_foundry.datasets`, whose value is `module:Builder`, a TFDS builder class, and whose name is
the builder's; docs/adding-a-dataset.md has an example. All other names are those of TFDS.

Importing this module registers the bundled builders with TFDS, so that `tfds.load("digits")` works.
"""

from __future__ import annotations

import functools
from typing import Any

import tensorflow_datasets as tfds

from architectures import plugins
from architectures.plugins import Plugins
from pipelines.datasets.builders.address_questions import AddressQuestions
from pipelines.datasets.builders.bible_en_es import BibleEnEs
from pipelines.datasets.builders.brain_slices import BrainSlices
from pipelines.datasets.builders.cmudict import Cmudict
from pipelines.datasets.builders.cmudict_stress import CmudictStress
from pipelines.datasets.builders.cmudict_syllables import CmudictSyllables
from pipelines.datasets.builders.digit_scenes import DigitScenes
from pipelines.datasets.builders.digits import Digits
from pipelines.datasets.builders.digits_canvas import DigitsCanvas
from pipelines.datasets.builders.hironsan import Hironsan
from pipelines.datasets.builders.series import Births, Co2, Elnino, Sunspots
from pipelines.datasets.builders.sotu_cloze import SotuCloze
from pipelines.datasets.builders.sotu_era import SotuEra
from pipelines.datasets.builders.sotu_sentences import SotuSentences
from pipelines.datasets.builders.sotu_text import SotuText
from pipelines.datasets.builders.us_addresses import UsAddresses
from pipelines.datasets.builders.wordnet_glosses import WordnetGlosses
from pipelines.errors import UserError

GROUP = "keras_foundry.datasets"

BUNDLED: dict[str, type[tfds.core.DatasetBuilder]] = {
    builder.name: builder
    for builder in (
        Digits,
        BrainSlices,
        DigitsCanvas,
        DigitScenes,
        CmudictSyllables,
        SotuEra,
        WordnetGlosses,
        SotuCloze,
        SotuSentences,
        SotuText,
        CmudictStress,
        UsAddresses,
        AddressQuestions,
        Hironsan,
        BibleEnEs,
        Cmudict,
        Elnino,
        Sunspots,
        Co2,
        Births,
    )
}


@functools.cache
def foreign() -> Plugins[type]:
    """Returns the builders that other installed packages add; importing them registers them.

    Raises:
        UserError: A name is defined twice.
    """
    try:
        found = plugins.load(GROUP, type, BUNDLED)
    except ValueError as error:
        raise UserError(str(error)) from error
    for name, builder in list(found.objects.items()):
        if reason := _reason_against(name, builder):
            del found.objects[name]
            found.problems[name] = problem(name, found.distributions.pop(name), reason)
    return found


def problem(name: str, package: str, reason: str) -> str:
    """Returns one sentence on why a data set of another package cannot be used."""
    return f"the data set {name!r} of {package} cannot be used: {' '.join(reason.split())}"


def _reason_against(name: str, builder: Any) -> str:
    """Returns why a class cannot be the builder of the data set `name`; empty if it can."""
    if not issubclass(builder, tfds.core.DatasetBuilder):
        return f"{builder.__name__} is not a TFDS builder"
    if builder.name != name:
        return f"the name of {builder.__name__} is {builder.name!r}, not {name!r}"
    return ""


def names() -> list[str]:
    """Returns the names of the bundled data sets, then of those of other packages.

    Raises:
        UserError: A name is defined twice.
    """
    return [*BUNDLED, *foreign().objects]
