"""Layers that are frozen, that thaw block by block, and that learn more slowly the lower they are.

Gradual unfreezing and learning rates that fall with depth: Howard & Ruder, "Universal Language
Model Fine-tuning for Text Classification", 2018, sections 3.2 and 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import keras

from architectures.words import nearest
from pipelines.errors import UserError

# Layers of one block begin alike, as "conv3_1_1" and "conv3_1_shortcut", "down2_conv1".
_BLOCK = re.compile(r"[a-z_]*\d+(_\d+)?")


def path(layer: keras.Layer) -> str:
    """Returns where a layer stands in its network, as "gru1/backward_gru1/gru_cell"."""
    return layer.weights[0].path.rpartition("/")[0] if layer.weights else layer.name


def leaves(model: keras.Layer) -> list[keras.Layer]:
    """Returns the layers, at any depth of nesting, that have weights of their own."""
    inner = {id(each): each for each in model._flatten_layers()}.values()
    return [each for each in inner if each._trainable_variables or each._non_trainable_variables]


def blocks(model: keras.Model) -> list[list[keras.Layer]]:
    """Returns the layers with weights, from the input on, grouped into blocks.

    A block is what a network repeats, as the layers of a ResNet's block or a layer of a
    Transformer. What lies below the first one, as embeddings, is a block, and so is a head.
    """
    found: dict[str, list[keras.Layer]] = {}
    key = ""
    for layer in _outer(model):
        if numbered := _BLOCK.match(layer.name):
            key = numbered[0]
        elif not key.startswith(" "):
            key = f" {len(found)}"  # The layers between two numbered ones.
        found.setdefault(key, []).append(layer)
    return list(found.values())


def _outer(model: keras.Model) -> list[keras.Layer]:
    """Returns the layers with weights that are parts of no other layer, only of networks."""
    layers: list[keras.Layer] = []
    for layer in model.layers:
        if isinstance(layer, keras.Model) and layer.layers:
            layers += _outer(layer)
        elif layer.weights:
            layers.append(layer)
    return layers


def freeze(model: keras.Model, pattern: str) -> None:
    """Freezes the layers in whose path a regular expression is found; "" freezes none.

    Batch normalization in a frozen layer uses its moving statistics, and leaves them as they are.

    Raises:
        UserError: It is found in no path, or in all.
    """
    if not pattern:
        return
    every = leaves(model)
    chosen = [layer for layer in every if re.search(pattern, path(layer))]
    if not chosen:
        paths = [path(layer) for layer in every]
        near = nearest(re.sub(r"\W", "", pattern), paths, most=3)
        raise UserError(
            f"--freeze {pattern} is found in the path of no layer; {near or 'there are: '}"
            f"{'' if near else ', '.join(paths[:20])}".removesuffix("; ")
        )
    for layer in chosen:
        layer.trainable = False
    if not model.trainable_variables:
        raise UserError(f"--freeze {pattern} freezes all layers, so that nothing is trained")


def frozen_blocks(model: keras.Model) -> list[list[keras.Layer]]:
    """Returns the frozen layers of each block that has some, from the input on."""
    frozen = (
        [layer for outer in block for layer in leaves(outer) if not layer.trainable]
        for block in blocks(model)
    )
    return [block for block in frozen if block]


def rates(model: keras.Model, decay: float) -> list[tuple[keras.Variable, float]]:
    """Returns variables with the factors of their learning rates.

    That of the last block is 1, that of each other one `decay` times that of the next.
    """
    if decay == 1:
        return []
    return [
        (variable, decay**below)
        for below, block in enumerate(reversed(blocks(model)))
        for layer in block
        for variable in layer.weights
    ]


def build_for_all(model: keras.Model) -> None:
    """Builds the optimizer of a compiled network for the variables that are frozen as well."""
    frozen = [layer for block in frozen_blocks(model) for layer in block]
    if not frozen:
        raise UserError("--unfreeze_every needs layers that are frozen: choose them with --freeze")
    _set_trainable(frozen, True)
    model.optimizer.build(model.trainable_variables)
    _set_trainable(frozen, False)


class Unfreezing(keras.callbacks.Callback):
    """Unfreezes the last frozen block after every so many epochs.

    What is frozen follows from the number of the epoch alone.
    """

    def __init__(self, network: keras.Model, every: int) -> None:
        """Takes the network, with all that is frozen at first."""
        super().__init__()
        self._blocks, self._every = frozen_blocks(network), every
        self._thawed = 0

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        thawed = min(epoch // self._every, len(self._blocks))
        if thawed == self._thawed:
            return
        self._thawed = thawed
        # Training may go back to an earlier epoch, too.
        for index, block in enumerate(reversed(self._blocks)):
            _set_trainable(block, index < thawed)
        # The compiled function computes gradients of what was trainable when it was traced.
        self.model.make_train_function(force=True)


def _set_trainable(layers: Sequence[keras.Layer], trainable: bool) -> None:
    for layer in layers:
        layer.trainable = trainable
