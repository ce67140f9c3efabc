import io
import itertools
import os
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.colors import to_rgb
from PIL import Image

from network.sequential import read
from nn_math import initial_parameters
from pictures import figures
from results.model_files import Epoch, Trained

# A name with dollar signs is no formula.
NAMES = ["/home/someone/data folder/half of $5_{MNIST, digits 2 to 5 and $6^", "/" + 200 * "W"]
FILES = ["accuracy.png", "cost.png", "hidden_units.png"]


def history(epochs: int) -> list[Epoch]:
    rng = np.random.default_rng(epochs)
    return [Epoch(e, rng.random(), rng.random(), 8865, 0.5) for e in range(1, epochs + 1)]


def trained(epochs: int, hidden: int) -> tuple[Trained, tuple, np.ndarray]:
    """What a run of the article's network gives to draw: the result, its start, an image."""
    start, end = initial_parameters(1, hidden, 2), initial_parameters(2, hidden, 2)
    network = read(f"dense {hidden}, sigmoid, dense, sigmoid", 2)
    return Trained(network, end, [0, 1], history(epochs)), start, np.eye(28).reshape(1, 784)


def hidden_units(units: int):
    """What draws the figure of this number of hidden units."""
    return lambda title: figures.hidden_units(initial_parameters(1, units, 2).W1, title)


class Answer(NamedTuple):
    x: np.ndarray
    Y: np.ndarray
    truth: int


def some_answers(count: int) -> list[Answer]:
    rng = np.random.default_rng(count)
    return [Answer(rng.random(784), rng.random(10), number % 10) for number in range(count)]


ROOT = Path(__file__).parent.parent
TEN = [str(digit) for digit in range(10)]
MANY = [*TEN, *"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"]
LONG = [f"a class of clothes no. {digit}" for digit in range(10)]
EVERY_FIGURE = pytest.mark.parametrize(
    "draw",
    [
        lambda title: figures.cost_curve(history(3), title),
        lambda title: figures.accuracy_curve(history(3), 2, title),
        hidden_units(1),
        hidden_units(7),
        hidden_units(300),
        lambda title: figures.confusion_matrix(np.eye(10, dtype=int), TEN, title),
        lambda title: figures.confusion_matrix(np.eye(10, dtype=int), LONG, title),
        lambda title: figures.answers(some_answers(0), TEN, title),
        lambda title: figures.answers(some_answers(1), TEN, title),
        lambda title: figures.answers(some_answers(15), TEN, title),
        lambda title: figures.answers(some_answers(15), LONG, title),
    ],
    ids=[
        *("cost", "accuracy", "1 hidden unit", "7 hidden units", "300 hidden units"),
        *(
            "confusion matrix",
            "named",
            "no answer",
            "1 answer",
            "15 answers",
            "15 names",
        ),
    ],
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
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures.draw_training(str(tmp_path / "plots"), *trained(epochs, hidden), "MNIST")
    drawn = sorted((tmp_path / "plots").iterdir())
    assert [path.name for path in drawn] == FILES
    for path in drawn:
        assert min(png_size(path.read_bytes())) > 100


def test_figures_can_go_to_a_uri(spark, tmp_path):
    figures.draw_training(f"file://{tmp_path}/plots", *trained(2, 2), "MNIST")
    for name in FILES:
        png_size((tmp_path / "plots" / name).read_bytes())


def test_a_later_run_replaces_the_figures(tmp_path):
    contents = []
    for epochs, hidden in ((3, 2), (4, 3)):
        figures.draw_training(str(tmp_path), *trained(epochs, hidden), "MNIST")
        contents.append([(tmp_path / name).read_bytes() for name in FILES])
    assert all(one != other for one, other in zip(*contents, strict=True))
    assert sorted(path.name for path in tmp_path.iterdir()) == FILES


def curve(column: str, epochs: int):
    """The figure of a column of the history, for two digits."""
    if column == "cost":
        return figures.cost_curve(history(epochs), "MNIST")
    return figures.accuracy_curve(history(epochs), 2, "MNIST")


@pytest.mark.parametrize("epochs", [1, 2, 50, 500])
@pytest.mark.parametrize("column", ["cost", "accuracy"])
def test_a_curve_shows_the_history(epochs, column):
    (axes,) = curve(column, epochs).axes
    line = axes.lines[0]
    assert line.get_xdata().tolist() == [epoch.epoch for epoch in history(epochs)]
    assert line.get_ydata().tolist() == [getattr(epoch, column) for epoch in history(epochs)]
    low, high = axes.get_ylim()
    assert low == 0 and high >= max(line.get_ydata())


@pytest.mark.parametrize("costs", [[0.26, 0.25, 0.24], [0.25], [0.0, 0.0], [3.0, 0.1]])
def test_the_highest_cost_is_not_cut_off_at_the_upper_edge(costs):
    epochs = [Epoch(number, cost, 0.5, 10, 0.5) for number, cost in enumerate(costs, 1)]
    figure = figures.cost_curve(epochs, "MNIST")
    FigureCanvasAgg(figure).draw()
    (axes,) = figure.axes
    radius = axes.lines[0].get_markersize() / 2 * figure.dpi / 72
    _, highest = axes.transData.transform((1, max(costs)))
    assert axes.get_ylim()[0] == 0 and highest + radius < axes.bbox.y1


@pytest.mark.parametrize("outputs", [2, 3, 10])
def test_accuracy_has_a_line_where_guessing_would_be_and_cost_has_none(outputs):
    _, chance = figures.accuracy_curve(history(3), outputs, "MNIST").axes[0].lines
    assert list(chance.get_ydata()) == [1 / outputs, 1 / outputs]
    assert len(curve("cost", 3).axes[0].lines) == 1


def test_one_epoch_is_a_point_that_one_can_see():
    (line,) = figures.cost_curve(history(1), "MNIST").axes[0].lines
    assert line.get_marker() not in (None, "None", "")


@pytest.mark.parametrize("column", ["cost", "accuracy"])
def test_axes_are_labelled(column):
    (axes,) = curve(column, 3).axes
    assert axes.get_xlabel() == "epoch"
    assert column in axes.get_ylabel()


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 50])
def test_epochs_are_counted_in_whole_numbers(epochs):
    (axes,) = figures.cost_curve(history(epochs), "MNIST").axes
    low, high = axes.get_xlim()
    assert any(low <= tick <= high for tick in axes.get_xticks())
    assert all(tick == round(tick) for tick in axes.get_xticks())


