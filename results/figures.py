"""The figures that a run draws: curves, hidden units, scores, images. Each names its data set."""

import io
import math
import os
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from nn_math import Parameters
from results.model_files import Epoch
from runtime import storage

INK, GRID_LINES = "#1f4e79", "#d9d9d9"
MOST_UNITS = 400  # in one figure


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
    shown = min(units, MOST_UNITS)
    columns = math.ceil(math.sqrt(shown))
    rows = math.ceil(shown / columns)
    # One image with white joints: an axes for each unit would take a minute to draw 600 of them.
    mosaic = np.full((30 * rows - 2, 30 * columns - 2), np.nan)
    for unit in range(shown):
        top, left = 30 * (unit // columns), 30 * (unit % columns)
        mosaic[top : top + 28, left : left + 28] = change[:, unit].reshape(28, 28)
    figure = Figure(figsize=(max(4.5, 0.9 * columns + 1), 0.9 * rows + 0.9), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    largest = float(np.quantile(np.abs(change), 0.998)) or 1.0
    image = axes.imshow(mosaic, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    figure.colorbar(image, ax=axes, label="change of the weight", shrink=0.7, extend="both")
    which = f"{units}" if shown == units else f"first {shown} of {units}"
    heading = f"What the {which} hidden units have learned\n{title}"
    figure.suptitle(heading, fontsize=11, parse_math=False)
    return figure


def draw_scores(
    folder: str,
    confusion: np.ndarray,
    first: Sequence,
    worst: Sequence,
    digits: Sequence[int],
    title: str,
) -> None:
    """confusion_matrix.png, predictions.png and mistakes.png, put into `folder`.

    confusion (k, k): row truth, column prediction. first, worst: answers with x, Y, truth.
    """
    _save(folder, "confusion_matrix.png", confusion_matrix(confusion, digits, title))
    _save(folder, "predictions.png", answers(first, digits, f"The first test images, {title}"))
    heading = f"The test images of the largest error, {title}"
    _save(folder, "mistakes.png", answers(worst, digits, heading))


def draw_inputs(folder: str, seen: Sequence[tuple[str, np.ndarray, int, float]]) -> None:
    """inputs.png: what the network saw of each file (pixels (1, 784)), and what it answered."""
    captions = [
        f"{os.path.basename(file)}\n{digit} ({output:.2f})" for file, _, digit, output in seen
    ]
    pictures = [pixels for _, pixels, _, _ in seen]
    _save(folder, "inputs.png", page(pictures, captions, "What the network saw, and its answer"))


def confusion_matrix(confusion: np.ndarray, digits: Sequence[int], title: str) -> Figure:
    """How often each digit was taken for which; colours by the share of the true digit."""
    side = max(4.2, 0.62 * len(digits) + 1.6)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(confusion):
        colour = "white" if shares[row, column] > 0.5 else "black"
        axes.text(column, row, f"{count:,}", ha="center", va="center", color=colour)
    axes.set_xticks(range(len(digits)), map(str, digits))
    axes.set_yticks(range(len(digits)), map(str, digits))
    axes.set_xlabel("largest output")
    axes.set_ylabel("true digit")
    axes.set_title(f"Which digit was taken for which\n{title}", fontsize=11, parse_math=False)
    return figure


def answers(shown: Sequence, digits: Sequence[int], title: str) -> Figure:
    """Images with prediction, its output, and truth; a wrong prediction in red."""
    captions, colours = [], []
    for answer in shown:
        predicted = int(answer.Y.argmax())
        truth = digits[answer.truth]
        captions.append(f"says {digits[predicted]} ({answer.Y[predicted]:.2f})\ntruth {truth}")
        colours.append("black" if predicted == answer.truth else "#c0392b")
    return page([answer.x for answer in shown], captions, title, colours)


def page(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    colours: Sequence[str] | None = None,
) -> Figure:
    """Pictures of 784 pixels, five in a row, each under its caption."""
    columns = min(5, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    figure = Figure(figsize=(max(4.5, 1.5 * columns), 1.95 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    colours = colours or ["black"] * len(pictures)
    for axes, picture, caption, colour in zip(grid.flat, pictures, captions, colours, strict=False):
        axes.imshow(picture.reshape(28, 28), cmap="gray_r")
        axes.set_title(caption, fontsize=9, color=colour, parse_math=False)
    figure.suptitle(title, fontsize=11, parse_math=False)
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
