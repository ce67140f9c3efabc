"""MNIST -> train_rdd and test_rdd.

    python data_loader.py shard SRC DST --shards 64     splits a training set for many executors
    python data_loader.py look PLACE                    says what a data set holds, and draws it

The driver reads the IDX files and sends compact uint8 arrays to the executors. Each partition takes
its share. Spark keeps blocks in memory: (images uint8 (m, 784), labels uint8 (m,)).
`image_label_pairs` makes the article's RDD of them: one (image, label) pair for each image. Shards
and some other layouts are read by the executors themselves (docs/data.md).
"""

import runtime.packages  # noqa: F401, I001  names a package that is missing
import argparse
import contextlib
import math
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

from images import classes, commands, sources
from images.blocks import Block, as_rows, select_digits, split_into_blocks
from images.found import Spread, Whole
from images.sources import find_data
from runtime import storage
from runtime.command_line import (
    DATA_HELP,
    TRANSPOSE_HELP,
    Parser,
    UserError,
    exit_status,
    nonempty,
    say,
    whole_number,
)
from runtime.spark import cached, context_of, send_to_executors, spark_context


class Split(NamedTuple):
    """The training or the test set: its cached blocks, its size, and what it was read from."""

    blocks: RDD
    size: int
    digits: tuple[int, ...]
    name: str
    place: str
    sha256: dict[str, str]
    classes: tuple[str, ...] = ()  # the names of the digits, if the data set has them
    counts: tuple[int, ...] = ()  # the number of images of each digit, if known


def load(
    spark: SparkContext,
    place: str,
    part: str,
    digits: Sequence[int],
    partitions: int | None = None,
    in_partition: tuple[int, int] = (1500, 3000),
    transpose: bool | None = None,
) -> Split:
    """One part ("train" or "test") of the data at a place, as blocks that Spark keeps in memory.

    It holds only images of `digits`, which may be any labels. In a block, a label is its position
    in `digits`. spark: a SparkSession will do, too. partitions: how many; if None,
    `default_partitions` decides, with in_partition, the least and most images in one. transpose:
    whether to swap rows and columns of each image; if None, as EMNIST's files need. Raises
    UserError if a file is missing or broken, if a digit does not occur, or if there cannot be so
    many partitions.
    """
    spark, place = context_of(spark), str(place)
    found = sources.find(place, part).turned(transpose)
    names = classes.names_for(digits, found.names, place)
    in_units = found.count(spark)
    counts = in_units.sum(axis=0)
    check_counts(counts, digits, f"the {part} set of {place}")
    of_digits = tuple(counts[list(digits)].tolist())
    size = sum(of_digits)
    most, unit = size, "images"
    if isinstance(found, Spread) and found.unit != unit:
        most, unit = len(in_units), found.unit
    if partitions is not None and partitions < 1:
        raise UserError(f"--partitions {partitions}: there is at least 1")
    if partitions is not None and partitions > most:
        raise UserError(f"--partitions {partitions}: the {part} set has only {most} {unit}")
    partitions = partitions or min(most, default_partitions(size, *in_partition))
    if isinstance(found, Spread):
        blocks, sha256 = found.blocks(spark, digits, partitions, found.transposed)
    else:
        assert isinstance(found, Whole)
        images, labels, sha256 = found.read(digits)
        chosen = select_digits(images, labels, digits, found.transposed)
        blocks = distribute(spark, *chosen, partitions)
    name = sources.name_of(place, sha256)
    return Split(blocks, size, tuple(digits), name, place, sha256, names, of_digits)


def find_labels(spark: SparkContext, place: str, part: str, words: Sequence[str]) -> list[int]:
    """The labels that words mean in the data at a place: labels, names of classes, or `all`.

    Raises UserError for a word that is none of them, and if a file is missing or broken.
    """
    found = sources.find(place, part)
    present = np.flatnonzero(found.count(context_of(spark)).sum(axis=0)).tolist()
    return classes.choose_labels(words, present, found.names, place)


def check_counts(counts: np.ndarray, digits: Sequence[int], where: str) -> None:
    """Raise UserError if a digit does not occur; counts (256,) are those of the labels."""
    if len(set(digits)) < max(1, len(digits)) or not set(digits) <= set(range(256)):
        raise UserError(f"digits are different numbers from 0 to 255, not {list(digits)}")
    for digit in digits:
        if counts[digit] == 0:
            present = ", ".join(map(str, np.flatnonzero(counts)))
            raise UserError(
                f"digit {digit} does not occur in {where}, only {present}; see --digits"
            )


def distribute(spark: SparkContext, images: np.ndarray, labels: np.ndarray, partitions: int) -> RDD:
    """The images in equal shares, in order, as an RDD of blocks that Spark keeps in memory.

    They travel once, as a broadcast. Elements of `parallelize` are part of the RDD's lineage: they
    would travel with every task of every epoch, although the blocks are cached.
    """
    shipped, count = send_to_executors(spark, (images, labels)), len(images)

    def own_share(partition: int) -> Iterator[Block]:
        share = slice(count * partition // partitions, count * (partition + 1) // partitions)
        return split_into_blocks(*(values[share] for values in shipped.value))

    return cached(spark.parallelize(range(partitions), partitions).flatMap(own_share))


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
        return zip(X[:, np.newaxis], y_true[:, np.newaxis], strict=True)

    return split.blocks.flatMap(pairs)


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(prog="data_loader.py", description="Prepare a data set, or look at one.")
    command = parser.add_subparsers(required=True, metavar="COMMAND", dest="command")
    about = "split the training set into files that the executors read, and copy the test set"
    shard = command.add_parser("shard", help=about, description=f"Shards: {about}.")
    shard.add_argument("source", type=nonempty, metavar="SRC", help=DATA_HELP)
    target = "a folder or a URI of one, without a data set in it"
    shard.add_argument("target", type=nonempty, metavar="DST", help=target)
    split = "how many pairs of files to split the training set into"
    shard.add_argument("--shards", type=whole_number(1, 100_000), default=64, help=split)
    about = "say what a data set holds, and draw ten images of each class"
    look = command.add_parser("look", help=about, description=f"Look: {about}.")
    look.add_argument("source", type=nonempty, metavar="PLACE", help=DATA_HELP)
    look.add_argument(
        "--plots-dir", type=nonempty, default="plots", help="folder or URI for data.png"
    )
    for one in (shard, look):
        one.add_argument("--transpose", action="store_const", const=True, help=TRANSPOSE_HELP)
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Shard a data set, or look at one, as the arguments say; returns 0."""
    options = arguments().parse_args(argv)
    source = find_data(options.source, "SRC" if options.command == "shard" else "PLACE")
    target = options.target if options.command == "shard" else options.plots_dir
    with contextlib.ExitStack() as running:
        uris = storage.is_uri(source) or storage.is_uri(target)
        spark = running.enter_context(spark_context(options.command)) if uris else None
        parts = commands.parts_of(source, options.transpose, options.command == "shard")
        if spark is None and any(isinstance(found, Spread) for found in parts.values()):
            spark = running.enter_context(spark_context(options.command))
        if options.command == "look":
            say(commands.look(spark, parts, target))
        else:
            say(commands.shard(spark, parts, target, options.shards))
    return 0


if __name__ == "__main__":
    sys.exit(main())
