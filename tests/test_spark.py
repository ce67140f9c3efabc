"""How Spark is started, who can reach it, and what it tells a person when a job fails."""

import ast
import contextlib
import errno
import json
import os
import pickle
import random
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyspark
import pytest
from from_outside import (
    all_answers_to_strangers,
    as_a_person,
    family,
    listening,
    marked,
    wait_until,
)
from pyspark import TaskContext
from pyspark.sql import SparkSession

import data_loader
import train
from results import checkpoints
from results.checkpoints import Progress
from runtime import java
from runtime import spark as runtime_spark
from runtime.command_line import UserError
from runtime.spark import MistakeInTask, ended_by_ctrl_c, spark_context
from training.data import hold_out
from training.run import initial_of
from training.settings import complete

ROOT = Path(train.__file__).parent
SPARK_HOME = Path(pyspark.__file__).parent
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
            spark.parallelize(range(4), 2).map(fail).count()

    return main()

for how in ("broken shard", "killed worker"):
    print(fail_by(how))
"""


@pytest.mark.long
def test_a_job_that_spark_gives_up_is_told_in_one_line():
    done = subprocess.run([sys.executable, "-c", FAILING], cwd=ROOT, capture_output=True, text=True)
    errors = done.stderr.splitlines()
    assert done.stdout.splitlines() == ["starting Spark", "1"] * 2 and len(errors) == 2, errors
    assert errors[0] == "error: shards/train-labels-idx1-ubyte-00017.gz: is cut off"
    assert errors[1].startswith("error: Spark's Python process was killed in every attempt")
    assert "memory" in errors[1] and "--resume" in errors[1]


@pytest.mark.parametrize("with_session", [False, pytest.param(True, marks=pytest.mark.long)])
def test_a_mistake_in_a_map_keeps_its_traceback_after_java_has_ended(spark, with_session):
    if with_session:  # PySpark's SQL, which reads Parquet files, changes what is raised
        SparkSession.builder.getOrCreate()

    def mistake(number: int) -> float:
        return number / 0

    with pytest.raises(MistakeInTask) as caught, spark_context("again"):
        spark.parallelize([1], 1).map(mistake).count()
    assert str(caught.value).endswith("ZeroDivisionError: division by zero")
    assert "in mistake" in str(caught.value)


def test_what_java_refuses_on_the_way_out_after_ctrl_c_is_still_ctrl_c(spark):
    """Under spark-submit a terminal's Ctrl-C ends Java too, in the midst of our cleaning up."""
    with pytest.raises(KeyboardInterrupt), spark_context("again"):
        try:
            raise KeyboardInterrupt
        finally:
            spark._jsc.cleanUp()  # there is no such method


on_linux = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="reads Linux's /proc")


@on_linux
def test_a_local_run_listens_on_loopback_only(spark):
    """The suite's own Spark, which started as that of `python train.py` does."""
    spark.parallelize(range(4), 2).count()
    found = listening(family(os.getpid()))
    assert len(found) >= 3, "the driver, the block manager, the UI"
    assert all(address.is_loopback for address, _ in found), found
    assert any(4040 <= port < 4060 for _, port in found), "the UI"


