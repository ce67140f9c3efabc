"""MNIST's own file format, IDX: bytes to arrays and back, gzipped or not.

An IDX file is a header of big-endian 32-bit numbers (a magic number, then each dimension) followed
by the values, one byte each. Source: the page of the MNIST database (LeCun, Cortes, Burges).
"""

import gzip
import hashlib
import io
import math
import struct
import zlib

import numpy as np

from runtime.command_line import UserError

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
SIDE = 28
# A gzip file can unpack to a thousand times its size. MNIST unpacks to five times; this is the
# most that is believed, beside a constant that lets small files of few different values pass.
MOST_UNPACKED_RATIO, UNPACKED_ALLOWANCE = 100, 2**26


def read_images(content: bytes, name: str) -> np.ndarray:
    """The images of an IDX file, gzipped or not: uint8 (n, 784).

    Raises UserError, with `name` in it, for anything but whole 28x28 images.
    """
    values = _read_idx(content, name, IMAGES_MAGIC, "images", (SIDE, SIDE))
    return values.reshape(-1, SIDE * SIDE)


def read_labels(content: bytes, name: str) -> np.ndarray:
    """The labels of an IDX file, gzipped or not: uint8 (n,), each 0 to 9.

    Raises UserError, with `name` in it, for anything else.
    """
    labels = _read_idx(content, name, LABELS_MAGIC, "labels", ())
    if labels.max() > 9:
        where = int(np.argmax(labels > 9))
        raise UserError(f"{name}: label {where} is {labels[where]}; labels are the digits 0 to 9")
    return labels


def read_pair(
    images_file: tuple[str, bytes], labels_file: tuple[str, bytes]
) -> tuple[np.ndarray, np.ndarray]:
    """The images and the labels of two files, each (name, content), that belong together.

    Raises UserError, with a name, if one of them is not as above or if their counts differ.
    """
    (images_name, images_content), (labels_name, labels_content) = images_file, labels_file
    images = read_images(images_content, images_name)
    labels = read_labels(labels_content, labels_name)
    if len(images) != len(labels):
        raise UserError(
            f"{images_name}: {len(images)} images but {len(labels)} labels in {labels_name}; "
            "the two files do not belong together"
        )
    return images, labels


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
        return struct.pack(">4I", IMAGES_MAGIC, len(values), SIDE, SIDE)
    return struct.pack(">2I", LABELS_MAGIC, len(values))


def _read_idx(
    content: bytes, name: str, magic: int, kind: str, shape: tuple[int, ...]
) -> np.ndarray:
    """The values of an IDX file as one flat uint8 array; `shape` is what each of them must have."""
    packed = content[:2] == b"\x1f\x8b"
    file = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
    try:
        header_size = 4 * (2 + len(shape))
        header = file.read(header_size)
        if len(header) < header_size:
            raise UserError(f"{name}: ends inside its header; fetch the file again")
        found, count, *dimensions = struct.unpack(f">{header_size // 4}I", header)
        if found != magic:
            raise UserError(
                f"{name}: magic number {found} where an IDX file of {kind} has {magic}; "
                "is this the right file?"
            )
        if tuple(dimensions) != shape:
            these, those = ("x".join(map(str, sides)) for sides in (dimensions, shape))
            raise UserError(f"{name}: {kind} are {these}; this network reads {those}")
        size = count * math.prod(shape)
        if size == 0:
            raise UserError(f"{name}: holds no {kind}")
        if packed and size > len(content) * MOST_UNPACKED_RATIO + UNPACKED_ALLOWANCE:
            raise UserError(
                f"{name}: {len(content):,} bytes claim to unpack to {size:,}; not believed"
            )
        # One byte more than promised: finds what is too long, and makes gzip check its CRC.
        values = _read_at_most(file, size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error}); fetch it again") from None
    if len(values) != size:
        state = "is cut off" if len(values) < size else "is too long"
        raise UserError(f"{name}: {state}: its header promises {count:,} {kind}; fetch it again")
    return np.frombuffer(values, np.uint8)


def _read_at_most(file: io.BufferedIOBase, size: int) -> bytearray:
    """So many bytes, or all there are; takes memory for those that are there, not for `size`."""
    values = bytearray()
    while more := file.read(min(size - len(values), 2**18)):
        values += more
    return values
