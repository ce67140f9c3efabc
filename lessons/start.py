"""What each lesson begins with: the project on Python's path, Spark, the place of the digits."""

import atexit
import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Jupyter runs a notebook in its own folder

from checks import check  # noqa: E402
from IPython import get_ipython  # noqa: E402
from pyspark import SparkContext  # noqa: E402

import data_loader  # noqa: E402
from runtime.spark import spark_context  # noqa: E402

__all__ = ["check", "data_loader", "find_digits", "show", "start_spark"]

_running = contextlib.ExitStack()
atexit.register(_running.close)


def start_spark(name: str) -> SparkContext:
    """Spark on all cores of this machine, until `spark.stop()` or the end of the kernel."""
    _running.close()  # the first cell may run twice
    spark = _running.enter_context(spark_context(name))
    if shell := get_ipython():
        _running.enter_context(_interrupt_ends_jobs(shell, spark))
    return spark


@contextlib.contextmanager
def _interrupt_ends_jobs(shell, spark: SparkContext) -> Iterator[None]:
    """Without this, the next cell would wait for the jobs of an interrupted one.

    PySpark does it by a handler of its own for SIGINT, which Jupyter replaces.
    """

    def after_cell(result) -> None:
        is_running = SparkContext._active_spark_context is spark
        if is_running and isinstance(result.error_in_exec, KeyboardInterrupt):
            spark.cancelAllJobs()

    shell.events.register("post_run_cell", after_cell)
    try:
        yield
    finally:
        shell.events.unregister("post_run_cell", after_cell)


def find_digits() -> str:
    """The folder of MNIST, downloaded if need be; without a network "offline", digits from fonts.

    The variable MNIST_DATA names another folder, or is "offline".
    """
    with contextlib.chdir(ROOT):
        place = data_loader.find_data(os.environ.get("MNIST_DATA"))
        return place if place == "offline" else os.path.abspath(place)


def show(arrays: dict[str, np.ndarray]) -> None:
    """Draw arrays side by side: 784 numbers as an image, 64 as 8x8, two with their values below.

    Red is above 0, blue below. Arrays without a negative number are grey, from 0 (white) to 1, but
    for gradients, whose names begin with d.
    """
    sides = {784: (28, 28), 64: (8, 8), 2: (1, 2)}
    figure, axes = plt.subplots(1, len(arrays), figsize=(1.7 * len(arrays), 2.2), squeeze=False)
    for place, (name, values) in zip(axes[0], arrays.items(), strict=True):
        picture = np.asarray(values, float).reshape(sides.get(values.size, values.shape))
        most, least, colours = max(picture.max(), 1), 0, "gray_r"
        if picture.min() < 0 or name.startswith("d"):
            most = np.abs(picture).max()
            least, colours = -most, "RdBu_r"
        place.imshow(picture, cmap=colours, vmin=least, vmax=most, aspect="auto")
        place.set(title=name, xticks=[], yticks=[], box_aspect=1)
        if values.size == 2:
            place.set_xlabel("   ".join(f"{value:.3f}" for value in values.ravel()))
    figure.tight_layout()
    plt.show()
