"""The figures that a run draws: curves, hidden units, scores, images. Each names its data set.

They are drawn with matplotlib's own defaults, whatever the user's matplotlibrc says, by Agg, which
needs no screen.
"""

import io
import math
import os
import textwrap
import warnings
from collections.abc import Sequence

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from network.layers import Arrays, Conv, Softmax
from network.sequential import forward
from results.model_files import Epoch, Trained, words_for
from runtime import storage

INK, PALE_INK, WRONG, GRID_LINES = "#1f4e79", "#7f7f7f", "#c0392b", "#d9d9d9"
MOST_UNITS, MOST_FILTERS, MOST_INPUTS = 400, 64, 60  # in one figure
MOST_LETTERS = 80  # of the names of the classes in a title
MANY_CLASSES = 20  # a confusion matrix of more leaves out its zeros
SIDE, LINE, CAPTION = 1.55, 0.19, 0.16  # inches: a picture in a grid, a line of text, of a caption

# A letter that the font lacks, as in 七.png, is drawn as a box; matplotlib need not warn of it.
warnings.filterwarnings("ignore", "Glyph .* missing from font")
with_own_defaults = style.context("default")


def title_of(data: str, names: Sequence[str], *words: str) -> str:
    """What every figure of a run says: its data set, its classes, and what else is known."""
    _, several = words_for(names)
    which = f"{several} {', '.join(names[:-1])} and {names[-1]}"
    if len(names) == 10:
        which = f"all ten {several}"
    elif len(which) > MOST_LETTERS:
        which = f"{len(names)} {several}"
    return ", ".join([_printable(data), which, *words])


@with_own_defaults
def draw_training(
    folder: str, trained: Trained, initial: Arrays, x: np.ndarray, title: str
) -> None:
    """cost.png, accuracy.png and hidden_units.png, put into `folder`.

    initial: the parameters before training; x (1, 784): an image to show filters on.
    """
    outputs, W1 = len(trained.digits), trained.parameters[0]
    entropy = isinstance(trained.network[-1], Softmax)
    _save(folder, "cost.png", cost_curve(trained.history, title, entropy))
    _save(folder, "accuracy.png", accuracy_curve(trained.history, outputs, title))
    if W1.ndim == 2:
        units = hidden_units(W1 - initial[0], title)
    else:
        units = filters(trained, x, title)
    _save(folder, "hidden_units.png", units)


def cost_curve(history: Sequence[Epoch], title: str, entropy: bool = False) -> Figure:
    """The mean error of an image in each epoch's mini-batch: squared, or the cross-entropy."""
    figure, axes = _curve(history, "cost", f"Cost\n{title}")
    axes.set_ylabel(f"cost: mean of {'−Σ y* log Y' if entropy else '½ Σ (Y − y*)²'}")
    axes.set_ylim(0, 1.05 * axes.dataLim.ymax or 1)
    return figure


def accuracy_curve(history: Sequence[Epoch], outputs: int, title: str) -> Figure:
    """The share of right answers in each epoch's mini-batch, and a line at chance level."""
    figure, axes = _curve(history, "accuracy", f"Accuracy\n{title}")
    chance, at = 1 / outputs, axes.get_yaxis_transform()
    axes.axhline(chance, color=PALE_INK, linestyle="--", linewidth=1)
    said = f"chance: 1 in {outputs}"
    axes.text(1, chance + 0.01, said, transform=at, ha="right", color=PALE_INK, fontsize=9)
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
    side = min(max(7.2 / columns, 0.5), 1.8)  # inches of a picture: few are large, many are legible
    which = f"{units}" if shown == units else f"first {shown} of {units}"
    heading = f"What the {which} hidden units have learned\n{title}"
    figure = _figure(side * columns + 1.6, side * rows + 0.2, heading)
    axes = figure.subplots()
    axes.axis("off")
    largest = float(np.quantile(np.abs(change), 0.998)) or 1.0
    image = axes.imshow(mosaic, cmap="RdBu_r", vmin=-largest, vmax=largest, interpolation="nearest")
    ticks = MaxNLocator(nbins=max(2, min(8, int(2 * side * rows))), symmetric=True)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="both", ticks=ticks)
    bar.set_label("change of the weight")
    return figure


