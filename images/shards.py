"""A data set in shards, for more images than the driver holds: the executors read it.

Shards are numbered pairs of IDX files, from 00000 on without gaps, gzipped or not:

    train-images-idx3-ubyte-00017.gz        train-labels-idx1-ubyte-00017.gz

Neither pixels nor labels pass through the driver. It sees the files' names, how often each label
occurs in a shard, and hashes.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pyspark import RDD, SparkContext

from images import files, idx_files
from images.blocks import Block, select_digits, split_into_blocks
from images.spread import Receipt, keep, raise_first
from runtime import storage
from runtime.command_line import UserError

MOST_BYTES = 2**30  # in a file of a shard
IMAGES, LABELS = 0, 1  # which of its shard's two files a file is
Key = tuple[int, int]  # (shard, IMAGES or LABELS)
File = tuple[Key, tuple[str, bytes]]  # with its place and its content


def find(folder: str, names: tuple[str, str]) -> dict[Key, str]:
    """The files of the shards in a folder; `names` are those of a set that is not sharded.

    Raises UserError where a shard is missing, is there twice or lacks one of its files.
    """
    found: dict[Key, str] = {}
    for name in storage.names(folder):
        key = _key(name, names)
        if key in found:
            raise UserError(f"{folder}: {found[key]} and {name} are the same shard; keep one")
        if key:
            found[key] = name
    for key in itertools.product(range(_count(found)), (IMAGES, LABELS)):
        if key not in found:
            missing = _name(names, *key)
            raise UserError(
                f"{folder}: {missing} (or {missing}.gz) is missing; shards are numbered from 00000 "
                "on without gaps, and each has images and labels"
            )
    return dict(sorted(found.items()))


def count_digits(
    spark: SparkContext, folder: str, names: tuple[str, str], found: dict[Key, str]
) -> np.ndarray:
    """How often each label occurs in each shard, (shards, 256). Raises UserError."""

    def count_in(file: File) -> str | list[int]:
        try:
            _, (name, content) = file
            labels = idx_files.read_labels(content, name)
            return np.bincount(labels, minlength=256).tolist()
        except UserError as error:
            return str(error)

    labels = {key: name for key, name in found.items() if key[1] == LABELS}
    tasks = min(len(labels), spark.defaultParallelism)
    counts = _files(spark, folder, names, labels, tasks).map(count_in).collect()
    raise_first([said for said in counts if isinstance(said, str)])
    return np.array(counts)


def read(
    spark: SparkContext,
    folder: str,
    names: tuple[str, str],
    found: dict[Key, str],
    digits: Sequence[int],
    partitions: int,
    transposed: bool = False,
) -> tuple[RDD, dict[str, str]]:
    """The blocks of all shards, kept by Spark, and the hashes of the images and of the labels.

    A partition holds whole shards, neighbours, in their order. A hash is the SHA-256 of what
    `sha256sum` prints of the unpacked shards. Raises UserError if a shard is broken.
    """

    def read_partition(own: Iterable[File]) -> Iterator[tuple[Receipt, Block | None]]:
        for shard, both in itertools.groupby(own, key=lambda file: file[0][0]):
            yield from _read_shard(shard, [file for _, file in both], digits, transposed)

    blocks, receipts = keep(
        _files(spark, folder, names, found, partitions).mapPartitions(read_partition)
    )
    if len(receipts) != _count(found):
        raise UserError(f"{folder}: only {len(receipts)} of {_count(found)} shards could be read")
    hashes = {}
    for kind, name in enumerate(names):
        lines = (f"{r.sha256[kind]}  {_name(names, r.number[0], kind)}\n" for r in receipts)
        hashes[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return blocks, hashes


def write(
    folder: str, names: tuple[str, str], blocks: Iterator[Block], images: int, shards: int
) -> None:
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


def _write_shard(folder: str, names: tuple[str, str], shard: int, block: Block) -> None:
    for kind, values in enumerate(block):
        place = storage.join(folder, f"{_name(names, shard, kind)}.gz")
        storage.write(place, idx_files.pack(values))


def _name(names: tuple[str, str], shard: int, kind: int) -> str:
    return f"{names[kind]}-{shard:05}"


def _key(name: str, names: tuple[str, str]) -> Key | None:
    """Which shard a file belongs to, and as what; None if to none."""
    match = re.fullmatch(r"(.+)-(\d{5})(?:\.gz)?", name, re.ASCII)
    if match is None or match[1] not in names:
        return None
    return int(match[2]), names.index(match[1])


def _count(found: dict[Key, str]) -> int:
    return 1 + max((shard for shard, _ in found), default=-1)


def _files(
    spark: SparkContext, folder: str, names: tuple[str, str], found: dict[Key, str], partitions: int
) -> RDD:
    """The files that were found, each as a `File`, read by the executors; neighbours together."""
    shards = _count(found)
    if storage.is_uri(folder):
        # Spark reads a folder's files in an order of its own: sort them.
        kinds = {names[kind] for _, kind in found}

        def keyed(file: tuple[str, bytes]) -> Iterator[File]:
            place, content = file
            name = place.rpartition("/")[2]
            key = _key(name, names)
            if key is not None:
                yield key, (storage.join(folder, name), content)

        found_files = spark.binaryFiles(storage.pattern(folder, f"{{{','.join(kinds)}}}-[0-9]*"))
        return found_files.flatMap(keyed).repartitionAndSortWithinPartitions(
            partitions, lambda key: key[0] * partitions // shards
        )
    shipped, absolute = spark.broadcast(found), os.path.abspath(folder)

    def read_own(partition: int) -> Iterator[File]:
        for key, name in shipped.value.items():
            if key[0] * partitions // shards == partition:
                content = files.content(os.path.join(absolute, name), MOST_BYTES)
                yield key, (storage.join(folder, name), content)

    return spark.parallelize(range(partitions), partitions).flatMap(read_own)


def _read_shard(
    shard: int, pair: Sequence[tuple[str, bytes]], digits: Sequence[int], transposed: bool
) -> Iterator[tuple[Receipt, Block | None]]:
    """The blocks of a shard, each with its receipt; of a broken one a receipt without a block."""
    try:
        images, labels = idx_files.read_pair(*pair)
    except UserError as error:
        yield Receipt((shard,), ("", ""), error=str(error)), None
        return
    receipt = Receipt((shard,), (idx_files.sha256(images), idx_files.sha256(labels)))
    for block in split_into_blocks(*select_digits(images, labels, digits, transposed)):
        yield receipt, block
