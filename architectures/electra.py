"""ELECTRA's pre-training: a small generator fills masks, a discriminator detects its replacements.

Clark, Luong, Le & Manning, "ELECTRA: Pre-training Text Encoders as Discriminators Rather Than
Generators", 2020. The discriminator learns from every token instead of the masked 15 %. After
training it is kept and the generator discarded.

    discriminator = electra("small")
    detector = replaced_token_detector(discriminator)
    generator = masked_lm(electra_generator(discriminator))
    model = electra_pretraining(generator, detector)
"""

from __future__ import annotations

from typing import Any

import keras
import keras_hub
from keras import layers, ops

from architectures.bert import embed, encode, transformer_layers, truncated_normal
from architectures.checks import check_counts


def electra_generator(
    discriminator: keras_hub.models.ElectraBackbone, *, divisor: int = 4
) -> keras.Model:
    """Builds the encoder of the generator that is trained together with a discriminator.

    The two share their embeddings: in the paper those of tokens and positions; in its code, and
    here, also those of segments and the normalization of the sum. If the generator's width differs
    from that of the embeddings, it has its own projection.

    Args:
        discriminator: An ELECTRA encoder.
        divisor: Factor by which hidden states, feed-forward networks and the number of heads are
            smaller in the generator; published are 4 (small, large) and 3 (base).

    Returns:
        A model from the discriminator's inputs to the generator's hidden states, [batch, time,
        width / divisor]; names of layers that are not shared begin with "generator_".

    Raises:
        ValueError: `divisor` does not divide a width or the heads of the discriminator.
    """
    check_counts("electra_generator", divisor=[divisor])
    for size in ("hidden_dim", "intermediate_dim", "num_heads"):
        if getattr(discriminator, size) % divisor:
            raise ValueError(
                f"electra_generator: divisor must divide {size}, which is "
                f"{getattr(discriminator, size)}, and {divisor} does not"
            )

    inputs = discriminator.input
    x = embed(discriminator, inputs)
    width = discriminator.hidden_dim // divisor
    if width != discriminator.embedding_dim:
        project = layers.Dense(
            width, kernel_initializer=truncated_normal(), name="generator_projection"
        )
        x = project(x)
    for index, pattern in enumerate(transformer_layers(discriminator)):
        x = keras_hub.layers.TransformerEncoder(
            discriminator.intermediate_dim // divisor,
            discriminator.num_heads // divisor,
            dropout=discriminator.dropout,
            activation=pattern.activation,
            layer_norm_epsilon=pattern.layer_norm_epsilon,
            kernel_initializer=truncated_normal(),
            name=f"generator_layer_{index}",
        )(x, padding_mask=inputs["padding_mask"])
    return keras.Model(inputs, x, name="electra_generator")


def electra_of(encoder: keras_hub.models.BertBackbone) -> keras_hub.models.ElectraBackbone:
    """Returns an ELECTRA encoder with the weights of a BERT encoder, whose layers are the same.

    The paper's discriminators begin from scratch; one that begins so needs fewer updates.
    """
    electra = keras_hub.models.ElectraBackbone(
        vocab_size=encoder.vocabulary_size,
        num_layers=encoder.num_layers,
        num_heads=encoder.num_heads,
        hidden_dim=encoder.hidden_dim,
        embedding_dim=encoder.hidden_dim,
        intermediate_dim=encoder.intermediate_dim,
        dropout=encoder.dropout,
        max_sequence_length=encoder.max_sequence_length,
        name="electra",
    )
    electra.set_weights(encoder.get_weights())
    return electra


def electra_pretraining(
    generator: keras.Model, detector: keras.Model, *, seed: int | None = None
) -> keras.Model:
    """Builds ELECTRA's joint model: the generator fills the masks, the detector reads the result.

    Tokens are sampled from the generator's distribution, without a gradient through the sampling.
    Position 0, which pads the mask positions and is never masked, keeps its token. A token counts
    as replaced if the sample differs from the original, which is not an input of the model: the
    loss compares "corrupted_ids" with it. The paper adds the two losses, the detector's times 50.

    Args:
        generator: `masked_lm` over `electra_generator` of the discriminator.
        detector: `replaced_token_detector` over the discriminator. It shares its weights with the
            joint model and is kept after training.
        seed: Seed of the sampling.

    Returns:
        A model from the encoder's inputs, masked, and "mask_positions", int32 [batch, masks], to
        {"masked_lm": logits, float32 [batch, masks, vocabulary], "corrupted_ids": int32 [batch,
        time], "replaced_token": logits, float32 [batch, time]}.

    Raises:
        ValueError: The generator does not share the detector's embeddings.
    """
    if generator.get_layer("token_embedding") is not detector.get_layer("token_embedding"):
        raise ValueError(
            "electra_pretraining: generator and detector must share their embeddings, as those "
            "made from one discriminator do"
        )
    inputs, logits = generator.input, generator.output
    corrupted = _Corrupt(seed, dtype="float32", name="corrupted_ids")(
        inputs["token_ids"], inputs["mask_positions"], logits
    )
    x = encode(detector, {**inputs, "token_ids": corrupted})
    for name in ("replaced_token_dense", "replaced_token_logit", "replaced_token"):
        x = detector.get_layer(name)(x)
    outputs = {"masked_lm": logits, "corrupted_ids": corrupted, "replaced_token": x}
    return keras.Model(inputs, outputs, name="electra_pretraining")


@keras.saving.register_keras_serializable(package="architectures")
class _Corrupt(layers.Layer):
    """Replaces tokens at the mask positions, never at position 0, by samples from the logits."""

    def __init__(self, seed: int | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, token_ids: Any, mask_positions: Any, logits: Any) -> Any:
        # The argmax of logits plus Gumbel noise is a sample from their softmax.
        uniform = keras.random.uniform(ops.shape(logits), 1e-20, 1.0, seed=self.seed_generator)
        sampled = ops.argmax(logits - ops.log(-ops.log(uniform)), axis=-1)
        time = ops.arange(ops.shape(token_ids)[1], dtype="int32")
        here = ops.expand_dims(mask_positions, -1) == ops.where(time > 0, time, -1)
        sampled = ops.where(here, ops.expand_dims(ops.cast(sampled, "int32"), -1), -1)
        # Of several samples for one position the largest is kept; without a sample it is -1.
        sampled = ops.max(sampled, axis=1)
        return ops.where(sampled >= 0, sampled, token_ids)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "seed": self.seed}
