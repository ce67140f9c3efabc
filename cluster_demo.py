"""A Spark standalone cluster on this machine, to see the program on one: `make cluster-demo`.

A master and two workers start as processes of their own, on loopback only. `spark-submit` sends
them train.py and then predict.py, from another folder than the project's. In the end, whatever
happens, they are stopped by their process ids.
"""

import argparse
import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pyspark

import data_loader
import storage
from command_line import DATA_HELP, Parser, UserError, exit_status, whole_number
from spark_session import find_java

PROJECT = Path(__file__).resolve().parent
SPARK_HOME = Path(pyspark.__file__).parent
SECONDS_TO_START = 60
# Before the shell becomes the program, it leaves a watcher that reads from a pipe of this process.
# The pipe closes when this process ends, by whatever means; the watcher then stops the program.
WATCHED = (
    'exec 3<&0; (read nothing <&3; kill -- -$$) >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null'
)


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
        url = _said(master, log, r"Starting Spark master at (spark://\S+)")
        cluster = Cluster(url, master, [])
        for number in range(1, workers + 1):
            log = folder / f"worker-{number}.log"
            server = "org.apache.spark.deploy.worker.Worker"
            limits = ["--cores", "1", "--memory", "1g", "--work-dir", f"{folder}/worker-{number}"]
            worker = running.enter_context(_server(log, server, [*limits, url]))
            _said(worker, log, "(Successfully registered with master)")
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


@contextlib.contextmanager
def started(command: Sequence[str], **how) -> Iterator[subprocess.Popen]:
    """A process, the leader of a group: it is stopped with its group at the end of the block.

    `how` is for Popen. The process is stopped even where this one is killed.
    """
    process = subprocess.Popen(
        ["sh", "-c", WATCHED, *command],
        stdin=subprocess.PIPE,
        env=environment(),
        start_new_session=True,
        **how,
    )
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
        process.communicate()


def _said(process: subprocess.Popen, log: Path, pattern: str) -> str:
    """Wait until a server's log says it. Raises UserError if it ends before or takes too long."""
    for _ in range(10 * SECONDS_TO_START):
        text = log.read_text(errors="replace")
        if found := re.search(pattern, text):
            return found[1]
        if process.poll() is not None:
            break
        time.sleep(0.1)
    last = (text.splitlines() or ["nothing"])[-1]
    raise UserError(f"{log.stem} did not start; the last of its log is: {last}")


def environment() -> dict[str, str]:
    """The variables that make Spark use this Spark and this Python, and loopback only."""
    ours = {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    return {**os.environ, **ours}


def submit_command(url: str, script: str, words: Sequence[str]) -> list[str]:
    """The command that sends one of the project's scripts, or any other, to a master."""
    spark_submit = str(SPARK_HOME / "bin" / "spark-submit")
    return [spark_submit, "--master", url, str(PROJECT / script), *words]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="cluster_demo.py",
        description="Train and score on a Spark cluster of a master and workers on this machine.",
        epilog="All other arguments go to train.py.",
    )
    option = parser.add_argument
    option("--data", help=DATA_HELP + " (default: as train.py)")
    option("--workers", type=whole_number(1, 64), default=2, help="of one core and 1 GiB each")
    return parser


def _stopped(number: int, frame) -> None:
    raise KeyboardInterrupt


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Show it; returns 0."""
    options, words = arguments().parse_known_args(argv)
    place = data_loader.find_data(options.data)
    if place != "offline" and not storage.is_uri(place):
        place = os.path.abspath(place)
    signal.signal(signal.SIGTERM, _stopped)
    folder = Path(tempfile.mkdtemp(prefix="cluster-demo-"))
    with standalone_cluster(folder, options.workers) as cluster:
        pids = " and ".join(str(worker.pid) for worker in cluster.workers)
        print(f"master {cluster.url} runs as process {cluster.master.pid}, workers as {pids}")
        for script, own in (("train.py", words), ("predict.py", [])):
            command = submit_command(cluster.url, script, ["--data", place, *own])
            print(f"\n{folder}$ {shlex.join(command)}", flush=True)
            with open(folder / f"{script}.log", "wb") as log:
                with started(command, cwd=folder, stderr=log) as process:
                    status = process.wait()
            if status:
                raise UserError(f"{script} ended with status {status}; logs are in {folder}")
    print(f"\nstopped the master and the workers; results and logs are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
