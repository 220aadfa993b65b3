"""The space of a sweep: the options that vary, each with a range or choices, read from YAML.

    optimizer.learning_rate: {low: 1e-4, high: 1e-1, log: true}
    model.dropout: {low: 0, high: 0.5, step: 0.1}
    model.filters: [[16, 32], [32, 64]]
    batch_size: [32, 64, 128]

A range of a hyperparameter of a model is one of integers where all its numbers are written so.
Names may be nested as well, `optimizer: {learning_rate: …}`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from architectures.words import nearest
from pipelines.config import Config, check
from pipelines.errors import UserError

# Options that describe a run, or that decide what it is measured on.
_NOT_SWEPT = (
    *("dataset", "data_dir", "manual_dir", "max_examples", "skip_bad", "split_seed", "separator"),
    *("encoding", "name", "figures", "run_name", "tag", "note", "seeds", "config", "teacher"),
    *("recipe", "resume", "diagnose", "find_learning_rate"),
)
_KEYS = ("low", "high", "log", "step")
# Rounding of decimal fractions, relative to a step.
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included.

    Attributes:
        low: The lowest; whole numbers if it is an integer.
        high: The highest.
        log: Whether ratios count and not differences.
        step: Distance between neighbors; None for all numbers.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int)

    @property
    def ends(self) -> tuple[float, ...]:
        """The values to check: whatever lies between two that can be used can be used, too."""
        return (self.low, self.high)

    def grid(self) -> list[float] | None:
        """Returns all values; None if there is no end of them."""
        step = self.step or (1 if self.whole else None)
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + _TOLERANCE) + 1
        if self.whole:
            return [self.low + index * int(step) for index in range(count)]
        return [round(self.low + index * step, 12) for index in range(count)]


@dataclass(frozen=True)
class Choices:
    """Values to choose from, in no order.

    Attributes:
        values: Numbers, texts, truth values, or lists and mappings of them.
    """

    values: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        return self.values

    @property
    def texts(self) -> tuple[str, ...]:
        """The values as JSON, by which Optuna's databases keep them."""
        return tuple(json.dumps(value) for value in self.values)

    def grid(self) -> list[str]:
        return list(self.texts)


Space = Mapping[str, Range | Choices]


def read(file: Path, configure: Callable[[Mapping[str, Any]], Config]) -> Space:
    """Reads a space, and checks each of its options, and each end of a range and each choice.

    Args:
        file: The YAML file.
        configure: Returns the config of a trial with some options.

    Raises:
        UserError: The file cannot be read, or an option or a value cannot be used; the message
            names the line.
    """
    try:
        text = file.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--space {file} cannot be read: {_reason(error)}") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UserError(f"{file}{line}: {error.problem or 'no YAML'}") from error
    if not isinstance(root, yaml.MappingNode):
        raise UserError(f"--space {file} must hold options, each with a range or choices")
    base = configure({})
    space: dict[str, Range | Choices] = {}
    for name, node in _options(root, "", base):
        place = f"{file}, line {node.start_mark.line + 1}"
        try:
            if name in space:
                raise UserError(f"{name} is there twice")
            space[name] = _parameter(name, node, base)
            _check(name, space[name], configure)
        except UserError as error:
            raise UserError(f"{place}: {error}") from error
    if not space:
        raise UserError(f"--space {file} must hold options, each with a range or choices")
    return space


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()


def _options(root: yaml.MappingNode, prefix: str, base: Config) -> Iterator[tuple[str, yaml.Node]]:
    """Yields the options with their nodes; nested names are joined."""
    for key, node in root.value:
        name = f"{prefix}{key.value}".replace("-", "_")
        keys = {inner.value for inner, _ in node.value} if _is_mapping(node) else set()
        nested = isinstance(base.options().get(name), dict)
        if nested and keys and not keys <= set(_KEYS):
            yield from _options(node, f"{name}.", base)
        else:
            yield name, node


def _is_mapping(node: yaml.Node) -> bool:
    return isinstance(node, yaml.MappingNode)


