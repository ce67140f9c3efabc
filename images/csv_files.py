"""Images in CSV files, as Kaggle has MNIST: a label and 784 pixels in each line, read by executors.

A first line with the names of the columns may be there. Each partition reads its share of the file
and parses its lines: no pixel passes through the driver.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from pyspark import RDD, SparkContext

from images import files, found
from images.found import Found, Spread
from images.spread import Rows, batches, raise_first, read_rows
from runtime import storage
from runtime.command_line import UserError

PIXELS = 784
PATTERN = re.compile(found.SET + found.PART + found.COPY + r"\.csv", re.IGNORECASE)
COUNTED_AT_ONCE = 2**25  # bytes of a file that one task looks through for labels
Line = tuple[int, str]  # where it begins in the file, in bytes


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in a CSV file; None without any. Raises UserError if only the other part is there."""
    candidates = found.of_one_set(found.matching(names, PATTERN), wanted, folder)
    if not candidates:
        return None
    of_part = [one.name for one in candidates if one.part == part]
    if not of_part:
        raise UserError(f"{folder}: found {candidates[0].name}, but no {part} set")
    place = storage.join(folder, of_part[0])
    return Spread(
        layout="CSV",
        files=(place,),
        count=lambda spark: count_labels(spark, place),
        blocks=lambda spark, *how: read(spark, place, *how),
        transposed=found.is_emnist(of_part[0]),
    )


def count_labels(spark: SparkContext, place: str) -> np.ndarray:
    """How often each label occurs in a file, (1, 256). Raises UserError."""

    def count_in(own: Iterable[Line]) -> Iterator[str | list[int]]:
        counts = [0] * 256
        try:
            for offset, line in image_lines(own, place):
                label = line.partition(",")[0]
                if not _is_byte(label) or line.count(",") != PIXELS:
                    raise UserError(_wrong(place, offset, line))
                counts[int(label)] += 1
            yield counts
        except UserError as error:
            yield str(error)

    tasks = max(1, storage.size(place) // COUNTED_AT_ONCE)
    counts = _lines(spark, place, tasks).mapPartitions(count_in).collect()
    raise_first([said for said in counts if isinstance(said, str)])
    total = np.array(counts, np.int64).sum(axis=0, keepdims=True)
    if not total.sum():
        raise UserError(f"{place}: holds no images")
    return total


def read(
    spark: SparkContext, place: str, digits: Sequence[int], partitions: int, transposed: bool
) -> tuple[RDD, dict[str, str]]:
    """Blocks of the images of `digits`, kept by Spark, and their hash. Raises UserError."""

    def parse(own: Iterable[Line]) -> Iterator[Rows]:
        for rows in batches(image_lines(own, place)):
            values = numbers_in(place, rows)
            yield values[:, 1:], values[:, 0], 0

    return read_rows(place, _lines(spark, place, partitions), parse, digits, transposed)


def numbers_in(place: str, rows: Sequence[Line]) -> np.ndarray:
    """The numbers in these lines, uint8 (m, 785). Raises UserError that names a bad line."""
    with contextlib.suppress(ValueError):
        values = np.loadtxt([line for _, line in rows], np.uint8, delimiter=",", ndmin=2)
        if values.shape == (len(rows), 1 + PIXELS):
            return values
    if len(rows) > 1:
        return np.concatenate([numbers_in(place, [row]) for row in rows])
    raise UserError(_wrong(place, *rows[0]))


def image_lines(lines: Iterable[Line], place: str) -> Iterator[Line]:
    """The lines with images: without a header and empty lines."""
    for offset, line in lines:
        if offset == 0 and re.search("[A-Za-z]", line):
            last = line.rstrip().rpartition(",")[2].strip('" ').lower()
            if last in ("label", "class", "target", "y"):
                raise UserError(f"{place}: the column {last!r} comes last; it should be the first")
            continue
        if line.strip():
            yield offset, line


def _wrong(place: str, offset: int, line: str) -> str:
    fields = line.split(",")
    start = f"{place}: the line at byte {offset:,}"
    if len(fields) == PIXELS:
        return f"{start} has 784 numbers: pixels without a label"
    if len(fields) != 1 + PIXELS:
        return f"{start} has {len(fields)} fields; a label and 784 pixels make 785"
    strange = next((field for field in fields if not _is_byte(field)), "")
    return f"{start} holds {strange[:20]!r}; labels and pixels are whole numbers from 0 to 255"


def _is_byte(field: str) -> bool:
    text = field.strip()
    return text.isascii() and text.isdigit() and int(text) < 256


def _lines(spark: SparkContext, place: str, parts: int) -> RDD:
    """The lines of a file as (offset, line), in `parts` shares of equal size, in order."""
    kind = files.kind_of(storage.read_start(place, files.HEAD))
    if kind != "a text file":
        raise UserError(f"{place}: it should be a CSV file, but is {kind}")
    share = str(-(-storage.size(place) // parts))
    text = "org.apache.hadoop.mapreduce.lib.input.TextInputFormat"
    offset, line = "org.apache.hadoop.io.LongWritable", "org.apache.hadoop.io.Text"
    split = "mapreduce.input.fileinputformat.split"
    conf = {f"{split}.minsize": share, f"{split}.maxsize": share}
    return spark.newAPIHadoopFile(storage.for_spark(place), text, offset, line, conf=conf)