def test_accuracy_is_shown_in_per_cent():
    figure = curve("accuracy", 3)
    FigureCanvasAgg(figure).draw()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert "0%" in labels and "100%" in labels


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("01", "MNIST, digits 0 and 1, maps, 784-64-2"),
        ("257", "MNIST, digits 2, 5 and 7, maps, 784-64-2"),
        (TEN, "MNIST, all ten digits, maps, 784-64-2"),
    ],
)
def test_the_title_of_a_run_says_its_data_digits_strategy_and_network(names, said):
    assert figures.title_of("MNIST", names, "maps", "784-64-2") == said


def test_many_classes_are_counted_in_the_title_instead_of_named():
    title = figures.title_of("EMNIST", MANY, "maps")
    assert title == "EMNIST, 62 classes, maps"


@pytest.mark.long
def test_a_confusion_matrix_of_many_classes_is_legible():
    counts = np.full((62, 62), 2345) * np.eye(62, dtype=int)
    figure = figures.confusion_matrix(counts, MANY, "EMNIST")
    assert max(saved(figure).shape) < 3600
    (axes,) = figure.axes
    cell = axes.bbox.width / 62
    numbers = [text.get_window_extent() for text in axes.texts]
    assert len(numbers) == 62  # no zeros
    assert max(box.width for box in numbers) < cell
    assert min(box.height for box in numbers) / figure.dpi * 120 > 6  # pixels in the file


def saved(figure) -> np.ndarray:
    """The levels of a figure's file, grey."""
    written = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures.storage, "write", lambda _, content: written.update(png=content))
        figures._save("", "", figure)
    return np.asarray(Image.open(io.BytesIO(written["png"])).convert("L"))


@EVERY_FIGURE
@pytest.mark.parametrize(
    "title", [pytest.param(NAMES[0], marks=pytest.mark.long), NAMES[1]], ids=["path", "long word"]
)
def test_every_figure_says_its_title_and_no_text_is_cut_off(draw, title):
    figure = draw(title)
    assert "".join(title.split()) in "".join(figure.get_suptitle().split())
    levels = saved(figure)
    assert levels[:5].min() == levels[-5:].min() == 255
    assert levels[:, :5].min() == levels[:, -5:].min() == 255


def below_heading(figure) -> float:
    """Inches from the heading down to the first picture or its caption."""
    FigureCanvasAgg(figure).draw()
    (heading,) = [text for text in figure.texts if text.get_text() == figure.get_suptitle()]
    captions = [axes.title.get_window_extent() for axes in figure.axes if axes.get_title()]
    pictures = [axes.bbox for axes in figure.axes if axes.images]
    highest = max(box.y1 for box in captions + pictures)
    return (heading.get_window_extent().y0 - highest) / figure.dpi


