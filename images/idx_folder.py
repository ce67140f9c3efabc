"""A folder of IDX files, whole or in shards, with the names in common use.

MNIST's own names have hyphens and end in .gz. Kaggle has `train-images.idx3-ubyte`, and folders of
MNIST's names that hold one file of the same name. EMNIST puts the name of the set in front.
"""

import re
from collections.abc import Iterator, Sequence

import numpy as np

from images import files, found, idx_files, shards
from images.blocks import Block
from images.found import Found, Name, Spread, Whole
from runtime import storage
from runtime.command_line import UserError

NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PATTERN = re.compile(
    found.SET
    + found.PART
    + r"[-_. ](?P<kind>images|labels)[-_. ]idx[13][-_. ]ubyte"
    + found.COPY
    + r"(?P<packed>\.gz)?( ?\(\d+\))?",
    re.IGNORECASE,
)
STREAMED = 8192  # images at a time


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in IDX files; None without any. Raises UserError if one of its files is missing."""
    candidates = found.of_one_set(found.matching(names, PATTERN), wanted, folder)
    sharded = {one: shards.find(folder, NAMES[one]) for one in NAMES if not wanted}
    if not candidates and not any(sharded.values()):
        return None
    pairs = []
    for validation in (False, True):  # images and labels of one of them
        own = [one for one in candidates if found.is_validation(one) == validation]
        pairs.append([_place(folder, own, part, kind) for kind in ("images", "labels")])
    images, labels = max(pairs, key=lambda pair: sum(map(bool, pair)))
    if sharded.get(part):
        if images or labels:
            raise UserError(
                f"{images or labels} is there as a whole and in shards; keep one of them"
            )
        return _sharded(folder, part, sharded[part])
    if images and labels:
        return _whole(part, images, labels)
    missing = NAMES[part][1 if images else 0]
    missing = f"{wanted}-{missing}" if wanted else missing
    others = [name for name in names if not found.matching([name], PATTERN)]
    near = f"; {files.told(folder, others)}" if others else ""
    raise UserError(f"{folder}: {missing} (or {missing}.gz) is missing{near}")


def _place(folder: str, candidates: Sequence[Name], part: str, kind: str) -> str | None:
    """The place of a file, or None. A folder of the file's name may hold it."""
    of_kind = [one for one in candidates if one.part == part and one.words["kind"] == kind]
    for one in sorted(of_kind, key=lambda one: (one.words["copy"], one.words["packed"])):
        place = storage.join(folder, one.name)
        if one.words["packed"] or storage.is_file(place):
            return place
        for inner in found.matching(storage.names(place), PATTERN):
            if (inner.part, inner.words["kind"]) == (part, kind):
                return storage.join(place, inner.name)
    return None


def _whole(part: str, images_place: str, labels_place: str) -> Whole:
    def count(_) -> np.ndarray:
        with files.opened(images_place) as images, files.opened(labels_place) as labels:
            idx_files.check_pair((images_place, images), (labels_place, labels))
            values = idx_files.read_labels(labels, labels_place)
        return np.bincount(values, minlength=256)[np.newaxis]

    def stream(rows: int | None = STREAMED) -> Iterator[Block]:
        with files.opened(images_place) as images, files.opened(labels_place) as labels:
            yield from idx_files.stream_pair((images_place, images), (labels_place, labels), rows)

    def read(_) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
        (pair,) = stream(None)
        contents = zip(NAMES[part], pair, strict=True)
        return *pair, {name: idx_files.sha256(values) for name, values in contents}

    return Whole(
        layout="IDX files",
        files=(images_place, labels_place),
        count=count,
        read=read,
        stream=stream,
        transposed=found.is_emnist(images_place.rpartition("/")[2]),
    )


def _sharded(folder: str, part: str, which: list[shards.Pair]) -> Spread:
    names = NAMES[part]
    return Spread(
        layout="IDX files in shards",
        files=tuple(storage.join(folder, name) for pair in which for name in pair),
        count=lambda spark: shards.count_digits(spark, folder, names, which),
        blocks=lambda spark, *how: shards.read(spark, folder, names, which, *how),
        unit="shards",
    )
