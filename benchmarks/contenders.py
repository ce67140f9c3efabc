"""The contenders: this project's strategies, the article's chain, MLlib, and plain NumPy."""

import argparse
from collections.abc import Callable, Sequence

import article
import numpy as np
from measure import seconds
from pyspark import RDD, SparkContext
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.linalg import Vectors
from pyspark.sql import DataFrame, SparkSession

import data_loader
import nn_math
import train
from network.sequential import batch_tuple, initial_parameters, read
from training.optimizers import sgd
from training.recipes import IN_PARTITION, NETWORKS
from training.run import initial_of
from training.settings import complete

FRACTION = 0.7
IN_PARTITION = IN_PARTITION["partitions"]


def settings(digits: Sequence[int] = (0, 1), **changed) -> argparse.Namespace:
    """The settings of a run of the article's network, with the rates of its first epoch."""
    return complete({**changed, "digits": digits})


def strategy(
    name: str, split: data_loader.Split, hidden: int = 64, epoch: Callable | None = None
) -> Callable[[], object]:
    """An epoch of one of our strategies: a new mini-batch each time, without an update.

    epoch: a function to use instead of the strategy's own.
    """
    chosen = settings(split.digits, strategy=name, hidden=hidden, fraction=FRACTION)
    parameters, rdd = initial_of(chosen), train.training_rdd(split, chosen, 1)
    numbers, run = iter(range(1, 10**6)), epoch or train.STRATEGIES[name].epoch
    return lambda: run(rdd, parameters, chosen, next(numbers))


def obvious(spark: SparkContext, images, labels, outputs: int) -> Callable[[], object]:
    """An epoch of the article's chain, written the obvious way, with the partitions of `maps`."""
    spark.addPyFile(article.__file__)
    partitions = data_loader.default_partitions(len(images))
    rdd = spark.parallelize(article.rows(images, labels, outputs), partitions).cache()
    parameters = nn_math.initial_parameters(1, 64, outputs, "float64")
    numbers = iter(range(1, 10**6))
    return lambda: article.epoch(rdd, *parameters, next(numbers))


def numpy_step(X: np.ndarray, y_true: np.ndarray) -> Callable[[], object]:
    """The same step in one process: all images in memory as float32, BLAS on all cores."""
    network = read(NETWORKS["article"], y_true.shape[1])
    parameters = initial_parameters(network, 1)
    chance = np.random.default_rng(1)

    def step() -> None:
        drawn = chance.random(len(X)) < FRACTION
        summed = batch_tuple(network, parameters, X[drawn], y_true[drawn], (1,))
        sgd(parameters, nn_math.mean_gradients(nn_math.as_sums(summed)), {}, 0.1, 1)

    return step


def mllib_frame(spark: SparkContext, blocks: RDD) -> DataFrame:
    """The images as MLlib reads them: pixels in [0, 1], cached in the same partitions."""

    def rows(block):
        images, labels = block
        return ((float(y), Vectors.dense(x / 255)) for x, y in zip(images, labels, strict=True))

    frame = SparkSession(spark).createDataFrame(blocks.flatMap(rows), ["label", "features"]).cache()
    frame.count()
    return frame


def mllib(outputs: int, solver: str, iterations: int, step: float = 0.03):
    """MLlib's network with the same layers: a sigmoid hidden layer and a softmax output."""
    return MultilayerPerceptronClassifier(
        layers=[784, 64, outputs], solver=solver, maxIter=iterations, stepSize=step, tol=0.0, seed=1
    )


def mllib_iteration(frame: DataFrame, outputs: int, more: int = 10) -> float:
    """Seconds of one iteration of solver gd: the extra time of `more` iterations, divided.

    A fit also copies the data and draws the weights; this is not part of an iteration.
    """
    short = seconds(lambda: mllib(outputs, "gd", 1).fit(frame))
    return (seconds(lambda: mllib(outputs, "gd", 1 + more).fit(frame)) - short) / more
