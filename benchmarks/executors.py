"""What more executors, more partitions and more images cost in an epoch of `partitions`.

    python benchmarks/executors.py --data FOLDER_OF_MNIST       15 minutes

The clusters are standalone, with 1, 2 and 4 executors of one core. An epoch has 8 to 512 partitions
with 16 images each, which shows the cost of the tasks alone, or with 120,000 images in all. Four
executors need four cores to be faster than two.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import contenders
import measure

import data_loader
from cluster.processes import submit_command
from cluster.standalone import standalone_cluster
from images import sources
from runtime.command_line import counted
from runtime.spark import spark_context

EXECUTORS, PARTITIONS, FEW, MANY = (1, 2, 4), (8, 32, 64, 128, 512), 16, 120_000


def timed_epochs(place: str, sizes: list[tuple[int, int]], rounds: int) -> list[float]:
    """The median seconds of an epoch of each size, on the cluster that this was submitted to."""
    mnist = sources.find(place, "train").read(range(10))[:2]
    found = []
    with spark_context("executors") as spark:
        for images, partitions in sizes:
            split = contenders.spread(spark, mnist, images, partitions)
            epoch = contenders.ours(split, strategy="partitions")
            times = [measure.seconds(epoch) for _ in range(2 + rounds)]
            found.append(statistics.median(times[2:]))
            split.blocks.unpersist(blocking=True)
    return found


def main() -> None:
    parser = measure.arguments(__doc__, rounds=7)
    parser.add_argument("--submitted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    place = os.path.abspath(data_loader.find_data(options.data))
    sizes = [(FEW * number, number) for number in PARTITIONS] + [(MANY, n) for n in PARTITIONS]
    if options.submitted:
        print(json.dumps(timed_epochs(place, sizes, options.rounds)))
        return
    rows = [{"images": images, "partitions": partitions} for images, partitions in sizes]
    for executors in EXECUTORS:
        with tempfile.TemporaryDirectory() as folder:
            with standalone_cluster(Path(folder), executors) as cluster:
                words = ["--submitted", "--data", place, "--rounds", str(options.rounds)]
                command = submit_command(cluster.url, __file__, words, cluster.properties)
                _, found = measure.process(command)
        print(f"{counted(executors, 'executor')}: {found}", flush=True)
        for row, taken in zip(rows, json.loads(found), strict=True):
            row[f"{counted(executors, 'executor')}, median s"] = taken
    measure.save(options, "executors", rows)


if __name__ == "__main__":
    main()
