"""Find the files of a data set in a folder, by their names; nothing is read yet.

A name may say the set, the part and a copy: `emnist-letters-train-images-idx3-ubyte (1).gz` is of
the set `emnist-letters`. Most names say no set.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from pyspark import RDD, SparkContext

from images.blocks import Block
from runtime.command_line import UserError

PARTS = ("train", "test")
# The words for the parts in names, the more usual ones first.
WORDS = {
    "train": ("train", "training", "trainingset", "trainset"),
    "test": ("t10k", "test", "testing", "testset", "val", "valid", "validation"),
}
SET = r"(?:(?P<set>.+?)[-_. ])?"
PART = rf"(?P<part>{'|'.join(sorted(WORDS['train'] + WORDS['test'], key=len, reverse=True))})"
COPY = r"(?P<copy> ?\(\d+\))?"  # as browsers name a second download


@dataclass(frozen=True, kw_only=True)
class Found:
    """A part of a data set, as it was found. Functions of it raise UserError."""

    layout: str
    files: tuple[str, ...]  # places
    # count(spark), or count(None) if the driver reads: how often each label occurs, (units, 256).
    count: Callable[[Any], np.ndarray]
    names: dict[int, str] = field(default_factory=dict)  # what the labels stand for
    transposed: bool = False  # rows and columns of the images are swapped

    def turned(self, transpose: bool | None) -> Self:
        """The same part, with rows and columns swapped or not; None: as it was found."""
        return self if transpose is None else replace(self, transposed=transpose)


@dataclass(frozen=True, kw_only=True)
class Whole(Found):
    """A part that the driver reads; one unit.

    read: images (n, 784), labels (n,) and the SHA-256 of the files; at least the labels asked for.
    stream: the same images and labels, a block at a time, where they need not be read at once.
    """

    read: Callable[[Sequence[int]], tuple[np.ndarray, np.ndarray, dict[str, str]]]
    stream: Callable[[], Iterator[Block]] | None = None


@dataclass(frozen=True, kw_only=True)
class Spread(Found):
    """A part that the executors read.

    blocks(spark, labels, partitions, transposed): the images of these labels, kept by Spark, and a
    hash. unit: what cannot be divided among partitions.
    """

    blocks: Callable[[SparkContext, Sequence[int], int, bool], tuple[RDD, dict[str, str]]]
    unit: str = "images"


class Name(NamedTuple):
    """The name of a file or a folder, and what it says."""

    name: str
    set: str
    part: str
    words: dict[str, str]  # all groups of the pattern


def matching(names: Iterable[str], pattern: re.Pattern) -> list[Name]:
    """Those of the names that fit a pattern whole; copies, validation sets, longer names last."""
    found = []
    for name in names:
        match = pattern.fullmatch(name)
        if match is None:
            continue
        words = {key: (word or "").lower() for key, word in match.groupdict().items()}
        part = "train" if words["part"] in WORDS["train"] else "test"
        found.append(Name(name, words.get("set", ""), part, words))
    return sorted(
        found,
        key=lambda one: (one.words.get("copy", ""), is_validation(one), len(one.name), one.name),
    )


def is_validation(one: Name) -> bool:
    """Whether a test set is called a validation set; it counts where there is no other."""
    return one.words["part"].startswith("val")


def is_emnist(name: str) -> bool:
    """Whether a file's name says that it is EMNIST's; `chinesemnist` is not."""
    return re.search(r"(?<![a-z])emnist", name.lower()) is not None


def of_one_set(found: Sequence[Name], wanted: str, folder: str) -> list[Name]:
    """The names of the wanted set ("": of the only set). Raises UserError if there are several."""
    sets = sorted({one.set for one in found})
    if wanted:
        return [one for one in found if one.set == wanted]
    if len(sets) > 1 and "" not in sets:
        raise UserError(
            f"{folder}: holds several data sets: {', '.join(sets)}; choose one, as in "
            f"{folder.rstrip('/')}/{sets[0]}"
        )
    return [one for one in found if one.set == sets[0]] if sets else []
