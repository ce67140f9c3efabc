"""What the user reads of a failure in Java or in an executor, from what these print."""

import sys

import pytest

from runtime import reasons, spark
from runtime.command_line import UserError
from runtime.spark import MistakeInTask

RAISED = (
    "org.apache.spark.api.python.PythonException: [PYTHON_EXCEPTION] An exception was thrown from "
    "the Python worker: Traceback (most recent call last):\n"
    '  File "/program/map.py", line 16, in bad\n    import numpy as np\n'
)
ABORTED = (
    "org.apache.spark.SparkException: Job aborted due to stage failure: Task 1 in stage 0.0 failed "
    "4 times, most recent failure: Lost task 1.3 in stage 0.0 (TID 6) (localhost executor driver): "
)
KNOWN = {
    f"{RAISED}runtime.command_line.UserError: 7.gz: cut off\n SQLSTATE: 38000": "7.gz: cut off",
    f"{RAISED}ModuleNotFoundError: No module named 'numpy'\n SQLSTATE: 38000": (
        "the executors' Python (python3, from PYSPARK_PYTHON) has no numpy: unset PYSPARK_PYTHON"
    ),
    f"{RAISED}pyspark.errors.exceptions.base.PySparkRuntimeError: [PYTHON_VERSION_MISMATCH] Python "
    "in worker has different version: 3.11 than that in driver: 3.12, PySpark cannot run": (
        "the executors' Python (python3, from PYSPARK_PYTHON) is Python 3.11, and the driver is "
        "Python 3.12: unset PYSPARK_PYTHON"
    ),
    f"{RAISED}RuntimeError: Python in worker has different version (3, 9) than that in driver "
    "3.11, PySpark cannot run": "is Python 3, 9, and the driver is Python 3.11",
    f'{ABORTED}java.io.IOException: Cannot run program "python3": error=2, No such file or '
    "directory\n\tat java.base": "the executors' Python (python3, from PYSPARK_PYTHON) does not",
    f"{ABORTED}\nError from python worker:\n  Traceback (most recent call last):\n    File "
    '"/old/runpy.py", line 183, in _run_module_as_main\n  ModuleNotFoundError: No module named '
    "'importlib.resources'\norg.apache.spark.SparkException: EOFException occurred while reading "
    "the port number from pyspark.daemon's stdout.": "cannot run PySpark",
    f"{RAISED}Original error was: libscipy_openblas64_-32a4b2a6.so: failed to map segment from "
    "shared object\n\n SQLSTATE: 38000": "an executor's Python ran out of memory: free some",
    f"{RAISED}numpy._core._exceptions._ArrayMemoryError: Unable to allocate 7.45 GiB for an array "
    "with shape": "an executor's Python ran out of memory",
    f"{ABORTED}SparkException: Python worker exited unexpectedly (crashed)\n\tat": (
        "Spark's Python process was killed in every attempt"
    ),
    f"{ABORTED}java.io.IOException: No space left on device\n\tat": "the disk for temporary files",
    f"{ABORTED}java.lang.OutOfMemoryError: Java heap space\n\tat": (
        "Spark's Java ran out of memory (Java heap space): raise spark.driver.memory"
    ),
    "26/11/25 23:20:00 ERROR StandaloneSchedulerBackend: Application has been killed. Reason: All "
    "masters are unresponsive! Giving up.": "the Spark master spark://dead:7077 does not answer",
    "java.lang.OutOfMemoryError: unable to create native thread: possibly out of memory or "
    "process/resource limits reached": "no more threads may start here",
    "java.net.SocketException: Too many open files": "no more files may be opened here",
    "java.lang.AssertionError: Config file not found on classpath: org/apache/spark/x": (
        "no more files may be opened here: raise the limit (ulimit -n"
    ),
    "java.net.URISyntaxException: Relative path in absolute URI: 10:30.csv": "a colon in its name",
    "java.lang.UnsupportedOperationException: getSubject is not supported": (
        "does not run on this Java; install Java"
    ),
    "pyspark.errors: Constructor org.apache.spark.api.python.PythonAccumulatorV2([class "
    "java.lang.String]) does not exist": "unset SPARK_HOME",
    "java.lang.IllegalArgumentException: basedir must be absolute: ?/.ivy2/local": "has no name",
    "javax.security.auth.login.LoginException: java.lang.NullPointerException: invalid null "
    "input: name": "has no name on this machine",
    "org.apache.hadoop.security.AccessControlException: SIMPLE authentication is not enabled.  "
    "Available:[TOKEN, KERBEROS]": "asks for a Kerberos ticket",
    "java.net.BindException: Cannot assign requested address: Service 'sparkDriver' failed after "
    "16 retries": "Spark cannot listen at the address",
    "java.net.UnknownHostException: mastr: Name or service not known": "the name mastr has no",
}


