"""Checkpoints: saved as a run proceeds; `train.py --resume` continues from the last one.

checkpoint.npz, in the model folder, holds everything that the next epoch depends on: parameters,
optimizer state, history (the bold driver computes its rate from it), settings and data hashes.
"""

import json
import math
import sys
from typing import Any, NamedTuple

import numpy as np

from network.layers import Arrays, State
from network.sequential import parameter_names, parameter_shapes, read
from results import contents, doubt, model_files
from results.claim import Claim
from results.contents import Unusable
from results.doubt import Doubt
from results.model_files import Epoch, Trained
from runtime import storage
from runtime.command_line import UserError, say

CHECKPOINT = "checkpoint.npz"
KINDS = {"parameters", "best", "velocity", "m", "v"}  # of arrays in a checkpoint
# Settings that do not change the parameters after an epoch.
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
    """Saves a run: the history after each epoch, a checkpoint after every `every` epochs.

    run: the content of settings.json. Raises UserError, before it writes, if another run has
    taken over the model folder.
    """

    def __init__(self, claim: Claim, run: dict[str, Any], every: int) -> None:
        claim.own_folder()  # if two runs began at the same time, the first one ends here
        self.claim, self.run, self.every = claim, run, every
        self.progress: Progress | None = None

    def epoch_ended(self, progress: Progress) -> None:
        """Save the history, and a checkpoint if one is due. Raises UserError if that fails."""
        self.progress = progress
        model_files.save_history(self.claim.own_folder(), progress.history)
        if len(progress.history) % self.every == 0:
            save(self.claim.own_folder(), progress, self.run)

    def run_ended(self, trained: Trained, limits: Doubt) -> None:
        """Save all files of the model folder. Raises UserError if one cannot be written."""
        if self.progress is not None:  # otherwise the checkpoint on disk is up to date
            save(self.claim.own_folder(), self.progress, self.run)
            # The scores that are in the folder are of the network before.
            storage.delete(storage.join(self.claim.own_folder(), model_files.METRICS))
        model_files.save_history(self.claim.own_folder(), trained.history)
        model_files.save_parameters(self.claim.own_folder(), trained.parameters)
        doubt.save(self.claim.own_folder(), limits, trained.parameters)
        model_files.save_json(self.claim.own_folder(), model_files.SETTINGS, self.run)


def start(folder: str, run: dict[str, Any], initial: Arrays, resumed: bool) -> Progress:
    """Where a run starts: with its initial parameters, or after the checkpoint that it resumes.

    Prints a note if the run replaces the checkpoint of an unfinished run, or if there is nothing to
    resume. Raises UserError as `resume` does.
    """
    if not resumed:
        warn_of_unfinished(folder)
        model_files.keep_previous(folder)
        return Progress(initial, {}, [])
    return resume(folder, run) or Progress(initial, {}, [])


def save(folder: str, progress: Progress, run: dict[str, Any]) -> None:
    """Write checkpoint.npz; run: the content of settings.json.

    Raises UserError if it cannot be written; the previous checkpoint then stays complete.
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
    """The progress and the content of settings.json that `save` wrote; None without a checkpoint.

    Raises UserError if the file is damaged or does not hold what a checkpoint must hold.
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
    # The shapes of the other arrays depend on the network, which `run` names: read that first.
    described, history = contents.arrays_of(content, ["run", "history"])
    run = contents.parse_run(described.tobytes())
    settings = run["settings"]
    shapes = parameter_shapes(read(settings["network"], len(settings["digits"])))
    names = parameter_names(len(shapes))
    if len(headers) != len(kinds) * len(names):
        raise Unusable("its arrays are not those of the network")
    found = {}
    for kind in kinds:
        members = [f"{kind}.{name}" for name in names]
        found[kind] = contents.finite_floats(content, headers, members, shapes)
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
    """The progress that was saved in `folder`; None if it holds no checkpoint.

    Raises UserError, with all differences, if the checkpoint comes from a different run.
    """
    loaded = load(folder)
    if loaded is None:
        say(f"no checkpoint in {folder}: starting with epoch 1")
        return None
    progress, saved = loaded
    place, done, wanted = storage.join(folder, CHECKPOINT), len(progress.history), run["settings"]
    differing = differences(saved, run)
    if differing:
        raise UserError(
            f"--resume: {place} comes from a different run: {'; '.join(differing)}; give the same "
            "settings, or another --model-dir"
        )
    if done > wanted["epochs"]:
        raise UserError(f"--epochs {wanted['epochs']}: {place} has {done} epochs already")
    say(f"continuing after epoch {done} of {place}")
    for name, version in run["versions"].items():
        before = saved.get("versions", {}).get(name)
        if before != version:
            say(f"note: saved with {name} {before}; this run uses {name} {version}")
    return progress


def differences(saved: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """The settings and the data in which two runs differ, if these change the parameters."""
    found = []
    before, now = saved["settings"], run["settings"]
    same_digits = before["digits"] == now["digits"]
    if _data(saved) != _data(run) or (same_digits and saved.get("images") != run["images"]):
        found.append(f"its data was {saved['data'].get('name')}, with other content")
    free = FREE_TO_CHANGE
    if now.get("schedule") == "linear":  # the rate of each epoch depends on the last epoch
        free = free - {"epochs"}
    for name in sorted((before.keys() | now.keys()) - free):
        # A setting that another version does not have is off, which is None, 0 or False.
        if (before.get(name) or None) != (now.get(name) or None):
            option = name.replace("_", "-")
            found.append(f"--{option} was {_said(before.get(name))}, is {_said(now.get(name))}")
    return found


def warn_of_unfinished(folder: str) -> None:
    """Print a note if this run is about to replace the checkpoint of an unfinished run."""
    loaded = _load_if_whole(folder)
    if loaded is None:
        return
    done = len(loaded[0].history)
    planned = loaded[1]["settings"].get("epochs", done)
    if done < planned:
        say(
            f"note: this run replaces {storage.join(folder, CHECKPOINT)}, of a run that stopped "
            f"after epoch {done} of {planned}; --resume would have continued that run"
        )


def tell_of_another(folder: str, parameters: Arrays) -> None:
    """Print a note to stderr if the checkpoint belongs to another run than these parameters."""
    loaded = _load_if_whole(folder)
    if loaded is None:
        return
    progress, run = loaded
    result = progress.result()
    same = len(result) == len(parameters) and all(map(np.array_equal, result, parameters))
    if not same:
        print(
            f"note: {storage.join(folder, CHECKPOINT)} belongs to an unfinished run (epoch "
            f"{len(progress.history)} of {run['settings'].get('epochs')}); this command uses "
            f"{storage.join(folder, model_files.PARAMETERS)}, from the run before it",
            file=sys.stderr,
        )


def _load_if_whole(folder: str) -> tuple[Progress, dict[str, Any]] | None:
    try:
        return load(folder)
    except UserError:
        return None  # a damaged file cannot be resumed


def _data(run: dict[str, Any]) -> Any:
    return run["data"].get("sha256") or run["data"].get("name")


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
