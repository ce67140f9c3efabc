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
    folder: str, history: Sequence[Epoch], parameters: Parameters, title: str
) -> None:
    """cost.png, accuracy.png and hidden_units.png, put into `folder`."""
    _save(folder, "cost.png", cost_curve(history, title))
    _save(folder, "accuracy.png", accuracy_curve(history, title))
    _save(folder, "hidden_units.png", hidden_units(parameters.W1, title))


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


def hidden_units(W1: np.ndarray, title: str) -> Figure:
    """The weights into each hidden unit as a 28x28 picture; red pulls up, blue pulls down."""
    units = W1.shape[1]
    columns = math.ceil(math.sqrt(units))
    rows = math.ceil(units / columns)
    figure = Figure(figsize=(0.9 * columns + 1.2, 0.9 * rows + 0.9), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    largest = float(np.abs(W1).max())
    for axes in grid.flat:
        axes.axis("off")
    for axes, weights in zip(grid.flat, W1.T, strict=False):
        shown = axes.imshow(weights.reshape(28, 28), cmap="RdBu_r", vmin=-largest, vmax=largest)
    figure.colorbar(shown, ax=grid, label="weight", shrink=0.6)
    figure.suptitle(f"What the {units} hidden units look for\n{title}", fontsize=11)
    return figure


def _curve(history: Sequence[Epoch], values: Sequence[float], title: str):
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, values, color=INK, marker="o" if len(epochs) <= 60 else None, markersize=3)
    axes.set_title(title, fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(color=GRID_LINES)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(folder: str, name: str, figure: Figure) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    storage.write(storage.join(folder, name), content.getvalue())
