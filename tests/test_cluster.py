"""A cluster on this machine: the same bits there, and whatever breaks.

Spark's own local-cluster, whose executors are processes; and where a test kills a worker, a master
and workers in processes of their own. These tests take minutes: `make test-all` runs them.
"""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import every_strategy
import pytest
from from_outside import answers_to_strangers, family, listening, marked, wait_until
from on_a_cluster import Submitted, Training, words_of

import data_loader
import train
from cluster.processes import SPARK_HOME, environment, submit_command
from cluster.standalone import standalone_cluster
from results import checkpoints

pytestmark = pytest.mark.long
ROOT = Path(train.__file__).parent
LOCAL_CLUSTER = "local-cluster[2,1,1024]"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with standalone_cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


@pytest.fixture(scope="module")
def shards(small_mnist, tmp_path_factory) -> str:
    """The small cut of MNIST in 7 shards."""
    folder = str(tmp_path_factory.mktemp("shards") / "digits")
    assert data_loader.main(["shard", small_mnist, folder, "--shards", "7"]) == 0
    return folder


def test_same_bits_on_any_cores_and_any_workers(
    spark, small_mnist, shards, tmp_path, without_figures
):
    """With each strategy, on whole files and on shards: on one core, on two, on clusters."""
    assert spark.defaultParallelism == 2
    every_strategy.main(small_mnist, shards, str(tmp_path / "two cores"))
    found = [every_strategy.parameters(tmp_path / "two cores")]

    def run(master: str) -> None:
        words = small_mnist, shards, str(tmp_path / master)
        command = submit_command(master, every_strategy.__file__, words)
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:].decode()
        found.append(every_strategy.parameters(tmp_path / master))

    for master in ("local[1]", "local-cluster[1,1,1024]", LOCAL_CLUSTER):
        run(master)
    for name in every_strategy.RUNS:
        assert {parameters[name] for parameters in found} == {found[0][name]}, name