@on_linux
@pytest.mark.long
def test_a_local_run_by_spark_submit_listens_on_loopback_only(small_mnist, tmp_path):
    process = subprocess.Popen(
        [f"{SPARK_HOME}/bin/spark-submit", str(ROOT / "train.py"), "--data", small_mnist]
        + ["--epochs", "100000"],
        cwd=tmp_path,
        env=as_a_person(PYSPARK_PYTHON=sys.executable),
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
    assert not any(4040 <= port < 4060 for _, port in found), "the UI would listen everywhere"


JAVA = """
import sys

from runtime.spark import spark_context
with spark_context("java") as spark:
    options = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    print([str(option) for option in options.getInputArguments() if "Tiered" in str(option)])
    assert any(place.endswith("modules.zip") for place in sys.path)
assert not any(place.endswith("modules.zip") for place in sys.path), "of a run that has ended"
"""


def test_java_of_a_local_run_starts_quickly(spark):
    options = spark._jvm.java.lang.management.ManagementFactory.getRuntimeMXBean()
    assert "-XX:TieredStopAtLevel=1" in map(str, options.getInputArguments())


@on_linux
def test_java_of_a_local_run_takes_its_classes_from_the_archive_of_setup(spark):
    archive = Path(sys.prefix, f"java-{java.find()}.jsa")
    if not archive.exists() and "CI" not in os.environ:
        pytest.skip("setup.sh has made no archive of Spark's classes here")
    mapped = Path(f"/proc/{spark._gateway.proc.pid}/maps").read_text()
    assert str(archive) in mapped


IN_A_SESSION_OF_ONES_OWN = """
import sys
from pathlib import Path

from pyspark.sql import SparkSession

project, data = sys.argv[1:]
spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
sys.path.insert(0, project)
import data_loader, train
split = data_loader.load(spark, Path(data), "train", range(10), 2)
trained = train.fit("dense 8, relu, dense, softmax", split, epochs=2, strategy="partitions")
print(len(trained.history))
"""


@pytest.mark.long
def test_executors_of_a_session_that_runs_already_get_the_modules(small_mnist, tmp_path):
    """In a folder that is not the project's."""
    words = [sys.executable, "-c", IN_A_SESSION_OF_ONES_OWN, str(ROOT), small_mnist]
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    variables = as_a_person(
        PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1", TMPDIR=str(temporary)
    )
    done = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["2"], done.stderr
    assert not list(temporary.glob("modules-*"))


@pytest.mark.long
def test_an_archive_that_java_cannot_use_changes_nothing(monkeypatch, tmp_path):
    folder = tmp_path / "a folder"
    folder.mkdir()
    monkeypatch.setattr(sys, "prefix", str(folder))
    assert java.quick_options(17) == java.FIRST_COMPILER
    Path(folder, "java-17.jsa").write_bytes(b"no archive" * 10**6)
    options = java.quick_options(17)
    assert "java-17.jsa" in options
    command = [sys.executable, "-c", JAVA]
    variables = as_a_person(SPARK_SUBMIT_OPTS=options)
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == f"{[java.FIRST_COMPILER] * 2}", done
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize("given", [None, "-XX:TieredStopAtLevel=3"])
def test_options_of_java_that_the_user_gave_come_last_and_stay(monkeypatch, given):
    monkeypatch.delenv("SPARK_SUBMIT_OPTS", raising=False)
    if given:
        monkeypatch.setenv("SPARK_SUBMIT_OPTS", given)
    with java._environment_of_java("-XX:TieredStopAtLevel=1"):
        words = os.environ["SPARK_SUBMIT_OPTS"].split()
        assert words == ["-XX:TieredStopAtLevel=1", *([given] if given else [])]
    assert os.environ.get("SPARK_SUBMIT_OPTS") == given


@pytest.mark.long
def test_java_of_a_local_run_has_the_options_that_the_user_gave():
    given = {
        "SPARK_SUBMIT_OPTS": "-XX:TieredStopAtLevel=3",
        "PYSPARK_SUBMIT_ARGS": "--driver-java-options -XX:TieredStopAtLevel=4 pyspark-shell",
    }
    command = [sys.executable, "-c", JAVA]
    said = subprocess.run(
        command, cwd=ROOT, env=as_a_person(**given), capture_output=True, text=True
    )
    options = [f"-XX:TieredStopAtLevel={level}" for level in (1, 3, 4)]  # the last one counts
    assert ast.literal_eval(said.stdout.splitlines()[-1]) == options, said


ENCRYPTED = """
import sys, train, predict
data, folder = sys.argv[1:]
places = ["--data", data, "--model-dir", folder, "--plots-dir", folder]
assert train.main([*places, "--epochs", "1", "--strategy", "partitions"]) == 0
assert predict.main(places) == 0
"""


@pytest.mark.long
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


def test_a_broadcast_array_is_written_as_bytes_with_a_length():
    """PySpark's encrypted files ask for the length of all that pickle writes."""
    written = []
    file = types.SimpleNamespace(write=written.append)
    sent = np.arange(100_000.0)
    pickle.dump(runtime_spark._AsBytes(sent), file, 5)
    assert {type(part) for part in written} == {bytes}
    assert pickle.loads(b"".join(written)).tobytes() == sent.tobytes()
    pickle.dump(sent, file, 5)
    assert {type(part) for part in written} != {bytes}, "the array itself has no such length"


ON_EXECUTORS = """
import sys
for name in ("matplotlib", "tqdm", "PIL"):
    sys.modules[name] = None  # to import it is an error
import nn_math
from training import averaging, chain, partitions, sums
from images import blocks, idx_files, shards
from network import layers, sequential
from training import optimizers
from runtime import storage
"""


@pytest.mark.long
def test_what_executors_import_needs_nothing_but_numpy():
    subprocess.run([sys.executable, "-c", ON_EXECUTORS], cwd=ROOT, check=True)


HOLDING = """
import sys
from runtime.spark import spark_context
with spark_context("held") as spark:
    shared = spark.broadcast([1] * 100)
    spark.parallelize(range(4), 2).map(lambda number: number + shared.value[0]).collect()
    print("ready", flush=True)
    sys.stdin.read()
"""


@contextlib.contextmanager
def held(*settings: str, **how) -> Iterator[subprocess.Popen]:
    """A Spark of its own that has done a job, and goes on until the block ends or kills it."""
    options = " ".join(f"--conf {setting}" for setting in settings)
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING],
        cwd=ROOT,
        env=as_a_person(PYSPARK_SUBMIT_ARGS=f"--master local[2] {options} pyspark-shell", **how),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        umask=0,
    )
    assert [process.stdout.readline() for _ in range(2)] == ["starting Spark\n", "ready\n"]
    try:
        yield process
    finally:
        process.communicate()


