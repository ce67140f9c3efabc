"""A data set in shards, for more images than the driver holds: the executors read it.

Shards are numbered pairs of IDX files, from 00000 on without gaps, gzipped or not:

    train-images-idx3-ubyte-00017.gz        train-labels-idx1-ubyte-00017.gz

Neither pixels nor labels pass through the driver. It sees the files' names, how often each digit
occurs in a shard, and hashes.
"""

import hashlib
import itertools
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext, StorageLevel

from images import idx_files
from images.blocks import Block, select_digits, split_into_blocks
from runtime import storage
from runtime.command_line import UserError

IMAGES, LABELS = 0, 1  # which of its shard's two files a file is
Key = tuple[int, int]  # (shard, IMAGES or LABELS)
File = tuple[Key, tuple[str, bytes]]  # with its place and its content


class Receipt(NamedTuple):
    """What the driver learns of a shard that was read: its files' SHA-256, or what is wrong."""

    shard: int
    sha256: tuple[str, str]
    error: str = ""


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
    """How often each digit occurs in each shard, (shards, 10). Raises UserError."""

    def count_in(file: File) -> str | list[int]:
        try:
            _, (name, content) = file
            labels = idx_files.read_labels(content, name)
            return np.bincount(labels, minlength=10).tolist()
        except UserError as error:
            return str(error)

    labels = {key: name for key, name in found.items() if key[1] == LABELS}
    tasks = min(len(labels), spark.defaultParallelism)
    counts = _files(spark, folder, names, labels, tasks).map(count_in).collect()
    _raise_first([said for said in counts if isinstance(said, str)])
    return np.array(counts)


def read(
    spark: SparkContext,
    folder: str,
    names: tuple[str, str],
    found: dict[Key, str],
    digits: Sequence[int],
    partitions: int,
) -> tuple[RDD, dict[str, str]]:
    """The blocks of all shards, kept by Spark, and the hashes of the images and of the labels.

    A partition holds whole shards, neighbours, in their order. A hash is the SHA-256 of what
    `sha256sum` prints of the unpacked shards. Raises UserError if a shard is broken.
    """

    def read_partition(files: Iterable[File]) -> Iterator[tuple[Receipt, Block | None]]:
        for shard, both in itertools.groupby(files, key=lambda file: file[0][0]):
            yield from _read_shard(shard, [file for _, file in both], digits)

    # What is wrong comes as a receipt: an exception would be tried four times, to the same end.
    read_shards = (
        _files(spark, folder, names, found, partitions)
        .mapPartitions(read_partition)
        .persist(StorageLevel.MEMORY_AND_DISK)
    )
    receipts = sorted(set(read_shards.keys().collect()))
    _raise_first([receipt.error for receipt in receipts if receipt.error])
    if len(receipts) != _count(found):
        raise UserError(f"{folder}: only {len(receipts)} of {_count(found)} shards could be read")
    hashes = {}
    for kind, name in enumerate(names):
        lines = (f"{r.sha256[kind]}  {_name(names, r.shard, kind)}\n" for r in receipts)
        hashes[name] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return read_shards.map(_block), hashes


def write(
    folder: str, names: tuple[str, str], images: np.ndarray, labels: np.ndarray, shards: int
) -> None:
    """Write images (n, 784) and labels (n,) in equal shards, gzipped. Raises UserError."""
    from tqdm import tqdm  # here, because executors import this module, and need not have it

    bounds = [len(images) * shard // shards for shard in range(shards + 1)]
    # Backwards: if this is cut short, the first ones are missing, and nobody takes it for whole.
    for shard in tqdm(range(shards - 1, -1, -1), unit="shard", disable=None):
        share = slice(bounds[shard], bounds[shard + 1])
        for kind, values in ((LABELS, labels), (IMAGES, images)):
            place = storage.join(folder, f"{_name(names, shard, kind)}.gz")
            storage.write(place, idx_files.pack(values[share]))


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

        files = spark.binaryFiles(storage.pattern(folder, f"{{{','.join(kinds)}}}-[0-9]*"))
        return files.flatMap(keyed).repartitionAndSortWithinPartitions(
            partitions, lambda key: key[0] * partitions // shards
        )
    shipped, absolute = spark.broadcast(found), os.path.abspath(folder)

    def read_own(partition: int) -> Iterator[File]:
        for key, name in shipped.value.items():
            if key[0] * partitions // shards == partition:
                content = storage.read(os.path.join(absolute, name))
                yield key, (storage.join(folder, name), content)

    return spark.parallelize(range(partitions), partitions).flatMap(read_own)


def _read_shard(
    shard: int, files: Sequence[tuple[str, bytes]], digits: Sequence[int]
) -> Iterator[tuple[Receipt, Block | None]]:
    """The blocks of a shard, each with its receipt; of a broken one a receipt without a block."""
    try:
        images, labels = idx_files.read_pair(*files)
    except UserError as error:
        yield Receipt(shard, ("", ""), str(error)), None
        return
    receipt = Receipt(shard, (idx_files.sha256(images), idx_files.sha256(labels)))
    for block in split_into_blocks(*select_digits(images, labels, digits)):
        yield receipt, block


def _block(read_shard: tuple[Receipt, Block | None]) -> Block:
    """The block; raises UserError if the shard was whole once but is not when it is read again."""
    receipt, block = read_shard
    if block is None:
        raise UserError(receipt.error)
    return block


def _raise_first(errors: Sequence[str]) -> None:
    if errors:
        more = f" (and {len(errors) - 1} more broken shards)" if len(errors) > 1 else ""
        raise UserError(errors[0] + more)
