"""Networks by name, and the settings under which each way of training them learns.

A rate, a number of epochs, a shift was chosen on a share of the training set that was not trained
on (docs/speed.md). What a person gives wins over all of them.
"""

import argparse

from network.layers import Dense, Softmax
from network.sequential import FORMS, WORDS, Network, did_you_mean, is_article, read, text_of
from runtime.command_line import UserError

NETWORKS = {
    "article": "dense 64, sigmoid, dense, sigmoid",
    "mlp": "dense 512, relu, dropout 0.2, dense, softmax",
    "lenet": "conv 6 5, maxpool 2, relu, conv 16 5, maxpool 2, relu, "
    "dense 120, relu, dense 84, relu, dense, softmax",
    "cnn": "conv 24 5, maxpool 2, relu, conv 48 5, maxpool 2, relu, "
    "dense 256, relu, dropout 0.5, dense, softmax",
}

# The article's own: digits 0 and 1, eight maps.
ARTICLE = {
    "strategy": "maps",
    "optimizer": "sgd",
    "schedule": "constant",
    "batch_size": 32,
    "shift": 0,
    "epochs": 50,
    "fraction": 0.7,
}
ARTICLE_DIGITS = [0, 1]
# One step an epoch, as in the article, for other digits or other networks.
ONE_STEP = ARTICLE | {"optimizer": "adam"}
# Many steps an epoch, on the executors.
AVERAGING = {
    "strategy": "averaging",
    "optimizer": "momentum",
    "schedule": "linear",
    "batch_size": 32,
    "shift": 0,
    "epochs": 10,
    "fraction": 1.0,
}
BY_NAME: dict[str, dict] = {
    "article": {"epochs": 15},
    "mlp": {"optimizer": "adam", "shift": 1, "epochs": 20},
    "lenet": {"shift": 1, "epochs": 8},
    "cnn": {"optimizer": "adam", "shift": 1, "epochs": 12},
}
# alpha by the optimizer: of the article's digits, of one step an epoch, of many steps.
ARTICLE_RATES = {"sgd": 0.1, "momentum": 0.1, "adam": 0.01}
TWO_CLASSES = {"sgd": 1.0, "momentum": 0.1, "adam": 0.01}
SQUARED_ERROR = {"sgd": 6.0, "momentum": 5.0, "adam": 0.01}
CROSS_ENTROPY = {"sgd": 0.5, "momentum": 0.1, "adam": 0.01}
AVERAGED_SQUARED_ERROR = {"sgd": 6.0, "momentum": 1.0, "adam": 0.01}
AVERAGED_CROSS_ENTROPY = {"sgd": 0.2, "momentum": 0.03, "adam": 0.002}


def fill(settings: argparse.Namespace) -> argparse.Namespace:
    """The settings with the network written out, and with what nobody gave (None) by its recipe.

    Raises UserError if the network is no network, or if what was given contradicts itself.
    """
    filled = argparse.Namespace(**vars(settings))
    network = named(settings.network, settings.hidden, len(settings.digits))
    filled.network = text_of(network)
    if is_article(network):
        filled.hidden = network[0].output_shape((784,))[0]
    recipe = recipe_of(network, settings.strategy, settings.digits)
    if recipe["strategy"] == "averaging":
        recipe |= BY_NAME.get(settings.network, {})
    for name, value in recipe.items():
        if getattr(filled, name) is None:
            setattr(filled, name, value)
    if filled.learning_rate is None:
        filled.learning_rate = rates_of(network, filled)[filled.optimizer]
    if filled.validation is None:
        filled.validation = 0.0 if filled.patience is None else 0.1
    if filled.patience is not None and filled.validation == 0:
        raise UserError("--patience needs images to judge by: give --validation a share of them")
    return filled


