"""The order in which `--help` shows options: what people change daily first, the rest grouped."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Collection, Iterator

from pipelines.config import Config
from pipelines.recipe import Recipe

# Titles with options, or beginnings of options, in the order of the help. An option is in the first
# group that names it.
_GROUPS: dict[str, tuple[str, ...]] = {
    "daily options": (
        *("dataset", "teacher", "recipe", "architecture", "model", "weights", "encoder"),
        *("epochs", "batch_size", "optimizer.learning_rate", "patience", "seed", "seeds"),
        *("name", "resume"),
    ),
    "augmentation of training examples": (
        *("augmentation.", "word_dropout", "token_cutoff", "jitter", "random_scaling"),
    ),
    "optimizer and learning-rate schedule": ("optimizer.",),
    "loss": ("loss", "label_smoothing", "class_weights", "l1", "l2"),
    "fine-tuning": ("freeze", "freeze_layers", "unfreeze_every", "layer_decay"),
    "devices and speed": (
        *("strategy", "devices", "precision", "jit_compile", "steps_per_execution"),
        *("deterministic", "data_service", "cache"),
    ),
    "diagnosis": ("diagnose", "find_learning_rate"),
    "checkpoints and early stopping": ("keep", "monitor", "checkpoint_every", "on_nan"),
    "data": ("max_examples", "data_dir", "manual_dir"),
    "own files": ("skip_bad", "split_seed", "separator", "encoding"),
    "tracking": ("figures", "run_name", "tag", "note"),
}
_TRAINING = "other options of training"


def group(parser: argparse.ArgumentParser, pipeline: str, defaults: Config) -> None:
    """Shows a parser's options in groups.

    Args:
        parser: Its options are the fields of `defaults`, and few others, which stay where they are.
        pipeline: Its name.
        defaults: Its config.
    """
    training = {each.name for each in dataclasses.fields(Recipe)}
    own = f"{pipeline.replace('_', ' ')} options"
    named = {*defaults.parameters(), "model"}
    left = {action.dest: action for action in parser._actions}
    for option, action in left.items():
        if option != "model" and any(name.startswith(f"{option}.") for name in named):
            action.help = argparse.SUPPRESS  # A file with a group's options; --config has all.
    moved = {option: action for option, action in left.items() if option in named}
    for existing in parser._action_groups:
        stay = [action for action in existing._group_actions if action.dest not in moved]
        existing._group_actions[:] = stay
    groups: dict[str, list[argparse.Action]] = {}
    for title, names in _titles(own):
        groups[title] = [moved.pop(option) for option in _matching(moved, names)]
    for option, action in moved.items():
        groups[_TRAINING if option in training else own].append(action)
    for title, actions in groups.items():
        parser.add_argument_group(title)._group_actions.extend(actions)


def _titles(own: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yields all titles in order; what a task has besides comes after the daily options."""
    for number, (title, names) in enumerate(_GROUPS.items()):
        yield title, names
        if not number:
            yield own, ()
    yield _TRAINING, ()


def _matching(options: Collection[str], names: tuple[str, ...]) -> list[str]:
    """Returns the options that are among `names`, or begin like one that ends in a point."""
    return [
        option
        for name in names
        for option in options
        if option == name or (name[-1] == "." and option.startswith(name))
    ]
