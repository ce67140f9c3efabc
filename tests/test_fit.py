"""Training networks of any depth from Python and by `train.py`, on real Spark, against NumPy."""

import functools
import itertools
import json
import math
import re
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage

import data_loader
import nn_math
import predict
import train
import training.data
from images import blocks
from network import sequential
from network.layers import Conv, Dense, Dropout, MaxPool, Relu, Softmax
from network.sequential import Sequential, initial_parameters, read
from results import checkpoints, model_files
from results.checkpoints import Progress
from results.loading import load_model
from runtime.command_line import UserError
from training import chain
from training.data import hold_out, joined_for_averaging, with_changes
from training.optimizers import OPTIMIZERS
from training.progress import after_epoch, is_finished
from training.recipes import IN_PARTITION, STRATEGIES
from training.run import initial_of, settings_content
from training.settings import Settings, complete, network_of
from training.strategies import epoch_function

MLP = "dense 12, relu, dropout 0.2, dense, softmax"
SMALL_CONV = "conv 3 5, maxpool 4, relu, dropout 0.3, dense, softmax"
TEN = list(range(10))


@pytest.fixture(scope="module")
def split(spark, small_mnist):
    return data_loader.load(spark, small_mnist, "train", TEN, partitions=3)


@pytest.fixture(scope="module")
def test_split(spark, small_mnist):
    return data_loader.load(spark, small_mnist, "test", TEN)


def settings(**changed) -> Settings:
    """The settings of an epoch on all ten digits."""
    return complete({**changed, "digits": TEN})


def rows_of(split, dtype: str = "float64") -> tuple[np.ndarray, np.ndarray]:
    images, labels = (np.concatenate(part) for part in zip(*split.blocks.collect(), strict=True))
    return blocks.as_rows(images, labels, 10, dtype)


def same_bits(one, other) -> bool:
    pairs = zip(one, other, strict=True)
    return all((a.dtype, a.tobytes()) == (b.dtype, b.tobytes()) for a, b in pairs)


# The chain made from layers


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [64, 5])
def test_the_chain_of_layers_has_the_bits_of_the_written_out_one(split, hidden, dtype):
    chosen = settings(hidden=hidden, strategy="maps", dtype=dtype)
    pairs, initial = train.training_rdd(split, chosen, 3), initial_of(chosen)
    made, written = (
        epoch(pairs, initial, chosen, 3) for epoch in (chain.chain_epoch, train.maps_epoch)
    )
    assert 350 < made.n < 490
    assert (made.E, made.Acc, made.n) == (written.E, written.Acc, written.n)
    assert same_bits(made.gradients, written.gradients)


@pytest.mark.parametrize(
    ("text", "maps"),
    [
        ("dense 4, sigmoid, dense, sigmoid", 8),
        ("dense, softmax", 4),
        ("conv 2 5, maxpool 4, relu, dense, softmax", 13),  # a picture in front, rows in between
    ],
)
def test_the_chain_is_one_sample_a_map_each_way_and_one_reduce(split, monkeypatch, text, maps):
    chosen = settings(network=text, strategy="maps")
    pairs, steps = train.training_rdd(split, chosen, 1), []
    for name in ("map", "sample", "reduce"):
        original = getattr(type(pairs), name)

        def counted(self, *told, name=name, original=original):
            steps.append(name)
            return original(self, *told)

        monkeypatch.setattr(f"pyspark.RDD.{name}", counted)
    chain.chain_epoch(pairs, initial_of(chosen), chosen, 1)
    assert steps == ["sample", *["map"] * maps, "reduce"]


class ByPixels(Dropout, in_text=False):
    """The dropout of a chain whose settings have seed 1, in epoch 2: its mask is by the image."""

    def forward(self, a, parameters, key):
        return super().forward(a, parameters, (1, 2, key[-1], zlib.crc32(a.tobytes())))


