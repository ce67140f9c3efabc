"""The figures that a run draws: curves, hidden units, scores, images. Each names its data set."""

import io
import math
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

import storage
from model_files import Epoch
from nn_math import Parameters

INK, GRID_LINES = "#1f4e79", "#d9d9d9"


def draw_training(
    folder: str, history: Sequence[Epoch], initial: Parameters, trained: Parameters, title: str
) -> None:
    """cost.png, accuracy.png and hidden_units.png, put into `folder`."""
    _save(folder, "cost.png", cost_curve(history, title))
    _save(folder, "accuracy.png", accuracy_curve(history, title))
    _save(folder, "hidden_units.png", hidden_units(trained.W1 - initial.W1, title))


def cost_curve(history: Sequence[Epoch], title: str) -> Figure:
    """The mean error of an image in each epoch's mini-batch."""
    figure, axes = _curve(history, [epoch.cost for epoch in history], f"Cost, {title}")
    axes.set_ylabel("cost: mean of ½ Σ (Y − y*)²")
    axes.set_ylim(bottom=0)
    return figure


def accuracy_curve(history: Sequence[Epoch], title: str) -> Figure:
    """The share of right answers in each epoch's mini-batch."""
    figure, axes = _curve(history, [epoch.accuracy for epoch in history], f"Accuracy, {title}")
    axes.set_ylabel("accuracy on the mini-batch")
    axes.set_ylim(0, 1.02)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def hidden_units(change: np.ndarray, title: str) -> Figure:
    """What training did to the weights into each hidden unit, W1 - initial W1, as 28x28 pictures.

    The weights themselves look like the noise that they were drawn from: what was learned is small
    beside U(-0.5, 0.5). Red: ink here now raises the unit more than it did; blue: less.
    """
    units = change.shape[1]
    columns = math.ceil(math.sqrt(units))
    rows = math.ceil(units / columns)
    figure = Figure(figsize=(max(4.5, 0.9 * columns + 1), 0.9 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    largest = float(np.quantile(np.abs(change), 0.998)) or 1.0
    for axes in grid.flat:
        axes.axis("off")
    for axes, weights in zip(grid.flat, change.T, strict=False):
        shown = axes.imshow(weights.reshape(28, 28), cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.colorbar(shown, ax=grid, label="change of the weight", shrink=0.7, extend="both")
    heading = f"What the {units} hidden units have learned\n{title}"
    figure.suptitle(heading, fontsize=11, parse_math=False)
    return figure


def _curve(history: Sequence[Epoch], values: Sequence[float], title: str):
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, values, color=INK, marker="o" if len(epochs) <= 60 else None, markersize=3)
    axes.set_title(title, fontsize=11, parse_math=False)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(color=GRID_LINES)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(folder: str, name: str, figure: Figure) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    storage.write(storage.join(folder, name), content.getvalue())
