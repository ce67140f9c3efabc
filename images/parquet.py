"""Images in Parquet files, as Hugging Face has MNIST: a column of PNG files, and one of labels.

Spark reads the rows, and the executors decode the images: no pixel passes through the driver.
"""

import contextlib
import functools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark import RDD, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as kinds

from images import files, found
from images.found import Found, Name, Spread
from images.spread import decode, read_rows
from runtime import reasons, storage
from runtime.command_line import UserError

PATTERN = re.compile(
    found.SET + found.PART + r"(-\d+-of-\d+)?(-[0-9a-f]+)?" + found.COPY + r"\.parquet",
    re.IGNORECASE,
)
SUBFOLDER = re.compile(found.PART, re.IGNORECASE)
PIECE = re.compile(r"-(\d{1,5})-of-(\d{1,5})\b")
LABELS = ("label", "labels", "class", "target", "digit", "y")  # what people call the column
WHOLE_NUMBERS = (kinds.ByteType, kinds.ShortType, kinds.IntegerType, kinds.LongType)


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in Parquet files, None if there are none of any part.

    They say the part in their names, or lie in a folder that has it as its name. Raises UserError
    if there are files of another part only, or if one of several pieces is missing.
    """
    candidates = found.of_one_set(found.matching(names, PATTERN), wanted, folder)
    places: dict[str, list[str]] = {"train": [], "test": [], "validation": []}
    for one in candidates:
        copy = one.words["copy"]
        if not (copy and one.name.replace(copy, "") in names):
            places[_part_of(one)].append(storage.join(folder, one.name))
    for one in found.matching(names, SUBFOLDER):
        inner = storage.join(folder, one.name)
        tables = [file for file in storage.names(inner) if file.endswith(".parquet")]
        places[_part_of(one)] += [storage.join(inner, file) for file in tables]
    if not any(places.values()):
        return None
    of_part = tuple(sorted(places[part] or (places["validation"] if part == "test" else [])))
    if not of_part:
        raise UserError(f"{folder}: found Parquet files, but none of the {part} set")
    _check_pieces(of_part)
    count = functools.cache(lambda spark: count_labels(spark, of_part))
    return Spread(
        layout="Parquet",
        files=of_part,
        count=count,
        blocks=lambda spark, *how: read(spark, of_part, count(spark), *how),
    )


def _part_of(one: Name) -> str:
    return "validation" if found.is_validation(one) else one.part


def _check_pieces(places: Sequence[str]) -> None:
    """Raise UserError unless pieces such as `-00000-of-00002` are all there, and once."""
    pieces: dict[int, str] = {}
    count = 0
    for place in places:
        piece = PIECE.search(place.rpartition("/")[2])
        if piece is None:
            continue
        number, of = map(int, piece.groups())
        if number in pieces or count not in (0, of):
            other = pieces.get(number) or next(iter(pieces.values()))
            raise UserError(f"{place} and {other}: pieces of two data sets; keep those of one")
        pieces[number], count = place, of
    if len(pieces) < count:
        first = next(iter(pieces.values()))
        raise UserError(f"{first}: only {len(pieces)} of its {count} pieces are there")


def count_labels(spark: SparkContext, places: Sequence[str]) -> np.ndarray:
    """How often each label occurs in these files, (1, 256). Raises UserError."""
    counts = np.zeros((1, 256), int)
    for place in places:
        with _failure_told(place):
            rows = _table(place).groupBy("label").count().collect()
        for label, count in rows:
            if label is None or not 0 <= label < 256:
                raise UserError(f"{place}: a label is {label}; labels are 0 to 255")
            counts[0, label] += count
    if not counts.sum():
        raise UserError(f"{places[0]}: holds no images")
    return counts


def read(
    spark: SparkContext,
    places: Sequence[str],
    counts: np.ndarray,
    digits: Sequence[int],
    partitions: int,
    transposed: bool,
) -> tuple[RDD, dict[str, str]]:
    """Blocks of the images of `digits`, kept by Spark, and their hash. Raises UserError."""
    chosen, size = set(digits), counts[0, list(digits)].sum()

    def named(place: str) -> RDD:
        """The rows of a file as (name, content or None, label)."""
        return _table(place).rdd.map(
            lambda row: (f"{place}: image {row.number}", row.image, row.label)
        )

    def complete(row: tuple[int, tuple[str, bytes | None, int]]) -> tuple[str, bytes, int]:
        _, (name, content, label) = row
        if content is None:
            raise UserError(f"{name} has no bytes, only a path perhaps")
        return name, content, label

    with _failure_told(places[0]):
        # One table a file: Spark would order the files of one table by their sizes.
        tables = spark.union([named(place) for place in places])
        numbered = tables.filter(lambda row: row[2] in chosen).zipWithIndex()
        rows = numbered.map(lambda pair: pair[::-1]).repartitionAndSortWithinPartitions(
            partitions, lambda number: number * partitions // size
        )
        return read_rows(places[0], rows.map(complete), decode, digits, transposed)


def _table(place: str) -> DataFrame:
    """The bytes of the images, the labels, and the numbers of the rows, of a file.

    Raises UserError.
    """
    kind = files.kind_of(storage.read_start(place, files.HEAD))
    if kind != "a Parquet file":
        raise UserError(f"{place}: it should be a Parquet file, but is {kind}")
    table = SparkSession.builder.getOrCreate().read.parquet(storage.for_spark(place))
    images = []  # what selects the bytes
    for field in table.schema:
        if isinstance(field.dataType, kinds.BinaryType):
            images.append(f"`{field.name}`")
        if isinstance(field.dataType, kinds.StructType) and "bytes" in field.dataType.names:
            images.append(f"`{field.name}`.`bytes`")
    whole = [f.name for f in table.schema if isinstance(f.dataType, WHOLE_NUMBERS)]
    familiar = [f.name for f in table.schema if f.name.lower() in LABELS]
    labels = [name for name in familiar or whole if name in whole]
    if "label" in labels:
        labels = ["label"]
    if len(images) != 1 or len(labels) != 1:
        columns = ", ".join(f"{f.name} ({f.dataType.simpleString()})" for f in table.schema)
        raise UserError(
            f"{place}: it should have a column of image files and one of labels, but has "
            f"{columns[:200]}; call the labels' column `label`"
        )
    return table.selectExpr(
        f"{images[0]} as image", f"`{labels[0]}` as label", "_metadata.row_index as number"
    )


@contextlib.contextmanager
def _failure_told(place: str) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        failure = str(error).strip()
        cause = reasons.first_error(failure) or ""
        damaged = f"{place}: a damaged Parquet file, or one that Spark cannot read ({cause[:200]})"
        raise UserError(reasons.of_failure(failure) or damaged) from None
