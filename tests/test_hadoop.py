"""Real HDFS and YARN on loopback: the same bits there, and whatever breaks.

`make test-hadoop` runs these: Maven fetches the servers, once.
"""

import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import every_strategy
import gated
import pytest
from from_outside import listening, wait_until
from on_a_cluster import EPOCHS, Submitted, closed_gates, group, words_of

import data_loader
import train
from cluster.hadoop import hadoop_cluster
from cluster.processes import submit_command
from pictures import figures
from results import checkpoints
from runtime import storage

pytestmark = pytest.mark.hadoop
NODE_MANAGERS = ("node-manager-1", "node-manager-2")


@pytest.fixture(scope="module")
def hadoop(tmp_path_factory):
    with hadoop_cluster(tmp_path_factory.mktemp("hadoop")) as running:
        yield running


@pytest.fixture(scope="module")
def data(hadoop, spark, small_mnist) -> dict[str, str]:
    """Places in HDFS: a small cut of MNIST, whole and in shards."""
    places = {"small": f"{hadoop.uri}/data/small", "shards": f"{hadoop.uri}/data/small-shards"}
    for file in Path(small_mnist).glob("*ubyte*"):
        storage.write(f"{places['small']}/{file.name}", file.read_bytes())
    assert data_loader.main(["shard", places["small"], places["shards"], "--shards", "7"]) == 0
    return places


def containers(hadoop, main_class: str) -> dict[int, str]:
    """The Java processes of a class that run in containers: process id -> its node manager."""
    return {
        pid: name
        for name in NODE_MANAGERS
        for pid, line in group(hadoop.servers[name].pid).items()
        if main_class in line and not line.startswith("/bin/bash")
    }


EXECUTOR, MASTER = "YarnCoarseGrainedExecutorBackend", "yarn.ApplicationMaster"


def bits(folder: str) -> bytes:
    return storage.read(f"{folder}/parameters.npz")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the list of sockets is Linux's")
def test_all_servers_listen_on_loopback_only(hadoop):
    for name, server in hadoop.servers.items():
        found = listening(set(group(server.pid)))
        assert len(found) >= 2, name
        assert all(address.is_loopback for address, _ in found), (name, found)


@pytest.fixture(scope="module")
def here(spark, data, tmp_path_factory) -> dict[str, bytes]:
    """The parameters of every strategy, on this machine's cores."""
    folder = str(tmp_path_factory.mktemp("here"))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "draw_training", lambda *_: None)
        every_strategy.main(data["small"], data["shards"], folder)
    return every_strategy.parameters(folder)


def test_yarn_gives_the_bits_of_this_machine(hadoop, data, here, tmp_path):
    """Each network with each strategy, on whole files and on shards; the driver is here.

    The defaults of Spark name YARN, as for `python train.py` on a cluster's host.
    """
    settings = (hadoop.folder / "spark.properties").read_text()
    (tmp_path / "spark-defaults.conf").write_text(f"{settings}\nspark.master yarn\n")
    words = ["hdfs:///data/small", "hdfs:///data/small-shards", "hdfs:///bits"]
    command = [sys.executable, every_strategy.__file__, *words]
    variables = {**hadoop.variables, "SPARK_CONF_DIR": str(tmp_path)}
    with Submitted(command, tmp_path, variables=variables) as run:
        run.ended()
    assert every_strategy.parameters(f"{hadoop.uri}/bits") == here


def training(hadoop, folder: Path, mode: str, place: str, halts, *words, more=()) -> Submitted:
    """train.py on YARN, into hdfs:///PLACE; it halts in some epochs."""
    gates = closed_gates(folder, *halts)
    places = ["--model-dir", f"hdfs:///{place}", "--plots-dir", f"hdfs:///{place}/plots"]
    command = hadoop.submit(mode, gated.__file__, [str(gates), *words, *places], more)
    return Submitted(command, folder, variables=hadoop.variables, gates=gates)


