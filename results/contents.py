"""Checks of the files in a model folder, made before their content is used.

A model folder may come from other people, or from a damaged disk. Nothing is unpickled. Names and
shapes of arrays are checked before the arrays are read: a small file can unpack to huge arrays.
"""

import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from images.classes import is_class_name
from images.files import npy_header
from network.layers import Arrays, NetworkError, Shape
from network.sequential import read
from runtime.command_line import UserError, printable

MOST_MEMBERS = 1000  # arrays in a file
MOST_HEADER = 2**14  # bytes; NumPy itself refuses a header of more than 10,000
MISSING = object()  # a field that is not there


class Header(NamedTuple):
    """Shape and type of an array in a file, before the array is read."""

    shape: Shape
    dtype: np.dtype


class Unusable(ValueError):
    """The content of a file cannot be used; the text says why in a few words."""


def parse_run(text: bytes) -> dict[str, Any]:
    """The description of a run, as settings.json holds it. Raises Unusable."""
    try:
        run = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError):
        raise Unusable("not the settings of a run (not JSON, or cut off)") from None
    for path, (is_right, what) in (REQUIRED | OPTIONAL).items():
        value = _field(run, path)
        if not is_right(value) and (value is not MISSING or path in REQUIRED):
            raise Unusable(f"not the settings of a run ({path} is not {what})")
    for path, verb in (("data.classes", "name"), ("data.counts", "count")):
        values = _field(run, path)
        if values not in (MISSING, []) and len(values) != len(run["settings"]["digits"]):
            raise Unusable(f"not the settings of a run ({path} does not {verb} each class)")
    try:
        read(run["settings"]["network"], len(run["settings"]["digits"]))
    except NetworkError as error:
        raise Unusable(f"network: {error}") from None
    return run


def headers_of(content: bytes) -> dict[str, Header]:
    """The arrays of an .npz file by name, without their numbers. Raises Unusable."""
    headers = {}
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.namelist()
            if len(members) > MOST_MEMBERS:
                raise Unusable(f"it holds {len(members)} arrays")
            for name in members:
                with archive.open(name) as member:
                    shape, _, dtype = npy_header(io.BytesIO(member.read(MOST_HEADER)))
                headers[name.removesuffix(".npy")] = Header(shape, dtype)
    except Unusable:
        raise
    except Exception:  # zipfile and NumPy raise many kinds of errors for broken files
        raise Unusable("cut off, or not a model file") from None
    return headers


def arrays_of(content: bytes, names: Sequence[str]) -> Arrays:
    """The named arrays of an .npz file. Check their headers first. Raises Unusable."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return tuple(np.asarray(file[name]) for name in names)
    except Exception:  # as above
        raise Unusable("cut off, or not a model file") from None


def finite_floats(
    content: bytes, headers: Mapping[str, Header], names: Sequence[str], shapes: Sequence[Shape]
) -> Arrays:
    """The named arrays, if they are finite floats of these shapes. Raises Unusable."""
    missing = [name for name in names if name not in headers]
    if missing:
        raise Unusable(f"{', '.join(missing)} is missing")
    for name, shape in zip(names, shapes, strict=True):
        header = headers[name]
        if header.shape != shape:
            raise Unusable(f"{name} has shape {header.shape} where {shape} belongs")
        if header.dtype not in (np.float32, np.float64):
            raise Unusable(f"{name} holds {header.dtype}, not float32 or float64")
    arrays = arrays_of(content, names)
    for name, array in zip(names, arrays, strict=True):
        if not np.isfinite(array).all():
            raise Unusable(f"{name} holds numbers that are not finite")
    return arrays


def refuse(place: str, reason: Unusable, remedy: str) -> NoReturn:
    """Raise the UserError for a file that cannot be used."""
    raise UserError(f"{place}: {printable(str(reason))}; {remedy}") from None


def _field(run: Any, path: str) -> Any:
    value = run
    for name in path.split("."):
        if not isinstance(value, dict) or name not in value:
            return MISSING
        value = value[name]
    return value


def _refuse(constant: str) -> NoReturn:
    raise ValueError(constant)


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(text)
    return number


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_whole(value: Any, least: int = 0, most: int = 2**63 - 1) -> bool:
    return type(value) is int and least <= value <= most


def _is_count(value: Any) -> bool:
    return _is_whole(value, 1)


def _is_rate(value: Any) -> bool:
    return type(value) in (int, float) and value > 0


def _is_switch(value: Any) -> bool:
    return isinstance(value, bool)


def _is_dict_of_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_labels(value: Any) -> bool:
    if not isinstance(value, list) or not all(_is_whole(label, 0, 255) for label in value):
        return False
    return len(value) > 1 and value == sorted(set(value))


def _is_classes(value: Any) -> bool:
    if not isinstance(value, list) or not all(map(_is_text, value)):
        return False
    return all(map(is_class_name, value)) and len(set(value)) == len(value)


def _is_counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_whole, value))


# Each field that the program reads: its check, and what it must be.
Check = tuple[Callable[[Any], bool], str]
REQUIRED: dict[str, Check] = {
    "data": (_is_object, "an object"),
    "settings.digits": (_is_labels, "two or more ascending labels"),
    "settings.network": (_is_text, "a text"),
}
OPTIONAL: dict[str, Check] = {
    "data.place": (_is_text, "a text"),
    "data.name": (_is_text, "a text"),
    "data.sha256": (_is_dict_of_texts, "texts by name"),
    "data.classes": (_is_classes, "different names of 1 to 24 letters"),
    "data.counts": (_is_counts, "whole numbers of 0 or more"),
    "images": (_is_count, "a whole number above 0"),
    "settings.epochs": (_is_count, "a whole number above 0"),
    "settings.learning_rate": (_is_rate, "a number above 0"),
    "settings.transpose": (_is_switch, "true or false"),
    "settings.optimizer": (_is_text, "a text"),
    "settings.schedule": (_is_text, "a text"),
    "versions": (_is_dict_of_texts, "texts by name"),
}
