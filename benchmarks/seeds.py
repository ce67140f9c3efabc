"""The influence of the seed, which draws the initial weights: the default run with 12 seeds.

    .venv/bin/python benchmarks/seeds.py --data FOLDER_OF_MNIST

It uses `--strategy partitions`: the same step as the article's chain in less time, with other
mini-batches of 70%.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import measure

import data_loader
import predict
import train
from runtime.spark import spark_context


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--seeds", type=int, default=12, help="number of seeds, from 1")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    rows = []
    with spark_context("seeds") as spark:
        split = data_loader.load(spark, place, "train", [0, 1])
        test = data_loader.load(spark, place, "test", [0, 1])
        for seed in range(1, options.seeds + 1):
            trained = train.fit("article", split, strategy="partitions", seed=seed)
            last, scores = trained.history[-1], predict.evaluate(trained, test)
            classes = scores["classes"].values()
            worst = min(s[name] for s in classes for name in ("precision", "recall", "f1"))
            rows.append(
                {
                    "name": str(seed),
                    "cost": last.cost,
                    "training": last.accuracy,
                    "test": scores["accuracy"],
                    "worst": worst,
                }
            )
            print(rows[-1], flush=True)
    for name, pick in (("least", min), ("median", statistics.median), ("most", max)):
        runs = rows[: options.seeds]
        rows.append({"name": name} | {k: pick(r[k] for r in runs) for k in runs[0] if k != "name"})
    columns = {
        "name": ("seed", "s"),
        "cost": ("cost at the end", ".3f"),
        "training": ("training accuracy", ".3f"),
        "test": ("test accuracy", ".4f"),
        "worst": ("least of precision, recall, F1", ".3f"),
    }
    measure.save("seeds", {"rows": rows}, measure.table(rows, columns))


if __name__ == "__main__":
    main()
