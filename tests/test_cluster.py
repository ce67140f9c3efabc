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
from from_outside import all_answers_to_strangers, family, listening, marked, wait_until
from on_a_cluster import QUICK, Submitted, Training, group, words_of

import data_loader
import train
from cluster.processes import SPARK_HOME, environment, submit_command
from cluster.standalone import standalone_cluster
from results import checkpoints

pytestmark = pytest.mark.long
ROOT = Path(train.__file__).parent
LOCAL_CLUSTER = "local-cluster[2,1,1024]"
QUICK_EXECUTORS = ["--conf", f"spark.executor.extraJavaOptions={QUICK['SPARK_SUBMIT_OPTS']}"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with workers to spare: each training uses two of them, and a test kills one."""
    with standalone_cluster(tmp_path_factory.mktemp("cluster"), workers=5) as running:
        yield running


@pytest.fixture(scope="module")
def shards(small_mnist, tmp_path_factory) -> str:
    """The small cut of MNIST in 7 shards."""
    folder = str(tmp_path_factory.mktemp("shards") / "digits")
    assert data_loader.main(["shard", small_mnist, folder, "--shards", "7"]) == 0
    return folder


def test_same_bits_on_two_cores_and_on_executors_of_one(
    spark, small_mnist, shards, tmp_path, without_figures
):
    """With each strategy, on whole files and on shards."""
    assert spark.defaultParallelism == 2
    folders = [tmp_path / name for name in ("two cores", "two executors")]
    words = [(small_mnist, shards, str(folder)) for folder in folders]
    every_strategy.main(*words[0])
    command = submit_command(
        LOCAL_CLUSTER, every_strategy.__file__, words[1], options=QUICK_EXECUTORS
    )
    done = subprocess.run(command, env=environment() | QUICK, cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:].decode()
    here, there = map(every_strategy.parameters, folders)
    for name in every_strategy.RUNS:
        assert here[name] == there[name], name


def test_the_demonstration_trains_and_scores_on_two_executors_and_leaves_nothing(
    small_mnist, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")
    python = os.path.relpath(sys.executable, tmp_path)
    words = f"--data '{small_mnist}' --strategy partitions --epochs 2"
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
    assert "epoch 2/2" in done.stdout and "test images" in done.stdout
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


def test_a_local_cluster_answers_nobody_and_leaves_no_process_when_its_java_is_killed(
    spark, small_mnist, tmp_path
):
    places = ["--data", small_mnist, "--model-dir", f"{tmp_path}/model", "--plots-dir", tmp_path]
    words = [*map(str, places), "--epochs", "100000"]
    command = submit_command(LOCAL_CLUSTER, "train.py", words, options=QUICK_EXECUTORS)
    mark = f"MARK={tmp_path}"
    with Submitted(command, tmp_path, variables={"MARK": str(tmp_path)}) as training:
        training.until_said("epoch 2/")
        lines = marked(mark)
        assert sum("CoarseGrainedExecutor" in line for line in lines.values()) == 2
        assert_private(spark, [training.process])
        (java,) = (pid for pid in lines if "SparkSubmit" in lines[pid])
        os.kill(java, signal.SIGKILL)
        training.process.wait(timeout=600)
        # `started` has left a shell, which watches until the end of the block.
        wait_until(lambda: all(line.startswith("sh -c") for line in marked(mark).values()))


def assert_private(spark, servers: list[subprocess.Popen]) -> None:
    """A cluster and its training listen on loopback, answer no stranger and show no secret."""
    pids = set().union(*(family(process.pid) for process in servers))
    found = listening(pids)
    ports = {port for _, port in found}
    commands = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in pids}
    executors = [pid for pid, line in commands.items() if "CoarseGrainedExecutor" in line]
    # Only its owner reads that.
    given = Path(f"/proc/{executors[0]}/environ").read_text()
    secret = re.search(r"_SPARK_AUTH_SECRET=(\w+)", given)[1]
    assert len(ports) >= 8, "master, workers, driver and executors, and the pages of some"
    assert all(address.is_loopback for address, _ in found), found
    assert all_answers_to_strangers(spark, ports) == set()
    assert len(secret) >= 64 and not any(secret in line for line in commands.values())


def executors_of(worker: subprocess.Popen) -> list[int]:
    lines = group(worker.pid)
    return [pid for pid in lines if "CoarseGrainedExecutor" in lines[pid]]


@pytest.mark.parametrize(("strategy", "data"), [("maps", "whole"), ("averaging", "shards")])
def test_executor_worker_and_driver_are_killed_in_epochs_and_no_bit_changes(
    spark, cluster, small_mnist, shards, tmp_path, undisturbed, strategy, data
):
    """The driver is resumed. For partitions see test_hosts.py and test_checkpoints.py."""
    words = ["--data", small_mnist if data == "whole" else shards, *words_of(strategy)]
    words += ["--optimizer", "momentum", "--learning-rate", "0.05"]
    with Training(cluster, tmp_path, *words, halts=(2, 3, 4)) as training:
        training.until_halted(2)
        first, second = (worker for worker in cluster.workers if executors_of(worker))
        if strategy == "maps":
            assert_private(spark, [cluster.master, *cluster.workers, training.process])
        os.kill(executors_of(first)[0], signal.SIGKILL)
        training.open(2)
        training.until_halted(3)
        os.killpg(second.pid, signal.SIGKILL)
        training.open(3)
        training.until_halted(4)
        training.kill()
    training.open(4)
    assert (tmp_path / "errors.log").read_text().count("Lost executor") == 2
    assert not (tmp_path / "model/parameters.npz").exists()
    progress, _ = checkpoints.load(str(tmp_path / "model"))
    assert len(progress.history) == 3
    with Training(cluster, tmp_path, *words, "--resume") as training:
        parameters = training.end()
    assert "after epoch 3 of" in training.said
    assert parameters == undisturbed(*words)
