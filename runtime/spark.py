"""How the program gets its SparkContext: quiet logs, one BLAS thread a task, its own modules.

`spark-submit` has already made its choices (master, memory, where the driver listens): they are
kept. Without it, `python train.py` is a run on all cores of this machine that listens on loopback
only.
"""

import atexit
import functools
import io
import logging
import os
import pickle
import re
import secrets
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any, BinaryIO

from py4j.protocol import Py4JError, Py4JJavaError, Py4JNetworkError
from pyspark import RDD, Broadcast, SparkConf, SparkContext, StorageLevel
from pyspark import __version__ as spark_version
from pyspark.errors.exceptions.captured import CapturedException
from pyspark.find_spark_home import _find_spark_home

from runtime import java, modules, reasons
from runtime.command_line import UserError, say, say_what_begins

# The environment of the executors' Python, where the user leaves it open.
FOR_WORKERS = {
    # Each core runs one task; a BLAS with threads of its own would slow the others down.
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "VECLIB_MAXIMUM_THREADS": "1",
    # glibc's malloc returns large arrays to the system at once. To get them again took a quarter of
    # the time of a convolution.
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(64 * 2**20),
    # A cost that is not finite ends the run with one line; no worker has to print warnings too.
    "PYTHONWARNINGS": "ignore::RuntimeWarning",
    # A module of the current folder must not be taken for the program's own of that name.
    "PYTHONSAFEPATH": "1",
}
# A Unix socket's path has 104 bytes at most on macOS; the run's folder and its own name take 67.
LONGEST_TEMPORARY_FOLDER = 36
MODULES = "modules.zip"
SECONDS_TO_CANCEL_AGAIN = 0.1  # Ctrl-C may come just before a job
JAVA_ENDED = "Spark's Java process has ended; was it killed, or out of memory?"
SECONDS_TO_FIRST_EXECUTOR, SECONDS_TO_REMIND = 15, 60


class MistakeInTask(Exception):
    """What a task's own code raised, with the traceback of the executor's Python."""


@contextmanager
def spark_context(name: str) -> Iterator[SparkContext]:
    """A SparkContext for the length of a `with` block; one that runs already is used, and stays.

    Java starts and ends with the block, whatever happens in it. Raises UserError if Spark cannot
    start, or if it gives up a job of the block.
    """
    if SparkContext._active_spark_context is not None:
        with _told_plainly():
            yield SparkContext._active_spark_context
        return
    with (
        _temporary_folders(name) as (folder, sockets),
        tempfile.TemporaryFile(dir=folder) as log,  # its folder may go before it was read
    ):
        try:
            say_what_begins("starting Spark")
            context = _start(name, folder, sockets, log)
            with _told_plainly(log), _reminding_of_executors(context):
                context.setLogLevel("ERROR")
                _keep_failed_tasks_out_of_log(context)
                # Of a Java that has ended it would print the traceback of its own thread.
                context._accumulatorServer.handle_error = lambda *_: None  # type: ignore
                if not _has_modules(context):
                    _send_modules(context, folder)
                yield context
        finally:
            with java.ctrl_c_waits():
                _end()
                # Take the modules of this run out of the path of this Python.
                sys.path[:] = [place for place in sys.path if not place.startswith(f"{folder}/")]


def context_of(spark: Any) -> SparkContext:
    """A SparkContext, or that of a SparkSession, wherever it was started, with our modules."""
    context: SparkContext = getattr(spark, "sparkContext", spark)
    if not _has_modules(context):
        folder = tempfile.mkdtemp(prefix="modules-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)  # executors may come later
        _send_modules(context, folder)
    return context


@contextmanager
def ended_by_ctrl_c() -> Iterator[None]:
    """Ctrl-C ends the `with` block without an exception: Spark cancels the jobs of the block.

    An exception in the midst of PySpark's own work could be lost: it talks with Java in destructors
    and in `finally` too. A second Ctrl-C does not wait for Spark.
    """
    came, ended = threading.Event(), threading.Event()

    def cancel_jobs() -> None:
        with suppress(Exception):  # by the same Ctrl-C, spark-submit's Java has ended
            while came.wait() and not ended.wait(SECONDS_TO_CANCEL_AGAIN):
                context = SparkContext._active_spark_context
                if context is not None:
                    context.cancelAllJobs()

    def on_ctrl_c(number: int, frame) -> None:
        if came.is_set():
            raise KeyboardInterrupt
        came.set()

    is_main_thread = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGINT)
    threading.Thread(target=cancel_jobs, daemon=True).start()
    try:
        if is_main_thread:
            signal.signal(signal.SIGINT, on_ctrl_c)
        yield
    except KeyboardInterrupt:
        pass
    except Exception:
        if not came.is_set():
            raise
    finally:
        if is_main_thread:
            signal.signal(signal.SIGINT, before)
        ended.set()
        came.set()


