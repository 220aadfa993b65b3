"""What pre-training tasks share: masked batches, scores of guesses, and embeddings of texts."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from architectures.layers import SequencePooling
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions
from pipelines.tasks.pretraining import data as segments
from pipelines.tasks.pretraining import documents, masked_lm
from pipelines.tasks.pretraining.config import PretrainingConfig
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.masking import Masking
from pipelines.tasks.text_classification import data as texts
from pipelines.tasks.text_classification import probing
from pipelines.tasks.text_classification.data import LabelledTexts
from pipelines.text import figures as text_figures
from pipelines.text.config import TextConfig
from pipelines.text.task import TextTask, dense, is_encoder
from pipelines.text.tokenizers import tokenized

# Texts that each signature is proven with.
PROVEN = 64
# Sentences of each class that layers are probed with, and that the map of embeddings shows.
_PROBED = {"train": 600, "validation": 300, "test": 150}


class PretrainingTask(TextTask):
    """The part of a pre-training task that does not depend on what is predicted."""

    def prepare(self, config: PretrainingConfig, sentence_task: str, **shares: float) -> Segments:
        """Returns the data set that `config` names, cut into examples.

        Args:
            config: The choices.
            sentence_task: One of `segments.SENTENCE_TASKS`, or "".
            **shares: How chosen tokens are hidden, as of `Masking`.

        Raises:
            UserError: The choices do not go together, or the set holds no text.
        """
        if not is_encoder(config.architecture):
            raise UserError(
                f"{config.architecture} cannot be pre-trained; those of BERT's family can"
            )
        if config.word_dropout:
            raise UserError("--word_dropout is not for pre-training: choose --masked instead")
        self.choose(config)
        own = documents.load(config)
        sentences = [text for document in own.sentences["train"] for text in document]
        tokenizer = self.word_pieces(config, np.array(sentences, object))
        if sentence_task and not tokenizer.segments:
            raise UserError(
                f"--sentence_task {sentence_task} needs segments, which {config.architecture} lacks"
            )
        self._masking = Masking(
            tokenizer.vocabulary, config.masked, whole_words=config.whole_words, **shares
        )
        return segments.load(own, tokenizer, sentence_task, self.masked, seed=config.recipe.seed)

    def masked(
        self, inputs: dict[str, tf.Tensor], target: dict[str, tf.Tensor], seed: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Hides tokens of a batch; what stood at "mask_positions" is the target "masked_lm"."""
        ids, positions, hidden = self._masking(inputs["token_ids"], seed)
        inputs = {**inputs, "token_ids": ids, "mask_positions": positions}
        return inputs, {"masked_lm": hidden, **target}

    def augment(self, config: TextConfig) -> Callable[[Any, Any], tuple[Any, Any]]:
        """Masks training batches anew."""
        random = keras.random.SeedGenerator(config.recipe.seed)
        return lambda inputs, target: self.masked(inputs, target, random.next())

    def embedding_signatures(self, data: Segments) -> list[Signature]:
        """Returns the entries that turn texts, and token ids, into vectors of `embedder`."""
        model, tokenizer = embedder(self._encoder), data.tokenizer
        sentences = first_sentences(data, PROVEN)
        inputs = {name: x.numpy() for name, x in dense(tokenized(tokenizer, sentences)).items()}
        expected = model.predict(inputs, verbose=0)

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return model(inputs, training=False)

        def of_text(text: tf.Tensor) -> dict[str, tf.Tensor]:
            return of_tokens(dense(tokenizer(tf.ensure_shape(text, [None]))))

        ids = self.token_signature(model, of_tokens, inputs, expected, "embed_token_ids")
        return [
            *self.text_signatures(data, "embed", of_text, {"text": sentences}, expected),
            ids,
        ]

    def text_signatures(
        self,
        data: Segments,
        name: str,
        function: Callable[..., dict[str, tf.Tensor]],
        columns: Mapping[str, np.ndarray],
        expected: Mapping[str, np.ndarray],
    ) -> list[Signature]:
        """Returns the entry for strings [batch], or none if the artefact is not to read any."""
        if not self.reads_text:
            return []
        signature = Signature(
            name,
            function,
            {key: tf.TensorSpec([None], tf.string) for key in columns},
            {
                key: np.array([x.encode() for x in column], object)
                for key, column in columns.items()
            },
            dict(expected),
            resources=data.tokenizer.resources,
        )
        return [signature]

    def pictures(self, data: Segments, test: Predictions) -> Iterator[tuple[str, Figure]]:
        """Yields what can be drawn of any pre-trained encoder."""
        yield "accuracy_by_frequency", masked_lm.by_frequency(data, test)
        yield "worst_mistakes", masked_lm.mistakes(data, test)
        yield "lengths", text_figures.lengths(data.train)
        ((inputs, _),) = data.test.take(1).as_numpy_iterator()
        real = inputs["padding_mask"] > 0
        inputs = {
            name: x[np.newaxis] if name == "mask_positions" else x[np.newaxis, real]
            for name, x in inputs.items()
        }
        words = [data.tokenizer.vocabulary[index] for index in inputs["token_ids"][0]]
        yield from text_figures.attention(
            self._encoder, encoder_inputs(self._encoder, inputs), words
        )
        labelled = sentences_with_labels(data)
        vectors = embedder(self._encoder)
        yield (
            "embedding_map",
            text_figures.embedding_map(
                keras.Model(vectors.input, vectors.output["mean"]),
                labelled.test,
                labelled.class_names,
            ),
        )
        if len(labelled.class_names) > 1:
            yield "probing", probing.figure(self._encoder, labelled)

    def examples(self, data: Segments) -> dict[str, bytes]:
        """Returns eight test sentences, a JSON object a line."""
        lines = [
            json.dumps({"text": text}, ensure_ascii=False) for text in first_sentences(data, 8)
        ]
        return {"texts.jsonl": "\n".join([*lines, ""]).encode()}


