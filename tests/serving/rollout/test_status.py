"""Differences between registry, repository, configuration and server, and their fixes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from rich.console import Console

from serving.client.calls import VersionStatus
from serving.rollout import status
from serving.rollout.model_registry import Registered
from serving.rollout.models_config import Entry
from serving.rollout.status import ModelStatus, ServerStatus

AT = "localhost:8500"


def registered(number: int, *aliases: str, blessed: bool = True) -> Registered:
    tags = {"blessed": "true"} if blessed else {}
    return Registered("digits", number, "run", "source", "", aliases, tags)


def served(labels: dict[str, int], **states: str) -> ServerStatus:
    numbers = {int(name.removeprefix("v")): state for name, state in states.items()}
    return ServerStatus({n: VersionStatus(n, state, "") for n, state in numbers.items()}, labels)


LABELS = {"stable": 1, "canary": 2}
AGREED = ModelStatus(
    "digits",
    {1: registered(1, "champion"), 2: registered(2, "challenger"), 3: registered(3)},
    {1: "", 2: "", 3: ""},
    frozenset(),
    Entry.of(LABELS),
    served(LABELS, v1="AVAILABLE", v2="AVAILABLE", v3="END"),
)


def test_where_all_agree_there_is_nothing_to_say():
    assert status.differences(AGREED, AT) == []


DIFFERENCES = {
    "a missing folder": (
        replace(AGREED, faults={1: "", 3: ""}),
        "digits version 2 is to be served, but its folder is missing: "
        "python -m serving deploy digits --version 2",
    ),
    "damaged files": (
        replace(AGREED, faults={1: "", 2: "", 3: "it has no readable deployment.json"}),
        "digits version 3 is damaged, as it has no readable deployment.json: "
        "python -m serving undeploy digits --version 3 --force",
    ),
    "another champion": (
        replace(
            AGREED,
            registered={
                1: registered(1),
                2: registered(2, "challenger"),
                3: registered(3, "champion"),
            },
        ),
        "the champion of digits is version 3, but version 1 is stable: python -m serving deploy "
        "digits to serve it, or python -m serving promote digits --version 1 to let the registry "
        "follow",
    ),
    "a champion and nothing stable": (
        replace(AGREED, entry=Entry(), server=served({}, v1="END", v2="END", v3="END")),
        "the champion of digits is version 1, but no version is stable: "
        "python -m serving deploy digits",
    ),
    "a version without a label": (
        replace(
            AGREED,
            entry=Entry(frozenset({1, 2, 3}), LABELS),
            server=served(LABELS, v1="AVAILABLE", v2="AVAILABLE", v3="AVAILABLE"),
        ),
        "digits version 3 is to be served without a label: "
        "python -m serving promote digits --version 1",
    ),
    "a version without a label where none is stable": (
        replace(
            AGREED,
            registered={1: registered(1)},
            faults={1: ""},
            entry=Entry(frozenset({1})),
            server=served({}, v1="AVAILABLE"),
        ),
        "digits version 1 is to be served without a label: python -m serving deploy digits",
    ),
    "no champion": (
        replace(AGREED, registered={1: registered(1), 2: registered(2, "challenger")}),
        "version 1 of digits is stable, but the registry has no champion: "
        "python -m serving promote digits --version 1",
    ),
    "no challenger": (
        replace(AGREED, registered={1: registered(1, "champion"), 2: registered(2)}),
        "the canary of digits is version 2, but the registry's challenger is none: "
        "python -m serving promote digits --label canary --version 2",
    ),
    "not registered": (
        replace(
            AGREED,
            registered={1: registered(1, "champion", "challenger")},
            entry=Entry.of({"stable": 1, "beta": 2}),
            server=served({"stable": 1, "beta": 2}, v1="AVAILABLE", v2="AVAILABLE"),
        ),
        "version 2 of digits is beta, but it is not registered: "
        "python -m serving undeploy digits --version 2 --force",
    ),
    "not blessed": (
        replace(
            AGREED,
            registered={
                1: registered(1, "champion", blessed=False),
                2: registered(2, "challenger"),
            },
        ),
        "version 1 of digits is verified, but the registry has no tag blessed: "
        "python -m serving deploy digits --version 1 --label stable",
    ),
    "no server": (
        replace(AGREED, server=None),
        "no model server answers at localhost:8500: python -m serving up",
    ),
    "a label elsewhere": (
        replace(
            AGREED,
            server=served({"stable": 2, "canary": 2}, v1="AVAILABLE", v2="AVAILABLE"),
        ),
        "stable of digits is version 1, but version 2 answers to it: python -m serving promote "
        "digits --label stable --version 1 --address localhost:8500",
    ),
    "a label too many": (
        replace(
            AGREED,
            server=served({**LABELS, "beta": 2}, v1="AVAILABLE", v2="AVAILABLE"),
        ),
        "version 2 of digits answers to beta, which models.config does not have: "
        "python -m serving promote digits --version 1 --address localhost:8500",
    ),
    "a version too many": (
        replace(
            AGREED,
            server=served(LABELS, v1="AVAILABLE", v2="AVAILABLE", v3="AVAILABLE"),
        ),
        "digits version 3 is served and should not be: "
        "python -m serving promote digits --version 1 --address localhost:8500",
    ),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_each_difference_is_one_sentence_with_the_command_that_fixes_it(case):
    found, sentence = DIFFERENCES[case]
    assert status.differences(found, AT) == [sentence]


def test_an_unverified_version_need_not_be_blessed():
    unblessed = {**(AGREED.registered or {}), 1: registered(1, "champion", blessed=False)}
    found = replace(AGREED, registered=unblessed, unverified=frozenset({1}))
    assert status.differences(found, AT) == []


def test_a_champion_that_is_a_canary_first_is_no_difference():
    better = {1: registered(1), 2: registered(2, "champion"), 3: registered(3, "challenger")}
    assert status.differences(replace(AGREED, registered=better), AT) == []


def refused(number: int) -> Registered:
    return Registered("digits", number, "run", "source", "", (), {"gate": "refused"})


def test_a_version_that_the_gate_refused_needs_neither_alias_nor_blessing():
    for label, number in LABELS.items():
        known = {**(AGREED.registered or {}), number: refused(number)}
        assert status.differences(replace(AGREED, registered=known), AT) == [], label


def test_a_champion_beside_a_refused_stable_version_can_only_be_deployed():
    known = {1: refused(1), 2: registered(2), 3: registered(3, "champion")}
    found = replace(
        AGREED,
        registered=known,
        entry=Entry.of({"stable": 1}),
        server=served({"stable": 1}, v1="AVAILABLE"),
    )
    assert status.differences(found, AT) == [
        "the champion of digits is version 3, but version 1 is stable: python -m serving deploy "
        "digits"
    ]
    missing = replace(found, faults={3: ""})
    assert (
        "digits version 1 is to be served, but its folder is missing: "
        "python -m serving deploy digits --version 1 --force"
    ) in status.differences(missing, AT)


def test_a_challenger_that_is_no_canary_is_no_difference():
    found = replace(
        AGREED, entry=Entry.of({"stable": 1}), server=served({"stable": 1}, v1="AVAILABLE")
    )
    assert status.differences(found, AT) == []


def test_the_table_has_a_row_for_each_version():
    console = Console(width=120, record=True)
    console.print(status.table([replace(AGREED, unverified=frozenset({3}))]))
    rows = [line for line in console.export_text().splitlines() if "digits" in line]
    cells = [[cell.strip() for cell in row.strip("│ ").split("│")] for row in rows]
    assert cells == [
        ["digits", "1", "champion, blessed", "deployed", "stable", "AVAILABLE, stable"],
        ["digits", "2", "challenger, blessed", "deployed", "canary", "AVAILABLE, canary"],
        ["digits", "3", "blessed", "deployed, unverified", "-", "END"],
    ]
