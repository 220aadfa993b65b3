"""A pre-trained GPT-2 in the pipeline: its network, its tokens, and what does not go with it."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import tensorflow as tf
from sklearn.manifold import TSNE

from pipelines.config import check
from pipelines.errors import UserError
from pipelines.evaluation import predict
from pipelines.export import ops
from pipelines.export.saved_model import saved_model
from pipelines.tasks.language_modeling import figures as language_figures
from pipelines.tasks.language_modeling import weights
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.language_modeling.task import LanguageModeling
from pipelines.text import generation
from tests.architectures import gpt2_files
from tests.pipelines.tasks.language_modeling import examples, gpt2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gpt2.write(tmp_path_factory.mktemp("gpt2"))


def config(folder, **options) -> LanguageModelingConfig:
    changed = {"tokens": "words", "model": gpt2.MODEL, **options}
    return examples.config("gpt2_small", weights=str(folder), **changed)


def test_the_network_is_the_published_one_over_its_own_tokens(folder):
    task = LanguageModeling(config(folder))
    assert task.config.parameters()["tokens"] == "byte_pairs"
    data = examples.loaded(task.config)
    assert (len(data.tokenizer.vocabulary), data.tokenizer.ids.end) == (gpt2.SIZE, gpt2.END)
    network = task.network(data)
    # All of its positions, though the context is shorter.
    assert network.hyperparameters["max_length"] == 24 > data.context
    ids = data.streams["test"].tokens[:24]
    inputs = {"token_ids": ids[np.newaxis], "padding_mask": np.ones((1, 24), np.int32)}
    tensors = gpt2_files.random_tensors({**gpt2_files.CONFIG, "vocab_size": gpt2.SIZE})
    np.testing.assert_allclose(network.model(inputs)[0], gpt2_files.logits(tensors, ids), atol=1e-4)


def test_scores_count_every_token_and_the_characters_as_they_are(folder):
    task = LanguageModeling(config(folder))
    data = examples.loaded(task.config)
    documents = examples.speeches()["test"]
    raw = data.raw("test")
    assert raw["characters"].sum() == sum(map(len, documents))
    assert not raw["spelling_bits"].any()
    joined = data.tokenizer.detokenize(data.streams["test"].tokens[np.newaxis, 1:]).numpy()[0]
    assert joined.decode() == documents[0]
    # Id 0, which pads, is the token of a byte too.
    for inputs, _, weight in data.test.as_numpy_iterator():
        assert inputs["padding_mask"][1:].sum() >= weight.sum()
    assert {b.name for b in task.baselines(data)} > {"unigram"}


def test_a_served_model_takes_strings_and_needs_no_text_ops(folder, tmp_path):
    task = LanguageModeling(config(folder))
    data = examples.loaded(task.config)
    network = task.network(data)
    signatures = task.signatures(network, data)
    saved = saved_model(network.model, signatures, tmp_path / "saved", examples=task.examples(data))
    assert not ops.text_ops(ops.ops(saved))

    served = tf.saved_model.load(saved).signatures
    prompts = ["Zoë likes", "", "  Ann \n\n", "日本 \x00", "Bob " * 50, b"\xff\xfe"]
    found = served["generate"](prompt=tf.constant(prompts), **generation.parameters(6, length=9))
    assert all(text.decode(errors="replace").encode() == text for text in found["text"].numpy())
    ids = data.tokenizer(tf.constant(prompts))
    by_ids = served["generate_token_ids"](
        token_ids=ids.to_tensor(),
        padding_mask=tf.ones_like(ids).to_tensor(),
        **generation.parameters(6, length=9),
    )
    rows = by_ids["token_ids"].numpy()
    for row, count in zip(rows, by_ids["tokens"].numpy(), strict=True):
        assert (row[count:] == gpt2.END).all()
        assert not {gpt2.END, gpt2.SIZE - 1} & {*row[:count].tolist()}
    assert rows[:, 0].any()
    score = served["score"](text=tf.constant(prompts))
    assert score["tokens"].numpy().tolist() == ids.row_lengths().numpy().tolist()


def test_written_weights_are_those_that_were_read(folder, tmp_path):
    task = LanguageModeling(config(folder))
    data = examples.loaded(task.config)
    network = task.network(data)
    ((name, write),) = task.artifacts(network, data).items()
    assert name == weights.FOLDER
    write(tmp_path / name)
    again = LanguageModeling(config(tmp_path / name))
    same = examples.loaded(again.config)
    assert same.tokenizer.vocabulary == data.tokenizer.vocabulary
    for one, other in zip(
        again.network(same).model.get_weights(), network.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)


def test_byte_pairs_are_trained_on_the_data_too(monkeypatch):
    monkeypatch.setattr(language_figures, "TSNE", functools.partial(TSNE, max_iter=250))
    task = LanguageModeling(examples.config("lstm", tokens="byte_pairs", vocabulary=290))
    data = examples.loaded(task.config)
    assert len(data.tokenizer.vocabulary) == 290
    network = task.network(data)
    assert task.artifacts(network, data) == {}
    figures = dict(task.figures(network, data, _test(task, network, data), task.baselines(data)))
    assert "token_map" in figures


def _test(task, network, data):
    return predict(task, network.model, data, "test")


def test_another_size_is_named(folder, tmp_path):
    def refused(chosen: LanguageModelingConfig) -> str:
        with pytest.raises(UserError) as caught:
            LanguageModeling(chosen).load()
        return str(caught.value)

    assert refused(config(folder, model={"layers": 2, "width": 16})) == (
        f"--weights {folder} has no gpt2_small: add --model.heads 4"
    )
    medium = gpt2_files.write(tmp_path, {"a": np.ones(1)}, n_layer=24, n_head=16, n_embd=1024)
    assert refused(config(medium, model={})) == (
        f"--weights {medium} has the weights of a gpt2_medium: choose --architecture gpt2_medium"
    )
    assert refused(config(folder, context=25)) == (
        f"--context must be at most 24, the positions of {folder}, not 25"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"architecture": "lstm"}, "--weights needs a decoder, as gpt2_small, not lstm"),
        ({"tokens": "characters"}, "--weights have byte pairs .* --tokens cannot be characters"),
        (
            {"weights": "", "tokens": "byte_pairs", "vocabulary": 200},
            "--vocabulary must be at least 257 with byte pairs",
        ),
    ],
)
def test_choices_that_do_not_go_together_are_one_sentence(options, message):
    chosen = {"architecture": "gpt2_small", "weights": "somewhere", **options}
    with pytest.raises(UserError, match=message):
        check(LanguageModelingConfig(dataset="sotu_text", **chosen))


def test_a_directory_without_weights_is_one_sentence(tmp_path):
    chosen = LanguageModelingConfig(architecture="gpt2_small", weights=str(tmp_path))
    expected = f"--weights {tmp_path} is no directory with a config.json"
    with pytest.raises(UserError, match=re.escape(expected)):
        chosen.check_paths()
