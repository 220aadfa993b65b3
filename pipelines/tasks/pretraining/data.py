"""Examples for pre-training: pairs of segments of documents, or blocks of whole sentences.

Pairs as in BERT's data (Devlin et al. 2019, section A.2): consecutive sentences of a document, as
many as fill the length, and fewer in a tenth of the examples; divided between two sentences into A
and B; where the two are too long, the longer segment loses tokens at both ends. Half of the Bs are
replaced with sentences of another document, for "next_sentence", or half of the pairs are swapped,
for "sentence_order" (Lan et al. 2020). The chunks of documents that examples are drawn from are
fixed; where A ends, and what B is, are drawn again for every epoch, from its number. A random B has
as many tokens as the true one, so that lengths do not reveal the label.

Networks without segments read blocks: as many whole sentences of one document as fit (Liu et al.
2019, "doc-sentences"). Longer sentences are split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain, islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from pipelines.datasets.dataset import SPLITS
from pipelines.datasets.stored import Stored
from pipelines.datasets.text_columns import PackedTexts, column_of, texts_of
from pipelines.errors import UserError
from pipelines.predictions import joined_columns
from pipelines.tasks.pretraining import chunks, documents
from pipelines.tasks.pretraining.chunks import Example, Tokens
from pipelines.tasks.pretraining.config import PretrainingConfig
from pipelines.tasks.pretraining.documents import Documents
from pipelines.tasks.pretraining.masking import Mask, ordinary_tokens
from pipelines.tasks.pretraining.neighbor_counts import NeighborCounts, frequencies
from pipelines.text.dataset import TokenizedDataset
from pipelines.text.tokenizers import WordPieces

_BATCH = 4096
# More examples of validation and test would not make scores more precise than they need to be.
_MAX_EVALUATED = 20_000
# Seed of what is drawn for validation and test, so that all runs are compared on the same examples.
_EVALUATION_SEED = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class Segments(TokenizedDataset):
    """A data set for pre-training.

    Training examples are ({"token_ids": int32 [tokens], …}, {sentence_task: int64 []}), not masked
    yet, others in every epoch; those of validation and test are masked, and always the same.
    The columns of these two splits are "block", int64 [examples], the number of the document, and
    "original", the tokens before masking, an object array of int32 [tokens].

    Attributes:
        documents: What the examples are drawn from.
        tokenizer: From texts to token ids.
        mask: Masks training batches.
        sentence_task: What is predicted of a pair: "next_sentence", "sentence_order" or "".
        tokens: By split, the tokens of the documents.
        draw: From the number of an epoch to its training examples; `train` has those of epoch 0.
    """

    documents: Documents
    tokenizer: WordPieces
    mask: Mask
    sentence_task: str
    tokens: Mapping[str, Tokens]
    draw: Callable[[Any], tf.data.Dataset]

    def epoch(self, number: Any) -> tf.data.Dataset:
        """Returns the training examples of an epoch, in an order of their own."""
        return self.draw(number)

    def contents(self, split: str) -> None:
        """Returns nothing: examples are drawn from documents."""

    @property
    def vocabulary(self) -> list[str]:
        """Tokens in the order of their ids."""
        return self.tokenizer.vocabulary

    @cached_property
    def ordinary(self) -> np.ndarray:
        """Which tokens of the vocabulary are not special, bool [vocabulary]."""
        return ordinary_tokens(self.vocabulary)

    @cached_property
    def unigram(self) -> np.ndarray:
        """Frequencies of tokens in the training split, float64 [vocabulary]; none is zero."""
        return frequencies(self.tokens["train"].ids, len(self.vocabulary))

    @cached_property
    def counts(self) -> NeighborCounts:
        """N-gram counts of the training split, which take some hundred MB."""
        return NeighborCounts(self.tokens["train"].ids, len(self.vocabulary))

    def arrays(self, split: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Returns the masked inputs and the targets of validation or test as whole arrays."""
        ((inputs, target),) = self.split(split).batch(self.sizes[split]).as_numpy_iterator()
        return inputs, target


def load(
    config: PretrainingConfig,
    make_tokenizer: Callable[[PackedTexts], WordPieces],
    make_mask: Callable[[WordPieces], Mask],
    sentence_task: str = "",
) -> Segments:
    """Prepares and opens the documents that `config` names, and draws examples from them.

    Args:
        config: The choices.
        make_tokenizer: From the training sentences, str [texts], to a tokenizer.
        make_mask: From the tokenizer to a function that masks batches.
        sentence_task: "next_sentence", "sentence_order", or "" for none.

    Raises:
        UserError: The choices do not go together, or the data set holds no text.
    """
    found = documents.load(config)
    sentences = column_of(chain.from_iterable(found.sentences["train"]))
    tokenizer = make_tokenizer(texts_of(sentences))
    if sentence_task and not tokenizer.segments:
        raise UserError(
            f"--sentence_task {sentence_task} needs segments, which {config.architecture} lacks"
        )
    return draw_segments(
        found,
        tokenizer,
        make_mask(tokenizer),
        sentence_task=sentence_task,
        seed=config.recipe.seed,
    )


