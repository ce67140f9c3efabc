"""MNIST's own file format, IDX: bytes to arrays and back, gzipped or not.

An IDX file is a header of big-endian 32-bit numbers (a magic number, then each dimension) followed
by the values, one byte each. Source: the page of the MNIST database (LeCun, Cortes, Burges).
"""

import contextlib
import gzip
import hashlib
import io
import math
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from images.blocks import SIDE
from images.files import kind_of
from runtime.command_line import UserError

MOST_BYTES = 2**30  # of values; more are read a shard at a time, by the executors
# A gzip file can unpack to a thousand times its size. MNIST unpacks to five times. A file that
# promises more than this ratio is refused; the allowance is for small files of few values.
MOST_UNPACKED_RATIO, UNPACKED_ALLOWANCE = 100, 2**26


class Kind(NamedTuple):
    """What the values of an IDX file are: its magic number, their name and the shape of one."""

    magic: int
    name: str
    shape: tuple[int, ...]


IMAGES, LABELS = Kind(2051, "images", (SIDE, SIDE)), Kind(2049, "labels", ())
Source = bytes | BinaryIO  # what a file holds, or the open file
File = tuple[str, Source]  # with its name


def read_images(source: Source, name: str) -> np.ndarray:
    """The images of an IDX file, gzipped or not: uint8 (n, 784). Raises UserError, with `name`."""
    (images,) = stream(source, name, IMAGES)
    return images


def read_labels(source: Source, name: str) -> np.ndarray:
    """The labels of an IDX file, gzipped or not: uint8 (n,). Raises UserError, with `name`."""
    (labels,) = stream(source, name, LABELS)
    return labels


def check_pair(images_file: File, labels_file: File) -> None:
    """Raise UserError, with a name, if two headers do not promise as many images as labels."""
    counts = []
    for (name, source), kind in zip((images_file, labels_file), (IMAGES, LABELS), strict=True):
        with _damage_told(name):
            counts.append(_open(source, name, kind)[1])
    if counts[0] != counts[1]:
        raise UserError(
            f"{images_file[0]}: {counts[0]} images but {counts[1]} labels in {labels_file[0]}; "
            "the two files do not belong together"
        )


def stream_pair(
    images_file: File, labels_file: File, rows: int | None = None
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images and labels of two files that belong together, as `stream` gives them."""
    check_pair(images_file, labels_file)
    (images_name, images), (labels_name, labels) = images_file, labels_file
    pieces = stream(images, images_name, IMAGES, rows), stream(labels, labels_name, LABELS, rows)
    yield from zip(*pieces, strict=True)


def stream(source: Source, name: str, kind: Kind, rows: int | None = None) -> Iterator[np.ndarray]:
    """The values in pieces of so many rows, images (n, 784) or labels (n,); None: in one piece.

    Raises UserError, if need be after the last piece, when the file turns out to be too long.
    """
    size_of_one = math.prod(kind.shape)
    with _damage_told(name):
        unpacked, count = _open(source, name, kind)
        if rows is None and count * size_of_one > MOST_BYTES:
            raise UserError(
                f"{name}: {count:,} {kind.name} are too many to be read at once; split them with "
                "`data_loader.py shard`"
            )
        rows = rows or count
        for start in range(0, count, rows):
            size = min(rows, count - start) * size_of_one
            values = _read_at_most(unpacked, size)
            if len(values) < size:
                raise UserError(_wrong_size(name, "is cut off", count, kind))
            piece = np.frombuffer(values, np.uint8)
            yield piece.reshape(-1, size_of_one) if kind.shape else piece
        if unpacked.read(1):  # which makes gzip check its CRC, too
            raise UserError(_wrong_size(name, "is too long", count, kind))


def encode(values: np.ndarray) -> bytes:
    """The bytes of an IDX file of images uint8 (n, 784) or labels uint8 (n,), not gzipped."""
    return _header(values) + values.tobytes()


def pack(values: np.ndarray) -> bytes:
    """The same, gzipped: the same bytes for the same values."""
    return gzip.compress(encode(values), compresslevel=6, mtime=0)


def sha256(values: np.ndarray) -> str:
    """The SHA-256 of the unpacked IDX file that holds these images or labels."""
    digest = hashlib.sha256(_header(values))
    digest.update(np.ascontiguousarray(values).data)
    return digest.hexdigest()


def _header(values: np.ndarray) -> bytes:
    if values.ndim == 2:
        return struct.pack(">4I", IMAGES.magic, len(values), SIDE, SIDE)
    return struct.pack(">2I", LABELS.magic, len(values))


def _open(source: Source, name: str, kind: Kind) -> tuple[gzip.GzipFile | BinaryIO, int]:
    """The unpacked file behind its header, and how many values the header promises.

    Raises UserError for a header of another kind of file, or one that cannot be true.
    """
    file = io.BytesIO(source) if isinstance(source, bytes) else source
    stored = file.seek(0, io.SEEK_END)
    file.seek(0)
    packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    unpacked = gzip.GzipFile(fileobj=file) if packed else file
    header_size = 4 * (2 + len(kind.shape))
    header = unpacked.read(header_size)
    if header[:4] != struct.pack(">I", kind.magic):
        found = kind_of(header + unpacked.read(512), " in a gzip file" if packed else "")
        raise UserError(f"{name}: it should be an IDX file of {kind.name}, but is {found}")
    if len(header) < header_size:
        raise UserError(f"{name}: ends inside its header; fetch the file again")
    count, *dimensions = struct.unpack(f">{header_size // 4 - 1}I", header[4:])
    if tuple(dimensions) != kind.shape:
        these, those = ("x".join(map(str, sides)) for sides in (dimensions, kind.shape))
        raise UserError(f"{name}: {kind.name} are {these}; this network reads {those}")
    size = count * math.prod(kind.shape)
    if size == 0:
        raise UserError(f"{name}: holds no {kind.name}")
    if packed and size > stored * MOST_UNPACKED_RATIO + UNPACKED_ALLOWANCE:
        raise UserError(f"{name}: refused: {stored:,} bytes would unpack to {size:,}")
    if not packed and stored - header_size != size:
        state = "is cut off" if stored - header_size < size else "is too long"
        raise UserError(_wrong_size(name, state, count, kind))
    return unpacked, count


@contextlib.contextmanager
def _damage_told(name: str) -> Iterator[None]:
    try:
        yield
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error}); fetch it again") from None


def _wrong_size(name: str, state: str, count: int, kind: Kind) -> str:
    return f"{name}: {state}: its header promises {count:,} {kind.name}; fetch it again"


def _read_at_most(file: gzip.GzipFile | BinaryIO, size: int) -> bytearray:
    """So many bytes, or all there are; takes memory for those that are there, not for `size`."""
    values = bytearray()
    while more := file.read(min(size - len(values), 2**18)):
        values += more
    return values
