"""(a) Seconds of an epoch: the article's chain, ours in each strategy, MLlib, plain NumPy.

    .venv/bin/python benchmarks/compare.py --data FOLDER_OF_MNIST

The contenders run alternately in one process. An epoch of ours and of the article's uses a
mini-batch of 70%; an iteration of MLlib uses all images. So compare the time per image.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))
os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--driver-memory 4g pyspark-shell")
# MLlib computes in Java: give it both of Java's compilers.
os.environ.setdefault("SPARK_SUBMIT_OPTS", "-XX:TieredStopAtLevel=4")

import article
import contenders
import draw
import measure
import numpy as np

import data_loader
from images import blocks
from runtime.spark import spark_context
from training.chain import chain_epoch

COLUMNS = {
    "name": ("epoch or iteration", "s"),
    "images": ("images", ",.0f"),
    "median_s": ("median s", ".3f"),
    "least_s": ("least", ".3f"),
    "most_s": ("most", ".3f"),
    "us_per_image": ("us per image", ".2f"),
    "images_per_s": ("images per s", ",.0f"),
    "ratio": ("time per image / article's", ".3f"),
    "of_maps": ("/ that of maps", ".3f"),
    "blas": ("BLAS threads", "s"),
}


def compare(spark, place: str, digits: list[int], rounds: int) -> list[dict]:
    outputs = len(digits)
    small = data_loader.load(spark, place, "train", digits)
    large = data_loader.load(spark, place, "train", digits, in_partition=contenders.IN_PARTITION)
    images, labels = (np.concatenate(part) for part in zip(*small.blocks.collect(), strict=True))
    X, y_true = blocks.as_rows(images, labels, outputs, "float32")
    frame = contenders.mllib_frame(spark, large.blocks)
    calls = {
        "article's chain, the obvious way": contenders.obvious(spark, images, labels, outputs),
        "maps": contenders.strategy("maps", small),
        "maps, from layers": contenders.strategy("maps", small, epoch=chain_epoch),
        "partitions": contenders.strategy("partitions", large),
        "averaging": contenders.strategy("averaging", large),
        "plain NumPy": contenders.numpy_step(X, y_true),
        "MLlib": lambda: mllib_times.append(contenders.mllib_iteration(frame, outputs)),
    }
    mllib_times: list[float] = []
    warm_up = 2
    times = measure.alternate(calls, rounds, warm_up)
    times["MLlib"] = mllib_times[warm_up:]
    seen = {"MLlib": 1.0, "averaging": contenders.FRACTION}
    rows = []
    for name, taken in times.items():
        count = round(len(images) * seen.get(name, contenders.FRACTION))
        rows.append({"name": name, **measure.summary(taken, count)})
        rows[-1]["blas"] = f"{os.cpu_count()}" if name == "plain NumPy" else "1 a core"
        scale = rows[0]["images"] / count
        for ratio, other in (("ratio", next(iter(times))), ("of_maps", "maps")):
            pairs = zip(taken, times[other], strict=True)
            rows[-1][ratio] = scale * statistics.median(a / b for a, b in pairs)
    for split in (small, large):
        split.blocks.unpersist()
    frame.unpersist()
    return rows


def write_text(place: str, folder: str) -> None:
    """The training images of the digits 0 and 1 and their labels as `np.savetxt` writes them."""
    images, labels, _ = data_loader.read_part(place, "train")
    X, y_true = blocks.as_rows(images[labels < 2], labels[labels < 2], 2, "float32")
    np.savetxt(f"{folder}/images.txt", X)
    np.savetxt(f"{folder}/labels.txt", y_true)


def loading(place: str, rounds: int) -> dict[str, list[float]]:
    """Seconds until the training set is in Spark's memory, in two ways, alternately, in one Spark.

    The first round does not count: in it Spark starts its Python workers.
    """
    with tempfile.TemporaryDirectory() as folder, spark_context("load") as spark:
        write_text(place, folder)
        spark.addPyFile(article.__file__)

        def text() -> None:
            rdd = article.load_text(spark, f"{folder}/images.txt", f"{folder}/labels.txt")
            rdd.count()
            rdd.unpersist()

        def ours() -> None:
            split = data_loader.load(spark, place, "train", [0, 1])
            split.blocks.count()
            split.blocks.unpersist()

        calls = {"two text files, joined": text, "IDX files, data_loader": ours}
        return measure.alternate(calls, rounds, warm_up=1)


def main() -> None:
    parser = measure.arguments(__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="counted rounds")
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    results = {}
    loaded = loading(place, options.rounds)
    results["loading"] = loaded
    slow, fast = (statistics.median(taken) for taken in loaded.values())
    text = [
        f"Loading the digits 0 and 1 into a running Spark, median of {options.rounds}: two text "
        f"files joined {slow:.2f} s, IDX files by data_loader {fast:.2f} s, ratio {slow / fast:.1f}"
    ]
    with spark_context("benchmark") as spark:
        for digits in ([0, 1], list(range(10))):
            rows = compare(spark, place, digits, options.rounds)
            results[f"{len(digits)} digits"] = rows
            text += [f"\n{len(digits)} digits, {options.rounds} rounds\n"]
            text += [measure.table(rows, COLUMNS)]
    measure.save("compare", results, "\n".join(text))
    draw.compare(results)


if __name__ == "__main__":
    main()