def test_an_executor_and_a_node_manager_that_are_killed_in_an_epoch_change_no_bit(
    hadoop, data, tmp_path, undisturbed
):
    words = [*words_of("partitions"), "--data", data["small"]]
    with training(hadoop, tmp_path, "client", "killed", (2, 4), *words) as run:
        run.until_halted(2)
        (master,) = containers(hadoop, "yarn.ExecutorLauncher").values()
        (other,) = set(NODE_MANAGERS) - {master}
        # The master's machine has room for one executor more: the other machine has one or both.
        executors = containers(hadoop, EXECUTOR)
        os.kill(min(executors, key=lambda pid: executors[pid] == other), signal.SIGKILL)
        run.open(2)
        run.until_halted(4)
        wait_until(lambda: other in containers(hadoop, EXECUTOR).values())
        os.killpg(hadoop.servers[other].pid, signal.SIGKILL)  # its containers are of its group
        run.open(4)
        run.ended()
    hadoop.start(other)
    assert (tmp_path / "errors.log").read_text().count("Lost executor") >= 2
    assert bits(f"{hadoop.uri}/killed") == undisturbed(*words)
    assert b"PNG" in storage.read(f"{hadoop.uri}/killed/plots/cost.png")[:8]


class Attempts:
    """What the attempts of a run in cluster mode have printed, in their containers."""

    def __init__(self, hadoop):
        self.folder, self.before = hadoop.folder, set(self._logs(hadoop.folder))

    @staticmethod
    def _logs(folder: Path) -> list[Path]:
        return list(folder.glob("node-manager-*/logs/*/*_000001/stdout"))

    def said(self, attempt: int) -> str:
        for log in set(self._logs(self.folder)) - self.before:
            if log.parent.name.endswith(f"_{attempt:02}_000001"):
                return log.read_text()
        return ""


@pytest.mark.parametrize("what", ["its process is killed", "its machine stands still for a while"])
def test_a_second_attempt_of_yarn_goes_on_to_the_same_bits(
    hadoop, data, tmp_path, undisturbed, what
):
    """A machine that stands still is given up, comes back, and goes on writing for a moment."""
    words = [*words_of("partitions"), "--data", data["shards"]]
    place = f"attempts-{len(what)}"
    attempts = Attempts(hadoop)
    words_here = [*words, "--checkpoint-every", "1", "--resume"]
    # One machine has no room for the second executor.
    soon = ["--conf", "spark.scheduler.maxRegisteredResourcesWaitingTime=1s"]
    with training(hadoop, tmp_path, "cluster", place, [4], *words_here, more=soon) as run:
        run.until_halted(4)
        ((master, machine),) = containers(hadoop, MASTER).items()
        node_manager = hadoop.servers[machine].pid
        first = group(node_manager)
        if what == "its process is killed":
            os.kill(master, signal.SIGKILL)
        else:
            os.killpg(node_manager, signal.SIGSTOP)
        run.open(4)
        try:
            run.process.wait(timeout=900)
        finally:
            os.killpg(node_manager, signal.SIGCONT)
        run.ended()
    wait_until(lambda: not (set(first) - {node_manager}) & set(containers(hadoop, MASTER)), 120)
    assert "after epoch 3 of" in attempts.said(2)
    assert bits(f"{hadoop.uri}/{place}") == undisturbed(*words)
    progress, _ = checkpoints.load(f"{hadoop.uri}/{place}")
    assert len(progress.history) == EPOCHS
    history = storage.read(f"{hadoop.uri}/{place}/history.csv").decode()
    assert [line.split(",")[0] for line in history.splitlines()[1:]] == list("12345")


