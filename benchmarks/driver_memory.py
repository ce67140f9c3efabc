"""The driver's peak memory for two numbers of shards: MNIST, and twenty copies of MNIST.

    .venv/bin/python benchmarks/driver_memory.py --data FOLDER_OF_MNIST

train.py runs on a standalone cluster of local processes, with --strategy partitions and ten digits.
It reads MNIST in 64 shards, then twenty times as many (the same files under other numbers). Linux
keeps the peak of the driver's two processes, Python and Java (VmHWM).
"""

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import measure

import data_loader
from cluster.processes import started, submit_command
from cluster.standalone import Cluster, standalone_cluster

SHARDS, ROUNDS = 64, 3
WORDS = "--digits all --strategy partitions --epochs 3".split()


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    place = data_loader.find_data(options.data)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data_loader.main(["shard", place, f"{folder}/1", "--shards", str(SHARDS)])
        link_shards(folder / "1", folder / "20", 20)
        (folder / "cluster").mkdir()
        peaks = {1: [], 20: []}
        with standalone_cluster(folder / "cluster") as cluster:
            for _ in range(ROUNDS):
                for times in peaks:
                    words = [*WORDS, "--data", f"{folder}/{times}"]
                    peaks[times].append(peak_memory(cluster, words, folder))
                    print(times, peaks[times][-1], flush=True)
    rows = []
    for times, found in peaks.items():
        medians = {kind: statistics.median(peak[kind] for peak in found) for kind in found[0]}
        rows.append({"images": 60_000 * times, "shards": SHARDS * times} | medians)
    columns = {
        "images": ("images", ",d"),
        "shards": ("shards", ",d"),
        "python": ("driver's Python, MiB", ".0f"),
        "java": ("driver's Java, MiB", ".0f"),
        "seconds": ("the run, s", ".0f"),
    }
    measure.save("driver_memory", {"rows": rows, "peaks": peaks}, measure.table(rows, columns))


def link_shards(source: Path, target: Path, times: int) -> None:
    """Link the shards of `source` into `target` several times, with consecutive numbers."""
    target.mkdir()
    for path in source.iterdir():
        if path.name.startswith("t10k"):
            os.link(path, target / path.name)
            continue
        stem, number = path.name.removesuffix(".gz").rsplit("-", 1)
        for turn in range(times):
            os.link(path, target / f"{stem}-{int(number) + SHARDS * turn:05}.gz")


def peak_memory(cluster: Cluster, words: list[str], folder: Path) -> dict[str, float]:
    """Run train.py on the cluster; returns the peak memory of its driver's processes, in MiB."""
    words = [*words, "--model-dir", f"{folder}/model", "--plots-dir", f"{folder}/plots"]
    peaks, start = {"python": 0.0, "java": 0.0}, time.perf_counter()
    with open(folder / "train.log", "wb") as log:
        command = submit_command(cluster.url, "train.py", words, cluster.properties)
        with started(command, stdout=log, stderr=log) as process:
            while process.poll() is None:
                for kind, peak in high_water(process.pid):
                    peaks[kind] = max(peaks[kind], peak)
                time.sleep(0.05)
    if process.returncode:
        raise SystemExit((folder / "train.log").read_text())
    return peaks | {"seconds": time.perf_counter() - start}


def high_water(group: int):
    """(python or java, MiB) of each process of a group."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            own_group = (folder / "stat").read_text().rpartition(")")[2].split()[2]
            if int(own_group) != group:
                continue
            name = (folder / "comm").read_text().strip()
            status = (folder / "status").read_text().partition("VmHWM:")[2].split()
        except OSError:
            continue  # the process has ended
        kind = next((kind for kind in ("python", "java") if name.startswith(kind)), None)
        if kind and status:
            yield kind, int(status[0]) / 1024


if __name__ == "__main__":
    main()
