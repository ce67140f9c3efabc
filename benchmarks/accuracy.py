"""(c) Test accuracy on ten digits against seconds of training: averaging, partitions, MLlib.

    .venv/bin/python benchmarks/accuracy.py --data FOLDER_OF_MNIST

All have 64 hidden units and their data loaded and cached before the clock starts; it stands still
while a test accuracy is taken. Rounds take turns.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")

import contenders
import draw
import measure
from pyspark.ml.evaluation import MulticlassClassificationEvaluator

import data_loader
import nn_math
import train
from images import blocks
from network.sequential import network_of, outputs_of
from results.checkpoints import Progress
from runtime.spark import spark_context

AVERAGING = contenders.settings(
    range(10),
    strategy="averaging",
    optimizer="sgd",
    schedule="constant",
    learning_rate=6.0,
    batch_size=24,
    epochs=14,
)
ADAM = contenders.settings(
    range(10), strategy="partitions", optimizer="adam", learning_rate=0.01, epochs=60
)
LBFGS_ITERATIONS = 100


def ours(
    split: data_loader.Split, settings: argparse.Namespace, X_test, y_test
) -> list[tuple[float, float]]:
    """(seconds of training, test accuracy) after each epoch."""
    network = network_of(settings)
    progress, spent, points = Progress(train.initial_of(settings), {}, []), 0.0, []
    for _ in range(settings.epochs):
        start = time.perf_counter()
        progress = train.one_epoch(split, None, progress, settings)
        spent += time.perf_counter() - start
        right = nn_math.correct(outputs_of(network, progress.parameters, X_test), y_test)
        points.append((spent, right / len(y_test)))
    return points


def mllib(frame, test_frame, iterations: int) -> tuple[float, float]:
    """(seconds of the fit, test accuracy) of solver l-bfgs."""
    fitted = []
    network = contenders.mllib(10, "l-bfgs", iterations)
    spent = measure.seconds(lambda: fitted.append(network.fit(frame)))
    judge = MulticlassClassificationEvaluator(metricName="accuracy")
    return spent, judge.evaluate(fitted[0].transform(test_frame))


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds")
    parser.add_argument("--partitions", type=int, default=2, help="of averaging")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    curves = {"averaging": [], "partitions, adam": [], "MLlib, l-bfgs": []}
    with spark_context("accuracy") as spark:

        def split(part: str, **how) -> data_loader.Split:
            loaded = data_loader.load(spark, place, part, range(10), **how)
            loaded.blocks.count()
            return loaded

        few = split("train", partitions=options.partitions)
        many = split("train", in_partition=contenders.IN_PARTITION)
        test = split("test")
        X_test, y_test = blocks.as_rows(*data_loader.read_part(place, "test")[:2], 10, "float32")
        frame = contenders.mllib_frame(spark, many.blocks)
        test_frame = contenders.mllib_frame(spark, test.blocks)
        for _ in range(options.rounds):
            curves["averaging"].append(ours(few, AVERAGING, X_test, y_test))
            curves["partitions, adam"].append(ours(many, ADAM, X_test, y_test))
            curves["MLlib, l-bfgs"].append([mllib(frame, test_frame, LBFGS_ITERATIONS)])
            print({name: runs[-1][-1] for name, runs in curves.items()}, flush=True)
        for iterations in (10, 25, 50):
            point = mllib(frame, test_frame, iterations)
            curves["MLlib, l-bfgs"][0].insert(-1, point)
    rows = []
    for name, runs in curves.items():
        ends = [run[-1] for run in runs]
        reached = [next((s for s, share in run if share >= 0.97), None) for run in runs]
        rows.append(
            {
                "name": name,
                "seconds": statistics.median(seconds for seconds, _ in ends),
                "accuracy": statistics.median(accuracy for _, accuracy in ends),
                "to_97": None if None in reached else statistics.median(reached),
            }
        )
    for row in rows:
        row["ratio"] = row["to_97"] and row["to_97"] / rows[-1]["seconds"]
    columns = {
        "name": ("training", "s"),
        "seconds": ("seconds in all, median", ".1f"),
        "accuracy": ("test accuracy at the end", ".4f"),
        "to_97": ("seconds to 97%", ".1f"),
        "ratio": ("to 97% / MLlib's fit", ".3f"),
    }
    results = {"rows": rows, "curves": curves}
    measure.save("accuracy", results, measure.table(rows, columns))
    draw.accuracy(results)


if __name__ == "__main__":
    main()
