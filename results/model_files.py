"""What a run leaves in its model folder: parameters.npz, history.csv, settings.json, metrics.json.

Nothing here is ever unpickled, and every file appears whole or not at all (see `storage`).
"""

import csv
import io
import json
import platform
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nn_math import Parameters
from runtime import storage
from runtime.command_line import UserError

PARAMETERS, HISTORY, SETTINGS, METRICS = (
    "parameters.npz",
    "history.csv",
    "settings.json",
    "metrics.json",
)


class Epoch(NamedTuple):
    """A line of history.csv: mean error and share of right answers before the update, in [0, 1]."""

    epoch: int
    cost: float
    accuracy: float
    batch_size: int
    seconds: float


def save_parameters(folder: str, parameters: Parameters) -> None:
    """Write W1, B1, W2, B2."""
    storage.write(storage.join(folder, PARAMETERS), npz(parameters._asdict()))


def load_parameters(folder: str) -> Parameters:
    """Read W1, B1, W2, B2. Raises UserError unless they are whole, finite and fit each other."""
    place = storage.join(folder, PARAMETERS)
    found = arrays(storage.read(place), place)
    missing = [name for name in Parameters._fields if name not in found]
    if missing:
        raise UserError(f"{place}: {', '.join(missing)} is missing; train the model again")
    parameters = Parameters(*(found[name] for name in Parameters._fields))
    check_parameters(parameters, place)
    return parameters


def check_parameters(parameters: Parameters, place: str) -> None:
    """Raise UserError, with `place` in it, unless shapes fit and all numbers are finite floats."""
    W1, B1, W2, B2 = parameters
    hidden, outputs = B1.shape[-1] if B1.ndim else 0, B2.shape[-1] if B2.ndim else 0
    expected = (784, hidden), (1, hidden), (hidden, outputs), (1, outputs)
    for name, array, shape in zip(Parameters._fields, parameters, expected, strict=True):
        if array.shape != shape or 0 in shape:
            raise UserError(f"{place}: {name} has shape {array.shape} where {shape} belongs")
        if array.dtype not in (np.float32, np.float64):
            raise UserError(f"{place}: {name} holds {array.dtype}, not float32 or float64")
        if not np.isfinite(array).all():
            raise UserError(f"{place}: {name} holds numbers that are not finite")


def save_history(folder: str, history: Sequence[Epoch]) -> None:
    """Write the epochs so far as CSV; seconds to the microsecond, the rest to the last bit."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(Epoch._fields)
    lines.writerows((*epoch[:-1], f"{epoch.seconds:.6f}") for epoch in history)
    storage.write(storage.join(folder, HISTORY), text.getvalue().encode())


def save_json(folder: str, name: str, content: dict[str, Any]) -> None:
    """Write settings.json or metrics.json."""
    storage.write(storage.join(folder, name), (json.dumps(content, indent=2) + "\n").encode())


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
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UserError(f"{place}: not the settings of a run; train the model again") from None
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