@pytest.mark.parametrize("text", [MLP, SMALL_CONV, "dense 6, tanh, dense, sigmoid"])
def test_the_chain_gives_the_sums_of_its_images_one_by_one(split, text):
    chosen = settings(network=text, strategy="maps", dtype="float64", fraction=0.2)
    pairs, initial = train.training_rdd(split, chosen, 2), initial_of(chosen)
    made = chain.chain_epoch(pairs, initial, chosen, 2)
    network = tuple(
        ByPixels(layer.rate) if isinstance(layer, Dropout) else layer
        for layer in network_of(chosen)
    )
    drawn = pairs.sample(False, 0.2, nn_math.sample_seed(1, 2)).collect()
    tuples = (sequential.batch_tuple(network, initial, x, y, (0,)) for x, y in drawn)
    expected = nn_math.as_sums(functools.reduce(nn_math.add, tuples))
    assert (made.n, made.Acc) == (len(drawn), expected.Acc)
    assert made.E == pytest.approx(expected.E, rel=1e-10)
    for one, other in zip(made.gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("text", [MLP, SMALL_CONV])
def test_without_dropout_all_three_ways_see_the_same_sums(split, text):
    """In averaging with one step for each partition, of all its images."""
    text = re.sub("dropout [0-9.]+", "dropout 0", text)
    told = {"network": text, "dtype": "float64", "fraction": 1.0, "optimizer": "sgd"}
    told |= {"batch_size": 600, "schedule": "constant", "learning_rate": 0.25}
    network, found = read(text, 10), {}
    initial = initial_parameters(network, 1, "float64")
    for strategy in STRATEGIES:
        chosen = settings(strategy=strategy, **told)
        epoch = epoch_function(chosen, train.maps_epoch)
        found[strategy] = epoch(train.training_rdd(split, chosen, 1), initial, chosen, 1)
    at_once = nn_math.as_sums(sequential.batch_tuple(network, initial, *rows_of(split), (0,)))
    for strategy, sums in found.items():
        assert (sums.n, sums.Acc) == (600, at_once.Acc)
        assert sums.E == pytest.approx(at_once.E, rel=1e-10)
        scale = 0.25 if strategy == "averaging" else 1
        for one, other in zip(sums.gradients, at_once.gradients, strict=True):
            np.testing.assert_allclose(one, scale * other, rtol=1e-8, atol=1e-10)


# From Python


def test_as_a_notebook_types_it(split, test_split, small_mnist):
    network = Sequential(Dense(32), Relu(), Dropout(0.1), Dense(), Softmax())
    trained = train.fit(network, split, epochs=4, batch_size=16, learning_rate=0.03)
    assert [epoch.epoch for epoch in trained.history] == [1, 2, 3, 4]
    assert trained.history[-1].cost < 0.5 * trained.history[0].cost
    X, y_true = rows_of(test_split, "float32")
    W1, B1, W2, B2 = trained.parameters
    outputs = np.exp(np.maximum(X @ W1 + B1, 0) @ W2 + B2)
    outputs /= outputs.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(predict.predict(trained, X), outputs, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(predict.predict(trained, X[7]), outputs[7:8], rtol=1e-4, atol=1e-6)
    scores = predict.evaluate(trained, test_split)
    right = float((outputs.argmax(axis=1) == y_true.argmax(axis=1)).mean())
    assert scores["accuracy"] == right > 0.7
    assert list(scores["classes"]) == [str(digit) for digit in TEN]


def test_a_text_is_the_network_that_is_built_by_hand(split):
    by_hand = Sequential(Conv(3, 5), MaxPool(4), Relu(), Dropout(0.3), Dense(), Softmax())
    one, other = (train.fit(network, split, epochs=1) for network in (SMALL_CONV, by_hand))
    assert one.network == other.network == read(SMALL_CONV, 10)
    assert same_bits(one.parameters, other.parameters)


def test_what_fit_does_not_know_is_refused_by_its_name(split):
    with pytest.raises(UserError, match="no option 'epoch'; train.py --help"):
        train.fit("mlp", split, epoch=3)
    with pytest.raises(UserError, match="dense 3: there are 10 classes|>>dense 3<<"):
        train.fit(Sequential(Dense(3), Softmax()), split)


def test_a_network_is_not_judged_by_a_test_set_of_other_digits(spark, split, small_mnist):
    trained = train.fit("dense, softmax", split, epochs=1)
    other = data_loader.load(spark, small_mnist, "test", [0, 1])
    with pytest.raises(UserError, match="digits"):
        predict.evaluate(trained, other)


# Shift


def pictures_moved(image: np.ndarray, most: int) -> list[np.ndarray]:
    """A picture (28, 28) moved by up to `most` pixels each way, one for each way."""
    found = []
    for down, right in itertools.product(range(-most, most + 1), repeat=2):
        moved = np.zeros_like(image)
        for y, x in np.ndindex(28, 28):
            if 0 <= y - down < 28 and 0 <= x - right < 28:
                moved[y, x] = image[y - down, x - right]
        found.append(moved)
    return found


@pytest.mark.parametrize("most", [1, 3])
def test_each_image_is_moved_every_way_alike_with_nothing_where_nothing_was(most):
    image = np.random.default_rng(1).integers(1, 256, (28, 28)).astype(np.uint8)
    count = 100 * (2 * most + 1) ** 2
    moved = blocks.shifted(np.tile(image.ravel(), (count, 1)), np.random.default_rng(2), most)
    assert (moved.shape, moved.dtype) == ((count, 784), np.uint8)
    ways = {picture.tobytes(): 0 for picture in pictures_moved(image, most)}
    for picture in moved:
        ways[picture.tobytes()] += 1  # a KeyError: moved by no such way
    assert all(50 < times < 150 for times in ways.values())


def slowly_turned(image: np.ndarray, tangent: float, scale: float) -> np.ndarray:
    """The image turned and scaled about its centre, by scipy; tangent: of half the angle."""
    angle = 2 * math.atan(tangent)
    rows = [math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]
    matrix, middle = np.array(rows) / scale, np.array([13.5, 13.5])
    picture, offset = image.reshape(28, 28).astype(float), middle - matrix @ middle
    return scipy.ndimage.affine_transform(picture, matrix, offset, order=1, mode="grid-constant")


@pytest.mark.parametrize(("degrees", "zoom"), [(10.0, 0.1), (90.0, 0.0), (0.0, 0.5)])
def test_each_image_is_turned_and_scaled_about_its_centre_as_scipy_does_it(degrees, zoom):
    images = np.random.default_rng(1).integers(0, 256, (300, 784)).astype(np.uint8)
    warped = blocks.warped(images, np.random.default_rng(2), degrees, zoom)
    assert (warped.shape, warped.dtype) == (images.shape, np.uint8)
    rng, most = np.random.default_rng(2), math.tan(math.radians(degrees) / 2)
    tangents, scales = rng.uniform(-most, most, 300), rng.uniform(1 - zoom, 1 + zoom, 300)
    assert degrees == 0 or max(abs(tangents)) > 0.95 * most
    for image, result, tangent, scale in zip(images, warped, tangents, scales, strict=True):
        expected = slowly_turned(image, tangent, scale)
        assert abs(result.reshape(28, 28) - expected).max() < 0.51, "rounded to whole numbers"


def test_an_image_that_is_neither_turned_nor_scaled_keeps_its_pixels():
    images = np.random.default_rng(1).integers(0, 256, (300, 784)).astype(np.uint8)
    warped = blocks.warped(images, np.random.default_rng(2), 0.0, 0.0)
    np.testing.assert_array_equal(warped, images)


CHANGES = [{"shift": 2}, {"rotation": 20}, {"zoom": 0.2}]


@pytest.mark.parametrize("change", CHANGES)
def test_images_change_anew_in_each_epoch_and_by_their_key_alone(split, change):
    def images(seed: int, epoch: int) -> np.ndarray:
        return rows_of(with_changes(split, settings(**change, seed=seed), epoch))[0]

    first = images(1, 1)
    np.testing.assert_array_equal(first, images(1, 1))
    for other in (images(1, 2), images(2, 1), rows_of(split)[0]):
        same = (first == other).all(axis=1).mean()
        assert same < 0.15, "an image of 25 stays where it was"
    changed = with_changes(split, settings(**change), 1)
    np.testing.assert_array_equal(*(rows_of(s)[1] for s in (split, changed)))
    assert with_changes(split, settings(), 1) is split


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_epoch_trains_on_the_images_as_they_were_changed(split, strategy):
    told = {"network": "dense 5, tanh, dense", "strategy": strategy, "fraction": 1.0}
    changes = {"shift": 2, "rotation": 20, "zoom": 0.2}
    chosen = settings(**told, **changes, dtype="float64", batch_size=600)
    network, initial = read(chosen.network, 10), initial_of(chosen)
    sums = epoch_function(chosen, train.maps_epoch)(
        train.training_rdd(split, chosen, 4), initial, chosen, 4
    )
    X, y_true = rows_of(with_changes(split, chosen, 4))
    moved = sequential.error_tuple(network, initial, X, y_true)
    assert (sums.E, sums.Acc) == (pytest.approx(moved[0], rel=1e-10), moved[1])
    assert sums.E != pytest.approx(sequential.error_tuple(network, initial, *rows_of(split))[0])


# Validation and patience


def numbered_images(spark, count: int, poisoned=()) -> data_loader.Split:
    """Images whose first two pixels say which they are; the poisoned ones are white and 9s."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, 784)).astype(np.uint8)
    labels = rng.integers(0, 10, count).astype(np.uint8)
    for number in poisoned:
        images[number], labels[number] = 255, 9
    images[:, 0], images[:, 1] = np.divmod(np.arange(count), 256)
    return data_loader.Split(
        data_loader.distribute(spark, images, labels, 4), count, tuple(TEN), "numbered", "", {}
    )


def numbers(split) -> list[int]:
    found = []
    for images, labels in split.blocks.collect():
        assert len(images) == len(labels)
        found += (256 * images[:, 0].astype(int) + images[:, 1]).tolist()
    return found


def test_a_share_is_held_out_once_by_the_seed_and_every_image_is_in_one_part(spark):
    whole = numbered_images(spark, 3000)
    for share in (0.1, 0.5):
        parts = hold_out(whole, share, seed=5)
        rest, held_out = map(numbers, parts)
        assert sorted(rest + held_out) == list(range(3000)) and rest == sorted(rest)
        assert [part.size for part in parts] == [len(rest), len(held_out)]
        assert abs(len(held_out) - 3000 * share) < 5 * math.sqrt(3000 * share * (1 - share))
        assert held_out == numbers(hold_out(whole, share, seed=5)[1])
        assert held_out != numbers(hold_out(whole, share, seed=6)[1])


@pytest.mark.parametrize("share", [1e-9, 0.9])
def test_a_share_without_an_image_is_refused(spark, share):
    with pytest.raises(UserError, match=f"--validation {share:g} of 1 image leaves"):
        hold_out(numbered_images(spark, 1), share, seed=1)


@pytest.mark.parametrize(
    "strategy", ["maps", *(pytest.param(one, marks=pytest.mark.long) for one in STRATEGIES[1:])]
)
def test_images_that_are_held_out_have_no_part_in_the_parameters(spark, strategy, monkeypatch):
    """Others in their places change the validation and not one bit of what was learned."""
    monkeypatch.setitem(IN_PARTITION, "averaging", (100, 100))
    whole = numbered_images(spark, 400)
    held_out = numbers(hold_out(whole, 0.25, seed=1)[1])
    told = {"strategy": strategy, "validation": 0.25, "epochs": 2, "shift": 1}
    one, other = (
        train.fit("dense 6, relu, dense, softmax", images, **told)
        for images in (whole, numbered_images(spark, 400, held_out))
    )
    assert same_bits(one.parameters, other.parameters)
    for mine, theirs in zip(one.history, other.history, strict=True):
        assert (mine.cost, mine.batch_size) == (theirs.cost, theirs.batch_size)
        assert mine.validation_cost != theirs.validation_cost
        assert mine.batch_size <= 400 - len(held_out)


def test_validation_is_cost_and_accuracy_after_the_update(split, small_copies):
    trained = train.fit(SMALL_CONV, split, epochs=2, validation=0.3, shift=2, dtype="float64")
    X, y_true = rows_of(hold_out(split, 0.3, 1)[1])
    Y = predict.predict(trained, X)
    last = trained.history[-1]
    cost = -np.log((Y * y_true).sum(axis=1)).mean()
    assert last.validation_cost == pytest.approx(cost, rel=1e-9)
    right = (Y.argmax(axis=1) == y_true.argmax(axis=1)).mean()
    assert last.validation_accuracy == pytest.approx(right)


@pytest.fixture
def judged(monkeypatch):
    """Validation costs that are told in advance; the accuracies are 0.5."""

    def by(*costs: float) -> None:
        left = iter(costs)
        monkeypatch.setattr(training.data, "error_of_blocks", lambda *_: (next(left), 0.5))

    return by


@pytest.mark.parametrize(
    ("patience", "costs", "epochs", "best"),
    [
        (2, [5, 4, 4.5, 4.2, 1], 4, 2),
        (2, [5, 4, 4.5, 3, 3.5, 3.5, 1], 6, 4),
        (1, [5, 5], 2, 1),
        (1, [5, 4, 3], 3, 3),
        (9, [5, 4, 3, 3.5], 4, 3),
        (None, [5, 6, 7, 8], 4, 4),
    ],
)
def test_patience_ends_so_many_epochs_after_the_best_which_is_the_result(
    patience, costs, epochs, best
):
    chosen = settings(patience=patience, epochs=len(costs))
    done = Progress(0, {}, [])
    while not is_finished(done.history, chosen):
        epoch = len(done.history) + 1
        line = model_files.Epoch(epoch, 1.0, 0.5, 10, 0.1, costs[epoch - 1], 0.5)
        done = after_epoch(done, epoch, {}, line, chosen)  # an epoch's number for its parameters
    assert (len(done.history), done.result()) == (epochs, best)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_patience_keeps_the_parameters_of_the_best_epoch(split, judged, optimizer):
    told = {"strategy": "partitions", "optimizer": optimizer, "validation": 0.2}
    judged(5, 4, 4.5, 4.2, 1)
    trained = train.fit("dense, softmax", split, patience=2, epochs=5, **told)
    judged(5, 4)
    until_best = train.fit("dense, softmax", split, epochs=2, **told)
    assert len(trained.history) == 4
    assert same_bits(trained.parameters, until_best.parameters)


# By train.py


@pytest.fixture
def run(spark, small_mnist, tmp_path, without_figures, capsys):
    """Call train.main on ten digits, into a model folder; gives its status and what it said."""

    def start(folder: str, *words) -> tuple[int, str]:
        places = ["--data", small_mnist, "--model-dir", tmp_path / folder, "--digits", "all"]
        places += ["--plots-dir", tmp_path, "--partitions", 3, "--checkpoint-every", 1]
        capsys.readouterr()
        status = train.main([str(word) for word in (*places, *words)])
        return status, capsys.readouterr().out

    return start


def left_by(folder) -> tuple[bytes, list[str]]:
    """The parameters, and the history without the seconds."""
    lines = [line.split(",") for line in (folder / "history.csv").read_text().split()]
    return (folder / "parameters.npz").read_bytes(), [line[:4] + line[5:] for line in lines]


@pytest.mark.parametrize(
    ("text", "strategy"),
    [(MLP, "averaging"), (SMALL_CONV, "partitions")]
    + [
        pytest.param(*other, marks=pytest.mark.long)
        for other in (
            (SMALL_CONV, "averaging"),
            (SMALL_CONV, "maps"),
            (MLP, "maps"),
            (MLP, "partitions"),
        )
    ],
)
def test_a_resumed_network_ends_with_the_bits_of_one_in_one_go(
    run, tmp_path, monkeypatch, strategy, text
):
    words = ["--network", text, "--strategy", strategy, "--epochs", 3, "--shift", 1]
    words += ["--validation", 0.2]
    assert run("whole", *words)[0] == 0
    training_rdd = train.training_rdd

    def power_cut(split, settings, epoch):
        if epoch == 2:
            raise SystemExit
        return training_rdd(split, settings, epoch)

    monkeypatch.setattr(train, "training_rdd", power_cut)
    with pytest.raises(SystemExit):
        run("parts", *words)
    monkeypatch.setattr(train, "training_rdd", training_rdd)
    status, said = run("parts", *words, "--resume")
    assert status == 0 and "epoch 2/3" in said and "epoch 1/3" not in said
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")
    header = (tmp_path / "whole/history.csv").read_text().splitlines()[0]
    assert header.endswith("seconds,validation_cost,validation_accuracy")


def test_patience_is_resumed_with_the_best_parameters_so_far(run, tmp_path, judged):
    words = ["--network", MLP, "--patience", 3, "--strategy", "partitions"]
    costs = [5.0, 4.0, 4.5, 4.2, 4.1, 1.0]
    judged(*costs)
    assert run("whole", *words, "--epochs", 9)[0] == 0
    judged(*costs[:4])
    assert run("parts", *words, "--epochs", 4)[0] == 0
    judged(*costs[4:])
    status, said = run("parts", *words, "--epochs", 9, "--resume")
    assert status == 0 and "epoch 5/9" in said and "epoch 6/9" not in said
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")
    judged()
    status, said = run("parts", *words, "--epochs", 9, "--resume")
    assert status == 0 and "epoch 6/9" not in said, "its patience is over"
    assert left_by(tmp_path / "parts") == left_by(tmp_path / "whole")


def test_a_linear_schedule_is_not_resumed_with_another_number_of_epochs(run, tmp_path):
    words = ["--network", MLP, "--strategy", "averaging"]
    assert run("model", *words, "--epochs", 2)[0] == 0
    before = left_by(tmp_path / "model")
    assert run("model", *words, "--epochs", 3, "--resume")[0] == 1
    assert left_by(tmp_path / "model") == before
    assert run("constant", *words, "--schedule", "constant", "--epochs", 1)[0] == 0
    resumed = [*words, "--schedule", "constant", "--epochs", 2, "--resume"]
    assert run("constant", *resumed)[0] == 0


def test_a_run_and_a_fit_of_the_same_settings_give_the_same_bits(run, tmp_path, split):
    assert run("model", "--network", MLP, "--epochs", 2)[0] == 0
    trained = train.fit(MLP, split, epochs=2)
    saved, _ = load_model(str(tmp_path / "model"))
    assert saved.network == trained.network
    assert same_bits(saved.parameters, trained.parameters)


def test_a_model_of_any_network_is_scored(
    run, tmp_path, small_mnist, test_split, without_scores_drawn
):
    assert run("model", "--network", SMALL_CONV, "--epochs", 1)[0] == 0
    places = ["--model-dir", str(tmp_path / "model"), "--plots-dir", str(tmp_path)]
    assert predict.main(places) == 0
    scores = json.loads((tmp_path / "model/metrics.json").read_text())
    trained, _ = load_model(str(tmp_path / "model"))
    X, y_true = rows_of(test_split, "float32")
    Y = predict.predict(trained, X)
    assert scores["accuracy"] == (Y.argmax(axis=1) == y_true.argmax(axis=1)).mean()


# Rates


def test_the_driver_steps_by_the_linear_schedule(split, monkeypatch):
    rates, sgd = [], OPTIMIZERS["sgd"]

    def spied(parameters, gradients, state, learning_rate, epoch):
        rates.append(learning_rate)
        return sgd(parameters, gradients, state, learning_rate, epoch)

    monkeypatch.setitem(OPTIMIZERS, "sgd", spied)
    told = {"strategy": "partitions", "optimizer": "sgd", "schedule": "linear"}
    train.fit("dense, softmax", split, epochs=4, learning_rate=0.8, **told)
    assert rates == pytest.approx([0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("fraction", [1.0, 0.5])
def test_averaging_with_a_falling_rate_is_that_by_hand(split, fraction, small_copies):
    told = {"strategy": "averaging", "optimizer": "momentum", "learning_rate": 0.2, "epochs": 3}
    told |= {"fraction": fraction, "batch_size": 32, "dtype": "float64"}
    trained = train.fit("dense 7, tanh, dense", split, schedule="linear", **told)
    theta = initial_parameters(read("dense 7, tanh, dense", 10), 1, "float64")
    for epoch in (1, 2, 3):
        ends, weights = [], []
        for partition, own in enumerate(split.blocks.glom().collect()):
            ((images, labels),) = own
            order = nn_math.random_stream(1, epoch, partition, 0).permutation(len(labels))
            drawn = order[: round(fraction * len(labels))]
            W1, B1, W2, B2 = theta
            V1, C1, V2, C2 = (np.zeros_like(array) for array in theta)
            for start in range(0, len(drawn), 32):
                X, y = images[drawn[start : start + 32]] / 255, labels[drawn[start : start + 32]]
                H = np.tanh(X @ W1 + B1)
                dB2 = H @ W2 + B2 - np.eye(10)[y]
                dB1 = dB2 @ W2.T * (1 - H**2)
                V1, C1 = 0.9 * V1 + X.T @ dB1 / len(y), 0.9 * C1 + dB1.mean(axis=0)
                V2, C2 = 0.9 * V2 + H.T @ dB2 / len(y), 0.9 * C2 + dB2.mean(axis=0)
                rate = 0.2 * (1 - (epoch - 1 + start / len(drawn)) / 3)
                W1, B1 = W1 - rate * V1, B1 - rate * C1
                W2, B2 = W2 - rate * V2, B2 - rate * C2
            ends.append((W1, B1, W2, B2))
            weights.append(len(drawn))
        theta = [np.average(arrays, axis=0, weights=weights) for arrays in zip(*ends, strict=True)]
    for one, other in zip(trained.parameters, theta, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-10)


def test_averaging_joins_neighbouring_partitions_in_order(spark, small_copies, capsys):
    whole = numbered_images(spark, 600)  # in four partitions
    with joined_for_averaging(whole, settings(strategy="averaging")) as joined:
        sizes = joined.blocks.map(lambda block: len(block[1])).glom().collect()
        assert sizes == [[200], [200], [200]] and numbers(joined) == list(range(600))
        assert "joins the 4 partitions into 3" in capsys.readouterr().out
        with joined_for_averaging(joined, settings(strategy="averaging")) as again:
            assert again is joined
    assert not joined.blocks.is_cached
    for strategy in ("maps", "partitions"):
        with joined_for_averaging(whole, settings(strategy=strategy)) as unchanged:
            assert unchanged is whole
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("partitions", [4, 60])
def test_averaging_on_more_partitions_learns_the_same_bits(
    spark, small_mnist, small_copies, partitions
):
    told = {"validation": 0.1, "shift": 1, "fraction": 0.7, "epochs": 2}
    few, many = (
        train.fit(MLP, data_loader.load(spark, small_mnist, "train", TEN, count), **told)
        for count in (3, partitions)
    )
    assert same_bits(few.parameters, many.parameters)
    assert few.history[-1].validation_cost == many.history[-1].validation_cost


# What is read from a folder


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            "dense 13, relu, dense, softmax",
            "parameters.npz: W1 has shape (784, 12) where (784, 13)",
        ),
        ("conv 3 5, relu, dense, softmax", "parameters.npz: W1 has shape (784, 12) where (3, 1, 5"),
        ("dense, softmax", "parameters.npz: it holds B2, W2, unknown to this network"),
        ("dense 12, relu, dense 9, relu, dense", "parameters.npz: W3, B3 is missing"),
        ("dense 12, rellu, dense", "settings.json: network: dense 12, >>rellu<<, dense: no such"),
        ("dense 12, relu, dense 9, softmax", "settings.json: network: dense 12, relu, >>dense 9<<"),
        ("__import__('os').mkdir('sprung')", "settings.json: network: >>__import__"),
        ("dense 12, relu, dense\x1b[2J", "settings.json: network: "),
        (["dense 12"], "settings.json: not the settings of a run"),
        (None, "settings.json: not the settings of a run"),
    ],
)
def test_settings_that_name_another_network_than_the_arrays_are_refused(
    mlp_model, tmp_path, monkeypatch, capsys, network, said
):
    monkeypatch.chdir(tmp_path)
    for name in ("settings.json", "parameters.npz"):
        (tmp_path / name).write_bytes((mlp_model / name).read_bytes())
    told = json.loads((tmp_path / "settings.json").read_text())
    told["settings"]["network"] = network
    (tmp_path / "settings.json").write_text(json.dumps(told))
    capsys.readouterr()
    assert predict.main(["digit.png", "--model-dir", str(tmp_path)]) == 1
    output, error = capsys.readouterr()
    assert output == "" and len(error.splitlines()) == 1 and error[:-1].isprintable()
    assert error.startswith(f"error: {tmp_path}/{said}")
    assert not (tmp_path / "sprung").exists()


@pytest.fixture(scope="module")
def mlp_model(split, tmp_path_factory):
    """A model folder of a small network, as train.py leaves it, but for what does not matter."""
    folder = tmp_path_factory.mktemp("mlp")
    trained = train.fit(MLP, split, epochs=1)
    model_files.save_parameters(str(folder), trained.parameters)
    run = settings_content(complete({"network": MLP, "digits": TEN}), split)
    model_files.save_json(str(folder), model_files.SETTINGS, run)
    return folder


def test_a_checkpoint_of_another_network_is_not_resumed(run, tmp_path):
    assert run("model", "--network", MLP, "--epochs", 1)[0] == 0
    loaded, _ = checkpoints.load(str(tmp_path / "model"))
    assert [array.shape for array in loaded.parameters] == [(784, 12), (1, 12), (12, 10), (1, 10)]
    other = MLP.replace("12", "13")
    assert run("model", "--network", other, "--epochs", 1, "--resume")[0] == 1


def test_a_data_set_that_is_dark_on_light_is_said_to_be_so(small_mnist, tmp_path, capsys):
    images = Path(small_mnist, "train-images-idx3-ubyte").read_bytes()
    inverted = images[:16] + bytes(255 - byte for byte in images[16:])
    (tmp_path / "train-images-idx3-ubyte").write_bytes(inverted)
    shutil.copy(Path(small_mnist, "train-labels-idx1-ubyte"), tmp_path)
    for data, count in ((str(tmp_path), 1), (small_mnist, 0)):
        words = ["--data", data, "--model-dir", str(tmp_path / "m"), "--plots-dir", str(tmp_path)]
        assert train.main([*words, "--epochs", "1", "--strategy", "partitions"]) == 0
        assert (
            capsys.readouterr().out.count("is dark on light; predict.py and the page turn") == count
        )
