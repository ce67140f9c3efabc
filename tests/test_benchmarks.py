"""What the benchmarks compare with, and how they count, is right; nothing is timed here."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

import article
import contenders
import tables

from images import sources
from images.blocks import as_rows
from network.sequential import read


@pytest.fixture(scope="module")
def images_and_labels(small_mnist):
    images, labels, _ = sources.find(small_mnist, "train").read(range(10))
    return as_rows(images[:40], labels[:40], 10, "float64")


@pytest.fixture(scope="module")
def from_text(spark, images_and_labels, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("text"))
    article.write_text(folder, "train", *images_and_labels)
    return article.load(spark, folder, "train", 10).cache()


def test_the_yardstick_reads_its_text_files_as_they_were(from_text, images_and_labels):
    images, labels = (np.concatenate(part) for part in zip(*from_text.collect(), strict=True))
    theirs, ours = (
        sorted(np.hstack(pair).tolist()) for pair in ((images, labels), images_and_labels)
    )
    assert theirs == ours


@pytest.mark.parametrize(
    ("hidden", "activation"), [("tanh", np.tanh), ("sigmoid", lambda z: 1 / (1 + np.exp(-z)))]
)
def test_the_yardstick_computes_the_derivatives_of_its_error(
    from_text, images_and_labels, hidden, activation
):
    X, y_true = images_and_labels
    parameters = article.initial_parameters(10)

    def outputs(W1, B1, W2, B2):
        return 1 / (1 + np.exp(-(activation(X @ W1 + B1) @ W2 + B2)))

    def error():
        return ((outputs(*parameters) - y_true) ** 2).sum() / 2

    E, dB2, dW2, dB1, dW1, Acc, n = article.epoch(from_text, *parameters, hidden, fraction=1.0)
    right = outputs(*parameters).argmax(axis=1) == y_true.argmax(axis=1)
    assert (n, Acc) == (40, right.sum())
    assert E == pytest.approx(error())
    for values, gradient in zip(parameters, (dW1, dB1, dW2, dB2), strict=True):
        place = np.unravel_index(np.abs(gradient).argmax(), gradient.shape)
        errors = []
        for move in (1e-5, -2e-5):
            values[place] += move
            errors.append(error())
        values[place] += 1e-5
        assert gradient[place] == pytest.approx((errors[0] - errors[1]) / 2e-5, rel=1e-5)


@pytest.mark.parametrize(
    ("network", "products"),
    [
        ("dense 64, sigmoid, dense, sigmoid", 2 * 784 * 64 + 3 * 64 * 10),
        ("conv 2 5, relu, dense, softmax", 2 * 24 * 24 * 25 * 2 + 3 * 2 * 24 * 24 * 10),
    ],
)
def test_the_operations_of_an_image_are_those_of_its_matrix_products(network, products):
    assert contenders.operations(read(network, 10)) == 2 * products


def test_a_page_gets_the_last_tables_with_the_keys_of_rows_as_headings(tmp_path):
    rows = [
        {"name": "one", "median s": 0.07, "accuracy": 0.9946, "runs": [1]},
        {"name": "two", "median s": 12345.6, "images": 60_000},
    ]
    results = {"rounds": 3, "rows": rows, "more": [{"ratio": 1.0}]}
    (tmp_path / "some.json").write_text(json.dumps(results))
    page = "a\n\n<!-- table: some -->\n\n| old |\n\nb\n\n<!-- table: more -->\n\n"
    some = """\
| name | median s | accuracy | images |
| --- | --- | --- | --- |
| one | 0.0700 | 0.9946 | - |
| two | 12,346 | - | 60,000 |
"""
    filled = page.replace("| old |\n", some) + "| ratio |\n| --- |\n| 1.00 |\n"
    assert tables.filled(page, tmp_path) == filled
    assert tables.filled(filled, tmp_path) == filled


def test_all_saved_results_are_tables_of_scripts_that_there_are():
    for file in tables.RESULTS.glob("*.json"):
        assert tables.of_file(file.stem)
        assert (tables.RESULTS.parent / f"{file.stem}.py").exists()