def filters(trained: Trained, x: np.ndarray, title: str) -> Figure:
    """The filters of a first convolution, W1, and below each what it gives for an image x (1, 784).

    Red raises the value, blue lowers it; each picture has its own scale.
    """
    place = next(i for i, layer in enumerate(trained.network) if isinstance(layer, Conv))
    through = trained.network[: place + 1]
    _, value = forward(through, trained.parameters[:2], x)
    W1, seen = trained.parameters[0], value[..., 0].swapaxes(0, 1)
    shown = min(len(W1), MOST_FILTERS)
    columns = min(8, shown)
    rows = math.ceil(shown / columns)
    which = f"{shown}" if shown == len(W1) else f"first {shown} of {len(W1)}"
    heading = f"The {which} filters W1, and what each gives for the image on the left\n{title}"
    figure = _figure(columns + 1, 2 * rows, heading)
    grid = figure.subplots(2 * rows, columns + 1)
    for axes in grid.ravel():
        axes.axis("off")
    grid[0, 0].imshow(x.reshape(28, 28), cmap="gray_r")
    for number in range(shown):
        row, column = divmod(number, columns)
        for down, picture in ((0, W1[number].sum(axis=0)), (1, seen[number])):
            axes = grid[2 * row + down, column + 1]
            most = float(np.abs(picture).max()) or 1.0
            axes.imshow(picture, cmap="RdBu_r", vmin=-most, vmax=most, interpolation="nearest")
    return figure


@with_own_defaults
def draw_scores(
    folder: str,
    confusion: np.ndarray,
    first: Sequence,
    mistakes: Sequence,
    names: Sequence[str],
    title: str,
) -> None:
    """confusion_matrix.png, predictions.png and mistakes.png, put into `folder`.

    confusion (k, k): row truth, column prediction. first, mistakes: answers with x, Y, truth.
    """
    _save(folder, "confusion_matrix.png", confusion_matrix(confusion, names, title))
    _save(folder, "predictions.png", answers(first, names, f"The first test images\n{title}"))
    heading = f"{mistakes_in_words(confusion, len(mistakes))}\n{title}"
    _save(folder, "mistakes.png", answers(mistakes, names, heading))


def mistakes_in_words(confusion: np.ndarray, shown: int) -> str:
    """How many of the answers that a confusion matrix counts are wrong, and which are shown."""
    images = int(confusion.sum())
    wrong = images - int(confusion.trace())
    if wrong == 0:
        return f"No mistake in {images:,} test images"
    if wrong == shown:
        return f"All mistakes ({wrong}) in {images:,} test images"
    return f"The {shown} mistakes of the largest error, of {wrong:,} in {images:,} test images"


@with_own_defaults
def draw_inputs(folder: str, seen: Sequence[tuple[str, np.ndarray, str]]) -> None:
    """inputs.png: what the network saw of each file (pixels (1, 784)), and what it answered.

    Shows the first MOST_INPUTS files, and says so where there are more.
    """
    shown = seen[:MOST_INPUTS]
    which = f" of the first {len(shown)} of {len(seen)} images" if len(shown) < len(seen) else ""
    captions = [f"{_name_of(file)}\n{answer}" for file, _, answer in shown]
    heading = f"What the network saw{which}, and its answer"
    _save(folder, "inputs.png", sheet([pixels for _, pixels, _ in shown], captions, heading))


