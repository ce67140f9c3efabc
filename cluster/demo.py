"""A Spark standalone cluster on this machine, to see the program on one: `make cluster-demo`.

A master and two workers start as processes of their own, on loopback only, with a secret without
which they talk to nobody. `spark-submit` sends them train.py and then predict.py, from another
folder than the project's. In the end, whatever happens, they are stopped by their process ids.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from cluster.processes import data_from_anywhere, interrupted, show, submit_command
from cluster.standalone import standalone_cluster
from runtime.command_line import DATA_HELP, Parser, exit_status, whole_number


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m cluster.demo",
        description="Train and score on a Spark cluster of a master and workers on this machine.",
        epilog="All other arguments go to train.py.",
    )
    option = parser.add_argument
    option("--data", metavar="PLACE", help=DATA_HELP + " (default: as train.py)")
    workers = "how many workers to start, of one core and 1 GiB each"
    option("--workers", type=whole_number(1, 64), default=2, help=workers)
    return parser


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Show it; returns 0."""
    options, training = arguments().parse_known_args(argv)
    place = data_from_anywhere(options.data)
    signal.signal(signal.SIGTERM, interrupted)
    folder = Path(tempfile.mkdtemp(prefix="cluster-demo-"))
    with standalone_cluster(folder, options.workers) as cluster:
        pids = " and ".join(str(worker.pid) for worker in cluster.workers)
        print(f"master {cluster.url} runs as process {cluster.master.pid}, workers as {pids}")
        for script, own in (("train.py", training), ("predict.py", [])):
            words = ["--data", place, *own]
            command = submit_command(cluster.url, script, words, cluster.properties)
            show(command, folder)
    print(f"\nstopped the master and the workers; results and logs are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
