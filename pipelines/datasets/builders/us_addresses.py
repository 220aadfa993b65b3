"""Addresses in the United States, with a label for each token.

Source: the manually labeled training data of usaddress 0.5.16 (`training/labeled.xml` of its source
distribution, MIT License), as an extract.

The source has one label per token. Consecutive tokens with the same label are one entity here,
whose first token is tagged B- and the others I-, which makes 29 types of entity and 51 tags. There
is no tag O, as every token has a label. Punctuation is part of its token ("Chicago,").

Of 1,513 addresses, 25 are exact copies and removed. Addresses that are equal without digits,
punctuation and case are in one split:

| split      | addresses | tokens |
|------------|-----------|--------|
| train      | 1042      | 7402   |
| validation | 223       | 1552   |
| test       | 223       | 1600   |

Limits: the same cities and well-known streets are in several splits, in different addresses; train
has every type of entity, the other splits lack the rarest (`ZipPlus4` has two tokens in all).
"""

from __future__ import annotations

from typing import ClassVar

import tensorflow_datasets as tfds

from pipelines.datasets import extracts, splitting
from pipelines.datasets.builders import Examples

FRACTIONS = {"train": 0.70, "validation": 0.15, "test": 0.15}

# Types of entity, and those that never have a second token.
ENTITIES = (
    "AddressNumber AddressNumberPrefix AddressNumberSuffix BuildingName CornerOf CountryName "
    "IntersectionSeparator LandmarkName NotAddress OccupancyIdentifier OccupancyType PlaceName "
    "Recipient StateName StreetName StreetNamePostDirectional StreetNamePostModifier "
    "StreetNamePostType StreetNamePreDirectional StreetNamePreModifier StreetNamePreType "
    "SubaddressIdentifier SubaddressType USPSBoxGroupID USPSBoxGroupType USPSBoxID USPSBoxType "
    "ZipCode ZipPlus4"
).split()
ONE_TOKEN = {
    *("AddressNumberPrefix", "AddressNumberSuffix", "IntersectionSeparator", "ZipPlus4"),
    *("StreetNamePostModifier", "StreetNamePreDirectional", "StreetNamePreModifier"),
}
TAGS = tuple(
    f"{prefix}-{entity}" for entity in ENTITIES for prefix in ("B" if entity in ONE_TOKEN else "BI")
)

Address = tuple[tuple[str, str], ...]


class UsAddresses(tfds.core.GeneratorBasedBuilder):
    """Tokens of addresses and their tags in the scheme BIO."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar = {"1.0.0": "No repeated addresses; near copies in one split."}

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            description="Addresses in the United States with a BIO tag for every token.",
            features=tfds.features.FeaturesDict(
                {
                    "tokens": tfds.features.Sequence(tfds.features.Text()),
                    "tags": tfds.features.Sequence(tfds.features.ClassLabel(names=TAGS)),
                }
            ),
            supervised_keys=("tokens", "tags"),
            homepage="https://github.com/datamade/usaddress",
            citation="The Atlanta Journal Constitution and DataMade. usaddress. 2014.",
            license="MIT",
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Examples]:
        del dl_manager  # Nothing is downloaded.
        return {split: self._generate_examples(found) for split, found in addresses().items()}

    def _generate_examples(self, addresses: list[Address]) -> Examples:
        for index, address in enumerate(addresses):
            tokens = [token for token, _ in address]
            yield index, {"tokens": tokens, "tags": bio([label for _, label in address])}


def addresses() -> dict[str, list[Address]]:
    """Returns the addresses of each split."""
    text = extracts.read("us_addresses.txt").decode()
    unique = dict.fromkeys(_address(block) for block in text.split("\n\n"))
    return splitting.by_group(unique, _words, FRACTIONS)


def _address(block: str) -> Address:
    return tuple((token, label) for token, label in map(str.split, block.splitlines()))


def _words(address: Address) -> str:
    return splitting.normalize(" ".join(token for token, _ in address))


def bio(labels: list[str]) -> list[str]:
    """Returns BIO tags for labels; equal neighbors are one entity: A A B becomes B-A I-A B-B."""
    previous = ["", *labels]
    return [
        f"{'I' if label == before else 'B'}-{label}"
        for before, label in zip(previous, labels, strict=False)
    ]
