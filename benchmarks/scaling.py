"""(b) Seconds of an epoch against the number of images, 10 thousand to 1.2 million, ten digits.

    .venv/bin/python benchmarks/scaling.py --data FOLDER_OF_MNIST

Beyond 60,000 images, the executors shift MNIST's images by up to two pixels in each direction.
`partitions` and the plain NumPy step on the same images alternate.
"""

import itertools
import os
import sys
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")

import contenders
import draw
import measure
import numpy as np
from pyspark import SparkContext

import data_loader
from images.blocks import Block, as_rows, split_into_blocks
from runtime.spark import spark_context

SIZES = (10_000, 60_000, 300_000, 600_000, 1_200_000)
SHIFTS = sorted(itertools.product(range(-2, 3), repeat=2), key=lambda shift: np.hypot(*shift))


def shifted(images: np.ndarray, labels: np.ndarray, start: int, end: int):
    """Images `start` to `end` of an endless set: MNIST, then MNIST with one shift after another."""
    moved = []
    for number in range(start // len(images), -(-end // len(images))):
        own = slice(max(0, start - number * len(images)), end - number * len(images))
        squares = images[own].reshape(-1, 28, 28)
        moved.append(np.roll(squares, SHIFTS[number], axis=(1, 2)).reshape(-1, 784))
    return np.concatenate(moved), labels[np.arange(start, end) % len(labels)]


def spread(spark: SparkContext, images, labels, count: int) -> data_loader.Split:
    """The first `count` images of the endless set, as cached blocks made on the executors."""
    partitions = data_loader.default_partitions(count, *contenders.IN_PARTITION)
    mnist = spark.broadcast((images, labels))
    bounds = [(count * i // partitions, count * (i + 1) // partitions) for i in range(partitions)]

    def make(bound: tuple[int, int]) -> Iterator[Block]:
        return split_into_blocks(*shifted(*mnist.value, *bound))

    blocks = spark.parallelize(bounds, partitions).flatMap(make).cache()
    assert blocks.map(lambda block: len(block[0])).sum() == count
    return data_loader.Split(blocks, count, tuple(range(10)), "shifted MNIST", "", {})


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds")
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave out larger sizes")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    images, labels, _ = data_loader.read_part(place, "train")
    rows = []
    with spark_context("scaling") as spark:
        for count in (size for size in SIZES if size <= options.most):
            split = spread(spark, images, labels, count)
            X, y_true = as_rows(*shifted(images, labels, 0, count), 10, "float32")
            calls = {
                "partitions": contenders.strategy("partitions", split),
                "plain NumPy": contenders.numpy_step(X, y_true),
            }
            taken = measure.alternate(calls, options.rounds)
            rows += [
                {"name": name, "size": count, **measure.summary(times, count)}
                for name, times in taken.items()
            ]
            ours, theirs = rows[-2]["median_s"], rows[-1]["median_s"]
            rows[-2]["ratio"], rows[-1]["ratio"] = ours / theirs, 1.0
            split.blocks.unpersist(blocking=True)
            print(count, f"{ours:.3f} s, NumPy {theirs:.3f} s", flush=True)
            del X, y_true
    columns = {
        "name": ("epoch", "s"),
        "size": ("images in the set", ",d"),
        "median_s": ("median s", ".3f"),
        "least_s": ("least", ".3f"),
        "most_s": ("most", ".3f"),
        "us_per_image": ("us per image of the set", ".2f"),
        "ratio": ("time / NumPy's", ".2f"),
    }
    results = {"rows": rows}
    measure.save("scaling", results, measure.table(rows, columns))
    draw.scaling(results)


if __name__ == "__main__":
    main()
