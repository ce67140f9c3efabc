"""MNIST -> train_rdd and test_rdd.

    python data_loader.py shard SRC DST --shards 64     splits a training set for many executors

The driver reads the IDX files and ships compact uint8 arrays; each partition takes its slice, and
the executors turn it into rows. What Spark keeps in memory are blocks, (images uint8 (m, 784),
labels uint8 (m,)); `image_label_pairs` makes the article's RDD of them, one (image, label) pair for
each image. A training set in shards is read by the executors themselves (see shards).
"""

import argparse
import contextlib
import math
import os
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

from images import download, idx_files, offline_digits, shards
from images.blocks import Block, as_rows, select_digits, split_into_blocks
from runtime import storage
from runtime.command_line import (
    DATA_HELP,
    Parser,
    UserError,
    counted,
    exit_status,
    whole_number,
)
from runtime.spark import send_to_executors, spark_context

DEFAULT_FOLDER = Path("data/mnist")
CLASSES = "classes.txt"  # a name a line, for data other than digits
LONGEST_NAME = 24
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class Split(NamedTuple):
    """The training or the test set: its cached blocks, its size, and what it was read from."""

    blocks: RDD
    size: int
    digits: tuple[int, ...]
    name: str
    place: str
    sha256: dict[str, str]
    classes: tuple[str, ...] = ()  # what the digits stand for, where classes.txt says so


def find_data(data: str | None) -> str:
    """The place to read from: a folder, a URI, or "offline" for the offline digits.

    `data` is such a place, or "mnist", or None to search: data/mnist, else MNIST is fetched into
    it, else, with a notice, the offline digits serve. Raises UserError if there is no such place,
    or if "mnist" cannot be had.
    """
    if data not in (None, "mnist"):
        # A URI can be looked at only once Spark runs: `load` says what is missing there.
        if not (data == "offline" or storage.is_uri(data)):
            _refuse_file(data)
            if not storage.exists(data):
                raise UserError(
                    f"--data {data}: no such folder; it should hold MNIST's four IDX files"
                )
        return data
    try:
        if any(_find_file(str(DEFAULT_FOLDER), name) is None for name in download.SHA256):
            download.download_mnist(DEFAULT_FOLDER)
        return str(DEFAULT_FOLDER)
    except UserError as error:
        if data == "mnist":
            raise
        print(_offline_notice(error), flush=True)
        return "offline"


def load(
    spark: SparkContext,
    place: str,
    part: str,
    digits: Sequence[int],
    partitions: int | None = None,
    in_partition: tuple[int, int] = (1500, 3000),
) -> Split:
    """The blocks of one part ("train" or "test") of the data at a place, cached by Spark.

    in_partition: the least and the most images of one, where no number of partitions is given.
    Only the digits asked for; a label in a block is the position of its digit in `digits`. The
    executors read a part in shards, the driver a whole one. Raises UserError if a file is missing
    or broken, or if a digit does not occur.
    """
    classes: tuple[str, ...] = ()
    if place == "offline":
        images, labels = offline_digits.draw_part(part, digits)
        hashes: dict[str, str] = {}
        name = offline_digits.NAME
    else:
        _refuse_file(place)
        classes = _classes_of(place, digits)
        found = shards.find(place, IDX_NAMES[part])
        if found:
            split = _load_shards(spark, place, part, found, digits, partitions, in_partition)
            return split._replace(classes=classes)
        images, labels, hashes = read_part(place, part)
        is_mnist = all(download.SHA256.get(file) == sha for file, sha in hashes.items())
        name = "MNIST" if is_mnist else place
    _check_digits(np.bincount(labels, minlength=10), digits, f"the {part} set of {name}")
    images, labels = select_digits(images, labels, digits)
    partitions = partitions or default_partitions(len(images), *in_partition)
    if partitions > len(images):
        raise UserError(f"--partitions {partitions}: the {part} set has only {len(images)} images")
    blocks = distribute(spark, images, labels, partitions)
    return Split(blocks, len(images), tuple(digits), name, place, hashes, classes)


def _load_shards(
    spark: SparkContext,
    place: str,
    part: str,
    found: dict[shards.Key, str],
    digits: Sequence[int],
    partitions: int | None,
    in_partition: tuple[int, int],
) -> Split:
    names = IDX_NAMES[part]
    for name in names:
        if _find_file(place, name) is not None:
            raise UserError(f"{place}: {name} is there as a whole and in shards; keep one of them")
    counts = shards.count_digits(spark, place, names, found)
    _check_digits(counts.sum(axis=0), digits, f"the {part} set of {place}")
    images = int(counts[:, list(digits)].sum())
    if partitions is not None and partitions > len(counts):
        raise UserError(f"--partitions {partitions}: the {part} set has only {len(counts)} shards")
    partitions = partitions or min(len(counts), default_partitions(images, *in_partition))
    blocks, hashes = shards.read(spark, place, names, found, digits, partitions)
    return Split(blocks, images, tuple(digits), place, place, hashes)


