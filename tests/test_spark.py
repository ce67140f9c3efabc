"""How Spark is started, who can reach it, and what it tells a person when a job fails."""

import ipaddress
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest
from py4j.protocol import Py4JJavaError

import train
from runtime.spark import spark_context

ROOT = Path(train.__file__).parent
SPARK_HOME = Path(pyspark.__file__).parent
# What the suite's own Spark has set, and a person has not.
STARTED_WITH = {"PYSPARK_SUBMIT_ARGS", "SPARK_LOCAL_IP", "PYSPARK_GATEWAY_PORT"}

FAILING = """
import os, signal
from runtime.command_line import UserError, exit_status
from runtime.spark import spark_context

def fail_by(how):
    def fail(number):
        if how == "broken shard":
            raise UserError("shards/train-labels-idx1-ubyte-00017.gz: is cut off")
        if how == "killed worker":
            os.kill(os.getpid(), signal.SIGKILL)

    @exit_status
    def main(argv=None):
        with spark_context("failing") as spark:
            if how == "killed Java":
                spark._gateway.proc.kill()
            spark.parallelize(range(4), 2).map(fail).count()

    return main()

for how in ("broken shard", "killed worker", "killed Java"):
    print(fail_by(how))
"""


def test_a_job_that_spark_gives_up_is_told_in_one_line():
    done = subprocess.run([sys.executable, "-c", FAILING], cwd=ROOT, capture_output=True, text=True)
    errors = done.stderr.splitlines()
    assert done.stdout.split() == ["1", "1", "1"] and len(errors) == 3, errors
    assert errors[0] == "error: shards/train-labels-idx1-ubyte-00017.gz: is cut off"
    assert errors[1].startswith("error: Spark gave up: ")
    assert errors[2].startswith("error: Spark's Java process has ended")


def test_a_mistake_in_a_map_keeps_its_traceback(spark):
    def mistake(number: int) -> float:
        return number / 0

    with pytest.raises(Py4JJavaError) as caught, spark_context("again"):
        spark.parallelize(range(4), 2).map(mistake).count()
    assert "ZeroDivisionError: division by zero" in str(caught.value)
    assert "in mistake" in str(caught.value)


def family(pid: int) -> set[int]:
    """A process and all that descend from it."""
    parents = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
        except OSError:
            continue  # it has ended meanwhile
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def sockets_of(pids: set[int]) -> set[str]:
    """The inodes of the sockets that some processes hold open."""
    found = set()
    for pid in pids:
        for file in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                kind, _, inode = os.readlink(file).partition(":")
            except OSError:
                continue
            if kind == "socket":
                found.add(inode.strip("[]"))
    return found


def listening(pids: set[int]) -> list[tuple[ipaddress._BaseAddress, int]]:
    """Address and port of each socket on which some processes listen, as the system has them."""
    found, own = [], sockets_of(pids)
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] != "0A" or fields[9] not in own:  # 0A: it listens
                continue
            address, _, port = fields[1].partition(":")
            words = [bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8)]
            ip = ipaddress.ip_address(b"".join(words))
            found.append((getattr(ip, "ipv4_mapped", None) or ip, int(port, 16)))
    return found


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the list of sockets is Linux's")
@pytest.mark.parametrize("start", ["python", pytest.param("spark-submit", marks=pytest.mark.long)])
def test_a_local_run_listens_on_loopback_only(small_mnist, tmp_path, start):
    command = [sys.executable] if start == "python" else [f"{SPARK_HOME}/bin/spark-submit"]
    environment = {key: os.environ[key] for key in os.environ.keys() - STARTED_WITH}
    words = [str(ROOT / "train.py"), "--data", small_mnist, "--epochs", "100000"]
    process = subprocess.Popen(
        [*command, *words],
        cwd=tmp_path,
        env=environment | {"PYSPARK_PYTHON": sys.executable},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("epoch 2/"):
                break
        found = listening(family(process.pid))
    finally:
        for pid in family(process.pid):
            os.kill(pid, signal.SIGKILL)
        process.wait()
    assert len(found) >= 3, "the driver and the block manager, and what talks with Python"
    assert all(address.is_loopback for address, _ in found), found
    assert (start == "python") == any(4040 <= port < 4060 for _, port in found), "the UI"


ENCRYPTED = """
import sys, train, predict
data, folder = sys.argv[1:]
places = ["--data", data, "--model-dir", folder, "--plots-dir", folder]
assert train.main([*places, "--epochs", "1", "--strategy", "partitions"]) == 0
assert predict.main(places) == 0
"""


def test_everything_works_with_the_encryption_that_the_readme_asks_for(small_mnist, tmp_path):
    """PySpark cannot broadcast the 200 kB of W1 as an array then."""
    settings = "spark.authenticate", "spark.network.crypto.enabled", "spark.io.encryption.enabled"
    options = " ".join(f"--conf {setting}=true" for setting in settings)
    done = subprocess.run(
        [sys.executable, "-c", ENCRYPTED, small_mnist, str(tmp_path)],
        env=os.environ
        | {"PYTHONPATH": str(ROOT), "PYSPARK_SUBMIT_ARGS": f"{options} pyspark-shell"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


ON_EXECUTORS = """
import sys
for name in ("matplotlib", "tqdm", "PIL"):
    sys.modules[name] = None  # to import it is an error
import nn_math
from epochs import averaging, partitions
from images import blocks, idx_files, shards
from network import optimizers
from runtime import storage
"""


def test_what_executors_import_needs_nothing_but_numpy():
    subprocess.run([sys.executable, "-c", ON_EXECUTORS], cwd=ROOT, check=True)
