"""Signatures of pre-trained encoders: embeddings, masked tokens, sentence pairs, replaced words.

Each function returns two: one that takes strings, and the same for token ids.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from pipelines.export.signature import Signature
from pipelines.task import Network
from pipelines.tasks.pretraining import masked_lm, replaced_tokens
from pipelines.tasks.pretraining.data import Segments
from pipelines.tasks.pretraining.documents import first_sentences
from pipelines.tasks.pretraining.embedding import embedder, encoder_inputs
from pipelines.tasks.pretraining.masking import MASK, split_masked
from pipelines.text.signatures import Outputs, from_texts, string_signature, token_signature
from pipelines.text.tokenizers import Inputs, WordPieces, dense, tokenize

# Number of texts that verify each signature.
_VERIFICATION_TEXTS = 64
# Probabilities that differ less, relatively, may change their order in another process.
TIE_TOLERANCE = 1e-4

Pair = tuple[Signature, Signature]


def embed(encoder: keras.Model, data: Segments) -> Pair:
    """Returns the signatures for the vectors of texts: see `embedder`."""
    model, tokenizer = embedder(encoder), data.tokenizer
    texts = first_sentences(data.documents, "test", _VERIFICATION_TEXTS)
    inputs = _arrays(tokenize(tokenizer, texts))
    expected = model.predict(inputs, verbose=0)

    def of_tokens(inputs: dict[str, tf.Tensor]) -> Outputs:
        return model(inputs, training=False)

    function = from_texts(of_tokens, tokenizer)
    return (
        string_signature("embed", function, {"text": texts}, expected, tokenizer),
        token_signature("embed_token_ids", of_tokens, inputs, expected),
    )


def fill_mask(model: keras.Model, data: Segments) -> Pair:
    """Returns the signatures for the most probable tokens at each "[MASK]"."""
    tokenizer, vocabulary = data.tokenizer, tf.constant(data.vocabulary)
    texts = mask_words(first_sentences(data.documents, "test", _VERIFICATION_TEXTS))
    ragged, positions = tokenize_masked(tokenizer, tf.constant(texts))
    inputs = _arrays({**ragged, "mask_positions": positions})
    logits = model.predict(inputs, verbose=0)["masked_lm"]
    rows = is_unambiguous(logits, inputs["mask_positions"])
    inputs = {name: x[rows] for name, x in inputs.items()}
    expected = masked_lm.top_k_arrays(logits[rows], inputs["mask_positions"])

    def of_tokens(inputs: dict[str, tf.Tensor]) -> Outputs:
        logits = model(inputs, training=False)["masked_lm"]
        return masked_lm.top_k(logits, inputs["mask_positions"])

    def of_text(text: tf.Tensor) -> Outputs:
        ragged, positions = tokenize_masked(tokenizer, tf.ensure_shape(text, [None]))
        best = of_tokens(dense({**ragged, "mask_positions": positions}))
        tokens = tf.gather(vocabulary, best["guesses"])
        # Id 0 is padding of the masks, not a token.
        return {"tokens": tf.where(best["guesses"] > 0, tokens, ""), "scores": best["scores"]}

    names = np.array([b"", *(token.encode() for token in data.vocabulary[1:])], object)
    tokens = {"tokens": names[expected["guesses"]], "scores": expected["scores"]}
    return (
        string_signature("fill_mask", of_text, {"text": texts[rows]}, tokens, tokenizer),
        token_signature("token_ids", of_tokens, inputs, expected),
    )


def sentence_pair(network: Network, data: Segments) -> Pair:
    """Returns the signatures for the probability that a text follows another."""
    name, tokenizer, model = data.sentence_task, data.tokenizer, network.model
    classifier = keras.Model(
        encoder_inputs(network.parts["encoder"], model.input), model.output[name]
    )
    texts = first_sentences(data.documents, "test", _VERIFICATION_TEXTS + 1)
    columns = {"text": texts[:-1], "text_pair": texts[1:]}
    inputs = _arrays(tokenize(tokenizer, *columns.values()))
    probabilities = ops.softmax(classifier.predict(inputs, verbose=0)).numpy()
    expected = {"probability": probabilities[:, 0]}

    def of_tokens(inputs: dict[str, tf.Tensor]) -> Outputs:
        return {"probability": tf.nn.softmax(classifier(inputs, training=False))[:, 0]}

    function = from_texts(of_tokens, tokenizer)
    return (
        string_signature(name, function, columns, expected, tokenizer),
        token_signature(f"{name}_token_ids", of_tokens, inputs, expected),
    )


def detect(discriminator: keras.Model, data: Segments) -> Pair:
    """Returns the signatures for the probability that each word, or token, is replaced."""
    tokenizer = data.tokenizer
    texts = list(first_sentences(data.documents, "test", _VERIFICATION_TEXTS))
    ragged, *_ = replaced_tokens.tokenize_words(tokenizer, tf.constant(texts))
    inputs = _arrays(ragged)
    probabilities = ops.sigmoid(discriminator.predict(inputs, verbose=0)).numpy()
    probabilities = np.where(inputs["padding_mask"] > 0, probabilities, np.float32(0))

    def of_tokens(inputs: dict[str, tf.Tensor]) -> Outputs:
        probabilities = tf.sigmoid(discriminator(inputs, training=False))
        return {"replaced": tf.where(inputs["padding_mask"] > 0, probabilities, 0.0)}

    def of_text(text: tf.Tensor) -> Outputs:
        text = tf.ensure_shape(text, [None])
        ragged, *words = replaced_tokens.tokenize_words(tokenizer, text)
        return replaced_tokens.by_word(text, of_tokens(dense(ragged))["replaced"], *words)

    by_word = replaced_tokens.by_word_arrays(tokenizer, texts, probabilities)
    return (
        string_signature("detect", of_text, {"text": texts}, by_word, tokenizer),
        token_signature("token_ids", of_tokens, inputs, {"replaced": probabilities}),
    )


def tokenize_masked(tokenizer: WordPieces, text: tf.Tensor) -> tuple[Inputs, tf.RaggedTensor]:
    """Turns strings [batch] into inputs, and the positions of [MASK] in them, int32 [batch, masks].

    A mask that is truncated with the end of its text has no position.
    """
    inputs = tokenizer.pack(split_masked(tokenizer, text))
    ids = inputs["token_ids"]
    positions = tf.ragged.range(ids.row_lengths())
    masks = tf.ragged.boolean_mask(positions, ids == tokenizer.vocabulary.index(MASK))
    return inputs, tf.cast(masks, tf.int32)


def mask_words(sentences: np.ndarray) -> np.ndarray:
    """Returns sentences, str [texts], with one word, two or none replaced by "[MASK]", in turns."""
    texts = []
    for number, sentence in enumerate(sentences):
        words = sentence.split()
        for turn in range(min((1, 2, 1, 0)[number % 4], len(words) - 1)):
            words[(turn + 1) * len(words) // 3] = MASK
        texts.append(" ".join(words))
    return np.array(texts, object)


def is_unambiguous(logits: np.ndarray, positions: np.ndarray) -> np.ndarray:
    """Returns in which rows the order of the most probable tokens is certain, bool [batch].

    Where it is in none, the first row stands for all.

    Args:
        logits: float32 [batch, masks, vocabulary].
        positions: int32 [batch, masks]; masks at position 0 are padding.
    """
    probabilities = ops.softmax(logits).numpy()
    top = -np.sort(-probabilities, axis=-1)[..., : masked_lm.TOP_K + 1]
    gaps = (top[..., :-1] - top[..., 1:]) / np.maximum(top[..., :-1], 1e-30)
    certain = ((gaps > TIE_TOLERANCE).all(-1) | (positions == 0)).all(-1)
    certain[0] |= not certain.any()
    return certain


def _arrays(inputs: Inputs) -> dict[str, np.ndarray]:
    return {name: x.numpy() for name, x in dense(inputs).items()}