def named(network: str | Network, hidden: int | None, outputs: int) -> Network:
    """The network of a name or a text, for so many classes. Raises UserError."""
    text = network if isinstance(network, str) else text_of(network)
    if text == "article" and hidden is not None:
        text = NETWORKS[text].replace("64", str(hidden))
    if text.isalpha() and text not in NETWORKS and text.lower() not in WORDS:
        raise UserError(
            f"--network: no network is called {text}; {did_you_mean(text, NETWORKS)}the names are "
            f"{', '.join(NETWORKS)}; else write its layers, with commas between them: {FORMS}"
        )
    layers = read(NETWORKS.get(text, text), outputs)
    if hidden is not None and not (is_article(layers) and layers[0] == Dense(hidden)):
        raise UserError("--hidden is the width of the article's network; write it into --network")
    return layers


def recipe_of(network: Network, strategy: str | None, digits: list[int]) -> dict:
    """All but the learning rate: by the network, the digits, and the strategy if one was given."""
    if strategy is None:
        strategy = "maps" if is_article(network) else "averaging"
    if strategy == "averaging":
        return dict(AVERAGING)
    first = ARTICLE if is_article(network) and digits == ARTICLE_DIGITS else ONE_STEP
    return first | {"strategy": strategy}


def rates_of(network: Network, settings: argparse.Namespace) -> dict[str, float]:
    """A learning rate for each optimizer.

    Batches smaller than the recipe's bring more steps of more chance, and a rate as much smaller:
    Goyal et al., "Accurate, Large Minibatch SGD" (2017), whose rule for larger ones this is.
    """
    entropy = isinstance(network[-1], Softmax)
    if settings.strategy == "averaging":
        rates = AVERAGED_CROSS_ENTROPY if entropy else AVERAGED_SQUARED_ERROR
        share = min(1.0, settings.batch_size / AVERAGING["batch_size"])
        return {optimizer: rate * share for optimizer, rate in rates.items()}
    if is_article(network) and len(settings.digits) == 2:
        return ARTICLE_RATES if settings.digits == ARTICLE_DIGITS else TWO_CLASSES
    return CROSS_ENTROPY if entropy else SQUARED_ERROR


# With fewer steps than these, none of the recipes above learns ten digits.
FEWEST_STEPS = 20
# With more images in a batch than these, a pass of averaging has a few steps only.
LARGEST_BATCH = 1024
# With more partitions than these, averaging of ten digits needs more passes than a recipe has.
MOST_PARTITIONS = 8
# A rate so many times that of the recipe diverges or saturates the sigmoids.
TOO_HIGH = 20


def doubts(settings: argparse.Namespace) -> list[str]:
    """Why a run with these settings will hardly learn, and what to type instead.

    They are filled; the number of partitions, if known, is that of the data.
    """
    found = []
    one_step = settings.strategy != "averaging"
    if one_step and settings.epochs < FEWEST_STEPS and len(settings.digits) > 2:
        found.append(
            f"--strategy {settings.strategy} takes one step an epoch: {settings.epochs} steps will "
            f"hardly learn {len(settings.digits)} digits; try --strategy averaging, or --epochs 50"
        )
    if one_step and settings.optimizer == "sgd" and len(settings.digits) > 2:
        found.append(
            f"--optimizer sgd takes {settings.epochs} plain steps, one an epoch, and learns "
            f"{len(settings.digits)} digits slowly (50 steps reach 85% of MNIST); try --optimizer "
            "adam, or --strategy averaging"
        )
    network = read(settings.network, len(settings.digits))
    usual = rates_of(network, settings)[settings.optimizer]
    if settings.learning_rate > TOO_HIGH * usual:
        found.append(
            f"--learning-rate {settings.learning_rate:g} is more than {TOO_HIGH} times what learns "
            f"here; without it the rate is {usual:g}"
        )
    if settings.strategy == "averaging" and settings.batch_size > LARGEST_BATCH:
        found.append(
            f"--batch-size {settings.batch_size} leaves a pass only a few steps, which learn "
            f"slowly; without it the batches have {AVERAGING['batch_size']} images"
        )
    if settings.strategy == "averaging" and (settings.partitions or 1) > MOST_PARTITIONS:
        found.append(
            f"--strategy averaging on {settings.partitions} partitions: the more there are, the "
            "less a pass learns; a few large ones learn faster (--partitions 2)"
        )
    return found
