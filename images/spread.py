"""Images that the executors read: what is common to shards, tables and folders of images.

The executors turn what they read into blocks, which Spark keeps. The driver gets receipts: hashes,
or what is wrong. An error is returned as a receipt, too: Spark would run a task that raises it
three more times, with the same result.
"""

import hashlib
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext

from images.blocks import BLOCK_ROWS, Block, select_digits
from runtime import storage
from runtime.command_line import UserError, counted, say
from runtime.spark import cached

# Images (m, 784), labels (m,), and how many of the images had another size than 28x28.
Rows = tuple[np.ndarray, np.ndarray, int]


class Receipt(NamedTuple):
    """What the driver learns of images that an executor read."""

    number: tuple[int, ...]  # which they are, in their order
    sha256: tuple[str, ...]
    scaled: int = 0  # images that had another size than 28x28
    error: str = ""


def keep(read: RDD) -> tuple[RDD, list[Receipt]]:
    """The blocks of (receipt, block or None), kept by Spark, and the receipts. Raises UserError."""
    stored = cached(read)
    receipts = sorted(set(stored.keys().collect()))
    raise_first([receipt.error for receipt in receipts if receipt.error])
    return stored.map(_block), receipts


def read_rows(
    place: str,
    rows: RDD,
    parse: Callable[[Iterable], Iterator[Rows]],
    digits: Sequence[int],
    transposed: bool,
) -> tuple[RDD, dict[str, str]]:
    """Blocks of the rows of a table, kept by Spark, and their hash. Raises UserError.

    `parse` makes images of the rows in a partition, and raises UserError. Says how many images had
    to be scaled. The hash is that of the images of `digits` in any order: the sum of the SHA-256 of
    each label with its image, modulo 2^256. So it does not depend on the partitions.
    """

    def read_partition(partition: int, own: Iterable) -> Iterator[tuple[Receipt, Block | None]]:
        number = 0
        try:
            for number, (images, labels, scaled) in enumerate(parse(own), 1):
                chosen = np.column_stack([labels, images])[np.isin(labels, digits)]
                total = sum(int.from_bytes(hashlib.sha256(row).digest()) for row in chosen)
                block = select_digits(images, labels, digits, transposed)
                yield Receipt((partition, number), (f"{total:x}",), scaled), block
        except UserError as error:
            yield Receipt((partition, number + 1), ("0",), error=str(error)), None

    blocks, receipts = keep(rows.mapPartitionsWithIndex(read_partition))
    total = sum(int(receipt.sha256[0], 16) for receipt in receipts) % 2**256
    scaled = sum(receipt.scaled for receipt in receipts)
    if scaled:
        say(f"{place}: {counted(scaled, 'image')} not of 28x28 pixels: scaled to fit")
    return blocks, {"rows": f"{total:064x}"}


def decode(files: Iterable[tuple[str, bytes, int]]) -> Iterator[Rows]:
    """The images of image files, each (name, content, label). Raises UserError, with a name."""
    from images.decode import decoded  # here, because an executor may lack Pillow

    for batch in batches(files):
        images, scaled = zip(*(decoded(content, name) for name, content, _ in batch), strict=True)
        labels = np.array([label for _, _, label in batch], np.uint8)
        yield np.stack(images), labels, sum(scaled)


def read_files(
    spark: SparkContext,
    folder: str,
    names: Sequence[str],
    glob: str,
    partitions: int,
    partition_of: Callable[[int], int],
    most: int = storage.MOST_BYTES,
) -> RDD:
    """(position, place, content) of the files in a folder, in order, read by the executors.

    names: of the files; one may lie in a subfolder. glob: matches all of them. partition_of: the
    partition of a file, by its position in `names`. most: bytes in a file of a local folder.
    """
    shipped = spark.broadcast(names)
    if storage.is_uri(folder):
        # Spark reads all that matches, in an order of its own.
        positions = spark.broadcast({name: position for position, name in enumerate(names)})
        depth = 1 + glob.count("/")

        def numbered(file: tuple[str, bytes]) -> Iterator[tuple[int, bytes]]:
            uri, content = file
            position = positions.value.get("/".join(uri.split("/")[-depth:]))
            if position is not None:
                yield position, content

        read = spark.binaryFiles(storage.join(storage.for_spark(folder), glob)).flatMap(numbered)
        ordered = read.repartitionAndSortWithinPartitions(partitions, partition_of)
        return ordered.map(
            lambda file: (file[0], storage.join(folder, shipped.value[file[0]]), file[1])
        )
    absolute = os.path.abspath(folder)

    def read_own(partition: int) -> Iterator[tuple[int, str, bytes]]:
        for position, name in enumerate(shipped.value):
            if partition_of(position) == partition:
                content = storage.read(os.path.join(absolute, name), most)
                yield position, os.path.join(folder, name), content

    return spark.parallelize(range(partitions), partitions).flatMap(read_own)


def batches(rows: Iterable) -> Iterator[list]:
    """The rows in lists, each as long as a block."""
    rows = iter(rows)
    while batch := list(itertools.islice(rows, BLOCK_ROWS)):
        yield batch


def raise_first(errors: Sequence[str]) -> None:
    """Raise UserError with the first of the errors, if there are any, and how many more."""
    if errors:
        more = f" (and {counted(len(errors) - 1, 'more error')})" if len(errors) > 1 else ""
        raise UserError(errors[0] + more)


def _block(read: tuple[Receipt, Block | None]) -> Block:
    """The block; raises UserError if it could be read once, but not when it was read again."""
    receipt, block = read
    if block is None:
        raise UserError(receipt.error)
    return block