@contextmanager
def broadcast(context: SparkContext, value) -> Iterator[Broadcast]:
    """Send a value to all executors, which forget it at the end of a `with` block."""
    sent = send_to_executors(context, value)
    try:
        yield sent
    finally:
        with suppress(Py4JError, ConnectionError):  # a Java that has ended has told that already
            sent.destroy()


def cached(rdd: RDD) -> RDD:
    """The RDD, which Spark keeps from its first job on, in memory as far as it fits, else on disk.

    Not compressed, as `cache` would: images take three times the memory, and an epoch of large
    partitions four fifths of the time.
    """
    return rdd.persist(StorageLevel.MEMORY_AND_DISK_DESER)


@contextmanager
def cached_for_now(rdd: RDD) -> Iterator[RDD]:
    """The RDD, which Spark keeps as `cached` says, for the length of a `with` block."""
    stored = cached(rdd)
    try:
        yield stored
    finally:
        with suppress(Py4JError, ConnectionError):  # as in `broadcast`
            stored.unpersist()


def send_to_executors(context: SparkContext, value) -> Broadcast:
    """A broadcast for as long as Spark runs. Does what `context.broadcast` does, also for arrays.

    With spark.io.encryption.enabled, PySpark cannot write an array of 64 KiB or more to its
    encrypted file: pickle passes it as a buffer without a length. Bytes have one.
    """
    with redirect_stderr(io.StringIO()):  # PySpark prints the traceback of what it raises too
        return context.broadcast(_AsBytes(value))


class _AsBytes:
    """Pickled as bytes that unpickle to the value itself."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return pickle.loads, (pickle.dumps(self.value),)


@contextmanager
def _temporary_folders(name: str) -> Iterator[tuple[str, str]]:
    """The run's folders for files and for sockets; the same one, unless its path is too long."""
    # Other accounts cannot look into these folders.
    private = functools.partial(
        tempfile.TemporaryDirectory, prefix=f"{name}-", ignore_cleanup_errors=True
    )
    with ExitStack() as folders, _full_disk_is_named():
        folder = folders.enter_context(private())
        sockets = folder
        if len(tempfile.gettempdir()) > LONGEST_TEMPORARY_FOLDER:
            sockets = folders.enter_context(private(dir="/tmp"))
        yield folder, sockets


@contextmanager
def _full_disk_is_named() -> Iterator[None]:
    try:
        yield
    except (OSError, pickle.PicklingError) as error:  # PySpark's, of a broadcast
        is_full = reasons.of_failure(str(error)) == reasons.NO_SPACE
        if is_full or "No usable temporary directory" in str(error):
            raise UserError(reasons.NO_SPACE) from None
        raise


def _start(name: str, folder: str, sockets: str, printed: BinaryIO) -> SparkContext:
    logging.getLogger().addFilter(_not_told_twice)
    logging.getLogger("py4j").setLevel(logging.CRITICAL)  # it raises too what it logs
    options, master = "", ""
    if not java.is_submitted():
        java.check_environment()
        version = java.find()
        master = java.master_asked_for()
        if not master or master.startswith("local"):
            os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
            options = java.quick_options(version)
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    before = signal.getsignal(signal.SIGINT)
    try:
        java.start(folder, sockets, printed, options)
        return SparkContext(conf=_settings(name, sockets))
    except UserError:
        raise
    except Exception as error:
        log = java.said(printed)
        reason = " ".join(str(getattr(error, "java_exception", error)).split())
        known = reasons.of_failure(reason, master) or reasons.of_failure(log, master)
        line = reasons.first_error(log)
        has_ended = isinstance(error, (ConnectionError, Py4JNetworkError))
        if line is not None and (has_ended or "JAVA_GATEWAY_EXITED" in reason):
            reason = line  # PySpark itself knows no more than that
        elif line is not None:
            reason = f"{reason[:300]}; Java said: {line}"
        raise UserError(known or f"Spark did not start: {reason}") from None
    finally:
        # PySpark's own handler asks Java to cancel the jobs in the midst of another talk with it.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)


