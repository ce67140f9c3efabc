"""Sums of the partitions' tuples, reproducible to the bit.

A sum of floats depends on its order. Spark's `treeReduce` adds tuples as they arrive; here they are
added in partition order.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pyspark import RDD

from nn_math import add
from runtime.command_line import UserError

# Up to this many tuples are added in one place, by the driver or by a task of the tree.
FAN_IN = 64
Numbered = tuple[int, tuple]


class EmptyMiniBatch(UserError):
    """No image was drawn for a mini-batch."""

    def __init__(self) -> None:
        super().__init__(
            "a mini-batch is empty: --fraction draws less than one image; give a larger "
            "--fraction, or more images"
        )


@contextmanager
def empty_mini_batch_is_named() -> Iterator[None]:
    """Turn the ValueError of an RDD's `reduce` without elements into EmptyMiniBatch."""
    try:
        yield
    except ValueError as error:
        if "empty RDD" in str(error):
            raise EmptyMiniBatch from None
        raise


def sum_in_order(numbered: RDD) -> tuple:
    """Add (number, tuple) pairs by their numbers: in the driver, or in a tree if they are many.

    Neighbours are always added to neighbours. Raises EmptyMiniBatch if there are no pairs.
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
        raise EmptyMiniBatch
    return total[0][1]


def _one_sum(number: int, pairs: Iterable[Numbered]) -> Iterator[Numbered]:
    """The sum of (number, tuple) pairs in ascending order, with a new number, if there are any."""
    ordered = [summed for _, summed in sorted(pairs, key=lambda pair: pair[0])]
    if ordered:
        yield number, functools.reduce(add, ordered)
