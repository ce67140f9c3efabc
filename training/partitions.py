"""An epoch by whole partitions: the same step as the article's chain, on blocks of images.

The mini-batch is drawn inside each block, forward and backward run on all its images at once, and
each partition hands in one tuple of sums.
"""

import argparse
import functools
from collections.abc import Iterable, Iterator

from pyspark import RDD

from images.blocks import Block, as_rows
from network.layers import Arrays
from network.sequential import batch_tuple, error_tuple, network_of
from nn_math import Sums, add, as_sums, random_stream
from runtime.spark import broadcast
from training.sums import Numbered, sum_in_order


def partitions_epoch(
    blocks: RDD, parameters: Arrays, settings: argparse.Namespace, epoch: int
) -> Sums:
    """The sums over the mini-batch of `epoch`. Raises ValueError if the mini-batch is empty."""
    network, outputs, seed = network_of(settings), len(settings.digits), settings.seed

    def drawn_sums(partition: int, own: Iterable[Block]) -> Iterator[tuple]:
        for number, (images, labels) in enumerate(own):
            key = seed, epoch, partition, number
            drawn = random_stream(*key).random(len(images)) < settings.fraction
            if drawn.any():
                X, y_true = as_rows(images[drawn], labels[drawn], outputs, settings.dtype)
                yield batch_tuple(network, p.value, X, y_true, key)

    with broadcast(blocks.context, parameters) as p:
        return as_sums(sum_of_partitions(blocks, drawn_sums))


def sum_of_partitions(blocks: RDD, tuples_of_partition) -> tuple:
    """The sum of all that a function of (partition, its blocks) yields, in their order.

    Raises ValueError if it is nothing at all.
    """

    def one_tuple(partition: int, own: Iterable[Block]) -> Iterator[Numbered]:
        tuples = list(tuples_of_partition(partition, own))
        if tuples:
            yield partition, functools.reduce(add, tuples)

    return sum_in_order(blocks.mapPartitionsWithIndex(one_tuple))


def error_of_blocks(
    blocks: RDD, parameters: Arrays, settings: argparse.Namespace
) -> tuple[float, float]:
    """Cost and accuracy on images that are not trained on: the mean of E, the share of Acc."""
    network, outputs = network_of(settings), len(settings.digits)

    def errors(partition: int, own: Iterable[Block]) -> Iterator[tuple]:
        for block in own:
            if len(block[1]):
                yield error_tuple(network, p.value, *as_rows(*block, outputs, settings.dtype))

    with broadcast(blocks.context, parameters) as p:
        E, Acc, n = sum_of_partitions(blocks, errors)
    return E / n, Acc / n
