"""What makes an answer unsure: the formulas, the file, and how much it finds."""

import json
import math

import no_digits
import numpy as np
import pytest
from conftest import write_data
from PIL import Image

import data_loader
import predict
import train
from network.sequential import batch_tuple, initial_parameters, outputs_of, read
from results import doubt, labels, model_files
from results.loading import load_model
from results.model_files import Trained
from runtime.command_line import UserError
from training.data import hold_out, sample_of

ARTICLE = "dense 64, sigmoid, dense, sigmoid"


def trained_on(images, labels, classes, steps=60, rate=1.0) -> Trained:
    """The article's network after some steps on all images."""
    network = read(ARTICLE, classes)
    parameters = initial_parameters(network, 1)
    X, y_true = images / np.float32(255), np.eye(classes, dtype="f4")[labels]
    for _ in range(steps):
        _, dB2, dW2, dB1, dW1, _, n = batch_tuple(network, parameters, X, y_true, (1,))
        gradients = dW1, dB1, dW2, dB2
        parameters = tuple(p - rate * g / n for p, g in zip(parameters, gradients, strict=True))
    return Trained(network, parameters, list(range(classes)), [])


@pytest.fixture(scope="module")
def zeros_and_ones(ten_thousand) -> tuple[np.ndarray, np.ndarray]:
    """About 2,100 images of 0 and 1."""
    images, digits = ten_thousand
    return images[digits < 2], digits[digits < 2]


@pytest.fixture(scope="module")
def of_two(zeros_and_ones) -> Trained:
    return trained_on(*zeros_and_ones, 2)


@pytest.fixture(scope="module")
def limits(of_two, zeros_and_ones) -> doubt.Doubt:
    return doubt.fit(of_two.network, of_two.parameters, *zeros_and_ones)


def unsure(trained, limits, images) -> np.ndarray:
    """Which answers to images uint8 (n, 784) are unsure, (n,) bool."""
    X = np.divide(images, 255, dtype=np.float32)
    Y = outputs_of(trained.network, trained.parameters, X)
    names = trained.names()
    return np.array([bool(doubt.reason(limits, X[i : i + 1], Y[i], names)) for i in range(len(X))])


def test_an_image_is_halved_by_means_of_4_by_4_pixels(few_images):
    X = few_images[0][:20] / 255
    windows = np.lib.stride_tricks.sliding_window_view(X.reshape(-1, 28, 28), (4, 4), (1, 2))
    weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1])
    means = (windows[:, 1::2, 1::2] * weights).sum(axis=(3, 4))[:, :12, :12].reshape(-1, 144)
    expected = means / np.sqrt((means**2).sum(axis=1, keepdims=True))
    np.testing.assert_allclose(doubt.halved(X), expected, atol=1e-12)
    assert not doubt.halved(np.zeros((1, 784))).any(), "an image without ink has no direction"


def test_the_distance_is_that_of_mahalanobis(zeros_and_ones, limits):
    images, digits = zeros_and_ones
    learned = np.arange(len(images)) % 3 != 2
    V = doubt.halved(images / 255) @ limits.axes
    around = [V[learned & (digits == d)] - V[learned & (digits == d)].mean(axis=0) for d in (0, 1)]
    of_all = np.cov(np.concatenate(around).T, bias=True)
    for digit in (0, 1):
        n, own = len(around[digit]), np.cov(around[digit].T, bias=True)
        inverse = np.linalg.inv((n * own + 40 * of_all) / (n + 40))
        mean = V[learned & (digits == digit)].mean(axis=0)
        expected = [math.sqrt((v - mean) @ inverse @ (v - mean)) for v in V[:50]]
        found = doubt.distances(limits, images[:50] / 255, np.full(50, digit))
        np.testing.assert_allclose(found, expected, rtol=0.02)


def test_the_limits_leave_out_the_shares_of_right_answers(of_two, limits, zeros_and_ones):
    images, digits = zeros_and_ones
    X = (images / 255).astype("f4")[2::3]
    Y = predict.predict(of_two, X)
    right = Y.argmax(axis=1) == digits[2::3]
    D = doubt.distances(limits, X[right], Y[right].argmax(axis=1))
    assert (D > limits.distance).mean() == pytest.approx(0.02, abs=2 / len(D))
    assert (Y[right].max(axis=1) < limits.least_output).mean() <= 0.0075 + 2 / len(D)
    closeness = Y[right].min(axis=1) / Y[right].max(axis=1)
    assert (closeness > limits.close).mean() <= 0.0075 + 2 / len(D)


def test_a_network_of_two_digits_doubts_the_others(real_mnist, of_two, limits, ten_thousand):
    images, digits = ten_thousand
    others = unsure(of_two, limits, images[digits > 1][:1000])
    own = unsure(of_two, limits, images[digits < 2][:1000])
    assert others.mean() > 0.7 and own.mean() < 0.06


