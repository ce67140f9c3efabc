"""A training on a cluster that tests can disturb in the midst of an epoch."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

import gated
from from_outside import wait_until

from cluster.processes import LOOPBACK, Host, started, submit_command
from cluster.standalone import Cluster
from runtime import java

EPOCHS = 5
# For spark-submit: what lives for half a minute starts in half the time.
QUICK = {"SPARK_SUBMIT_OPTS": java.quick_options(java.find())}
# By strategy, each with another network.
NETWORKS = {
    "maps": ["--network", "article"],
    "partitions": ["--network", "dense 32, relu, dropout 0.2, dense, softmax", "--digits", "all"],
    "averaging": ["--network", "conv 4 5, maxpool 4, relu, dense, softmax", "--digits", "all"],
}


def words_of(strategy: str) -> list[str]:
    """What train.py is told: on few images, in four partitions."""
    return [
        "--strategy",
        strategy,
        *NETWORKS[strategy],
        "--epochs",
        f"{EPOCHS}",
        "--partitions",
        "4",
    ]


def group(leader: int) -> dict[int, str]:
    """The processes of a group that run: process id -> command line."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, own_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if int(own_group) == leader and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_text()
        except OSError:
            continue  # it has ended meanwhile
    return found


class Submitted:
    """A command that trains, as a process; what it prints is read in the end.

    `gates`: a folder for the gates of gated.py, if the command runs that.
    """

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        host: Host = LOOPBACK,
        variables: Mapping[str, str] | None = None,
        gates: Path | None = None,
    ):
        self.command, self.folder, self.host, self.variables = command, folder, host, variables
        self.gates, self.said = gates, ""

    def __enter__(self):
        self.errors = open(self.folder / "errors.log", "ab")  # noqa: SIM115
        self.output = open(self.folder / "output.log", "w+")  # noqa: SIM115
        self.started = started(
            self.command,
            self.host,
            {**QUICK, **(self.variables or {})},
            cwd=self.folder,
            stdout=self.output,
            stderr=self.errors,
        )
        self.process = self.started.__enter__()
        return self

    def __exit__(self, *raised):
        self.started.__exit__(*raised)
        self.errors.close()
        self.output.close()

    def read(self) -> str:
        """What it has printed so far."""
        return (self.folder / "output.log").read_text()

    def until_said(self, text: str):
        """Wait until it has printed this."""
        self._wait_until(lambda: text in self.read())

    def until_halted(self, epoch: int):
        """Wait until an epoch's tasks stand at its gate."""
        self._wait_until((self.gates / f"halted-{epoch}").exists)

    def open(self, epoch: int):
        """Let the tasks of an epoch go on."""
        (self.gates / f"closed-{epoch}").unlink()

    def _wait_until(self, holds):
        wait_until(lambda: holds() or self.process.poll() is not None, 600)
        assert holds(), self.read()

    def ended(self, status: int = 0):
        """Wait for the end, which has to be of this exit status."""
        found = self.process.wait(timeout=600)
        self.said = self.read()
        assert found == status, self.said

    def kill(self):
        """Kill the command and what it has started."""
        os.killpg(self.process.pid, signal.SIGKILL)


def closed_gates(folder: Path, *epochs: int) -> Path:
    """A folder with a gate in each of these epochs."""
    gates = folder / "gates"
    gates.mkdir(exist_ok=True)
    for epoch in epochs:
        (gates / f"closed-{epoch}").touch()
    return gates


class Training(Submitted):
    """train.py, submitted to a standalone cluster, into folder/model; it halts in some epochs."""

    def __init__(
        self,
        cluster: Cluster,
        folder: Path,
        *words,
        halts: Sequence[int] = (),
        host: Host = LOOPBACK,
    ):
        gates = closed_gates(folder, *halts)
        places = ["--model-dir", folder / "model", "--plots-dir", folder]
        words = [str(word) for word in (gates, *words, *places)]
        cores = ["--total-executor-cores", "2"]
        command = submit_command(cluster.url, gated.__file__, words, cluster.properties, cores)
        super().__init__(command, folder, host, gates=gates)

    def end(self) -> bytes:
        """Wait for the end; gives the parameters of the model."""
        self.ended()
        return (self.folder / "model/parameters.npz").read_bytes()
