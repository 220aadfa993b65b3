"""The chains of commands on docs/pipelines.md, where a run continues what an earlier one made.

Runs that nothing continues are only begun, but for the first student: it is another network than
those of the other tests that go all the way.
"""

from __future__ import annotations

import mlflow
import pytest

from pipelines.__main__ import main
from tests.end_to_end.beginning import begun
from tests.test_readme import ROOT, commands

# The page's own architectures, data sets and hyperparameters; only less of the data, once.
SHORT = ("--epochs", "1", "--figures", "false")
LITTLE = ("--max_examples", "120")  # A student has its teacher's.
PAGE = commands((ROOT / "docs/pipelines.md").read_text())


def chains(page: list[list[str]]) -> list[list[list[str]]]:
    """Returns the commands that an earlier run is needed for, each chain after its first run."""
    found: list[list[list[str]]] = []
    for number, arguments in enumerate(page):
        used = next((each for each in arguments if each.startswith(("models:/", "runs:/"))), "")
        if not used:
            continue
        name = used.split("/")[1]
        # A run without a name is the one of the line before.
        first = next((each for each in page if each[-2:] == ["--name", name]), page[number - 1])
        chain = next((chain for chain in found if chain[0] == first), None)
        if chain is None:
            chain = [first]
            found.append(chain)
        chain.append(arguments)
    return found


CHAINS = chains(PAGE)


@pytest.mark.slow
def test_each_command_finds_what_the_ones_before_have_made(store, at_once, capsys):
    # ELECTRA's twelve layers take minutes; test_pretraining.py runs its chain with small ones.
    first, *others = CHAINS[0]
    assert main([*first, *SHORT, *LITTLE]) == 0, capsys.readouterr().err
    student = next(each for each in others if each[0] == "distillation")
    assert main([*student, *SHORT]) == 0, capsys.readouterr().err
    assert mlflow.MlflowClient().get_registered_model("era_small")
    for arguments in others:
        if arguments is not student:
            little = () if arguments[0] == "distillation" else LITTLE
            assert begun(arguments, *SHORT, *little).count_params()


def test_there_are_chains():
    made = [[arguments[0] for arguments in chain] for chain in CHAINS]
    assert made == [
        [*("text_classification", "text_classification"), *("distillation", "distillation")],
        ["electra_pretraining", "text_classification"],
        ["image_classification", "image_segmentation"],
    ]
