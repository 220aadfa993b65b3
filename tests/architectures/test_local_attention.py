"""Heads that begin at one neighbor each, in every family of encoders."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from architectures import bert
from architectures.attention import attention_maps
from architectures.electra import electra_generator
from architectures.heads import masked_lm
from architectures.local_attention import start_local

FAMILIES = {
    "bert": {},
    "roberta": {},
    "distilbert": {},
    "albert": {"embedding": 64},
    "electra": {"embedding": 64},
}
LENGTH = 40


def encoder(family: str, width: int = 128, heads: int = 4) -> keras.Model:
    keras.utils.set_random_seed(0)
    sizes = {"layers": 3, "heads": heads, "width": width, "feed_forward": 32, "max_length": LENGTH}
    return getattr(bert, family)(vocabulary=300, dropout=0.0, **sizes, **FAMILIES[family])


def attention_by_offset(model: keras.Model) -> list[dict[int, float]]:
    """Mean attention of each head, layer by layer, to tokens by how far away they are."""
    ids = np.random.default_rng(0).integers(5, 300, (4, LENGTH)).astype(np.int32)
    values = {"token_ids": ids, "segment_ids": 0 * ids, "padding_mask": 0 * ids + 1}
    maps = attention_maps(model)({name: values[name] for name in model.input})
    return [
        {
            offset: float(np.mean([np.diagonal(one, offset).mean() for one in heads[:, head]]))
            for offset in range(-6, 7)
        }
        for heads in map(np.asarray, maps.values())
        for head in range(heads.shape[1])
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_each_head_of_the_first_layers_attends_to_one_neighbor(family):
    model = encoder(family)
    start_local(model)
    found = attention_by_offset(model)
    first = (-1, 1, -2, 2)
    second = first if family == "albert" else (-3, 3, -4, 4)
    for offset, attention in zip(first + second, found[:8], strict=True):
        assert max(attention, key=attention.__getitem__) == offset
        assert attention[offset] > 0.1  # Of all tokens alike it would be 0.03.


def test_the_generator_of_electra_attends_to_neighbors_of_its_own():
    discriminator = encoder("electra")
    generator = electra_generator(discriminator, divisor=2)
    for part in (discriminator, generator):
        start_local(part)
    found = attention_by_offset(generator)
    assert [max(x, key=x.__getitem__) for x in found[:4]] == [-1, 1, -2, 2]
    assert [max(x, key=x.__getitem__) for x in attention_by_offset(discriminator)[:2]] == [-1, 1]


def test_other_weights_are_scaled_and_biases_begin_at_the_frequencies():
    model = masked_lm(encoder("bert", width=96, heads=2))
    before = {weight.path: weight.numpy() for weight in model.weights}
    frequencies = np.arange(1, 301) / np.arange(1, 301).sum()
    start_local(model, frequencies)
    values = {weight.path: weight.numpy() for weight in model.weights}
    for path, value in values.items():
        embeddings = path.startswith(("token_embedding", "position_embedding"))
        kept = not ("kernel" in path or embeddings or path == "masked_lm/bias")
        assert (before[path] == value).all() == kept
    np.testing.assert_allclose(values["masked_lm/bias"], np.log(frequencies), rtol=1e-6)
    for path, deviation in {
        "token_embedding/embeddings": 96**-0.5,
        "segment_embedding/embeddings": before["segment_embedding/embeddings"].std(),
        "transformer_layer_0/self_attention_layer/value/kernel": (2 / 192) ** 0.5,
        "transformer_layer_1/self_attention_layer/attention_output/kernel": (2 / 192) ** 0.5,
        "transformer_layer_2/self_attention_layer/query/kernel": (2 / 192) ** 0.5,
        "transformer_layer_2/feedforward_output_dense/kernel": (2 / 128) ** 0.5,
        "masked_lm_dense/kernel": (2 / 192) ** 0.5,
    }.items():
        assert values[path].std() == pytest.approx(deviation, rel=1e-4)
    positions = values["position_embedding/embeddings"]
    assert np.sqrt((positions**2).mean()) == pytest.approx((2 / 96) ** 0.5, rel=1e-3)


def test_without_frequencies_biases_stay_and_an_encoder_alone_has_none():
    model = masked_lm(encoder("bert"))
    start_local(model)
    assert (model.get_layer("masked_lm").bias.numpy() == 0).all()
    start_local(encoder("bert"), np.full(300, 1 / 300))
