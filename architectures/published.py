"""The table of this package's architectures: what each published name stands for.

`parameters` is what Keras' `count_params()` returns, moving statistics of normalizations included;
papers that count trainable parameters only report fewer. A test builds each entry and compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from architectures.architecture import Architecture, Kind


def _family(
    builder_and_kind: tuple[str, Kind],
    family: str,
    source: str,
    rows: Mapping[str, tuple[int | None, Mapping[str, Any]]],
    **common: Any,
) -> dict[str, Architecture]:
    """Returns the entries of a family, from parameters and hyperparameters by name."""
    return {
        name: Architecture(*builder_and_kind, family, source, parameters, {**common, **config})
        for name, (parameters, config) in rows.items()
    }


_CONVNET: tuple[str, Kind] = ("architectures.convnet:convnet", "image_classifier")
_RESNET: tuple[str, Kind] = ("architectures.resnet:resnet", "image_classifier")
_RECURRENT: tuple[str, Kind] = ("architectures.recurrent:recurrent", "recurrent")
_DECODER: tuple[str, Kind] = ("architectures.decoder:decoder", "decoder")

_CIFAR: dict[str, Any] = {"classes": 10, "input_shape": (32, 32, 3)}
_IMAGENET: dict[str, Any] = {"classes": 1000, "input_shape": (224, 224, 3)}
_PLAIN_CONVOLUTIONS: dict[str, Any] = {"normalize": False, "stage_dropout": 0.0}

ARCHITECTURES: dict[str, Architecture] = {
    **_family(
        ("architectures.mlp:mlp", "image_classifier"),
        "multilayer perceptron",
        "Rumelhart et al. 1986; Keras example mnist_mlp",
        {"mlp": (669_706, {"classes": 10, "input_shape": (784,)})},
    ),
    "convnet": Architecture(
        *_CONVNET,
        "convolutional network",
        "LeCun et al. 1998",
    ),
    **_family(
        _CONVNET,
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
        _CONVNET,
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
        _RESNET,
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
        _RESNET,
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
        _RESNET,
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
        _RESNET,
        "plain counterpart of a residual network",
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
        ("architectures.unet:unet", "image_segmenter"),
        "U-Net",
        "Ronneberger et al. 2015",
        {"unet": (31_030_658, {"classes": 2, "input_shape": (572, 572, 1)})},
        padding="valid",
        normalize=False,
    ),
    **_family(
        ("architectures.residual_unet:residual_unet", "image_segmenter"),
        "U-Net with a residual encoder",
        "Ronneberger et al. 2015; He et al. 2015; Yakubovskiy 2019",
        {
            "resnet18_unet": (14_339_793, {"depth": 18}),
            "resnet34_unet": (24_455_377, {"depth": 34}),
            "resnet50_unet": (32_576_209, {"depth": 50}),
        },
        classes=1,
        input_shape=(224, 224, 3),
    ),
    "word_convnet": Architecture(
        "architectures.word_convnet:word_convnet",
        "text_classifier",
        "convolutional network over words",
        "Kim 2014",
    ),
    "fasttext": Architecture(
        "architectures.fasttext:fasttext",
        "text_classifier",
        "bag of words and n-grams",
        "Joulin et al. 2017",
    ),
    "bidaf": Architecture(
        "architectures.bidaf:bidaf",
        "reader",
        "LSTMs, and attention between question and passage",
        "Seo et al. 2017",
    ),
    "qanet": Architecture(
        "architectures.qanet:qanet",
        "reader",
        "convolutions and attention between question and passage",
        "Yu et al. 2018",
    ),
    "simple_rnn": Architecture(
        *_RECURRENT,
        "recurrent network",
        "Elman 1990",
        published={"cell": "simple"},
    ),
    **_family(
        _RECURRENT,
        "recurrent network",
        "Hochreiter & Schmidhuber 1997",
        {
            "lstm": (None, {"cell": "lstm"}),
            "bilstm": (None, {"cell": "lstm", "bidirectional": True}),
        },
    ),
    **_family(
        _RECURRENT,
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
        _RECURRENT,
        "recurrent network",
        "Cho et al. 2014",
        {
            "gru": (None, {"cell": "gru"}),
            "bigru": (None, {"cell": "gru", "bidirectional": True}),
        },
    ),
    **_family(
        _RECURRENT,
        "higher-order recurrent network",
        "Soltani & Jiang 2016",
        {"hornn": (None, {"cell": "hornn"})},
    ),
    **_family(
        _RECURRENT,
        "memory without recurrence",
        "Waibel et al. 1989; Bahdanau et al. 2015",
        {
            "tapped_delay_line": (None, {"cell": "tapped_delay_line"}),
            "attention_memory": (None, {"cell": "attention_memory"}),
        },
    ),
    **_family(
        ("architectures.transformer:transformer", "encoder_decoder"),
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
        "architectures.seq2seq:seq2seq",
        "encoder_decoder",
        "LSTM encoder-decoder with attention",
        "Luong et al. 2015",
    ),
    "cnn_lstm_captioner": Architecture(
        "architectures.lstm_captioner:lstm_captioner",
        "image_captioner",
        "convolutional encoder and LSTM decoder with attention",
        "Xu et al. 2015",
    ),
    "cnn_transformer_captioner": Architecture(
        "architectures.transformer_captioner:transformer_captioner",
        "image_captioner",
        "convolutional encoder and Transformer decoder",
        "Vaswani et al. 2017; Sharma et al. 2018",
    ),
    **_family(
        _DECODER,
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
        _DECODER,
        "decoder-only Transformer for characters",
        "Karpathy 2022, nanoGPT",
        {
            "char_gpt": (10_770_816, {"size": "char", "max_length": 256}),
            "char_gpt_small": (809_856, {"size": "char_small", "max_length": 64}),
        },
        vocabulary=65,
    ),
    **_family(
        ("architectures.bert:bert", "encoder"),
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
        ("architectures.bert:roberta", "encoder"),
        "RoBERTa encoder",
        "Liu et al. 2019",
        {
            "roberta_base": (124_052_736, {"size": "base"}),
            "roberta_large": (354_307_072, {"size": "large"}),
        },
    ),
    **_family(
        ("architectures.bert:albert", "encoder"),
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
        ("architectures.bert:distilbert", "encoder"),
        "DistilBERT encoder",
        "Sanh et al. 2019",
        {
            "distilbert_base": (66_362_880, {}),
            "distilbert_base_cased": (65_190_912, {"vocabulary": 28_996}),
        },
    ),
    **_family(
        ("architectures.bert:electra", "encoder"),
        "ELECTRA encoder",
        "Clark et al. 2020",
        {
            "electra_small": (13_548_800, {"size": "small"}),
            "electra_base": (109_482_240, {"size": "base"}),
            "electra_large": (335_141_888, {"size": "large"}),
        },
    ),
}
