"""Named networks, and the default settings with which each of them learns.

Learning rates, numbers of epochs, shifts, rotations and zooms were chosen on a validation share of
the training set. These defaults fill only the settings that the user does not give.
"""

import re
from typing import Any

from network.layers import LAYERS, Dense, NetworkError, Softmax
from network.sequential import Network, did_you_mean, forms, is_article, read, shown
from runtime.command_line import UserError

NETWORKS = {
    "article": "dense 64, sigmoid, dense, sigmoid",
    "mlp": "dense 512, relu, dropout 0.2, dense, softmax",
    "lenet": "conv 6 5, maxpool 2, relu, conv 16 5, maxpool 2, relu, "
    "dense 120, relu, dense 84, relu, dense, softmax",
    "cnn": "conv 24 5, maxpool 2, relu, conv 48 5, maxpool 2, relu, "
    "dense 256, relu, dropout 0.5, dense, softmax",
}

# The smallest and largest number of images in a partition, by strategy. A task starts in about 10
# ms; an image takes about 100 us in the chain of maps and 4 us in a block.
IN_PARTITION = {"maps": (1500, 3000), "partitions": (6000, 12000), "averaging": (30000, 30000)}
STRATEGIES = tuple(IN_PARTITION)

# The article's settings, for digits 0 and 1.
ARTICLE: dict[str, Any] = {
    "strategy": "maps",
    "optimizer": "sgd",
    "schedule": "constant",
    "batch_size": 32,
    "shift": 0,
    "rotation": 0.0,
    "zoom": 0.0,
    "epochs": 50,
    "fraction": 0.7,
}
ARTICLE_DIGITS = [0, 1]
# One step per epoch, as in the article, for other digits or other networks.
ONE_STEP = ARTICLE | {"optimizer": "adam"}
# Many steps per epoch, on the executors.
AVERAGING = ARTICLE | {
    "strategy": "averaging",
    "optimizer": "momentum",
    "schedule": "linear",
    "epochs": 10,
    "fraction": 1.0,
}
BY_NAME: dict[str, dict[str, Any]] = {
    "article": {"epochs": 15},
    "mlp": {"optimizer": "adam", "shift": 1, "epochs": 20},
    "lenet": {"shift": 1, "epochs": 8},
    "cnn": {
        "optimizer": "adam",
        "batch_size": 64,
        "shift": 1,
        "rotation": 10.0,
        "zoom": 0.1,
        "epochs": 12,
    },
}
# Learning rates by optimizer. The article's network on 0 and 1, and on any other two classes:
ARTICLE_RATES = {"sgd": 0.1, "momentum": 0.1, "adam": 0.01}
TWO_CLASSES = {"sgd": 1.0, "momentum": 0.1, "adam": 0.01}
# One step per epoch, by the network's error:
SQUARED_ERROR = {"sgd": 6.0, "momentum": 5.0, "adam": 0.01}
CROSS_ENTROPY = {"sgd": 0.5, "momentum": 0.1, "adam": 0.01}
# Many steps per epoch, by the network's error:
AVERAGED_SQUARED_ERROR = {"sgd": 6.0, "momentum": 1.0, "adam": 0.01}
AVERAGED_CROSS_ENTROPY = {"sgd": 0.2, "momentum": 0.03, "adam": 0.002}


def named(text: str, hidden: int | None, outputs: int) -> Network:
    """The network with this name or these layers, for k outputs. Raises UserError."""
    if text == "article" and hidden is not None:
        text = NETWORKS[text].replace("64", str(hidden))
    is_name = re.fullmatch(r"[^\s,]+", text)  # layers have spaces or commas, or are named alone
    if is_name and text not in NETWORKS and text.lower() not in LAYERS:
        raise UserError(
            f"--network: no network is called {shown(text)}; {did_you_mean(text, NETWORKS)}the "
            f"names are {', '.join(NETWORKS)}; or give layers, separated by commas: {forms()}"
        )
    try:
        layers = read(NETWORKS.get(text, text), outputs)
    except NetworkError as error:
        raise UserError(f"--network: {error}") from None
    if hidden is not None and not (is_article(layers) and layers[0] == Dense(hidden)):
        raise UserError("--hidden changes only the article's network; give the width in --network")
    return layers


def recipe_of(
    name: str, network: Network, strategy: str | None, digits: list[int]
) -> dict[str, Any]:
    """All defaults except the learning rate. strategy: None if the user gave none."""
    if strategy is None:
        strategy = "maps" if is_article(network) else "averaging"
    if strategy == "averaging":
        return AVERAGING | BY_NAME.get(name, {})
    first = ARTICLE if is_article(network) and digits == ARTICLE_DIGITS else ONE_STEP
    return first | {"strategy": strategy}


def rates_of(
    network: Network, strategy: str, batch_size: int, digits: list[int]
) -> dict[str, float]:
    """The default learning rate of each optimizer.

    For a batch of fewer than 32 images, the rate shrinks by the same factor. This is the rule of
    Goyal et al., "Accurate, Large Minibatch SGD" (2017), which they use for larger batches.
    """
    entropy = isinstance(network[-1], Softmax)
    if strategy == "averaging":
        rates = AVERAGED_CROSS_ENTROPY if entropy else AVERAGED_SQUARED_ERROR
        share = min(1.0, batch_size / AVERAGING["batch_size"])
        return {optimizer: rate * share for optimizer, rate in rates.items()}
    if is_article(network) and len(digits) == 2:
        return ARTICLE_RATES if digits == ARTICLE_DIGITS else TWO_CLASSES
    return CROSS_ENTROPY if entropy else SQUARED_ERROR
