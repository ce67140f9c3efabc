"""The settings of a run. Each setting is defined once, as a field of `Settings`.

The command line of train.py, the options of `train.fit` and the content of settings.json derive
from these fields. The recipe of the network fills the settings that the user does not give.
"""

import argparse
import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from network.sequential import Network, forms, is_article, read, text_of
from runtime.command_line import (
    DATA_HELP,
    TRANSPOSE_HELP,
    Parser,
    UserError,
    nonempty,
    number_within,
    whole_number,
)
from training import recipes
from training.optimizers import OPTIMIZERS
from training.recipes import NETWORKS, STRATEGIES

# The groups of --help, by their first setting: a title, and a text.
GROUPS = {
    "data": ("the data",),
    "network": ("the network",),
    "epochs": (
        "the training",
        "The defaults depend on the network, the digits and the strategy; settings.json in the "
        "model folder lists those of a run.",
    ),
    "checkpoint_every": ("the run and its results",),
}
SEARCH = " (default: mnist, or offline if the download fails)"


def option(
    about: str,
    default: Any = None,
    check: Callable[[str], Any] = str,
    saved: bool = True,
    **words: Any,
) -> Any:
    """A setting: its help, its default, and `check`, which reads its value from a text.

    default: None if the recipe or the data decides. saved: False if the setting stays out of
    settings.json. words: more arguments for argparse.
    """
    words["help"] = about
    if default is False:
        words["action"] = "store_true"
    about_it = {"default": default, "check": check, "saved": saved, "argparse": words}
    return dataclasses.field(metadata=about_it)


def one_of(*allowed: str) -> Callable[[str], str]:
    """The check of a setting that is one of these words."""

    def check(text: str) -> str:
        if text not in allowed:
            choices = ", ".join(allowed)
            raise argparse.ArgumentTypeError(f"invalid choice: {text!r} (choose from {choices})")
        return text

    return check


def digits_of(text: str) -> list[int]:
    """Two or more different digits, sorted. The text is like "3 8", "3,8" or "all"."""
    words = text.lower().replace(",", " ").split()
    if words == ["all"]:
        words = list("0123456789")
    for word in words:
        if word not in list("0123456789"):
            raise argparse.ArgumentTypeError(f"{word!r} is not a digit from 0 to 9")
    if len(set(words)) < 2:
        raise argparse.ArgumentTypeError("give at least two different digits")
    return sorted({int(word) for word in words})


