"""The files of a model folder: parameters.npz, history.csv, settings.json, metrics.json.

Scores on data other than the model's own go to metrics-PLACE.json; doubt.py has doubt.npz. No file
is ever unpickled, and each is written completely or not at all (see `storage`).
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

from network.layers import Arrays, Shape
from network.sequential import Network, parameter_names, parameter_shapes
from results import contents
from runtime import storage
from runtime.command_line import UserError, say

PARAMETERS, DOUBT, HISTORY = "parameters.npz", "doubt.npz", "history.csv"
SETTINGS, METRICS = "settings.json", "metrics.json"
PREVIOUS = "previous"
MOST_SETTINGS, MOST_HISTORY = 2**20, 2**26  # bytes


class Epoch(NamedTuple):
    """A line of history.csv: mean error and accuracy of the mini-batch, before the step.

    The last two fields are for the validation images, after the step; nan without --validation.
    """

    epoch: int
    cost: float
    accuracy: float
    batch_size: int
    seconds: float
    validation_cost: float = math.nan
    validation_accuracy: float = math.nan


def best_epoch(history: Sequence[Epoch]) -> int:
    """The number of the epoch with the lowest validation cost."""
    return min(history, key=lambda epoch: epoch.validation_cost).epoch


class Trained(NamedTuple):
    """A trained network: what `train.fit` returns and `predict.py` reads."""

    network: Network
    parameters: Arrays
    digits: list[int]
    history: list[Epoch]
    classes: Sequence[str] = ()  # the names of the digits, if the data has them

    def names(self) -> list[str]:
        """The names of the classes in tables and figures; without names, the digits."""
        return list(self.classes) or list(map(str, self.digits))


def words_for(names: Iterable[str]) -> tuple[str, str]:
    """The words for one and for several of these classes: "digit" if they have no other name."""
    if all(name.isdecimal() for name in names):
        return "digit", "digits"
    return "class", "classes"


def save_parameters(folder: str, parameters: Arrays) -> None:
    """Write W1, B1, W2, B2, ..."""
    names = parameter_names(len(parameters))
    storage.write(storage.join(folder, PARAMETERS), npz(dict(zip(names, parameters, strict=True))))


def load_parameters(folder: str, network: Network) -> Arrays:
    """Read W1, B1, W2, B2, ...

    Raises UserError unless they are complete, finite, and have the shapes of the network.
    """
    place, shapes = storage.join(folder, PARAMETERS), parameter_shapes(network)
    names = parameter_names(len(shapes))
    content = storage.read(place, most_bytes(shapes))
    try:
        headers = contents.headers_of(content)
        more = sorted(headers.keys() - set(names))
        if more:
            raise contents.Unusable(f"it holds {', '.join(more)}, unknown to this network")
        return contents.finite_floats(content, headers, names, shapes)
    except contents.Unusable as reason:
        contents.refuse(place, reason, "train the model again")


def most_bytes(shapes: Sequence[Shape]) -> int:
    """The largest size of a file with float64 arrays of these shapes, headers included."""
    return 8 * sum(math.prod(shape) for shape in shapes) + 2**20


def keep_previous(folder: str) -> None:
    """Copy the trained network of a folder into its folder `previous`, and say so.

    A new run writes over it. One generation is kept. Raises UserError if it cannot be copied.
    """
    if not storage.exists(storage.join(folder, PARAMETERS)):
        return
    kept = storage.join(folder, PREVIOUS)
    for name in (PARAMETERS, HISTORY, SETTINGS, METRICS, DOUBT):
        place, copy = storage.join(folder, name), storage.join(kept, name)
        if storage.exists(place):
            storage.write(copy, storage.read(place))
        else:
            storage.delete(copy)  # it is of the network before
    say(f"note: {folder} holds a trained network; it is kept in {kept}")


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
        lines = csv.DictReader(io.StringIO(storage.read(place, MOST_HISTORY).decode()))
        return [_epoch(line) for line in lines]
    except (ValueError, TypeError, OverflowError, csv.Error):
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

    metrics.json is for the data set of the training, recognized by its name or its place.
    """
    own, name = load_settings(folder)["data"], METRICS
    by_name = report["data"] == own.get("name") and report["data"] != place
    if not by_name and storage.absolute(place) != storage.absolute(own["place"]):
        words = re.findall(r"[\w.]+", place)
        name = f"metrics-{'-'.join(words)[-100:]}.json"
    save_json(folder, name, report)
    return storage.join(folder, name)


def load_settings(folder: str) -> dict[str, Any]:
    """Read settings.json. Raises UserError if it is missing, or if a field is not usable."""
    place = storage.join(folder, SETTINGS)
    try:
        run = contents.parse_run(storage.read(place, MOST_SETTINGS))
        if run["data"].get("place") is None:
            raise contents.Unusable("not the settings of a run (data.place is missing)")
    except contents.Unusable as reason:
        contents.refuse(place, reason, "train the model again")
    return run


def versions() -> dict[str, str]:
    """The versions of Python, NumPy and PySpark: a result depends on them."""
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
