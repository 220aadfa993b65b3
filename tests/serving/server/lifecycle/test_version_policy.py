"""Which versions should be served, and in which order they come and go."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.lifecycle.version_policy import Action, Policy, State, next_action

AVAILABLE, LOADING, UNLOADING = State.AVAILABLE, State.LOADING, State.UNLOADING
START, END = State.START, State.END


def test_the_states_have_the_numbers_of_the_api():
    assert {state.name: state.value for state in State} == {
        "START": 10,
        "LOADING": 20,
        "AVAILABLE": 30,
        "UNLOADING": 40,
        "END": 50,
    }


@pytest.mark.parametrize(
    ("policy", "found", "aspired"),
    [
        (Policy(), [], set()),
        (Policy(), [-3, -5], {-3}),
        (Policy(), [2, 10, 1], {10}),
        (Policy("latest", 2), [2, 10, 1], {2, 10}),
        (Policy("latest", 5), [1, 2], {1, 2}),
        (Policy("all"), [], set()),
        (Policy("all"), [1, 7], {1, 7}),
        (Policy("specific", versions=frozenset({1, 3})), [1, 2, 3], {1, 3}),
        (Policy("specific", versions=frozenset({9})), [1, 2], set()),
        (Policy("specific"), [1], set()),
    ],
)
def test_a_policy_chooses_among_the_versions_on_disk(policy, found, aspired):
    assert policy.aspired(found) == aspired


@pytest.mark.parametrize(
    ("states", "aspired", "action"),
    [
        ({}, set(), None),
        ({1: START}, {1}, Action("load", 1)),
        ({1: START, 2: START}, {1, 2}, Action("load", 2)),
        ({1: LOADING}, {1}, None),
        ({1: AVAILABLE}, {1}, None),
        ({1: END}, {1}, None),
        ({1: AVAILABLE, 2: START}, {2}, Action("load", 2)),
        ({1: AVAILABLE, 2: LOADING}, {2}, None),
        ({1: AVAILABLE, 2: AVAILABLE}, {2}, Action("unload", 1)),
        ({1: AVAILABLE, 2: END}, {2}, None),
        ({1: AVAILABLE}, set(), Action("unload", 1)),
        ({1: AVAILABLE, 2: AVAILABLE}, set(), Action("unload", 1)),
        ({1: UNLOADING, 2: AVAILABLE}, {2}, None),
        ({1: AVAILABLE, 2: AVAILABLE, 3: START}, {3}, Action("unload", 1)),
        ({1: AVAILABLE, 2: AVAILABLE, 3: LOADING}, {3}, Action("unload", 1)),
        ({1: UNLOADING, 2: START}, {2}, None),
        ({1: START}, set(), None),
    ],
)
def test_one_step_at_a_time(states, aspired, action):
    assert next_action(states, aspired) == action


class Simulation:
    """A manager without threads, folders or models: every choice is drawn."""

    def __init__(self) -> None:
        self.states: dict[int, State] = {}
        self.aspired: set[int] = set()
        self.fails: set[int] = set()

    def aspire(self, versions: set[int], fails: set[int]) -> None:
        for version in versions:
            if self.states.get(version, END) is END:
                self.states[version] = START
        self.aspired, self.fails = versions, fails

    def available(self) -> set[int]:
        return {version for version, state in self.states.items() if state is AVAILABLE}

    def step(self) -> bool:
        """Takes the next step, if there is one."""
        action = next_action(self.states, self.aspired)
        if action is None:
            return False
        if action.kind == "load":
            assert self.states[action.version] is START
            assert action.version in self.aspired
            self.states[action.version] = LOADING
        else:
            assert self.states[action.version] is AVAILABLE
            assert action.version not in self.aspired
            self.states[action.version] = UNLOADING
        return True

    def finish(self) -> bool:
        """What is under way comes to its end."""
        for version, state in self.states.items():
            if state is UNLOADING:
                self.states[version] = END
                return True
            if state is LOADING:
                self.states[version] = END if version in self.fails else AVAILABLE
                return True
        return False


numbers = st.sets(st.integers(1, 4), max_size=2)
polls = st.tuples(numbers, numbers | st.just(set()))
events = st.lists(polls | st.just("step") | st.just("finish"), max_size=50)


@settings(max_examples=500)
@given(events)
def test_whatever_comes_a_version_stays_available_and_the_aspired_ones_are_reached(events):
    simulation = Simulation()
    for event in events:
        before = simulation.available()
        if event == "step":
            simulation.step()
        elif event == "finish":
            simulation.finish()
        else:
            simulation.aspire(*event)
        assert list(simulation.states.values()).count(LOADING) <= 1
        if before and simulation.aspired:
            assert simulation.available(), f"{before} were available, and now none is"

    while simulation.step() or simulation.finish():
        pass
    simulation.aspire(simulation.aspired, simulation.fails)  # The next poll.
    while simulation.step() or simulation.finish():
        pass
    available, aspired = simulation.available(), simulation.aspired
    if aspired and not available & aspired:
        assert aspired <= simulation.fails
        assert len(available) <= 1
    else:
        assert aspired - simulation.fails <= available <= aspired
