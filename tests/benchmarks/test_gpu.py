"""A GPU's benchmark: what is counted, and what it says without one."""

from __future__ import annotations

from rich.console import Console

from benchmarks import devices, gpu, gpu_models
from benchmarks.__main__ import main
from benchmarks.gpu import Rate


def test_operations_are_those_of_products():
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same")(image)
    x = keras.layers.Flatten()(keras.layers.BatchNormalization()(x))
    network = keras.Model(image, keras.layers.Dense(5)(x))
    multiplications = 8 * 8 * (3 * 3 * 3) * 4 + 8 * 8 * 4 * 5
    assert gpu_models.convolutional_flops(network) == 2 * multiplications


def test_operations_of_a_transformer_are_its_kernels_attention_and_output():
    model, length, vocabulary = gpu_models._decoder(tiny=True)
    width, layers = 16, 2
    kernels = layers * 12 * width**2
    products = length * kernels + layers * 2 * length**2 * width + length * width * vocabulary
    assert gpu_models.transformer_flops(model, length, vocabulary) == 2 * products


def test_utilization_is_the_fraction_of_the_peak():
    rate = Rate("step", "images/s", [10.0, 20.0], [400.0, 200.0], flops=2e12, peak=8e12)
    assert rate.utilization == 0.25
    assert rate.record()["mfu"] == 0.25
    assert Rate("step", "images/s", [1.0], [1.0], flops=2e12).utilization is None
    console = Console(width=120)
    with console.capture() as captured:
        console.print(gpu.table([rate]))
    assert "25.0%" in captured.get()
    (axes,) = gpu.figure([rate], "a device").axes
    assert [bar.get_window_extent().width > 0 for bar in axes.patches] == [True]


def test_without_a_gpu_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setattr(devices, "gpu", lambda: None)
    assert main(["gpu"]) == 0
    assert capsys.readouterr().out == (
        "no GPU for the backend tensorflow: nothing was measured; --tiny tries the command on the "
        "CPU\n"
    )


def test_decoding_repeats_the_most_probable_token_of_the_network():
    import numpy as np

    work, generate = gpu_models.decoding(tiny=True, batch=2)
    prompt, _ = work.batch
    tokens = generate()
    known = prompt.shape[1] // 2
    assert (tokens[:, :known] == prompt[:, :known]).all()
    inputs = {"token_ids": tokens, "padding_mask": np.ones_like(tokens)}
    logits = np.array(work.model(inputs, training=False))
    chosen = np.take_along_axis(logits[:, known - 1 : -1], tokens[:, known:, None], -1)[..., 0]
    # Both compute in bfloat16, so near ties may fall either way.
    np.testing.assert_allclose(chosen, logits[:, known - 1 : -1].max(-1), atol=0.05)
    assert work.count == tokens[:, known:].size


def test_a_peak_below_zero_is_a_users_error(capsys):
    assert main(["gpu", "--peak_tflops", "-1"]) == 2
    assert capsys.readouterr().err == "error: --peak_tflops must be positive, not -1\n"