def encoder_inputs(encoder: keras.Model, inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns those of `inputs` that the encoder reads."""
    return {name: inputs[name] for name in encoder.input}


def embedder(encoder: keras.Model) -> keras.Model:
    """Returns a model from an encoder's inputs to vectors, float32 [batch, width] each.

    "cls" is the last hidden state of the first token, "mean" and "max" are over the real tokens.
    """
    hidden = encoder.output
    hidden = hidden["sequence_output"] if isinstance(hidden, dict) else hidden
    mask = encoder.input["padding_mask"]
    pooled = {mode: SequencePooling(mode)(hidden, mask=mask) for mode in ("mean", "max")}
    return keras.Model(encoder.input, {"cls": hidden[:, 0], **pooled}, name="embedder")


def first_sentences(data: Segments, count: int) -> np.ndarray:
    """Returns sentences of test, one of each document in turn, str [at most `count`]."""
    own = data.documents.sentences["test"]
    found = [
        document[turn]
        for turn in range(min(count, max(map(len, own))))
        for document in own
        if turn < len(document)
    ]
    return np.array(found[:count], object)


def sentences_with_labels(data: Segments) -> LabelledTexts:
    """Returns sentences with the labels of their documents, the same number for each."""
    names = data.documents.class_names or ("text",)
    columns: dict[str, dict[str, np.ndarray]] = {}
    for number, (split, most) in enumerate(_PROBED.items()):
        random = np.random.default_rng(number)
        chosen: list[tuple[str, int]] = []
        for label in range(len(names)):
            own = [
                (sentence, label)
                for document, its in zip(
                    data.documents.sentences[split], data.documents.labels[split], strict=True
                )
                if its == label
                for sentence in document
            ]
            chosen += [own[index] for index in random.permutation(len(own))[:most]]
        order = random.permutation(len(chosen))
        columns[split] = {
            "text": np.array([chosen[index][0] for index in order], object),
            "target": np.array([chosen[index][1] for index in order], np.int64),
        }
    about = {"name": data.name, "version": data.version, "digest": data.digest}
    return texts.labelled(columns, lambda _: data.tokenizer, class_names=names, **about)


def as_default(signature: Signature) -> Signature:
    """Returns the same entry once more, as the one that is asked without a name."""
    return replace(signature, name="serving_default")
