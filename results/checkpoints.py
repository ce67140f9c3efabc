"""Where a run was: saved every few epochs, and what `train.py --resume` goes on from.

checkpoint.npz, in the model folder, holds all that the next epoch depends on: the parameters, the
optimizer's state, the history (the bold driver's rate follows from it) and what the run was told.
"""

import json
import math
import sys
from typing import Any, NamedTuple

import numpy as np

from network.layers import Arrays, State
from network.sequential import parameter_names, parameter_shapes, read
from results import contents, model_files
from results.claim import Claim
from results.contents import Unusable
from results.model_files import Epoch, Trained
from runtime import storage
from runtime.command_line import UserError, say

CHECKPOINT = "checkpoint.npz"
KINDS = {"parameters", "best", "velocity", "m", "v"}  # of arrays in a checkpoint
# The parameters after an epoch do not depend on these.
FREE_TO_CHANGE = {"data", "epochs", "checkpoint_every", "model_dir", "plots_dir"}


class Progress(NamedTuple):
    """The state of a run after the epochs in `history`."""

    parameters: Arrays
    state: State
    history: list[Epoch]
    best: Arrays | None = None  # the parameters of the best epoch so far, with --patience

    def result(self) -> Arrays:
        """The parameters that the run would return now."""
        if self.best is None:
            return self.parameters
        return self.best


class Saver:
    """Saves a run as it goes: the history after each epoch, a checkpoint after every so many.

    `run` is the content of settings.json. Raises UserError, before it writes, if another run has
    taken over the model folder.
    """

    def __init__(self, claim: Claim, run: dict[str, Any], every: int) -> None:
        claim.own_folder()  # if two runs began at the same time, the first one ends here
        self.claim, self.run, self.every = claim, run, every
        self.progress: Progress | None = None

    def epoch_ended(self, progress: Progress) -> None:
        """Save what is due. Raises UserError if it cannot be written."""
        self.progress = progress
        model_files.save_history(self.claim.own_folder(), progress.history)
        if len(progress.history) % self.every == 0:
            save(self.claim.own_folder(), progress, self.run)

    def run_ended(self, trained: Trained) -> None:
        """Save all files of the model folder. Raises UserError if one cannot be written."""
        if self.progress is not None:  # else the checkpoint that was resumed is the last
            save(self.claim.own_folder(), self.progress, self.run)
        model_files.save_history(self.claim.own_folder(), trained.history)
        model_files.save_parameters(self.claim.own_folder(), trained.parameters)
        model_files.save_json(self.claim.own_folder(), model_files.SETTINGS, self.run)


def start(folder: str, run: dict[str, Any], initial: Arrays, resumed: bool) -> Progress:
    """Where a run starts: with its initial parameters, or after the checkpoint that it resumes.

    Says so where that is not what one would expect. Raises UserError as `resume` does.
    """
    if not resumed:
        warn_of_unfinished(folder)
        model_files.keep_previous(folder)
        return Progress(initial, {}, [])
    return resume(folder, run) or Progress(initial, {}, [])


def save(folder: str, progress: Progress, run: dict[str, Any]) -> None:
    """Write checkpoint.npz; `run` is what settings.json says.

    Raises UserError if it cannot be written; the checkpoint before it is then still whole.
    """
    names = parameter_names(len(progress.parameters))
    kinds = {"parameters": progress.parameters, **progress.state}
    if progress.best is not None:
        kinds["best"] = progress.best
    arrays = {
        f"{kind}.{name}": array
        for kind, values in kinds.items()
        for name, array in zip(names, values, strict=True)
    }
    arrays["history"] = np.array(progress.history, np.float64)
    arrays["run"] = np.frombuffer(json.dumps(run).encode(), np.uint8)
    storage.write(storage.join(folder, CHECKPOINT), model_files.npz(arrays))


def load(folder: str) -> tuple[Progress, dict[str, Any]] | None:
    """What `save` wrote: the progress and the content of settings.json; None if there is none.

    Raises UserError if the file is damaged, or if a part of it is not usable.
    """
    place = storage.join(folder, CHECKPOINT)
    if not storage.exists(place):
        return None
    try:
        return _parsed(storage.read(place))
    except Unusable as reason:
        remedy = "not a checkpoint of train.py: train without --resume"
        contents.refuse(place, reason, remedy)


