"""HDFS and YARN on this machine, to see the program on them: `make hadoop-demo`.

Shards the data into hdfs://, trains with `--master yarn`, once with the driver here and once with
the driver in a container, scores, and lists what lies in HDFS then. In the end, whatever happens,
all servers and containers are stopped by their process ids.
"""

import argparse
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import data_loader
from cluster.hadoop import Hadoop, hadoop_cluster, packed_environment
from cluster.processes import PROJECT, show
from runtime.command_line import DATA_HELP, Parser, exit_status, whole_number

DATA = "hdfs:///data/digits"
# In HDFS everybody may read it: a node manager unpacks it once, for all applications.
ENVIRONMENT = "hdfs:///environment.tar.gz"
ITS_PYTHON = ["--archives", f"{ENVIRONMENT}#environment"]
ITS_PYTHON += ["--conf", "spark.pyspark.python=./environment/bin/python"]


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m cluster.hadoop_demo",
        description="Train and score on HDFS and YARN, as processes of this machine.",
        epilog="All other arguments go to train.py.",
    )
    option = parser.add_argument
    option("--data", metavar="PLACE", help=DATA_HELP + " (default: as train.py)")
    files = "how many files to split the training set into"
    option("--shards", type=whole_number(1, 100_000), default=8, help=files)
    return parser


def said_in_container(hadoop: Hadoop) -> str:
    """What the driver in cluster mode has printed; Spark's own warnings come before it."""
    logs = [log.read_text() for log in hadoop.folder.glob("node-manager-*/logs/*/*_000001/stdout")]
    (said,) = (log for log in logs if DATA in log)
    return said[said.index(DATA) :]


@exit_status
def main(argv: Sequence[str] | None = None) -> int:
    """Show it; returns 0."""
    options, words = arguments().parse_known_args(argv)
    place = data_loader.find_data(options.data)
    if place != "offline" and os.path.isdir(place):
        place = os.path.abspath(place)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it stops the servers as Ctrl-C does
    folder = Path(tempfile.mkdtemp(prefix="hadoop-demo-"))
    with hadoop_cluster(folder) as hadoop:
        for name, process in hadoop.servers.items():
            print(f"{name} runs as process {process.pid}")
        hadoop.shell("-put", str(packed_environment()), ENVIRONMENT)
        shard = ["shard", place, DATA, "--shards", str(options.shards)]
        show([sys.executable, str(PROJECT / "data_loader.py"), *shard], folder, hadoop.variables)
        for mode in ("client", "cluster"):
            places = ["--data", DATA, "--model-dir", f"hdfs:///{mode}/model"]
            places += ["--plots-dir", f"hdfs:///{mode}/plots"]
            command = hadoop.submit(mode, "train.py", [*places, *words], ITS_PYTHON)
            show(command, folder, hadoop.variables)
            if mode == "cluster":
                print(said_in_container(hadoop))
        command = hadoop.submit("client", "predict.py", places, ITS_PYTHON)
        show(command, folder, hadoop.variables)
        print(f"\n{folder}$ hdfs dfs -ls -R /data /client /cluster")
        print(hadoop.shell("-ls", "-R", "/data", "/client", "/cluster"))
    print(f"stopped all servers; logs are in {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
