"""What a run's history says of whether the network learns, and what to try if it does not."""

from collections.abc import Sequence

import numpy as np

from results.checkpoints import Progress
from results.model_files import Epoch
from runtime.command_line import UserError


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


def tell_if_stuck(history: Sequence[Epoch], outputs: int, learning_rate: float) -> None:
    """Say so where the second half of the epochs only guessed, with saturated outputs.

    Their gradients are 0, whatever comes. One sees it by the cost: it is 1/2 where all outputs are
    0, and else higher than at first. With too small a rate it would be neither.
    """
    late = history[(len(history) + 1) // 2 :]
    if not late:
        return
    first, last = history[0], history[-1]
    guessed = np.mean([epoch.accuracy for epoch in late]) < 1.25 / outputs
    all_zero = all(abs(epoch.cost - 0.5) < 0.001 for epoch in late)
    rose = np.mean([epoch.cost for epoch in late]) > 1.05 * first.cost
    if guessed and (all_zero or rose):
        print(
            f"note: nothing was learnt: at the end the cost is {last.cost:.4f} and the accuracy "
            f"{last.accuracy:.4f}, as by guessing; try a smaller --learning-rate than "
            f"{learning_rate:g}"
        )
