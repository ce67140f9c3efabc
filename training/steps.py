"""The driver's part after the reduce: the learning rate of an epoch, and the update."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import replace

from network.layers import Arrays, State
from results.model_files import Epoch
from training.optimizers import OPTIMIZERS, sgd, with_weight_decay
from training.settings import Settings

# (parameters, mean gradients, state, learning rate, epoch) -> (parameters, state)
Step = Callable[[Arrays, Arrays, State, float, int], tuple[Arrays, State]]


def driver_step(settings: Settings) -> Step:
    """The update of an epoch: the optimizer's step on gradients with weight decay.

    In averaging, `gradients` is theta minus the mean of the partitions' parameters; a step of size
    1 gives this mean.
    """

    def step(
        parameters: Arrays, gradients: Arrays, state: State, learning_rate: float, epoch: int
    ) -> tuple[Arrays, State]:
        if settings.strategy == "averaging":
            return sgd(parameters, gradients, {}, 1.0, epoch)
        gradients = with_weight_decay(gradients, parameters, settings.weight_decay)
        optimizer = OPTIMIZERS[settings.optimizer]
        return optimizer(parameters, gradients, state, learning_rate, epoch)

    return step


def rates_of_epoch(settings: Settings, epoch: int) -> tuple[float, float]:
    """The learning rates at the beginning and at the end of an epoch; `linear` ends at 0."""
    rate = settings.learning_rate
    if settings.schedule == "linear":
        left = settings.epochs - epoch + 1
        return rate * left / settings.epochs, rate * (left - 1) / settings.epochs
    return rate, rate


def with_bold_driver(settings: Settings, history: Sequence[Epoch]) -> Settings:
    """The settings, with the learning rate that --bold-driver computes from these epochs."""
    if not settings.bold_driver:
        return settings
    rate = bold_driver(settings.learning_rate, [epoch.cost for epoch in history])
    return replace(settings, learning_rate=rate)


def bold_driver(learning_rate: float, costs: Sequence[float]) -> float:
    """The rate after epochs with these costs: raised by 5% after a fall, halved after a rise."""
    for before, after in itertools.pairwise(costs):
        if after < before:
            learning_rate *= 1.05
        if after > before:
            learning_rate *= 0.5
    return learning_rate