@pytest.mark.parametrize(
    ("outputs", "found"),
    [
        ([0.9, 0.1], ""),
        ([0.59, 0.1], "the output is low"),
        ([0.59, 0.58], "the output is low"),
        ([0.9, 0.46], "the runner-up is close"),
        ([0.44, 0.9], ""),
    ],
)
def test_outputs_beyond_their_limits_are_unsure(outputs, found):
    limits = doubt.fixed(2)._replace(least_output=0.6, close=0.5)
    assert doubt.reason(limits, np.zeros((1, 784)), np.array(outputs), ["0", "1"]) == found


def test_an_image_of_noise_is_unlike_training_images(of_two, limits):
    noise = np.random.default_rng(1).random((1, 784))
    reason = doubt.reason(limits, noise, np.array([0.05, 0.95]), ["cat", "dog"])
    assert reason == "unlike training images of dog"
    assert doubt.reason(doubt.fixed(2), noise, np.array([0.05, 0.95]), ["cat", "dog"]) == ""


def test_a_network_that_knows_its_images_by_heart_does_not_doubt_all_others(zeros_and_ones):
    images, digits = zeros_and_ones
    network = read("dense 2, softmax", 2)
    W = 1000 * (images[digits == 0].mean(axis=0) - images[digits == 1].mean(axis=0))
    parameters = np.stack([W, -W], axis=1), np.zeros((1, 2))
    limits = doubt.fit(network, parameters, images, digits)
    assert (limits.least_output, limits.close) == (0.75, 1 / 3)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "counts",
    [[1, 1], [2, 30], [40, 40], [300, 1], [900, 2, 1], [4] * 256],
    ids=lambda counts: f"{len(counts)} classes, {counts[0]} and {counts[-1]}",
)
def test_few_images_and_rare_classes_give_limits_too(ten_thousand, counts, dtype):
    images, classes = ten_thousand[0][: sum(counts)], np.repeat(np.arange(len(counts)), counts)
    order = np.random.default_rng(1).permutation(len(images))
    images, classes = images[order], classes[order].astype(np.uint8)
    network = read(f"dense {len(counts)}, softmax", len(counts))
    # Class c has its images of `counts`; the network is right about all, by their first one.
    parameters = tuple(p.astype(dtype) for p in initial_parameters(network, 1))
    bias = np.zeros((1, len(counts)), dtype)
    bias[0, np.argmax(counts)] = 5
    limits = doubt.fit(network, (parameters[0], bias), images, classes)
    assert all(np.isfinite(value).all() for value in limits)
    D = doubt.distances(limits, images / 255, classes)
    assert np.isfinite(D).all() and len(D) == len(images)


def test_the_sample_is_the_same_each_time_and_prefers_validation_images(spark, small_mnist):
    split = data_loader.load(spark, small_mnist, "train", range(10), 3)
    images, digits = sample_of(split, 200, 1)
    again, _ = sample_of(split._replace(blocks=split.blocks.map(lambda block: block)), 200, 1)
    assert np.array_equal(images, again) and 150 < len(images) == len(digits) < 250
    every, _ = sample_of(split, 10_000, 1)
    assert len(every) == split.size == 600
    assert not np.array_equal(images, sample_of(split, 200, 2)[0])
    _, held_out = hold_out(split, 0.5, 1)
    validation = {image.tobytes() for block in held_out.blocks.collect() for image in block[0]}
    assert {image.tobytes() for image in images} <= validation


# --- the file ----------------------------------------------------------------------------------


def test_doubt_is_read_as_it_was_saved(tmp_path, of_two, limits):
    doubt.save(str(tmp_path), limits, of_two.parameters)
    for saved, found in zip(limits, doubt.load(str(tmp_path), of_two.parameters), strict=True):
        assert np.array_equal(saved, found)


def test_a_model_without_doubt_has_fixed_limits(tmp_path, of_two):
    found = doubt.load(str(tmp_path), of_two.parameters)
    assert found[:3] == (0.5, 0.5, 0.0)
    assert doubt.distances(found, np.ones((3, 784)), np.array([0, 1, 1])).tolist() == [0, 0, 0]


def test_the_doubt_of_another_network_is_not_used(tmp_path, of_two, limits, capsys):
    doubt.save(str(tmp_path), limits, of_two.parameters)
    W1, *rest = of_two.parameters
    assert doubt.load(str(tmp_path), (W1 + 1, *rest))[:3] == (0.5, 0.5, 0.0)
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == f"note: {tmp_path}/doubt.npz belongs to another network and is not used\n"


CHANGES = {
    "no axes": ({"axes": None}, "axes is missing"),
    "axes of another size": ({"axes": np.zeros((145, 2))}, "axes has shape"),
    "a number for axes": ({"axes": np.zeros(())}, "axes has shape"),
    "many axes": ({"axes": np.zeros((144, 10**4))}, "axes has shape"),
    "more classes": ({"means": np.zeros((3, 4))}, "means has shape"),
    "not finite": ({"limits": np.array([0.5, np.nan, 1])}, "limits holds numbers that are not"),
    "whole numbers": ({"limits": np.array([1, 2, 3])}, "limits holds int64"),
    "no hash": ({"parameters": None}, "parameters is not a SHA-256"),
    "a text as hash": ({"parameters": np.array("abc")}, "parameters is not a SHA-256"),
    "objects": ({"means": np.array([[{}]], object)}, "means has shape"),
}


