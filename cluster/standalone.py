"""A Spark standalone cluster on this machine: a master and workers, on loopback only."""

import contextlib
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.processes import SPARK_HOME, started, wait_until_said
from runtime.spark import find_java


class Cluster(NamedTuple):
    """A running cluster: the master's URL, and the servers' processes; see `started`."""

    url: str
    master: subprocess.Popen
    workers: list[subprocess.Popen]


@contextlib.contextmanager
def standalone_cluster(folder: Path, workers: int = 2) -> Iterator[Cluster]:
    """A master and workers of one core and 1 GiB each, for the length of a `with` block.

    Their logs and their work go into `folder`. Raises UserError if one does not start.
    """
    find_java()
    with contextlib.ExitStack() as running:
        log = folder / "master.log"
        server = "org.apache.spark.deploy.master.Master"
        master = running.enter_context(_server(log, server, []))
        url = wait_until_said(master, log, r"Starting Spark master at (spark://\S+)")
        cluster = Cluster(url, master, [])
        for number in range(1, workers + 1):
            log = folder / f"worker-{number}.log"
            server = "org.apache.spark.deploy.worker.Worker"
            limits = ["--cores", "1", "--memory", "1g", "--work-dir", f"{folder}/worker-{number}"]
            worker = running.enter_context(_server(log, server, [*limits, url]))
            wait_until_said(worker, log, "(Successfully registered with master)")
            cluster.workers.append(worker)
        yield cluster


@contextlib.contextmanager
def _server(log: Path, name: str, words: Sequence[str]) -> Iterator[subprocess.Popen]:
    spark_class = str(SPARK_HOME / "bin" / "spark-class")
    place = ["--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
    with open(log, "wb") as output:
        command = [spark_class, name, *place, *words]
        with started(command, stdout=output, stderr=subprocess.STDOUT) as process:
            yield process
