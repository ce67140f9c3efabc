"""What is compared: this project's strategies, the article's chain, MLlib, and plain NumPy."""

import argparse
from collections.abc import Callable

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
from network.optimizers import sgd

FRACTION = 0.7
IN_PARTITION = train.IMAGES_IN_PARTITION["partitions"]


def settings(**changed) -> argparse.Namespace:
    return argparse.Namespace(**{**vars(train.arguments().parse_args([])), **changed})


def strategy(name: str, split: data_loader.Split, hidden: int = 64) -> Callable[[], object]:
    """An epoch of one of ours, a new mini-batch each time, without updating the parameters."""
    parameters = nn_math.initial_parameters(1, hidden, len(split.digits))
    rdd = data_loader.image_label_pairs(split, "float32") if name == "maps" else split.blocks
    numbers = iter(range(1, 10**6))
    return lambda: train.STRATEGIES[name](rdd, parameters, settings(), next(numbers))


def obvious(spark: SparkContext, images, labels, outputs: int) -> Callable[[], object]:
    """An epoch of the article's chain, written the obvious way; as many partitions as `maps`."""
    spark.addPyFile(article.__file__)
    partitions = data_loader.default_partitions(len(images))
    rdd = spark.parallelize(article.rows(images, labels, outputs), partitions).cache()
    parameters = nn_math.initial_parameters(1, 64, outputs, "float64")
    numbers = iter(range(1, 10**6))
    return lambda: article.epoch(rdd, *parameters, next(numbers))


def numpy_step(X: np.ndarray, y_true: np.ndarray) -> Callable[[], object]:
    """The same step in one process, all images in memory as float32, BLAS on all cores."""
    parameters = nn_math.initial_parameters(1, 64, y_true.shape[1])
    chance = np.random.default_rng(1)

    def step() -> None:
        drawn = chance.random(len(X)) < FRACTION
        sums = nn_math.batch_sums(X[drawn], y_true[drawn], parameters)
        sgd(parameters, nn_math.mean_gradients(sums), {}, 0.1, 1)

    return step


def mllib_frame(spark: SparkContext, blocks: RDD) -> DataFrame:
    """The images as MLlib takes them, pixels in [0, 1], cached in the same partitions."""

    def rows(block):
        images, labels = block
        return ((float(y), Vectors.dense(x / 255)) for x, y in zip(images, labels, strict=True))

    frame = SparkSession(spark).createDataFrame(blocks.flatMap(rows), ["label", "features"]).cache()
    frame.count()
    return frame


def mllib(outputs: int, solver: str, iterations: int, step: float = 0.03):
    """MLlib's network of the same layers; its hidden layer is a sigmoid, its output a softmax."""
    return MultilayerPerceptronClassifier(
        layers=[784, 64, outputs], solver=solver, maxIter=iterations, stepSize=step, tol=0.0, seed=1
    )


def mllib_iteration(frame: DataFrame, outputs: int, more: int = 10) -> float:
    """Seconds of one iteration of solver gd: what `more` iterations add to a fit of one.

    A fit also copies the data and draws the weights; that is not an iteration's cost.
    """
    short = seconds(lambda: mllib(outputs, "gd", 1).fit(frame))
    return (seconds(lambda: mllib(outputs, "gd", 1 + more).fit(frame)) - short) / more
