"""Seconds of an epoch of `partitions` on 1, 2 and 4 executors, and a cost model fitted to them.

    .venv/bin/python benchmarks/scale.py --data FOLDER_OF_MNIST

The clusters are standalone, with executors of one core. An epoch has 8 to 512 partitions, with 16
images each or 120,000 images in all. The model's constants are fitted to the runs with 1 and 2
executors; the cost of a byte is measured separately. The runs with 4 executors test the model. Each
time is the minimum over all rounds, because other processes on the machine only add time.
"""

import argparse
import functools
import json
import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import measure
import numpy as np

import data_loader
from cluster.processes import environment, submit_command
from cluster.standalone import standalone_cluster
from images.blocks import split_into_blocks
from nn_math import add
from runtime.spark import spark_context
from training.partitions import partitions_epoch
from training.run import initial_of
from training.settings import complete
from training.sums import FAN_IN

EXECUTORS, PARTITIONS, FEW, MANY = (1, 2, 4), (8, 32, 64, 128, 512), 16, 120_000
CONSTANTS = {
    "job": "an epoch: broadcast, plan, collect",
    "launch": "a task, in the driver: launched and followed",
    "task": "a task, on its core: Python's start, theta in, a tuple out",
    "image": "an image of the set, on its core",
    "tree": "a tuple of 204 kB that goes through the tree of sums, on its core",
    "byte": "a byte of the tuples that the driver takes: unpickled and added",
}
BYTES = 4 * (784 * 64 + 64 + 64 * 10 + 10)  # of a tuple


def terms(images: int, partitions: int, cores: int) -> list[float]:
    """The factors by which the constants are multiplied."""
    in_tree, handed_in = 0, partitions
    while handed_in > FAN_IN:
        in_tree += handed_in
        handed_in = -(-handed_in // FAN_IN)
    taken = BYTES * handed_in
    return [1, partitions, partitions / cores, images / cores, in_tree / cores, taken]


def seconds_a_byte() -> float:
    """Seconds per byte for the driver to unpickle and add tuples."""
    own = (1.0, *(np.ones(size, np.float32) for size in (10, 640, 64, 784 * 64)), 1.0, 1)
    pickled = pickle.dumps(own)

    def take() -> None:
        functools.reduce(add, (pickle.loads(pickled) for _ in range(FAN_IN)))

    return min(measure.seconds(take) for _ in range(30)) / (FAN_IN * BYTES)


def timed_epochs(place: str, rounds: int) -> list[dict]:
    """The minimum seconds of an epoch on the cluster to which this script was submitted."""
    images, labels, _ = data_loader.read_part(place, "train")
    options = {"network": "article", "hidden": 64, "fraction": 0.7, "strategy": "partitions"}
    settings = complete({**options, "digits": range(10)})
    found = []
    with spark_context("scale") as spark:
        mnist = spark.broadcast((images, labels))
        for partitions in PARTITIONS:
            for count in (FEW * partitions, MANY):
                bounds = [count * i // partitions for i in range(partitions + 1)]

                def make(partition: int, bounds=bounds):
                    own = np.arange(bounds[partition], bounds[partition + 1]) % len(labels)
                    return split_into_blocks(*(values[own] for values in mnist.value))

                blocks = spark.parallelize(range(partitions), partitions).flatMap(make).cache()
                parameters, numbers = initial_of(settings), iter(range(1, 10**6))
                epoch = lambda: partitions_epoch(blocks, parameters, settings, next(numbers))  # noqa: B023, E731
                (times,) = measure.alternate({"": epoch}, rounds).values()
                found.append({"images": count, "partitions": partitions, "seconds": min(times)})
                blocks.unpersist(blocking=True)
    return found


def fitted(runs: list[dict], cores: int) -> dict[str, float]:
    """The constants, by least squares of relative errors over the runs with 1 and 2 executors."""
    seen = [run for run in runs if run["executors"] <= 2]
    A = np.array([terms_of(run, cores) for run in seen])
    seconds, byte = np.array([run["seconds"] for run in seen]), seconds_a_byte()
    rest = seconds - byte * A[:, -1]
    found, kept = np.zeros(A.shape[1] - 1), list(range(A.shape[1] - 1))
    while True:
        some, *_ = np.linalg.lstsq(A[:, kept] / seconds[:, None], rest / seconds, rcond=None)
        if some.min() >= 0:
            break
        kept.pop(int(some.argmin()))  # no cost is negative
    found[kept] = some
    return dict(zip(CONSTANTS, [*found.tolist(), byte], strict=True))


def terms_of(run: dict, cores: int) -> list[float]:
    return terms(run["images"], run["partitions"], min(run["executors"], cores))


def projected(constants: dict[str, float]) -> list[dict]:
    """The model's prediction for a billion images on a thousand cores, by partitions."""
    found = []
    for partitions in (1_000, 4_000, 16_000, 10**9 // 12_000):
        parts = np.array(terms(10**9, partitions, 1_000)) * list(constants.values())
        cores = parts[2:5].sum()
        driver = parts.sum() - cores
        shares = {"partitions": partitions, "driver": driver, "cores": cores}
        found.append({**shares, "seconds": driver + cores})
    return found


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds")
    parser.add_argument("--submitted", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    place = os.path.abspath(data_loader.find_data(options.data))
    if options.submitted:
        print(json.dumps(timed_epochs(place, options.rounds)))
        return
    runs = []
    for executors in EXECUTORS:
        with tempfile.TemporaryDirectory() as folder:
            with standalone_cluster(Path(folder), executors) as cluster:
                words = ["--submitted", "--data", place, "--rounds", str(options.rounds)]
                done = subprocess.run(
                    submit_command(cluster.url, __file__, words, cluster.properties),
                    env=environment(),
                    capture_output=True,
                    text=True,
                )
        if done.returncode:
            raise SystemExit(done.stderr[-3000:])
        runs += [{"executors": executors, **run} for run in json.loads(done.stdout)]
        print(runs[-len(PARTITIONS) * 2 :], flush=True)
    cores = os.cpu_count() or 1
    constants = fitted(runs, cores)
    for run in runs:
        run["model"] = float(np.dot(terms_of(run, cores), list(constants.values())))
        run["ratio"] = run["model"] / run["seconds"]
    rows = [
        {"what": said, "ms": 1000 * constants[name], "name": name}
        for name, said in CONSTANTS.items()
    ]
    columns = {"name": ("constant", "s"), "what": ("of", "s"), "ms": ("ms", ".3g")}
    heads = ("executors", "d"), ("images", ",d"), ("partitions", "d")
    heads += ("seconds", ".3f"), ("model", ".3f"), ("ratio", ".2f")
    checks = measure.table(runs, {name: (name, form) for name, form in heads})
    far = projected(constants)
    heads = ("partitions", ",d"), ("driver", ".1f"), ("cores", ".1f"), ("seconds", ".1f")
    said = measure.table(far, {name: (name, form) for name, form in heads})
    text = f"{measure.table(rows, columns)}\n\n{checks}\n\n{said}"
    measure.save("scale", {"constants": constants, "runs": runs, "projected": far}, text)


if __name__ == "__main__":
    main()
