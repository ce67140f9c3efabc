"""The strategies: ways to compute an epoch.

Each is a function of (train_rdd, parameters, settings, epoch) that returns the sums over the
mini-batch. The loop, the step and the checkpoints are the same for all of them.
"""

from collections.abc import Callable

from pyspark import RDD

from network.layers import Arrays
from network.sequential import is_article
from nn_math import Sums
from training.averaging import averaging_epoch
from training.chain import chain_epoch
from training.partitions import partitions_epoch
from training.settings import Settings, network_of

EpochFunction = Callable[[RDD, Arrays, Settings, int], Sums]


def epoch_function(settings: Settings, maps_epoch: EpochFunction) -> EpochFunction:
    """The function for a run's strategy; maps_epoch: the article's chain, written out."""
    if settings.strategy == "partitions":
        return partitions_epoch
    if settings.strategy == "averaging":
        return averaging_epoch
    if is_article(network_of(settings)):
        return maps_epoch
    return chain_epoch  # the same chain, generated from the layers