@pytest.mark.parametrize("units", [1, 4, 7, 64, 300, 500])
def test_hidden_units_are_square_and_legible_and_stand_right_under_the_heading(units):
    figure = hidden_units(units)("MNIST")
    assert 0 < below_heading(figure) < 0.4
    (axes,) = [axes for axes in figure.axes if axes.images]
    box, (rows, columns) = axes.bbox, axes.images[0].get_array().shape
    pixel = box.width / columns / figure.dpi
    assert box.height / rows / figure.dpi == pytest.approx(pixel)
    assert 0.45 < 28 * pixel < 2  # inches of a unit's picture
    assert figure.get_figwidth() < 12  # a heading of 11 points can be read beside it


@pytest.mark.parametrize("count", [1, 2, 4, 5, 6, 11, 15])
def test_pictures_and_captions_stand_close_and_never_overlap(count):
    names = [f"{letter * 60}.jpg" for letter in "iIMG_20240101WWW"[:count]]
    captions = [f"{figures._name_of(name)}\n7 (0.98)" for name in names]
    figure = figures.sheet([np.eye(28)] * count, captions, "What the network saw")
    assert 0 < below_heading(figure) < 0.4
    above = [axes.title.get_window_extent() for axes in figure.axes]
    below = [axes.bbox for axes in figure.axes]
    for one, other in itertools.combinations(above + below, 2):
        assert not one.overlaps(other)
    for start in range(5, count, 5):
        next_row = max(box.y1 for box in above[start : start + 5])
        assert (below[start - 5].y0 - next_row) / figure.dpi < 0.3


def test_a_page_of_many_images_says_that_it_shows_only_the_first(tmp_path, monkeypatch):
    drawn, renderers = [], []
    monkeypatch.setattr(figures, "MOST_INPUTS", 12)
    monkeypatch.setattr(figures, "_save", lambda folder, name, figure: drawn.append(figure))

    class Counted(RendererAgg):
        def __init__(self, *size):
            renderers.append(size)
            super().__init__(*size)

    monkeypatch.setattr("matplotlib.backends.backend_agg.RendererAgg", Counted)
    seen = [(f"folder/{number}.png", np.eye(28), "7 (0.50)") for number in range(500)]
    figures.draw_inputs(str(tmp_path), seen)
    (figure,) = drawn
    assert "the first 12 of 500 images" in figure.get_suptitle()
    assert len([axes for axes in figure.axes if axes.images]) == 12
    assert len(renderers) == 1  # each has the memory of the whole figure
    figures.draw_inputs(str(tmp_path), seen[:12])
    assert "first" not in drawn[-1].get_suptitle()


DRAW = """
import sys
import numpy as np
from pictures import figures
figures.draw_scores(sys.argv[1], np.array([[9, 1], [2, 8]]), [], [], ["0", "1"], "MNIST")
import matplotlib
print("matplotlib.pyplot" in sys.modules, matplotlib.rcParams["backend"])
"""
SETTINGS = """
text.usetex: True
image.origin: lower
font.family: no such font
figure.dpi: 300
savefig.facecolor: red
"""


@pytest.mark.parametrize(
    ("backend", "taken"),
    [("no such backend", "agg"), pytest.param("svg", "svg", marks=pytest.mark.long)],
)
def test_no_figure_depends_on_the_users_backend_or_settings_of_matplotlib(tmp_path, backend, taken):
    (tmp_path / "matplotlibrc").write_text(SETTINGS)
    drawn = subprocess.run(
        [sys.executable, "-c", DRAW, "theirs"],
        env=os.environ | {"MPLBACKEND": backend, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert drawn.stderr == ""
    assert drawn.stdout.split() == ["False", taken]  # without pyplot
    figures.draw_scores(
        str(tmp_path / "ours"), np.array([[9, 1], [2, 8]]), [], [], ["0", "1"], "MNIST"
    )
    for name in ("confusion_matrix.png", "predictions.png", "mistakes.png"):
        assert (tmp_path / "theirs" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()


@pytest.mark.parametrize(
    ("confusion", "shown", "said"),
    [
        ([[980, 0], [0, 1135]], 0, "No mistake in 2,115 test images"),
        ([[979, 1], [2, 1133]], 3, "All mistakes (3) in 2,115 test images"),
        (
            [[900, 80], [1000, 135]],
            15,
            "The 15 mistakes of the largest error, of 1,080 in 2,115 test images",
        ),
    ],
)
def test_the_page_of_mistakes_says_how_many_there_are(confusion, shown, said):
    assert figures.mistakes_in_words(np.array(confusion), shown) == said


def test_a_name_that_is_no_text_is_drawn_too(tmp_path):
    name = os.fsdecode(b"bad\xff\n.png")
    figures.draw_inputs(str(tmp_path), [(f"folder/{name}", np.eye(28), "7 (0.50)")])
    title = figures.title_of(f"/data/{name}", "01")
    assert title == "/data/bad\ufffd\ufffd.png, digits 0 and 1"
    FigureCanvasAgg(figures.cost_curve(history(2), title)).draw()


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
