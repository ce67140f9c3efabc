"""What a run's history says of whether the network learns, and what to try if it does not."""

import argparse
from collections.abc import Sequence

import numpy as np

from network.sequential import read
from results.checkpoints import Progress
from results.model_files import Epoch
from runtime.command_line import UserError
from training.recipes import rates_of


def check_finite(progress: Progress, learning_rate: float) -> None:
    """Raise UserError, with the epoch and the rate, unless cost and parameters are finite."""
    epoch = progress.history[-1]
    if not np.isfinite(epoch.cost):
        what = f"the cost is {epoch.cost}"
    elif not all(np.isfinite(array).all() for array in progress.parameters):
        what = "there are parameters that are not finite"
    else:
        return
    raise UserError(
        f"epoch {epoch.epoch}: {what}: with --learning-rate {learning_rate:g} the run diverges; "
        "try a smaller one"
    )


def tell_if_stuck(history: Sequence[Epoch], settings: argparse.Namespace) -> None:
    """Say so where the second half of the epochs only guessed and the cost had not fallen.

    That is how it looks when all outputs are saturated, so that all gradients are 0, and when the
    steps are too small to be seen: the learning rate is far from the one that learns here.
    """
    late = history[(len(history) + 1) // 2 :]
    if not late:
        return
    guessed = np.mean([epoch.accuracy for epoch in late]) < 1.25 / len(settings.digits)
    costs = [epoch.cost for epoch in late]
    # In averaging the first epoch already ends saturated: from then on the cost stands still.
    still = len(late) > 1 and np.ptp(costs) <= 1e-6 * costs[0]
    fell = np.mean(costs) < 0.98 * history[0].cost and not still
    rate = settings.learning_rate
    usual = rates_of(read(settings.network, len(settings.digits)), settings)[settings.optimizer]
    if guessed and not fell and not usual / 2 <= rate <= usual * 2:
        print(
            f"note: nothing was learnt: at the end the cost is {history[-1].cost:.4f} and the "
            f"accuracy {history[-1].accuracy:.4f}, as by guessing; try a "
            f"{'smaller' if rate > usual else 'larger'} --learning-rate than {rate:g}, such as "
            f"{usual:g}"
        )
