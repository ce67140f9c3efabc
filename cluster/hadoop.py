"""Hadoop on this machine: HDFS and YARN, each server a process of its own, on loopback only.

A name node and a data node hold files; a resource manager and node managers run applications in
containers, which here are processes of this machine. Maven fetches what Spark's own jars lack,
once, into .hadoop/ (pom.xml names it). Without Kerberos, Hadoop does not check
the names of users: do not run this on a shared machine.
"""

import configparser
import contextlib
import importlib.metadata
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import filelock

from cluster.processes import PROJECT, SPARK_HOME, started, submit_command, wait_until_said
from runtime import java, modules
from runtime.command_line import UserError

KEPT = PROJECT / ".hadoop"
# What a container's Python has to have: numpy everywhere, the others where the driver runs. PySpark
# comes with the cluster.
REQUIREMENTS = (PROJECT / "requirements.txt").read_text()
PACKAGES = re.findall(r"^(?!pyspark)[\w-]+", REQUIREMENTS, re.MULTILINE)
# A node manager without Hadoop's native library starts a `chmod` for each file that it unpacks.
NOT_PACKED = [
    f"--exclude=*/{name}" for name in ("tests/*", "__pycache__/*", "site-packages/pip/*", "*.pyi")
]
# Each server's class, and what its log says once it serves.
SERVERS = {
    "name-node": ("hdfs.server.namenode.NameNode", "NameNode RPC up at"),
    "data-node": ("hdfs.server.datanode.DataNode", "successfully registered with NN"),
    "resource-manager": ("yarn.server.resourcemanager.ResourceManager", "Transitioned to active"),
    "node-manager": ("yarn.server.nodemanager.NodeManager", "Registered with ResourceManager"),
}


class Hadoop:
    """The servers that run, by name; `start` starts one, also one that was killed."""

    def __init__(self, folder: Path, running: contextlib.ExitStack) -> None:
        self.folder, self.servers = folder, dict[str, subprocess.Popen]()
        self._running = running
        self.uri = _configure(folder)
        self.variables = {"HADOOP_CONF_DIR": str(folder / "conf")}

    def start(self, *names: str) -> None:
        """Start "name-node", "data-node", "resource-manager", "node-manager-1", -2, ... together.

        Raises UserError if one of them does not come to serve.
        """
        for name in names:
            self._launch(name)
        for name in names:
            said = SERVERS[_kind(name)][1]
            wait_until_said(self.servers[name], self.folder / f"{name}.log", f"({said})")

    def _launch(self, name: str) -> None:
        server = SERVERS[_kind(name)][0]
        logging = f"-Dlog4j2.configurationFile={self.folder}/log4j2.properties"
        words = ["-Xmx256m", logging, f"-Dserver={name}", f"org.apache.hadoop.{server}"]
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        variables = {"PATH": path, "JAVA_HOME": _java_home()}
        with open(self.folder / f"{name}.log", "wb") as output:
            # Only this account reads what containers write, and the sockets to their Python.
            process = started(
                self.java(words),
                variables=variables,
                stdout=output,
                stderr=subprocess.STDOUT,
                umask=0o077,
            )
            self.servers[name] = self._running.enter_context(process)

    def java(self, words: Sequence[str]) -> list[str]:
        """The command that runs a class of Hadoop's with this cluster's settings."""
        jars = f"{self.folder}/conf:{SPARK_HOME}/jars/*:{KEPT}/{hadoop_version()}/*"
        options = ["-XX:+UseSerialGC", java.FIRST_COMPILER, "-cp", jars]
        return [f"{_java_home()}/bin/java", *options, *words]

    def shell(self, *words: str) -> str:
        """What `hdfs dfs WORDS` prints. Raises UserError if it fails."""
        command = self.java(["org.apache.hadoop.fs.FsShell", *words])
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"hdfs dfs {' '.join(words)}: {done.stderr.strip()}")
        return done.stdout

    def submit(
        self, mode: str, script: str, words: Sequence[str], more: Sequence[str] = ()
    ) -> list[str]:
        """The command that sends a script to YARN, to run its driver here or there, by mode.

        Start it with `variables`. `more` are options of spark-submit. Without an option that says
        another one, containers use the Python that runs this.
        """
        options = ["--deploy-mode", mode, "--num-executors", "2", *more]
        if mode == "client":
            options += ["--conf", f"spark.pyspark.driver.python={sys.executable}"]
        else:
            archive = self.folder / "modules.zip"
            modules.pack(archive)
            options += ["--py-files", str(archive)]
        return submit_command("yarn", script, words, self.folder / "spark.properties", options)


@contextlib.contextmanager
def hadoop_cluster(folder: Path) -> Iterator[Hadoop]:
    """HDFS and YARN with two node managers, for the length of a `with` block.

    Logs and files go into `folder`. Raises UserError if Java or Maven is missing, or if a server
    does not start.
    """
    java.find()
    fetch_jars()
    with contextlib.ExitStack() as running:
        hadoop = Hadoop(folder, running)
        name_node = f"org.apache.hadoop.{SERVERS['name-node'][0]}"
        _run(hadoop.java([name_node, "-format", "-nonInteractive"]), "HDFS could not be made;")
        hadoop.start("name-node", "resource-manager")
        hadoop.start("data-node", "node-manager-1", "node-manager-2")
        yield hadoop


