"""MNIST as Keras has it: `mnist.npz`, with the arrays x_train, y_train, x_test and y_test.

Nothing in it is unpickled, and sizes are checked before anything is unpacked.
"""

import hashlib
import zipfile
from collections.abc import Sequence

import numpy as np

from images import files
from images.blocks import SIDE
from images.found import Found, Whole
from images.idx_files import MOST_BYTES, MOST_UNPACKED_RATIO, UNPACKED_ALLOWANCE
from runtime import storage
from runtime.command_line import UserError


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in the only .npz file of a folder; None if there is not one."""
    chosen = [name for name in names if name.lower().endswith(".npz")]
    if wanted or len(chosen) != 1:
        return None
    place = storage.join(folder, chosen[0])

    def read(_) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
        images, labels = read_array(place, f"x_{part}"), read_array(place, f"y_{part}")
        if images.shape[1:] not in ((SIDE, SIDE), (SIDE * SIDE,)) or images.dtype != np.uint8:
            raise UserError(f"{place}: x_{part} is {_described(images)}, not 28x28 bytes an image")
        if labels.shape != (len(images),) or labels.dtype.kind not in "iu" or not len(labels):
            raise UserError(
                f"{place}: y_{part} is {_described(labels)}, not one label for each of "
                f"{len(images)} images"
            )
        if labels.min() < 0 or labels.max() > 255:
            raise UserError(f"{place}: y_{part} has labels outside 0 to 255")
        pair = images.reshape(-1, SIDE * SIDE), labels.astype(np.uint8)
        kinds = zip((f"x_{part}", f"y_{part}"), pair, strict=True)
        return *pair, {name: hashlib.sha256(values.tobytes()).hexdigest() for name, values in kinds}

    def count(_) -> np.ndarray:
        return np.bincount(read(())[1], minlength=256)[np.newaxis]

    return Whole(layout="Keras's mnist.npz", files=(place,), count=count, read=read)


def find_mnist(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in mnist.npz; None if there is none."""
    return find(folder, [name for name in names if name.lower() == "mnist.npz"], wanted, part)


def read_array(place: str, name: str) -> np.ndarray:
    """An array of an .npz file, without any objects. Raises UserError, with the place."""
    with files.opened(place) as file:
        if file.read(4) != b"PK\3\4":
            file.seek(0)
            kind = files.kind_of(file.read(files.HEAD))
            raise UserError(f"{place}: it should be an .npz file, but is {kind}")
        try:
            with zipfile.ZipFile(file) as archive:
                if f"{name}.npy" not in archive.namelist():
                    raise UserError(f"{place}: has no array {name}; Keras's mnist.npz has")
                member = archive.getinfo(f"{name}.npy")
                believed = member.compress_size * MOST_UNPACKED_RATIO + UNPACKED_ALLOWANCE
                if member.file_size > min(believed, MOST_BYTES):
                    raise UserError(
                        f"{place}: {name} claims to unpack to {member.file_size:,} bytes; too many"
                    )
                with archive.open(member) as values:
                    return _read_npy(values, member.file_size)
        except UserError:
            raise
        except Exception as error:  # zipfile and NumPy raise many kinds of errors for broken files
            raise UserError(f"{place}: {name} cannot be read ({error})") from None


def _read_npy(file, size: int) -> np.ndarray:
    """The array; ValueError unless the header promises what the member holds."""
    shape, by_columns, dtype = files.npy_header(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    count = int(np.prod(shape, dtype=object))
    values = file.read(size)
    if len(values) != count * dtype.itemsize:
        raise ValueError(f"{len(values)} bytes where its header promises {count} {dtype} values")
    return np.frombuffer(values, dtype).reshape(shape, order="F" if by_columns else "C")


def _described(values: np.ndarray) -> str:
    return f"{'x'.join(map(str, values.shape))} {values.dtype}"