@contextmanager
def _reminding_of_executors(context: SparkContext) -> Iterator[None]:
    """Say so from time to time while jobs of a cluster wait for a first executor."""
    ended = threading.Event()

    def remind() -> None:
        seconds = SECONDS_TO_FIRST_EXECUTOR
        with suppress(Exception):  # Java ends, or the reader of the output has gone
            while not ended.wait(seconds):
                seconds = SECONDS_TO_REMIND
                executors = context._jsc.sc().getExecutorMemoryStatus().size() - 1  # the driver
                if executors == 0 and context.statusTracker().getActiveJobsIds():
                    say(_no_executor(context))

    if not re.match(r"local(\[|$)", str(context.master)):
        threading.Thread(target=remind, daemon=True).start()
    try:
        yield
    finally:
        ended.set()


def _no_executor(context: SparkContext) -> str:
    conf = context.getConf()
    driver = f"{conf.get('spark.driver.host')}:{conf.get('spark.driver.port')}"
    memory, cores = conf.get("spark.executor.memory", "1g"), conf.get("spark.executor.cores", "")
    asked = f"{memory} of memory" + (f" and {cores} cores" if cores else "")
    return (
        f"waiting for {context.master}: no executor yet. The workers are down, have less free "
        f"memory or cores than asked for ({asked}), or cannot reach the driver at {driver}"
    )


def _end() -> None:
    """Stop Spark and, where it was started here, its Java."""
    context = SparkContext._active_spark_context
    if context is not None:
        # PySpark would wait up to a second until the thread of this server notices.
        threading.Thread(target=context._accumulatorServer.shutdown, daemon=True).start()
        context._accumulatorServer = None  # type: ignore
        with suppress(Py4JError, ConnectionError):  # Java may have ended, or be ending by Ctrl-C
            application = context.applicationId
            context.stop()
            if str(context.master).startswith("local-cluster"):
                shutil.rmtree(Path(_find_spark_home(), "work", application), ignore_errors=True)
        context._jsc = None  # type: ignore  # it has ended with Java
        context.stop()
    java.end()


def _settings(name: str, sockets: str) -> SparkConf:
    """What Spark was started with, and for all that it leaves open, what this program needs."""
    conf = SparkConf().setAppName(name)
    conf.setIfMissing("spark.master", "local[*]")
    conf.setIfMissing("spark.ui.showConsoleProgress", "false")
    master = conf.get("spark.master", "")
    if master.startswith("local"):
        _keep_others_out(conf)
    threads = re.fullmatch(r"local(?:\[(\*|\d+)\])?", master)
    if threads:  # a task is tried again only where the master itself says how often
        failures = conf.get("spark.task.maxFailures", "4")
        if failures.isdigit():  # Spark itself refuses another text
            conf.set("spark.master", f"local[{threads[1] or 1},{failures}]")
    if master.startswith("local") and {"", os.getcwd()} & set(sys.path):
        # Modules beside a notebook are found by executors too, but after the program's own.
        conf.setIfMissing("spark.executorEnv.PYTHONPATH", os.getcwd())
    for variable, value in FOR_WORKERS.items():
        conf.setIfMissing(f"spark.executorEnv.{variable}", value)
    if tuple(map(int, re.findall(r"\d+", spark_version)[:2])) >= (4, 1) and os.name == "posix":
        # Between Java and Python, TCP on loopback waits 40 ms for acknowledgements in each task.
        conf.setIfMissing("spark.python.unix.domain.socket.enabled", "true")
        if master.startswith("local"):
            conf.setIfMissing("spark.python.unix.domain.socket.dir", sockets)
        if master == "yarn":
            # A container's own folder has a longer path than a socket may have.
            conf.setIfMissing("spark.python.unix.domain.socket.dir", "/tmp")
    return conf


