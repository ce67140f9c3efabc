"""The contenders: a function that computes an epoch, without the update, of each way to train."""

import functools
import itertools
import math
import sys
from collections.abc import Callable, Iterator

import article
import measure  # noqa: F401, it finds the project's modules
import numpy as np
from pyspark import RDD, SparkContext, cloudpickle

import nn_math
import train
from data_loader import Split
from images.blocks import BLOCK_ROWS, Block, split_into_blocks
from network.sequential import Network, batch_tuple, initial_parameters, input_shapes, read
from runtime.spark import cached, send_to_executors
from training.data import training_rdd
from training.optimizers import sgd
from training.recipes import NETWORKS
from training.run import initial_of
from training.settings import complete
from training.strategies import epoch_function

FRACTION = 0.7
SHIFTS = sorted(itertools.product(range(-2, 3), repeat=2), key=lambda shift: math.hypot(*shift))
# The executors do not have these two files. PySpark sends a script's functions like this, too.
for module in (article, sys.modules[__name__]):
    cloudpickle.register_pickle_by_value(module)


def ours(split: Split, epoch: Callable | None = None, **given) -> Callable[[], object]:
    """An epoch with these settings, each time with a new mini-batch.

    epoch: a function to use instead of the strategy's own.
    """
    settings = complete({"fraction": FRACTION, **given, "digits": split.digits})
    rdd, parameters = training_rdd(split, settings, 1), initial_of(settings)
    compute = epoch or epoch_function(settings, train.maps_epoch)
    numbers = itertools.count(1)
    return lambda: compute(rdd, parameters, settings, next(numbers))


def articles(train_rdd: RDD, outputs: int, hidden: str) -> Callable[[], object]:
    """An epoch of the article's program, on the RDD that it loads."""
    parameters = article.initial_parameters(outputs)
    return lambda: article.epoch(train_rdd, *parameters, hidden)


def plain_numpy(X: np.ndarray, y_true: np.ndarray) -> Callable[[], object]:
    """The same step in one process: all images in memory as float32, BLAS on all cores.

    It computes with 4,096 images at a time, which fit into the processor's cache. A million at once
    would take twice as long per image.
    """
    network = read(NETWORKS["article"], y_true.shape[1])
    parameters, chance = initial_parameters(network, 1), np.random.default_rng(1)

    def step() -> None:
        tuples = []
        for start in range(0, len(X), BLOCK_ROWS):
            images, labels = X[start : start + BLOCK_ROWS], y_true[start : start + BLOCK_ROWS]
            drawn = chance.random(len(images)) < FRACTION
            tuples.append(batch_tuple(network, parameters, images[drawn], labels[drawn], (1,)))
        sums = nn_math.as_sums(functools.reduce(nn_math.add, tuples))
        sgd(parameters, nn_math.mean_gradients(sums), {}, 0.1, 1)

    return step


def shifted(images: np.ndarray, labels: np.ndarray, start: int, end: int) -> Block:
    """Images start to end of an endless set: MNIST, then MNIST moved by up to two pixels."""
    moved = []
    for number in range(start // len(images), -(-end // len(images))):
        first = number * len(images)
        squares = images[max(0, start - first) : end - first].reshape(-1, 28, 28)
        shift = SHIFTS[number % len(SHIFTS)]
        moved.append(np.roll(squares, shift, axis=(1, 2)).reshape(-1, 784))
    return np.concatenate(moved), labels[np.arange(start, end) % len(labels)]


def spread(spark: SparkContext, mnist: Block, count: int, partitions: int) -> Split:
    """The first `count` images of the endless set as cached blocks, made on the executors."""
    shipped = send_to_executors(spark, mnist)

    def make(partition: int) -> Iterator[Block]:
        bounds = (count * (partition + end) // partitions for end in (0, 1))
        return split_into_blocks(*shifted(*shipped.value, *bounds))

    blocks = cached(spark.parallelize(range(partitions), partitions).flatMap(make))
    assert blocks.map(lambda block: len(block[0])).sum() == count
    return Split(blocks, count, tuple(range(10)), "shifted MNIST", "", {})


def cached_bytes(split: Split) -> int:
    """What Spark keeps of a set in memory and on disk."""
    stored = split.blocks.context._jsc.sc().getRDDStorageInfo()
    return sum(one.memSize() + one.diskSize() for one in stored if one.id() == split.blocks.id())


def sgemm(size: int = 3000) -> tuple[Callable[[], object], float]:
    """A product of two float32 matrices with BLAS on all cores, and its number of operations."""
    A, B = np.random.default_rng(1).random((2, size, size), np.float32)
    return lambda: A @ B, 2 * size**3


def operations(network: Network) -> int:
    """The floating-point operations of the matrix products for an image, forward and backward.

    A layer that learns has one product forward, one for dW, and one for the derivative by its
    input; the first layer does not need the last one. Other layers have no products.
    """
    total, products = 0, 2
    for layer, shape in zip(network, input_shapes(network), strict=False):
        if layer.learns:
            W_shape, _ = layer.parameter_shapes(shape)
            positions = math.prod(layer.output_shape(shape)[1:])  # of a window; 1 if dense
            total += products * 2 * math.prod(W_shape) * positions
            products = 3
    return total
