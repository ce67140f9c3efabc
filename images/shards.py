"""A data set in shards, for more images than the driver holds: the executors read it.

Shards are numbered pairs of IDX files, from 00000 on without gaps, gzipped or not:

    train-images-idx3-ubyte-00017.gz        train-labels-idx1-ubyte-00017.gz

Neither pixels nor labels pass through the driver. It sees the files' names, how often each label
occurs in a shard, and hashes.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pyspark import RDD, SparkContext

from images import idx_files
from images.blocks import Block, select_digits, split_into_blocks
from images.spread import Receipt, keep, raise_first, read_files
from runtime import storage
from runtime.command_line import UserError

Pair = tuple[str, str]  # the names of a shard's images and labels
File = tuple[int, str, bytes]  # its position among the files, its place and its content


def find(folder: str, names: Pair) -> list[Pair]:
    """The shards in a folder, in order; `names` are those of a set that is not sharded.

    Raises UserError where a shard is missing, is there twice or lacks one of its files.
    """
    found: dict[str, str] = {}
    for name in storage.names(folder):
        match = re.fullmatch(r"((.+)-\d{5})(\.gz)?", name, re.ASCII)
        if match is None or match[2] not in names:
            continue
        if match[1] in found:
            other = found[match[1]]
            raise UserError(f"{folder}: {other} and {name} are the same shard; keep one")
        found[match[1]] = name
    count = 1 + max((int(stem[-5:]) for stem in found), default=-1)
    for shard in range(count):
        for stem in _stems(names, shard):
            if stem not in found:
                raise UserError(
                    f"{folder}: {stem} (or {stem}.gz) is missing; shards are numbered from 00000 "
                    "on without gaps, and each has images and labels"
                )
    stems = (_stems(names, shard) for shard in range(count))
    return [(found[images], found[labels]) for images, labels in stems]


def count_digits(spark: SparkContext, folder: str, names: Pair, shards: list[Pair]) -> np.ndarray:
    """How often each label occurs in each shard, (shards, 256). Raises UserError."""

    def count_in(file: File) -> str | list[int]:
        try:
            _, place, content = file
            labels = idx_files.read_labels(content, place)
            return np.bincount(labels, minlength=256).tolist()
        except UserError as error:
            return str(error)

    count, tasks = len(shards), min(len(shards), spark.defaultParallelism)
    files = read_files(
        spark,
        folder,
        [labels for _, labels in shards],
        f"{names[1]}-[0-9]*",
        tasks,
        lambda position: position * tasks // count,
    )
    counts = files.map(count_in).collect()
    raise_first([said for said in counts if isinstance(said, str)])
    return np.array(counts)


def read(
    spark: SparkContext,
    folder: str,
    names: Pair,
    shards: list[Pair],
    digits: Sequence[int],
    partitions: int,
    transposed: bool = False,
) -> tuple[RDD, dict[str, str]]:
    """The blocks of all shards, kept by Spark, and the hashes of the images and of the labels.

    A partition holds whole shards, neighbours, in their order. A hash is the SHA-256 of what
    `sha256sum` prints of the unpacked shards. Raises UserError if a shard is broken.
    """

    def read_partition(own: Iterable[File]) -> Iterator[tuple[Receipt, Block | None]]:
        for shard, both in itertools.groupby(own, key=lambda file: file[0] // 2):
            images_file, labels_file = (file[1:] for file in both)
            try:
                ((images, labels),) = idx_files.stream_pair(images_file, labels_file)
            except UserError as error:
                yield Receipt((shard,), ("", ""), error=str(error)), None
                continue
            receipt = Receipt((shard,), (idx_files.sha256(images), idx_files.sha256(labels)))
            for block in split_into_blocks(*select_digits(images, labels, digits, transposed)):
                yield receipt, block

    count = len(shards)
    files = read_files(
        spark,
        folder,
        [name for pair in shards for name in pair],
        f"{{{','.join(names)}}}-[0-9]*",
        partitions,
        lambda position: position // 2 * partitions // count,
    )
    blocks, receipts = keep(files.mapPartitions(read_partition))
    if len(receipts) != count:
        raise UserError(f"{folder}: only {len(receipts)} of {count} shards could be read")
    hashes = {}
    for kind, name in enumerate(names):
        lines = (f"{r.sha256[kind]}  {_stems(names, r.number[0])[kind]}\n" for r in receipts)
        hashes[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return blocks, hashes


def write(folder: str, names: Pair, blocks: Iterator[Block], images: int, shards: int) -> None:
    """Write so many images, which come in blocks, in equal shards, gzipped. Raises UserError."""
    from tqdm import tqdm  # here, because executors import this module, and need not have it

    bounds = [images * shard // shards for shard in range(shards + 1)]
    sizes = [end - start for start, end in itertools.pairwise(bounds)]
    regrouped = _regrouped(blocks, sizes)
    first = next(regrouped)
    for shard, block in enumerate(tqdm(regrouped, "shards", shards - 1, disable=None), 1):
        _write_shard(folder, names, shard, block)
    # The first one comes last: without it, an interrupted data set is not mistaken for a whole one.
    _write_shard(folder, names, 0, first)


def _regrouped(blocks: Iterator[Block], sizes: Iterable[int]) -> Iterator[Block]:
    """The same images in blocks of these sizes."""
    images, labels = next(blocks)
    for size in sizes:
        while len(labels) < size:
            more_images, more_labels = next(blocks)
            images = np.concatenate([images, more_images])
            labels = np.concatenate([labels, more_labels])
        yield images[:size], labels[:size]
        images, labels = images[size:], labels[size:]


def _write_shard(folder: str, names: Pair, shard: int, block: Block) -> None:
    for stem, values in zip(_stems(names, shard), block, strict=True):
        storage.write(storage.join(folder, f"{stem}.gz"), idx_files.pack(values))


def _stems(names: Pair, shard: int) -> Pair:
    """The names of a shard's images and labels, without .gz."""
    return f"{names[0]}-{shard:05}", f"{names[1]}-{shard:05}"
