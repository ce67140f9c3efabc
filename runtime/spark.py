"""How the program gets its SparkContext: found Java, quiet logs, one BLAS thread, its own modules.

`spark-submit` has already made its choices (master, memory, where the driver listens): they win.
Without it, `python train.py` is a run on all cores of this machine that listens on loopback only.
"""

import logging
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager, suppress
from pathlib import Path

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark import Broadcast, SparkConf, SparkContext
from pyspark import __version__ as spark_version

from runtime import modules
from runtime.command_line import UserError

# Each executor core runs one task; a BLAS that starts threads of its own would fight the others.
BLAS_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@contextmanager
def spark_context(name: str):
    """A SparkContext for the length of a `with` block; one that is running already goes on after.

    Raises UserError if Spark cannot start, or if it gives up a job of the block.
    """
    if SparkContext._active_spark_context is not None:
        with _told_plainly():
            yield SparkContext._active_spark_context
        return
    context = _start(name)
    if threading.current_thread() is threading.main_thread():
        # PySpark's own handler asks Java to cancel the jobs in the midst of another talk with it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        context.setLogLevel("ERROR")
        _keep_out_of_log(context, "executor.Executor", "scheduler.TaskSetManager")
        with tempfile.TemporaryDirectory() as folder, _told_plainly():
            _ship_modules(context, Path(folder))
            yield context
    finally:
        if _java_answers():
            context.stop()


@contextmanager
def _told_plainly():
    """Turn what Spark says of a job that it gave up into one line for a person."""
    try:
        yield
    except Py4JJavaError as error:
        said = str(error.java_exception)
        # An exception in a worker's Python comes with its traceback, in which it is the last line.
        own = re.search(r"^(?:[\w.]+\.)?UserError: (.+)$", said, re.MULTILINE)
        if own:
            raise UserError(own[1]) from None
        if "Traceback (most recent call last)" in said:
            raise  # a mistake in the program: whoever mends it needs all of that
        raise UserError(f"Spark gave up: {said.splitlines()[0]}") from None
    except (Py4JError, ConnectionError):
        if _java_answers():
            raise
        raise UserError(
            "Spark's Java process has ended; was it killed, or out of memory?"
        ) from None


def _java_answers() -> bool:
    jvm = SparkContext._jvm
    if jvm is None:
        return False
    try:
        return jvm.java.lang.System.nanoTime() > 0
    except (Py4JError, ConnectionError, TypeError):
        return False


def _keep_out_of_log(context: SparkContext, *classes: str) -> None:
    """Silence what logs the traceback of a failed task, which the job's own exception tells too."""
    assert context._jvm is not None, "Java runs"
    log4j = context._jvm.org.apache.logging.log4j
    with suppress(TypeError, Py4JError):  # a Spark that logs by other means only says more
        for name in classes:
            level = log4j.Level.OFF
            log4j.core.config.Configurator.setLevel(f"org.apache.spark.{name}", level)


def _start(name: str) -> SparkContext:
    logging.getLogger().addFilter(_not_told_twice)
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    if not submitted:
        find_java()
        told = os.environ.get("PYSPARK_SUBMIT_ARGS", "")  # in place of spark-submit's arguments
        if not re.search(r"(--master[ =]|spark\.master=)(?!local)", told):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with tempfile.TemporaryFile() as log:
        try:
            with _stderr_to(log if not submitted else None):
                SparkContext._ensure_initialized()  # starts Java, so that the settings are known
                return SparkContext(conf=_settings(name))
        except UserError:
            raise
        except Exception as error:
            log.seek(0)
            lines = log.read().decode(errors="replace").splitlines()
            said = [line for line in lines if line and not line[0].isspace()]
            reason = " ".join(str(getattr(error, "java_exception", error)).split())
            hint = f"; Java said: {said[-1]}" if said else ""
            raise UserError(f"Spark did not start: {reason[:300]}{hint}") from None


def _settings(name: str) -> SparkConf:
    """What Spark was started with, and for all that it leaves open, what this program needs."""
    conf = SparkConf().setAppName(name)
    conf.setIfMissing("spark.master", "local[*]")
    conf.setIfMissing("spark.ui.showConsoleProgress", "false")
    assert SparkContext._jvm is not None, "Java runs"
    if conf.get("spark.master", "").startswith("local"):
        conf.setIfMissing("spark.driver.host", "127.0.0.1")
        conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
        if SparkContext._jvm.java.lang.System.getenv("SPARK_LOCAL_IP") is None:
            # The UI would listen on all addresses, and nothing but that variable prevents it.
            conf.setIfMissing("spark.ui.enabled", "false")
    for variable in BLAS_THREADS:
        conf.setIfMissing(f"spark.executorEnv.{variable}", "1")
    # A cost that is not finite ends the run in one line; every worker would warn of it besides.
    conf.setIfMissing("spark.executorEnv.PYTHONWARNINGS", "ignore::RuntimeWarning")
    if tuple(map(int, re.findall(r"\d+", spark_version)[:2])) >= (4, 1) and os.name == "posix":
        # Between Java and Python, TCP on loopback waits 40 ms for acknowledgements in each task.
        conf.setIfMissing("spark.python.unix.domain.socket.enabled", "true")
    return conf


def _ship_modules(context: SparkContext, folder: Path) -> None:
    """Send the program's own modules to the executors, so that nobody has to name --py-files."""
    if modules.installed_as_zip():
        return
    archive = folder / "modules.zip"
    modules.pack(archive)
    context.addPyFile(str(archive))


def broadcast(context: SparkContext, value) -> Broadcast:
    """Send a value to all executors. Does what `context.broadcast` does, and for large arrays too.

    With spark.io.encryption.enabled, PySpark cannot write an array of 64 KiB or more to its
    encrypted file: pickle hands it over as a buffer without a length. Bytes have one.
    """
    return context.broadcast(_AsBytes(value))


class _AsBytes:
    """Pickled as bytes that unpickle to the value itself."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return pickle.loads, (pickle.dumps(self.value),)


def find_java() -> None:
    """Raise UserError, with how to install it, unless there is a Java that this Spark runs on."""
    least = 17 if int(spark_version.split(".")[0]) >= 4 else 8
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(os.path.join(home, "bin", "java") if home else "java")
    install = (
        "install it with `apt install openjdk-17-jre-headless` (Debian, Ubuntu), "
        "`dnf install java-17-openjdk-headless` (Fedora) or `brew install openjdk@17` (macOS), "
        "or set JAVA_HOME"
    )
    if java is None:
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise UserError(f"Spark needs Java {least} or later, and there is none {where}: {install}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', said)
    if version is None or int(version.group(1)) < least:
        found = version.group(1) if version else "of an unknown version"
        raise UserError(f"Spark needs Java {least} or later; {java} is Java {found}: {install}")


def _not_told_twice(record: logging.LogRecord) -> bool:
    """Keep out of the log what py4j raises too: that Ctrl-C found it waiting, or Java gone."""
    return not (
        record.exc_info and isinstance(record.exc_info[1], (KeyboardInterrupt, Py4JNetworkError))
    )


@contextmanager
def _stderr_to(log):
    """Let what is started meanwhile write its standard error to `log`; do nothing for None."""
    if log is None:
        yield
        return
    terminal = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
