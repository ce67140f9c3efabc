"""The article's program, written the obvious way, for comparison.

Rows are float64, lambdas capture the parameters, the reduce adds with `x + y`, and sigmoid' is
computed again in each map. The loader numbers, joins and caches two text files.
"""

import numpy as np
from pyspark import RDD, SparkContext


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def sigmoid_prime(x):
    return sigmoid(x) * (1 - sigmoid(x))


def epoch(train_rdd: RDD, W1, B1, W2, B2, seed: int) -> tuple:
    return (
        train_rdd.sample(False, 0.7, seed)
        .map(lambda t: (t[0], t[0] @ W1 + B1, t[1]))
        .map(lambda t: (t[0], t[1], sigmoid(t[1]), t[2]))
        .map(lambda t: (t[0], t[1], t[2], t[2] @ W2 + B2, t[3]))
        .map(lambda t: (t[0], t[1], t[2], t[3], sigmoid(t[3]), t[4]))
        .map(
            lambda t: (
                *t[:3],
                0.5 * np.sum((t[4] - t[5]) ** 2),
                (t[4] - t[5]) * sigmoid_prime(t[3]),
                int(np.argmax(t[4]) == np.argmax(t[5])),
            )
        )
        .map(lambda t: (t[0], t[1], t[3], t[4], t[2].T @ t[4], t[5]))
        .map(lambda t: (t[0], *t[2:5], (t[3] @ W2.T) * sigmoid_prime(t[1]), t[5]))
        .map(lambda t: (*t[1:5], t[0].T @ t[4], t[5], 1))
        .reduce(lambda a, b: tuple(x + y for x, y in zip(a, b, strict=True)))
    )


def rows(images: np.ndarray, labels: np.ndarray, outputs: int) -> list:
    one_hot = np.eye(outputs)
    return [
        (x.reshape(1, 784) / 255, one_hot[y : y + 1]) for x, y in zip(images, labels, strict=True)
    ]


def load_text(spark: SparkContext, images_file: str, labels_file: str) -> RDD:
    """Two text files with one line of numbers per image, joined by line number and cached."""

    def numbered(file: str) -> RDD:
        lines = spark.textFile(file, 1)
        vectors = lines.map(lambda line: np.fromstring(line, sep=" ").reshape(1, -1))
        return vectors.zipWithIndex().map(lambda pair: (str(pair[1]), pair[0]))

    return numbered(images_file).join(numbered(labels_file)).map(lambda pair: pair[1]).cache()