@on_linux
def test_a_local_run_answers_nobody_who_lacks_its_secret(spark):
    ports = {port for _, port in listening(family(os.getpid()))}
    found = all_answers_to_strangers(spark, ports)
    assert len(ports) >= 3
    assert found == set()


@on_linux
@pytest.mark.long
def test_a_local_run_without_a_secret_would_answer_strangers(spark, short_folder):
    """Where the user has switched it off: the test before this one would see it."""
    with held("spark.authenticate=false", TMPDIR=str(short_folder)) as process:
        ports = {port for _, port in listening(family(process.pid))}
        found = all_answers_to_strangers(spark, ports, 6000)
        assert len(list(short_folder.iterdir())) == 1
    assert found == {"messages", "blocks"}
    assert list(short_folder.iterdir()) == [], "the folder of a run goes with it"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """For Unix sockets, whose paths cannot be as long as pytest's own folders."""
    folder = tempfile.mkdtemp(prefix="t", dir="/tmp")
    os.chmod(folder, 0o777)
    yield Path(folder)
    shutil.rmtree(folder)


@on_linux
def test_the_folder_of_a_run_keeps_others_out_whatever_the_umask_and_goes_with_it():
    before = os.umask(0)
    try:
        with runtime_spark._temporary_folders("held") as (folder, _):
            assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    finally:
        os.umask(before)
    assert not os.path.exists(folder)


def test_files_stay_in_a_long_temporary_folder_and_only_sockets_leave_it(monkeypatch, tmp_path):
    long = tmp_path / ("x" * runtime_spark.LONGEST_TEMPORARY_FOLDER)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with runtime_spark._temporary_folders("held") as (folder, sockets):
        assert Path(folder).parent == long
        assert len(sockets) <= runtime_spark.LONGEST_TEMPORARY_FOLDER
    assert not os.path.exists(folder) and not os.path.exists(sockets)
    monkeypatch.setattr(tempfile, "tempdir", "/tmp")
    with runtime_spark._temporary_folders("held") as (folder, sockets):
        assert folder == sockets


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
        FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
        pickle.PicklingError(
            "Could not serialize broadcast: OSError: [Errno 28] No space left on device"
        ),
    ],
)
def test_a_full_disk_for_temporary_files_is_named(error):
    with pytest.raises(UserError, match="disk for temporary files is full"):
        with runtime_spark._full_disk_is_named():
            raise error


