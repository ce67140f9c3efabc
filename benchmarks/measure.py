"""What all benchmarks share: their arguments, clocks, and the file of their results.

Imported first, it lets a script find the project's own modules.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import tables

from cluster.processes import environment
from results.model_files import versions
from runtime.spark import spark_context


def arguments(doc: str, rounds: int) -> argparse.ArgumentParser:
    """The command line of every benchmark; `doc` is the script's docstring."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", help="folder of MNIST; default: as train.py")
    parser.add_argument("--rounds", type=int, default=rounds, help=f"default: {rounds}")
    results = "folder for the results; default: benchmarks/results"
    parser.add_argument("--results", type=Path, default=tables.RESULTS, help=results)
    return parser


def spark(name: str):
    """Spark in this process, on all cores, with the memory that the larger sets need."""
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")
    return spark_context(name)


def seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(calls: dict[str, Callable[[], object]], rounds: int, warm_up: int = 2) -> dict:
    """Seconds of each call, alternately: A A, B B, C C, A A, ... The warm-up rounds do not count.

    Of two calls in a row the second counts, as an epoch follows an epoch of its kind in a run: idle
    threads of BLAS keep a core busy for a while, and caches hold what came before.
    """
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(-warm_up, rounds):
        for name, call in calls.items():
            call()
            taken = seconds(call)
            if number >= 0:
                times[name].append(taken)
    return times


def summary(times: list[float]) -> dict[str, float | list[float]]:
    """The median, and the least and the most, which the tables leave out."""
    return {"median s": statistics.median(times), "least, most": [min(times), max(times)]}


def ratio(times: list[float], others: list[float]) -> float:
    """The median of the ratios of what was measured in the same round."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def process(command: Sequence[str]) -> tuple[float, str]:
    """Seconds of a whole process, from its start to its end, and the last line that it printed."""
    start = time.perf_counter()
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{(done.stdout + done.stderr)[-3000:]}")
    return taken, done.stdout.splitlines()[-1]


def save(options: argparse.Namespace, name: str, rows: list[dict], **more) -> None:
    """Write NAME.json, and print its tables."""
    about = {"versions": versions(), "cores": os.cpu_count(), "rounds": options.rounds}
    options.results.mkdir(parents=True, exist_ok=True)
    content = json.dumps({**about, "rows": rows, **more}, indent=1)
    (options.results / f"{name}.json").write_text(content + "\n")
    for table in tables.of_file(name, options.results).values():
        print(f"\n{table}", end="", flush=True)
