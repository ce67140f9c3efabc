"""MNIST -> train_rdd and test_rdd.

    python data_loader.py shard SRC DST --shards 64     splits a training set for many executors

The driver reads the IDX files and sends compact uint8 arrays to the executors. Each partition takes
its share. Spark keeps blocks in memory: (images uint8 (m, 784), labels uint8 (m,)).
`image_label_pairs` makes the article's RDD of them: one (image, label) pair for each image. A
training set in shards is read by the executors themselves (see images/shards.py).
"""

import argparse
import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

from images import idx_files, shards, sources
from images.blocks import Block, as_rows, select_digits, split_into_blocks
from images.sources import IDX_NAMES, find_data, read_part
from runtime import storage
from runtime.command_line import (
    DATA_HELP,
    Parser,
    UserError,
    counted,
    exit_status,
    nonempty,
    say,
    whole_number,
)
from runtime.spark import send_to_executors, spark_context


class Split(NamedTuple):
    """The training or the test set: its cached blocks, its size, and what it was read from."""

    blocks: RDD
    size: int
    digits: tuple[int, ...]
    name: str
    place: str
    sha256: dict[str, str]
    classes: tuple[str, ...] = ()  # the names of the digits, from classes.txt


def load(
    spark: SparkContext,
    place: str,
    part: str,
    digits: Sequence[int],
    partitions: int | None = None,
    in_partition: tuple[int, int] = (1500, 3000),
) -> Split:
    """One part ("train" or "test") of the data at a place, as blocks that Spark keeps in memory.

    It holds only images of `digits`; a label is the position of its digit there. partitions: how
    many; if None, each gets from in_partition[0] to in_partition[1] images. Raises UserError if a
    file is missing or broken, or if a digit does not occur.
    """
    classes = sources.names_of(place, digits)
    found = sources.find_shards(place, part)
    if found:
        name, unit = place, "shards"
        counts = shards.count_digits(spark, place, IDX_NAMES[part], found)
    else:
        images, labels, sha256 = read_part(place, part, digits)
        name, unit = sources.name_of(place, sha256), "images"
        counts = np.bincount(labels, minlength=10)[np.newaxis]
    sources.check_counts(counts.sum(axis=0), digits, f"the {part} set of {name}")
    size = int(counts[:, list(digits)].sum())
    most = len(counts) if found else size
    if partitions is not None and partitions > most:
        raise UserError(f"--partitions {partitions}: the {part} set has only {most} {unit}")
    partitions = partitions or min(most, default_partitions(size, *in_partition))
    if found:
        blocks, sha256 = shards.read(spark, place, IDX_NAMES[part], found, digits, partitions)
    else:
        blocks = distribute(spark, *select_digits(images, labels, digits), partitions)
    return Split(blocks, size, tuple(digits), name, place, sha256, classes)


def distribute(spark: SparkContext, images: np.ndarray, labels: np.ndarray, partitions: int) -> RDD:
    """The images in equal shares, in order, as an RDD of blocks that Spark keeps in memory.

    They travel once, as a broadcast. Elements of `parallelize` are part of the RDD's lineage: they
    would travel with every task of every epoch, although the blocks are cached.
    """
    shipped, count = send_to_executors(spark, (images, labels)), len(images)

    def own_share(partition: int) -> Iterator[Block]:
        share = slice(count * partition // partitions, count * (partition + 1) // partitions)
        return split_into_blocks(*(values[share] for values in shipped.value))

    return spark.parallelize(range(partitions), partitions).flatMap(own_share).cache()


def default_partitions(images: int, least: int = 1500, most: int = 3000) -> int:
    """A number of partitions that depends on the number of images, never on the machine.

    Up to 8 of at least `least` images, so that a laptop's cores are used. More images give more
    partitions, of at most `most` images each: few large tasks cost less than many small ones.
    """
    return max(1, min(8, images // least), math.ceil(images / most))


def image_label_pairs(split: Split, dtype: str) -> RDD:
    """The article's key-value pairs: image (1, 784) in [0, 1], label one-hot (1, k)."""
    outputs = len(split.digits)

    def pairs(block: Block) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        X, y_true = as_rows(*block, outputs, dtype)
        return ((X[i : i + 1], y_true[i : i + 1]) for i in range(len(X)))

    return split.blocks.flatMap(pairs)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="data_loader.py", description="Prepare a data folder for training.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "split the training set into files that the executors read, and copy the test set"
    shard = commands.add_parser("shard", help=about, description=f"Shards: {about}.")
    option = shard.add_argument
    option("source", type=nonempty, metavar="SRC", help=DATA_HELP)
    target = "a folder or a URI of one, without a data set in it"
    option("target", type=nonempty, metavar="DST", help=target)
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
        whole = [name for names in IDX_NAMES.values() for name in names]
        if any(name.startswith(tuple(whole)) for name in storage.names(target)):
            raise UserError(f"{target}: holds files of a data set already; name an empty folder")
        classes = sources.read_classes(source)
        images, labels, _ = read_part(source, "train")
        if options.shards > len(images):
            raise UserError(
                f"--shards {options.shards}: there are only {len(images)} training images"
            )
        for name, values in zip(IDX_NAMES["test"], read_part(source, "test")[:2], strict=True):
            storage.write(storage.join(target, f"{name}.gz"), idx_files.pack(values))
        if classes:
            storage.write(storage.join(target, sources.CLASSES), "\n".join(classes).encode())
        shards.write(target, IDX_NAMES["train"], images, labels, options.shards)
    size = f"{counted(len(images), 'training image')} in {counted(options.shards, 'shard')}"
    say(f"wrote {target}: {size}, the test set")
    return 0


if __name__ == "__main__":
    sys.exit(main())