@pytest.mark.parametrize(("changed", "why"), CHANGES.values(), ids=CHANGES.keys())
def test_a_file_that_train_has_not_written_is_refused(tmp_path, of_two, limits, changed, why):
    doubt.save(str(tmp_path), limits, of_two.parameters)
    with np.load(tmp_path / "doubt.npz") as file:
        arrays = {**file, **changed}
    kept = {name: array for name, array in arrays.items() if array is not None}
    (tmp_path / "doubt.npz").write_bytes(model_files.npz(kept))
    with pytest.raises(UserError) as raised:
        doubt.load(str(tmp_path), of_two.parameters)
    assert str(raised.value).startswith(f"{tmp_path}/doubt.npz: {why}")
    assert str(raised.value).endswith("; delete it, or train the model again")


@pytest.mark.parametrize("content", [b"", b"broken", b"PK\3\4 cut off"])
def test_a_damaged_file_is_refused(tmp_path, of_two, content):
    (tmp_path / "doubt.npz").write_bytes(content)
    with pytest.raises(UserError, match="doubt.npz: cut off, or not a model file; delete it"):
        doubt.load(str(tmp_path), of_two.parameters)


# --- the commands ------------------------------------------------------------------------------


def picture_of_test_image(folder, images, number) -> str:
    file = folder / f"{number}.png"
    levels = 255 - np.kron(images[number].reshape(28, 28), np.ones((8, 8), np.uint8))
    Image.fromarray(levels).save(file)
    return str(file)


def test_a_network_of_two_digits_says_that_it_knows_no_others(
    spark, few_images, tmp_path, without_figures, capsys
):
    data = write_data(tmp_path, *few_images, 600)
    model = str(tmp_path / "model")
    places = ["--data", data, "--model-dir", model, "--plots-dir", model]
    assert train.main([*places, "--epochs", "2"]) == 0
    assert (tmp_path / "model" / "doubt.npz").exists()
    files = [picture_of_test_image(tmp_path, few_images[0], number) for number in (2, 3)]
    capsys.readouterr()
    said = "this network knows only the digits 0 and 1"
    assert predict.main([*files, "--model-dir", model]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[0] == said and out.count(said) == 1 and err == ""
    assert predict.main([*files, "--model-dir", model, "--json"]) == 0
    out, err = capsys.readouterr()
    assert [json.loads(line)["file"] for line in out.splitlines()] == files
    assert err == f"{said}\n"


@pytest.mark.parametrize(
    ("digits", "classes", "said"),
    [
        (range(10), (), ""),
        ([3, 5, 8], (), "this network knows only the digits 3, 5 and 8"),
        ([0, 1], ("cat", "dog"), "this network knows only the classes cat and dog"),
    ],
)
def test_the_classes_that_a_network_knows_are_named(of_two, digits, classes, said):
    assert labels.known(of_two._replace(digits=list(digits), classes=classes)) == said


# --- how much it finds ---------------------------------------------------------------------------


@pytest.mark.long
def test_lenet_is_unsure_of_what_is_no_digit_and_hardly_of_digits(
    spark, real_mnist, ten_thousand, without_figures, tmp_path, capsys
):
    model = str(tmp_path / "model")
    words = ["--digits", "all", "--network", "lenet", "--epochs", "3", "--data", real_mnist]
    assert train.main([*words, "--model-dir", model, "--plots-dir", model]) == 0
    trained, _ = load_model(model)
    images, digits = ten_thousand
    is_unsure = unsure(trained, doubt.load(model, trained.parameters), images)
    Y = predict.predict(trained, (images / 255).astype("f4"))
    assert is_unsure.mean() <= 0.04
    assert (Y.argmax(axis=1) == digits)[~is_unsure].mean() >= 0.995
    files = []
    for name, picture in no_digits.pictures().items():
        files.append(str(tmp_path / f"{name}.png"))
        picture.save(files[-1])
    capsys.readouterr()
    assert predict.main([*files, "--json", "--model-dir", model]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 300
    print(is_unsure.mean(), sum(answer["unsure"] for answer in answers) / 300)
    assert sum(answer["unsure"] for answer in answers) >= 0.7 * 300


@pytest.mark.long
def test_the_default_run_is_unsure_of_the_digits_that_it_does_not_know(
    spark, real_mnist, ten_thousand, without_figures, tmp_path
):
    model = str(tmp_path / "model")
    words = ["--data", real_mnist, "--strategy", "partitions"]
    assert train.main([*words, "--model-dir", model, "--plots-dir", model]) == 0
    trained, _ = load_model(model)
    images, digits = ten_thousand
    limits = doubt.load(model, trained.parameters)
    others = unsure(trained, limits, images[digits > 1])
    own = unsure(trained, limits, images[digits < 2])
    print(others.mean(), own.mean())
    assert others.mean() >= 0.7 and own.mean() <= 0.07
