"""Questions about a passage to the span of it that answers.

    python -m pipelines question_answering

trains `bert_tiny` (two layers, 128 wide) from scratch on 8,000 cloze questions about State of the
Union addresses: a sentence of the passage with a number or a name blanked, which is the answer.
It reports F1 and exact match, as SQuAD 1.1 does, on 1,000 questions about other speeches. Measured
on two busy CPU cores, 7 minutes of training:

| | validation F1 | test F1 | test exact match |
|---|---|---|---|
| the sentence most like the question, the baseline | .087 | .090 | .000 |
| a number or name of the passage at random | .217 | .216 | .210 |
| `bert_tiny`, seeds 0 and 1 | .224 .221 | .198 .211 | .152 .160 |
| the same with 6 epochs, 16 minutes | .227 | .230 | .190 |

It beats the baseline by .11 and .12, and by no more than it takes to know what kind of word is
asked for: numbers and names. To find the very one, question and passage have to be aligned word by
word (a rule that does so would be right by construction). Small encoders from scratch did not get
to that in the time: two or three layers, 64 or 128 wide, three learning rates and up to nine
epochs, each tried once and stopped early, stayed on one plateau. What BERT has besides is
pre-training, not measured here; BERT base reaches F1 88.4 on SQuAD 1.1 (Devlin et al. 2019).

    python -m pipelines question_answering --dataset squad --architecture bert_base \\
        --max_length 384 --encoder DIRECTORY

Of passages that are too long the end is cut off; an answer in it counts as wrong.
"""

from __future__ import annotations

import itertools
import json
import textwrap
from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from pipelines import figures
from pipelines.baselines import Baseline, scored
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.predictions import Predictions, Scores
from pipelines.tasks.question_answering import data as questions
from pipelines.tasks.question_answering import decoding as question_answering
from pipelines.tasks.question_answering.data import Questions
from pipelines.text import figures as text_figures
from pipelines.text.config import TextConfig
from pipelines.text.task import TextTask, dense, is_encoder

# How many questions prove the signatures.
_PROVEN = 64


