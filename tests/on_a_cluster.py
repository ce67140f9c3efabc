"""A training on a cluster that tests can disturb in the midst of an epoch."""

import subprocess
import time
from pathlib import Path

from cluster.processes import LOOPBACK, Host, started, submit_command
from cluster.standalone import Cluster

# Epochs of a second or more, so that there is a midst of them.
LONG_EPOCHS = {
    "maps": ["--epochs", 8],
    "partitions": ["--epochs", 8, "--hidden", 128, "--digits", "all"],
    "averaging": ["--epochs", 8, "--hidden", 128, "--digits", "all", "--learning-rate", 1],
}


class Training:
    """train.py, submitted to a cluster; what it prints is read as it comes."""

    def __init__(self, cluster: Cluster, folder: Path, *words, host: Host = LOOPBACK):
        self.cluster, self.folder, self.host = cluster, folder, host
        self.words = [str(word) for word in words]
        self.said = []

    def __enter__(self):
        places = ["--model-dir", str(self.folder / "model"), "--plots-dir", str(self.folder)]
        words, properties = [*self.words, *places], self.cluster.properties
        command = submit_command(self.cluster.url, "train.py", words, properties)
        self.errors = open(self.folder / "errors.log", "ab")  # noqa: SIM115
        self.started = started(
            command,
            self.host,
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

    def end(self) -> bytes:
        """Wait for the end; gives the parameters that it came to."""
        self.said += self.process.stdout
        assert self.process.wait(timeout=120) == 0, "".join(self.said)
        return (self.folder / "model/parameters.npz").read_bytes()
