"""How an epoch grows with the number of images, and how near it is to the processor's limit.

    python benchmarks/scaling.py --data FOLDER_OF_MNIST         15 minutes, 10 GB of memory

Ten digits. Beyond 60,000 images they are MNIST shifted by up to two pixels, made on the executors.
`partitions`, plain NumPy and sgemm (a product of large float32 matrices on all cores) alternate.
The share of sgemm compares operations per second: of an epoch, those in its matrix products (on 70%
of the images) count, and all of its seconds. The last row is an epoch of `cnn`, with all images.
"""

import contenders
import measure

import data_loader
from images import sources
from images.blocks import as_rows
from network.sequential import read
from training.recipes import IN_PARTITION, NETWORKS

SIZES = (10_000, 60_000, 300_000, 600_000, 1_200_000)


def main() -> None:
    parser = measure.arguments(__doc__, rounds=9)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="leave out larger sizes")
    options = parser.parse_args()
    mnist = sources.find(data_loader.find_data(options.data), "train").read(range(10))[:2]
    multiply, of_sgemm = contenders.sgemm()
    rows = []

    def add_row(name: str, count: int, network: str, drawn: float, times: dict) -> None:
        """What was measured of an epoch that computes with `drawn` images."""
        row = {"an epoch of": name, "images in the set": count, **measure.summary(times[name])}
        row["us per image"] = row["median s"] / count * 1e6
        work = drawn * contenders.operations(read(NETWORKS[network], 10))
        row["share of sgemm"] = work / of_sgemm * measure.ratio(times["sgemm"], times[name])
        rows.append(row)

    with measure.spark("scaling") as spark:
        for count in (size for size in SIZES if size <= options.most):
            partitions = data_loader.default_partitions(count, *IN_PARTITION["partitions"])
            split = contenders.spread(spark, mnist, count, partitions)
            X, y_true = as_rows(*contenders.shifted(*mnist, 0, count), 10, "float32")
            calls = {
                "partitions": contenders.ours(split, strategy="partitions"),
                "plain NumPy": contenders.plain_numpy(X, y_true),
                "sgemm": multiply,
            }
            times = measure.alternate(calls, options.rounds, warm_up=5)
            for name in ("partitions", "plain NumPy"):
                add_row(name, count, "article", contenders.FRACTION * count, times)
            more = rows[-2]
            more["time / NumPy's"] = measure.ratio(times["partitions"], times["plain NumPy"])
            more["cached bytes per pixel"] = contenders.cached_bytes(split) / count / 784
            print(rows[-2:], flush=True)
            split.blocks.unpersist(blocking=True)
            del X, y_true, calls
        count = min(60_000, options.most)
        split = contenders.spread(spark, mnist, count, partitions=2)
        calls = {"cnn": contenders.ours(split, network="cnn", fraction=1.0), "sgemm": multiply}
        add_row("cnn", count, "cnn", count, measure.alternate(calls, options.rounds, warm_up=1))
    measure.save(options, "scaling", rows)


if __name__ == "__main__":
    main()
