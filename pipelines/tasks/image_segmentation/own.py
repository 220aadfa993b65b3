"""A user's own images with masks: in two folders of equal file names, or named in a table.

    images/a.jpg, masks/a.png             without splits; or images/SPLIT/…, masks/SPLIT/…
    SPLIT/images/a.jpg, SPLIT/masks/a.png
    a table                               columns `image` and `mask`, paths from its folder

A file classes.txt, if there is one, names the values of the masks that are classes.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipelines.datasets import files, split_tables, splitting, tables
from pipelines.datasets.splitting import SPLITS
from pipelines.errors import UserError
from pipelines.image.files import (
    IMAGE_FOLDERS,
    MASK_FOLDERS,
    ImageFile,
    are_images,
    named,
    notes,
    orientation,
)
from pipelines.image.scan_cache import scanned
from pipelines.image.splits import leave_out, relative, table_path, with_all_splits
from pipelines.tasks.image_segmentation import classes, masks
from pipelines.tasks.image_segmentation.config import SegmentationConfig
from pipelines.tasks.image_segmentation.masks import MaskFile

_NEEDS = (
    "the folders images and masks with files of equal names, also as SPLIT/images and "
    "SPLIT/masks, or a table with the columns image and mask"
)
_CLASSES = "classes.txt"
# What the names of masks may have more than those of their images.
_ENDING = re.compile(r"[_-](m|mask|masks|label|labels|gt|seg|segmentation)$", re.IGNORECASE)

Pair = tuple[ImageFile, MaskFile]


@dataclass(frozen=True)
class OwnMasks:
    """Image files with masks.

    Attributes:
        examples: By split, train first, images with their masks, in pseudo-random order.
        class_names: Names by the values of masks that are classes, in ascending order.
        digest: Fingerprint of the files, their names, classes and splits.
        notes: What was found and is worth knowing, in sentences.
        left_out: By split, the number of images and masks that are left out.
    """

    examples: Mapping[str, Sequence[Pair]]
    class_names: Mapping[int, str]
    digest: str
    notes: tuple[str, ...]
    left_out: Mapping[str, int]


@dataclass
class _Listing:
    """Paths of images with their masks, and files without a partner, not read yet."""

    pairs: list[tuple[str, Path, Path]] = field(default_factory=list)  # Split, image, mask.
    alone: list[tuple[str, Path, str]] = field(default_factory=list)  # Split, file, what is wrong.
    notes: list[str] = field(default_factory=list)


def read(path: Path, config: SegmentationConfig) -> OwnMasks:
    """Finds, checks and splits the images and masks in a folder or a table.

    Raises:
        UserError: There are no images with masks, a file cannot be used while `skip_bad` is false,
            or the masks have fewer than two classes.
    """
    base = path if path.is_dir() else path.parent
    listing = _listing(path) if path.is_dir() else None
    if listing and (listing.pairs or (listing.alone and not _has_tables(path))):
        examples, said, left_out = _checked(listing, config)
        whole, more = with_all_splits(
            path, examples, config, lambda pairs: [image.digest for image, _ in pairs]
        )
        said = [*listing.notes, *said, *more]
    elif _has_tables(path):
        whole, said, left_out = _of_tables(path, config)
    else:
        raise files.unlike(path, "image_segmentation", _NEEDS)
    every = [pair for pairs in whole.values() for pair in pairs]
    found = masks.occurrences([mask for _, mask in every], base)
    names, about_values = _class_names(path, base, found, config)
    said += [*about_values, *masks.different_palettes(mask for _, mask in every)]
    said += notes([image for image, _ in every])
    sha = hashlib.sha256(repr(names).encode())
    for split, pairs in whole.items():
        for one in pairs:
            name = [relative(file.path, base) for file in one]
            sha.update(repr((split, name, [file.digest for file in one])).encode())
    ordered = {
        split: splitting.shuffled(pairs, lambda pair: relative(pair[0].path, base))
        for split, pairs in whole.items()
    }
    return OwnMasks(ordered, names, sha.hexdigest()[:12], tuple(said), left_out)


def _class_names(
    path: Path, base: Path, found: classes.Occurrences, config: SegmentationConfig
) -> tuple[dict[int, str], list[str]]:
    file = next((one for one in files.children(base) if one.name.lower() == _CLASSES), None)
    if not file:
        values, said = classes.of_values(found, config.class_share, str(path))
        classes.check_void(found, values, str(path))
        return values, said
    names = classes.read_names(file, config.encoding)
    return names, classes.of_names(found, names, file)


def _has_tables(path: Path) -> bool:
    if path.is_file():
        return tables.is_table(path)
    return any(tables.is_table(child) for child in files.children(path) if child.is_file())


def _listing(path: Path) -> _Listing | None:
    """Returns the files of a folder; none if it has no folders of images and masks."""
    listing = _Listing()
    splits = {split: _folders(folder) for split, folder in files.of_splits(path).items()}
    if splits.get("train"):
        for split, pair in splits.items():
            if pair:
                _match(listing, split, *pair)
            else:
                listing.notes.append(f"{path} has no images with masks for {split}")
        return listing
    both = _folders(path)
    if not both:
        return None
    images, truth = both
    inner = {split: folder.name for split, folder in files.of_splits(images).items()}
    if "train" not in inner:
        _match(listing, "", images, truth)
    for split, name in inner.items() if "train" in inner else ():
        _match(listing, split, images / name, truth / name)
    return listing


def _folders(path: Path) -> tuple[Path, Path] | None:
    """Returns the folders of images and of masks in a folder."""
    inside = [child for child in files.children(path) if child.is_dir()]
    images = [child for child in inside if child.name.lower() in IMAGE_FOLDERS]
    truth = [child for child in inside if child.name.lower() in MASK_FOLDERS]
    if not images or not truth:
        return None
    if len(images) > 1 or len(truth) > 1:
        several = images if len(images) > 1 else truth
        raise UserError(
            f"{path} has several folders of {'images' if len(images) > 1 else 'masks'}: "
            f"{named([one.name for one in several])}; leave one, or pass a table with the columns "
            "image and mask"
        )
    return images[0], truth[0]


def _match(listing: _Listing, split: str, images: Path, truth: Path) -> None:
    """Adds the images and masks of two folders to a listing, by their names without endings."""
    found = {folder: _by_name(listing, folder, split) for folder in (images, truth)}
    left = dict(found[truth])
    shortened = {_ENDING.sub("", name): name for name in left}
    for name, image in found[images].items():
        chosen = name if name in left else shortened.get(name, "")
        if mask := left.pop(chosen, None):
            listing.pairs.append((split, image, mask))
        else:
            listing.alone.append((split, image, f"has no mask: there is no {truth / name}.*"))
    for name, mask in left.items():
        listing.alone.append((split, mask, f"has no image: there is no {images / name}.*"))


def _by_name(listing: _Listing, folder: Path, split: str) -> dict[str, Path]:
    """Returns the images below a folder by their paths within it, without endings."""
    found: dict[str, Path] = {}
    inside, others = are_images(files.walk(folder) if folder.is_dir() else ())
    for file in inside:
        name = file.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            listing.alone.append((split, file, f"has the same name as {found[name].name}"))
        else:
            found[name] = file
    if others := [file for file in others if file.name.lower() != _CLASSES]:
        listing.notes.append(
            f"{files.number(len(others), 'file')} below {folder}, no image and not read: "
            f"{named([relative(file, folder) for file in others])}"
        )
    return found


def _checked(
    listing: _Listing, config: SegmentationConfig
) -> tuple[dict[str, list[Pair]], list[str], dict[str, int]]:
    """Returns the pairs that can be used, by split, with notes and the numbers of the others."""
    bad, left_out = list[tuple[Path, str]](), Counter[str]()
    good: dict[str, list[Pair]] = {split: [] for split, *_ in listing.pairs}
    for split, file, reason in listing.alone:
        bad.append((file, reason))
        left_out[split] += 1
    read = _read([(image, mask) for _, image, mask in listing.pairs], config.cache)
    for (split, *_), result in zip(listing.pairs, read, strict=True):
        if isinstance(result[0], Path):
            bad.append(result)
            left_out[split] += 1
        else:
            good[split].append(result)
    said = leave_out(bad, len(listing.pairs) + len(listing.alone), config.skip_bad)
    left_out["train"] += left_out.pop("", 0)  # What is not split yet counts as train.
    return good, said, {split: left_out[split] for split in SPLITS}


def _read(paths: Sequence[tuple[Path, Path]], cache: str) -> list[Pair | tuple[Path, str]]:
    """Returns each image with its mask, or the one that cannot be used, with what is wrong."""
    images = scanned([image for image, _ in paths], cache)
    truth = masks.scan([mask for _, mask in paths])
    read: list[Pair | tuple[Path, str]] = []
    for (image_path, mask_path), image, mask in zip(paths, images, truth, strict=True):
        if isinstance(image, str):
            read.append((image_path, image))
        elif isinstance(mask, str):
            read.append((mask_path, mask))
        elif (image.height, image.width) != (mask.height, mask.width):
            read.append(
                (
                    mask_path,
                    f"has {mask.width} x {mask.height} pixels, but {image_path} has "
                    f"{image.width} x {image.height}",
                )
            )
        else:
            read.append((image, mask))
    return _without_doubtful_turns(read)


def _without_doubtful_turns(
    pairs: list[Pair | tuple[Path, str]],
) -> list[Pair | tuple[Path, str]]:
    """Returns pairs, with what is wrong where only the image is turned, and sizes do not tell.

    A mask may be drawn on the image as it is stored or as people see it. Images that are turned by
    a quarter, and have the size of their masks when they are upright, tell it for all.
    """
    doubtful = dict[int, tuple[Path, str]]()
    for index, (image, mask) in enumerate(pairs):
        if not isinstance(image, ImageFile) or not isinstance(mask, MaskFile):
            continue
        turn = orientation(image.path)
        if turn == 1 or orientation(mask.path) != 1:
            continue
        if turn >= 5 and image.height != image.width:
            return pairs
        doubtful[index] = (
            mask.path,
            f"is not turned, but {image.path} is, by its EXIF orientation {turn}, and their sizes "
            "do not tell whether the mask fits the image upright; save the image upright",
        )
    return [doubtful.get(index, pair) for index, pair in enumerate(pairs)]


def _of_tables(
    path: Path, config: SegmentationConfig
) -> tuple[dict[str, list[Pair]], list[str], dict[str, int]]:
    """Reads a table, or a folder of tables, whose rows are images and masks."""
    pairs: dict[tuple[str, str], Pair] = {}

    def complete(rows: tables.Table) -> tables.Table:
        """Replaces paths by the digests of what is there, by which rows are split."""
        rows = tables.of_texts(rows, config)
        images, truth = (
            [table_path(rows.path.parent, name) for name in rows.columns[column]]
            for column in ("image", "mask")
        )
        results = _read(list(zip(images, truth, strict=True)), config.cache)
        problems = {
            row: f"{result[0]} {result[1]}"
            for row, result in enumerate(results)
            if isinstance(result[0], Path)
        }
        digests = []
        for result in results:
            image, mask = result
            if isinstance(image, ImageFile) and isinstance(mask, MaskFile):
                pairs[image.digest, mask.digest] = (image, mask)
                digests.append((image.digest, mask.digest))
            else:
                digests.append(("", ""))
        columns = {name: [one[i] for one in digests] for i, name in enumerate(("image", "mask"))}
        return tables.leave_out(replace(rows, columns=columns), problems, config)

    splits = split_tables.read_splits(path, config, ("image", "mask"), complete=complete)
    examples = {
        split: [pairs[key] for key in zip(rows.columns["image"], rows.columns["mask"], strict=True)]
        for split, rows in splits.items()
    }
    said = [note for rows in splits.values() for note in rows.notes]
    return examples, said, {split: rows.left_out for split, rows in splits.items()}