def _kind(name: str) -> str:
    """The kind of a server: node-manager-1 is a node-manager."""
    return name.rstrip("-0123456789")


def _configure(folder: Path) -> str:
    """Write the servers' settings, which hadoop.ini holds; returns the URI of the file system."""
    # Clients have to know these before the servers start, so the system cannot choose them.
    names = "name_node", "manager", "scheduler", "tracker", "admin", "pages"
    ports = dict(zip(names, _free_ports(len(names)), strict=True))
    text = (PROJECT / "cluster" / "hadoop.ini").read_text()
    settings = configparser.RawConfigParser(delimiters="=", comment_prefixes=";")
    settings.optionxform = str  # type: ignore  # names keep their capital letters
    known = {"folder": folder, "spark_home": SPARK_HOME, "java": java.FIRST_COMPILER, **ports}
    settings.read_string(text.format(**known))
    (folder / "conf").mkdir()
    for section in settings.sections():
        pairs = settings.items(section)
        if section in ("spark", "log4j2"):
            lines = [f"{name} = {value}" for name, value in pairs]
            (folder / f"{section}.properties").write_text("\n".join(lines))
            continue
        lines = [
            f"<property><name>{name}</name><value>{escape(value)}</value></property>"
            for name, value in pairs
        ]
        site = "\n".join(["<configuration>", *lines, "</configuration>"])
        (folder / "conf" / f"{section}.xml").write_text(site)
    # Without `setsid` containers stay in the process group of their node manager: whoever stops
    # the group, be it this program that was killed, stops them too.
    no_setsid = folder / "bin" / "setsid"
    no_setsid.parent.mkdir()
    no_setsid.write_text("#!/bin/sh\nexit 1\n")
    no_setsid.chmod(0o755)
    return settings["core-site"]["fs.defaultFS"]


def _free_ports(count: int) -> list[int]:
    """Free ports on loopback."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _java_home() -> str:
    """The folder of the Java that Spark starts too; node managers want to be told."""
    program = shutil.which("java") or ""  # java.find has found one, here or in JAVA_HOME
    return os.environ.get("JAVA_HOME") or str(Path(program).resolve().parent.parent)


def hadoop_version() -> str:
    """The version of the Hadoop jars that Spark brings; the servers' has to be the same."""
    (jar,) = (SPARK_HOME / "jars").glob("hadoop-client-api-*.jar")
    return jar.stem.removeprefix("hadoop-client-api-")


def fetch_jars() -> Path:
    """The folder of the jars that pom.xml names; Maven fetches them, once. Raises UserError."""
    version = hadoop_version()

    def fetch(folder: Path) -> Path:
        if shutil.which("mvn") is None:
            raise UserError(
                "Hadoop's jars are fetched by Maven, and there is no mvn on the PATH: install it "
                "with `apt install maven` (Debian, Ubuntu), `dnf install maven` (Fedora) or "
                "`brew install maven` (macOS)"
            )
        print(f"fetching Hadoop {version} into {KEPT / version}, once", flush=True)
        words = ["dependency:copy-dependencies", f"-DoutputDirectory={folder}/jars"]
        pom = str(PROJECT / "cluster" / "pom.xml")
        command = ["mvn", "-q", "-B", "-f", pom, *words, f"-Dhadoop.version={version}"]
        _run(command, "Maven could not fetch Hadoop; is its repository reachable?")
        return folder / "jars"

    return _kept(version, fetch)


def packed_environment() -> Path:
    """An archive of a Python environment for containers: the packages here, packed once.

    Python itself is not in it: a packed venv refers to the Python that it was made with. Raises
    UserError if it cannot be made.
    """
    wanted = [f"{package}=={importlib.metadata.version(package)}" for package in PACKAGES]

    def pack(folder: Path) -> Path:
        print(f"packing {', '.join(wanted)} for the containers, once", flush=True)
        environment, packed = f"{folder}/environment", f"{folder}/packed.tar.gz"
        bin_folder = f"{environment}/bin"
        for command in (
            [sys.executable, "-m", "venv", environment],
            [f"{bin_folder}/pip", "install", "--quiet", *wanted, "venv-pack"],
            [f"{bin_folder}/venv-pack", "--quiet", "-p", environment, "-o", packed, *NOT_PACKED],
        ):
            _run(command, "the containers' Python environment could not be packed")
        return Path(packed)

    return _kept(f"environment-{'-'.join(wanted)}.tar.gz".replace("==", "-"), pack)


def _kept(name: str, make: Callable[[Path], Path]) -> Path:
    """What KEPT holds under a name. `make` makes it, once, in a folder; a second process waits."""
    target = KEPT / name
    if not target.exists():
        KEPT.mkdir(exist_ok=True)
        with filelock.FileLock(KEPT / "lock"), tempfile.TemporaryDirectory(dir=KEPT) as folder:
            if not target.exists():
                make(Path(folder)).rename(target)
    return target


def _run(command: Sequence[str], failed: str) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        last = (done.stdout.strip().splitlines() or ["nothing"])[-1]
        raise UserError(f"{failed} {command[0]} said: {last}")
