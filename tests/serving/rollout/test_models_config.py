"""`models.config` as state: steps that never leave a label alone, and entries of others."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.errors import UserError
from serving.rollout import models_config
from serving.rollout.models_config import Entry

FOREIGN = """
model_config_list {
  config {
    name: "other" base_path: "/srv/other" model_platform: "tensorflow"
    logging_config { log_collector_config { type: "own" filename_prefix: "/logs/other" } }
  }
  config {
    name: "digits" base_path: "/models/digits" model_platform: "tensorflow"
    model_version_policy { specific { versions: 1 } }
    version_labels { key: "stable" value: 1 }
  }
}
"""

labels = st.dictionaries(st.sampled_from(["stable", "canary", "beta"]), st.integers(1, 5))
with_stable = st.builds(lambda n, more: Entry.of({**more, "stable": n}), st.integers(1, 5), labels)


@given(with_stable, with_stable)
def test_at_every_step_each_label_has_its_version_and_stable_answers(before, after):
    way = [before, *models_config.steps(before, after)]
    assert way[-1] == after
    for step in way:
        assert "stable" in step.labels
        assert set(step.labels.values()) <= step.versions
    for last, step in pairwise(way):
        moved = {n for label, n in step.labels.items() if last.labels.get(label) != n}
        assert moved <= last.versions, "a label moves only to what is loaded already"
        kept = {last.labels[label] for label in last.labels.keys() & step.labels.keys()}
        gone = last.versions - step.versions
        assert not gone & (kept & set(step.labels.values()))
        assert not (gone and moved), "nothing goes in the step in which labels move"


@given(labels.map(Entry.of), labels.map(Entry.of), with_stable)
def test_a_configuration_reads_as_it_was_written(digits, other, last):
    config = models_config.parse("", "")
    for name, entry in (("digits", digits), ("other", other), ("digits", last)):
        config = models_config.changed(config, name, f"/models/{name}", entry)
    config = models_config.parse(models_config.text(config), "")
    assert models_config.entry(config, "digits") == last
    assert models_config.entry(config, "other") == other
    assert set(models_config.names(config)) == {"digits"} | ({"other"} if other.versions else set())


def test_what_others_wrote_stays():
    config = models_config.parse(FOREIGN, "models.config")
    changed = models_config.changed(config, "digits", "/elsewhere", Entry.of({"stable": 2}))
    assert models_config.entry(config, "digits") == Entry.of({"stable": 1})
    assert changed.model_config_list.config[0] == config.model_config_list.config[0]
    assert changed.model_config_list.config[1].base_path == "/models/digits"
    assert models_config.entry(changed, "digits") == Entry.of({"stable": 2})
    assert models_config.names(models_config.changed(changed, "digits", "", Entry())) == ["other"]


def test_models_are_told_as_they_are_written():
    other, digits = models_config.models(models_config.parse(FOREIGN, ""))
    assert (other.name, other.versions, other.base_path) == ("other", 1, "/srv/other")
    assert (digits.versions, digits.labels) == ([1], {"stable": 1})
    assert other.logging_config.log_collector_config.filename_prefix == "/logs/other"
    assert digits.logging_config is None


def test_another_policy_is_refused():
    config = models_config.parse(FOREIGN, "")
    with pytest.raises(UserError, match="serves other by another policy than `specific`"):
        models_config.entry(config, "other")


def test_a_model_without_a_platform_is_refused_as_servers_would_refuse_all_reloads_after_it():
    text = FOREIGN.replace('base_path: "/srv/other" model_platform: "tensorflow"', "")
    with pytest.raises(UserError) as raised:
        models_config.parse(text, "models/models.config")
    assert str(raised.value) == (
        "models/models.config gives other no platform, so servers would refuse it; add "
        'model_platform: "tensorflow" to its entry'
    )


@pytest.mark.parametrize(
    "text", ["model_config_list {", "model_config_list { config { unknown { } } }", "x: 1"]
)
def test_what_would_be_lost_is_not_read(text):
    with pytest.raises(UserError, match=r"^models\.config is not a ModelServerConfig"):
        models_config.parse(text, "models.config")
