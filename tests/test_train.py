"""The epoch: the chain of maps and the ways beside it, against full-matrix NumPy, on real Spark."""

import csv
import functools
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pyspark import RDD

import data_loader
import nn_math
import train
from images.blocks import as_rows, shifted, warped
from network.sequential import batch_tuple, initial_parameters, read
from pictures import figures
from results import model_files
from training import sums as in_order
from training.data import hold_out, with_changes
from training.optimizers import OPTIMIZERS
from training.partitions import partitions_epoch
from training.recipes import STRATEGIES
from training.settings import Settings, complete, network_of
from training.steps import driver_step
from training.strategies import epoch_function

ROOT = Path(train.__file__).parent


def settings(**changed) -> Settings:
    """The settings of an epoch on all ten digits: the defaults, and what is changed."""
    return complete({"digits": range(10), **changed})


def epoch_of(settings: Settings, rdd: RDD, parameters, epoch: int) -> nn_math.Sums:
    return epoch_function(settings, train.maps_epoch)(rdd, parameters, settings, epoch)


@pytest.fixture(scope="module")
def split(spark, small_mnist):
    return data_loader.load(spark, small_mnist, "train", range(10), partitions=3)


def training_rdd(split, strategy: str, dtype: str = "float64") -> RDD:
    return data_loader.image_label_pairs(split, dtype) if strategy == "maps" else split.blocks


def written_out(X, y, p) -> nn_math.Sums:
    """Forward and backward by the chain rule, written out for a whole matrix without nn_math."""
    H = 1 / (1 + np.exp(-(X @ p.W1 + p.B1)))
    Y = 1 / (1 + np.exp(-(H @ p.W2 + p.B2)))
    dB2 = (Y - y) * Y * (1 - Y)
    dB1 = np.einsum("nk,hk->nh", dB2, p.W2) * H * (1 - H)
    return nn_math.Sums(
        E=((Y - y) ** 2).sum() / 2,
        gradients=(
            np.einsum("ni,nh->ih", X, dB1),
            dB1.sum(axis=0, keepdims=True),
            np.einsum("nh,nk->hk", H, dB2),
            dB2.sum(axis=0, keepdims=True),
        ),
        Acc=int((np.argmax(Y, 1) == np.argmax(y, 1)).sum()),
        n=len(X),
    )


def assert_close(sums, expected, tolerance=1e-10):
    assert (sums.n, sums.Acc) == (expected.n, expected.Acc)
    names = "E", "dW1", "dB1", "dW2", "dB2"
    pairs = zip((sums.E, *sums.gradients), (expected.E, *expected.gradients), strict=True)
    for name, (one, other) in zip(names, pairs, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance, err_msg=name)


def test_the_chain_is_the_full_matrix_computation_of_its_mini_batch(split):
    train_rdd = training_rdd(split, "maps")
    p = nn_math.initial_parameters(5, 64, 10, "float64")
    sums = train.maps_epoch(train_rdd, p, settings(seed=7), epoch=4)
    seed = int(nn_math.random_stream(7, 4).integers(2**31))
    rows = train_rdd.sample(False, 0.7, seed).collect()
    X, y = (np.concatenate(part) for part in zip(*rows, strict=True))
    assert 350 < len(X) < 490  # 70% of 600, give or take six standard deviations
    assert_close(sums, written_out(X, y, p))


def test_partitions_take_the_same_step_as_the_chain_on_the_same_images(split):
    p = nn_math.initial_parameters(5, 64, 10, "float64")
    everything = settings(fraction=1.0, dtype="float64")
    by_maps = train.maps_epoch(training_rdd(split, "maps"), p, everything, epoch=1)
    by_blocks = partitions_epoch(split.blocks, p, everything, epoch=1)
    assert by_blocks.n == 600
    assert_close(by_blocks, by_maps)


def test_partitions_draw_a_new_share_of_every_block_each_epoch(split):
    p = nn_math.initial_parameters(5, 8, 10)
    sizes = [
        partitions_epoch(split.blocks, p, settings(seed=seed, hidden=8), epoch).n
        for seed, epoch in ((1, 1), (1, 2), (1, 3), (2, 1))
    ]
    assert len(set(sizes)) > 1
    assert all(350 < size < 490 for size in sizes)


WITH_CHANCE = "dense 5, relu, dropout 0.4, dense, softmax"


