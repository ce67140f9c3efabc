"""What the tests of equal bits run, each in a Spark of its own: networks in every strategy.

python every_strategy.py DATA SHARDS FOLDER
"""

import itertools
import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).parent.parent))

from gated import SMALL_COPIES

import train
from pictures import figures
from runtime import storage
from runtime.spark import spark_context
from training.recipes import IN_PARTITION, STRATEGIES

# With a state that goes on from epoch to epoch, and with all that leaves something to chance.
NETWORKS = {
    "article": ["--hidden", "16", "--optimizer", "adam"],
    "mlp": ["--network", "dense 12, relu, dropout 0.2, dense, softmax", "--shift", "1"]
    + ["--optimizer", "momentum", "--patience", "2"],
    "conv": ["--network", "conv 3 5, maxpool 4, relu, dropout 0.3, dense, softmax"]
    + ["--shift", "2", "--rotation", "10", "--zoom", "0.1", "--validation", "0.2"],
}
RUNS = ["-".join(pair) for pair in itertools.product(NETWORKS, STRATEGIES)]


def main(data: str, shards: str, folder: str) -> None:
    """Train two epochs of each network with each strategy, into FOLDER/NETWORK-STRATEGY.

    Two networks on whole files, one on shards of them.
    """
    words = "--digits all --epochs 2 --partitions 5".split()
    for run in RUNS:
        network, strategy = run.split("-")
        place = shards if network == "mlp" else data
        choice = [*NETWORKS[network], "--strategy", strategy]
        places = ["--data", place, "--model-dir", f"{folder}/{run}"]
        with mock.patch.dict(IN_PARTITION, SMALL_COPIES):
            assert train.main([*words, *places, *choice]) == 0


def parameters(folder: Path | str) -> dict[str, bytes]:
    """What `main` has saved, by network and strategy."""
    return {run: storage.read(f"{folder}/{run}/parameters.npz") for run in RUNS}


if __name__ == "__main__":
    figures.draw_training = lambda *_: None
    with spark_context("every strategy"):
        main(*sys.argv[1:])
