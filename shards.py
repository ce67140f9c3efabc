"""A data set in shards, for more images than the driver holds: the executors read it.

Shards are numbered pairs of IDX files, from 00000 on without gaps, gzipped or not:

    train-images-idx3-ubyte-00017.gz        train-labels-idx1-ubyte-00017.gz

Neither pixels nor labels pass through the driver. It sees the files' names, how often each digit
occurs in a shard, and hashes.
"""

import hashlib
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from pyspark import RDD, SparkContext, StorageLevel
from tqdm import tqdm

import idx_files
import storage
from blocks import Block, select_digits, split_into_blocks
from command_line import UserError

IMAGES, LABELS = 0, 1  # which of its shard's two files a file is
File = tuple[tuple[int, int], tuple[str, bytes]]  # (shard, IMAGES or LABELS), (name, content)


class Receipt(NamedTuple):
    """What the driver learns of a shard that was read: its files' SHA-256, or what is wrong."""

    shard: int
    sha256: tuple[str, str]
    error: str = ""


def count(folder: str, names: tuple[str, str]) -> int:
    """How many shards a folder holds; `names` are those of the files of a set that is not sharded.

    Raises UserError where a shard is missing, is there twice or lacks one of its files.
    """
    found = {}
    for name in storage.names(folder):
        key = _shard_and_kind(name, names)
        if key in found:
            raise UserError(f"{folder}: {found[key]} and {name} are the same shard; keep one")
        if key:
            found[key] = name
    shards = 1 + max((shard for shard, _ in found), default=-1)
    for key in itertools.product(range(shards), (IMAGES, LABELS)):
        if key not in found:
            missing = _name(names, *key)
            raise UserError(
                f"{folder}: {missing} (or {missing}.gz) is missing; shards are numbered from 00000 "
                "on without gaps, and each has images and labels"
            )
    return shards


def count_digits(spark: SparkContext, folder: str, names: tuple[str, str]) -> np.ndarray:
    """How often each digit occurs in each shard, (shards, 10). Raises UserError."""

    def count_in(file: File) -> tuple[int, str | list[int]]:
        (shard, _), (name, content) = file
        try:
            labels = idx_files.read_labels(content, name)
            return shard, np.bincount(labels, minlength=10).tolist()
        except UserError as error:
            return shard, str(error)

    counted = dict(_files(spark, folder, names, names[LABELS:]).map(count_in).collect())
    in_order = [counted[shard] for shard in sorted(counted)]
    _raise_first([said for said in in_order if isinstance(said, str)])
    return np.array(in_order)


def read(
    spark: SparkContext,
    folder: str,
    names: tuple[str, str],
    shards: int,
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

    # What is wrong comes as a receipt: an exception would be tried four times and then told by a
    # traceback.
    read_shards = (
        _files(spark, folder, names, names)
        .repartitionAndSortWithinPartitions(partitions, lambda key: key[0] * partitions // shards)
        .mapPartitions(read_partition)
        .persist(StorageLevel.MEMORY_AND_DISK)
    )
    receipts = sorted(set(read_shards.keys().collect()))
    _raise_first([receipt.error for receipt in receipts if receipt.error])
    if len(receipts) != shards:
        raise UserError(f"{folder}: {shards} shards were there, {len(receipts)} could be read")
    hashes = {
        name: hashlib.sha256(
            "".join(f"{r.sha256[kind]}  {_name(names, r.shard, kind)}\n" for r in receipts).encode()
        ).hexdigest()
        for kind, name in enumerate(names)
    }
    return read_shards.map(_block), hashes


def write(
    folder: str, names: tuple[str, str], images: np.ndarray, labels: np.ndarray, shards: int
) -> None:
    """Write images (n, 784) and labels (n,) in equal shards, gzipped. Raises UserError."""
    bounds = [len(images) * shard // shards for shard in range(shards + 1)]
    # Backwards: if this is cut short, the first ones are missing, and nobody takes it for whole.
    for shard in tqdm(range(shards - 1, -1, -1), unit="shard", disable=None):
        share = slice(bounds[shard], bounds[shard + 1])
        for kind, values in ((LABELS, labels), (IMAGES, images)):
            place = storage.join(folder, f"{_name(names, shard, kind)}.gz")
            storage.write(place, idx_files.pack(values[share]))


def _name(names: tuple[str, str], shard: int, kind: int) -> str:
    return f"{names[kind]}-{shard:05}"


def _shard_and_kind(name: str, names: tuple[str, str]) -> tuple[int, int] | None:
    """Which shard a file belongs to, and as what; None if to none."""
    match = re.fullmatch(r"(.+)-(\d{5})(?:\.gz)?", name, re.ASCII)
    return (int(match[2]), names.index(match[1])) if match and match[1] in names else None


def _files(spark: SparkContext, folder: str, names: tuple[str, str], kinds: Sequence[str]) -> RDD:
    """The files of shards, of some of `names`, each as a `File`, read by the executors."""

    def keyed(file: tuple[str, bytes]) -> Iterator[File]:
        name = file[0].rpartition("/")[2]
        key = _shard_and_kind(name, names)
        if key:
            yield key, (storage.join(folder, name), file[1])

    glob = f"{{{','.join(kinds)}}}-[0-9]*"
    return spark.binaryFiles(storage.pattern(folder, glob)).flatMap(keyed)


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
