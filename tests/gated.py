"""train.py, whose epochs halt at the gates that a test has closed; see on_a_cluster.Submitted.

python gated.py FOLDER WORDS...    WORDS are those of train.py

Where FOLDER holds a file closed-EPOCH, all tasks of that epoch but those of partition 0 leave a
file halted-EPOCH there, and go on once closed-EPOCH is gone. No sum depends on that.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import train
from training.recipes import IN_PARTITION

# In averaging, 600 images are enough for three copies of the network.
SMALL_COPIES = {"averaging": (200, 200)}


def halting(training_rdd: Callable, folder: str) -> Callable:
    """The function that gives an epoch's RDD, with gates in its tasks."""

    def rdd_of_epoch(split, settings, epoch):
        closed, halted = (f"{folder}/{state}-{epoch}" for state in ("closed", "halted"))

        def halt(partition: int, elements: Iterable) -> Iterator:
            if partition > 0 and os.path.exists(closed):
                open(halted, "w").close()
                while os.path.exists(closed):
                    time.sleep(0.05)
            yield from elements

        return training_rdd(split, settings, epoch).mapPartitionsWithIndex(halt)

    return rdd_of_epoch


if __name__ == "__main__":
    IN_PARTITION.update(SMALL_COPIES)
    train.training_rdd = halting(train.training_rdd, sys.argv[1])
    sys.exit(train.main(sys.argv[2:]))