def confusion_matrix(confusion: np.ndarray, names: Sequence[str], title: str) -> Figure:
    """Images by true and predicted class; a colour is a share of the true class."""
    one, _ = words_for(names)
    count = len(names)
    cell = min(max(14 / count, 0.36), 30 / count, 0.62)  # inches
    side = max(3.4, cell * count)
    letters = 0.075 * max(map(len, names))  # inches, at the left; below they lean over
    heading = f"Confusion matrix: true and predicted {one}\n{title}"
    figure = _figure(side + 0.5 + letters, side + 0.5 + letters, heading)
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), images in np.ndenumerate(confusion):
        if images or count <= MANY_CLASSES:
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = axes.text(column, row, f"{images:,}", color=colour, fontsize=16 * cell)
            text.set(ha="center", va="center", in_layout=False)
    axes.set_xticks(range(count), names, parse_math=False)
    if letters > 0.3:
        axes.tick_params("x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), names, parse_math=False)
    axes.set_xlabel("largest output")
    axes.set_ylabel(f"true {one}")
    return figure


def answers(shown: Sequence, names: Sequence[str], title: str) -> Figure:
    """Images with prediction, its output, and truth; a wrong prediction in red."""
    captions, colours = [], []
    for answer in shown:
        predicted = int(answer.Y.argmax())
        said = f"says {names[predicted]} ({answer.Y[predicted]:.2f})"
        captions.append(f"{said}\ntruth {names[answer.truth]}")
        colours.append("black" if predicted == answer.truth else WRONG)
    return sheet([answer.x for answer in shown], captions, title, colours)


def sheet(
    pictures: Sequence[np.ndarray],
    captions: Sequence[str],
    title: str,
    colours: Sequence[str] | None = None,
) -> Figure:
    """Pictures of 784 pixels, five in a row, each under its caption. There may be none."""
    columns = max(1, min(5, len(pictures)))
    rows = max(1, math.ceil(len(pictures) / columns))
    above = CAPTION * max((caption.count("\n") + 1 for caption in captions), default=0)
    figure = _figure(max(4.5, columns * SIDE), rows * (SIDE + above), title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid[len(pictures) :]:
        axes.axis("off")
    for place, (axes, caption) in enumerate(zip(grid, captions, strict=False)):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_color(GRID_LINES)
        axes.imshow(pictures[place].reshape(28, 28), cmap="gray_r")
        colour = colours[place] if colours else "black"
        text = axes.set_title(caption, fontsize=9, pad=4, color=colour, parse_math=False)
        own_width = text.get_window_extent().width / figure.dpi
        text.set_fontsize(9 * min(1, SIDE / own_width))
    return figure


def _curve(history: Sequence[Epoch], what: str, heading: str) -> tuple[Figure, Axes]:
    """Cost or accuracy over the epochs, and that of the validation images if there are any."""
    figure = _figure(6.4, 3.8, heading)
    axes = figure.subplots()
    epochs = [epoch.epoch for epoch in history]
    marker = "o" if len(epochs) <= 60 else None
    values = [getattr(epoch, what) for epoch in history]
    axes.plot(epochs, values, color=INK, marker=marker, markersize=3, label="trained on")
    held_out = [getattr(epoch, f"validation_{what}") for epoch in history]
    if not all(map(math.isnan, held_out)):
        axes.plot(epochs, held_out, color=WRONG, marker=marker, markersize=3, label="validation")
        axes.legend(frameon=False)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    axes.grid(color=GRID_LINES)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _figure(width: float, height: float, heading: str) -> Figure:
    """A figure with about width x height inches under its heading, whose lines are wrapped."""
    most = int(11 * width)  # letters in a line
    lines = [part for line in heading.split("\n") for part in textwrap.wrap(line, most) or [""]]
    figure = Figure((width, height + LINE * len(lines)), layout="compressed")
    FigureCanvasAgg(figure)  # has one renderer; without it, each text measured would make its own
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)
    return figure


def _printable(name: str) -> str:
    """A name without what no font can draw: bytes that are no text, line ends."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in name)


def _name_of(file: str) -> str:
    """The name of a file in lines of at most 24 letters: a long one loses its middle."""
    name = _printable(os.path.basename(file))
    if len(name) > 48:
        name = f"{name[:32]}…{name[-15:]}"
    return textwrap.fill(name, 24)


def _save(folder: str, name: str, figure: Figure) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120, bbox_inches="tight")
    storage.write(storage.join(folder, name), content.getvalue())
