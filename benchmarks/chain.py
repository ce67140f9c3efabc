"""(h) The chain generated from layers against the chain written out in train.py, same network.

    .venv/bin/python benchmarks/chain.py --data FOLDER_OF_MNIST

The two run alternately, many times: they differ by a few percent, which is less than one epoch
differs from the next.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import contenders
import measure

import data_loader
from runtime.spark import spark_context
from training.chain import chain_epoch

WRITTEN_OUT, FROM_LAYERS = "maps", "maps, from layers"
COLUMNS = {
    "digits": ("digits", "d"),
    "pairs": ("pairs of epochs", "d"),
    WRITTEN_OUT: (f"{WRITTEN_OUT}, median s", ".3f"),
    FROM_LAYERS: (f"{FROM_LAYERS}, median s", ".3f"),
    "ratio": ("median of their ratios", ".3f"),
}


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument(
        "--pairs", type=int, default=100, help="for two digits; half as many for ten"
    )
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    rows = []
    with spark_context("chain") as spark:
        for digits, pairs in (([0, 1], options.pairs), (range(10), options.pairs // 2)):
            split = data_loader.load(spark, place, "train", digits)
            calls = {
                WRITTEN_OUT: contenders.strategy("maps", split),
                FROM_LAYERS: contenders.strategy("maps", split, epoch=chain_epoch),
            }
            times = measure.alternate(calls, pairs)
            split.blocks.unpersist()
            both = zip(times[FROM_LAYERS], times[WRITTEN_OUT], strict=True)
            rows.append(
                {
                    "digits": len(digits),
                    "pairs": pairs,
                    **{name: statistics.median(taken) for name, taken in times.items()},
                    "ratio": statistics.median(layers / maps for layers, maps in both),
                }
            )
    measure.save("chain", {"rows": rows}, measure.table(rows, COLUMNS))


if __name__ == "__main__":
    main()
