"""The figures of the benchmarks, for the README."""

from pathlib import Path

from matplotlib.figure import Figure

FOLDER = Path(__file__).parent.parent / "plots" / "reference"
COLOURS = {
    "article's chain, the obvious way": "#7f7f7f",
    "maps": "#9ecae1",
    "partitions": "#1f4e79",
    "partitions, adam": "#1f4e79",
    "averaging": "#2ca25f",
    "plain NumPy": "#e6a532",
    "MLlib": "#b5443c",
    "MLlib, l-bfgs": "#b5443c",
}


def compare(tables: dict[str, list[dict]]) -> None:
    """Time per image of each contender, a panel for each set of digits."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    for axes, (title, rows) in zip(panels, tables.items(), strict=True):
        names = [row["name"] for row in rows][::-1]
        times = [row["us_per_image"] for row in rows][::-1]
        bars = axes.barh(names, times, color=[COLOURS[name] for name in names])
        axes.bar_label(bars, fmt="%.1f", padding=3, fontsize=8)
        axes.set(xscale="log", title=title, xlabel="microseconds per image, log scale")
        axes.set_xlim(1, 4 * max(times))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in panels[1:]:
        axes.set_yticklabels([])
    _save(figure, "benchmark_epochs.png")


def scaling(rows: list[dict]) -> None:
    """Seconds of an epoch against the number of images."""
    figure, axes = _axes("An epoch of 70% of the images, ten digits")
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        sizes, times = [row["size"] for row in own], [row["median_s"] for row in own]
        axes.plot(sizes, times, marker="o", color=COLOURS[name], label=name)
    axes.set(xscale="log", yscale="log", xlabel="images in the training set", ylabel="seconds")
    axes.legend()
    _save(figure, "benchmark_scaling.png")


def accuracy(curves: dict[str, list[list[tuple[float, float]]]]) -> None:
    """Test accuracy against seconds of training; of each round where there are several."""
    figure, axes = _axes("Test accuracy on ten digits, 64 hidden units")
    for name, runs in curves.items():
        for run in runs:
            label = name if run is runs[0] else None
            seconds, shares = zip(*run, strict=True)
            axes.plot(seconds, shares, marker=".", color=COLOURS[name], label=label, linewidth=1)
    axes.axhline(0.97, color="#999999", linewidth=0.8, linestyle="--")
    axes.set(xscale="log", ylim=(0.3, 1.0), xlabel="seconds of training", ylabel="test accuracy")
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
