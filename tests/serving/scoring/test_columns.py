"""Which columns a signature takes, and the sentences that say why it takes none."""

from __future__ import annotations

import pyarrow as pa
import pytest

from serving.client.calls import Signature, TensorInfo
from serving.errors import UserError
from serving.scoring.columns import mapped
from serving.scoring.formats.rows import Column

TEXT, BYTES = Column("review", "text", 0, pa.string(), True), Column("png", "bytes", 0, pa.binary())
NUMBER = Column("stars", "integer", 0, pa.int64(), True)
PIXELS = Column("pixels", "integer", 1, pa.list_(pa.int64()))
TITLE = Column("title", "text", 0, pa.string(), True)


def signature(method="tensorflow/serving/predict", outputs=("y",), **inputs):
    return Signature(
        {name: TensorInfo(f"{name}:0", dtype, tuple(shape))
         for name, (dtype, *shape) in inputs.items()},
        {name: TensorInfo(f"{name}:0", "float32", (None,)) for name in outputs},
        method,
    )  # fmt: skip


IMAGES = {
    "serving_default": signature(images=("uint8", None, 2, 2, 1)),
    "image_bytes": signature(image_bytes=("string", None)),
    "classify": signature("tensorflow/serving/classify", inputs=("string", None)),
}
TEXTS = {
    "serving_default": signature(text=("string", None)),
    "token_ids": signature(token_ids=("int32", None, None), padding_mask=("int32", None, None)),
}
PAIR = {"serving_default": signature(text=("string", None), text_pair=("string", None))}


def taken(signatures, columns, **options):
    found = mapped("model", signatures, columns, **options)
    return found.signature, {name: column.name for name, column in found.inputs.items()}


def test_columns_are_taken_by_the_names_of_inputs():
    columns = [NUMBER, Column("text", "text"), Column("text_pair", "text")]
    assert taken(PAIR, columns) == ("serving_default", {"text": "text", "text_pair": "text_pair"})


def test_the_only_column_that_fits_the_only_input_is_taken():
    assert taken(TEXTS, [TEXT, NUMBER, BYTES]) == ("serving_default", {"text": "review"})
    assert taken(IMAGES, [TEXT, NUMBER, BYTES]) == ("image_bytes", {"image_bytes": "png"})
    # Flat lists fill a fixed shape, and that is the default signature.
    assert taken(IMAGES, [PIXELS, BYTES]) == ("serving_default", {"images": "pixels"})


def test_files_of_images_go_to_the_signature_of_encoded_images():
    image = Column("image", "image")
    assert taken(IMAGES, [image]) == ("image_bytes", {"image_bytes": "image"})
    with pytest.raises(UserError, match=r"the input has image \(image\)"):
        taken(TEXTS, [image])


def test_examples_go_to_a_signature_that_takes_them_when_it_is_chosen():
    columns = [TEXT, Column("record", "record")]
    assert taken(TEXTS, columns)[0] == "serving_default"
    assert taken(IMAGES, columns, signature="classify") == ("classify", {"inputs": "record"})


def test_columns_can_be_given():
    assert taken(PAIR, [TEXT, TITLE], given={"text": "title", "text_pair": "review"})[1] == {
        "text": "title",
        "text_pair": "review",
    }
    # The other input has one column left.
    assert taken(PAIR, [TEXT, TITLE], given={"text": "title"})[1]["text_pair"] == "review"


@pytest.mark.parametrize(
    ("signatures", "columns", "options", "said"),
    [
        (
            TEXTS,
            [TEXT, TITLE],
            {},
            "the columns do not tell what model is to read: its signature serving_default takes "
            "text (string); the input has review (text), title (text); give --column "
            "INPUT=COLUMN, or another --signature",
        ),
        (
            PAIR,
            [TEXT],
            {},
            "the columns do not tell what model is to read: its signature serving_default takes "
            "text (string), text_pair (string); the input has review (text); give --column "
            "INPUT=COLUMN",
        ),
        (
            IMAGES,
            [TEXT],
            {},
            "the columns do not tell what model is to read: its signature serving_default takes "
            "images (uint8 2x2x1); image_bytes takes image_bytes (string); the input has review "
            "(text); give --column INPUT=COLUMN, or another --signature",
        ),
        (TEXTS, [TEXT], {"signature": "no"},
         "model has no signature 'no'; it has: serving_default, token_ids"),
        (TEXTS, [TEXT], {"given": {"text": "no"}},
         "there is no column 'no'; there are: review (text)"),
        (TEXTS, [TEXT], {"keep": ["no"]}, "there is no column 'no'; there are: review (text)"),
        (
            TEXTS,
            [TEXT, NUMBER],
            {"given": {"text": "stars"}},
            "column stars (integer) does not fit the input text (string) of serving_default",
        ),
        (
            {"one": TEXTS["token_ids"], "two": TEXTS["serving_default"]},
            [TEXT],
            {},
            "choose a --signature of model: one, two",
        ),
        (
            {"serving_default": signature(x=("float32", 8))},
            [NUMBER],
            {},
            "signature serving_default of model takes no batch of rows: the first dimension of x "
            "is 8",
        ),
        (
            {"serving_default": signature(x=("float32",))},
            [NUMBER],
            {"given": {"x": "stars"}},
            "signature serving_default of model takes no batch of rows: the first dimension of x "
            "is a single value",
        ),
        (IMAGES, [PIXELS, Column("z", "image")], {"keep": ["z"]},
         "column z (image) cannot be kept beside the outputs"),
    ],
)  # fmt: skip
def test_a_choice_that_is_none_is_refused_in_one_sentence(signatures, columns, options, said):
    with pytest.raises(UserError) as error:
        mapped("model", signatures, columns, **options)
    assert str(error.value) == said


def test_small_columns_are_kept_and_their_names_stay_apart_from_outputs():
    signatures = {"serving_default": signature(outputs=("stars", "y"), text=("string", None))}
    found = mapped(
        "model", signatures, [TEXT, NUMBER, PIXELS, Column("row", "integer", 0, pa.int64(), True)]
    )
    assert {name: column.name for name, column in found.kept.items()} == {
        "review": "review",
        "input_stars": "stars",
        "input_row": "row",
    }
    schema = found.schema(signatures["serving_default"], {"model": "m"})
    assert schema.names == ["file", "row", "review", "input_stars", "input_row", "stars", "y"]
    assert schema.metadata == {b"model": b"m"}
    assert not mapped("model", signatures, [TEXT, NUMBER], keep=[]).kept
    assert set(mapped("model", signatures, [TEXT, PIXELS], keep=["pixels"]).kept) == {"pixels"}
