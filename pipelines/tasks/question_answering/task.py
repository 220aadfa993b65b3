"""Extractive question answering: a question and a passage to the span of it that answers.

    python -m pipelines question_answering

trains `bert_tiny` (two layers, 128 wide) from scratch on 8,000 cloze questions about State of the
Union addresses: a sentence of the passage with a number or a name blanked, which is the answer.
It reports F1 and exact match, as SQuAD 1.1 does, on 1,000 questions about other speeches. Measured
on two busy CPU cores, 7 minutes of training:

| | validation F1 | test F1 | test exact match |
|---|---|---|---|
| the sentence most like the question | .087 | .090 | .000 |
| a number or name of the passage at random | .217 | .216 | .210 |
| `bert_tiny`, seeds 0 and 1 | .224 .221 | .198 .211 | .152 .160 |
| the same with 6 epochs, 16 minutes | .227 | .230 | .190 |

It knows what kind of word is asked for, numbers and names, and no more than that. The other
baselines, a random span and a log-linear reader (see `log_linear.py`), were not measured here. To
find the very one, question and passage have to be aligned word by word (a rule that does so would
be right by construction). Small encoders from scratch did not get to that in the time: two or three
layers, 64 or 128 wide, three learning rates and up to nine epochs, each tried once and stopped
early, stayed on one plateau. What BERT has besides is pre-training, not measured here; BERT base
reaches F1 88.4 on SQuAD 1.1 (Devlin et al. 2019).

Another data set asks for the parts of addresses, in validation and test half in new wordings. There
the log-linear reader, fitted by coordinate descent, has a validation F1 of .89; whether the reader
`qanet` beats it was not measured:

    python -m pipelines question_answering --dataset address_questions --architecture qanet \\
        --model.width 64 --model.heads 4 --model.blocks 1 --vocabulary 1000 --max_length 160

    python -m pipelines question_answering --dataset squad --architecture bert_base \\
        --max_length 384 --encoder DIRECTORY

Own questions come in SQuAD's JSON, a table or JSON lines, `--dataset ./my_questions.json`, see
`squad.py`; their offsets are checked against the passages. Passages longer than `--max_length`
tokens are truncated; an answer in the truncated part counts as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import keras
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines.baselines import Baseline, scored
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network
from pipelines.tasks.question_answering import decoding, metrics
from pipelines.tasks.question_answering.baselines import (
    Reader,
    predict_most_similar,
    predict_random_span,
)
from pipelines.tasks.question_answering.config import QuestionAnsweringConfig
from pipelines.tasks.question_answering.data import IGNORE_ID, Questions, encode, load
from pipelines.tasks.question_answering.figures import figures
from pipelines.tasks.question_answering.log_linear import log_linear_reader
from pipelines.tasks.question_answering.network import of_reader, span_finder
from pipelines.text.config import is_reader
from pipelines.text.examples import json_lines
from pipelines.text.signatures import as_default, string_signature, token_signature
from pipelines.text.task import TextTask
from pipelines.text.tokenizers import dense

# Number of test questions that verify each signature.
_VERIFICATION_QUESTIONS = 64


class QuestionAnswering(TextTask[QuestionAnsweringConfig, Questions]):
    """Question answering: from two strings to a span of the second."""

    metric = "f1"

    def load(self) -> Questions:
        # Answers are often names, which have capital letters.
        return load(self.config, partial(self.word_pieces, lowercase=False))

    def network(self, data: Questions) -> Network:
        vocabulary = data.tokenizer.vocabulary
        separator = vocabulary.index("[SEP]")
        if is_reader(self.config.architecture):
            network = build(
                self.config,
                "does not find answers",
                lambda model: model.output.shape == (None, None, 2),
                vocabulary=len(vocabulary),
            )
            return replace(network, model=of_reader(network.model, separator))
        return self.head(data, span_finder, separator=separator)

    def loss(self, data: Questions) -> dict[str, keras.Loss]:
        return {
            name: keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, ignore_class=IGNORE_ID
            )
            for name in ("start", "end")
        }

    def metrics(self, data: Questions) -> dict[str, list[keras.Metric]]:
        return {
            name: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
            for name in ("start", "end")
        }

    def postprocess(self, outputs: dict[str, tf.Tensor], data: Questions) -> dict[str, tf.Tensor]:
        return decoding.most_probable_span(outputs)

    def scores(self, predictions: Predictions, data: Questions) -> Scores:
        return metrics.scores(predictions)

    def baselines(self, data: Questions) -> list[Baseline]:
        readers = {
            "a random span as long as the answer": predict_random_span,
            "the sentence most like the question": predict_most_similar,
            "log-linear reader": log_linear_reader(data.raw("train")),
        }

        def predict(reader: Reader, split: str) -> Predictions:
            return reader(data.raw(split))

        return [
            scored(name, metrics.scores, partial(predict, reader))
            for name, reader in readers.items()
        ]

    def figures(
        self,
        network: Network,
        data: Questions,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        return figures(network.model, data, test)

    def signatures(self, network: Network, data: Questions) -> list[Signature]:
        model, tokenizer = network.model, data.tokenizer

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self.postprocess(model(inputs, training=False), data)

        def of_texts(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
            question, context = (tf.ensure_shape(text, [None]) for text in (question, context))
            inputs, spans = encode(tokenizer, question, context)
            found = of_tokens(dense(inputs))
            answers = decoding.answer_spans(
                context, spans.to_tensor(), found["start"], found["end"]
            )
            return {**answers, "score": found["score"]}

        names = ("question", "context")
        columns = {name: data.raw("test")[name][:_VERIFICATION_QUESTIONS] for name in names}
        encoded, spans = encode(tokenizer, *(tf.constant(x) for x in columns.values()))
        logits = model.predict(dense(encoded), verbose=0)
        chosen = decoding.unambiguous(logits)
        found = self.postprocess({name: x[chosen] for name, x in logits.items()}, data)
        columns = {name: x[chosen] for name, x in columns.items()}
        answers = decoding.answer_spans(
            tf.constant(columns["context"]),
            spans.to_tensor().numpy()[chosen],
            found["start"],
            found["end"],
        )
        expected = {name: x.numpy() for name, x in found.items()}
        of_answers = {name: x.numpy() for name, x in answers.items()} | {"score": expected["score"]}
        inputs = {name: x.numpy()[chosen] for name, x in dense(encoded).items()}
        first, *others = self.signature_pair(
            string_signature("texts", of_texts, columns, of_answers, tokenizer),
            token_signature("token_ids", of_tokens, inputs, expected),
        )
        return [as_default(first), *others]

    def examples(self, data: Questions) -> dict[str, bytes]:
        """Returns eight test questions with their answers, a JSON object a line."""
        columns = (data.raw("test")[name] for name in ("question", "context", "answers"))
        rows = (
            {
                "question": question.decode(),
                "context": context.decode(),
                "answers": [answer.decode() for answer in answers],
            }
            for question, context, answers in zip(*columns, strict=True)
        )
        return json_lines(rows, "questions.jsonl")
