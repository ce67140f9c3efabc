"""MNIST -> train_rdd and test_rdd.

The driver reads the IDX files and ships compact uint8 arrays; each partition takes its slice, and
the executors turn it into rows. What Spark keeps in memory are blocks, (images uint8 (m, 784),
labels uint8 (m,)); `image_label_pairs` makes the article's RDD of them, one (image, label) pair for
each image.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

import idx_files
import mnist_download
import offline_digits
import storage
from blocks import Block, as_rows, split_into_blocks
from command_line import UserError

DEFAULT_FOLDER = Path("data/mnist")
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


class Split(NamedTuple):
    """The training or the test set: its cached blocks, its size, and what it was read from."""

    blocks: RDD
    count: int
    digits: tuple[int, ...]
    name: str
    place: str
    sha256: dict[str, str]


def find_data(data: str | None) -> str:
    """The place to read from: a folder, a URI, or "offline" for the offline digits.

    `data` is such a place, or "mnist", or None to search: data/mnist, else MNIST is fetched into
    it, else, with a notice, the offline digits serve. Raises UserError if there is no such place,
    or if "mnist" cannot be had.
    """
    if data not in (None, "mnist"):
        # A URI can be looked at only once Spark runs: `load` says what is missing there.
        if not (data == "offline" or storage.is_uri(data) or storage.exists(data)):
            raise UserError(f"--data {data}: no such folder; it should hold MNIST's four IDX files")
        return data
    try:
        if any(_find_file(str(DEFAULT_FOLDER), name) is None for name in mnist_download.SHA256):
            mnist_download.download_mnist(DEFAULT_FOLDER)
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
    most_in_partition: int = 3000,
) -> Split:
    """The blocks of one part ("train" or "test") of the data at a place, cached by Spark.

    Only the digits asked for; a label in a block is the position of its digit in `digits`. Raises
    UserError if a file is missing or broken, or if a digit does not occur.
    """
    if place == "offline":
        (images, labels), hashes = offline_digits.draw_part(part, digits), {}
        name = offline_digits.NAME
    else:
        images, labels, hashes = read_part(place, part)
        is_mnist = all(mnist_download.SHA256.get(file) == sha for file, sha in hashes.items())
        name = "MNIST" if is_mnist else place
    images, labels = _select_digits(images, labels, digits, f"the {part} set of {name}")
    partitions = partitions or default_partitions(len(images), most_in_partition)
    if partitions > len(images):
        raise UserError(f"--partitions {partitions}: the {part} set has only {len(images)} images")
    blocks = distribute(spark, images, labels, partitions)
    return Split(blocks, len(images), tuple(digits), name, place, hashes)


def distribute(spark: SparkContext, images: np.ndarray, labels: np.ndarray, partitions: int) -> RDD:
    """The images in equal shares, in order, as an RDD of blocks that Spark keeps in memory.

    They travel as a broadcast, once. The elements of `parallelize` would travel with every task of
    every epoch, as its lineage, although the blocks are cached.
    """
    shipped, count = spark.broadcast((images, labels)), len(images)

    def own_share(partition: int) -> Iterator[Block]:
        share = slice(count * partition // partitions, count * (partition + 1) // partitions)
        return split_into_blocks(*(values[share] for values in shipped.value))

    return spark.parallelize(range(partitions), partitions).flatMap(own_share).cache()


def default_partitions(images: int, most: int = 3000) -> int:
    """A number of partitions that depends on the number of images, never on the machine.

    Up to 8, so that a laptop's cores are used, of at least 1,500 images; then as few as hold at
    most `most` images each, so that a task does enough to be worth its start.
    """
    return max(1, min(8, images // 1500), math.ceil(images / most))


def image_label_pairs(split: Split, dtype: str) -> RDD:
    """The article's key-value pairs: image (1, 784) in [0, 1], label one-hot (1, k)."""
    outputs = len(split.digits)

    def pairs(block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        X, y_true = as_rows(*block, outputs, dtype)
        return ((X[i : i + 1], y_true[i : i + 1]) for i in range(len(X)))

    return split.blocks.flatMap(pairs)


def read_part(place: str, part: str) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Images (n, 784), labels (n,) and the SHA-256 of the unpacked content of both files."""
    files = [_find_file(place, name) for name in IDX_NAMES[part]]
    for name, file in zip(IDX_NAMES[part], files, strict=True):
        if file is None:
            raise UserError(
                f"{place}: {name} (or {name}.gz) is missing; a data folder holds "
                f"{', '.join(mnist_download.SHA256)}, gzipped or not"
            )
    images = idx_files.read_images(storage.read(files[0]), files[0])
    labels = idx_files.read_labels(storage.read(files[1]), files[1])
    if len(images) != len(labels):
        raise UserError(
            f"{place}: {len(images)} {part} images but {len(labels)} labels; "
            "the two files do not belong together"
        )
    contents = zip(IDX_NAMES[part], (images, labels), strict=True)
    return images, labels, {name: idx_files.sha256(values) for name, values in contents}


def _find_file(folder: str, name: str) -> str | None:
    """The place of an IDX file in a folder, gzipped or not; None if it is not there."""
    present = storage.names(folder)
    for candidate in (name, f"{name}.gz"):
        if candidate in present:
            return storage.join(folder, candidate)
    return None


def _select_digits(
    images: np.ndarray, labels: np.ndarray, digits: Sequence[int], where: str
) -> Block:
    """The images of some digits, and for each the position of its digit in `digits`."""
    for digit in digits:
        if not (labels == digit).any():
            raise UserError(f"digit {digit} does not occur in {where}; see --digits")
    chosen = np.isin(labels, digits)
    position = np.zeros(10, np.uint8)
    position[list(digits)] = range(len(digits))
    return images[chosen], position[labels[chosen]]


def _offline_notice(reason: UserError) -> str:
    frame = "!" * 98
    return (
        f"{frame}\n!! NOT MNIST: this run uses digits drawn from fonts; MNIST is not here.\n"
        f"!! {reason}\n{frame}"
    )
