"""Files from others: only regular files are opened, and their first bytes tell their kind."""

import io
from collections.abc import Sequence
from typing import IO, BinaryIO

import numpy as np

from runtime import storage
from runtime.command_line import UserError

HEAD = 512  # bytes of a file that say what it is
MOST_AT_A_URI = 2**31 - 1  # bytes: Java hands over the content of a file in one array
NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
# How files begin, what they are, and what to do about one that was not expected.
KINDS = (
    (b"version https://git-lfs", "a Git LFS pointer", "run `git lfs pull`"),
    (b"\x1f\x8b", "a gzip file", "unpack it"),
    (b"PK\x03\x04", "a zip archive", "unpack it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it"),
    (b"Rar!", "a rar archive", "unpack it"),
    (b"BZh", "a bzip2 file", "unpack it"),
    (b"\xfd7zXZ", "an xz file", "unpack it"),
    (b"\x00\x00\x08\x03", "an IDX file of images", ""),
    (b"\x00\x00\x08\x01", "an IDX file of labels", ""),
    (b"\x93NUMPY", "a NumPy array", ""),
    (b"\x89HDF", "an HDF5 file", ""),
    (b"PAR1", "a Parquet file", ""),
    (b"\x89PNG", "a PNG image", ""),
    (b"\xff\xd8\xff", "a JPEG image", ""),
    (b"GIF8", "a GIF image", ""),
    (b"%PDF", "a PDF document", ""),
    (b"\x80", "a Python pickle", ""),
    (b"<", "a web page", "fetch the file again"),
)


def kind_of(head: bytes, inside: str = "") -> str:
    """What a file with these first bytes is, such as "a zip archive; unpack it".

    inside: more words, on what the bytes were found in.
    """
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for beginning, kind, advice in KINDS:
        if head.startswith(beginning) or text.startswith(beginning):
            return f"{kind}{inside}" + (f"; {advice}" if advice else "")
    if not head:
        return f"an empty file{inside}"
    if head[257:262] == b"ustar":
        return f"a tar archive{inside}; unpack it"
    if not any(head):
        return f"nothing but zeros{inside}"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in text):
        return f"a text file{inside}"
    return f"a file of an unknown kind{inside}, which begins with {head[:4].hex(' ')}"


def npy_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The shape of the array in a .npy file, whether it lies by columns, and its type.

    The numbers follow in the file. Raises ValueError.
    """
    version = np.lib.format.read_magic(file)
    if version not in NPY_HEADERS:
        raise ValueError(f"version {version} of the .npy format")
    return NPY_HEADERS[version](file)


def opened(place: str) -> BinaryIO:
    """A file, open for reading. Raises UserError for a pipe, a device or a missing file."""
    if storage.is_uri(place):
        return io.BytesIO(storage.read(place, MOST_AT_A_URI))
    return storage.open_regular(place)


def kind_at(place: str) -> str:
    """What lies at a place, in words as `kind_of` gives."""
    if not storage.is_file(place):
        return "a folder"
    try:
        return kind_of(storage.read_start(place, HEAD))
    except UserError:
        return "not a file that can be read"


def told(folder: str, names: Sequence[str]) -> str:
    """What some names in a folder are, the first four of them, for an error message."""
    if not names:
        return "it is empty"
    kinds = [f"{name} ({kind_at(storage.join(folder, name))})" for name in names[:4]]
    more = [f"{len(names) - 4} more"] if len(names) > 4 else []
    return f"it holds {', '.join(kinds + more)}"