def test_a_file_in_hdfs_is_replaced_in_one_step(hadoop, spark):
    """Whoever reads meanwhile sees the old or the new one, never none, never half of one."""
    place = f"{hadoop.uri}/replaced/file"
    contents = [bytes([value]) * 300_000 for value in range(2)]
    storage.write(place, contents[0])
    seen, done = [], threading.Event()

    def read_on():
        while not done.is_set():
            seen.append(storage.read(place))

    reader = threading.Thread(target=read_on)
    reader.start()
    for turn in range(40):
        storage.write(place, contents[turn % 2])
    done.set()
    reader.join()
    assert len(seen) > 20 and set(seen) <= set(contents)
    assert storage.names(f"{hadoop.uri}/replaced") == ["file"]


def local_training(hadoop, folder: Path, halts, *words, options=()) -> Submitted:
    """train.py on this machine's cores, into hdfs:///stopped; it halts in some epochs."""
    gates = closed_gates(folder, *halts)
    words = [str(gates), *words, "--model-dir", "hdfs:///stopped", "--plots-dir", str(folder)]
    command = submit_command("local[2]", gated.__file__, words, options=options)
    return Submitted(command, folder, variables=hadoop.variables, gates=gates)


def test_a_name_node_that_stops_and_comes_back(hadoop, data, tmp_path, undisturbed):
    """The run ends with a line and resumes; where HDFS's client is told to wait, it goes on."""
    words = [*words_of("partitions"), "--data", data["small"], "--checkpoint-every", "1"]

    def stop():
        os.killpg(hadoop.servers["name-node"].pid, signal.SIGKILL)
        hadoop.servers["name-node"].wait()

    def start():
        hadoop.start("name-node")
        _, system = storage._hadoop(hadoop.uri)
        wait_until(lambda: not system.isInSafeMode(), 300)  # until it knows where the blocks are

    # By itself the client tries ten times.
    soon = ["--conf", "spark.hadoop.ipc.client.connect.max.retries=2"]
    with local_training(hadoop, tmp_path, [3], *words, options=soon) as run:
        run.until_halted(3)
        stop()
        run.open(3)
        run.process.wait(timeout=600)
        start()
        run.ended(status=1)
    (error,) = (line for line in run.said.splitlines() if line.startswith("error: "))
    assert re.match(r"error: cannot (look at|read|write) hdfs:///stopped/\S+: ", error)
    assert "Traceback" not in run.said
    wait = [*soon, "--conf", "spark.hadoop.dfs.client.retry.policy.enabled=true"]
    with local_training(hadoop, tmp_path, [4], *words, "--resume", options=wait) as run:
        run.until_halted(4)
        stop()
        run.open(4)
        time.sleep(4)  # longer than the client waits without being told to
        start()
        run.ended()
    assert "after epoch 2 of" in run.said
    assert bits(f"{hadoop.uri}/stopped") == undisturbed(*words)


def test_a_quota_that_is_full_ends_a_run_with_one_line_and_a_whole_checkpoint(
    hadoop, data, spark, tmp_path, undisturbed, monkeypatch, capsys
):
    words = ["--data", data["small"], "--epochs", "5", "--checkpoint-every", "1"]
    folder = f"{hadoop.uri}/full"
    path, system = storage._hadoop(folder)
    system.mkdirs(path)
    save, saved = checkpoints.save, []

    def save_and_fill(*all_of):
        saved.append(save(*all_of))
        if len(saved) == 3:
            system.setQuota(path, 2**63 - 1, 2**20)  # a block of 128 MB does not fit into 1 MB

    places = ["--model-dir", folder, "--plots-dir", str(tmp_path)]
    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "save", save_and_fill)
        assert train.main([*words, *places]) == 1
    error = capsys.readouterr().err
    assert re.fullmatch(rf"error: cannot write {folder}/\S+: .*[qQ]uota.*\n", error), error
    assert len(checkpoints.load(folder)[0].history) == 3
    assert not [name for name in storage.names(folder) if "tmp" in name]
    system.setQuota(path, 2**63 - 1, 2**63 - 2)
    assert train.main([*words, *places, "--resume"]) == 0
    assert bits(folder) == undisturbed(*words)