def draw_segments(
    source: Documents,
    tokenizer: WordPieces,
    mask: Mask,
    *,
    sentence_task: str = "",
    seed: int = 0,
) -> Segments:
    """Draws examples from documents.

    Args:
        source: The documents.
        tokenizer: Splits sentences into tokens; gives the maximum length of an example.
        mask: Masks batches.
        sentence_task: "next_sentence", "sentence_order", or "" for none.
        seed: Of what is drawn for training; validation and test are always the same.

    Raises:
        UserError: A split has no two sentences in a row, or only one document where
            "next_sentence" needs several.
    """
    tokens = {split: chunks.tokenize(tokenizer, source.sentences[split]) for split in SPLITS}
    found = {split: _chunks(source, tokens, split, tokenizer) for split in SPLITS}
    if sentence_task == "next_sentence":
        _check_several_documents(source)
    fixed, columns = {}, {}
    for number, split in enumerate(("validation", "test")):
        random = np.random.default_rng([_EVALUATION_SEED, number])
        examples = list(
            chunks.draw_examples(tokens[split], found[split], tokenizer, sentence_task, random)
        )
        fixed[split] = _masked(examples, mask)
        columns[split] = _columns(examples, found[split])
    draw = partial(
        _training_examples, tokens["train"], found["train"], tokenizer, sentence_task, seed
    )
    return Segments(
        name=source.name,
        version=source.version,
        license=source.license,
        homepage=source.homepage,
        digest=fingerprint(source, fixed["validation"]),
        sizes={split: len(of_split) for split, of_split in found.items()},
        train=draw(0),
        **fixed,
        columns=columns,
        example_bytes=None,
        notes=source.notes,
        left_out=source.left_out,
        documents=source,
        tokenizer=tokenizer,
        mask=mask,
        sentence_task=sentence_task,
        tokens=tokens,
        draw=draw,
    )


def fingerprint(source: Documents, validation: tf.data.Dataset) -> str:
    """Returns 12 hexadecimal digits for documents and the validation examples made of them."""
    sha = hashlib.sha256(source.digest.encode())
    for batch in validation.batch(_BATCH).as_numpy_iterator():
        for array in keras.tree.flatten(batch):
            sha.update(array.tobytes())
    return sha.hexdigest()[:12]


def _chunks(
    source: Documents, tokens: Mapping[str, Tokens], split: str, tokenizer: WordPieces
) -> np.ndarray:
    """Returns the chunks of a split as `chunks.draw_examples` takes them."""
    random = np.random.default_rng([_EVALUATION_SEED, SPLITS.index(split)])
    if tokenizer.segments:
        every = chunks.sentence_chunks(tokens[split], tokenizer.max_length - 3, random)
    else:
        every = chunks.block_chunks(tokens[split], tokenizer.max_length - 2)
    column = Stored(np.int64, (3,))
    while part := list(islice(every, _BATCH)):
        column.append(np.array(part))
    found = column.column()
    if not len(found):
        raise UserError(f"{source.name} has no two sentences in a row in its {split} split")
    if split == "train":
        return found
    # Every n-th one, so that all documents have some.
    return found[:: -(-len(found) // _MAX_EVALUATED)]


def _check_several_documents(source: Documents) -> None:
    for split in SPLITS:
        if len(source.sentences[split]) < 2:
            raise UserError(
                f"{source.name} has one document in its {split} split; next_sentence needs "
                "others to draw from: separate them by blank lines, or choose --sentence_task none"
            )


def _training_examples(
    tokens: Tokens,
    found: np.ndarray,
    tokenizer: WordPieces,
    sentence_task: str,
    seed: int,
    epoch: Any,
) -> tf.data.Dataset:
    """Returns the examples of an epoch, int64 []: drawn for it, in an order of its own."""

    def draw(epoch: np.int64) -> Iterator[Example]:
        random = np.random.default_rng([seed, int(epoch)])
        order = random.permutation(len(found))
        for start in range(0, len(order), _BATCH):
            part = found[order[start : start + _BATCH]]
            yield from chunks.draw_examples(tokens, part, tokenizer, sentence_task, random)

    names = ["token_ids", "padding_mask", *(["segment_ids"] if tokenizer.segments else [])]
    spec = (
        {name: tf.TensorSpec([None], tf.int32) for name in names},
        {sentence_task: tf.TensorSpec([], tf.int64)} if sentence_task else {},
    )
    return tf.data.Dataset.from_generator(draw, output_signature=spec, args=(epoch,))


def _columns(examples: Sequence[Example], found: np.ndarray) -> dict[str, np.ndarray]:
    original = np.empty(len(examples), object)
    for number, (inputs, _) in enumerate(examples):
        original[number] = inputs["token_ids"][inputs["padding_mask"] > 0]
    return {"block": np.array(found[:, 0]), "original": original}


def _masked(examples: Sequence[Example], mask: Mask) -> tf.data.Dataset:
    """Returns examples that are masked once, padded to the longest."""
    inputs, targets = (
        {name: joined_columns([part[name][np.newaxis] for part in parts]) for name in parts[0]}
        for parts in zip(*examples, strict=True)
    )
    masked = mask(inputs, targets, tf.constant([_EVALUATION_SEED, len(examples)]))
    return tf.data.Dataset.from_tensor_slices(masked)
