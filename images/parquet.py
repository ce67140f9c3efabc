"""Images in Parquet files, as Hugging Face has MNIST: a column of PNG files, and one of labels.

Spark reads the rows, and the executors decode the images: no pixel passes through the driver.
"""

import contextlib
import functools
import re
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from py4j.protocol import Py4JJavaError
from pyspark import RDD, SparkContext
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as kinds

from images import files, found
from images.found import WORDS, Found, Spread
from images.spread import Rows, decode, read_rows
from runtime import reasons, storage
from runtime.command_line import UserError

PATTERN = re.compile(
    found.SET + found.PART + r"(-\d+-of-\d+)?(-[0-9a-f]+)?" + found.COPY + r"\.parquet",
    re.IGNORECASE,
)
WHOLE_NUMBERS = (kinds.ByteType, kinds.ShortType, kinds.IntegerType, kinds.LongType)


def find(folder: str, names: Sequence[str], wanted: str, part: str) -> Found | None:
    """A part in Parquet files, None if there are none of any part.

    They say the part in their names, or lie in a folder that has it as its name. Raises UserError
    if there are files of another part only.
    """
    candidates = found.of_one_set(found.matching(names, PATTERN), wanted, folder)
    places: dict[str, list[str]] = {word: [] for word in WORDS}
    for one in candidates:
        if not one.words["copy"]:
            places[one.part].append(storage.join(folder, one.name))
    for name in names:
        for word, its_names in WORDS.items():
            if name.lower() in its_names:
                inner = storage.join(folder, name)
                tables = [file for file in storage.names(inner) if file.endswith(".parquet")]
                places[word] += [storage.join(inner, file) for file in tables]
    if not any(places.values()):
        return None
    if not places[part]:
        raise UserError(f"{folder}: found Parquet files, but none of the {part} set")
    of_part = tuple(sorted(places[part]))
    count = functools.cache(lambda spark: count_labels(spark, of_part))
    return Spread(
        layout="Parquet",
        files=of_part,
        count=count,
        blocks=lambda spark, *how: read(spark, of_part, count(spark), *how),
    )


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

    def named(numbered: tuple[int, tuple[bytes | None, int]]) -> tuple[str, bytes, int]:
        number, (content, label) = numbered
        name = f"{places[0]}: image {number}"
        if content is None:
            raise UserError(f"{name} has no bytes, only a path perhaps")
        return name, content, label

    def parse(own: Iterable) -> Iterator[Rows]:
        return decode(map(named, own))

    with _failure_told(places[0]):
        # One table a file: Spark would order the files of one table by their sizes.
        tables = spark.union([_table(place).rdd.map(tuple) for place in places])
        numbered = tables.filter(lambda row: row[1] in chosen).zipWithIndex()
        rows = numbered.map(lambda pair: pair[::-1]).repartitionAndSortWithinPartitions(
            partitions, lambda number: number * partitions // size
        )
        return read_rows(places[0], rows, parse, digits, transposed)


def _table(place: str) -> DataFrame:
    """The bytes of the images, and the labels, of a file. Raises UserError."""
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
    labels = [f.name for f in table.schema if isinstance(f.dataType, WHOLE_NUMBERS)]
    if len(images) != 1 or not labels:
        columns = ", ".join(f"{f.name} ({f.dataType.simpleString()})" for f in table.schema)
        raise UserError(
            f"{place}: it should have a column of image files and one of labels, but has "
            f"{columns[:200]}"
        )
    label = "label" if "label" in labels else labels[0]
    return table.selectExpr(f"{images[0]} as image", f"`{label}` as label")


@contextlib.contextmanager
def _failure_told(place: str) -> Iterator[None]:
    try:
        yield
    except (PySparkException, Py4JJavaError) as error:
        failure = str(error).strip()
        damaged = f"{place}: a damaged Parquet file ({failure.splitlines()[0][:200]})"
        raise UserError(reasons.of_failure(failure) or damaged) from None
