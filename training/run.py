"""What happens before the first epoch of a run, and after the last one.

Before: Spark, the data, the claim on the model folder, the checkpoint to resume. After: the model
files and the figures.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from pyspark import SparkContext

import data_loader
from data_loader import Split
from images import sources
from images.blocks import SIDE, Block, scaled
from images.decode import border
from network.layers import Arrays
from network.sequential import initial_parameters
from pictures import figures
from results import checkpoints, claim, doubt, model_files
from results.checkpoints import Progress, Saver
from results.model_files import Trained, words_for
from runtime import storage
from runtime.command_line import counted, say
from runtime.java import ctrl_c_waits
from runtime.spark import spark_context
from training import verdict
from training.data import joined_for_averaging, sample_of
from training.progress import is_finished
from training.recipes import IN_PARTITION
from training.settings import Settings, complete, network_of, saved_settings

LIGHT_ON_DARK = (
    "predict.py and the page turn your images into light ink on black, so this network will "
    "misread them: invert the images of the data set first"
)


class Run(NamedTuple):
    """A run that is ready to train. sample: training images that set the limits of doubt."""

    spark: SparkContext
    split: Split
    settings: Settings
    start: Progress
    saver: Saver
    sample: Block


@contextmanager
def prepared(settings: Settings, given: Mapping[str, Any]) -> Iterator[Run]:
    """A run that is ready to train, for the length of a `with` block.

    given: the settings before the defaults were filled in, for --classes. Raises UserError if the
    data is missing, a place cannot be written, another run writes to the model folder, Spark does
    not start, or the checkpoint comes from a different run.
    """
    storage.check_writable(settings.model_dir, settings.plots_dir)
    place = data_loader.find_data(settings.data)
    with (
        spark_context("train") as spark,
        claim.held(settings.model_dir, settings.resume) as claimed,
    ):
        storage.check_writable(settings.plots_dir)  # a URI can be checked only now
        if settings.score:
            sources.find(place, "test")  # raises UserError now, not after the last epoch
        if settings.classes is not None:
            labels = data_loader.find_labels(spark, place, "train", settings.classes)
            settings = complete({**given, "digits": labels})
        split = data_loader.load(
            spark,
            place,
            "train",
            settings.digits,
            settings.partitions,
            IN_PARTITION[settings.strategy],
            settings.transpose or None,
        )
        settings = replace(settings, partitions=split.blocks.getNumPartitions())
        partitions = counted(split.blocks.getNumPartitions(), "partition")
        _, classes = words_for(split.classes or map(str, split.digits))
        say(
            f"{split.name}: {split.size:,} images of {len(split.digits)} {classes} in "
            f"{partitions}; network {settings.network}"
        )
        told = settings_content(settings, split)
        initial = initial_of(settings)
        start = checkpoints.start(settings.model_dir, told, initial, settings.resume)
        saver = Saver(claimed, told, settings.checkpoint_every)
        with joined_for_averaging(split, settings) as joined:
            # Read it now: Ctrl-C may stop Spark together with the training.
            sample = sample_of(joined, doubt.SAMPLE, settings.seed)
            if np.median(border(sample[0].reshape(-1, SIDE, SIDE).T)) > 127:
                say(f"note: {split.name} is dark on light; {LIGHT_ON_DARK}")
            yield Run(spark, joined, settings, start, saver, sample)


def save(run: Run, trained: Trained) -> bool:
    """Save the model, draw the figures; returns whether the run finished. Raises UserError."""
    settings, done = run.settings, len(trained.history)
    if done == 0:
        print("stopped in the first epoch: nothing to save", file=sys.stderr)
        return False
    with ctrl_c_waits():
        limits = doubt.fit(trained.network, trained.parameters, *run.sample)
        run.saver.run_ended(trained, limits)
    say(f"saved {settings.model_dir}; drawing figures")
    title = figures.title_of(run.split.name, trained.names(), settings.strategy, settings.network)
    x = scaled(run.sample[0][:1], settings.dtype)
    figures.draw_training(settings.plots_dir, trained, initial_of(settings), x, title)
    say(f"saved {settings.plots_dir}")
    verdict.tell_if_stuck(trained.history, settings)
    finished = is_finished(trained.history, settings)
    if not finished:
        say(f"stopped after epoch {done} of {settings.epochs}; --resume continues from there")
    return finished


def initial_of(settings: Settings) -> Arrays:
    """W1, B1, W2, B2, ... before the first epoch."""
    return initial_parameters(network_of(settings), settings.seed, settings.dtype)


def settings_content(settings: Settings, split: Split) -> dict[str, Any]:
    """The content of settings.json: everything on which the result depends."""
    place = split.place if split.place == sources.OFFLINE else storage.absolute(split.place)
    data: dict[str, Any] = {"name": split.name, "place": place, "sha256": split.sha256}
    if split.classes:
        data["classes"] = split.classes
    if split.counts:
        data["counts"] = split.counts
    return {
        "data": data,
        "images": split.size,
        "settings": saved_settings(settings),
        "versions": model_files.versions(),
    }
