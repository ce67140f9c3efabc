"""The figures of the benchmarks; run as a script, it draws them from results/."""

import json
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

FOLDER = Path(__file__).parent.parent / "plots" / "reference"
COLOURS = {
    "article's chain, the obvious way": "#7f7f7f",
    "maps": "#9ecae1",
    "maps, from layers": "#6baed6",
    "partitions": "#1f4e79",
    "averaging": "#2ca25f",
    "averaging, relu, softmax": "#99d8c9",
    "cnn, 3 epochs of 90%": "#6a51a3",
    "plain NumPy": "#e6a532",
    "MLlib": "#b5443c",
    "MLlib, l-bfgs": "#b5443c",
}


def compare(results: dict[str, list[dict]]) -> None:
    """Time per image of each contender, one panel per set of digits."""
    tables = {title: rows for title, rows in results.items() if title != "loading"}
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (title, rows) in zip(panels, tables.items(), strict=True):
        for row in rows:
            # On a logarithmic axis the length of a bar has no meaning: draw dots.
            axes.scatter(row["us_per_image"], row["name"], zorder=2, color=COLOURS[row["name"]])
            at, beside = (row["us_per_image"], row["name"]), {"textcoords": "offset points"}
            said = f"{row['us_per_image']:.1f}"
            axes.annotate(said, at, (7, 0), va="center", fontsize=9, **beside)
        axes.set(xscale="log", title=title, xlabel="microseconds per image, log scale")
        axes.xaxis.set_major_formatter("{x:g}")
        axes.margins(x=0.25, y=0.1)
        axes.grid(color="#d9d9d9", linewidth=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    panels[0].invert_yaxis()
    _save(figure, "benchmark_epochs.png")


def scaling(results: dict[str, list[dict]]) -> None:
    """Seconds of an epoch against the number of images."""
    rows = results["rows"]
    figure, axes = _axes("An epoch of 70% of the images, ten digits")
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        sizes, times = [row["size"] for row in own], [row["median_s"] for row in own]
        axes.plot(sizes, times, marker="o", color=COLOURS[name], label=name)
    axes.set(xscale="log", yscale="log", xlabel="images in the training set", ylabel="seconds")
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.yaxis.set_major_formatter("{x:g}")
    axes.legend()
    _save(figure, "benchmark_scaling.png")


def accuracy(results: dict) -> None:
    """Test accuracy against seconds of training, one curve per round."""
    curves = results["curves"]
    rounds = len(next(iter(curves.values())))
    title = "Test accuracy on ten digits; all but the cnn have 64 hidden units"
    figure, axes = _axes(
        f"{title}\neach {rounds} times; a dot is an epoch, or of MLlib a whole fit"
    )
    for name, runs in curves.items():
        for run in runs:
            label = name if run is runs[0] else None
            seconds, shares = zip(*run, strict=True)
            axes.plot(seconds, shares, marker=".", color=COLOURS[name], label=label, linewidth=1)
    axes.axhline(0.97, color="#777777", linewidth=0.8, linestyle="--", zorder=1)
    axes.text(0.01, 0.98, "97%", transform=axes.get_yaxis_transform(), color="#777777", fontsize=9)
    axes.set(xscale="log", ylim=(0, 1.03), xlabel="seconds of training", ylabel="test accuracy")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_major_formatter(PercentFormatter(1))
    axes.legend(loc="lower right")
    _save(figure, "benchmark_accuracy.png")


def _axes(title: str):
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, fontsize=11)
    axes.grid(color="#d9d9d9", which="both", linewidth=0.5)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Figure, name: str) -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / name, dpi=120)


if __name__ == "__main__":
    for draw in (compare, scaling, accuracy):
        file = Path(__file__).parent / "results" / f"{draw.__name__}.json"
        draw(json.loads(file.read_text()))
