import itertools
import struct
import warnings
import zlib

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.text import Text

from images import offline_digits
from nn_math import initial_parameters
from results import figures
from results.model_files import Epoch

NAMES = ["MNIST", offline_digits.NAME, "/home/someone/data folder/half of MNIST, digits 2 to 5"]
FILES = ["accuracy.png", "cost.png", "hidden_units.png"]


def history(epochs: int) -> list[Epoch]:
    rng = np.random.default_rng(epochs)
    return [Epoch(e, rng.random(), rng.random(), 8865, 0.5) for e in range(1, epochs + 1)]


def hidden_units(units: int):
    """What draws the figure of this number of hidden units."""
    return lambda title: figures.hidden_units(initial_parameters(1, units, 2).W1, title)


EVERY_FIGURE = pytest.mark.parametrize(
    "draw",
    [
        lambda title: figures.cost_curve(history(3), title),
        lambda title: figures.accuracy_curve(history(3), title),
        hidden_units(1),
        hidden_units(7),
    ],
    ids=["cost", "accuracy", "1 hidden unit", "7 hidden units"],
)


def png_size(content: bytes) -> tuple[int, int]:
    """Width and height of a PNG image, all of whose chunks are whole."""
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, place = {}, 8
    while place < len(content):
        length = struct.unpack(">I", content[place : place + 4])[0]
        kind, body = content[place + 4 : place + 8], content[place + 8 : place + 8 + length]
        check_sum = struct.unpack(">I", content[place + 8 + length : place + 12 + length])[0]
        assert check_sum == zlib.crc32(kind + body)
        chunks[kind] = body
        place += 12 + length
    assert kind == b"IEND"
    return struct.unpack(">2I", chunks[b"IHDR"][:8])


