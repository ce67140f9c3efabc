"""(c) Test accuracy on ten digits against seconds of training: recipes of ours, and MLlib.

    .venv/bin/python benchmarks/accuracy.py --data FOLDER_OF_MNIST

All but the `cnn` have 64 hidden units. The data is loaded and cached before the clock starts. The
clock stops while a test accuracy is computed. The contenders run alternately. Ours use the default
settings of train.py.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")
# MLlib computes in Java, which may need both of its compilers for that.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=4")

import contenders
import draw
import measure
from pyspark.ml.evaluation import MulticlassClassificationEvaluator

import data_loader
import nn_math
import train
from images import blocks
from network.sequential import outputs_of
from results.checkpoints import Progress
from runtime.spark import spark_context
from training.recipes import IN_PARTITION
from training.run import initial_of
from training.settings import complete, network_of

OURS = {
    "partitions": {"strategy": "partitions"},
    "averaging": {"strategy": "averaging"},
    "averaging, relu, softmax": {"network": "dense 64, relu, dense, softmax"},
    "cnn, 3 epochs of 90%": {"network": "cnn", "epochs": 3, "fraction": 0.9},
}
MLLIB = "MLlib, l-bfgs"
LBFGS_ITERATIONS = 100
TO_97, TO_992 = 0.97, 0.992


def ours(
    split: data_loader.Split, settings: argparse.Namespace, X_test, y_test
) -> list[tuple[float, float]]:
    """(seconds of training, test accuracy) after each epoch."""
    network = network_of(settings)
    progress, spent, points = Progress(initial_of(settings), {}, []), 0.0, []
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


def until(runs: list[list[tuple[float, float]]], share: float) -> float | None:
    """The median of the seconds until the runs reach an accuracy; None if a run never does."""
    reached = [next((s for s, accuracy in run if accuracy >= share), None) for run in runs]
    return None if None in reached else statistics.median(reached)


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="counted rounds")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    curves = {name: [] for name in [*OURS, MLLIB]}
    with spark_context("accuracy") as spark:

        def split(part: str, **how) -> data_loader.Split:
            loaded = data_loader.load(spark, place, part, range(10), **how)
            loaded.blocks.count()
            return loaded

        chosen = {name: complete({**how, "digits": range(10)}) for name, how in OURS.items()}
        cut = {settings.strategy: None for settings in chosen.values()}
        for name in cut:
            cut[name] = split("train", in_partition=IN_PARTITION[name])
        many, test = cut["partitions"], split("test")
        X_test, y_test = blocks.as_rows(*data_loader.read_part(place, "test")[:2], 10, "float32")
        frame = contenders.mllib_frame(spark, many.blocks)
        test_frame = contenders.mllib_frame(spark, test.blocks)
        for _ in range(options.rounds):
            for name, settings in chosen.items():
                curves[name].append(ours(cut[settings.strategy], settings, X_test, y_test))
            curves[MLLIB].append([mllib(frame, test_frame, LBFGS_ITERATIONS)])
            print({name: runs[-1][-1] for name, runs in curves.items()}, flush=True)
        for iterations in (10, 25, 50):
            point = mllib(frame, test_frame, iterations)
            curves[MLLIB][0].insert(-1, point)
    rows = []
    for name, runs in curves.items():
        ends = [run[-1] for run in runs]
        rows.append(
            {
                "name": name,
                "seconds": statistics.median(seconds for seconds, _ in ends),
                "accuracy": statistics.median(accuracy for _, accuracy in ends),
                "to_97": until(runs, TO_97),
                "to_992": until(runs, TO_992),
            }
        )
    for row in rows:
        for reached in ("to_97", "to_992"):
            row[f"{reached}_ratio"] = row[reached] and row[reached] / rows[-1]["seconds"]
    columns = {
        "name": ("training", "s"),
        "seconds": ("seconds in all, median", ".1f"),
        "accuracy": ("test accuracy at the end", ".4f"),
        "to_97": ("s to 97%", ".1f"),
        "to_97_ratio": ("to 97% / MLlib's fit", ".3f"),
        "to_992": ("s to 99.2%", ".1f"),
        "to_992_ratio": ("to 99.2% / MLlib's fit", ".3f"),
    }
    results = {"rows": rows, "curves": curves}
    measure.save("accuracy", results, measure.table(rows, columns))
    draw.accuracy(results)


if __name__ == "__main__":
    main()
