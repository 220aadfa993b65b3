"""Images in folders of classes: which folders are classes, and which splits."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pipelines.datasets import files, tables
from pipelines.errors import UserError
from pipelines.image.file_columns import Paths, paths_of
from pipelines.image.files import IMAGE_FOLDERS, MASK_FOLDERS, are_images, is_image, named
from pipelines.image.splits import relative
from pipelines.tasks.image_classification import nesting

NEEDS = "images as SPLIT/CLASS/IMAGE or CLASS/IMAGE, or a table with the columns image and label"

# Names of folders that are rather splits than classes.
_LIKE_A_SPLIT = re.compile(r"(train|test|val|valid|validation|dev)(ing)?([ _.-].*)?", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Labeled:
    """Image files with their classes.

    Attributes:
        paths: The files.
        labels: The class of each.
        inner: By the name of a class' folder, those of the folders in it that have images.
    """

    paths: Paths
    labels: list[str]
    inner: Mapping[str, set[str]]


@dataclass(frozen=True)
class Listing:
    """Image files in folders of classes, not read yet.

    Attributes:
        found: By split, or "" for what is not split, the files with their classes.
        notes: What was found and is worth knowing, in sentences.
        left_out: By split, the number of images that are in no class.
    """

    found: Mapping[str, Labeled]
    notes: list[str] = field(default_factory=list)
    left_out: Mapping[str, int] = field(default_factory=dict)


def holds_classes(path: Path) -> bool:
    """Returns whether a folder has several folders of classes, or a folder train that has them."""
    if folder := _train(path):
        return len(_class_folders(folder)) > 1
    names = [folder.name for folder in _class_folders(path)]
    return len(names) > 1 and not all(_LIKE_A_SPLIT.fullmatch(name) for name in names)


def listing(path: Path) -> Listing:
    """Returns the images in SPLIT/CLASS or CLASS; in SPLIT if a folder train has folders.

    Raises:
        UserError: There are no images in folders of classes.
    """
    if not _train(path):
        return _without_splits(path)
    found, notes, left_out = {}, list[str](), {}
    splits = files.of_splits(path)
    for split, folder in splits.items():
        images, said, loose = _of_classes(folder)
        notes += [*said, *nesting.notes(images.inner, folder)]
        left_out[split] = len(loose)
        if images.labels:
            found[split] = images
        else:
            notes.append(f"{folder} has no image with a class")
    beside = [child for child in files.children(path) if child not in splits.values()]
    if beside:
        names = [child.name for child in beside]
        notes.append(f"beside the splits of {path}, not read: {named(names)}")
    return Listing(found, notes, left_out)


def check_classes(path: Path, labels: Mapping[str, Iterable[str]]) -> None:
    """Raises `UserError` unless there are classes to learn, and each has training images."""
    by_split = {split: sorted(set(names)) for split, names in labels.items()}
    classes = by_split.get("train", by_split.get("", []))
    if len(classes) == 2 and any(
        {name.lower() for name in classes} == {one, other}
        for one in IMAGE_FOLDERS
        for other in MASK_FOLDERS
    ):
        raise files.unlike(path, "image_classification", NEEDS)
    if len(classes) < 2:
        reason = f"only one class, {classes[0]!r}" if classes else "no class"
        inner = path / classes[0] if classes else path
        within = [child.name for child in _class_folders(inner)] if inner.is_dir() else []
        hint = f"; are the folders of {inner} meant, {named(within)}?" if within else ""
        raise UserError(
            f"{path} has {reason}, but image_classification needs two or more, with {NEEDS}{hint}"
        )
    for split in ("validation", "test"):
        for name in by_split.get(split, []):
            if name not in classes:
                alike = [one for one in classes if one.casefold() == name.casefold()]
                hint = f"; is it {alike[0]!r}?" if alike else ""
                raise UserError(
                    f"the class {name!r} of {path} is in {split} but not in train, which has: "
                    f"{named(classes, 10)}{hint}"
                )


def _train(path: Path) -> Path | None:
    """Returns the folder of the training split, which has folders of classes."""
    for child in files.children(path):
        if child.is_dir() and files.split_of(child) == "train" and _class_folders(child):
            return child
    return None


def _class_folders(folder: Path) -> list[Path]:
    """Returns the folders in a folder that have an image somewhere below."""
    return [
        child
        for child in files.children(folder)
        if child.is_dir() and any(map(is_image, files.walk(child)))
    ]


def _without_splits(path: Path) -> Listing:
    images, said, loose = _of_classes(path)
    names = sorted(set(images.labels))
    if not images.labels:
        raise files.unlike(path, "image_classification", NEEDS)
    if all(_LIKE_A_SPLIT.fullmatch(name) for name in names):
        splits = files.of_splits(path)
        if "train" in splits and not _class_folders(splits["train"]):
            raise UserError(
                f"{splits['train']} has no folders of classes: image_classification needs {NEEDS}"
            )
        raise UserError(
            f"{path} has no folder train; it has: {', '.join(names)}; name the splits train, "
            "validation and test"
        )
    said += nesting.notes(images.inner, path)
    return Listing({"": images}, said, {"": len(loose)})


def _of_classes(folder: Path) -> tuple[Labeled, list[str], list[Path]]:
    """Returns the images in a folder's folders with their classes, notes, and loose images."""
    labels, inner, said = list[str](), dict[str, set[str]](), list[str]()
    loose, other = are_images(child for child in files.children(folder) if child.is_file())

    def images() -> Iterator[Path]:
        for child in filter(Path.is_dir, files.children(folder)):
            label, depth = _class_name(child), len(child.parts)
            for file in files.walk(child):
                if is_image(file):
                    labels.append(label)
                    inner.setdefault(child.name, set()).update(file.parts[depth:-1][:1])
                    yield file
                else:
                    other.append(file)
            if child.name not in inner:
                said.append(f"the folder {child} has no images, and is no class")

    found = Labeled(paths_of(images()), labels, inner)
    if loose:
        said.append(
            f"{files.number(len(loose), 'image')} in {folder} left out, in no folder of a class: "
            f"{named([relative(one, folder) for one in loose])}"
        )
    labeling = [file for file in other if tables.is_table(file) and file.parent == folder]
    if labeling:
        said.append(
            f"the classes are the folders of {folder}; the table {labeling[0].name} beside them "
            "is not read: if it has the labels, pass its path, with the columns image and label"
        )
        other = [file for file in other if file not in labeling]
    if other:
        verb = "is" if len(other) == 1 else "are"
        said.append(
            f"{files.number(len(other), 'file')} below {folder} {verb} no image and not read: "
            f"{named([relative(one, folder) for one in other])}"
        )
    return found, said, loose


def _class_name(folder: Path) -> str:
    """Returns the class that a folder stands for; it may have "/", as T-shirt%2Ftop.

    Systems differ in how they store letters with accents.
    """
    name = unicodedata.normalize("NFC", files.printable(Path(folder.name)))
    return name.replace("%2F", "/").replace("%25", "%")