def _keep_others_out(conf: SparkConf) -> None:
    """Settings of a run on this machine: it listens on loopback, and requires a secret of its own.

    Raises UserError where a page would be open to the network.
    """
    conf.setIfMissing("spark.driver.host", "127.0.0.1")
    conf.setIfMissing("spark.driver.bindAddress", "127.0.0.1")
    conf.setIfMissing("spark.authenticate", "true")  # in local[...] Spark draws the secret itself
    conf.setIfMissing("spark.ui.killEnabled", "false")  # the UI does not ask who you are
    assert SparkContext._jvm is not None, "Java runs"
    # What else Spark listens on: pages of the UI, of a local cluster's master and its workers.
    is_on_loopback = SparkContext._jvm.java.lang.System.getenv("SPARK_LOCAL_IP") is not None
    if not is_on_loopback:
        conf.setIfMissing("spark.ui.enabled", "false")
    if conf.get("spark.master", "").startswith("local-cluster"):
        if not is_on_loopback:
            raise UserError(
                "a local-cluster would open its web pages to the network; set "
                "SPARK_LOCAL_IP=127.0.0.1 and start it again"
            )
        conf.setIfMissing("spark.authenticate.secret", secrets.token_hex(32))
        conf.setIfMissing("spark.master.ui.decommission.allow.mode", "DENY")


def _has_modules(context: SparkContext) -> bool:
    """Whether executors have the program's modules: sent before, or by --py-files."""
    return modules.installed_as_zip() or MODULES in (context._python_includes or ())


def _send_modules(context: SparkContext, folder: str) -> None:
    """Send the program's modules to the executors, by way of a file in `folder`."""
    place = os.path.join(folder, MODULES)
    modules.pack(place)
    context.addPyFile(place)


def _keep_failed_tasks_out_of_log(context: SparkContext) -> None:
    """Do not log the traceback of a failed task: the job's exception contains it."""
    assert context._jvm is not None, "Java runs"
    log4j = context._jvm.org.apache.logging.log4j
    with suppress(TypeError, Py4JError):  # a Spark that logs by other means only says more
        for name in ("executor.Executor", "scheduler.TaskSetManager"):
            logger, level = f"org.apache.spark.{name}", log4j.Level.OFF
            log4j.core.config.Configurator.setLevel(logger, level)


def _not_told_twice(record: logging.LogRecord) -> bool:
    """Keep out of the log what py4j raises too: Ctrl-C, or a Java that has ended."""
    return not (
        record.exc_info and isinstance(record.exc_info[1], (KeyboardInterrupt, Py4JNetworkError))
    )


@contextmanager
def _told_plainly(printed: BinaryIO | None = None) -> Iterator[None]:
    """Turn the error of a job that Spark gave up into one line.

    printed: the file of what Java prints. Java's text is read at once, because Java has ended when
    Python prints the exception.
    """
    try:
        with _full_disk_is_named():
            yield
    except (Py4JError, CapturedException, ConnectionError, EOFError) as error:
        if _is_of_ctrl_c(error):
            raise KeyboardInterrupt from None  # which takes spark-submit's Java too
        if not java.is_running():
            raise UserError(reasons.of_failure(java.said(printed)) or JAVA_ENDED) from None
        # Where a SparkSession has been made, PySpark turns Java's exceptions into its own.
        if not isinstance(error, (Py4JJavaError, CapturedException)):
            raise
        failure = getattr(error, "java_exception", error)
        raise _as_told(str(failure).strip(), java.said(printed)) from None


def _is_of_ctrl_c(error: BaseException | None) -> bool:
    """Whether an error came while another one was handled that began with Ctrl-C."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__context__
    return error is not None


def _as_told(failure: str, log: str = "") -> Exception:
    """What to raise for the text of a job's failure; a mistake in a task keeps its traceback."""
    context = SparkContext._active_spark_context
    master = "" if context is None else str(context.master)
    line = reasons.of_failure(failure, master)
    mistake = reasons.traceback_in(failure)
    if line is None and mistake is not None:
        return MistakeInTask(f"in an executor:\n{mistake}")
    line = line or reasons.of_failure(log, master)
    return UserError(line or f"Spark gave up: {failure.splitlines()[0]}")
