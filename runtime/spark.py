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

# The environment of the executors' Python, where the user leaves it open.
FOR_WORKERS = {
    # Each core runs one task; a BLAS that starts threads of its own would fight the others.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # glibc's malloc gives large arrays back to the system at once, and has to ask for them anew in
    # each step of a convolution, which was a quarter of its time.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    # A cost that is not finite ends the run in one line; every worker would warn of it besides.
    "PYTHONWARNINGS": "ignore::RuntimeWarning",
}
# A Unix socket's path has 104 bytes at most on macOS; the run's folder and its own name take 67.
LONGEST_TEMPORARY_FOLDER = 36
# Java's second compiler is for servers that run for hours: the first alone starts 1 s sooner, and
# 50 epochs of 12,665 images took 4.1 s in place of 6.1 s, longer runs a little less too.
LOCAL_JAVA_OPTIONS = "-XX:TieredStopAtLevel=1"
SECONDS_TO_END = 10
JAVA_ENDED = "Spark's Java process has ended; was it killed, or out of memory?"
WORKER_ENDED = (
    "Spark's Python process was killed, and again each time that its task was tried anew: most "
    "likely memory ran out. Free some, or let fewer tasks run at once (spark-submit --master "
    "local[1]); train.py --resume goes on after the last checkpoint"
)


@contextmanager
def spark_context(name: str):
    """A SparkContext for the length of a `with` block; one that is running already goes on after.

    Java starts and ends with the block, whatever happens in it. Raises UserError if Spark cannot
    start, or if it gives up a job of the block.
    """
    if SparkContext._active_spark_context is not None:
        with _told_plainly():
            yield SparkContext._active_spark_context
        return
    with _folder_of_its_own(name) as folder:
        try:
            context = _start(name, folder)
            with _told_plainly():
                context.setLogLevel("ERROR")
                _keep_out_of_log(context, "executor.Executor", "scheduler.TaskSetManager")
                # Of a Java that has ended it would print the traceback of its own thread.
                context._accumulatorServer.handle_error = lambda *_: None  # type: ignore
                _ship_modules(context, Path(folder))
                yield context
        finally:
            with _ctrl_c_waits():
                _end()


def _folder_of_its_own(name: str) -> tempfile.TemporaryDirectory:
    """A folder that no other account can look into, for the length of a `with` block."""
    place = tempfile.gettempdir()
    if len(place) > LONGEST_TEMPORARY_FOLDER:
        place = "/tmp"
    return tempfile.TemporaryDirectory(prefix=f"{name}-", dir=place, ignore_cleanup_errors=True)


