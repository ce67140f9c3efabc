"""Sums of the partitions' tuples, reproducible to the bit.

A sum of floats depends on the order of its terms. Spark's `treeReduce` adds tuples as they arrive.
The functions here add them in partition order.
"""

import functools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from pyspark import RDD

from nn_math import add
from runtime.command_line import UserError

# The driver, or one task of the tree, adds at most this many tuples.
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
    """Turn the ValueError of `reduce` on an empty RDD into EmptyMiniBatch."""
    try:
        yield
    except ValueError as error:
        if "empty RDD" in str(error):
            raise EmptyMiniBatch from None
        raise


def sum_in_order(numbered: RDD) -> tuple:
    """Add (number, tuple) pairs in the order of their numbers: in the driver, or first in a tree.

    The tree adds neighbours to neighbours. Raises EmptyMiniBatch if there are no pairs.
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
