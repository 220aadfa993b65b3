"""What encoders are pre-trained on: pairs of segments of documents, or blocks of whole sentences.

Pairs as in BERT's data (Devlin et al. 2019, section A.2): consecutive sentences of a document, as
many as fill the length, and of a tenth of the examples fewer; cut between two sentences into A and
B; what is too long loses tokens at either end of the longer segment. Half of the Bs are replaced
by sentences of another document, for "next_sentence", or half of the pairs swapped, for
"sentence_order" (Lan et al. 2020). Where a document is cut into examples is settled once; between
which sentences A ends, and what B is, are drawn anew for every pass over the training split. A
random B has as many tokens as the true one, so that lengths give nothing away.

Networks without segments read blocks: as many whole sentences of one document as fit (Liu et al.
2019, "doc-sentences"). Sentences longer than that are cut.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import keras
import numpy as np
import tensorflow as tf

from pipelines.errors import UserError
from pipelines.evaluation import joined
from pipelines.tasks.pretraining import chunks
from pipelines.tasks.pretraining.chunks import Stretch, Tokens
from pipelines.tasks.pretraining.documents import SPLITS, Documents
from pipelines.text.tokenizers import WordPieces

SENTENCE_TASKS = ("next_sentence", "sentence_order")
_CHUNK = 4096
# Examples of validation and of test beyond which more say nothing new.
_MOST_EVALUATED = 20_000
# Seed of everything that is drawn once, so that all runs are compared on the same.
_EVALUATION = 0

# Turns a padded batch of inputs and targets into a masked one; the seed is int32 [2].
Mask = Callable[[dict[str, tf.Tensor], dict[str, tf.Tensor], tf.Tensor], tuple[dict, dict]]


@dataclass(frozen=True)
class Segments:
    """A data set to pre-train on.

    Attributes:
        documents: What it is cut from.
        tokenizer: From texts to token ids.
        sentence_task: What is asked about a pair: "next_sentence", "sentence_order" or nothing.
        tokens: By split.
        stretches: By split, what each example is cut from.
        columns: By split, all but train: "block", int64 [examples], the number of the document;
            "original", the tokens before any was masked, an object array of int32 [tokens].
        train: ({"token_ids": int32 [tokens], …}, {sentence_task: int64 []}) examples, not masked
            yet, drawn anew in every pass.
        validation: The same masked, always the same.
        test: As validation.
    """

    documents: Documents
    tokenizer: WordPieces
    sentence_task: str
    tokens: Mapping[str, Tokens]
    stretches: Mapping[str, Sequence[Stretch]]
    columns: Mapping[str, Mapping[str, np.ndarray]]
    train: tf.data.Dataset
    validation: tf.data.Dataset
    test: tf.data.Dataset

    @property
    def name(self) -> str:
        return self.documents.name

    @property
    def version(self) -> str:
        return self.documents.version

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the documents and of the validation examples that were made of them."""
        sha = hashlib.sha256(self.documents.digest.encode())
        for part in self.validation.batch(_CHUNK).as_numpy_iterator():
            for array in keras.tree.flatten(part):
                sha.update(array.tobytes())
        return sha.hexdigest()[:12]

    @property
    def sizes(self) -> dict[str, int]:
        """Number of examples in each split."""
        return {
            split: len(self.columns.get(split, {}).get("block", self.stretches[split]))
            for split in SPLITS
        }

    @property
    def example_bytes(self) -> None:
        """None: examples are drawn anew and must not be kept."""
        return None

    def raw(self, split: str) -> dict[str, np.ndarray]:
        """Returns the columns of a split."""
        return dict(self.columns.get(split, {}))


def load(
    documents: Documents, tokenizer: WordPieces, sentence_task: str, mask: Mask, *, seed: int = 0
) -> Segments:
    """Cuts documents into examples.

    Args:
        documents: What to cut.
        tokenizer: Cuts sentences into tokens, and tells the length of an example.
        sentence_task: One of `SENTENCE_TASKS`, or "" for none.
        mask: Masks the examples of validation and test.
        seed: For what is drawn for training; what choices and reports look at is always the same.

    Raises:
        UserError: A split has nothing to cut, or nothing to draw a random sentence from.
    """
    tokens = {split: chunks.tokens_of(tokenizer, documents.sentences[split]) for split in SPLITS}
    cut: dict[str, Sequence[Stretch]] = {}
    for number, split in enumerate(SPLITS):
        random = np.random.default_rng([_EVALUATION, number])
        if tokenizer.segments:
            found = chunks.pairs(tokens[split], tokenizer.max_length - 3, random)
        else:
            found = chunks.blocks(tokens[split], tokenizer.max_length - 2)
        cut[split] = list(found)
        if split != "train":  # Every so many, of all documents alike.
            every = -(-len(cut[split]) // _MOST_EVALUATED)
            cut[split] = cut[split][:: max(every, 1)]
        if not cut[split]:
            raise UserError(f"{documents.name} has no two sentences in a row in its {split} split")
        if sentence_task == "next_sentence" and len(documents.sentences[split]) < 2:
            raise UserError(
                f"{documents.name} has one document in its {split} split; next_sentence needs "
                "others to draw from: separate them by blank lines, or choose --sentence_task none"
            )
    drawn = {
        split: list(
            chunks.examples(
                tokens[split],
                cut[split],
                tokenizer,
                sentence_task,
                np.random.default_rng([_EVALUATION, number]),
            )
        )
        for number, split in enumerate(("validation", "test"))
    }
    columns = {split: _columns(rows, cut[split]) for split, rows in drawn.items()}
    fixed = {split: _masked(rows, mask) for split, rows in drawn.items()}
    passes = itertools.count()

    def anew() -> Iterator[tuple[dict, dict]]:
        random = np.random.default_rng([seed, next(passes)])
        order = random.permutation(len(cut["train"]))
        shuffled = [cut["train"][index] for index in order]
        yield from chunks.examples(tokens["train"], shuffled, tokenizer, sentence_task, random)

    names = ["token_ids", "padding_mask", *(["segment_ids"] if tokenizer.segments else [])]
    spec = (
        {name: tf.TensorSpec([None], tf.int32) for name in names},
        {sentence_task: tf.TensorSpec([], tf.int64)} if sentence_task else {},
    )
    train = tf.data.Dataset.from_generator(anew, output_signature=spec)
    return Segments(
        documents=documents,
        tokenizer=tokenizer,
        sentence_task=sentence_task,
        tokens=tokens,
        stretches=cut,
        columns=columns,
        train=train,
        **fixed,
    )


def _columns(
    rows: Sequence[tuple[dict, dict]], stretches: Sequence[Stretch]
) -> dict[str, np.ndarray]:
    original = np.empty(len(rows), object)
    for number, (inputs, _) in enumerate(rows):
        original[number] = inputs["token_ids"][inputs["padding_mask"] > 0]
    block = np.array([stretch.document for stretch in stretches], np.int64)
    return {"block": block, "original": original}


def _masked(rows: Sequence[tuple[dict, dict]], mask: Mask) -> tf.data.Dataset:
    """Returns examples masked once and for all, padded to the longest."""
    inputs, targets = (
        {name: joined([part[name][np.newaxis] for part in parts]) for name in parts[0]}
        for parts in zip(*rows, strict=True)
    )
    masked = mask(inputs, targets, tf.constant([_EVALUATION, len(rows)]))
    return tf.data.Dataset.from_tensor_slices(masked)
