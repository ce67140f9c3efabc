"""The progress of a run: the bar, the test for the end, and the update after an epoch."""

import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from network.layers import Arrays, State
from results.checkpoints import Progress
from results.model_files import Epoch, best_epoch
from runtime.command_line import say
from training.settings import Settings

Show = Callable[[Epoch], None]
COLUMNS, COLUMNS_OF_VALIDATION = 68, 28  # the width of a bar on a terminal


@contextmanager
def bar(start: Progress, settings: Settings) -> Iterator[Show]:
    """A function that shows an epoch, for the length of a `with` block.

    On a terminal it draws a progress bar; elsewhere it prints one line per epoch.
    """
    columns = shutil.get_terminal_size().columns - 1
    needed = COLUMNS + COLUMNS_OF_VALIDATION * (settings.validation > 0)
    form = "epoch {n_fmt}/{total_fmt} |{bar}| {remaining} left{postfix}"
    if columns < needed:  # the terminal is too narrow for a bar
        form = "{n_fmt}/{total_fmt}{postfix}"
    done, epochs, columns = len(start.history), settings.epochs, min(columns, 120)
    with tqdm(initial=done, total=epochs, bar_format=form, ncols=columns, disable=None) as shown:

        def show(epoch: Epoch) -> None:
            if shown.disable:
                line = f"epoch {epoch.epoch}/{epochs}  {measures_of(epoch)}  {epoch.seconds:.2f} s"
                say(line)
            else:
                shown.set_postfix_str(measures_of(epoch), refresh=False)
                shown.update()

        yield show


def measures_of(epoch: Epoch) -> str:
    """Cost and accuracy on the mini-batch and on the validation images, if there are any."""
    text = f"cost {epoch.cost:.4f}  accuracy {epoch.accuracy:.4f}"
    if not math.isnan(epoch.validation_cost):
        text += f"  validation {epoch.validation_cost:.4f}  {epoch.validation_accuracy:.4f}"
    return text


def is_finished(history: Sequence[Epoch], settings: Settings) -> bool:
    """Whether all epochs are done, or --patience has run out."""
    if settings.patience is not None and history:
        if len(history) - best_epoch(history) >= settings.patience:
            return True
    return len(history) >= settings.epochs


def after_epoch(
    progress: Progress, parameters: Arrays, state: State, epoch: Epoch, settings: Settings
) -> Progress:
    """The progress after one more epoch. --patience keeps the parameters of the best epoch."""
    history, best = [*progress.history, epoch], progress.best
    if settings.patience is not None and best_epoch(history) == epoch.epoch:
        best = parameters
    return Progress(parameters, state, history, best)
