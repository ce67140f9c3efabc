"""Whether memory grows with the number of shards, or with the number of epochs.

    python benchmarks/memory.py --data FOLDER_OF_MNIST          15 minutes

train.py runs on a standalone cluster of two executors, with --strategy partitions: on MNIST in 64
shards, on twenty times as many (the same files under other numbers), and for 2,000 epochs. Linux
keeps the peak of each process (VmHWM).
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import measure

import data_loader
import train
from cluster.processes import submit_command
from cluster.standalone import standalone_cluster
from runtime.spark import spark_context

SHARDS, TIMES = 64, 20


def link_shards(source: Path, target: Path) -> None:
    """The shards of `source` many times, under numbers that go on, and its test set."""
    target.mkdir()
    for path in source.iterdir():
        if path.name.startswith("t10k"):
            os.link(path, target / path.name)
            continue
        stem, number = path.name.removesuffix(".gz").rsplit("-", 1)
        for turn in range(TIMES):
            os.link(path, target / f"{stem}-{int(number) + SHARDS * turn:05}.gz")


def peak(process: object = "self") -> float:
    """The most memory that a process has held, in MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def peaks_of_run(words: list[str]) -> dict[str, float]:
    """Train, then ask the driver's Python and Java, its parent, and the executors' Python."""
    with spark_context("memory") as spark:
        train.main(words)
        tasks = spark.parallelize(range(16), 16).map(lambda _: peak())
        found = {"driver's Python, MiB": peak(), "driver's Java, MiB": peak(os.getppid())}
        return found | {"executors' Python, MiB": max(tasks.collect())}


def main() -> None:
    parser = measure.arguments(__doc__, rounds=1)
    parser.add_argument("--epochs", type=int, default=2000, help="of the longest run")
    parser.add_argument("--submitted", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.submitted:
        print(json.dumps(peaks_of_run(options.submitted)))
        return
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        place = data_loader.find_data(options.data)
        data_loader.main(["shard", place, f"{folder}/once", "--shards", str(SHARDS)])
        link_shards(folder / "once", folder / "many")
        (folder / "cluster").mkdir()
        words = f"--digits all --strategy partitions --model-dir {folder}/model"
        words = ["--submitted", *words.split(), "--plots-dir", f"{folder}/plots"]
        with standalone_cluster(folder / "cluster") as cluster:
            for data, times, epochs in (
                ("once", 1, 3),
                ("many", TIMES, 3),
                ("once", 1, options.epochs),
            ):
                told = [*words, "--data", f"{folder}/{data}", "--epochs", str(epochs)]
                command = submit_command(cluster.url, __file__, told, cluster.properties)
                runs = [json.loads(measure.process(command)[1]) for _ in range(options.rounds)]
                row = {"times MNIST": times, "shards": SHARDS * times, "epochs": epochs}
                row |= {key: statistics.median(run[key] for run in runs) for key in runs[0]}
                rows.append(row)
                print(row, flush=True)
    measure.save(options, "memory", rows)


if __name__ == "__main__":
    main()
