"""What a run leaves in its model folder: parameters.npz, history.csv, settings.json, metrics.json.

Scores on other data than the model's own are in metrics-PLACE.json. Nothing here is ever unpickled,
and every file appears whole or not at all (see `storage`).
"""

import csv
import io
import json
import math
import platform
import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from network.layers import Arrays, NetworkError, Shape
from network.sequential import Network, parameter_names, parameter_shapes, read
from runtime import storage
from runtime.command_line import UserError

PARAMETERS, HISTORY, SETTINGS, METRICS = (
    "parameters.npz",
    "history.csv",
    "settings.json",
    "metrics.json",
)


class Epoch(NamedTuple):
    """A line of history.csv: mean error and share of right answers before the update, in [0, 1].

    The last two are of the images of --validation, after the update; nan without it.
    """

    epoch: int
    cost: float
    accuracy: float
    batch_size: int
    seconds: float
    validation_cost: float = math.nan
    validation_accuracy: float = math.nan


def best_epoch(history: Sequence[Epoch]) -> int:
    """The number of the epoch with the least validation cost."""
    return min(history, key=lambda epoch: epoch.validation_cost).epoch


class Trained(NamedTuple):
    """A network that has learned: what `train.fit` gives, and `predict.py` reads."""

    network: Network
    parameters: Arrays
    digits: list[int]
    history: list[Epoch]
    classes: Sequence[str] = ()  # what the digits stand for, where the data says so

    def names(self) -> list[str]:
        """What tables and figures call the classes: their names, or the digits themselves."""
        return list(self.classes) or list(map(str, self.digits))


def words_for(names: Iterable[str]) -> tuple[str, str]:
    """What one of these classes is, and what several are: digits, where nothing names them."""
    if all(name.isdecimal() for name in names):
        return "digit", "digits"
    return "class", "classes"


def save_parameters(folder: str, parameters: Arrays) -> None:
    """Write W1, B1, W2, B2, ..."""
    names = parameter_names(len(parameters))
    storage.write(storage.join(folder, PARAMETERS), npz(dict(zip(names, parameters, strict=True))))


def load_parameters(folder: str, network: Network) -> Arrays:
    """Read W1, B1, W2, B2, ... Raises UserError unless they are whole, finite, the network's."""
    place = storage.join(folder, PARAMETERS)
    found = arrays(storage.read(place), place)
    names = parameter_names(len(parameter_shapes(network)))
    missing = [name for name in names if name not in found]
    if missing:
        raise UserError(f"{place}: {', '.join(missing)} is missing; train the model again")
    more = sorted(found.keys() - set(names))
    if more:
        raise UserError(f"{place}: {', '.join(more)} is of another network; train the model again")
    parameters = tuple(found[name] for name in names)
    check_parameters(parameters, parameter_shapes(network), place)
    return parameters


def check_parameters(parameters: Arrays, shapes: Sequence[Shape], place: str) -> None:
    """Raise UserError, with `place` in it, unless shapes fit and all numbers are finite floats."""
    names = parameter_names(len(parameters))
    for name, array, shape in zip(names, parameters, shapes, strict=True):
        if array.shape != shape:
            raise UserError(f"{place}: {name} has shape {array.shape} where {shape} belongs")
        if array.dtype not in (np.float32, np.float64):
            raise UserError(f"{place}: {name} holds {array.dtype}, not float32 or float64")
        if not np.isfinite(array).all():
            raise UserError(f"{place}: {name} holds numbers that are not finite")


def save_history(folder: str, history: Sequence[Epoch]) -> None:
    """Write the epochs so far as CSV; seconds to the microsecond, the rest to the last bit."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    validated = any(not math.isnan(epoch.validation_cost) for epoch in history)
    columns = Epoch._fields if validated else Epoch._fields[:5]
    lines.writerow(columns)
    for epoch in history:
        values = epoch._asdict() | {"seconds": f"{epoch.seconds:.6f}"}
        lines.writerow(values[name] for name in columns)
    storage.write(storage.join(folder, HISTORY), text.getvalue().encode())


def load_history(folder: str) -> list[Epoch]:
    """Read history.csv; empty if there is none. Raises UserError if `train.py` did not write it."""
    place = storage.join(folder, HISTORY)
    if not storage.exists(place):
        return []
    try:
        lines = csv.DictReader(io.StringIO(storage.read(place).decode()))
        return [_epoch(line) for line in lines]
    except (ValueError, TypeError, csv.Error):
        raise UserError(f"{place}: not the history of a run; train the model again") from None


def _epoch(line: dict[str, str]) -> Epoch:
    values = {name: float(value) for name, value in line.items()}
    whole = {name: int(values[name]) for name in ("epoch", "batch_size") if name in values}
    if not all(math.isfinite(values.get(name, 0)) for name in ("cost", "accuracy")):
        raise ValueError
    return Epoch(**values | whole)  # type: ignore[arg-type]


def save_json(folder: str, name: str, content: dict[str, Any]) -> None:
    """Write settings.json, or metrics."""
    storage.write(storage.join(folder, name), (json.dumps(content, indent=2) + "\n").encode())


def save_metrics(folder: str, report: dict[str, Any], place: str) -> str:
    """Write the scores on the data at a place; returns the file's place.

    metrics.json is that of the data that the model was trained on, by its name or its place.
    """
    own, name = load_settings(folder)["data"], METRICS
    if place != own["place"] and report["data"] != own.get("name"):
        words = re.findall(r"[\w.]+", place)
        name = f"metrics-{'-'.join(words)[-100:]}.json"
    save_json(folder, name, report)
    return storage.join(folder, name)


def load_settings(folder: str) -> dict[str, Any]:
    """Read settings.json. Raises UserError if it is missing or is not what `train.py` wrote."""
    place = storage.join(folder, SETTINGS)
    try:
        settings = json.loads(storage.read(place))
        digits, data = settings["settings"]["digits"], settings["data"]["place"]
        known = len(digits) > 1 and digits == sorted({int(digit) for digit in digits})
        if not (known and set(map(type, digits)) == {int} and isinstance(data, str)):
            raise ValueError
        if not 0 <= digits[0] <= digits[-1] <= 9:
            raise ValueError
        classes = settings["data"].get("classes", [])
        if not (isinstance(classes, list) and len(classes) in (0, len(digits))):
            raise ValueError
        if not all(isinstance(name, str) and name.isprintable() for name in classes):
            raise ValueError
        network = settings["settings"]["network"]
        if not isinstance(network, str):
            raise ValueError
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{place}: not the settings of a run; train the model again") from None
    try:
        read(network, len(digits))
    except NetworkError as error:
        raise UserError(f"{place}: network: {error}") from None
    return settings


def versions() -> dict[str, str]:
    """The versions that a result depends on."""
    import pyspark

    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyspark": pyspark.__version__,
    }


def npz(arrays: dict[str, Any]) -> bytes:
    """The bytes of an .npz file of these arrays."""
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def arrays(content: bytes, place: str) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, never unpickled. Raises UserError, with `place` in it."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            return {name: np.asarray(file[name]) for name in file.files}
    except Exception:  # NumPy has no error of its own for bytes that are not an .npz
        raise UserError(f"{place}: cut off, or not a model file; train the model again") from None