@pytest.mark.parametrize(("text", "line"), KNOWN.items(), ids=range(len(KNOWN)))
def test_a_known_failure_becomes_one_line_with_what_to_do(text, line, monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", "python3")
    told = reasons.of_failure(text, master="spark://dead:7077")
    assert told is not None and line in told and "\n" not in told


def test_workers_with_the_drivers_own_python_are_told_to_install(monkeypatch):
    monkeypatch.setenv("PYSPARK_PYTHON", sys.executable)
    told = reasons.of_failure("ModuleNotFoundError: No module named 'numpy'")
    assert told.endswith("has no numpy: install the same Python and packages on all workers")


def test_a_mistake_in_a_task_is_its_traceback_and_nothing_of_java():
    raised = spark._as_told(f"{RAISED}ZeroDivisionError: division by zero\n\n\tat org.apache.spark")
    assert isinstance(raised, MistakeInTask)
    assert str(raised).startswith("in an executor:\nTraceback (most recent call last):\n  File")
    assert str(raised).endswith("\nZeroDivisionError: division by zero")


def test_an_unknown_failure_of_a_job_is_its_first_line_or_what_java_printed():
    raised = spark._as_told("java.lang.IllegalStateException: stopped\n\tat org")
    assert isinstance(raised, UserError)
    assert str(raised) == "Spark gave up: java.lang.IllegalStateException: stopped"
    raised = spark._as_told(
        "java.lang.IllegalStateException: stopped", "ERROR All masters are unresponsive"
    )
    assert "does not answer" in str(raised)


PRINTED = {
    "26/11/30 03:21:34 ERROR SparkContext: Error initializing SparkContext.\n"
    "KubernetesClientException: An error has occurred.\n\tat io.fabric8\nCaused by: "
    "java.io.IOException: Connection refused: /127.0.0.1:1\nCaused by: "
    "java.net.ConnectException": "java.io.IOException: Connection refused: /127.0.0.1:1",
    "Error: Missing application resource.\n\nUsage: spark-submit [options]\n\nOptions:\n": (
        "Error: Missing application resource."
    ),
    "Error occurred during initialization of VM\nToo small maximum heap": "Too small maximum heap",
    "Picked up _JAVA_OPTIONS: -XX:+Old\nUnrecognized VM option 'Old'\nError: Could not create the "
    "Java Virtual Machine.\nError: A fatal exception has occurred. Program will exit.\n": (
        "Unrecognized VM option 'Old'"
    ),
    "Picked up JAVA_TOOL_OPTIONS: -javaagent:missing.jar\nError opening zip file or JAR manifest "
    "missing : missing.jar\nError occurred during initialization of VM\nagent library failed\n": (
        "Error opening zip file or JAR manifest missing : missing.jar"
    ),
    "WARNING: Using incubator modules: jdk.incubator.vector\nUsing Spark's default log4j\n"
    "26/11/25 23:20:00 WARN NativeCodeLoader: Unable to load native-hadoop library\n"
    'Exception in thread "main" org.apache.spark.SparkException: Bad\nTo adjust logging level': (
        'Exception in thread "main" org.apache.spark.SparkException: Bad'
    ),
    "": None,
    "26/11/25 23:20:00 WARN Utils: Error\n": None,
}


@pytest.mark.parametrize(("log", "line"), PRINTED.items(), ids=range(len(PRINTED)))
def test_of_what_java_prints_the_first_line_that_names_an_error_is_shown(log, line):
    assert reasons.first_error(log) == line


def test_a_java_that_does_not_start_is_told_with_the_variable(monkeypatch):
    for name in ("_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS"):
        monkeypatch.delenv(name, raising=False)
    printed = next(text for text in PRINTED if "Old" in text)
    told = str(reasons.java_that_fails("/bin/java", printed))
    assert told == "/bin/java does not start: Unrecognized VM option 'Old'; install Java anew"
    monkeypatch.setenv("_JAVA_OPTIONS", "-XX:+Old")
    told = str(reasons.java_that_fails("/bin/java", printed))
    assert told.endswith("'Old'; unset or correct _JAVA_OPTIONS=-XX:+Old")
    monkeypatch.delenv("_JAVA_OPTIONS")
    for printed, remedy in LIMITED.items():
        assert str(reasons.java_that_fails("/bin/java", printed)).endswith(remedy)


LIMITED = {
    "Error occurred during initialization of VM\nCould not allocate compressed class space: 1 b": (
        "; free memory, or raise the limits of this shell (ulimit -a)"
    ),
    "Error occurred during initialization of VM\nCould not create G1ServiceThread": "(ulimit -a)",
    "Error occurred during initialization of VM\nCould not determine current working directory.": (
        "; the current folder was deleted; change to another one"
    ),
}


def test_an_executors_python_that_nobody_named_is_said_to_be_so(monkeypatch):
    monkeypatch.delenv("PYSPARK_PYTHON", raising=False)
    told = reasons.of_failure("ModuleNotFoundError: No module named 'numpy'")
    assert told.startswith(
        "the executors' Python (python3, because PYSPARK_PYTHON is not set) has no numpy: set "
        f"PYSPARK_PYTHON to {sys.executable} before Spark starts"
    )
