"""(g) Test accuracy with only a network or a strategy given, and default settings.

    .venv/bin/python benchmarks/recipes.py --data FOLDER_OF_MNIST

Each runs with several seeds. The defaults were chosen on a held-out share of the training set.
`partitions` also stands for `maps`: it takes the same step with other mini-batches.
"""

import json
import os
import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")

import measure

import data_loader
import predict
import train
from runtime.spark import spark_context
from training.settings import from_command_line

TYPED = [
    "--digits all --strategy partitions",
    "--digits all --strategy partitions --optimizer momentum",
    "--digits all --strategy averaging",
    "--digits all --network mlp",
    "--digits all --network lenet",
    "--digits all --network cnn",
    "--digits all --network mlp --partitions 1",
    "--digits all --network mlp --partitions 4",
    "--digits all --network mlp --partitions 8",
]
COLUMNS = {
    "typed": ("typed", "s"),
    "epochs": ("epochs", "d"),
    "median": ("test accuracy, median", ".4f"),
    "least": ("least", ".4f"),
    "most": ("most", ".4f"),
}


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 1")
    parser.add_argument(
        "--only", default="", help="measure only rows that contain this text: --only=--network"
    )
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    measured = {}
    if options.only:
        results = json.loads((measure.RESULTS / "recipes.json").read_text())
        measured = {row["typed"]: row for row in results["rows"]}
    rows = []
    with spark_context("recipes") as spark:
        test = data_loader.load(spark, place, "test", range(10))
        for typed in TYPED:
            name = f"`{typed}`"
            if options.only not in typed:
                if name in measured:
                    rows.append(measured[name])
                continue
            settings = from_command_line(typed.split())[0]
            in_partition = train.STRATEGIES[settings.strategy].in_partition
            split = data_loader.load(
                spark, place, "train", settings.digits, settings.partitions, in_partition
            )
            split.blocks.count()
            reached = []
            for seed in range(1, options.seeds + 1):
                trained = train.fit(**{**vars(settings), "seed": seed}, split=split)
                reached.append(predict.evaluate(trained, test)["accuracy"])
            split.blocks.unpersist()
            rows.append(
                {
                    "typed": name,
                    "epochs": settings.epochs,
                    "median": statistics.median(reached),
                    "least": min(reached),
                    "most": max(reached),
                }
            )
            print(rows[-1], flush=True)
    measure.save("recipes", {"rows": rows}, measure.table(rows, COLUMNS))


if __name__ == "__main__":
    main()