class WithoutExecutors:
    """What `_reminding_of_executors` asks of a SparkContext."""

    master = "spark://cluster:7077"

    def __init__(self, executors: int):
        self.registered = executors + 1  # and the driver

    def __getattr__(self, name):
        return lambda *_: self

    @property
    def _jsc(self):
        return self

    def size(self):
        return self.registered

    def getActiveJobsIds(self):
        return [0]

    def get(self, name, default=None):
        return {"spark.driver.host": "driver", "spark.driver.port": "40000"}.get(name, default)


@pytest.mark.parametrize(("executors", "lines"), [(0, 2), (1, 0)])
def test_waiting_for_executors_is_told_again_and_again(capsys, monkeypatch, executors, lines):
    monkeypatch.setattr(runtime_spark, "SECONDS_TO_FIRST_EXECUTOR", 0.01)
    monkeypatch.setattr(runtime_spark, "SECONDS_TO_REMIND", 0.01)
    with runtime_spark._reminding_of_executors(WithoutExecutors(executors)):
        time.sleep(0.2)
    told = capsys.readouterr().out.splitlines()
    assert len(told) >= lines and bool(told) == bool(lines)
    for line in told:
        assert line.startswith("waiting for spark://cluster:7077: no executor yet.")
        assert "1g of memory" in line and line.endswith("driver at driver:40000")


@on_linux
def test_sockets_of_a_run_are_in_a_folder_of_its_own(spark):
    spark.parallelize(range(4), 2).count()
    folder = Path(spark._jvm.java.lang.System.getProperty("java.io.tmpdir"))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    found = [file for file in folder.rglob("*") if file.is_socket()]
    assert found or pyspark.__version__ < "4.1", "to the workers"
    elsewhere = [file for file in Path(tempfile.gettempdir()).glob("*.sock")]
    assert [file for file in elsewhere if file.stat().st_ctime > folder.stat().st_ctime] == []


@on_linux
@pytest.mark.long
def test_a_run_keeps_others_out_and_leaves_nothing_when_its_python_is_killed(short_folder):
    """Although the umask, 000, lets everybody in."""
    mark = f"MARK={short_folder}"
    with held(TMPDIR=str(short_folder), MARK=str(short_folder)) as process:
        (folder,) = short_folder.iterdir()
        found = [file for file in folder.rglob("*") if file.is_socket()]
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert len(found) >= 2 or pyspark.__version__ < "4.1", "to the workers, for accumulators"
        if os.getuid() == 0 and found:
            assert any(connects(file) for file in found)
            assert not any(connects(file, account=65534) for file in found)
        assert any("java" in line for line in marked(mark).values())
        process.kill()
        wait_until(lambda: not marked(mark))
    assert list(short_folder.iterdir()) == []


def connects(path: Path, account: int | None = None) -> bool:
    """Whether an account of this machine, this one or another, can connect to a Unix socket."""
    child = os.fork()
    if child == 0:
        if account is not None:
            os.setgroups([])
            os.setgid(account)
            os.setuid(account)
        try:
            socket.socket(socket.AF_UNIX).connect(str(path))
        except OSError:
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


DISTURBED = """
import os, signal, sys
from pyspark import TaskContext
from pyspark.sql import SparkSession
import data_loader, train

log, *words = sys.argv[1:]
undisturbed = data_loader.image_label_pairs

def killed_once(number, pairs):
    yield from pairs
    if number == 1 and TaskContext.get().attemptNumber() == 0:
        with open(log, "a") as said:
            said.write("killed\\n")
        os.kill(os.getpid(), signal.SIGKILL)

def disturbed(*arguments):
    return undisturbed(*arguments).mapPartitionsWithIndex(killed_once)

data_loader.image_label_pairs = disturbed
sys.exit(train.main(words))
"""


