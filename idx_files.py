"""MNIST's own file format, IDX: bytes to arrays and back, gzipped or not.

An IDX file is a header of big-endian 32-bit numbers (a magic number, then each dimension) followed
by the values, one byte each. Source: the page of the MNIST database (LeCun, Cortes, Burges).
"""

import gzip
import hashlib
import io
import struct
import zlib

import numpy as np

from command_line import UserError

IMAGES_MAGIC, LABELS_MAGIC = 2051, 2049
SIDE = 28
# A gzip file can unpack to a thousand times its size. MNIST unpacks to five times; this is the
# most that is believed, beside a constant that lets small files of few different values pass.
MOST_UNPACKED_RATIO, UNPACKED_ALLOWANCE = 100, 2**26


def read_images(content: bytes, name: str) -> np.ndarray:
    """The images of an IDX file, gzipped or not: uint8 (n, 784).

    Raises UserError, with `name` in it, for anything but whole 28x28 images.
    """
    (count, height, width), values = _read_idx(content, name, IMAGES_MAGIC, "images", _image_size)
    return values.reshape(count, height * width)


def read_labels(content: bytes, name: str) -> np.ndarray:
    """The labels of an IDX file, gzipped or not: uint8 (n,), each 0 to 9.

    Raises UserError, with `name` in it, for anything else.
    """
    _, labels = _read_idx(content, name, LABELS_MAGIC, "labels", lambda dimensions, name: 1)
    if labels.max() > 9:
        where = int(np.argmax(labels > 9))
        raise UserError(f"{name}: label {where} is {labels[where]}; labels are the digits 0 to 9")
    return labels


def encode(values: np.ndarray) -> bytes:
    """The bytes of an IDX file of images uint8 (n, 784) or labels uint8 (n,), not gzipped."""
    return _header(values) + values.tobytes()


def sha256(values: np.ndarray) -> str:
    """The SHA-256 of the unpacked IDX file that holds these images or labels."""
    digest = hashlib.sha256(_header(values))
    digest.update(np.ascontiguousarray(values))
    return digest.hexdigest()


def _header(values: np.ndarray) -> bytes:
    if values.ndim == 2:
        return struct.pack(">4I", IMAGES_MAGIC, len(values), SIDE, SIDE)
    return struct.pack(">2I", LABELS_MAGIC, len(values))


def _image_size(dimensions: tuple[int, ...], name: str) -> int:
    if dimensions[1:] != (SIDE, SIDE):
        height, width = dimensions[1:]
        raise UserError(f"{name}: images are {height}x{width}; this network reads 28x28")
    return SIDE * SIDE


def _read_idx(content: bytes, name: str, magic: int, kind: str, size_of_one):
    """The dimensions after the magic number, and the values as one flat uint8 array."""
    packed = content[:2] == b"\x1f\x8b"
    file = gzip.GzipFile(fileobj=io.BytesIO(content)) if packed else io.BytesIO(content)
    try:
        header_size = 4 * (4 if magic == IMAGES_MAGIC else 2)
        header = file.read(header_size)
        if len(header) < header_size:
            raise UserError(f"{name}: ends inside its header; fetch the file again")
        found, *dimensions = struct.unpack(f">{header_size // 4}I", header)
        if found != magic:
            raise UserError(
                f"{name}: magic number {found} where an IDX file of {kind} has {magic}; "
                "is this the right file?"
            )
        count = dimensions[0]
        size = count * size_of_one(tuple(dimensions), name)
        if size == 0:
            raise UserError(f"{name}: holds no {kind}")
        if packed and size > len(content) * MOST_UNPACKED_RATIO + UNPACKED_ALLOWANCE:
            raise UserError(
                f"{name}: {len(content):,} bytes claim to unpack to {size:,}; not believed"
            )
        # One byte more than promised: finds what is too long, and makes gzip check its CRC.
        values = file.read(size + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise UserError(f"{name}: damaged gzip file ({error}); fetch it again") from None
    if len(values) != size:
        state = "is cut off" if len(values) < size else "is too long"
        raise UserError(f"{name}: {state}: its header promises {count:,} {kind}; fetch it again")
    return tuple(dimensions), np.frombuffer(values, np.uint8)