def labels_of(labels: Iterable[int]) -> list[int]:
    """Two or more different labels of a data set, each a byte, sorted. Raises UserError."""
    found = sorted({int(label) for label in labels})
    if len(found) < 2 or not 0 <= found[0] <= found[-1] <= 255:
        raise UserError(f"labels are two or more different numbers from 0 to 255, not {found}")
    return found


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings of a run, checked and complete; `complete` makes them."""

    data: str | None = option(DATA_HELP + SEARCH, check=nonempty, metavar="PLACE")
    digits: list[int] = option(
        "the digits to tell apart: two or more of 0 to 9, or `all`",
        default=recipes.ARTICLE_DIGITS,
        check=digits_of,
        nargs="+",
        metavar="DIGIT",
    )
    classes: list[str] | None = option(
        "the classes to tell apart in any data set, instead of --digits: their labels, or their "
        "names in the data set, or `all`",
        saved=False,
        nargs="+",
        metavar="CLASS",
    )
    transpose: bool = option(TRANSPOSE_HELP, default=False)
    partitions: int | None = option(
        "number of partitions of the training set; changing it changes the result slightly "
        "(default: depends on the number of images; averaging uses at most this default)",
        check=whole_number(1),
    )
    network: str = option(
        f"a name ({', '.join(NETWORKS)}), which also sets the defaults of the training; or layers, "
        f"separated by commas: {forms()}; the last dense needs no UNITS",
        default="article",
    )
    hidden: int | None = option(
        "number of hidden units of the article's network (default: 64)",
        check=whole_number(1, 65536),
    )
    explain: bool = option(
        "print the network's maps, parameters and sizes, then exit",
        default=False,
        saved=False,
    )
    dtype: str = option(
        "float32 or float64: precision of all numbers",
        default="float32",
        check=one_of("float32", "float64"),
    )
    seed: int = option(
        "seed of all random numbers; with the same data, partitions and versions it gives the same "
        "parameters, bit for bit",
        default=1,
        check=whole_number(0),
    )
    epochs: int = option("number of epochs (the article: 50)", check=whole_number(1))
    fraction: float = option(
        "share of the training images in each epoch's mini-batch (the article: 0.7)",
        check=number_within(0, 1),
    )
    strategy: str = option(
        "how an epoch is computed. maps: the article's chain, image by image; partitions: the same "
        "step, computed from whole blocks of images; averaging: each partition takes many small "
        "steps on its images, and the driver averages the resulting parameters",
        check=one_of(*STRATEGIES),
    )
    batch_size: int = option(
        "number of images per step, for --strategy averaging", check=whole_number(1)
    )
    learning_rate: float = option(
        "alpha, the size of a step (the article: 0.1)", check=number_within(0, math.inf)
    )
    schedule: str = option(
        "constant: the learning rate stays the same; linear: it falls to 0 by the last epoch",
        check=one_of("constant", "linear"),
    )
    optimizer: str = option(
        "sgd: plain gradient steps, as in the article; momentum: steps along a running sum of "
        "gradients; adam: a step size for each parameter",
        check=one_of(*OPTIMIZERS),
    )
    weight_decay: float = option(
        "strength of the L2 penalty on the weights W1, W2, ...",
        default=0.0,
        check=number_within(0, math.inf, low_allowed=True),
    )
    shift: int = option(
        "shift each image by up to this many pixels, at random in each epoch",
        check=whole_number(0, 14),
    )
    rotation: float = option(
        "rotate each image by up to this many degrees, at random in each epoch",
        check=number_within(0, 90, low_allowed=True),
    )
    zoom: float = option(
        "scale each image by up to this share of its size (0.1: 10%), at random in each epoch",
        check=number_within(0, 0.5, low_allowed=True),
    )
    bold_driver: bool = option(
        "raise the learning rate by 5% after an epoch whose cost fell, halve it after a rise",
        default=False,
    )
    validation: float = option(
        "share of the training images that is held out to evaluate each epoch (default: 0)",
        check=number_within(0, 0.9, low_allowed=True),
    )
    patience: int | None = option(
        "stop this many epochs after the lowest validation cost, and keep the parameters of that "
        "epoch (sets --validation 0.1)",
        check=whole_number(1),
    )
    checkpoint_every: int = option(
        "number of epochs from one checkpoint to the next", default=1, check=whole_number(1)
    )
    score: bool = option(
        "after training, score the test set, like predict.py", default=False, saved=False
    )
    resume: bool = option(
        "continue from the checkpoint in --model-dir; without one, start with epoch 1",
        default=False,
        saved=False,
    )
    model_dir: str = option(
        "folder or URI for the parameters, the history and the checkpoint",
        default="model",
        check=nonempty,
        metavar="PLACE",
    )
    plots_dir: str = option(
        "folder or URI for the figures", default="plots", check=nonempty, metavar="PLACE"
    )


FIELDS = {field.name: field for field in dataclasses.fields(Settings)}


def arguments() -> argparse.ArgumentParser:
    """The command line of train.py: a flag for each setting."""
    about = "Train a network on Spark RDDs. Without arguments: the article's network and settings."
    parser = Parser(prog="train.py", description=about)
    group: Any = parser
    for name, field in FIELDS.items():
        if name in GROUPS:
            group = parser.add_argument_group(*GROUPS[name])
        default = field.metadata["default"]
        group.add_argument(flag_of(name), default=default, **field.metadata["argparse"])
    return parser


def from_command_line(argv: Sequence[str] | None) -> tuple[Settings, dict[str, Any]]:
    """The settings of the command line, complete and as they were given.

    Invalid arguments end the program with status 2. With --classes, the labels come from the data:
    `complete` the given settings once more with them.
    """
    parser = arguments()
    given = vars(parser.parse_args(argv))
    words = given["classes"]
    if words is not None:
        is_all = [word.lower() for word in words] == ["all"]  # the data will say how many
        given["digits"] = range(10 if is_all else max(2, len(words)))
    try:
        return complete(given), given
    except UserError as error:
        parser.error(str(error))


def complete(given: Mapping[str, Any]) -> Settings:
    """The settings of a run: the given values, checked; the recipe fills those absent or None.

    The network is written out as a text of its layers. Raises UserError if a name or a value is
    invalid, or if two values contradict each other.
    """
    unknown = sorted(given.keys() - FIELDS.keys())
    if unknown:
        raise UserError(f"there is no option {unknown[0]!r}; train.py --help lists all options")
    values = {name: field.metadata["default"] for name, field in FIELDS.items()}
    for name, value in given.items():
        if value is not None:
            values[name] = checked(name, value)
    name, digits = values["network"], values["digits"]
    network = recipes.named(name, values["hidden"], len(digits))
    values["network"] = text_of(network)
    if is_article(network):
        values["hidden"] = network[0].output_shape((784,))[0]
    recipe = recipes.recipe_of(name, network, values["strategy"], digits)
    for setting, value in recipe.items():
        if values[setting] is None:
            values[setting] = value
    if values["learning_rate"] is None:
        rates = recipes.rates_of(network, values["strategy"], values["batch_size"], digits)
        values["learning_rate"] = rates[values["optimizer"]]
    if values["validation"] is None:
        values["validation"] = 0.0 if values["patience"] is None else 0.1
    if values["patience"] is not None and values["validation"] == 0:
        raise UserError("--patience needs validation images: give --validation a share above 0")
    return Settings(**values)


def checked(name: str, value: Any) -> Any:
    """The checked value of a setting, given as a text or as a value. Raises UserError."""
    if FIELDS[name].metadata["default"] is False:
        if not isinstance(value, bool):
            raise UserError(f"{flag_of(name)} is True or False, not {value!r}")
        return value
    if name == "network" and not isinstance(value, str):
        return text_of(value)
    if name == "classes":
        return [value] if isinstance(value, str) else list(value)  # a name may hold a space
    if name == "digits" and not isinstance(value, str):
        if not any(isinstance(digit, str) for digit in value):
            return labels_of(value)
        value = " ".join(value)
    try:
        return FIELDS[name].metadata["check"](str(value))
    except argparse.ArgumentTypeError as error:
        raise UserError(f"argument {flag_of(name)}: {error}") from None


def flag_of(name: str) -> str:
    """A setting as the user types it: --batch-size."""
    return f"--{name.replace('_', '-')}"


def network_of(settings: Settings) -> Network:
    """The network of a run's settings."""
    return read(settings.network, len(settings.digits))


def saved_settings(settings: Settings) -> dict[str, Any]:
    """The settings for settings.json: all that the result depends on, and the places."""
    return {
        name: getattr(settings, name) for name, field in FIELDS.items() if field.metadata["saved"]
    }