class QuestionAnswering(TextTask):
    """The task: two strings in, a span of the second out."""

    metric = "f1"

    def load(self, config: TextConfig) -> Questions:
        if not is_encoder(config.architecture):
            raise UserError(
                f"{config.architecture} does not find answers; those of BERT's family do"
            )
        self.choose(config)
        # Answers are names more often than not, and capital letters tell them.
        return questions.load(
            config, lambda texts: self.word_pieces(config, texts, lowercase=False)
        )

    def model(self, config: TextConfig, data: Questions) -> keras.Model:
        vocabulary = data.tokenizer.vocabulary
        separator = vocabulary.index("[SEP]")
        return self.head(
            config, len(vocabulary), question_answering.span_finder, separator=separator
        )

    def loss(self) -> dict[str, keras.Loss]:
        return {
            name: keras.losses.SparseCategoricalCrossentropy(
                from_logits=True, ignore_class=questions.CUT_OFF
            )
            for name in ("start", "end")
        }

    def metrics(self) -> dict[str, list[keras.Metric]]:
        return {
            name: [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]
            for name in ("start", "end")
        }

    def answers(self, outputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return question_answering.decode(outputs)

    def scores(self, predictions: Predictions) -> Scores:
        return question_answering.scores(predictions)

    def baselines(self, data: Questions) -> list[Baseline]:
        def predict(split: str) -> Predictions:
            columns = data.raw(split)
            found = []
            for question, context, spans in zip(
                *(columns[name] for name in ("question", "context", "spans")), strict=True
            ):
                place = question_answering.most_alike(question.decode(), context.decode())
                found.append(questions.tokens_of(spans, *place))
            start, end = np.maximum(found, 0).T
            return Predictions(columns, {"start": start, "end": end})

        return [scored("the sentence most like the question", self.scores, predict)]

    def figures(
        self, model: keras.Model, data: Questions, test: Predictions
    ) -> Iterator[tuple[str, Figure]]:
        """Yields reliability, scores by kind of answer and passage, answers, and attention."""
        f1, exact = question_answering.measured(test).T
        chance = test.predicted["score"]
        yield "reliability", figures.reliability(chance, exact > 0)
        yield (
            "f1_by_kind",
            figures.bars(question_answering.by_kind(test), x_label="F1", title="Test questions"),
        )
        wrong = np.flatnonzero(f1 < 1)
        for name, chosen, title in (
            ("answers", np.arange(min(12, len(f1))), "Answers to the first test questions"),
            (
                "worst_mistakes",
                wrong[np.lexsort((-chance[wrong], f1[wrong]))][:12],
                "Wrong answers on the test split, the most certain first",
            ),
        ):
            yield name, _shown(test.take(chosen), title)
        yield "lengths", text_figures.lengths(data.train)
        # The shortest question, which is drawn whole, and the passage around its answer.
        number = int(np.argmin([len(question) for question in test.examples["question"]]))
        ((inputs, target),) = data.test.skip(number).take(1).as_numpy_iterator()
        places = [*range(16), *range(max(16, target["start"] - 8), max(32, target["start"] + 8))]
        tokens = [data.tokenizer.vocabulary[index] for index in inputs["token_ids"]]
        inputs = {name: x[np.newaxis] for name, x in inputs.items()}
        yield from text_figures.attention(model, inputs, tokens, places)

    def signatures(self, model: keras.Model, data: Questions) -> list[Signature]:
        tokenizer = data.tokenizer
        columns = {name: data.raw("test")[name][:_PROVEN] for name in ("question", "context")}
        encoded, spans = questions.encode(tokenizer, *(tf.constant(x) for x in columns.values()))
        logits = model.predict(dense(encoded), verbose=0)
        clear = question_answering.clear(logits)
        logits = {name: x[clear] for name, x in logits.items()}
        columns = {name: x[clear] for name, x in columns.items()}
        inputs = {name: x.numpy()[clear] for name, x in dense(encoded).items()}
        tokens = self.answers(logits)
        answer = question_answering.answer(
            tf.constant(columns["context"]),
            spans.to_tensor().numpy()[clear],
            tokens["start"],
            tokens["end"],
        )

        def of_tokens(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self.answers(model(inputs, training=False))

        def of_texts(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
            question, context = (tf.ensure_shape(text, [None]) for text in (question, context))
            inputs, spans = questions.encode(tokenizer, question, context)
            found = of_tokens(dense(inputs))
            place = question_answering.answer(
                context, spans.to_tensor(), found["start"], found["end"]
            )
            return {**place, "score": found["score"]}

        expected = {name: x.numpy() for name, x in tokens.items()}
        token_ids = self.token_signature(model, of_tokens, inputs, expected)
        if not self.reads_text:
            return [replace(token_ids, name="serving_default")]
        texts = Signature(
            "serving_default",
            of_texts,
            {name: tf.TensorSpec([None], tf.string) for name in columns},
            columns,
            {name: x.numpy() for name, x in answer.items()} | {"score": expected["score"]},
            resources=tokenizer.resources,
        )
        return [texts, token_ids]

    def examples(self, data: Questions) -> dict[str, bytes]:
        """Returns eight test questions with their answers, a JSON object a line."""
        columns = data.raw("test")
        rows = zip(*(columns[name] for name in ("question", "context", "answers")), strict=True)
        lines = [
            json.dumps(
                {
                    "question": question.decode(),
                    "context": context.decode(),
                    "answers": [answer.decode() for answer in answers],
                },
                ensure_ascii=False,
            )
            for question, context, answers in itertools.islice(rows, 8)
        ]
        return {"questions.jsonl": "\n".join([*lines, ""]).encode()}


def _shown(test: Predictions, title: str) -> Figure:
    truths = (b" | ".join(dict.fromkeys(t)).decode() for t in test.examples["answers"])
    captions = [
        f"{textwrap.shorten(answer, 60, placeholder=' …') or 'nothing'} {score:.2f}, true {truth}"
        for answer, score, truth in zip(
            question_answering.texts(test), test.predicted["score"], truths, strict=True
        )
    ]
    asked = [question.decode() for question in test.examples["question"]]
    return text_figures.texts(asked, captions, title=title)
