"""Find a data set, and read what the driver reads of it.

A data set is a folder, or a URI of one, with IDX files in it, whole or in shards (see shards).
"""

import os
import shutil
import textwrap
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from images import download, idx_files, offline_digits, shards
from runtime import storage
from runtime.command_line import UserError, counted, say

DEFAULT_FOLDER = Path("data/mnist")
CLASSES = "classes.txt"  # one name a line, for data other than digits
LONGEST_NAME = 24
IDX_NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def find_data(data: str | None) -> str:
    """The place to read from: a folder, a URI, or "offline" for the offline digits.

    `data` is such a place, or "mnist", or None. None and "mnist" take data/mnist, or download MNIST
    into it. If that fails, None gives the offline digits, with a notice. Raises UserError if there
    is no such place, or if "mnist" cannot be had.
    """
    if data not in (None, "mnist"):
        # Only `load` can look at a URI: that needs Spark, which does not run yet.
        if not (data == "offline" or storage.is_uri(data)):
            refuse_file(data)
            if not storage.exists(data):
                raise UserError(
                    f"--data {data}: no such folder; it should hold MNIST's four IDX files"
                )
        return data
    try:
        if any(_find_file(str(DEFAULT_FOLDER), name) is None for name in download.SHA256):
            download.download_mnist(DEFAULT_FOLDER)
        return str(DEFAULT_FOLDER)
    except UserError as error:
        if data == "mnist":
            raise
        say(_offline_notice(error))
        return "offline"


def read_part(
    place: str, part: str, digits: Sequence[int] = range(10)
) -> tuple[np.ndarray, np.ndarray, dict[str, str]]:
    """Images (n, 784), labels (n,) and the SHA-256 of the unpacked content of both files.

    The offline digits have no files and no hashes, and only `digits` are drawn. Raises UserError if
    a file is missing or broken.
    """
    if place == "offline":
        return *offline_digits.draw_part(part, digits), {}
    images_file, labels_file = (_read_file(place, name) for name in IDX_NAMES[part])
    images, labels = idx_files.read_pair(images_file, labels_file)
    contents = zip(IDX_NAMES[part], (images, labels), strict=True)
    return images, labels, {name: idx_files.sha256(values) for name, values in contents}


def name_of(place: str, sha256: dict[str, str]) -> str:
    """What a data set is called: MNIST only if its hashes say so."""
    if place == "offline":
        return offline_digits.NAME
    is_mnist = all(download.SHA256.get(file) == sha for file, sha in sha256.items())
    return "MNIST" if is_mnist else place


def read_classes(place: str) -> list[str]:
    """The names of the labels 0 to 9, from classes.txt at a place; [] if there is none.

    Raises UserError unless the file has ten lines, each with a different name.
    """
    file = storage.join(place, CLASSES)
    if place == "offline" or not storage.exists(file):
        return []
    text = storage.read(file).decode("utf-8-sig", errors="replace")
    names = [line.strip() for line in text.splitlines()]
    fitting = [name for name in names if name.isprintable() and 0 < len(name) <= LONGEST_NAME]
    if len(names) != 10 or len(set(fitting)) != 10:
        raise UserError(
            f"{file}: it names the labels 0 to 9 in ten lines, each another name of at most "
            f"{LONGEST_NAME} letters; {counted(len(set(fitting)), 'such name')} in "
            f"{counted(len(names), 'line')}"
        )
    return names


def names_of(place: str, digits: Sequence[int]) -> tuple[str, ...]:
    """What these digits stand for, where classes.txt says so; else ()."""
    names = read_classes(place)
    return tuple(names[digit] for digit in digits) if names else ()


def check_counts(counts: np.ndarray, digits: Sequence[int], where: str) -> None:
    """Raise UserError if one of the digits does not occur; counts (10,) are those of the labels."""
    for digit in digits:
        if counts[digit] == 0:
            raise UserError(f"digit {digit} does not occur in {where}; see --digits")


def refuse_file(place: str) -> None:
    """Raise UserError if a place is a file: a data set is a folder."""
    if storage.is_file(place):
        folder = os.path.dirname(place) or "."
        raise UserError(f"--data {place}: a file; name the folder that it lies in, {folder}")


def find_shards(place: str, part: str) -> dict[shards.Key, str]:
    """The files of a part that lies at a place in shards; {} if it does not.

    Raises UserError if a shard is missing, or if the part is there as a whole, too.
    """
    if place == "offline":
        return {}
    refuse_file(place)
    found = shards.find(place, IDX_NAMES[part])
    for name in IDX_NAMES[part]:
        if found and _find_file(place, name) is not None:
            raise UserError(f"{place}: {name} is there as a whole and in shards; keep one of them")
    return found


def _read_file(folder: str, name: str) -> tuple[str, bytes]:
    """The place and the content of an IDX file in a folder, gzipped or not."""
    file = _find_file(folder, name)
    if file is None:
        raise UserError(
            f"{folder}: {name} (or {name}.gz) is missing; a data folder holds "
            f"{', '.join(download.SHA256)}, gzipped or not"
        )
    return file, storage.read(file)


def _find_file(folder: str, name: str) -> str | None:
    """The place of an IDX file in a folder, gzipped or not; None if it is not there."""
    present = storage.names(folder)
    for candidate in (name, f"{name}.gz"):
        if candidate in present:
            return storage.join(folder, candidate)
    return None


def _offline_notice(reason: UserError) -> str:
    width = min(98, shutil.get_terminal_size().columns)
    texts = "NOT MNIST: this run uses digits drawn from fonts; MNIST is not here.", str(reason)
    inside = textwrap.TextWrapper(width - 3, break_on_hyphens=False)
    lines = [line for text in texts for line in inside.wrap(text)]
    frame = "!" * width
    return "\n".join([frame, *(f"!! {line}" for line in lines), frame])
