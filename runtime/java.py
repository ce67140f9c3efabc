"""Spark's Java process: find it, start it, ask whether it still answers, end it.

Under `spark-submit` Java is there already, and ends by itself.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from py4j.protocol import Py4JError
from pyspark import SparkContext
from pyspark import __version__ as spark_version
from pyspark.find_spark_home import _find_spark_home
from pyspark.java_gateway import launch_gateway

from runtime import modules, reasons
from runtime.command_line import UserError

SECONDS_TO_END = 10
MOST_PRINTED = 2**24  # bytes of Java's output that are looked through
# Java's second compiler is for servers that run for hours: the first alone starts 1 s sooner, and
# 50 epochs of 12,665 images took 4.1 s instead of 6.1 s; longer runs are a little faster too.
FIRST_COMPILER = "-XX:TieredStopAtLevel=1"


def is_submitted() -> bool:
    """Whether spark-submit has started this program: it has chosen master, memory and so on."""
    return "PYSPARK_GATEWAY_PORT" in os.environ


def find() -> int:
    """The version of Java here, such as 17.

    Raises UserError, with how to install it, unless there is a Java that this Spark runs on.
    """
    least = 17 if int(spark_version.split(".")[0]) >= 4 else 8
    home = os.environ.get("JAVA_HOME")
    java = shutil.which(os.path.join(home, "bin", "java") if home else "java")
    if java is None:
        where = f"in JAVA_HOME={home}" if home else "on the PATH"
        raise UserError(f"Spark needs Java {least} or later, and there is none {where}{_remedy()}")
    done = subprocess.run([java, "-version"], capture_output=True, text=True, errors="replace")
    version = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if done.returncode or version is None:
        raise reasons.java_that_fails(java, done.stderr + done.stdout)
    if int(version.group(1)) < least:
        found = f"{java} is Java {version.group(1)}"
        raise UserError(f"Spark needs Java {least} or later; {found}{_remedy()}")
    return int(version.group(1))


def quick_options(version: int) -> str:
    """Options that make short runs faster, for a Java of this version.

    It takes Spark's classes from the archive that setup.sh has made. Another Java, or a Spark with
    other jars, ignores the archive.
    """
    archive = Path(sys.prefix, f"java-{version}.jsa")
    if not archive.exists():
        return FIRST_COMPILER
    return f'{FIRST_COMPILER} -XX:SharedArchiveFile="{archive}" -Xlog:cds*=off'


def _remedy() -> str:
    """How to install Java here, as setup.sh has it."""
    script = modules.ROOT / "setup.sh"
    if not script.exists():
        return "; install it, or set JAVA_HOME"
    done = subprocess.run(["sh", str(script), "java-remedy"], capture_output=True, text=True)
    return f". {done.stdout.strip()}"


def check_environment() -> None:
    """Raise UserError if a variable keeps Spark from starting, and name it."""
    home = os.environ.get("SPARK_HOME")
    if home is not None:
        submit = Path(home, "bin", "spark-submit")
        if not submit.exists():
            raise UserError(f"SPARK_HOME={home} holds no Spark: unset SPARK_HOME")
        jars = sorted(Path(home, "jars").glob("spark-core_*.jar"))
        version = jars[0].stem.split("-")[2] if jars else spark_version
        if version.split(".")[:2] != spark_version.split(".")[:2]:
            raise UserError(
                f"SPARK_HOME={home} is Spark {version}, and this Python has PySpark "
                f"{spark_version}: unset SPARK_HOME, or start train.py with {submit}"
            )
    told = os.environ.get("PYSPARK_SUBMIT_ARGS")
    if told is not None and told.split()[-1:] != ["pyspark-shell"]:
        raise UserError(
            "PYSPARK_SUBMIT_ARGS has to end with the word pyspark-shell: "
            f'PYSPARK_SUBMIT_ARGS="{told} pyspark-shell"'
        )
    address = os.environ.get("SPARK_LOCAL_IP")
    if address is not None:
        try:
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as trial:
                trial.bind((address, 0))
        except OSError as error:
            raise UserError(
                f"SPARK_LOCAL_IP={address} is no address of this machine ({error.strerror}): unset "
                "it, or set it to one"
            ) from None


def master_asked_for() -> str:
    """The master that the user chose for a Spark that starts here; "" for none."""
    told = os.environ.get("PYSPARK_SUBMIT_ARGS", "")  # in place of spark-submit's arguments
    found = re.search(r"(?:--master[ =]|spark\.master=)\s*([^\s'\"]+)", told)
    if found:
        return found[1]
    named = re.search(r"--properties-file[ =]\s*(\S+)", told)
    folder = os.environ.get("SPARK_CONF_DIR") or os.path.join(_find_spark_home(), "conf")
    file = Path(named[1] if named else os.path.join(folder, "spark-defaults.conf"))
    text = file.read_text(errors="replace") if file.is_file() else ""
    found = re.search(r"^\s*spark\.master[\s=:]+(\S+)", text, re.MULTILINE)
    return found[1] if found else os.environ.get("MASTER", "")


def start(folder: str, sockets: str, log: BinaryIO, options: str = "") -> None:
    """Start Java, or connect to spark-submit's. It keeps its temporary files in `folder`.

    A Java that starts here takes `options`, and prints into `log`. It deletes `folder` and
    `sockets` if Python cannot.
    """
    # A half-started Java does not notice that Python has ended, and would run for ever.
    with ctrl_c_waits():
        if is_submitted():
            SparkContext._ensure_initialized()
        else:
            with _environment_of_java(options):
                gateway = launch_gateway(popen_kwargs={"stdout": log, "stderr": log})
            SparkContext._ensure_initialized(gateway=gateway)
    jvm = SparkContext._jvm
    assert jvm is not None, "Java runs"
    jvm.java.lang.System.setProperty("java.io.tmpdir", folder)
    # If Python is killed, Java ends and removes the folders.
    for place in {folder, sockets}:
        jvm.org.apache.spark.util.ShutdownHookManager.registerShutdownDeleteDir(
            jvm.java.io.File(place)
        )


def said(log: BinaryIO | None) -> str:
    """What the Java of this run has printed so far; nothing of spark-submit's."""
    # Java writes at the position that both share: to read by it would move it.
    return os.pread(log.fileno(), MOST_PRINTED, 0).decode(errors="replace") if log else ""


def is_running() -> bool:
    """Whether Java runs and responds."""
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
def _environment_of_java(options: str) -> Iterator[None]:
    """The variables with which Java starts, for the length of a `with` block."""
    before = dict(os.environ)
    os.environ["SPARK_SUBMIT_OPTS"] = f"{options} {before.get('SPARK_SUBMIT_OPTS', '')}"
    # Under LC_ALL=C, Java could not open a file whose path has other letters than ASCII.
    locale = before.get("LC_ALL") or before.get("LC_CTYPE") or before.get("LANG") or "C"
    if locale in ("C", "POSIX"):
        os.environ["LC_ALL"] = "C.UTF-8"
    try:
        yield
    finally:
        for name in ("SPARK_SUBMIT_OPTS", "LC_ALL"):
            os.environ.pop(name, None)
            if name in before:
                os.environ[name] = before[name]