def test_the_demonstration_trains_and_scores_on_two_executors_and_leaves_nothing(
    mnist, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")
    python = os.path.relpath(sys.executable, tmp_path)
    words = f"--data '{mnist}' --strategy partitions --epochs 2"
    make = ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/program", "cluster-demo"]
    before = left_by_executors()
    done = subprocess.run(
        [*make, f"PYTHON_HERE={python}", f"ARGS={words}"],
        cwd=tmp_path,
        env={**os.environ, "MARK": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    log = (tmp_path / "cluster-demo/spark.log").read_text()
    assert (done.returncode, done.stderr) == (0, ""), log[-3000:]
    assert "epoch 2/2" in done.stdout and "2,115 test images" in done.stdout
    assert log.count("Launching executor") == 2
    saved = os.listdir(tmp_path / "cluster-demo/model")
    assert {"parameters.npz", "metrics.json"} <= set(saved)
    wait_until(lambda: not marked(f"MARK={tmp_path}"))
    assert set(os.listdir(tmp_path)) == {"cluster-demo", "train.py"}
    assert left_by_executors() == before


def left_by_executors() -> list[str]:
    """The folders that the executors of a local cluster work in."""
    work = SPARK_HOME / "work"
    return sorted(os.listdir(work)) if work.exists() else []


@pytest.mark.parametrize("killed", ["python", "java"])
def test_a_local_cluster_whose_driver_is_killed_leaves_no_process(small_mnist, tmp_path, killed):
    places = ["--data", small_mnist, "--model-dir", f"{tmp_path}/model", "--plots-dir", tmp_path]
    command = submit_command(LOCAL_CLUSTER, "train.py", [*map(str, places), "--epochs", "100000"])
    mark = f"MARK={tmp_path}"
    submitted = subprocess.Popen(
        command,
        env={**environment(), "MARK": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )
    try:
        for line in submitted.stdout:
            if line.startswith("epoch 2/"):
                break
        lines = marked(mark)
        assert sum("CoarseGrainedExecutor" in line for line in lines.values()) == 2
        drivers = [pid for pid, line in lines.items() if line.startswith(sys.executable)]
        (python,) = (pid for pid in drivers if "train.py" in lines[pid])
        os.kill(python if killed == "python" else submitted.pid, signal.SIGKILL)
        submitted.communicate()
        wait_until(lambda: not marked(mark))
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)


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
    small_mnist, shards, tmp_path, undisturbed, strategy, data
):
    words = ["--data", small_mnist if data == "whole" else shards, *words_of(strategy)]
    (tmp_path / "cluster").mkdir()
    with standalone_cluster(tmp_path / "cluster") as cluster:
        with Training(cluster, tmp_path, *words, halts=(2, 4)) as training:
            training.until_halted(2)
            os.kill(executor_of(cluster.workers[0]), signal.SIGKILL)
            training.open(2)
            training.until_halted(4)
            assert executor_of(cluster.workers[1])
            os.killpg(cluster.workers[1].pid, signal.SIGKILL)  # its executor is of its group
            training.open(4)
            parameters = training.end()
    assert (tmp_path / "errors.log").read_text().count("Lost executor") == 2
    assert parameters == undisturbed(*words)


@pytest.mark.parametrize("strategy", ["partitions", "averaging"])
def test_a_driver_that_is_killed_on_a_cluster_is_resumed_to_the_same_bits(
    cluster, small_mnist, tmp_path, undisturbed, strategy
):
    """With each strategy and optimizer: see test_checkpoints.py."""
    words = ["--data", small_mnist, *words_of(strategy), "--optimizer", "momentum"]
    words += ["--learning-rate", "0.05", "--checkpoint-every", "1"]
    with Training(cluster, tmp_path, *words, halts=[4]) as training:
        training.until_halted(4)
        training.kill()
    training.open(4)
    assert not (tmp_path / "model/parameters.npz").exists()
    progress, _ = checkpoints.load(str(tmp_path / "model"))
    assert len(progress.history) == 3
    with Training(cluster, tmp_path, *words, "--resume") as training:
        parameters = training.end()
    assert "after epoch 3 of" in training.said
    assert parameters == undisturbed(*words)


@pytest.mark.parametrize("master", [LOCAL_CLUSTER, "standalone"])
def test_a_cluster_answers_nobody_who_lacks_its_secret_and_shows_it_to_nobody(
    spark, cluster, small_mnist, tmp_path, master
):
    places = ["--model-dir", str(tmp_path / "model"), "--plots-dir", str(tmp_path)]
    words = ["--data", small_mnist, "--epochs", "100000", *places]
    servers = [cluster.master, *cluster.workers]
    command = submit_command(cluster.url, "train.py", words, cluster.properties)
    if master == LOCAL_CLUSTER:
        servers = []
        command = submit_command(LOCAL_CLUSTER, "train.py", words)
    with Submitted(command, tmp_path) as training:
        training.until_said("epoch 2/")
        servers.append(training.process)
        pids = set().union(*(family(process.pid) for process in servers))
        found = listening(pids)
        ports = {port for _, port in found}
        spoken = set().union(*(answers_to_strangers(spark, port) for port in ports))
        commands = [Path(f"/proc/{pid}/cmdline").read_text() for pid in pids]
        (executor, *_) = (pid for pid in pids if is_executor(pid))
        # Only its owner reads that.
        given = Path(f"/proc/{executor}/environ").read_text()
    secret = re.search(r"_SPARK_AUTH_SECRET=(\w+)", given)[1]
    assert len(ports) >= 8, "master, workers, driver and executors, and the pages of some"
    assert all(address.is_loopback for address, _ in found), found
    assert spoken == set()
    assert len(secret) >= 64 and not any(secret in command for command in commands)


def is_executor(pid: int) -> bool:
    return "CoarseGrainedExecutor" in Path(f"/proc/{pid}/cmdline").read_text()
