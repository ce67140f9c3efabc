"""The training images of an epoch, and the validation images that are held out."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
from pyspark import RDD

import data_loader
from data_loader import Split
from images.blocks import Block, shifted, split_into_blocks, warped
from network.layers import Arrays
from nn_math import random_stream
from results.model_files import Epoch
from runtime.command_line import UserError, counted, say
from runtime.spark import cached_for_now
from training.partitions import error_of_blocks
from training.recipes import IN_PARTITION
from training.settings import Settings


def training_rdd(split: Split, settings: Settings, epoch: int) -> RDD:
    """The RDD of an epoch: pairs (image, label) for `maps`, blocks of images otherwise."""
    split = with_changes(split, settings, epoch)
    if settings.strategy == "maps":
        return data_loader.image_label_pairs(split, settings.dtype)
    return split.blocks


def with_changes(split: Split, settings: Settings, epoch: int) -> Split:
    """The images, each rotated, scaled and shifted at random in each epoch, as the settings say."""
    degrees, zoom, most = settings.rotation, settings.zoom, settings.shift
    if not (degrees or zoom or most):
        return split
    seed = settings.seed

    def change(partition: int, blocks: Iterable[Block]) -> Iterator[Block]:
        for number, (images, labels) in enumerate(blocks):
            rng = random_stream(seed, epoch, partition, number, 1)
            if degrees or zoom:
                images = warped(images, rng, degrees, zoom)
            if most:
                images = shifted(images, rng, most)
            yield images, labels

    return split._replace(blocks=split.blocks.mapPartitionsWithIndex(change))


@contextmanager
def joined_for_averaging(split: Split, settings: Settings) -> Iterator[Split]:
    """For averaging, the images in its default number of partitions, if they are in more.

    Each partition trains a copy of the network, and copies that see few images learn less. The
    images stay in their order, and Spark keeps them for the length of a `with` block.
    """
    few = data_loader.default_partitions(split.size, *IN_PARTITION["averaging"])
    count = split.blocks.getNumPartitions()
    if settings.strategy != "averaging" or count <= few:
        yield split
        return
    say(
        f"note: averaging joins the {count} partitions into {few}: each trains a copy of the "
        "network, and copies that see fewer images learn less"
    )
    sizes = split.blocks.map(lambda block: len(block[1])).glom().map(sum).collect()
    starts = [0, *itertools.accumulate(sizes)]
    bounds = starts[-1] * np.arange(few + 1) // few

    def pieces(partition: int, blocks: Iterable[Block]) -> Iterator[tuple]:
        start = starts[partition]
        for images, labels in blocks:
            cuts = np.clip(bounds - start, 0, len(labels))
            for target in np.flatnonzero(np.diff(cuts)).tolist():
                here = slice(cuts[target], cuts[target + 1])
                yield target, (start, images[here], labels[here])
            start += len(labels)

    def whole(own: Iterable[tuple]) -> Iterator[Block]:
        in_order = sorted((piece for _, piece in own), key=lambda piece: piece[0])
        _, images, labels = zip(*in_order, strict=True)
        return split_into_blocks(np.concatenate(images), np.concatenate(labels))

    cut: RDD = split.blocks.mapPartitionsWithIndex(pieces)
    with cached_for_now(cut.partitionBy(few, int).mapPartitions(whole)) as blocks:
        yield split._replace(blocks=blocks)


def hold_out(split: Split, share: float, seed: int) -> tuple[Split, Split | None]:
    """Training images, and a share for validation; None if the share is 0.

    Raises UserError if one of them is empty.
    """
    if share == 0:
        return split, None
    held_out = _blocks_drawn(split, share, seed, True)
    size = held_out.map(lambda block: len(block[1])).sum()
    if not 0 < size < split.size:
        images = counted(split.size, "image")
        raise UserError(f"--validation {share:g} of {images} leaves training or validation empty")
    rest = _blocks_drawn(split, share, seed, False)
    return (
        split._replace(blocks=rest, size=split.size - size),
        split._replace(blocks=held_out, size=size),
    )


def sample_of(split: Split, most: int, seed: int) -> Block:
    """About `most` images and their labels, drawn once by the seed; all if there are fewer.

    It uses the random numbers of `hold_out`, so it takes the validation images first.
    """
    blocks = _blocks_drawn(split, most / split.size, seed, True).collect()
    images, labels = zip(*blocks, strict=True)
    return np.concatenate(images), np.concatenate(labels)


def _blocks_drawn(split: Split, share: float, seed: int, held_out: bool) -> RDD:
    def choose(partition: int, blocks: Iterable[Block]) -> Iterator[Block]:
        for number, (images, labels) in enumerate(blocks):
            # Epoch numbers start at 1, so no epoch uses this key.
            chosen = random_stream(seed, 0, partition, number).random(len(labels)) < share
            if not held_out:
                chosen = ~chosen
            yield images[chosen], labels[chosen]

    return split.blocks.mapPartitionsWithIndex(choose)


def with_validation(
    epoch: Epoch, held_out: Split | None, parameters: Arrays, settings: Settings
) -> Epoch:
    """The epoch with its validation cost and accuracy, if there are validation images."""
    if held_out is None:
        return epoch
    cost, accuracy = error_of_blocks(held_out.blocks, parameters, settings)
    return epoch._replace(validation_cost=cost, validation_accuracy=accuracy)