def three_epochs(data: str, tmp_path: Path, folder: str) -> list[str]:
    places = ["--data", data, "--model-dir", str(tmp_path / folder), "--plots-dir", str(tmp_path)]
    return [*places, "--epochs", "3", "--partitions", "3"]


def test_a_worker_that_is_killed_in_each_epoch_changes_no_bit(
    spark, small_mnist, tmp_path, without_figures, monkeypatch
):
    """In the suite's Spark, on two cores."""
    log, pairs_of = str(tmp_path / "killed"), data_loader.image_label_pairs

    def killed_once(number, pairs):
        yield from pairs
        if number == 1 and TaskContext.get().attemptNumber() == 0:
            with open(log, "a") as said:
                said.write("killed\n")
            os.kill(os.getpid(), signal.SIGKILL)

    def disturbed(*arguments):
        return pairs_of(*arguments).mapPartitionsWithIndex(killed_once)

    with monkeypatch.context() as patch:
        patch.setattr(data_loader, "image_label_pairs", disturbed)
        assert train.main(three_epochs(small_mnist, tmp_path, "disturbed")) == 0
    assert Path(log).read_text().count("killed") >= 3
    assert train.main(three_epochs(small_mnist, tmp_path, "undisturbed")) == 0
    disturbed, undisturbed = (
        (tmp_path / folder / "parameters.npz").read_bytes()
        for folder in ("disturbed", "undisturbed")
    )
    assert disturbed == undisturbed


