"""An epoch by whole partitions: the same step as the article's chain, on blocks of images.

The mini-batch is drawn inside each block, forward and backward run on all its images at once, and
each partition hands in one tuple of sums.
"""

import argparse
import functools
from collections.abc import Iterable, Iterator

from pyspark import RDD

from images.blocks import Block, as_rows
from nn_math import Parameters, Sums, add, batch_sums, random_stream
from runtime.spark import broadcast

# Up to this many tuples are added in one place, be it the driver or a task of the tree.
FAN_IN = 64


def partitions_epoch(
    blocks: RDD, parameters: Parameters, settings: argparse.Namespace, epoch: int
) -> Sums:
    """The sums over the mini-batch of `epoch`. Raises ValueError if the mini-batch is empty."""
    p = broadcast(blocks.context, parameters)

    def partial_sums(partition: int, own: Iterable[Block]) -> Iterator[tuple[int, Sums]]:
        sums = None
        for number, block in enumerate(own):
            chance = random_stream(settings.seed, epoch, partition, number)
            drawn = chance.random(len(block[0])) < settings.fraction
            if not drawn.any():
                continue
            images, labels = (values[drawn] for values in block)
            X, y_true = as_rows(images, labels, p.value.B2.shape[1], p.value.W1.dtype)
            more = batch_sums(X, y_true, p.value)
            sums = more if sums is None else add(sums, more)
        if sums is not None:
            yield partition, sums

    try:
        return sum_in_order(blocks.mapPartitionsWithIndex(partial_sums))
    finally:
        p.destroy()


def sum_in_order(numbered: RDD) -> Sums:
    """Add (number, sums) pairs by their numbers: in the driver, or in a tree if they are many.

    Who answers first does not matter, as it would in `treeReduce`: sums of floats depend on their
    order, and here neighbours are always added to neighbours. Raises ValueError if there are none.
    """
    while numbered.getNumPartitions() > FAN_IN:
        groups = -(-numbered.getNumPartitions() // FAN_IN)
        numbered = (
            numbered.map(lambda pair: (pair[0] // FAN_IN, pair))
            .partitionBy(groups, int)
            .mapPartitionsWithIndex(lambda group, keyed: _one_sum(group, (p for _, p in keyed)))
        )
    total = list(_one_sum(0, numbered.collect()))
    if not total:
        raise ValueError("nothing to add up")
    return total[0][1]


def _one_sum(number: int, pairs) -> Iterator[tuple[int, Sums]]:
    """The sum of (number, sums) pairs in ascending order, under a new number; none of none."""
    ordered = [sums for _, sums in sorted(pairs, key=lambda pair: pair[0])]
    if ordered:
        yield number, functools.reduce(add, ordered)