@pytest.mark.parametrize(("epochs", "hidden"), [(1, 1), (50, 64), (500, 7), (2, 100)])
def test_a_run_draws_three_whole_images_without_a_warning(tmp_path, epochs, hidden):
    initial, trained = (initial_parameters(seed, hidden, 2) for seed in (1, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.draw_training(str(tmp_path / "plots"), history(epochs), initial, trained, "MNIST")
    drawn = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in drawn] == FILES
    for path in drawn:
        assert min(png_size(path.read_bytes())) > 100


def test_figures_can_go_to_a_uri(spark, tmp_path):
    initial, trained = (initial_parameters(seed, 2, 2) for seed in (1, 2))
    figures.draw_training(f"file://{tmp_path}/plots", history(2), initial, trained, "MNIST")
    for name in FILES:
        png_size((tmp_path / "plots" / name).read_bytes())


def test_a_later_run_replaces_the_figures(tmp_path):
    contents = []
    for epochs, hidden in ((3, 2), (4, 3)):
        initial, trained = (initial_parameters(seed, hidden, 2) for seed in (1, 2))
        figures.draw_training(str(tmp_path), history(epochs), initial, trained, "MNIST")
        contents.append([(tmp_path / name).read_bytes() for name in FILES])
    assert all(one != other for one, other in zip(*contents, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


@pytest.mark.parametrize("epochs", [1, 2, 50, 500])
@pytest.mark.parametrize("column", ["cost", "accuracy"])
def test_a_curve_shows_the_history_and_nothing_else(epochs, column):
    figure = getattr(figures, f"{column}_curve")(history(epochs), "MNIST")
    (axes,) = figure.axes
    (line,) = axes.lines
    assert line.get_xdata().tolist() == [epoch.epoch for epoch in history(epochs)]
    assert line.get_ydata().tolist() == [getattr(epoch, column) for epoch in history(epochs)]
    low, high = axes.get_ylim()
    assert low == 0 and high >= max(line.get_ydata())


def test_one_epoch_is_a_point_that_one_can_see():
    (line,) = figures.cost_curve(history(1), "MNIST").axes[0].lines
    assert line.get_marker() not in (None, "None", "")


@pytest.mark.parametrize(
    ("draw_curve", "label"), [(figures.cost_curve, "cost"), (figures.accuracy_curve, "accuracy")]
)
def test_axes_are_labelled(draw_curve, label):
    (axes,) = draw_curve(history(3), "MNIST").axes
    assert axes.get_xlabel() == "epoch"
    assert label in axes.get_ylabel()


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 50])
def test_epochs_are_counted_in_whole_numbers(epochs):
    (axes,) = figures.cost_curve(history(epochs), "MNIST").axes
    low, high = axes.get_xlim()
    assert any(low <= tick <= high for tick in axes.get_xticks())
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_accuracy_is_shown_in_per_cent():
    figure = figures.accuracy_curve(history(3), "MNIST")
    FigureCanvasAgg(figure).draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "0%" in labels and "100%" in labels


@EVERY_FIGURE
@pytest.mark.parametrize("title", NAMES, ids=["MNIST", "offline digits", "path"])
def test_every_figure_names_its_data_set_and_nothing_of_the_name_is_cut_off(draw, title):
    figure = draw(title)
    (text,) = [text for text in figure.findobj(Text) if title in text.get_text()]
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    box, (width, height) = text.get_window_extent(), canvas.get_width_height()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


@EVERY_FIGURE
def test_a_name_with_dollar_signs_is_no_formula(draw):
    FigureCanvasAgg(draw("/data/$5_{and_$6^")).draw()


def pictures_of_units(figure) -> list[np.ma.MaskedArray]:
    """The 28x28 pictures of a figure of hidden units, row after row; of none, nothing is shown."""
    (image,) = [image for axes in figure.axes for image in axes.images]
    mosaic = image.get_array()
    places = itertools.product(range(0, mosaic.shape[0], 30), range(0, mosaic.shape[1], 30))
    return [mosaic[top : top + 28, left : left + 28] for top, left in places]


@pytest.mark.parametrize(("hidden", "shown"), [(1, 1), (7, 7), (64, 64), (500, 400)])
def test_each_hidden_unit_is_one_picture_of_its_weights(hidden, shown):
    W1 = initial_parameters(1, hidden, 2).W1
    figure = figures.hidden_units(W1, "MNIST")
    pictures = pictures_of_units(figure)
    for unit, picture in enumerate(pictures[:shown]):
        weights = [[W1[28 * row + column, unit] for column in range(28)] for row in range(28)]
        np.testing.assert_array_equal(picture, weights)
    assert all(np.ma.getmaskarray(picture).all() for picture in pictures[shown:])
    said = f"first {shown} of {hidden} hidden" if shown < hidden else f"the {hidden} hidden units"
    assert said in figure.get_suptitle()
    assert any("weight" in axes.get_ylabel() for axes in figure.axes), "the scale has no label"


def test_hidden_units_show_what_training_changed(tmp_path):
    drawn = []
    change = initial_parameters(1, 2, 2).W1
    for start in (np.zeros_like(change), np.rint(4 * change)):
        initial = initial_parameters(1, 2, 2)._replace(W1=start.astype("float64"))
        trained = initial._replace(W1=initial.W1 + change.round(3))
        figures.draw_training(str(tmp_path), history(2), initial, trained, "MNIST")
        drawn.append((tmp_path / "hidden_units.png").read_bytes())
    assert drawn[0] == drawn[1]


def test_all_hidden_units_share_one_scale_with_zero_in_the_middle():
    change = initial_parameters(1, 7, 2).W1
    change[:28, 3] *= 4
    figure = figures.hidden_units(change, "MNIST")
    pictures = [axes.images[0] for axes in figure.axes if axes.images]
    ((low, high),) = {picture.get_clim() for picture in pictures}
    assert low == -high and np.quantile(np.abs(change), 0.99) <= high <= np.abs(change).max()
    for weight, strongest in ((high, "red"), (low, "blue")):
        colour = to_rgb(pictures[0].cmap(pictures[0].norm(weight)))
        assert ("red", "green", "blue")[int(np.argmax(colour))] == strongest


def test_hidden_units_that_learned_nothing_are_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        FigureCanvasAgg(figures.hidden_units(np.zeros((784, 2)), "MNIST")).draw()
