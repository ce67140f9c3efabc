"""Warnings: before training if the settings will hardly learn, after it if nothing was learned.

Each warning names an option to try instead.
"""

from collections.abc import Sequence

import numpy as np

from network.layers import Arrays
from results.model_files import Epoch
from runtime.command_line import UserError, say
from training.recipes import AVERAGING, rates_of
from training.settings import Settings, network_of

# With fewer steps than this, no recipe learns ten digits.
FEWEST_STEPS = 20
# With larger batches than this, a pass of averaging has only a few steps.
LARGEST_BATCH = 1024
# A learning rate this many times the default diverges or saturates the sigmoids.
TOO_HIGH = 20


def default_rate(settings: Settings) -> float:
    """The default learning rate for this run's network, strategy and optimizer."""
    network = network_of(settings)
    rates = rates_of(network, settings.strategy, settings.batch_size, settings.digits)
    return rates[settings.optimizer]


def doubts(settings: Settings) -> list[str]:
    """Why a run with these settings will hardly learn, and what to try instead."""
    found = []
    strategy, digits = settings.strategy, len(settings.digits)
    one_step = strategy != "averaging"
    if one_step and settings.epochs < FEWEST_STEPS and digits > 2:
        found.append(
            f"--strategy {strategy} takes one step per epoch; {settings.epochs} steps will hardly "
            f"learn {digits} digits; try --strategy averaging, or --epochs 50"
        )
    if one_step and settings.optimizer == "sgd" and digits > 2:
        found.append(
            f"--optimizer sgd takes {settings.epochs} plain steps, one per epoch, and learns "
            f"{digits} digits slowly (50 steps reach 85% on MNIST); try --optimizer adam, or "
            "--strategy averaging"
        )
    usual = default_rate(settings)
    if settings.learning_rate > TOO_HIGH * usual:
        found.append(
            f"--learning-rate {settings.learning_rate:g} is more than {TOO_HIGH} times the "
            f"usual rate, so training will probably not converge; the default is {usual:g}"
        )
    if strategy == "averaging" and settings.batch_size > LARGEST_BATCH:
        found.append(
            f"--batch-size {settings.batch_size} leaves only a few steps per epoch, which learn "
            f"slowly; try --batch-size {AVERAGING['batch_size']}"
        )
    return found


def check_finite(epoch: Epoch, parameters: Arrays, settings: Settings) -> None:
    """Raise UserError if the cost or a parameter is not finite."""
    if not np.isfinite(epoch.cost):
        what = f"the cost is {epoch.cost}"
    elif not all(np.isfinite(array).all() for array in parameters):
        what = "some parameters are not finite"
    else:
        return
    cause = f"--learning-rate {settings.learning_rate:g}"
    # Each step multiplies the weights by 1 - rate * decay; if rate * decay exceeds 2, they grow.
    if settings.learning_rate * settings.weight_decay > 2:
        cause = f"--weight-decay {settings.weight_decay:g}"
    raise UserError(
        f"epoch {epoch.epoch}: {what}: the run diverges with {cause}; try a smaller one"
    )


def tell_if_stuck(history: Sequence[Epoch], settings: Settings) -> None:
    """Print a note if the second half of the epochs only guessed and the cost did not fall.

    There are two causes: outputs are saturated, so that gradients are 0, or steps are too small. In
    both cases the learning rate is far from the default.
    """
    late = history[(len(history) + 1) // 2 :]
    if not late:
        return
    guessed = np.mean([epoch.accuracy for epoch in late]) < 1.25 / len(settings.digits)
    costs = [epoch.cost for epoch in late]
    # In averaging, outputs can be saturated after the first epoch: then the cost stays the same.
    still = len(late) > 1 and np.ptp(costs) <= 1e-6 * costs[0]
    fell = np.mean(costs) < 0.98 * history[0].cost and not still
    rate, usual = settings.learning_rate, default_rate(settings)
    if guessed and not fell and not usual / 2 <= rate <= usual * 2:
        direction = "smaller" if rate > usual else "larger"
        say(
            f"note: the network has learned nothing: the last cost is {history[-1].cost:.4f}, the "
            f"last accuracy {history[-1].accuracy:.4f}, no better than guessing; try a {direction} "
            f"--learning-rate than {rate:g}, such as {usual:g}"
        )