@pytest.fixture(scope="module")
def uneven(split) -> list:
    """Two partitions, of one block and of two; and what they hold."""
    blocks = split.blocks.filter(lambda block: len(block[1]) > 0).coalesce(2)
    return [blocks, blocks.glom().collect()]


def test_each_block_of_each_partition_draws_by_its_own_key(uneven):
    """In the strategy `partitions`: its share of the images, and what dropout leaves out."""
    blocks, held = uneven
    chosen = settings(network=WITH_CHANCE, strategy="partitions", seed=3, dtype="float64")
    network = network_of(chosen)
    p = initial_parameters(network, 3, "float64")
    expected = []
    for partition, blocks_here in enumerate(held):
        for number, (images, labels) in enumerate(blocks_here):
            key = 3, 6, partition, number
            drawn = nn_math.random_stream(*key).random(len(labels)) < 0.7
            X, y = as_rows(images[drawn], labels[drawn], 10, "float64")
            expected.append(batch_tuple(network, p, X, y, key))
    assert len(expected) == 3
    expected = nn_math.as_sums(functools.reduce(nn_math.add, expected))
    sums = partitions_epoch(blocks, p, chosen, 6)
    assert (sums.n, sums.Acc) == (expected.n, expected.Acc)
    assert sums.E == pytest.approx(expected.E, rel=1e-12)
    for one, other in zip(sums.gradients, expected.gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_averaging_draws_by_its_keys_and_tells_what_each_image_met(uneven):
    """Adam, dropout and a falling rate, whose state goes on from block to block of a partition."""
    blocks, held = uneven
    told = {"network": WITH_CHANCE, "strategy": "averaging", "optimizer": "adam", "epochs": 8}
    told |= {"fraction": 0.5, "batch_size": 40, "learning_rate": 0.01, "schedule": "linear"}
    chosen = settings(**told, seed=3, dtype="float64")
    network = network_of(chosen)
    p = initial_parameters(network, 3, "float64")
    E, Acc, n, ends = 0.0, 0, 0, []
    for partition, blocks_here in enumerate(held):
        theta, state, t, met = p, {}, 0, 0
        drawn = sum(round(0.5 * len(labels)) for _, labels in blocks_here)
        for number, (images, labels) in enumerate(blocks_here):
            key = 3, 6, partition, number
            order = nn_math.random_stream(*key).permutation(len(labels))[: round(len(labels) / 2)]
            for start in range(0, len(order), 40):
                t, batch = t + 1, order[start : start + 40]
                X, y = as_rows(images[batch], labels[batch], 10, "float64")
                g = nn_math.as_sums(batch_tuple(network, theta, X, y, (*key, t)))
                rate = 0.01 * (8 - 5 - met / drawn) / 8
                means = tuple(gradient / g.n for gradient in g.gradients)
                theta, state = OPTIMIZERS["adam"](theta, means, state, rate, t)
                E, Acc, met = E + g.E, Acc + g.Acc, met + g.n
        n += met
        ends.append((met, theta))
    sums = epoch_of(chosen, blocks, p, 6)
    assert (sums.n, sums.Acc) == (n, Acc) and sums.E == pytest.approx(E, rel=1e-10)
    for number, gradient in enumerate(sums.gradients):
        mean = sum(met * theta[number] for met, theta in ends) / n
        np.testing.assert_allclose(p[number] - gradient / n, mean, rtol=1e-9, atol=1e-11)


def test_each_block_is_changed_and_held_out_by_its_own_key(split, uneven):
    blocks, held = uneven
    there = split._replace(blocks=blocks)
    changes = settings(seed=5, shift=3, rotation=10, zoom=0.1)
    changed = with_changes(there, changes, 2).blocks.glom().collect()
    rest, held_out = (part.blocks.glom().collect() for part in hold_out(there, 0.3, 5))
    for partition, blocks_here in enumerate(held):
        for number, (images, labels) in enumerate(blocks_here):
            moved = nn_math.random_stream(5, 2, partition, number, 1)
            expected = shifted(warped(images, moved, 10.0, 0.1), moved, 3)
            np.testing.assert_array_equal(changed[partition][number][0], expected)
            np.testing.assert_array_equal(changed[partition][number][1], labels)
            drawn = nn_math.random_stream(5, 0, partition, number).random(len(labels)) < 0.3
            for part, those in ((held_out, drawn), (rest, ~drawn)):
                np.testing.assert_array_equal(part[partition][number][0], images[those])
                np.testing.assert_array_equal(part[partition][number][1], labels[those])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_line_of_the_history_is_the_mean_over_the_mini_batch(split, strategy, small_copies):
    told = {"strategy": strategy, "hidden": 4, "dtype": "float64", "fraction": 0.5, "epochs": 1}
    chosen = settings(**told)
    p = initial_parameters(network_of(chosen), 1, "float64")
    sums = epoch_of(chosen, training_rdd(split, strategy), p, 1)
    (line,) = train.fit("article", split, **told).history
    assert (line.epoch, line.batch_size) == (1, sums.n) and sums.n < 400
    assert line.cost == pytest.approx(sums.E / sums.n, rel=1e-12)
    assert line.accuracy == sums.Acc / sums.n and 0 < line.accuracy < 1
    assert line.seconds > 0


def test_averaging_is_the_mean_of_what_each_partition_learned_weighted_by_images(spark, split):
    p = nn_math.initial_parameters(5, 8, 10, "float64")
    chosen = settings(
        strategy="averaging",
        hidden=8,
        dtype="float64",
        optimizer="sgd",
        schedule="constant",
        fraction=1.0,
        batch_size=16,
        learning_rate=0.5,
        weight_decay=0.01,
    )
    uneven = split.blocks.filter(lambda block: len(block[1]) > 0).coalesce(2)
    sums = epoch_of(chosen, uneven, p, 2)
    expected, images = [0, 0, 0, 0], 0
    for partition, own in enumerate(uneven.glom().collect()):
        W1, B1, W2, B2 = p
        for number, (pixels, labels) in enumerate(own):
            order = nn_math.random_stream(chosen.seed, 2, partition, number).permutation(
                len(labels)
            )
            for start in range(0, len(order), 16):
                batch = order[start : start + 16]
                g = written_out(
                    pixels[batch] / 255,
                    np.eye(10)[labels[batch]],
                    nn_math.Parameters(W1, B1, W2, B2),
                )
                dW1, dB1, dW2, dB2 = (gradient / g.n for gradient in g.gradients)
                W1, B1 = W1 - 0.5 * (dW1 + 0.01 * W1), B1 - 0.5 * dB1
                W2, B2 = W2 - 0.5 * (dW2 + 0.01 * W2), B2 - 0.5 * dB2
        own_images = sum(len(labels) for _, labels in own)
        expected = [e + own_images * a for e, a in zip(expected, (W1, B1, W2, B2), strict=True)]
        images += own_images
    assert sums.n == images == 600
    stepped, _ = driver_step(chosen)(p, nn_math.mean_gradients(sums), {}, 0.5, 2)
    for name, got, mean in zip(p._fields, stepped, expected, strict=True):
        np.testing.assert_allclose(got, mean / images, rtol=1e-9, atol=1e-12, err_msg=name)


def test_the_tree_adds_the_same_bits_as_one_sum_in_order(spark, monkeypatch):
    numbers = np.random.default_rng(2).normal(size=10)

    def sums_of(value):
        return float(value), *(np.full((1, 2), value) for _ in range(4)), 1, 1

    numbered = spark.parallelize(list(enumerate(numbers.tolist())), 10).mapValues(sums_of)
    flat = in_order.sum_in_order(numbered)
    assert flat[-2:] == (10, 10)
    assert flat[0] == sum(numbers.tolist()) == pytest.approx(math.fsum(numbers.tolist()))
    monkeypatch.setattr(in_order, "FAN_IN", 3)
    # The same neighbours in the same order, however the pieces come in: by hand, in two levels.
    level = [sum(numbers[i : i + 3].tolist()) for i in range(0, 10, 3)]
    by_hand = sum([sum(level[0:3]), sum(level[3:])])
    assert by_hand != flat[0], "that proves nothing"
    shuffled = numbered.repartition(10)
    for rdd in (numbered, shuffled):
        assert in_order.sum_in_order(rdd)[0] == by_hand


def count_steps(monkeypatch) -> dict[str, int]:
    steps = {"map": 0, "reduce": 0, "sample": 0}

    def counted(name):
        original = getattr(RDD, name)

        def step(self, *arguments, **named):
            steps[name] += 1
            return original(self, *arguments, **named)

        return step

    for name in steps:
        monkeypatch.setattr(RDD, name, counted(name))
    return steps


def test_an_epoch_of_the_article_is_one_sample_eight_maps_and_one_reduce(split, monkeypatch):
    train_rdd = training_rdd(split, "maps")
    steps = count_steps(monkeypatch)
    train.maps_epoch(
        train_rdd, nn_math.initial_parameters(1, 4, 10, "float64"), settings(hidden=4), 1
    )
    assert steps == {"map": 8, "reduce": 1, "sample": 1}


def test_each_map_hands_on_the_tuple_of_the_design(split, monkeypatch):
    widths = []
    original = RDD.map

    def spied(self, function, *rest):
        mapped = original(self, function, *rest)
        widths.append(len(mapped.first()))
        return mapped

    # One pair in one partition: of a task that stops early, Spark throws the worker away.
    train_rdd = split.blocks.context.parallelize(training_rdd(split, "maps").collect()[:1], 1)
    monkeypatch.setattr(RDD, "map", spied)
    train.maps_epoch(
        train_rdd,
        nn_math.initial_parameters(1, 4, 10, "float64"),
        settings(hidden=4, fraction=1.0),
        1,
    )
    assert widths == [3, 4, 5, 6, 6, 6, 6, 7]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_broadcast_is_released_after_the_epoch(split, strategy, monkeypatch):
    broadcasts = []
    original = split.blocks.context.broadcast
    monkeypatch.setattr(
        split.blocks.context,
        "broadcast",
        lambda value: broadcasts.append(original(value)) or broadcasts[-1],
    )
    rdd = training_rdd(split, strategy)
    chosen = settings(hidden=4, strategy=strategy)
    epoch_of(chosen, rdd, nn_math.initial_parameters(1, 4, 10), 1)
    assert len(broadcasts) == 1
    assert not os.path.exists(broadcasts[0]._path)


@pytest.fixture
def run(spark, small_mnist, tmp_path):
    """Call train.main on the small MNIST, in the suite's Spark; gives its status."""

    def start(*words) -> int:
        places = "--data", small_mnist, "--model-dir", tmp_path / "model"
        return train.main(
            [str(word) for word in (*places, "--plots-dir", tmp_path / "plots", *words)]
        )

    return start


@pytest.mark.long
def test_a_short_training_on_mnist_lowers_the_cost_and_learns(spark, mnist, tmp_path):
    status = train.main(
        ["--data", mnist, "--model-dir", str(tmp_path), "--plots-dir", str(tmp_path)]
        + "--strategy partitions --epochs 40 --learning-rate 0.3".split()
    )
    assert status == 0
    history = read_history(tmp_path)
    assert history[-1].cost < 0.4 * history[0].cost
    assert history[-1].accuracy > 0.97
    # The article's sizes: 12,665 images, of which some 70% are drawn.
    assert all(abs(epoch.batch_size - 8865) < 6 * math.sqrt(12665 * 0.7 * 0.3) for epoch in history)


def test_a_run_draws_what_training_changed_in_the_hidden_units(run, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(figures, "draw_training", lambda *told: drawn.append(told))
    assert run("--digits", "3", "7", "9", "--hidden", "2", "--epochs", "2", "--seed", "5") == 0
    ((_, trained, before, x, title),) = drawn
    network = read("dense 2, sigmoid, dense 3, sigmoid", 3)
    saved = model_files.load_parameters(str(tmp_path / "model"), network)
    assert trained.network == network and trained.digits == [3, 7, 9]
    for one, other in zip(trained.parameters, saved, strict=True):
        np.testing.assert_array_equal(one, other)
    for one, other in zip(before, initial_parameters(network, 5), strict=True):
        np.testing.assert_array_equal(one, other)
    assert (saved[0] != before[0]).any()
    assert len(trained.history) == 2 and x.shape == (1, 784)
    assert title.endswith(", digits 3, 7 and 9, maps, dense 2, sigmoid, dense 3, sigmoid")


def read_history(folder) -> list[model_files.Epoch]:
    kinds = model_files.Epoch.__annotations__
    with open(folder / "history.csv") as file:
        return [
            model_files.Epoch(**{name: kinds[name](value) for name, value in row.items()})
            for row in csv.DictReader(file)
        ]


def test_a_run_leaves_model_history_settings_and_figures(run, tmp_path):
    assert run("--epochs", 3, "--digits", 3, 7, 8, "--hidden", 5, "--seed", 9) == 0
    network = read("dense 5, sigmoid, dense, sigmoid", 3)
    parameters = model_files.load_parameters(str(tmp_path / "model"), network)
    assert [array.shape for array in parameters] == [(784, 5), (1, 5), (5, 3), (1, 3)]
    assert {array.dtype for array in parameters} == {np.dtype("float32")}
    assert [epoch.epoch for epoch in read_history(tmp_path / "model")] == [1, 2, 3]
    said = json.loads((tmp_path / "model/settings.json").read_text())
    assert said["settings"]["seed"] == 9 and said["settings"]["digits"] == [3, 7, 8]
    assert set(said["versions"]) >= {"python", "numpy", "pyspark"}
    assert len(said["data"]["sha256"]["train-images-idx3-ubyte"]) == 64
    assert said["data"]["name"] != "MNIST"  # a cut of it
    assert len(said["data"]["counts"]) == 3 and sum(said["data"]["counts"]) == said["images"]
    figures = {"cost.png", "accuracy.png", "hidden_units.png"}
    assert set(os.listdir(tmp_path / "plots")) == figures


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_strategy_learns_ten_digits_with_every_optimizer(split, strategy, optimizer):
    told = {"strategy": strategy, "optimizer": optimizer, "hidden": 16, "batch_size": 8}
    history = train.fit("article", split, epochs=4, **told).history
    assert history[-1].cost < 0.98 * history[0].cost


@pytest.mark.long
def test_batches_of_one_image_learn_ten_digits(spark, mnist):
    split = data_loader.load(spark, mnist, "train", range(10), partitions=2)
    options = {"strategy": "averaging", "batch_size": 1, "epochs": 2, "fraction": 0.3}
    assert train.fit("article", split, **options).history[-1].accuracy > 0.85


def test_an_empty_mini_batch_is_told_plainly(run, capsys):
    for strategy in STRATEGIES:
        assert run("--fraction", 1e-9, "--strategy", strategy) == 1
        error = capsys.readouterr().err
        assert "a mini-batch is empty" in error and "give a larger --fraction" in error


def test_the_bold_driver_speeds_up_and_brakes(run, tmp_path, monkeypatch):
    rates = []
    original = OPTIMIZERS["sgd"]

    def spied(parameters, gradients, state, learning_rate, epoch):
        rates.append(learning_rate)
        return original(parameters, gradients, state, learning_rate, epoch)

    monkeypatch.setitem(OPTIMIZERS, "sgd", spied)
    words = "--strategy partitions --bold-driver --epochs 8 --learning-rate 2".split()
    assert run(*words) == 0
    costs = [epoch.cost for epoch in read_history(tmp_path / "model")]
    expected = [2.0]
    for before, after in zip(costs[:-2], costs[1:-1], strict=True):
        expected.append(expected[-1] * (1.05 if after < before else 0.5))
    assert rates[0] == rates[1] == 2  # nothing to compare before two epochs are known
    assert rates[1:] == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["maps", pytest.param("partitions", marks=pytest.mark.long)])
def test_ctrl_c_saves_what_there_is_and_resume_goes_on_to_the_same_bits(
    run, small_mnist, tmp_path, undisturbed, strategy
):
    words = ["--data", small_mnist, "--epochs", "100000", "--hidden", "4", "--strategy", strategy]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "train.py"), *words],
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in process.stdout:
            if line.startswith("epoch 3/"):
                os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to Java too
                break
        output, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert errors == ""
    history = read_history(tmp_path / "model")
    assert len(history) >= 3
    network = read("dense 4, sigmoid, dense, sigmoid", 2)
    assert model_files.load_parameters(str(tmp_path / "model"), network)[0].shape == (784, 4)
    assert (tmp_path / "plots/cost.png").exists()
    assert "stopped after epoch" in output and "--resume" in output
    more = ["--hidden", "4", "--strategy", strategy, "--epochs", len(history) + 2]
    assert run(*more, "--resume") == 0
    assert len(read_history(tmp_path / "model")) == len(history) + 2
    ended = (tmp_path / "model/parameters.npz").read_bytes()
    assert ended == undisturbed("--data", small_mnist, *more)
