"""The answers of a trained network to single images: the first ones, and the largest errors."""

from typing import NamedTuple

import numpy as np
from pyspark import RDD

from network.layers import Arrays
from network.sequential import Network, forward, output_error
from results.model_files import Trained

Pair = tuple[np.ndarray, np.ndarray]  # image (1, 784) and label one-hot (1, k)


class Answer(NamedTuple):
    """An image x (784,), the outputs Y (k,), the error E, and the true class."""

    x: np.ndarray
    Y: np.ndarray
    E: float
    truth: int


def answer_to(network: Network, parameters: Arrays, pair: Pair) -> Answer:
    """The network's answer to one image."""
    x, y_true = pair
    kept, Y = forward(network, parameters, x)
    E, _, _ = output_error(network, kept[-1], Y, y_true)
    return Answer(x[0], Y[0], E, int(y_true.argmax()))


def first_answers(test_rdd: RDD, trained: Trained, count: int) -> list[Answer]:
    """The answers to the first images of a test set."""
    pairs = test_rdd.take(count)
    return [answer_to(trained.network, trained.parameters, pair) for pair in pairs]


def largest_errors(
    test_rdd: RDD, trained: Trained, count: int, only_mistakes: bool = False
) -> list[Answer]:
    """The answers, or the wrong ones among them, with the largest error E, the largest first."""
    network, parameters = trained.network, trained.parameters
    answers = test_rdd.map(lambda pair: answer_to(network, parameters, pair))
    if only_mistakes:
        answers = answers.filter(lambda answer: answer.Y.argmax() != answer.truth)
    return answers.takeOrdered(count, key=lambda answer: -answer.E)
