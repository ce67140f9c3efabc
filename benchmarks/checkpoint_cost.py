"""The cost of a checkpoint against the cost of an epoch: the article's network, two optimizers.

    .venv/bin/python benchmarks/checkpoint_cost.py --data FOLDER_OF_MNIST

Epochs and writes of a checkpoint to a local disk (with fsync) alternate.
"""

import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import contenders
import measure

import data_loader
import train
from results import checkpoints
from runtime.spark import spark_context
from training.recipes import IN_PARTITION, STRATEGIES
from training.run import described, initial_of

ROUNDS = 15


def main() -> None:
    options = measure.arguments(__doc__).parse_args()
    place = data_loader.find_data(options.data)
    rows = []
    with spark_context("checkpoint cost") as spark, tempfile.TemporaryDirectory() as folder:
        for strategy in STRATEGIES:
            in_partition = IN_PARTITION[strategy]
            split = data_loader.load(spark, place, "train", [0, 1], None, in_partition)
            for optimizer in ("sgd", "adam"):
                settings = contenders.settings(strategy=strategy, optimizer=optimizer)
                rows.append(cost(split, settings, folder))
                print(rows[-1], flush=True)
    columns = {
        "strategy": ("strategy", "s"),
        "optimizer": ("optimizer", "s"),
        "epoch": ("an epoch, median s", ".3f"),
        "checkpoint": ("a checkpoint, median ms", ".2f"),
        "share": ("share of the epoch", ".2%"),
    }
    measure.save("checkpoint_cost", {"rounds": ROUNDS, "rows": rows}, measure.table(rows, columns))


def cost(split: data_loader.Split, settings, folder: str) -> dict:
    """The median seconds of an epoch and of its checkpoint, in the middle of a run of 50."""
    run = described(settings, split)
    start = checkpoints.Progress(initial_of(settings), {}, [])
    first = train.one_epoch(split, None, start, settings)
    progress = first._replace(history=25 * first.history)
    times = measure.alternate(
        {
            "epoch": lambda: train.one_epoch(split, None, progress, settings),
            "checkpoint": lambda: checkpoints.save(folder, progress, run),
        },
        ROUNDS,
    )
    epoch, checkpoint = (statistics.median(times[name]) for name in ("epoch", "checkpoint"))
    return {
        "strategy": settings.strategy,
        "optimizer": settings.optimizer,
        "epoch": epoch,
        "checkpoint": checkpoint * 1000,
        "share": checkpoint / epoch,
    }


if __name__ == "__main__":
    main()
