"""A training on a cluster that tests can disturb in the midst of an epoch."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from cluster.processes import LOOPBACK, Host, started, submit_command
from cluster.standalone import Cluster

# By strategy, each with another network: epochs of half a second or more, which have a midst.
LONG_EPOCHS = {
    "maps": ["--epochs", 8],
    "partitions": ["--epochs", 8, "--network", "mlp", "--digits", "all"],
    "averaging": ["--epochs", 8, "--network", "cnn", "--digits", "all", "--fraction", 0.1],
}


class Submitted:
    """A command that trains, as a process; what it prints is read as it comes."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        host: Host = LOOPBACK,
        variables: Mapping[str, str] | None = None,
    ):
        self.command, self.folder, self.host, self.variables = command, folder, host, variables
        self.said: list[str] = []

    def __enter__(self):
        self.errors = open(self.folder / "errors.log", "ab")  # noqa: SIM115
        self.started = started(
            self.command,
            self.host,
            self.variables,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )
        self.process = self.started.__enter__()
        return self

    def __exit__(self, *raised):
        self.started.__exit__(*raised)
        self.errors.close()

    def until_in_the_midst_of(self, epoch: int):
        """Wait until an epoch has begun and some of its tasks have run."""
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith(f"epoch {epoch - 1}/"):
                time.sleep(0.4 * float(line.split()[-2]))
                return
        raise AssertionError("".join(self.said))

    def ended(self, status: int = 0):
        """Wait for the end, which has to be of this exit status."""
        self.said += self.process.stdout
        assert self.process.wait(timeout=120) == status, "".join(self.said)


class Training(Submitted):
    """train.py, submitted to a standalone cluster, into folder/model."""

    def __init__(self, cluster: Cluster, folder: Path, *words, host: Host = LOOPBACK):
        places = ["--model-dir", folder / "model", "--plots-dir", folder]
        words = [str(word) for word in (*words, *places)]
        super().__init__(
            submit_command(cluster.url, "train.py", words, cluster.properties), folder, host
        )

    def end(self) -> bytes:
        """Wait for the end; gives the parameters that it came to."""
        self.ended()
        return (self.folder / "model/parameters.npz").read_bytes()
