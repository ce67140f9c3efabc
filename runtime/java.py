"""Spark's Java process: find it, start it, ask whether it still answers, end it.

Under `spark-submit` Java is there already, and ends by itself.
"""

import os
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark import __version__ as spark_version
from pyspark.java_gateway import launch_gateway

from runtime.command_line import UserError

SECONDS_TO_END = 10
LOG = "java.log"  # what Java prints, in the run's private folder


def is_submitted() -> bool:
    """Whether spark-submit has started this program: it has chosen master, memory and so on."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def find() -> None:
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


def start(folder: str, options: str = "") -> None:
    """Start Java, or connect to spark-submit's. It keeps its temporary files in `folder`.

    A Java that starts here takes `options`, and prints into `folder`/java.log.
    """
    # A Java that is left half started would stay for good: it learns last that Python has ended.
    with ctrl_c_waits():
        if is_submitted():
            SparkContext._ensure_initialized()
        else:
            with _environment("SPARK_SUBMIT_OPTS", options), open(f"{folder}/{LOG}", "wb") as log:
                gateway = launch_gateway(popen_kwargs={"stdout": log, "stderr": log})
            SparkContext._ensure_initialized(gateway=gateway)
    jvm = SparkContext._jvm
    assert jvm is not None, "Java runs"
    jvm.java.lang.System.setProperty("java.io.tmpdir", folder)
    # If Python is killed, Java ends and removes the folder.
    jvm.org.apache.spark.util.ShutdownHookManager.registerShutdownDeleteDir(
        jvm.java.io.File(folder)
    )


def said(folder: str) -> str:
    """What the Java of this run has printed so far; nothing of spark-submit's."""
    log = Path(folder, LOG)
    return log.read_text(errors="replace") if log.exists() else ""


def answers() -> bool:
    """Whether Java runs and answers."""
    jvm = SparkContext._jvm
    if jvm is None:
        return False
    try:
        return jvm.java.lang.System.nanoTime() > 0
    except (Py4JError, ConnectionError, TypeError):
        return False


def end() -> None:
    """End the Java that was started here, and wait until it has gone."""
    gateway = SparkContext._gateway
    process = getattr(gateway, "proc", None)
    if gateway is None or process is None:
        return
    with suppress(Py4JError, OSError):
        gateway.shutdown()
    process.stdin.close()  # Java notices that, and removes its files
    try:
        process.wait(timeout=SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    SparkContext._gateway, SparkContext._jvm = None, None


@contextmanager
def ctrl_c_waits() -> Iterator[None]:
    """Delay Ctrl-C until the end of the block, for work that must not be left half done."""
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


@contextmanager
def _environment(name: str, words: str) -> Iterator[None]:
    """Put words before those of an environment variable, for the length of a `with` block."""
    before = os.environ.get(name)
    os.environ[name] = f"{words} {before or ''}"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
