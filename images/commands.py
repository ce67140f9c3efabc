"""What the commands of data_loader.py do: make shards of a data set, or look at one."""

import functools
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from pyspark import RDD, SparkContext

from images import idx_files, idx_folder, shards, sources
from images.blocks import SIDE, Block, select_digits
from images.classes import CLASSES
from images.found import PARTS, Found, Spread, Whole
from runtime import storage
from runtime.command_line import UserError, counted, printable, say

PICTURE, OF_EACH = "data.png", 10  # images of a class that are drawn
IN_PARTITION = 3000  # images that the driver takes at a time from executors
ALL = range(256)  # labels
ZOOM, GAP = 2, 4  # pixels


def parts_of(place: str, transpose: bool | None, both: bool) -> dict[str, Found]:
    """The parts that are at a place. Raises UserError if none is, or with `both`, if one is not."""
    found: dict[str, Found] = {}
    errors = []
    for part in PARTS:
        try:
            found[part] = sources.find(place, part).turned(transpose)
        except UserError as error:
            errors.append(error)
    if errors and (both or not found):
        raise errors[0]
    for missing in errors:
        say(f"note: {missing}")
    return found


def shard(spark: Any, parts: Mapping[str, Found], target: str, number: int) -> str:
    """Write the training set in shards, and the test set; returns a line about it.

    spark: a SparkContext, or None if no part is read by executors. Raises UserError if the target
    holds a data set, or if there are fewer images than shards.
    """
    names = idx_folder.NAMES
    for name in storage.names(target):
        if name.startswith(names["train"] + names["test"]):
            raise UserError(f"{target}: holds files of a data set already; name an empty folder")
    size = int(parts["train"].count(spark).sum())
    if number > size:
        raise UserError(f"--shards {number}: there are only {size} training images")
    test = zip(*_stream(spark, parts["test"]), strict=True)
    for name, pieces in zip(names["test"], test, strict=True):
        packed = idx_files.pack(np.concatenate(pieces))
        storage.write(storage.join(target, f"{name}.gz"), packed)
    named = parts["train"].names
    if named:
        lines = [named.get(label, f"({label})") for label in range(max(named) + 1)]
        storage.write(storage.join(target, CLASSES), "\n".join(lines).encode())
    shards.write(target, names["train"], _stream(spark, parts["train"]), size, number)
    images = f"{counted(size, 'training image')} in {counted(number, 'shard')}"
    return f"wrote {target}: {images}, the test set"


def look(spark: Any, parts: Mapping[str, Found], folder: str) -> str:
    """Draw ten images of each class into a folder; returns the tables of what was found."""
    counts = {part: found.count(spark).sum(axis=0) for part, found in parts.items()}
    first = next(iter(parts.values()))
    if isinstance(first, Spread):
        few = _spread(spark, first).map(_first).reduce(_merged)
    else:
        few = functools.reduce(_merged, map(_first, _stream(spark, first)))
    place = storage.join(folder, PICTURE)
    storage.write(place, _drawn(few, first.names))
    return f"{_described(parts, counts)}\n\nsaved {place}"


def _stream(spark: Any, found: Found) -> Iterator[Block]:
    """All images of a part, upright, and their labels, in order, a block at a time."""
    if isinstance(found, Spread):
        yield from _spread(spark, found).toLocalIterator()
    if isinstance(found, Whole):
        blocks = found.stream() if found.stream else [found.read(ALL)[:2]]
        for images, labels in blocks:
            yield select_digits(images, labels, ALL, found.transposed)


def _spread(spark: SparkContext, found: Spread) -> RDD:
    """The blocks of all images of a part that executors read, upright."""
    counts = found.count(spark)
    few_in_each = max(1, int(counts.sum()) // IN_PARTITION)
    partitions = len(counts) if found.unit == "shards" else few_in_each
    return found.blocks(spark, ALL, partitions, found.transposed)[0]


def _described(parts: Mapping[str, Found], counts: Mapping[str, np.ndarray]) -> str:
    """The tables of the files and of the labels; counts (256,) of the labels in each part."""
    rows = [("part", "layout", "images", "classes", "size", "files")]
    for part, found in parts.items():
        names = [printable(place.rpartition("/")[2]) for place in found.files]
        more = [f"{len(names) - 2:,} more"] if len(names) > 2 else []
        layout = f"{found.layout}, transposed" if found.transposed else found.layout
        images, labels = f"{counts[part].sum():,}", f"{np.count_nonzero(counts[part])}"
        size = f"{sum(map(storage.size, found.files)) / 1e6:.1f} MB" if names else "-"
        rows.append((part, layout, images, labels, size, ", ".join(names[:2] + more)))
    named = next(iter(parts.values())).names
    per_label = [("label", "name", *parts)]
    for label in np.flatnonzero(sum(counts.values())).tolist():
        numbers = (f"{counts[part][label]:,}" for part in parts)
        per_label.append((str(label), named.get(label, ""), *numbers))
    return f"{_aligned(rows)}\n\n{_aligned(per_label)}"


def _drawn(few: Mapping[int, np.ndarray], names: Mapping[int, str]) -> bytes:
    """A PNG of the images, one row a label with its name."""
    step = SIDE * ZOOM + GAP
    font = ImageFont.load_default()
    texts = {label: f"{label} {names.get(label, '')}" for label in sorted(few)}
    margin = 2 * GAP + round(max(map(font.getlength, texts.values())))
    sheet = Image.new("L", (margin + OF_EACH * step, GAP + len(few) * step), 255)
    pen = ImageDraw.Draw(sheet)
    for row, (label, text) in enumerate(texts.items()):
        top = GAP + row * step
        pen.text((GAP, top + SIDE * ZOOM // 2 - 6), text, fill=0, font=font)
        for column, image in enumerate(few[label]):
            levels = Image.fromarray(image.reshape(SIDE, SIDE))
            large = levels.resize((SIDE * ZOOM, SIDE * ZOOM), Image.Resampling.NEAREST)
            sheet.paste(large, (margin + column * step, top))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()


def _first(block: Block) -> dict[int, np.ndarray]:
    """Up to ten images of each label, (m, 784), by label."""
    images, labels = block
    return {label: images[labels == label][:OF_EACH] for label in np.unique(labels).tolist()}


def _merged(one: dict[int, np.ndarray], other: dict[int, np.ndarray]) -> dict[int, np.ndarray]:
    nothing = np.empty((0, SIDE * SIDE), np.uint8)
    return {
        label: np.concatenate([one.get(label, nothing), other.get(label, nothing)])[:OF_EACH]
        for label in one.keys() | other.keys()
    }


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = (
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)
