"""Why Spark failed, in one line: from what Java and Python printed to what to do about it.

Pure functions of texts. `FAILURES` is the one table; the first pattern that is found decides.
"""

import os
import re
import sys

from runtime.command_line import UserError

MEMORY = (
    "free some, run fewer tasks at once (spark-submit --master local[1]), or raise "
    "spark.executor.memory, and spark.executor.pyspark.memory where it is set; train.py --resume "
    "continues after the last checkpoint"
)
WORKER_ENDED = (
    "Spark's Python process was killed in every attempt of a task; memory probably ran out: "
    f"{MEMORY}"
)
NO_SPACE = (
    "the disk for temporary files is full or read-only: free some of it, or set TMPDIR (on a "
    "cluster spark.local.dir) to a folder on another disk"
)
# Pattern in the text of a failure -> the line to print. {0} is the first group of the pattern;
# the others are those of `facts`.
FAILURES = (
    (r"^(?:\w+\.)*UserError: (.+)", "{0}"),
    (
        r"Python in worker has different version:? \(?([\d, .]+?)\)? than that in driver:? (\S+),",
        "{python} is Python {0}, and the driver is Python {1}: {right}",
    ),
    (
        r"No module named '(numpy|scipy|pyspark|py4j|matplotlib|PIL|tqdm|pooch|filelock)\b",
        "{python} has no {0}: {right}",
    ),
    (r'Cannot run program "(.+?)": .*No such file', "{python} does not exist: {right}"),
    (r'Cannot run program "(.+?)": .*Permission denied', "{python} is not executable: {right}"),
    (
        r"reading the port number from pyspark.daemon's stdout|Bad data in pyspark.daemon's",
        "{python} cannot run PySpark {spark}; it may be too old, or another program; {right}",
    ),
    (r"No space left on device|Disk quota exceeded|File too large", NO_SPACE),
    (
        r"unable to create (?:new )?native thread",
        "no more threads may start here: raise the limit (ulimit -u; docker run --pids-limit)",
    ),
    (
        r"Too many open files|Config file not found on classpath",  # which cannot be opened
        "no more files may be opened here: raise the limit (ulimit -n 4096)",
    ),
    (
        r"(?:^|\W)(?:\w+\.)*_?(?:Array)?MemoryError\b|failed to map segment|"
        r"Cannot allocate memory|cannot allocate memory",
        f"an executor's Python ran out of memory: {MEMORY}",
    ),
    (
        r"java\.lang\.OutOfMemoryError: ([^\n]+)",
        "Spark's Java ran out of memory ({0}): raise spark.driver.memory and spark.executor.memory",
    ),
    (r"Python worker exited unexpectedly", WORKER_ENDED),
    (
        r"getSubject is not supported",
        "Spark {spark} does not run on this Java; install Java {javas}, and set JAVA_HOME to its "
        "folder",
    ),
    (
        r"Constructor .* does not exist|does not exist in the JVM",
        "the Spark that was started is not the PySpark {spark} of this Python; unset SPARK_HOME",
    ),
    (
        r"All masters are unresponsive",
        "the Spark master {master} does not answer: is it running, and can this machine reach it?",
    ),
    (
        r"Kerberos|GSSException|SIMPLE authentication is not enabled",
        "the cluster asks for a Kerberos ticket, and there is none that it accepts ({line}): "
        "run kinit, or give spark-submit --principal and --keytab",
    ),
    (
        r"invalid null input: name|basedir must be absolute: \?",
        "the user id {uid} has no name on this machine: add it to /etc/passwd, or run as a user "
        "with a name (docker run -u NAME)",
    ),
    (
        r"Cannot assign requested address",
        "Spark cannot listen at the address that it was given: unset SPARK_LOCAL_IP, "
        "spark.driver.bindAddress and spark.driver.host, or set them to one of this machine",
    ),
    (r"Relative path in absolute URI: (\S+)", "Hadoop reads no file with a colon in its name: {0}"),
    (r"UnknownHostException: ([^\s:]+)", "the name {0} has no address: is it spelled correctly?"),
)
NOISE = re.compile(
    r"Error occurred during initialization|Could not create the Java Virtual Machine|"
    r"A fatal exception has occurred|^Picked up|^WARNING|\bWARN\b|\bINFO\b|^Using Spark's default|"
    r"^To adjust logging|Error initializing SparkContext"
)
BEHIND_TRACEBACK = re.compile(
    r"\n\s*\n?\s*(?:SQLSTATE|JVM stacktrace|at org\.|at java|Driver stacktrace)"
)


def of_failure(text: str, master: str = "") -> str | None:
    """What to tell the user of a failure with this text; None if the table does not know it."""
    for pattern, line in FAILURES:
        found = re.search(pattern, text, re.MULTILINE)
        if found:
            groups = [" ".join((group or "").split()) for group in found.groups()]
            return line.format(*groups, **facts(text, found), master=master)
    return None


def facts(text: str, found: re.Match[str]) -> dict[str, str]:
    """What the lines of the table say of this machine."""
    from pyspark import __version__ as spark

    variable = "PYSPARK_PYTHON"
    python = os.environ.get(variable, "python3")
    is_ours = python == sys.executable
    start = text.rfind("\n", 0, found.start()) + 1
    origin, right = "", "install the same Python and packages on all workers"
    if not is_ours:
        origin = f", because {variable} is not set"
        right = f"set {variable} to {sys.executable} before Spark starts"
        if variable in os.environ:
            origin = f", from {variable}"
            right = f"unset {variable}, or set it to {sys.executable}"
        right += "; on a cluster, to a Python with the program's packages on all workers"
    return {
        "python": f"the executors' Python ({python}{origin})",
        "right": right,
        "spark": spark,
        "javas": javas(spark),
        "line": text[start:].split("\n", 1)[0].strip()[:200],
        "uid": str(os.getuid()) if hasattr(os, "getuid") else "",
    }


def javas(spark: str) -> str:
    """The versions of Java that a version of Spark runs on."""
    return "17 or 21" if int(spark.split(".")[0]) >= 4 else "8, 11 or 17"


def traceback_in(text: str) -> str | None:
    """The traceback of an executor's Python in a failure's text; None if there is none."""
    start = text.find("Traceback (most recent call last)")
    if start < 0:
        return None
    return BEHIND_TRACEBACK.split(text[start:])[0].strip()


def first_error(log: str) -> str | None:
    """The first line of what Java printed that names a cause, else an error; else its first."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    causes = [line for line in lines if line.startswith("Caused by: ")]
    if causes:
        return causes[0].removeprefix("Caused by: ")
    telling = [line for line in lines if not NOISE.search(line)]
    for number, line in enumerate(lines):
        if "Error occurred during initialization" in line and lines[number + 1 :]:
            return lines[number + 1]
        if line in telling and re.search(r"Error|Exception|error:", line):
            return line
    return telling[0] if telling else None


def java_that_fails(java: str, printed: str) -> UserError:
    """Of a Java that does not start: its own line, and the variable that makes it fail."""
    line = first_error(printed)
    given = [
        f"{name}={os.environ[name]}"
        for name in ("_JAVA_OPTIONS", "JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")
        if os.environ.get(name)
    ]
    remedy = "install Java anew"
    if given:
        remedy = f"unset or correct {' and '.join(given)}"
    elif re.search("allocate|reserve|memory|create .*Thread", line or ""):
        remedy = "free memory, or raise the limits of this shell (ulimit -a)"
    elif "working directory" in (line or ""):
        remedy = "the current folder was deleted; change to another one"
    return UserError(f"{java} does not start: {line or 'it prints nothing'}; {remedy}")
