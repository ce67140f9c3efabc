"""A standalone cluster of processes of their own: the same bits there, and whatever breaks.

These tests take minutes: `make test-all` runs them.
"""

import itertools
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import every_strategy
import pytest

import data_loader
import train
from cluster.processes import environment, started, submit_command
from cluster.standalone import standalone_cluster
from results import checkpoints

pytestmark = pytest.mark.long
ROOT = Path(train.__file__).parent
DEMO = [sys.executable, "-m", "cluster.demo"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def shards(mnist, tmp_path_factory) -> Path:
    """Real MNIST in 12 shards."""
    folder = tmp_path_factory.mktemp("shards")
    assert data_loader.main(["shard", mnist, f"{folder}/mnist", "--shards", "12"]) == 0
    return folder / "mnist"


def test_same_bits_on_any_cores_and_any_workers(small_mnist, tmp_path):
    """With each strategy, on whole files and on shards."""
    shards = str(tmp_path / "shards")
    assert data_loader.main(["shard", small_mnist, shards, "--shards", "7"]) == 0

    def run(master: str) -> list[dict[str, bytes]]:
        folder = tmp_path / f"run of {master}".replace("/", "")
        words = small_mnist, str(folder / "whole"), shards, str(folder / "shards")
        command = submit_command(master, every_strategy.__file__, words)
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:].decode()
        return [every_strategy.parameters(folder / name) for name in ("whole", "shards")]

    first, *others = [run("local[1]"), run("local[2]")]
    for workers in (1, 2):
        (tmp_path / f"cluster-{workers}").mkdir()
        with standalone_cluster(tmp_path / f"cluster-{workers}", workers) as cluster:
            others.append(run(cluster.url))
    for other, one, strategy in itertools.product(others, range(2), train.STRATEGIES):
        assert other[one][strategy] == first[one][strategy], strategy


SMALL = ["--strategy", "partitions", "--epochs", "2"]


def test_the_demonstration_trains_and_scores_and_leaves_no_process(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run(
        [*DEMO, "--data", mnist, *SMALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "epoch 2/2" in done.stdout and "2,115 test images" in done.stdout
    pids = re.search(r"process (\d+), workers as (\d+) and (\d+)", done.stdout).groups()
    assert not any(Path("/proc", pid).exists() for pid in pids)
    (folder,) = tmp_path.glob("cluster-demo-*")
    assert {"parameters.npz", "metrics.json"} <= set(os.listdir(folder / "model"))
    assert not Path(folder, "train.py").exists(), "it is submitted from another folder"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_demonstration_that_is_stopped_stops_its_servers(mnist, tmp_path, monkeypatch, how):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    demo = subprocess.Popen(
        [*DEMO, "--data", mnist, "--epochs", "100000"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pids = re.findall(r"\d+", demo.stdout.readline().partition("runs as process")[2])
    assert len(pids) == 3 and all(Path("/proc", pid).exists() for pid in pids)
    for line in demo.stdout:
        if line.startswith("epoch 1/"):
            demo.send_signal(how)
            break
    assert demo.wait(timeout=60) == (-how if how == signal.SIGKILL else 130)
    wait_until(lambda: not any(group(int(pid)) for pid in pids))


def test_a_demonstration_that_fails_says_why(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run(
        [*DEMO, "--data", mnist, "--fraction", "1e-9"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "error: the mini-batch of epoch 1 is empty" in done.stdout
    assert done.stderr.startswith("error: train.py ended with status 1; logs are in ")


def wait_until(holds, seconds: float = 60):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


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


def executor_of(worker: subprocess.Popen) -> int:
    (pid,) = [pid for pid, line in group(worker.pid).items() if "CoarseGrainedExecutor" in line]
    return pid


class Training:
    """train.py, submitted to a cluster; what it prints is read as it comes."""

    def __init__(self, cluster, folder: Path, *words):
        self.cluster, self.folder, self.words = cluster, folder, [str(word) for word in words]
        self.said = []

    def __enter__(self):
        places = ["--model-dir", str(self.folder / "model"), "--plots-dir", str(self.folder)]
        command = submit_command(self.cluster.url, "train.py", [*self.words, *places])
        self.errors = open(self.folder / "errors.log", "ab")  # noqa: SIM115
        self.started = started(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=self.errors, text=True
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
        assert self.process.wait(timeout=60) == 0, "".join(self.said)
        return (self.folder / "model/parameters.npz").read_bytes()


# Epochs of a second or more, so that there is a midst of them.
LONG_EPOCHS = {
    "maps": ["--epochs", 8],
    "partitions": ["--epochs", 8, "--hidden", 128, "--digits", "all"],
    "averaging": ["--epochs", 8, "--hidden", 128, "--digits", "all", "--learning-rate", 1],
}


@pytest.fixture
def undisturbed(spark, mnist, tmp_path, without_figures):
    """The parameters of a run that nothing disturbs, on this machine's cores."""

    def run(*words) -> bytes:
        folder = tmp_path / "undisturbed"
        places = ["--model-dir", folder, "--plots-dir", folder]
        assert train.main([str(word) for word in (*words, *places)]) == 0
        return (folder / "parameters.npz").read_bytes()

    return run


@pytest.mark.parametrize(
    ("strategy", "data"), [("maps", "whole"), ("partitions", "shards"), ("averaging", "shards")]
)
def test_an_executor_and_a_worker_that_are_killed_in_an_epoch_change_no_bit(
    mnist, shards, tmp_path, undisturbed, strategy, data
):
    place = mnist if data == "whole" else shards
    words = ["--data", place, "--strategy", strategy, *LONG_EPOCHS[strategy]]
    (tmp_path / "cluster").mkdir()
    with standalone_cluster(tmp_path / "cluster") as cluster:
        with Training(cluster, tmp_path, *words) as training:
            training.until_in_the_midst_of(3)
            os.kill(executor_of(cluster.workers[0]), signal.SIGKILL)
            training.until_in_the_midst_of(6)
            assert executor_of(cluster.workers[1])
            os.killpg(cluster.workers[1].pid, signal.SIGKILL)  # its executor is of its group
            parameters = training.end()
    assert (tmp_path / "errors.log").read_text().count("Lost executor") == 2
    assert parameters == undisturbed(*words)


def test_a_driver_that_is_killed_on_a_cluster_is_resumed_to_the_same_bits(
    cluster, mnist, tmp_path, undisturbed
):
    """With each strategy and optimizer: see test_checkpoints.py."""
    strategy = "partitions"
    words = ["--data", mnist, "--strategy", strategy, "--optimizer", "momentum"]
    words += [*LONG_EPOCHS[strategy], "--learning-rate", 0.05, "--checkpoint-every", 1]
    with Training(cluster, tmp_path, *words) as training:
        training.until_in_the_midst_of(4)
        os.killpg(training.process.pid, signal.SIGKILL)
    assert not (tmp_path / "model/parameters.npz").exists()
    progress, _ = checkpoints.load(str(tmp_path / "model"))
    assert len(progress.history) >= 3
    with Training(cluster, tmp_path, *words, "--resume") as training:
        parameters = training.end()
    assert parameters == undisturbed(*words)
