"""How long an epoch takes: of the article's own program, of each strategy, of plain NumPy.

    python benchmarks/epochs.py --data FOLDER_OF_MNIST          8 minutes, 2 GB of disk

They run alternately in one Spark session on the same images, with mini-batches of 70%. The
article's epoch uses the RDD that its program makes from text files (article.py). It also gets this
project's Spark settings, which can only make it faster; jobs.py compares whole programs. A Spark
task has one BLAS thread, plain NumPy all cores.
"""

import tempfile

import article
import contenders
import measure
import numpy as np

import data_loader
from images.blocks import as_rows
from training.chain import chain_epoch
from training.recipes import IN_PARTITION

ARTICLES = "the article's own"


def compare(spark, place: str, digits: list[int], options) -> list[dict]:
    """A row for each way to compute an epoch of these digits."""
    splits = {
        strategy: data_loader.load(spark, place, "train", digits, None, in_partition)
        for strategy, in_partition in IN_PARTITION.items()
    }
    collected = splits["maps"].blocks.collect()
    images, labels = (np.concatenate(parts) for parts in zip(*collected, strict=True))
    X, y_true = as_rows(images, labels, len(digits), "float32")
    with tempfile.TemporaryDirectory() as folder:
        article.write_text(folder, "train", X, y_true)
        train_rdd = article.load(spark, folder, "train", len(digits)).cache()
        calls = {
            ARTICLES: contenders.articles(train_rdd, len(digits), options.hidden),
            "maps": contenders.ours(splits["maps"], strategy="maps"),
            "maps, from layers": contenders.ours(splits["maps"], chain_epoch, strategy="maps"),
            "partitions": contenders.ours(splits["partitions"], strategy="partitions"),
            "averaging": contenders.ours(splits["averaging"], strategy="averaging"),
            "plain NumPy": contenders.plain_numpy(X, y_true),
        }
        times = measure.alternate(calls, options.rounds)
    for rdd in (train_rdd, *(split.blocks for split in splits.values())):
        rdd.unpersist()
    drawn = round(len(images) * contenders.FRACTION)
    rows = []
    for name, taken in times.items():
        row = {"digits": len(digits), "an epoch of": name, "images": drawn}
        row |= measure.summary(taken)
        row["us per image"] = row["median s"] / drawn * 1e6
        row["time / article's"] = measure.ratio(taken, times[ARTICLES])
        row["time / maps"] = measure.ratio(taken, times["maps"])
        rows.append(row)
    return rows


def main() -> None:
    parser = measure.arguments(__doc__, rounds=9)
    about = "activation in the hidden layer of the article's program; its text has sigmoid"
    parser.add_argument("--hidden", choices=article.HIDDEN, default="tanh", help=about)
    options = parser.parse_args()
    place = data_loader.find_data(options.data)
    with measure.spark("epochs") as spark:
        rows = [
            row
            for digits in ([0, 1], list(range(10)))
            for row in compare(spark, place, digits, options)
        ]
    measure.save(options, "epochs", rows, hidden=options.hidden)


if __name__ == "__main__":
    main()