@contextmanager
def _ctrl_c_waits():
    """Hold Ctrl-C back until the end of the block: what it does cannot be left half done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _end() -> None:
    """Stop Spark and, where it was started here, its Java; wait until that has gone."""
    context, gateway = SparkContext._active_spark_context, SparkContext._gateway
    java = getattr(gateway, "proc", None)
    if gateway is None or java is None:  # spark-submit's Java goes when it pleases
        if context is not None and _java_answers():
            with suppress(Py4JError, ConnectionError):  # Ctrl-C may be ending it just now
                context.stop()
        return
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    java.stdin.close()  # Java notices that, stops Spark and removes its files
    try:
        java.wait(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        java.kill()
        java.wait()
    if context is not None:
        context._jsc = None  # type: ignore  # it has ended with Java
        context.stop()
    SparkContext._gateway, SparkContext._jvm = None, None


@contextmanager
def _told_plainly():
    """Turn what Spark says of a job that it gave up into one line for a person."""
    try:
        yield
    except (Py4JError, ConnectionError, EOFError) as error:
        if isinstance(error.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None  # which takes spark-submit's Java too
        line = _in_a_line(error)
        if line is None:
            raise  # a mistake in the program: whoever mends it needs all of that
        raise UserError(line) from None


def _in_a_line(error: Exception) -> str | None:
    """What a person has to know of an error in talking with Java; None if that is all of it."""
    if not isinstance(error, Py4JJavaError):
        return None if _java_answers() else JAVA_ENDED
    said = str(error.java_exception)
    # An exception in a worker's Python comes with its traceback, in which it is the last line.
    own = re.search(r"^(?:[\w.]+\.)?UserError: (.+)$", said, re.MULTILINE)
    if own:
        return own[1]
    if "Traceback (most recent call last)" in said:
        return None
    if "Python worker exited unexpectedly" in said:
        return WORKER_ENDED
    return f"Spark gave up: {said.splitlines()[0]}"


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


def _start(name: str, folder: str) -> SparkContext:
    logging.getLogger().addFilter(_not_told_twice)
    logging.getLogger("py4j").setLevel(
        logging.CRITICAL
    )  # what ends a talk with Java, it raises too
    submitted = "PYSPARK_GATEWAY_PORT" in os.environ
    java_options = ""
    if not submitted:
        find_java()
        told = os.environ.get("PYSPARK_SUBMIT_ARGS", "")  # in place of spark-submit's arguments
        if not re.search(r"(--master[ =]|spark\.master=)(?!local)", told):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            java_options = LOCAL_JAVA_OPTIONS
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    with tempfile.TemporaryFile() as log:
        try:
            with _stderr_to(log if not submitted else None):
                with _java_options(java_options):
                    _start_java(folder)
                with _own_handler_of_ctrl_c():
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


@contextmanager
def _java_options(options: str):
    """Let a Java that starts meanwhile have these; what the user gave comes later, and wins."""
    name = "SPARK_SUBMIT_OPTS"
    before = os.environ.get(name)
    os.environ[name] = f"{options} {before or ''}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _start_java(folder: str) -> None:
    """Start Java, or find spark-submit's: then the settings are known. It keeps what it can there.

    Left half started, Java would stay for good: its way to notice that Python ended comes last.
    """
    with _ctrl_c_waits():
        SparkContext._ensure_initialized()
    jvm = SparkContext._jvm
    assert jvm is not None, "Java runs"
    jvm.java.lang.System.setProperty("java.io.tmpdir", folder)
    # For the day that Python is killed: Java then ends too, and leaves nothing.
    jvm.org.apache.spark.util.ShutdownHookManager.registerShutdownDeleteDir(
        jvm.java.io.File(folder)
    )


@contextmanager
def _own_handler_of_ctrl_c():
    """Keep PySpark's out: it asks Java to cancel the jobs in the midst of another talk with it."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


def _settings(name: str) -> SparkConf:
    """What Spark was started with, and for all that it leaves open, what this program needs."""
    conf = SparkConf().setAppName(name)
    conf.setIfMissing("spark.master", "local[*]")
    conf.setIfMissing("spark.ui.showConsoleProgress", "false")
    assert SparkContext._jvm is not None, "Java runs"
    master = conf.get("spark.master", "")
    if master.startswith("local"):
        conf.setIfMissing("spark.driver.host", "127.0.0.1")
        conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
        conf.setIfMissing("spark.authenticate", "true")  # Spark draws a secret that only it knows
        conf.setIfMissing("spark.ui.killEnabled", "false")  # the UI asks nobody who they are
        if SparkContext._jvm.java.lang.System.getenv("SPARK_LOCAL_IP") is None:
            # The UI would listen on all addresses, and nothing but that variable prevents it.
            conf.setIfMissing("spark.ui.enabled", "false")
    threads = re.fullmatch(r"local(?:\[(\*|\d+)\])?", master)
    if threads:  # a task is tried again only where the master itself says how often
        failures = conf.get("spark.task.maxFailures", "4")
        conf.set("spark.master", f"local[{threads[1] or 1},{failures}]")
    for variable, value in FOR_WORKERS.items():
        conf.setIfMissing(f"spark.executorEnv.{variable}", value)
    if tuple(map(int, re.findall(r"\d+", spark_version)[:2])) >= (4, 1) and os.name == "posix":
        # Between Java and Python, TCP on loopback waits 40 ms for acknowledgements in each task.
        conf.setIfMissing("spark.python.unix.domain.socket.enabled", "true")
        if master == "yarn":
            # A container's own folder has a longer path than a socket may have.
            conf.setIfMissing("spark.python.unix.domain.socket.dir", "/tmp")
    return conf


def _ship_modules(context: SparkContext, folder: Path) -> None:
    """Send the program's own modules to the executors, so that nobody has to name --py-files."""
    if modules.installed_as_zip():
        return
    archive = folder / "modules.zip"
    modules.pack(archive)
    context.addPyFile(str(archive))


@contextmanager
def broadcast(context: SparkContext, value):
    """A value on all executors, as p.value, for the length of a `with ... as p` block."""
    shared = lasting_broadcast(context, value)
    try:
        yield shared
    finally:
        shared.destroy()


def lasting_broadcast(context: SparkContext, value) -> Broadcast:
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
