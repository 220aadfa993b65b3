"""Extractive question answering: a question and a passage to the span of it that answers.

    python -m pipelines question_answering

trains the reader `bidaf` (48 units each way, 329,186 parameters) from scratch on 8,355 questions
about addresses of the United States: which city, whose letters, what ZIP code, in passages of one
or two addresses, where a part of the one that is meant tells it from the other. Half of the
questions of validation and test are in wordings that training has not. It reports F1 and exact
match, as SQuAD 1.1 does. Measured beside other jobs, 244 to 281 s of processor time in all, some
25 s of them the log-linear reader (see `log_linear.py`):

| | validation F1 | test F1 | test exact match |
|---|---|---|---|
| log-linear reader, the strongest baseline | .898 | .899 | .822 |
| `bidaf`, seeds 0 to 4, mean ± deviation | .945 ± .007 | .951 ± .007 | .893 ± .010 |

On test, the 95 % intervals of the difference in F1 begin at .026 to .043. On validation, questions
in new wordings are answered as well as others; names of buildings and recipients, which are rare,
are worst (F1 .3 to .4 and .75 to .78 in two runs).

A harder set is `sotu_cloze`: 8,000 questions about State of the Union addresses, a sentence of the
passage with a number or a name blanked, which is the answer. Question and passage have to be
aligned word by word there (a rule that does so would be right by construction). An encoder from
scratch, `bert_tiny`, knows what kind of word is asked for, numbers and names, and no more than
that; two or three layers, 64 or 128 wide, three learning rates and up to nine epochs, each tried
once and stopped early, stayed on one plateau. The log-linear reader and `bidaf` were not measured
on it:

    python -m pipelines question_answering --dataset sotu_cloze --architecture bert_tiny \\
        --vocabulary 8000 --max_length 320 --word_dropout 0 --epochs 3 --batch_size 32 \\
        --optimizer.learning_rate 1e-3

| `sotu_cloze` | validation F1 | test F1 | test exact match |
|---|---|---|---|
| the sentence most like the question | .087 | .090 | .000 |
| a number or name of the passage at random | .217 | .216 | .210 |
| `bert_tiny`, seeds 0 and 1, 7 minutes of training | .224 .221 | .198 .211 | .152 .160 |
| the same with 6 epochs, 16 minutes | .227 | .230 | .190 |

What BERT has besides is pre-training, not measured here; BERT base reaches F1 88.4 on SQuAD 1.1
(Devlin et al. 2019):

    python -m pipelines question_answering --recipe bert_squad --encoder DIRECTORY

Own questions come in SQuAD's JSON, a table or JSON lines, `--dataset ./my_questions.json`, see
`squad.py`; their offsets are checked against the passages. Passages longer than `--max_length`
tokens are truncated; an answer in the truncated part counts as wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import keras
import numpy as np
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
from pipelines.text.signatures import (
    as_default,
    string_signature,
    text_requests,
    token_signature,
)
from pipelines.text.task import TextTask
from pipelines.text.tokenizers import dense

# Number of test questions that verify each signature.
_VERIFICATION_QUESTIONS = 64
# Questions that a baseline answers at once.
_CHUNK = 1 << 14


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

    def reduce(self, predictions: Predictions, data: Questions) -> Predictions:
        return metrics.reduce(predictions)

    def scores(self, predictions: Predictions, data: Questions) -> Scores:
        return metrics.scores(predictions)

    def baselines(self, data: Questions) -> list[Baseline]:
        readers = {
            "a random span as long as the answer": predict_random_span,
            "the sentence most like the question": predict_most_similar,
            "log-linear reader": log_linear_reader(data.raw("train")),
        }

        def predict(reader: Reader, split: str) -> Iterator[Predictions]:
            columns = data.raw(split)
            for start in range(0, data.sizes[split], _CHUNK):
                yield reader({name: x[start : start + _CHUNK] for name, x in columns.items()})

        return [
            scored(name, metrics.scores, partial(predict, reader), metrics.reduce)
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

    def requests(
        self, data: Questions, split: str, count: int
    ) -> Mapping[str, Mapping[str, np.ndarray]]:
        columns = {name: data.raw(split)[name] for name in ("question", "context")}
        return text_requests(columns, count) if self.config.text_signature else {}

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
