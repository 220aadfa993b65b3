"""Language modeling: the probability of each next token, and text generated from it.

    python -m pipelines language_modeling

trains an LSTM (200 units, its output tied to the embedding) on 84 State of the Union addresses,
499,000 words and marks, and scores every token of 17 other speeches once, after 32 tokens of
context at least. Measured beside other jobs, 434 to 444 seconds of processor time in all:

| | validation perplexity | test perplexity | test bits per character |
|---|---|---|---|
| unigram | 396.6 | 381.8 | 2.250 |
| 5-gram with modified Kneser-Ney smoothing, the baseline | 97.9 | 92.0 | 1.869 |
| `lstm`, seeds 0 to 2, mean ± deviation | 87.9 ± .9 | 83.0 ± .8 | 1.841 ± .002 |

On test, the 95 % intervals of the difference in perplexity end at -8.3 to -7.0. The two models know
different things: mixed, with a weight of a third for the n-gram model, they have a perplexity of
73.4 on test, as the figure `mixture` shows. 6 % of test's tokens are [UNK]; bits per character
include the cost of spelling them, perplexity does not. With 8,000 words a run takes 605 seconds,
and has 100.2 against 113.0 in perplexity, 1.656 against 1.688 in bits per character; with four
epochs of it, seed 1 ties. Smaller tokens favor the n-gram model: with 2,000 WordPieces a 6-gram has
1.43 bits per character on validation, an LSTM of 256 units 1.68 after two epochs.

At scale: on the Penn Treebank, with twice as many words, Kneser-Ney 5-grams have a perplexity of
141, regularized LSTMs one of 78 to 82 (Zaremba et al. 2014). A decoder of ten million parameters
over the characters of Shakespeare reaches a loss of 1.47 (Karpathy, nanoGPT).

    python -m pipelines language_modeling --architecture char_gpt_small --tokens characters \\
        --dataset tiny_shakespeare --optimizer.learning_rate 0.001
    python -m pipelines language_modeling --dataset lm1b --max_examples 300000
    python -m pipelines language_modeling --architecture gpt2_small --weights DIRECTORY \\
        --dataset ./novel.txt --context 256 --epochs 1 --optimizer.learning_rate 0.00005

Your own text is a folder or a file, see `data.py`; generation and scoring in the served graph are
in `pipelines/text/generation.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from matplotlib.figure import Figure

import architectures
from architectures import recurrent_decoding
from pipelines.baselines import Baseline
from pipelines.errors import UserError
from pipelines.export.signature import Signature
from pipelines.network import build
from pipelines.predictions import Predictions, Scores
from pipelines.task import Network, Task
from pipelines.tasks.language_modeling import weights
from pipelines.tasks.language_modeling.baselines import baselines
from pipelines.tasks.language_modeling.config import LanguageModelingConfig
from pipelines.tasks.language_modeling.data import RunningText, load
from pipelines.tasks.language_modeling.figures import figures
from pipelines.tasks.language_modeling.metrics import reduce, scores
from pipelines.tasks.language_modeling.signatures import as_text, prompts_of, signatures
from pipelines.text import generation
from pipelines.text.byte_pairs import BytePairTokenizer
from pipelines.text.examples import json_lines

_ERROR_MESSAGE = "does not model language; decoders and recurrent networks in one direction do"


class LanguageModeling(Task[LanguageModelingConfig, RunningText]):
    """Language modeling: from tokens to the probability of each next one."""

    metric = "bits_per_character"
    greater_is_better = False

    def load(self) -> RunningText:
        if architectures.get(self.config.architecture).kind not in ("decoder", "recurrent"):
            raise UserError(f"{self.config.architecture} {_ERROR_MESSAGE}")
        if self.config.weights:
            weights.sizes(self.config)
        return load(self.config)

    def network(self, data: RunningText) -> Network:
        vocabulary = len(data.tokenizer.vocabulary)
        fixed: dict[str, Any] = {"outputs": vocabulary, "output": "sequence"}
        if architectures.get(self.config.architecture).kind == "decoder":
            fixed = {"max_length": data.context}
        if self.config.weights:
            # All of its positions, so that the network is the published one.
            fixed = {"max_length": weights.sizes(self.config).max_length}
        network = build(
            self.config,
            _ERROR_MESSAGE,
            lambda model: generation.is_positional(model) or recurrent_decoding.decodes(model),
            vocabulary=vocabulary,
            **fixed,
        )
        if self.config.weights:
            weights.load(network.model, self.config.weights)
        return network

    def loss(self, data: RunningText) -> keras.Loss:
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="mean_with_sample_weight"
        )

    def preprocess(self, inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Drops the last token, which no token follows."""
        return {name: x[:, :-1] for name, x in inputs.items()}

    def postprocess(self, outputs: tf.Tensor, data: RunningText) -> dict[str, tf.Tensor]:
        return {"probabilities": tf.nn.softmax(outputs)}

    def predict_batch(
        self, model: keras.Model, inputs: dict[str, tf.Tensor], target: tf.Tensor, data: RunningText
    ) -> dict[str, tf.Tensor]:
        """Returns the log-probabilities of the targets; whole distributions would be too large."""
        return {"log_probabilities": generation.log_probabilities(model, inputs["token_ids"])}

    def reduce(self, predictions: Predictions, data: RunningText) -> Predictions:
        return reduce(predictions)

    def scores(self, predictions: Predictions, data: RunningText) -> Scores:
        return scores(predictions)

    def baselines(self, data: RunningText) -> list[Baseline]:
        return baselines(data, self.config.tokens)

    def sampler(self, network: Network, data: RunningText) -> Callable[[], str]:
        """Returns a function that generates text without a prompt and from two prompts."""
        generate = generation.graph(network.model, data.context, data.tokenizer.ids)
        ids = [[], *prompts_of(data, "validation", 2)]
        prompts = tf.ragged.constant(ids, ragged_rank=1, dtype=tf.int32)
        chosen = {**generation.parameters(len(ids)), "seed": tf.range(len(ids))}

        def sample() -> str:
            found = generate(prompts, chosen)
            joined = [
                as_text(data.tokenizer.detokenize(x)).numpy() for x in (prompts, found["token_ids"])
            ]
            texts = [
                f"[{prompt.decode()}]{text.decode()}" for prompt, text in zip(*joined, strict=True)
            ]
            return "\n\n".join(texts) + "\n"

        return sample

    def figures(
        self,
        network: Network,
        data: RunningText,
        test: Predictions,
        baselines: Sequence[Baseline],
    ) -> Iterator[tuple[str, Figure]]:
        return figures(network.model, data, test, ngram=baselines[-1].predictions)

    def signatures(self, network: Network, data: RunningText) -> list[Signature]:
        return signatures(network.model, data, text=self.config.text_signature)

    def examples(self, data: RunningText) -> dict[str, bytes]:
        """Returns eight prompts from test."""
        ids = tf.ragged.constant(prompts_of(data, "test", 8), ragged_rank=1, dtype=tf.int32)
        texts = as_text(data.tokenizer.detokenize(ids)).numpy()
        return json_lines(({"prompt": text.decode()} for text in texts), "prompts.jsonl")

    def artifacts(
        self, network: Network, data: RunningText
    ) -> Mapping[str, Callable[[Path], None]]:
        """Returns a decoder over byte pairs as what another run's `--weights runs:/ID` reads."""
        model, tokenizer = network.model, data.tokenizer
        if isinstance(tokenizer, BytePairTokenizer) and generation.is_positional(model):
            return {weights.FOLDER: lambda folder: weights.write(model, tokenizer, folder)}
        return {}
