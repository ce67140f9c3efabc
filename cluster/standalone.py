"""A Spark standalone cluster on this machine: a master and workers, on loopback only.

Other accounts of the machine reach loopback too. So master, workers and whoever submits share a
secret, drawn anew for each cluster, in a file that only this account can read.
"""

import contextlib
import secrets
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cluster.processes import LOOPBACK, SPARK_HOME, Host, started, wait_until_said
from runtime import java

PROPERTIES = """\
spark.authenticate true
spark.authenticate.secret {secret}
spark.network.crypto.enabled true
spark.ui.killEnabled false
spark.master.ui.decommission.allow.mode DENY
spark.executor.extraJavaOptions {java}
"""


class Cluster(NamedTuple):
    """A running cluster: the master's URL, the file of its secret, the processes; see `started`."""

    url: str
    properties: Path
    master: subprocess.Popen
    workers: list[subprocess.Popen]


@contextlib.contextmanager
def standalone_cluster(
    folder: Path, workers: int = 2, hosts: Sequence[Host] = ()
) -> Iterator[Cluster]:
    """A master and workers of one core and 1 GiB each, for the length of a `with` block.

    Their logs and their work go into `folder`. With `hosts`, the master runs on the first and a
    worker on each of the others. Raises UserError if one does not start.
    """
    options = java.quick_options(java.find())
    master_host, *worker_hosts = hosts or [LOOPBACK] * (workers + 1)
    properties = folder / "spark.properties"
    properties.touch(mode=0o600, exist_ok=False)
    secret = secrets.token_hex(32)
    properties.write_text(PROPERTIES.format(secret=secret, java=options))
    variables = {"SPARK_DAEMON_JAVA_OPTS": options}
    with contextlib.ExitStack() as running:

        def server(log: Path, kind: str, host: Host, words: Sequence[str]) -> subprocess.Popen:
            place = ["--host", host.address, "--port", "0", "--webui-port", "0"]
            shared = [*place, "--properties-file", str(properties)]
            name = f"org.apache.spark.deploy.{kind}"
            command = [str(SPARK_HOME / "bin" / "spark-class"), name, *shared, *words]
            output = running.enter_context(open(log, "wb"))
            # Only this account reads what executors write, and the sockets to their Python.
            shown = {"stdout": output, "stderr": subprocess.STDOUT}
            process = started(command, host, variables, umask=0o077, **shown)
            return running.enter_context(process)

        log = folder / "master.log"
        master = server(log, "master.Master", master_host, [])
        url = wait_until_said(master, log, r"Starting Spark master at (spark://\S+)")
        cluster = Cluster(url, properties, master, [])
        logs = [folder / f"worker-{number}.log" for number in range(1, len(worker_hosts) + 1)]
        for host, log in zip(worker_hosts, logs, strict=True):
            limits = ["--cores", "1", "--memory", "1g", "--work-dir", str(log.with_suffix(""))]
            cluster.workers.append(server(log, "worker.Worker", host, [*limits, url]))
        for worker, log in zip(cluster.workers, logs, strict=True):
            wait_until_said(worker, log, "(Successfully registered with master)")
        yield cluster