@pytest.mark.long
def test_a_worker_that_is_killed_in_each_epoch_on_one_core_changes_no_bit(
    spark, small_mnist, tmp_path, without_figures
):
    """Where Spark by itself would not try a task again."""
    log = tmp_path / "killed"
    done = subprocess.run(
        [sys.executable, "-c", DISTURBED, log, *three_epochs(small_mnist, tmp_path, "disturbed")],
        env=as_a_person(PYTHONPATH=str(ROOT), PYSPARK_SUBMIT_ARGS="--master local pyspark-shell"),
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert log.read_text().count("killed") >= 3
    assert train.main(three_epochs(small_mnist, tmp_path, "undisturbed")) == 0
    disturbed, undisturbed = (
        (tmp_path / folder / "parameters.npz").read_bytes()
        for folder in ("disturbed", "undisturbed")
    )
    assert disturbed == undisturbed


def start(script: str, *words, **how) -> subprocess.Popen:
    """One of the scripts, as a terminal starts it: the leader of a group."""
    return subprocess.Popen(
        [sys.executable, str(ROOT / script), *map(str, words)],
        env=as_a_person(**how),
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def endless(data: str, folder: Path) -> list:
    places = ["--data", data, "--model-dir", folder / "model", "--plots-dir", folder / "plots"]
    return [*places, "--epochs", 100000, "--hidden", 4]


@pytest.mark.long
def test_java_that_is_killed_in_an_epoch_is_told_in_one_line(small_mnist, tmp_path):
    process = start("train.py", *endless(small_mnist, tmp_path), MARK=str(tmp_path))
    try:
        for line in process.stdout:
            if line.startswith("epoch 3/"):
                break
        (java,) = (pid for pid, line in marked(f"MARK={tmp_path}").items() if "SparkSubmit" in line)
        os.kill(java, signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1
    assert errors == "error: Spark's Java process has ended; was it killed, or out of memory?\n"


@pytest.mark.long
def test_what_java_said_before_it_ended_by_itself_is_told(small_mnist, tmp_path):
    words = "--data", small_mnist, "--model-dir", tmp_path / "m", "--plots-dir", tmp_path
    process = start("train.py", *words, SPARK_LOCAL_DIRS="/proc/none")
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert re.fullmatch("error: Spark did not start: [^\n]*/proc/none[^\n]*\n", errors)


@pytest.mark.long
def test_a_reader_that_goes_away_ends_training_quietly_and_loses_nothing(small_mnist, tmp_path):
    """As in `train.py | head -3`."""
    process = start("train.py", *endless(small_mnist, tmp_path))
    try:
        for line in process.stdout:
            if line.startswith("epoch 2/"):
                break
        process.stdout.close()
        errors = process.stderr.read()
        assert process.wait(timeout=60) == 141, errors
    finally:
        process.kill()
    assert errors == ""
    history = (tmp_path / "model/history.csv").read_text().splitlines()
    assert len(history) > 3  # the heading, both epochs that were read, those before it was noticed
    progress, _ = checkpoints.load(str(tmp_path / "model"))
    assert len(progress.history) == len(history) - 1
    assert (tmp_path / "model/parameters.npz").exists()


@pytest.fixture(scope="module")
def model(spark, small_mnist, tmp_path_factory) -> list[str]:
    """The places of a small trained model, as words."""
    folder = tmp_path_factory.mktemp("trained")
    places = ["--data", small_mnist, "--model-dir", f"{folder}", "--plots-dir", f"{folder}"]
    assert train.main([*places, "--epochs", "2", "--hidden", "4"]) == 0
    return places


@pytest.mark.long
@pytest.mark.parametrize("words", [["--help"], ["scores"]])
def test_a_reader_that_is_gone_before_the_first_line_hears_nothing_of_predict(model, words):
    """As in `predict.py | head -0`."""
    scored = Path(model[3]) / "metrics.json"
    scored.unlink(missing_ok=True)
    process = start("predict.py", *(model if words == ["scores"] else words))
    process.stdout.close()
    try:
        errors = process.stderr.read()
        status = process.wait(timeout=60)
    finally:
        process.kill()
    assert errors == ""
    if words == ["--help"]:
        assert status in (0, 141)  # argparse swallows what writing its help raises
    else:
        assert status == 141 and json.loads(scored.read_text())["images"] > 0


def interrupted(moment: float | str, folder: Path, script: str, *words) -> tuple[int, str, str]:
    """Status and output of a script that a terminal's Ctrl-C reaches.

    moment: the seconds before it, or the beginning of the line before it. Nothing of it is left
    afterwards: no process, no file beside its results.
    """
    said = ""
    process = start(script, *words, MARK=str(folder), TMPDIR=str(folder))
    try:
        if isinstance(moment, str):
            said = lines_until(moment, process)
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moment)
        assert process.returncode is None, "it has ended before"
        os.killpg(process.pid, signal.SIGINT)
        output, errors = process.communicate(timeout=60)
        left = marked(f"MARK={folder}")
    finally:
        for pid in marked(f"MARK={folder}"):
            os.kill(pid, signal.SIGKILL)
    assert left == {}, f"after {moment}"
    assert list(folder.iterdir()) == [], f"after {moment}"
    return process.returncode, said + output, errors


def lines_until(beginning: str, process: subprocess.Popen) -> str:
    """What a process prints up to the first line with this beginning."""
    said = ""
    for line in process.stdout:
        said += line
        if line.startswith(beginning):
            break
    return said


@on_linux
@pytest.mark.long
@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_ctrl_c_leaves_nothing_and_no_traceback_whenever_it_comes(
    small_mnist, model, tmp_path, short_folder, script
):
    """From 0.2 s on, to the second epoch of train.py, or to the figures of predict.py."""
    words = endless(small_mnist, tmp_path) if script == "train.py" else model
    began = time.monotonic()
    subprocess.run([sys.executable, "-c", "import signal"], check=True)
    first = 0.2 + time.monotonic() - began  # before its first line no program can help it
    began = time.monotonic()
    process = start(script, *words)
    line = "epoch 2/" if script == "train.py" else "drawing figures"
    lines_until(line, process)
    process.kill()
    process.communicate()
    last = time.monotonic() - began
    for moment in (first, (first + last) / 2, line):
        status, output, errors = interrupted(moment, short_folder, script, *words)
        assert status == 130, (moment, errors)
        # At the start of a line: the note about an earlier run that was stopped has the words too.
        if "\nstopped after epoch" in output:
            assert errors == "", moment
        else:
            assert errors.startswith("stopped ") and len(errors.splitlines()) == 1, (
                moment,
                errors,
            )


@on_linux
@pytest.mark.long
@pytest.mark.parametrize("script", ["train.py", "predict.py"])
def test_ctrl_c_while_java_starts_leaves_no_java(small_mnist, tmp_path, short_folder, script):
    mark = f"MARK={tmp_path}"
    words = endless(small_mnist, tmp_path)[: 6 if script == "predict.py" else None]
    process = start(script, *words, MARK=str(tmp_path), TMPDIR=str(short_folder))
    try:
        wait_until(lambda: any("SparkSubmit" in line for line in marked(mark).values()))
        for _ in range(2):  # an impatient person
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.1)
        _, errors = process.communicate(timeout=60)
        left = marked(mark)
    finally:
        for pid in marked(mark):
            os.kill(pid, signal.SIGKILL)
    assert (process.returncode, errors, left) == (130, "stopped by Ctrl-C\n", {})
    assert list(short_folder.iterdir()) == []


def test_ctrl_c_in_a_destructor_ends_the_block_with_the_next_job(spark):
    """There Python prints an exception and goes on."""

    class Dropped:
        def __del__(self):
            signal.raise_signal(signal.SIGINT)

    done = 0
    with ended_by_ctrl_c():
        Dropped()
        while True:
            spark.parallelize([1], 1).map(lambda _: time.sleep(0.2)).count()
            done += 1
    assert done <= 1
    assert spark.parallelize([1, 2], 2).sum() == 3, "and Spark goes on"


def test_what_goes_wrong_in_a_block_that_ctrl_c_may_end_is_raised():
    with pytest.raises(ZeroDivisionError), ended_by_ctrl_c():
        raise ZeroDivisionError


class Listener:
    """Hears of the epochs, as a Saver does, and presses Ctrl-C in one of the first two."""

    def __init__(self):
        self.began, self.ended = threading.Event(), []

    def epoch_ended(self, progress):
        self.ended.append(progress)
        self.began.set()

    def press_ctrl_c(self, moment: float):
        self.began.wait()
        time.sleep(moment * 2 * self.ended[0].history[0].seconds)
        os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_while_images_are_held_out_cancels_the_job(spark, small_mnist, monkeypatch):
    split = data_loader.load(spark, small_mnist, "train", [0, 1], 2)

    def held_out(*told):
        os.kill(os.getpid(), signal.SIGINT)
        slow = split.blocks.map(lambda block: (time.sleep(2), block)[1])
        return hold_out(split._replace(blocks=slow), *told[1:])

    monkeypatch.setattr(train, "hold_out", held_out)
    assert train.fit("article", split, epochs=2, validation=0.3).history == []
    wait_until(lambda: not spark.statusTracker().getActiveJobsIds(), 1)  # the job takes two


@pytest.mark.long
@pytest.mark.parametrize("strategy", ["maps", "partitions", "averaging"])
def test_ctrl_c_at_any_moment_of_an_epoch_keeps_the_epochs_before(spark, small_mnist, strategy):
    """At random moments."""
    moments = random.Random(1)
    settings = complete({"strategy": strategy, "epochs": 100000, "digits": [0, 1]})
    split = data_loader.load(spark, small_mnist, "train", settings.digits, 2)
    start = Progress(initial_of(settings), {}, [])
    for _ in range(4):
        listener = Listener()
        pressing = threading.Thread(target=listener.press_ctrl_c, args=[moments.random()])
        pressing.start()
        done = train.run_epochs(split, start, settings, listener)
        pressing.join()
        assert done is listener.ended[-1]
