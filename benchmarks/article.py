"""The article's own program, the yardstick: it computes the same, call by call.

    spark-submit benchmarks/article.py TEXT_FOLDER OUTPUT_FOLDER

The facts are those of main_task.py and generate_data.py in MarvinMartin24/PySpark-Neural-Network.
The data are text files of `np.savetxt`, read with `textFile(..., 1)`, numbered, joined and cached.
The numbers are float64. The maps call `np.dot` and `np.power`, get activations as functions, and
compute their derivatives again. Lambdas capture the parameters. The reduce adds element by element.

The program has tanh in the hidden layer; --hidden sigmoid is what the article's text says. Like the
article, this trains digits 0 and 1 with two outputs for 50 epochs; the program has ten digits and
100 epochs. It imports matplotlib and never uses it; without this import it starts sooner here.
"""

import argparse

import numpy as np
from pyspark import RDD, SparkContext


def activate(z, function):
    return function(z)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def sigmoid_prime(z):
    a = sigmoid(z)
    return a * (1 - a)


def tanh(z):
    return np.tanh(z)


def tanh_prime(z):
    return 1 - np.tanh(z) ** 2


def weighted(a, W, B):
    return np.dot(a, W) + B


def square_error(Y, y_true):
    return 0.5 * np.sum(np.power(Y - y_true, 2))


def output_delta(Y, y_true, Y_hat, prime):
    return (Y - y_true) * prime(Y_hat)


def hidden_delta(H_hat, dB2, W2, prime):
    return np.dot(dB2, W2.T) * prime(H_hat)


def weight_gradient(a, delta):
    return np.dot(a.T, delta)


HIDDEN = {"tanh": (tanh, tanh_prime), "sigmoid": (sigmoid, sigmoid_prime)}


def outputs_of(x, W1, B1, W2, B2, function):
    return sigmoid(weighted(function(weighted(x, W1, B1)), W2, B2))


def epoch(train_rdd: RDD, W1, B1, W2, B2, hidden: str = "tanh", fraction: float = 0.7) -> tuple:
    """E, dB2, dW2, dB1, dW1, Acc, n, summed over a mini-batch."""
    function, prime = HIDDEN[hidden]
    # fmt: off
    return (
        train_rdd.sample(False, fraction)
        .map(lambda t: (t[0], weighted(t[0], W1, B1), t[1]))
        .map(lambda t: (t[0], t[1], activate(t[1], function), t[2]))
        .map(lambda t: (t[0], t[1], t[2], weighted(t[2], W2, B2), t[3]))
        .map(lambda t: (t[0], t[1], t[2], t[3], activate(t[3], sigmoid), t[4]))
        .map(lambda t: (t[0], t[1], t[2], square_error(t[4], t[5]),
                        output_delta(t[4], t[5], t[3], sigmoid_prime),
                        int(np.argmax(t[4]) == np.argmax(t[5]))))
        .map(lambda t: (t[0], t[1], t[3], t[4], weight_gradient(t[2], t[4]), t[5]))
        .map(lambda t: (t[0], t[2], t[3], t[4], hidden_delta(t[1], t[3], W2, prime), t[5]))
        .map(lambda t: (t[1], t[2], t[3], t[4], weight_gradient(t[0], t[4]), t[5], 1))
        .reduce(lambda a, b: (a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3],
                              a[4] + b[4], a[5] + b[5], a[6] + b[6]))
    )
    # fmt: on


def files(folder: str, part: str) -> tuple[str, str]:
    return f"{folder}/mnist_images_{part}.csv", f"{folder}/mnist_labels_{part}.csv"


def write_text(folder: str, part: str, X: np.ndarray, y_true: np.ndarray) -> None:
    """Pixels in [0, 1] and one-hot labels as text, a line for each image."""
    for file, rows in zip(files(folder, part), (X, y_true), strict=True):
        np.savetxt(file, rows)


def load(spark: SparkContext, folder: str, part: str, outputs: int) -> RDD:
    """The pairs (image (1, 784), label (1, k)) of two text files, joined by their line numbers."""

    def numbered(file: str, size: int) -> RDD:
        lines = spark.textFile(file, 1)
        rows = lines.map(lambda line: np.fromstring(line, dtype=float, sep=" ").reshape(1, size))
        return rows.zipWithIndex().map(lambda pair: (str(pair[1]), pair[0]))

    images, labels = files(folder, part)
    joined = numbered(images, 784).join(numbered(labels, outputs))
    return joined.map(lambda keyed: keyed[1])


def initial_parameters(outputs: int) -> list[np.ndarray]:
    """W1, B1, W2, B2 from U(-0.5, 0.5)."""
    shapes = (784, 64), (1, 64), (64, outputs), (1, outputs)
    return [np.random.rand(*shape) - 0.5 for shape in shapes]


def main() -> None:
    parser = argparse.ArgumentParser(description="The article's own program, as the yardstick.")
    parser.add_argument("text", help="folder of the text files")
    parser.add_argument("output", help="folder for what it saves; must not exist")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--hidden", choices=HIDDEN, default="tanh")
    parser.add_argument("--seed", type=int, help="of the initial parameters; the program has none")
    options = parser.parse_args()
    np.random.seed(options.seed)
    from sklearn.metrics import multilabel_confusion_matrix

    spark = SparkContext(appName="article")
    spark.setLogLevel("ERROR")
    train_rdd = load(spark, options.text, "train", 2).cache()
    test_rdd = load(spark, options.text, "test", 2)

    def save(values: list, name: str) -> None:
        spark.parallelize(values).coalesce(1).saveAsTextFile(f"{options.output}/{name}")

    W1, B1, W2, B2 = initial_parameters(2)
    costs, accuracies, rate = [], [], 0.1
    for number in range(1, options.epochs + 1):
        E, dB2, dW2, dB1, dW1, Acc, n = epoch(train_rdd, W1, B1, W2, B2, options.hidden)
        costs.append(E / n)
        accuracies.append(Acc / n)
        if number > 1:
            rate *= 1.05 if costs[-1] < costs[-2] else 0.5
        B2 -= rate * (dB2 / n)
        W2 -= rate * (dW2 / n)
        B1 -= rate * (dB1 / n)
        W1 -= rate * (dW1 / n)
        print(f"epoch {number}: cost {costs[-1]}, accuracy {accuracies[-1]}, {n} images")
    save(costs, "cost")
    save(accuracies, "accuracy")

    function, _ = HIDDEN[options.hidden]

    def confusion(t):
        return multilabel_confusion_matrix(
            t[1], np.round(outputs_of(t[0], W1, B1, W2, B2, function))
        )

    scores = []
    counts = test_rdd.map(confusion).reduce(lambda a, b: a + b)
    for digit, ((tn, fp), (fn, tp)) in enumerate(counts):
        precision, recall = tp / (tp + fp + 1e-6), tp / (tp + fn + 1e-6)
        scores.append((precision, recall, 2 * precision * recall / (precision + recall + 1e-6)))
        print(f"digit {digit}: TP {tp}, FP {fp}, FN {fn}, TN {tn}, {scores[-1]}")
    save(scores, "metrics")
    answers = test_rdd.map(lambda t: (outputs_of(t[0], W1, B1, W2, B2, function), np.argmax(t[1])))
    shown = [(np.argmax(Y), label) for Y, label in answers.takeSample(False, 15)]
    print(shown)
    save(shown, "tests")
    spark.stop()


if __name__ == "__main__":
    main()
