"""How long training on ten digits takes to 97% test accuracy, here and in Spark's MLlib.

    python benchmarks/mllib.py --data FOLDER_OF_MNIST           20 minutes

All have 64 hidden units. The data is in Spark's cache before the clock starts, and computing a test
accuracy does not count. Ours is --strategy averaging, also with the softmax that MLlib has. MLlib's
MultilayerPerceptronClassifier has its default settings (l-bfgs, blocks of 128 images), a cached
frame of dense vectors, and both of Java's compilers. Its number of iterations is the least of a
list that reaches 97%, found before the rounds. It uses the system's BLAS if there is one (JNIBLAS),
as its guide recommends (Debian: libopenblas0), else Java (VectorBLAS). The results say which.
"""

import os
import statistics

import measure
import numpy as np
from pyspark import SparkContext
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.evaluation import MulticlassClassificationEvaluator
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

import data_loader
import nn_math
import train
from images import sources
from images.blocks import as_rows
from network.sequential import outputs_of
from results.checkpoints import Progress
from training.recipes import IN_PARTITION
from training.run import initial_of
from training.settings import complete, network_of

TARGET, MLLIB = 0.97, "MLlib"
OURS = {
    "averaging": {"strategy": "averaging"},
    "averaging, relu, softmax": {"network": "dense 64, relu, dense, softmax"},
}


class Followed(list[Progress]):
    """Takes the place of a run's saver, and keeps the progress after each epoch."""

    epoch_ended = list.append


def ours(split: data_loader.Split, given: dict, X: np.ndarray, y_true: np.ndarray):
    """Seconds of the epochs until the target is reached, else of all; the test accuracy then."""
    settings, seconds, accuracy = complete({**given, "digits": range(10)}), 0.0, 0.0
    after_epochs = Followed()
    train.run_epochs(split, Progress(initial_of(settings), {}, []), settings, after_epochs)
    for progress in after_epochs:
        seconds += progress.history[-1].seconds
        Y = outputs_of(network_of(settings), progress.parameters, X)
        accuracy = nn_math.correct(Y, y_true) / len(Y)
        if accuracy >= TARGET:
            break
    return seconds, accuracy


def frame_of(spark: SparkContext, place: str, part: str) -> DataFrame:
    """A part of the data as MLlib takes it, pixels in [0, 1], cached."""
    sizes = IN_PARTITION["partitions"]
    blocks = data_loader.load(spark, place, part, range(10), in_partition=sizes).blocks

    def rows(block):
        images, labels = block
        return ((float(y), Vectors.dense(x / 255)) for x, y in zip(images, labels, strict=True))

    frame = SparkSession(spark).createDataFrame(blocks.flatMap(rows), ["label", "features"]).cache()
    frame.count()
    return frame


def mllib(frame: DataFrame, test: DataFrame, iterations: int, seed: int) -> tuple[float, float]:
    """Seconds of MLlib's fit, and its test accuracy."""
    network = MultilayerPerceptronClassifier(layers=[784, 64, 10], maxIter=iterations, seed=seed)
    fitted = []
    seconds = measure.seconds(lambda: fitted.append(network.fit(frame)))
    judge = MulticlassClassificationEvaluator(metricName="accuracy")
    return seconds, judge.evaluate(fitted[0].transform(test))


def main() -> None:
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of each task, as MLlib's guide has it
    # `python train.py` starts Java with its first compiler only.
    os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=4")
    parser = measure.arguments(__doc__, rounds=3)
    tried = (100, 125, 150, 200, 300)
    about = "numbers of MLlib's iterations to try"
    parser.add_argument("--iterations", type=int, nargs="+", default=tried, help=about)
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    X, y_true = as_rows(*sources.find(place, "test").read(range(10))[:2], 10, "float32")
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in (*OURS, MLLIB)}
    with measure.spark("mllib") as spark:
        sizes = IN_PARTITION["averaging"]
        split = data_loader.load(spark, place, "train", range(10), in_partition=sizes)
        split.blocks.count()
        frame, test = (frame_of(spark, place, part) for part in ("train", "test"))
        for iterations in options.iterations:
            _, accuracy = mllib(frame, test, iterations, seed=1)
            print(f"MLlib, {iterations} iterations: {accuracy:.4f}", flush=True)
            if accuracy >= TARGET:
                break
        for seed in range(1, options.rounds + 1):
            for name, given in OURS.items():
                found[name].append(ours(split, {**given, "seed": seed}, X, y_true))
            found[MLLIB].append(mllib(frame, test, iterations, seed))
            print({name: runs[-1] for name, runs in found.items()}, flush=True)
        blas = spark._jvm.dev.ludovic.netlib.blas.BLAS.getInstance().getClass().getSimpleName()
    rows = []
    seconds = {name: [taken for taken, _ in runs] for name, runs in found.items()}
    for name, runs in found.items():
        row = {"training": name, **measure.summary(seconds[name])}
        row["median accuracy"] = statistics.median(accuracy for _, accuracy in runs)
        rows.append(row | {"time / MLlib's": measure.ratio(seconds[name], seconds[MLLIB])})
    rows[-1]["training"] = f"{MLLIB}, {iterations} iterations, {blas}"
    measure.save(options, "mllib", rows)


if __name__ == "__main__":
    main()
