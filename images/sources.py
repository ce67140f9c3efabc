"""Find a data set: the places where it may be, and the layouts in common use."""

import os
import re
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from images import csv_files, download, files, folders, idx_folder, keras, offline_digits, parquet
from images.classes import CLASSES, read_names
from images.found import PART, PARTS, Found, Whole
from runtime import modules, storage
from runtime.command_line import UserError, say

OFFLINE = "offline"
IDX_NAMES = idx_folder.NAMES
# Each looks into a folder: (folder, names in it, name of the set or "", part) -> Found or None.
LAYOUTS = (
    *(idx_folder.find, keras.find_mnist, csv_files.find, parquet.find, folders.find),
    keras.find,  # an .npz file beside any of these may be anything
)
MOST_SUBFOLDERS = 100  # that are looked into


def default_folder() -> Path:
    """data/mnist in the project's folder; in the current folder if modules.zip is running."""
    folder = Path("data/mnist")
    stands_there = modules.installed_as_zip() or modules.ROOT.resolve() == Path.cwd()
    return folder if stands_there else modules.ROOT / folder


def find_data(data: str | None, argument: str = "--data") -> str:
    """The place to read from: a folder, a URI, or "offline" for the offline digits.

    `data` is such a place, or "mnist", or None. None and "mnist" take `default_folder()`, or
    download MNIST into it. If that fails, None gives the offline digits, with a notice, unless that
    folder holds any files. Raises UserError, which names the argument, if there is no such place,
    or if "mnist" cannot be had.
    """
    if data not in (None, "mnist"):
        # Only `find` can look at a URI: that needs Spark, which does not run yet.
        if not (data == OFFLINE or storage.is_uri(data)):
            refuse_file(data, argument)
            if not os.path.isdir(_folder_and_set(data)[0]):
                raise UserError(f"{argument} {data}: no such folder; it should hold a data set")
        return data
    folder = default_folder()
    place = str(folder)
    missing = _what_is_missing(place)
    if missing is None:
        return place
    try:
        download.download_mnist(folder)
        return place
    except UserError as error:
        if _visible(storage.names(place)):
            raise UserError(f"{missing}; {error}; --data offline uses drawn digits") from None
        if data == "mnist":
            raise
        say(_offline_notice(error))
        return OFFLINE


def find(place: str, part: str) -> Found:
    """A part ("train" or "test") of the data set at a place. Raises UserError if it is not there.

    The data set lies in the folder, in a subfolder, or in `raw` of one. Of several sets in one
    folder, `place` names one: FOLDER/emnist-letters.
    """
    if place == OFFLINE:
        return _offline(part)
    refuse_file(place)
    folder, wanted = _folder_and_set(place)
    here = _find_in(folder, wanted, part)
    if here is not None:
        return here
    below: dict[str, Found] = {}
    errors: dict[str, UserError] = {}
    sets: set[str] = set()
    names = _visible(storage.names(folder))
    above = [name for name in names if name == CLASSES]
    for name in names[:MOST_SUBFOLDERS]:
        outer, its_set = storage.join(folder, name), re.sub(PART, "", name.lower())
        for inner in (outer, storage.join(outer, "raw")):
            try:
                result = _find_in(inner, wanted, part)
            except UserError as error:
                errors[its_set] = error
                continue
            if result is not None:
                sets.add(its_set)
                below[inner] = replace(result, names=result.names or read_names(folder, above))
    for its_set, missing in errors.items():
        if its_set not in sets:  # else the parts lie side by side, as in my_train and my_test
            raise missing
    if len(below) > 1:
        raise UserError(f"{place}: holds several data sets; name one of {', '.join(below)}")
    if not below:
        raise UserError(f"{place}: no data set in any known layout; {files.told(folder, names)}")
    return next(iter(below.values()))


def name_of(place: str, sha256: dict[str, str]) -> str:
    """What a data set is called: MNIST only if its hashes say so."""
    if place == OFFLINE:
        return offline_digits.NAME
    is_mnist = all(download.SHA256.get(file) == sha for file, sha in sha256.items())
    return "MNIST" if is_mnist else place


def refuse_file(place: str, argument: str = "") -> None:
    """Raise UserError, with the argument, if a place is a file: a data set is a folder."""
    if storage.is_file(place):
        folder = os.path.dirname(place) or "."
        named = f"{argument} {place}".strip()
        raise UserError(f"{named}: a file; name the folder that it lies in, {folder}")


def _folder_and_set(place: str) -> tuple[str, str]:
    """The folder to look into, and which of its sets is asked for, or ""."""
    if storage.names(place) or storage.exists(place):
        return place, ""
    folder, _, wanted = place.rstrip("/").rpartition("/")
    folder = folder or "."
    of_the_set = re.compile(rf"{re.escape(wanted)}[-_. ]{PART}[-_. ].*", re.IGNORECASE)
    if wanted and any(map(of_the_set.fullmatch, storage.names(folder))):
        return folder, wanted.lower()
    return place, ""


def _find_in(folder: str, wanted: str, part: str) -> Found | None:
    """The part that lies in this folder itself, in whatever layout; None if nothing is there."""
    names = _visible(storage.names(folder))
    for layout in LAYOUTS:
        found = layout(folder, names, wanted, part)
        if found is not None:
            return replace(found, names=found.names or read_names(folder, names, wanted))
    return None


def _what_is_missing(place: str) -> str | None:
    """Why there is no complete data set at a place, None if there is one."""
    try:
        for part in PARTS:
            find(place, part)
    except UserError as error:
        return str(error)
    return None


def _visible(names: Sequence[str]) -> list[str]:
    return [
        name for name in names if not name.startswith((".", "_")) and not name.endswith(".part")
    ]


def _offline(part: str) -> Whole:
    """The drawn digits; only those asked for are drawn."""
    counts = np.zeros((1, 256), int)
    counts[0, :10] = offline_digits.COUNTS[part]
    return Whole(
        layout=offline_digits.NAME,
        files=(),
        count=lambda _: counts,
        read=lambda digits: (*offline_digits.draw_part(part, digits), {}),
    )


def _offline_notice(reason: UserError) -> str:
    width = min(98, shutil.get_terminal_size().columns)
    texts = "NOT MNIST: this run uses digits drawn from fonts; MNIST is not here.", str(reason)
    inside = textwrap.TextWrapper(width - 3, break_on_hyphens=False)
    lines = [line for text in texts for line in inside.wrap(text)]
    frame = "!" * width
    return "\n".join([frame, *(f"!! {line}" for line in lines), frame])
