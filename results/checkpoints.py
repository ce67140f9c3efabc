"""Where a run was: saved every few epochs, and what `train.py --resume` goes on from.

checkpoint.npz, in the model folder, holds all that the next epoch depends on: the parameters, the
optimizer's state, the history (the bold driver's rate follows from it) and what the run was told.
"""

import json
import sys
from typing import Any, NamedTuple

import numpy as np

from network.layers import Arrays, State
from network.sequential import parameter_names, parameter_shapes, read
from results import model_files
from results.claim import Claim
from results.model_files import Epoch, Trained
from runtime import storage
from runtime.command_line import UserError

CHECKPOINT = "checkpoint.npz"
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
    """What `save` wrote; None if there is no checkpoint. Raises UserError if it is not whole."""
    place = storage.join(folder, CHECKPOINT)
    if not storage.exists(place):
        return None
    arrays = model_files.arrays(storage.read(place), place)
    try:
        run = json.loads(arrays.pop("run").tobytes())
        (
            run["settings"]["epochs"],
            run["data"]["sha256"],
            run["data"]["name"],
            run["versions"],
        )
        settings = run["settings"]
        history = [
            Epoch(int(epoch), cost, accuracy, int(size), *rest)
            for epoch, cost, accuracy, size, *rest in arrays.pop("history").tolist()
        ]
        shapes = parameter_shapes(read(settings["network"], len(settings["digits"])))
        names = parameter_names(len(shapes))
        kinds = dict.fromkeys(name.partition(".")[0] for name in arrays)
        state = {kind: tuple(arrays[f"{kind}.{name}"] for name in names) for kind in kinds}
        parameters = state.pop("parameters")
    except (ValueError, KeyError, TypeError, RecursionError):  # a NetworkError is a ValueError
        raise UserError(f"{place}: not a checkpoint of train.py; train without --resume") from None
    model_files.check_parameters(parameters, shapes, place)
    for values in state.values():
        if [array.shape for array in values] != [array.shape for array in parameters]:
            raise UserError(f"{place}: the optimizer's state does not fit the parameters")
    best = state.pop("best", None)
    return Progress(parameters, state, history, best), run


def resume(folder: str, run: dict[str, Any]) -> Progress | None:
    """The progress of the same run in `folder`; None if no epoch of it was saved.

    Raises UserError, with all that differs, if the checkpoint is that of another run.
    """
    loaded = load(folder)
    if loaded is None:
        print(f"nothing to resume in {folder}: starting with epoch 1", flush=True)
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
    print(f"going on after epoch {done} of {place}", flush=True)
    for name, version in run["versions"].items():
        if saved["versions"].get(name) != version:
            print(f"note: saved with {name} {saved['versions'].get(name)}, this is {version}")
    return progress


def differences(saved: dict[str, Any], run: dict[str, Any]) -> list[str]:
    """What two runs were told that gives them different parameters, one text for each."""
    found = []
    if _data(saved) != _data(run):
        found.append(f"its data is {saved['data']['name']} with other content")
    before, now = saved["settings"], run["settings"]
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
    done, planned = len(loaded[0].history), loaded[1]["settings"]["epochs"]
    if done < planned:
        print(
            f"note: {storage.join(folder, CHECKPOINT)} is of a run that ended after epoch {done} "
            f"of {planned}; this run replaces it (--resume would have gone on with it)",
            flush=True,
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
            f"{len(progress.history)} of {run['settings']['epochs']}); used here is "
            f"{storage.join(folder, model_files.PARAMETERS)}, of the run that ended before it",
            file=sys.stderr,
        )


def _load_if_whole(folder: str) -> tuple[Progress, dict[str, Any]] | None:
    try:
        return load(folder)
    except UserError:
        return None  # it is of no use to anybody


def _data(run: dict[str, Any]) -> tuple:
    return run["data"]["sha256"] or run["data"]["name"], run.get("images")


def _said(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
