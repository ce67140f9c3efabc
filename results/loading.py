"""A trained network, read from the model folder that train.py has written."""

from typing import Any

from network.sequential import read
from results import checkpoints, model_files
from results.model_files import Trained
from runtime import storage
from runtime.command_line import UserError


def load_model(folder: str) -> tuple[Trained, dict[str, Any]]:
    """The trained network in a model folder, and the content of its settings.json.

    Raises UserError unless the model's files are complete and belong together.
    """
    if not storage.exists(storage.join(folder, model_files.SETTINGS)):
        half = ""
        if storage.exists(storage.join(folder, model_files.PARAMETERS)):
            half = f" ({model_files.PARAMETERS} is there, but no {model_files.SETTINGS})"
        raise UserError(f"{folder}: there is no trained network; run train.py first{half}")
    run = model_files.load_settings(folder)
    digits = run["settings"]["digits"]
    network = read(run["settings"]["network"], len(digits))
    parameters = model_files.load_parameters(folder, network)
    checkpoints.tell_of_another(folder, parameters)
    trained = Trained(network, parameters, digits, [], run["data"].get("classes", ()))
    return trained, run


def place_of_data(run: dict[str, Any], model_dir: str) -> str:
    """The place of a model's training data, to read the test set there.

    run: the content of settings.json. The model may come from other people. Raises UserError, with
    what to type, if this would connect to another system.
    """
    place: str = run["data"]["place"]
    if storage.is_remote(place) and not storage.is_remote(model_dir):
        raise UserError(
            f"this model was trained on {place}; to read the test set there, give --data {place}, "
            "or name another folder"
        )
    return place