def _parameter(name: str, node: yaml.Node, base: Config) -> Range | Choices:
    """Returns the range or the choices of an option."""
    known = [option for option in base.parameters() if option not in _NOT_SWEPT]
    if name in _NOT_SWEPT:
        raise UserError(f"{name} cannot vary within a sweep")
    if name == "seed":
        raise UserError("seed cannot vary, as the luckiest would win; --seeds 5 takes several")
    if name not in known and not name.startswith("model."):
        near = nearest(name, known).removesuffix("; ")
        raise UserError(f"there is no option {name}{'; ' * bool(near)}{near}")
    value = _value(node)
    if isinstance(value, dict):
        return _range(name, value, whole=_is_whole(name, value, base))
    if isinstance(value, list):
        return _choices(name, value)
    raise UserError(
        f"{name} must have a range, as {{low: 1, high: 9}}, or a list of choices; a value that "
        f"does not vary is an option of the command: --{name} {json.dumps(value)}"
    )


def _value(node: yaml.Node) -> Any:
    """Returns the value of a node; YAML 1.1 takes 1e-4 for a text."""
    loader = yaml.SafeLoader("")
    try:
        return _numbers(loader.construct_document(node))
    except yaml.YAMLError as error:
        raise UserError(str(error).partition("\n")[0]) from error


def _numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _numbers(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_numbers(each) for each in value]
    if isinstance(value, str) and value[:1] in "+-.0123456789":
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _choices(name: str, values: list[Any]) -> Choices:
    choices = Choices(tuple(values))
    if not values:
        raise UserError(f"{name} has no choices")
    if len(set(choices.texts)) < len(values):
        raise UserError(f"{name} has a choice twice")
    return choices


def _range(name: str, value: dict[str, Any], *, whole: bool) -> Range:
    for key in value:
        if key not in _KEYS:
            near = nearest(str(key), _KEYS)
            raise UserError(f"{name}: a range has low, high, log and step, not {key}; {near}"[:-2])
    missing = [key for key in ("low", "high") if key not in value]
    if missing:
        raise UserError(f"{name}: a range needs {' and '.join(missing)}")
    for key in ("low", "high", "step"):
        number = value.get(key, 1)
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise UserError(f"{name}: {key} must be a number, not {number}")
        if not math.isfinite(number):
            raise UserError(f"{name}: {key} must be finite, not {number}")
        if whole and key in value and number != int(number):
            raise UserError(f"{name}: {key} must be an integer, not {number}")
    if not isinstance(value.get("log", False), bool):
        raise UserError(f"{name}: log must be true or false, not {value['log']}")
    kind: Any = int if whole else float
    step = kind(value["step"]) if "step" in value else None
    found = Range(kind(value["low"]), kind(value["high"]), value.get("log", False), step)
    _check_range(name, found)
    return found


def _check_range(name: str, found: Range) -> None:
    if not found.low < found.high:
        raise UserError(f"{name}: low must be below high, not {found.low} and {found.high}")
    if found.log and found.low <= 0:
        raise UserError(f"{name}: low must be above 0 for log, not {found.low}")
    if found.step is None:
        return
    if found.log:
        raise UserError(f"{name}: a range has log or step, not both")
    if found.step <= 0:
        raise UserError(f"{name}: step must be above 0, not {found.step}")
    steps = (found.high - found.low) / found.step
    if abs(steps - round(steps)) > _TOLERANCE or round(steps) < 1:
        raise UserError(
            f"{name}: high must be a whole number of steps of {found.step} above low, not "
            f"{steps:.6g}"
        )


def _is_whole(name: str, value: Mapping[str, Any], base: Config) -> bool:
    """Returns whether an option is an integer; of a hyperparameter, whether it is written so."""
    if name.startswith("model."):
        return all(isinstance(value[key], int) for key in ("low", "high", "step") if key in value)
    default = base.parameters()[name]
    if isinstance(default, bool) or not isinstance(default, int | float):
        raise UserError(f"{name} is no number, and takes a list of choices")
    return isinstance(default, int)


def _check(name: str, parameter: Range | Choices, configure: Callable) -> None:
    """Checks the values that decide whether all can be used, as the command line would."""
    for value in parameter.ends:
        check(configure({name: value}))


def size(space: Space) -> int | None:
    """Returns the number of combinations; None if there is no end of them."""
    grids = [parameter.grid() for parameter in space.values()]
    return None if None in grids else math.prod(len(grid) for grid in grids if grid is not None)