def _parsed(content: bytes) -> tuple[Progress, dict[str, Any]]:
    """The content of a checkpoint, checked. Raises Unusable."""
    headers = contents.headers_of(content)
    for name, most in (("run", model_files.MOST_SETTINGS), ("history", model_files.MOST_HISTORY)):
        if name not in headers:
            raise Unusable(f"{name} is missing")
        header = headers.pop(name)
        if math.prod(header.shape) * header.dtype.itemsize > most:
            raise Unusable(f"{name} is too large")
    kinds = list(dict.fromkeys(name.partition(".")[0] for name in headers))
    if "parameters" not in kinds or not set(kinds) <= KINDS:
        raise Unusable(f"it holds {', '.join(kinds)}")
    # The arrays' shapes are known only from the network, and that from the run: read it alone.
    described, history = contents.arrays_of(content, ["run", "history"])
    run = contents.parse_run(described.tobytes())
    settings = run["settings"]
    shapes = parameter_shapes(read(settings["network"], len(settings["digits"])))
    names = parameter_names(len(shapes))
    if len(headers) != len(kinds) * len(names):
        raise Unusable("its arrays are not those of the network")
    found: dict[str, Arrays] = {}
    for kind in kinds:
        members = [f"{kind}.{name}" for name in names]
        contents.check_shapes(headers, members, shapes)
        found[kind] = contents.arrays_of(content, members)
        contents.check_finite(members, found[kind])
    parameters, best = found.pop("parameters"), found.pop("best", None)
    return Progress(parameters, found, _history(history), best), run


def _history(lines: np.ndarray) -> list[Epoch]:
    """The epochs of a checkpoint. Raises Unusable."""
    if lines.dtype != np.float64 or lines.ndim != 2 or not 5 <= lines.shape[1] <= 7:
        raise Unusable("history is not a table of epochs")
    if not np.isfinite(lines[:, :5]).all():
        raise Unusable("history holds numbers that are not finite")
    return [
        Epoch(int(epoch), cost, accuracy, int(size), *rest)
        for epoch, cost, accuracy, size, *rest in lines.tolist()
    ]


def resume(folder: str, run: dict[str, Any]) -> Progress | None:
    """The progress of the same run in `folder`; None if no epoch of it was saved.

    Raises UserError, with all that differs, if the checkpoint is that of another run.
    """
    loaded = load(folder)
    if loaded is None:
        say(f"nothing to resume in {folder}: starting with epoch 1")
        return None
    progress, saved = loaded
    place, done, wanted = storage.join(folder, CHECKPOINT), len(progress.history), run["settings"]
    differing = differences(saved, run)
    if differing:
        raise UserError(
            f"--resume: {place} is of another run: {'; '.join(differing)}; give the same settings, "
            "or another --model-dir"
        )
    if done > wanted["epochs"]:
        raise UserError(f"--epochs {wanted['epochs']}: {place} is of epoch {done} already")
    say(f"going on after epoch {done} of {place}")
    for name, version in run["versions"].items():
        before = saved.get("versions", {}).get(name)
        if before != version:
            say(f"note: saved with {name} {before}, this is {version}")
    return progress


def differences(saved: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """What two runs were told that gives them different parameters, one text for each."""
    found = []
    before, now = saved["settings"], run["settings"]
    same_digits = before["digits"] == now["digits"]
    if _data(saved) != _data(run) or (same_digits and saved.get("images") != run["images"]):
        found.append(f"its data is {saved['data'].get('name')} with other content")
    free = FREE_TO_CHANGE
    if now["schedule"] == "linear":  # how far the rate has fallen depends on where it falls to
        free = free - {"epochs"}
    for name in sorted((before.keys() | now.keys()) - free):
        if before.get(name) != now.get(name):
            option = name.replace("_", "-")
            found.append(f"--{option} was {_said(before.get(name))}, is {_said(now.get(name))}")
    return found


def warn_of_unfinished(folder: str) -> None:
    """Say, before it is replaced, that a checkpoint of a run that was cut short is there."""
    loaded = _load_if_whole(folder)
    if loaded is None:
        return
    done = len(loaded[0].history)
    planned = loaded[1]["settings"].get("epochs", done)
    if done < planned:
        say(
            f"note: {storage.join(folder, CHECKPOINT)} is of a run that ended after epoch {done} "
            f"of {planned}; this run replaces it (--resume would have gone on with it)"
        )


def tell_of_another(folder: str, parameters: Arrays) -> None:
    """Say that the checkpoint is not of the run that ended with these parameters, if so."""
    loaded = _load_if_whole(folder)
    if loaded is None:
        return
    progress, run = loaded
    result = progress.result()
    same = len(result) == len(parameters) and all(map(np.array_equal, result, parameters))
    if not same:
        print(
            f"note: {storage.join(folder, CHECKPOINT)} is of another, unfinished run (epoch "
            f"{len(progress.history)} of {run['settings'].get('epochs')}); used here is "
            f"{storage.join(folder, model_files.PARAMETERS)}, of the run that ended before it",
            file=sys.stderr,
        )


def _load_if_whole(folder: str) -> tuple[Progress, dict[str, Any]] | None:
    try:
        return load(folder)
    except UserError:
        return None  # it is of no use to anybody


def _data(run: dict[str, Any]) -> Any:
    return run["data"].get("sha256") or run["data"].get("name")


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
