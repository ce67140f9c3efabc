"""A standalone cluster of processes of their own: the same bits there, and whatever breaks.

These tests take minutes: `make test-all` runs them.
"""

import itertools
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import every_strategy
import pytest
from from_outside import answers_to_strangers, family, listening, wait_until
from on_a_cluster import LONG_EPOCHS, Training

import data_loader
import train
from cluster.processes import environment, submit_command
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

    def run(master: str, properties: Path | None = None) -> list[dict[str, bytes]]:
        folder = tmp_path / f"run of {master}".replace("/", "")
        words = small_mnist, str(folder / "whole"), shards, str(folder / "shards")
        command = submit_command(master, every_strategy.__file__, words, properties)
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:].decode()
        return [every_strategy.parameters(folder / name) for name in ("whole", "shards")]

    first, *others = [run("local[1]"), run("local[2]")]
    for workers in (1, 2):
        (tmp_path / f"cluster-{workers}").mkdir()
        with standalone_cluster(tmp_path / f"cluster-{workers}", workers) as cluster:
            others.append(run(cluster.url, cluster.properties))
    for other, one, name in itertools.product(others, range(2), every_strategy.RUNS):
        assert other[one][name] == first[one][name], name


SMALL = ["--strategy", "partitions", "--epochs", "2"]


def test_the_demonstration_trains_and_scores_and_leaves_no_process(mnist, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    done = subprocess.run(
        [*DEMO, "--data", mnist, *SMALL],
        cwd=ROOT,
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


@pytest.mark.parametrize("strategy", ["partitions", "averaging"])
def test_a_driver_that_is_killed_on_a_cluster_is_resumed_to_the_same_bits(
    cluster, mnist, tmp_path, undisturbed, strategy
):
    """With each strategy and optimizer: see test_checkpoints.py."""
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


def test_a_cluster_answers_nobody_who_lacks_its_secret_and_shows_it_to_nobody(
    spark, cluster, mnist, tmp_path
):
    secret = re.search(r"authenticate.secret (\w+)", cluster.properties.read_text())[1]
    assert stat.S_IMODE(cluster.properties.stat().st_mode) == 0o600
    with Training(cluster, tmp_path, "--data", mnist, "--epochs", 100000) as training:
        training.until_in_the_midst_of(2)
        servers = [cluster.master, *cluster.workers, training.process]
        pids = set().union(*(family(process.pid) for process in servers))
        ports = {port for _, port in listening(pids)}
        found = set().union(*(answers_to_strangers(spark, port) for port in ports))
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
        executor = executor_of(cluster.workers[0])
        assert secret in Path(f"/proc/{executor}/environ").read_text()  # only its owner reads that
    assert len(ports) >= 8, "master, workers, driver and executors, and the pages of some"
    assert found == set()
    assert not any(secret in command for command in commands)