def distribute(spark: SparkContext, images: np.ndarray, labels: np.ndarray, partitions: int) -> RDD:
    """The images in equal shares, in order, as an RDD of blocks that Spark keeps in memory.

    They travel as a broadcast, once. The elements of `parallelize` would travel with every task of
    every epoch, as its lineage, although the blocks are cached.
    """
    shipped, count = send_to_executors(spark, (images, labels)), len(images)

    def own_share(partition: int) -> Iterator[Block]:
        share = slice(count * partition // partitions, count * (partition + 1) // partitions)
        return split_into_blocks(*(values[share] for values in shipped.value))

    return spark.parallelize(range(partitions), partitions).flatMap(own_share).cache()


def default_partitions(images: int, least: int = 1500, most: int = 3000) -> int:
    """A number of partitions that depends on the number of images, never on the machine.

    Up to 8, so that a laptop's cores are used, of at least `least` images; then as few as hold at
    most `most` images each, so that a task does enough to be worth its start.
    """
    return max(1, min(8, images // least), math.ceil(images / most))


def image_label_pairs(split: Split, dtype: str) -> RDD:
    """The article's key-value pairs: image (1, 784) in [0, 1], label one-hot (1, k)."""
    outputs = len(split.digits)

    def pairs(block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        X, y_true = as_rows(*block, outputs, dtype)
        return ((X[i : i + 1], y_true[i : i + 1]) for i in range(len(X)))

    return split.blocks.flatMap(pairs)


def read_part(place: str, part: str) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Images (n, 784), labels (n,) and the SHA-256 of the unpacked content of both files."""
    images_file, labels_file = (_read_file(place, name) for name in IDX_NAMES[part])
    images, labels = idx_files.read_pair(images_file, labels_file)
    contents = zip(IDX_NAMES[part], (images, labels), strict=True)
    return images, labels, {name: idx_files.sha256(values) for name, values in contents}


def read_classes(place: str) -> list[str]:
    """The names of the labels 0 to 9, from classes.txt at a place; [] if there is none.

    Raises UserError unless the file is ten lines with a name of its own in each.
    """
    file = storage.join(place, CLASSES)
    if place == "offline" or not storage.exists(file):
        return []
    text = storage.read(file).decode("utf-8-sig", errors="replace")
    names = [line.strip() for line in text.splitlines()]
    fitting = [name for name in names if name.isprintable() and 0 < len(name) <= LONGEST_NAME]
    if len(names) != 10 or len(set(fitting)) != 10:
        raise UserError(
            f"{file}: it names the labels 0 to 9 in ten lines, each another name of at most "
            f"{LONGEST_NAME} letters; {counted(len(set(fitting)), 'such name')} in "
            f"{counted(len(names), 'line')}"
        )
    return names


def _classes_of(place: str, digits: Sequence[int]) -> tuple[str, ...]:
    names = read_classes(place)
    return tuple(names[digit] for digit in digits) if names else ()


def _read_file(folder: str, name: str) -> tuple[str, bytes]:
    """The place and the content of an IDX file in a folder, gzipped or not."""
    file = _find_file(folder, name)
    if file is None:
        raise UserError(
            f"{folder}: {name} (or {name}.gz) is missing; a data folder holds "
            f"{', '.join(download.SHA256)}, gzipped or not"
        )
    return file, storage.read(file)


def _refuse_file(place: str) -> None:
    if storage.is_file(place):
        folder = os.path.dirname(place) or "."
        raise UserError(f"--data {place}: a file; name the folder that it lies in, {folder}")


def _find_file(folder: str, name: str) -> str | None:
    """The place of an IDX file in a folder, gzipped or not; None if it is not there."""
    present = storage.names(folder)
    for candidate in (name, f"{name}.gz"):
        if candidate in present:
            return storage.join(folder, candidate)
    return None


def _check_digits(counts: np.ndarray, digits: Sequence[int], where: str) -> None:
    for digit in digits:
        if counts[digit] == 0:
            raise UserError(f"digit {digit} does not occur in {where}; see --digits")


def _offline_notice(reason: UserError) -> str:
    width = min(98, shutil.get_terminal_size().columns)
    texts = "NOT MNIST: this run uses digits drawn from fonts; MNIST is not here.", str(reason)
    inside = textwrap.TextWrapper(width - 3, break_on_hyphens=False)
    lines = [line for text in texts for line in inside.wrap(text)]
    frame = "!" * width
    return "\n".join([frame, *(f"!! {line}" for line in lines), frame])


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="data_loader.py", description="Prepare a data folder for training.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "split the training set into files that the executors read, and copy the test set"
    shard = commands.add_parser("shard", help=about, description=f"Shards: {about}.")
    option = shard.add_argument
    option("source", metavar="SRC", help=DATA_HELP)
    option("target", metavar="DST", help="a folder or a URI of one, without a data set in it")
    split = "how many pairs of files to split the training set into"
    option("--shards", type=whole_number(1, 100_000), default=64, help=split)
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Shard a data set as the arguments say; returns 0."""
    options = arguments().parse_args(argv)
    source, target = find_data(options.source), options.target
    with contextlib.ExitStack() as running:
        if storage.is_uri(source) or storage.is_uri(target):
            running.enter_context(spark_context("shard"))
        if any(name.startswith(tuple(download.SHA256)) for name in storage.names(target)):
            raise UserError(f"{target}: holds files of a data set already; name an empty folder")
        sets, classes = {}, read_classes(source)
        for part in IDX_NAMES:
            if source == "offline":
                sets[part] = offline_digits.draw_part(part, range(10))
            else:
                sets[part] = read_part(source, part)[:2]
        images = len(sets["train"][0])
        if options.shards > images:
            raise UserError(f"--shards {options.shards}: there are only {images} training images")
        for name, values in zip(IDX_NAMES["test"], sets["test"], strict=True):
            storage.write(storage.join(target, f"{name}.gz"), idx_files.pack(values))
        if classes:
            storage.write(storage.join(target, CLASSES), "\n".join(classes).encode())
        shards.write(target, IDX_NAMES["train"], *sets["train"], options.shards)
    size = f"{counted(images, 'training image')} in {counted(options.shards, 'shard')}"
    print(f"wrote {target}: {size}, the test set")
    return 0


if __name__ == "__main__":
    sys.exit(main())
