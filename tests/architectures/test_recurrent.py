"""Networks for sequences: their equations, their sizes, and what padding must not do to them."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from architectures.attention import attention_maps
from architectures.counting import abstract, count_parameters
from architectures.recurrent import recurrent
from tests.architectures import equations

RECURRENT = ("simple", "lstm", "gru", "hornn")
MEMORIES = ("tapped_delay_line", "attention_memory")
POOLED = ("last", "mean", "max", "attention")
OUTPUTS = (*POOLED, "sequence")

LENGTHS = np.array([5, 2, 3])
MASK = (np.arange(5) < LENGTHS[:, None]).astype("int32")
FEATURES = np.random.default_rng(1).normal(size=(3, 5, 2)).astype("float32")


def small(cell: str, **config: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    return recurrent(cell, **{"outputs": 2, "input_size": 2, "units": (3,), **config})


def answers(model: keras.Model, features: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.asarray(model({"features": features, "padding_mask": mask}))


def inner(model: keras.Model, *names: str) -> keras.Model:
    return keras.Model(model.input, [model.get_layer(name).output for name in names])


@pytest.fixture
def in_float64():
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("cell", "options", "equation"),
    [
        ("simple", {}, equations.simple),
        ("lstm", {}, equations.lstm),
        ("gru", {"reset_after": True}, equations.gru_reset_after),
        ("gru", {"reset_after": False}, equations.gru),
        ("hornn", {"order": 2}, equations.higher_order("plain")),
    ],
)
@pytest.mark.usefixtures("in_float64")
def test_a_cell_and_its_gradients_follow_its_equation(cell, options, equation):
    model = small(cell, output="sequence", **options)
    equations.agree(model.get_layer(f"{cell}1"), equation, FEATURES.astype("float64"), MASK)


def test_the_papers_gru_is_keras_gru_with_the_weights_of_z_negated():
    w, u, b = (np.random.default_rng(2).normal(size=shape) for shape in ((2, 9), (3, 9), (9,)))

    def paper(x, past):
        (h,) = past
        z = equations.sigmoid(x @ w[:, :3] + h @ u[:, :3] + b[:3])
        r = equations.sigmoid(x @ w[:, 3:6] + h @ u[:, 3:6] + b[3:6])
        return [(1 - z) * h + z * np.tanh(x @ w[:, 6:] + (r * h) @ u[:, 6:] + b[6:])]

    sign = np.array([-1] * 3 + [1] * 6)
    np.testing.assert_allclose(
        equations.recurrence(paper, 1, 3, FEATURES, MASK),
        equations.gru(w * sign, u * sign, b * sign, FEATURES, MASK),
    )


def test_a_bidirectional_layer_reads_backward_from_the_last_real_step():
    model = small("lstm", bidirectional=True, output="sequence")
    states = answers(inner(model, "lstm1"), FEATURES, MASK)
    forward_w, forward_u, forward_b, w, u, b = model.get_layer("lstm1").get_weights()
    for example, length in enumerate(LENGTHS):
        real = FEATURES[example : example + 1, :length].astype("float64")
        mask = np.ones((1, length))
        forward = equations.lstm(forward_w, forward_u, forward_b, real, mask)
        backward = equations.lstm(w, u, b, real[:, ::-1], mask)[:, ::-1]
        expected = np.concatenate([forward, backward], axis=-1)[0]
        np.testing.assert_allclose(states[example, :length], expected, rtol=1e-4, atol=1e-6)


def test_the_last_of_a_bidirectional_network_is_that_of_each_direction():
    model = small("gru", bidirectional=True, output="sequence")
    states = answers(inner(model, "gru1"), FEATURES, MASK)
    ends = small("gru", bidirectional=True, output="last")
    ends.set_weights(model.get_weights())
    expected = [np.r_[states[i, n - 1, :3], states[i, 0, 3:]] for i, n in enumerate(LENGTHS)]
    np.testing.assert_allclose(answers(inner(ends, "gru1"), FEATURES, MASK), expected, rtol=1e-6)


@pytest.mark.parametrize("cell", [*RECURRENT, *MEMORIES])
def test_last_is_the_last_real_step(cell):
    steps = small(cell, output="sequence")
    last = small(cell, output="last")
    last.set_weights(steps.get_weights())
    expected = answers(steps, FEATURES, MASK)[np.arange(3), LENGTHS - 1]
    np.testing.assert_allclose(answers(last, FEATURES, MASK), expected, rtol=1e-5, atol=1e-6)


def test_a_layer_reads_the_whole_sequence_of_the_one_below():
    model = small("simple", units=(3, 4), output="mean")
    states = FEATURES
    for name in ("simple1", "simple2"):
        w, u, b = model.get_layer(name).get_weights()
        states = equations.simple(w, u, b, states, MASK)
    mean = (states * MASK[..., None]).sum(axis=1) / LENGTHS[:, None]
    kernel, bias = model.get_layer("logits").get_weights()
    np.testing.assert_allclose(
        answers(model, FEATURES, MASK), mean @ kernel + bias, rtol=1e-4, atol=1e-6
    )


def test_a_memory_layer_is_followed_by_a_dense_nonlinearity():
    model = small("tapped_delay_line", length=2, taps="matrix", units=(3,), output="sequence")
    (taps,) = model.get_layer("tapped_delay_line1").get_weights()
    kernel, bias = model.get_layer("dense1").get_weights()
    z = equations.tapped_delay_line(taps, FEATURES, np.ones((3, 5)))
    h = answers(inner(model, "dense1"), FEATURES, np.ones((3, 5)))
    np.testing.assert_allclose(h, np.tanh(z @ kernel + bias), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize(
    ("cell", "options"),
    [
        ("simple", {}),
        ("lstm", {"units": (3, 2)}),
        ("gru", {"reset_after": False, "bidirectional": True}),
        ("hornn", {"variant": "max", "bidirectional": True}),
        ("hornn", {"variant": "gated"}),
        ("tapped_delay_line", {"length": 3, "units": (3, 2)}),
        ("attention_memory", {"key_dim": 4, "units": (3, 2)}),
    ],
    ids=lambda part: part if isinstance(part, str) else "-".join(map(str, part.values())),
)
def test_padding_changes_no_output(cell, options, output):
    model = small(cell, output=output, **options)
    padded = np.where(MASK[..., None], FEATURES, 1e3).astype("float32")
    together = answers(model, padded, MASK)
    for example, length in enumerate(LENGTHS):
        if length == len(MASK[0]):
            continue
        alone = FEATURES[example : example + 1, :length]
        expected = answers(model, alone, np.ones((1, length), "int32"))[0]
        answer = together[example][: len(expected)]
        np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", [*RECURRENT, *MEMORIES])
def test_the_mask_alone_decides_which_token_is_real(cell):
    keras.utils.set_random_seed(0)
    model = recurrent(cell, outputs=2, vocabulary=5, embedding=3, units=(3,), output="mean")

    def answer(tokens, mask):
        return np.asarray(
            model({"token_ids": np.array([tokens]), "padding_mask": np.array([mask])})
        )

    half = answer([1, 0, 2, 3], [1, 1, 0, 0])
    np.testing.assert_allclose(half, answer([1, 0], [1, 1]), rtol=1e-5, atol=1e-7)
    assert np.any(half != answer([1, 0, 2, 3], [1, 1, 1, 1]))
    # Token 0 counts like any other.
    assert np.any(half != answer([1], [1]))


@pytest.mark.parametrize(
    ("cell", "output"),
    [
        *((cell, "mean") for cell in (*RECURRENT, *MEMORIES)),
        ("gru", "max"),
        ("gru", "attention"),
        ("tapped_delay_line", "last"),
    ],
)
def test_each_layer_is_handed_the_mask(cell, output, monkeypatch):
    """Padding on both sides changes nothing, though Keras passes no mask on unseen."""
    monkeypatch.setattr("keras.src.backend.get_keras_mask", lambda x: None)
    model = small(cell, units=(3, 3), output=output)
    real = FEATURES[:1, :3]
    padded = np.pad(real, ((0, 0), (2, 1), (0, 0)), constant_values=1e3)
    answer = answers(model, padded, np.array([[0, 0, 1, 1, 1, 0]]))
    np.testing.assert_allclose(answer, answers(model, real, np.ones((1, 3))), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("cell", [*RECURRENT, *MEMORIES])
def test_one_vector_becomes_many_steps(cell):
    many, repeated = small(cell, output="sequence"), small(cell, output="sequence", repeat=4)
    repeated.set_weights(many.get_weights())
    vectors = FEATURES[:, 0]
    expected = answers(many, np.repeat(vectors[:, None], 4, axis=1), np.ones((3, 4), "int32"))
    np.testing.assert_allclose(repeated({"features": vectors}), expected, rtol=1e-5, atol=1e-7)
    assert repeated.output_shape == (None, 4, 2)


def test_one_vector_becomes_one_answer():
    model = small("lstm", repeat=1)
    answer = model({"features": FEATURES[:, 0]})
    assert answer.shape == (3, 2)
    many = small("lstm")
    np.testing.assert_allclose(
        answer, answers(many, FEATURES[:, :1], np.ones((3, 1), "int32")), rtol=1e-5, atol=1e-7
    )


def of_a_layer(cell: str, i: int, u: int, options: dict[str, Any]) -> int:
    """Parameters of one layer in one direction, in closed form."""
    simple = i * u + u * u + u
    return {
        "simple": lambda: simple,
        "lstm": lambda: 4 * simple,
        "gru": lambda: 3 * (simple + (u if options.get("reset_after", True) else 0)),
        "hornn": lambda: i * u + options.get("order", 3) * u * u + u,
        "tapped_delay_line": lambda: options.get("length", 8) * i + i * u + u,
        "attention_memory": lambda: 2 * i * options.get("key_dim", 64) + i * u + u,
    }[cell]()


@settings(max_examples=15)
@given(st.data())
def test_parameters_follow_the_closed_form(data):
    cell = data.draw(st.sampled_from([*RECURRENT, *MEMORIES]))
    options: dict[str, Any] = {}
    if cell == "gru":
        options["reset_after"] = data.draw(st.booleans())
    for owner, option in (
        ("hornn", "order"),
        ("tapped_delay_line", "length"),
        ("attention_memory", "key_dim"),
    ):
        if cell == owner:
            options[option] = data.draw(st.integers(1, 5))
    units = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=2))
    output = data.draw(st.sampled_from(OUTPUTS))
    bidirectional = cell in RECURRENT and data.draw(st.booleans())
    outputs, embedding = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 4))

    directions = 2 if bidirectional else 1
    expected, width = 7 * embedding, embedding
    for following in units:
        expected += directions * of_a_layer(cell, width, following, options)
        width = directions * following
    if output == "attention":
        expected += width * width + 2 * width
    expected += width * outputs + outputs
    counts = count_parameters(
        recurrent,
        cell,
        outputs=outputs,
        vocabulary=7,
        embedding=embedding,
        units=units,
        bidirectional=bidirectional,
        output=output,
        **options,
    )
    assert counts == (expected, expected)


@pytest.mark.parametrize(
    ("config", "parameters"),
    [
        # Keras' example of sentiment in reviews, keras.io/examples/nlp/bidirectional_lstm_imdb.
        (
            {
                "outputs": 1,
                "vocabulary": 20_000,
                "embedding": 128,
                "units": (64, 64),
                "bidirectional": True,
            },
            2_757_761,
        ),
        # Zaremba et al. 2014, medium and large, known as those of 20 and 66 million parameters.
        (
            {
                "outputs": 10_000,
                "vocabulary": 10_000,
                "embedding": 650,
                "units": (650, 650),
                "output": "sequence",
                "dropout": 0.5,
            },
            19_775_200,
        ),
        (
            {
                "outputs": 10_000,
                "vocabulary": 10_000,
                "embedding": 1500,
                "units": (1500, 1500),
                "output": "sequence",
                "dropout": 0.65,
            },
            66_022_000,
        ),
    ],
)
def test_published_networks_have_their_published_counts(config, parameters):
    assert count_parameters(recurrent, "lstm", **config).total == parameters


def test_the_graph_uses_cudnn_only_if_asked_to():
    for cell in ("lstm", "gru"):
        assert small(cell).get_layer(f"{cell}1").use_cudnn is False
        assert small(cell, use_cudnn="auto").get_layer(f"{cell}1").use_cudnn == "auto"
        both = small(cell, bidirectional=True).get_layer(f"{cell}1")
        assert (both.forward_layer.use_cudnn, both.backward_layer.use_cudnn) == (False, False)
    slow, free = small("lstm"), small("lstm", use_cudnn="auto")
    free.set_weights(slow.get_weights())
    np.testing.assert_allclose(
        answers(free, FEATURES, MASK), answers(slow, FEATURES, MASK), rtol=1e-4, atol=1e-6
    )


def test_dropout_follows_the_embedding_and_each_layer():
    model = recurrent("gru", outputs=2, vocabulary=5, units=(3, 3), dropout=0.5)
    dropped = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Dropout)]
    assert dropped == ["token_embedding_dropout", "gru1_dropout", "gru2_dropout"]
    assert not any("dropout" in layer.name for layer in small("gru").layers)


def test_tied_embeddings_read_and_write_with_one_table():
    keras.utils.set_random_seed(0)
    model = recurrent(
        "lstm",
        outputs=9,
        vocabulary=9,
        embedding=4,
        units=(5, 4),
        output="sequence",
        tie_embeddings=True,
    )
    assert model.count_params() == 9 * 4 + 9 + 4 * (4 * 5 + 25 + 5) + 4 * (5 * 4 + 16 + 4)
    tokens = np.arange(6).reshape(2, 3)
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    features = keras.Model(model.input, model.get_layer("lstm2").output)(inputs)
    (table,) = model.get_layer("token_embedding").get_weights()
    (bias,) = model.get_layer("logits").get_weights()
    model.get_layer("logits").set_weights([np.arange(9)])
    expected = np.asarray(features) @ table.T + np.arange(9)
    assert not bias.any()
    np.testing.assert_allclose(model(inputs), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({"cell": "elman"}, "cell must be one of 'simple', 'lstm', 'gru', 'hornn', 'tapped"),
        ({"outputs": 0}, "outputs must be positive integers, not 0"),
        ({"units": 5}, "units must be a list of integers, not 5"),
        ({"units": ()}, "units needs at least one layer"),
        ({"units": (3, -1)}, "units must be positive integers, not -1"),
        ({"input_size": None}, "give either vocabulary, to read tokens, or input_size"),
        ({"vocabulary": 9}, "give either vocabulary, to read tokens, or input_size"),
        ({"input_size": 0}, "input_size must be positive integers, not 0"),
        ({"input_size": None, "vocabulary": 1.5}, "vocabulary must be positive integers, not 1.5"),
        ({"embedding": 0}, "embedding must be positive integers, not 0"),
        ({"output": "first"}, "output must be one of 'last', 'mean', 'max', 'attention', 'seq"),
        ({"repeat": 0}, "repeat must be positive integers, not 0"),
        ({"input_size": None, "vocabulary": 9, "repeat": 2}, "repeat is for features, not for"),
        ({"dropout": 1.0}, r"dropout must be a number in \[0, 1\), not 1.0"),
        ({"order": 2}, "order belongs to hornn, not to lstm"),
        ({"variant": "max"}, "variant belongs to hornn, not to lstm"),
        ({"cell": "simple", "use_cudnn": True}, "use_cudnn belongs to lstm and gru, not to simple"),
        ({"reset_after": True}, "reset_after belongs to gru, not to lstm"),
        ({"use_cudnn": "always"}, "use_cudnn must be one of True, False, 'auto', not 'always'"),
        ({"cell": "gru", "reset_after": "yes"}, "reset_after must be one of True, False, not"),
        (
            {"cell": "gru", "reset_after": False, "use_cudnn": True},
            "use_cudnn=True needs reset_after=True, which cuDNN computes",
        ),
        ({"cell": "hornn", "order": 0}, "order must be positive integers, not 0"),
        ({"cell": "hornn", "variant": "sum"}, "variant must be one of 'plain', 'max', 'fofe'"),
        ({"cell": "hornn", "forgetting": 0.5}, "forgetting belongs to the variant fofe, not to p"),
        (
            {"cell": "hornn", "variant": "fofe", "forgetting": 1.0},
            r"forgetting must be a number in \(0, 1\), not 1.0",
        ),
        ({"cell": "tapped_delay_line", "length": 0}, "length must be positive integers, not 0"),
        ({"cell": "tapped_delay_line", "taps": "one"}, "taps must be one of 'scalar', 'vector'"),
        ({"cell": "attention_memory", "key_dim": 0}, "key_dim must be positive integers, not 0"),
        (
            {"cell": "attention_memory", "bidirectional": True},
            "bidirectional is for recurrent cells, not for attention_memory",
        ),
        ({"tie_embeddings": True}, "tie_embeddings needs one direction, as many outputs as tokens"),
    ],
    ids=lambda part: str(part)[:40],
)
def test_a_wrong_hyperparameter_raises_one_sentence(config, sentence):
    with abstract(), pytest.raises(ValueError, match=f"^recurrent: {sentence}") as caught:
        recurrent(**{"outputs": 2, "input_size": 2, "units": (3,), **config})
    assert "\n" not in str(caught.value)


def test_attention_maps_show_what_memory_and_pooling_look_at():
    model = recurrent(
        "attention_memory", vocabulary=9, outputs=2, embedding=4, units=(5,), output="attention"
    )
    inputs = {
        "token_ids": np.array([[1, 2, 3, 4], [5, 6, 0, 0]], "int32"),
        "padding_mask": np.array([[1, 1, 1, 1], [1, 1, 0, 0]], "int32"),
    }
    maps = attention_maps(model)(inputs)
    memory, pooling = (np.asarray(maps[name]) for name in ("attention_memory1", "pooling"))
    assert (memory.shape, pooling.shape) == ((2, 4, 4), (2, 4))
    np.testing.assert_allclose(memory[0].sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(pooling.sum(-1), 1, rtol=1e-5)
    assert not np.triu(memory[0], 1).any()
    assert not pooling[1, 2:].any()
