"""The table of architectures: what each published name stands for.

It imports neither Keras nor a builder, so that listing costs nothing. `parameters` is what Keras'
`count_params()` gives, moving statistics of normalisations included; where papers count trainable
parameters only, theirs are fewer. A test builds each entry and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Architecture:
    """A published name.

    Attributes:
        builder: `module:function` below this package, imported on first use.
        family: What kind of network it is.
        source: The paper.
        parameters: Parameters in the published configuration; None where there is none.
        published: The hyperparameters that the name stands for, its published sizes among them.
    """

    builder: str
    family: str
    source: str
    parameters: int | None = None
    published: Mapping[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> str:
        """What one example is, as "image 224x224x3" or "tokens"."""
        shape = self.published.get("input_shape")
        if shape is None:
            return _INPUTS[self.builder.split(":")[0]]
        kind = "image " if len(shape) == 3 else ""
        return kind + "x".join(map(str, shape))


_INPUTS = {
    "mlp": "features",
    "convnet": "image",
    "resnet": "image",
    "unet": "image",
    "word_convnet": "tokens",
    "recurrent": "tokens or features",
    "transformer": "source and target tokens",
    "seq2seq": "source and target tokens",
    "decoder": "tokens",
    "bert": "tokens",
}


def _family(builder: str, family: str, source: str, rows, **common: Any) -> dict[str, Architecture]:
    """Returns the entries of a family: parameters and hyperparameters by name."""
    return {
        name: Architecture(builder, family, source, parameters, {**common, **config})
        for name, (parameters, config) in rows.items()
    }


_CIFAR = {"classes": 10, "input_shape": (32, 32, 3)}
_IMAGENET = {"classes": 1000, "input_shape": (224, 224, 3)}
_PLAIN_CONVOLUTIONS = {"normalize": False, "stage_dropout": 0.0}

ARCHITECTURES: dict[str, Architecture] = {
    **_family(
        "mlp:mlp",
        "multilayer perceptron",
        "Rumelhart et al. 1986; Keras example mnist_mlp",
        {"mlp": (669_706, {"classes": 10, "input_shape": (784,)})},
    ),
    "convnet": Architecture("convnet:convnet", "convolutional network", "LeCun et al. 1998"),
    **_family(
        "convnet:convnet",
        "convolutional network",
        "Keras example mnist_convnet",
        {
            "mnist_convnet": (
                34_826,
                {"filters": (32, 64), "convolutions": 1, "padding": "valid", "units": ()},
            )
        },
        classes=10,
        input_shape=(28, 28, 1),
        **_PLAIN_CONVOLUTIONS,
    ),
    **_family(
        "convnet:convnet",
        "VGG",
        "Simonyan & Zisserman 2015",
        {
            "vgg11": (132_863_336, {"convolutions": (1, 1, 2, 2, 2)}),
            "vgg13": (133_047_848, {"convolutions": 2}),
            "vgg16": (138_357_544, {"convolutions": (2, 2, 3, 3, 3)}),
            "vgg19": (143_667_240, {"convolutions": (2, 2, 4, 4, 4)}),
        },
        filters=(64, 128, 256, 512, 512),
        units=(4096, 4096),
        **_IMAGENET,
        **_PLAIN_CONVOLUTIONS,
    ),
    **_family(
        "resnet:resnet",
        "residual network",
        "He et al. 2015",
        {
            "resnet18": (11_699_112, {"depth": 18}),
            "resnet34": (21_814_696, {"depth": 34}),
            "resnet50": (25_610_152, {"depth": 50}),
            "resnet101": (44_654_504, {"depth": 101}),
            "resnet152": (60_344_232, {"depth": 152}),
        },
        **_IMAGENET,
    ),
    **_family(
        "resnet:resnet",
        "residual network, pre-activation",
        "He et al. 2016",
        {
            "resnet50_v2": (25_594_792, {"depth": 50}),
            "resnet101_v2": (44_639_144, {"depth": 101}),
            "resnet152_v2": (60_328_872, {"depth": 152}),
        },
        version="2",
        **_IMAGENET,
    ),
    **_family(
        "resnet:resnet",
        "residual network for small images",
        "He et al. 2015",
        {
            "resnet20": (271_098, {"depth": 20}),
            "resnet32": (466_426, {"depth": 32}),
            "resnet44": (661_754, {"depth": 44}),
            "resnet56": (857_082, {"depth": 56}),
            "resnet110": (1_736_058, {"depth": 110}),
        },
        stem="cifar",
        shortcut="A",
        **_CIFAR,
    ),
    **_family(
        "resnet:resnet",
        "plain twin of a residual network",
        "He et al. 2015",
        {
            "plain18": (11_523_496, {"depth": 18, **_IMAGENET}),
            "plain34": (21_639_080, {"depth": 34, **_IMAGENET}),
            "plain20": (271_098, {"depth": 20, "stem": "cifar", **_CIFAR}),
            "plain32": (466_426, {"depth": 32, "stem": "cifar", **_CIFAR}),
            "plain44": (661_754, {"depth": 44, "stem": "cifar", **_CIFAR}),
            "plain56": (857_082, {"depth": 56, "stem": "cifar", **_CIFAR}),
        },
        shortcut="none",
    ),
    **_family(
        "unet:unet",
        "U-Net",
        "Ronneberger et al. 2015",
        {"unet": (31_030_658, {"classes": 2, "input_shape": (572, 572, 1)})},
        padding="valid",
        normalize=False,
    ),
    "word_convnet": Architecture(
        "word_convnet:word_convnet", "convolutional network over words", "Kim 2014"
    ),
    "simple_rnn": Architecture(
        "recurrent:recurrent", "recurrent network", "Elman 1990", published={"cell": "simple"}
    ),
    **_family(
        "recurrent:recurrent",
        "recurrent network",
        "Hochreiter & Schmidhuber 1997",
        {
            "lstm": (None, {"cell": "lstm"}),
            "bilstm": (None, {"cell": "lstm", "bidirectional": True}),
        },
    ),
    **_family(
        "recurrent:recurrent",
        "recurrent network",
        "Keras example bidirectional_lstm_imdb",
        {
            "bilstm_imdb": (
                2_757_761,
                {"vocabulary": 20_000, "embedding": 128, "units": (64, 64), "outputs": 1},
            )
        },
        cell="lstm",
        bidirectional=True,
    ),
    **_family(
        "recurrent:recurrent",
        "recurrent network",
        "Cho et al. 2014",
        {
            "gru": (None, {"cell": "gru"}),
            "bigru": (None, {"cell": "gru", "bidirectional": True}),
        },
    ),
    **_family(
        "recurrent:recurrent",
        "higher-order recurrent network",
        "Soltani & Jiang 2016",
        {"hornn": (None, {"cell": "hornn"})},
    ),
    **_family(
        "recurrent:recurrent",
        "memory without recurrence",
        "Waibel et al. 1989; Bahdanau et al. 2015",
        {
            "tapped_delay_line": (None, {"cell": "tapped_delay_line"}),
            "attention_memory": (None, {"cell": "attention_memory"}),
        },
    ),
    **_family(
        "transformer:transformer",
        "Transformer encoder-decoder",
        "Vaswani et al. 2017",
        {
            "transformer_base": (63_082_496, {"size": "base"}),
            "transformer_big": (214_245_376, {"size": "big"}),
        },
        source_vocabulary=37_000,
        target_vocabulary=37_000,
    ),
    "lstm_seq2seq": Architecture(
        "seq2seq:seq2seq", "LSTM encoder-decoder with attention", "Luong et al. 2015"
    ),
    **_family(
        "decoder:decoder",
        "decoder-only Transformer",
        "Radford et al. 2019",
        {
            "gpt2_small": (124_439_808, {"size": "gpt2_small"}),
            "gpt2_medium": (354_823_168, {"size": "gpt2_medium"}),
            "gpt2_large": (774_030_080, {"size": "gpt2_large"}),
            "gpt2_xl": (1_557_611_200, {"size": "gpt2_xl"}),
        },
    ),
    **_family(
        "decoder:decoder",
        "decoder-only Transformer for characters",
        "Karpathy 2022, nanoGPT",
        {
            "char_gpt": (10_770_816, {"size": "char", "max_length": 256}),
            "char_gpt_small": (809_856, {"size": "char_small", "max_length": 64}),
        },
        vocabulary=65,
    ),
    **_family(
        "bert:bert",
        "BERT encoder",
        "Devlin et al. 2019; small sizes: Turc et al. 2019",
        {
            "bert_tiny": (4_385_920, {"size": "tiny"}),
            "bert_mini": (11_170_560, {"size": "mini"}),
            "bert_small": (28_763_648, {"size": "small"}),
            "bert_medium": (41_373_184, {"size": "medium"}),
            "bert_base": (109_482_240, {"size": "base"}),
            "bert_large": (335_141_888, {"size": "large"}),
            "bert_base_cased": (108_310_272, {"size": "base", "vocabulary": 28_996}),
            "bert_large_cased": (333_579_264, {"size": "large", "vocabulary": 28_996}),
        },
    ),
    **_family(
        "bert:roberta",
        "RoBERTa encoder",
        "Liu et al. 2019",
        {
            "roberta_base": (124_052_736, {"size": "base"}),
            "roberta_large": (354_307_072, {"size": "large"}),
        },
    ),
    **_family(
        "bert:albert",
        "ALBERT encoder",
        "Lan et al. 2020",
        {
            "albert_base": (11_683_584, {"size": "base"}),
            "albert_large": (17_683_968, {"size": "large"}),
            "albert_xlarge": (58_724_864, {"size": "xlarge"}),
            "albert_xxlarge": (222_595_584, {"size": "xxlarge"}),
        },
    ),
    **_family(
        "bert:distilbert",
        "DistilBERT encoder",
        "Sanh et al. 2019",
        {
            "distilbert_base": (66_362_880, {}),
            "distilbert_base_cased": (65_190_912, {"vocabulary": 28_996}),
        },
    ),
    **_family(
        "bert:electra",
        "ELECTRA encoder",
        "Clark et al. 2020",
        {
            "electra_small": (13_548_800, {"size": "small"}),
            "electra_base": (109_482_240, {"size": "base"}),
            "electra_large": (335_141_888, {"size": "large"}),
        },
    ),
}
