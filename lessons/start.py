"""What each lesson begins with: the project on Python's path, Spark, the place of the digits."""

import atexit
import contextlib
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # Jupyter runs a notebook in its own folder

from checks import check  # noqa: E402
from pyspark import SparkContext  # noqa: E402

import data_loader  # noqa: E402
from runtime.spark import spark_context  # noqa: E402

__all__ = ["check", "data_loader", "find_digits", "start_spark"]

_running = contextlib.ExitStack()
atexit.register(_running.close)


def start_spark(name: str) -> SparkContext:
    """Spark on all cores of this machine, until `spark.stop()` or the end of the kernel."""
    _running.close()  # the first cell may run twice
    return _running.enter_context(spark_context(name))


def find_digits() -> str:
    """The folder of MNIST, downloaded if need be; without a network "offline", digits from fonts.

    The variable MNIST_DATA names another folder, or is "offline".
    """
    with contextlib.chdir(ROOT):
        place = data_loader.find_data(os.environ.get("MNIST_DATA"))
        return place if place == "offline" else os.path.abspath(place)
