"""Processes of a cluster on this machine: started, awaited, and stopped whatever happens."""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyspark

from runtime.command_line import UserError

PROJECT = Path(__file__).resolve().parent.parent
SPARK_HOME = Path(pyspark.__file__).parent
SECONDS_TO_START = 120
# Before the shell becomes the program, it leaves a watcher that reads from a pipe of this process.
# The pipe closes when this process ends, by whatever means; the watcher then stops the program.
WATCHED = (
    'exec 3<&0; (read nothing <&3; kill -- -$$) >/dev/null 2>&1 & exec "$0" "$@" 3<&- </dev/null'
)


class Host(NamedTuple):
    """Where a process runs: the address it listens on, and the command that leads there, if any."""

    address: str = "127.0.0.1"
    entry: Sequence[str] = ()


LOOPBACK = Host()


@contextlib.contextmanager
def started(
    command: Sequence[str],
    host: Host = LOOPBACK,
    variables: Mapping[str, str] | None = None,
    **how,
) -> Iterator[subprocess.Popen]:
    """A process, the leader of a group: it is stopped with its group at the end of the block.

    `variables` are added to its environment, `how` is for Popen. The process is stopped even where
    this one is killed.
    """
    process = subprocess.Popen(
        ["sh", "-c", WATCHED, *host.entry, *command],
        stdin=subprocess.PIPE,
        env={**environment(host), **(variables or {})},
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


def show(command: Sequence[str], folder: Path, variables: Mapping[str, str] | None = None) -> None:
    """Print a command and what it says in a folder, where its log goes too. Raises UserError."""
    print(f"\n{folder}$ {shlex.join(command)}", flush=True)
    script = next(Path(word).name for word in command if word.endswith(".py"))
    with open(folder / f"{script}.log", "ab") as log:
        with started(command, variables=variables, cwd=folder, stderr=log) as process:
            status = process.wait()
    if status:
        raise UserError(f"{script} ended with status {status}; logs are in {folder}")


def wait_until_said(process: subprocess.Popen, log: Path, pattern: str) -> str:
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


def environment(host: Host = LOOPBACK) -> dict[str, str]:
    """The variables that make Spark use this Spark and this Python, and the host's address only."""
    ours = {
        "SPARK_HOME": str(SPARK_HOME),
        "SPARK_LOCAL_IP": host.address,
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
    }
    return {**os.environ, **ours}


def submit_command(
    url: str,
    script: str,
    words: Sequence[str],
    properties: Path | None = None,
    options: Sequence[str] = (),
) -> list[str]:
    """The command that sends one of the project's scripts, or any other, to a master.

    `properties` is the file with the secret that the master requires, if it requires one;
    `options` are more of spark-submit's own.
    """
    spark_submit = str(SPARK_HOME / "bin" / "spark-submit")
    shared = ["--properties-file", str(properties)] if properties else []
    return [spark_submit, "--master", url, *shared, *options, str(PROJECT / script), *words]
