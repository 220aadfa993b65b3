"""What an architecture is: a published name, its builder, its kind, its source, its parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

Kind = Literal[
    "image_classifier",
    "image_segmenter",
    "text_classifier",
    "reader",
    "recurrent",
    "encoder",
    "decoder",
    "encoder_decoder",
    "image_captioner",
]

_INPUTS: dict[Kind, str] = {
    "image_classifier": "image",
    "image_segmenter": "image",
    "text_classifier": "tokens",
    "reader": "question and passage tokens",
    "recurrent": "tokens or features",
    "encoder": "tokens",
    "decoder": "tokens",
    "encoder_decoder": "source and target tokens",
    "image_captioner": "image and target tokens",
}


@dataclass(frozen=True)
class Architecture:
    """A published name and what it stands for.

    Attributes:
        builder: The function that builds it, as "package.module:function"; imported on first use.
        kind: What the network computes, and so which tasks can use it:

            - "image_classifier": an array of fixed shape, such as an image, to logits of classes;
            - "image_segmenter": an image to logits of classes for each pixel;
            - "text_classifier": token ids to logits of classes;
            - "reader": token ids of a question and a passage to logits of the answer's first and
              last token;
            - "recurrent": token ids or features of any length to logits, one vector for the
              sequence or one for each step;
            - "encoder": token ids to hidden states that see the whole sequence, as BERT; the heads
              in `architectures/heads.py` go on top;
            - "decoder": token ids to logits of each next token, as GPT;
            - "encoder_decoder": source and target token ids to logits of each next target token;
            - "image_captioner": an image and target token ids to logits of each next target token.
        family: The family of networks in words, for the listing.
        source: The paper or code that publishes it.
        parameters: Number of parameters of the published configuration, None if there is none.
        published: Hyperparameters that the name stands for, its published sizes among them.

    Raises:
        ValueError: `kind` is unknown, or `builder` is not of the form above.
    """

    builder: str
    kind: Kind
    family: str
    source: str
    parameters: int | None = None
    published: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            kinds = ", ".join(map(repr, get_args(Kind)))
            raise ValueError(f"Architecture: kind must be one of {kinds}, not {self.kind!r}")
        module, colon, function = self.builder.partition(":")
        if not (module and colon and function.isidentifier()):
            raise ValueError(
                f"Architecture: builder must be 'package.module:function', not {self.builder!r}"
            )

    @property
    def model_type(self) -> str:
        """Name of the builder function, such as "roberta".

        For an encoder it is what `model_type` says in the `config.json` of its checkpoints.
        """
        return self.builder.partition(":")[2]

    @property
    def input(self) -> str:
        """The shape or kind of one example, as "image 224x224x3" or "tokens"."""
        shape = self.published.get("input_shape")
        if shape is None:
            return _INPUTS[self.kind]
        kind = "image " if len(shape) == 3 else ""
        return kind + "x".join(map(str, shape))
