"""A folder of image files with one subfolder per class, as for ImageFolder and Keras.

    train/3/img1.png        test/3/img7.png

The executors read and decode the files. The driver lists their names, in the order of a hash:
sorted by name, each partition would hold one class, and training would be poor.
"""

import os
import re
import zlib
from collections.abc import Iterable, Sequence

import numpy as np
from pyspark import RDD, SparkContext

from images import found
from images.classes import check_names
from images.found import Found, Spread
from images.spread import decode, read_files, read_rows
from runtime import storage
from runtime.command_line import UserError

PATTERN = re.compile(found.SET + found.PART, re.IGNORECASE)
ENDINGS = (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
MOST_BYTES = 2**26  # in one image file
Classes = dict[str, list[str]]  # the image files in each subfolder


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in such folders; None without any. Raises UserError if only the other one is there."""
    parts: dict[str, tuple[str, Classes]] = {}
    for one in found.of_one_set(found.matching(names, PATTERN), wanted, folder):
        place, classes = _classes_in(storage.join(folder, one.name))
        if classes:
            parts.setdefault(one.part, (place, classes))
    if not parts:
        return None
    if part not in parts:
        raise UserError(f"{folder}: found {', '.join(parts)}, but no folder of the {part} set")
    labels = _labels(folder, {name for _, classes in parts.values() for name in classes})
    place, classes = parts[part]
    every = [(f"{name}/{file}", labels[name]) for name in classes for file in classes[name]]
    every.sort(key=lambda one: (zlib.crc32(os.fsencode(one[0])), one))
    numeric = all(name.isdigit() and int(name) == label for name, label in labels.items())
    return Spread(
        layout="folders of images",
        files=tuple(storage.join(place, name) for name, _ in every),
        count=lambda _: np.bincount([label for _, label in every], minlength=256)[np.newaxis],
        blocks=lambda spark, *how: read(spark, place, every, *how),
        names={} if numeric else {label: name for name, label in labels.items()},
    )


def read(
    spark: SparkContext,
    place: str,
    every: Sequence[tuple[str, int]],  # (subfolder/name, label) of the files
    digits: Sequence[int],
    partitions: int,
    transposed: bool,
) -> tuple[RDD, dict[str, str]]:
    """Blocks of the images of `digits`, kept by Spark, and their hash. Raises UserError."""
    chosen = [one for one in every if one[1] in set(digits)]
    size, labels = len(chosen), spark.broadcast([label for _, label in chosen])
    images = read_files(
        spark,
        place,
        [name for name, _ in chosen],
        "*/*",
        partitions,
        lambda position: ((position + 1) * partitions - 1) // size,
        MOST_BYTES,
    )
    rows = images.map(lambda file: (file[1], file[2], labels.value[file[0]]))
    return read_rows(place, rows, decode, digits, transposed)


def _classes_in(folder: str) -> tuple[str, Classes]:
    """The folder of the subfolders with images, as in trainingSet/trainingSet/0, and these."""
    names = [name for name in storage.names(folder) if not name.startswith((".", "_"))]
    hidden = (".", "_") if storage.is_uri(folder) else "."  # Hadoop reads neither
    classes = {}
    for name in names:
        images = [
            file
            for file in storage.names(storage.join(folder, name))
            if file.lower().endswith(ENDINGS) and not file.startswith(hidden)
        ]
        if images:
            classes[name] = images
    if not classes and len(names) == 1:
        return _classes_in(storage.join(folder, names[0]))
    return folder, classes


def _labels(folder: str, names: Iterable[str]) -> dict[str, int]:
    """The label of each class: its name, where all are numbers of a byte, else its position."""
    names = sorted(names)
    if all(name.isascii() and name.isdigit() and int(name) < 256 for name in names):
        return {name: int(name) for name in names}
    check_names(f"{folder}: class subfolders", names, len(names))
    return {name: label for label, name in enumerate(names)}
