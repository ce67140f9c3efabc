"""Scores, pictures and own images, against plain NumPy on the same parameters."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import write_data
from from_outside import as_a_person
from PIL import Image

import data_loader
import predict
import train
from images import sources
from network.sequential import initial_parameters, read
from pictures import figures
from results import doubt, labels
from results.answers import Answer, first_answers, largest_errors
from results.loading import load_model
from results.model_files import Trained
from results.scores import metrics, metrics_table, never_answered

ROOT = Path(predict.__file__).parent


@pytest.fixture(scope="module")
def model(spark, medium_mnist, tmp_path_factory) -> str:
    """A network for all ten digits, trained for a few epochs."""
    folder = str(tmp_path_factory.mktemp("model"))
    words = "--digits all --strategy averaging --partitions 1 --batch-size 16 --learning-rate 6"
    words += " --optimizer sgd --schedule constant"
    places = ["--data", medium_mnist, "--model-dir", folder, "--plots-dir", folder]
    assert train.main([*places, *words.split(), "--epochs", "4", "--fraction", "1"]) == 0
    return folder


@pytest.fixture(scope="module")
def scored(spark, medium_mnist, model, tmp_path_factory) -> Path:
    """The figures that scoring that network drew; its metrics are in the model folder."""
    plots = tmp_path_factory.mktemp("plots")
    assert predict.main(["--model-dir", model, "--plots-dir", str(plots)]) == 0
    return plots


def outputs_in_numpy(model, medium_mnist) -> tuple[np.ndarray, np.ndarray]:
    """Y (1000, 10) and the labels (1000,), with the formulas written out."""
    images, labels, _ = sources.find(medium_mnist, "test").read(range(10))
    p = np.load(Path(model) / "parameters.npz")
    H = 1 / (1 + np.exp(-(images / 255.0 @ p["W1"] + p["B1"])))
    return 1 / (1 + np.exp(-(H @ p["W2"] + p["B2"]))), labels


def test_metrics_are_those_of_an_independent_count(scored, model, medium_mnist):
    Y, labels = outputs_in_numpy(model, medium_mnist)
    said = json.loads((Path(model) / "metrics.json").read_text())
    assert said["accuracy"] == (Y.argmax(axis=1) == labels).mean() > 0.9
    for digit in range(10):
        yes, is_digit = Y[:, digit] > 0.5, labels == digit
        tp, fp = sum(yes & is_digit), sum(yes & ~is_digit)
        fn, tn = sum(~yes & is_digit), sum(~yes & ~is_digit)
        scores = said["classes"][str(digit)]
        assert [scores[name] for name in ("tp", "fp", "fn", "tn")] == [tp, fp, fn, tn]
        assert scores["precision"] == pytest.approx(tp / (tp + fp))
        assert scores["recall"] == pytest.approx(tp / (tp + fn))
        assert scores["f1"] == pytest.approx(tp / (tp + (fp + fn) / 2))


def test_scoring_is_one_map_and_one_reduce(spark, small_mnist, monkeypatch):
    split = data_loader.load(spark, small_mnist, "test", range(10))
    test_rdd = data_loader.image_label_pairs(split, "float32")
    steps = []
    for name in ("map", "reduce"):
        original = getattr(type(test_rdd), name)

        def counted(self, function, name=name, original=original):
            steps.append(name)
            return original(self, function)

        monkeypatch.setattr(f"pyspark.RDD.{name}", counted)
    network = read("dense 4, sigmoid, dense, sigmoid", 10)
    trained = Trained(network, initial_parameters(network, 1), list(range(10)), [])
    _, confusion = predict.score(test_rdd, trained)
    assert steps == ["map", "reduce"]
    assert confusion.sum() == 300


def test_the_confusion_matrix_and_the_worst_mistakes_are_those_of_numpy(spark, model, medium_mnist):
    Y, labels = outputs_in_numpy(model, medium_mnist)
    split = data_loader.load(spark, medium_mnist, "test", range(10))
    test_rdd = data_loader.image_label_pairs(split, "float32")
    trained, _ = load_model(model)
    _, confusion = predict.score(test_rdd, trained)
    expected = np.zeros((10, 10), int)
    np.add.at(expected, (labels, Y.argmax(axis=1)), 1)
    np.testing.assert_array_equal(confusion, expected)
    first = first_answers(test_rdd, trained, 100)
    assert [answer.truth for answer in first] == labels[:100].tolist()
    np.testing.assert_allclose([answer.Y for answer in first], Y[:100], rtol=1e-4, atol=1e-6)
    worst = largest_errors(test_rdd, trained, 15, only_mistakes=True)
    errors = ((Y - np.eye(10)[labels]) ** 2).sum(axis=1) / 2
    wrong = Y.argmax(axis=1) != labels  # a right answer is no mistake, however unsure
    errors, labels = errors[wrong], labels[wrong]
    np.testing.assert_allclose([a.E for a in worst], np.sort(errors)[::-1][:15], rtol=1e-4)
    assert [a.truth for a in worst[:5]] == labels[np.argsort(-errors)[:5]].tolist()


def confused(answers: list[int], images: int = 9) -> np.ndarray:
    """A confusion matrix: so many test images of each class, all of which get these answers."""
    return images * np.repeat(np.array([answers]), len(answers), axis=0)


FOUND, NONE = np.eye(3, dtype=int), np.zeros((3, 3), int)


@pytest.mark.parametrize(
    ("confusion", "counts", "note"),
    [
        (FOUND, [50, 1, 50], None),
        (FOUND * [[1], [0], [1]], [50, 1, 50], None),  # without test images of a class
        (NONE, [50, 1, 50], None),
        (
            confused([1, 0, 0]),
            [6131, 120, 9],
            "no test image was called b or c: the network answers a for all of them; the training "
            "set has 120 of b, 9 of c and 6,131 of a; add images of the rare classes",
        ),
        (
            confused([1, 0, 1]),
            [60, 10, 50],
            "no test image was called b; the training set has 10 of b and 60 of a; add images of "
            "the rare classes",
        ),
        # Too few images are not the reason here.
        (confused([1, 0, 1]), [5, 6, 5], "no test image was called b; the training set has 6 of b"),
        (confused([1, 0, 1]), (), "no test image was called b"),
    ],
)
def test_classes_that_are_never_the_answer_are_named(confusion, counts, note):
    said = never_answered(confusion, "abc", counts)
    assert said == (None if note is None else f"note: {note}")


def test_of_many_classes_that_are_never_the_answer_a_few_are_named():
    names = [str(number) for number in range(62)]
    confusion = confused([0] * 61 + [1])
    said = never_answered(confusion, names, [7] * 61 + [700])
    assert said == (
        "note: no test image was called 0, 1, 2, 3, 4 or 56 others: the network answers 61 for all "
        "of them; the training set has 7 of 0, 7 of 1, 7 of 2, 7 of 3, 7 of 4 and 700 of 61; add "
        "images of the rare classes"
    )


def test_a_run_on_few_images_of_a_class_says_that_it_is_never_the_answer(
    spark, ten_thousand, tmp_path, without_figures, without_scores_drawn, capsys
):
    images, labels = ten_thousand
    threes, eights = (np.flatnonzero(labels == digit) for digit in (3, 8))
    chosen = np.concatenate([threes[:500], eights[:10], threes[500:600], eights[500:600]])
    data = write_data(tmp_path, images[chosen], labels[chosen], 510)
    places = ["--model-dir", str(tmp_path), "--plots-dir", str(tmp_path)]
    words = ["--data", data, "--digits", "3", "8", "--strategy", "partitions", "--epochs", "10"]
    assert train.main([*places, *words, "--score"]) == 0
    note = "note: no test image was called 8: the network answers 3 for all of them"
    counts = "; the training set has 10 of 8 and 500 of 3; add images of the rare classes"
    assert note + counts in capsys.readouterr().out.splitlines()
    run = json.loads((tmp_path / "settings.json").read_text())
    assert run["data"].pop("counts") == [500, 10]
    (tmp_path / "settings.json").write_text(json.dumps(run))  # as older versions wrote it
    assert predict.main(places) == 0
    assert note in capsys.readouterr().out.splitlines()


def test_only_mistakes_are_shown_as_mistakes(spark):
    x = np.zeros((2, 784), "float32")
    x[:, 0] = 1, -1
    parameters = (
        *(np.eye(784, 1), np.zeros((1, 1))),
        *(np.array([[-20.0, 20.0]]), np.array([[10.0, -10.0]])),
    )
    network = read("dense 1, sigmoid, dense, sigmoid", 2)
    pairs = [(x[:1], [0, 1]), (x[1:], [1, 0]), (x[1:], [0, 1])]  # right, right, wrong
    test_rdd = spark.parallelize([(image, np.array([y])) for image, y in pairs], 2)
    trained = Trained(network, parameters, [0, 1], [])
    mistakes = largest_errors(test_rdd, trained, 15, only_mistakes=True)
    assert len(mistakes) == 1 and len(largest_errors(test_rdd, trained, 15)) == 3
    assert mistakes[0].truth == 1 and mistakes[0].x[0] == -1


def test_scoring_draws_three_figures_that_name_the_data_set(scored):
    assert {"confusion_matrix.png", "predictions.png", "mistakes.png"} <= set(os.listdir(scored))
    answer = Answer(np.zeros(784), np.array([0.2, 0.9]), 0.1, 0)
    drawn = (
        figures.confusion_matrix(np.eye(2, dtype=int), ["3", "7"], "MNIST $1"),
        figures.answers([answer], [3, 7], "MNIST $1"),
    )
    for figure in drawn:
        texts = [text.get_text() for text in figure.findobj(lambda a: hasattr(a, "get_text"))]
        assert any("MNIST $1" in text for text in texts)
    assert any("says 7 (0.90)\ntruth 3" in text for text in texts)


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch):
    """Wide enough for pytest's long paths: a file's name and its answer stand in one row."""
    monkeypatch.setenv("COLUMNS", "400")


def draw_test_images(medium_mnist, folder: Path, count: int) -> list[str]:
    images, _, _ = sources.find(medium_mnist, "test").read(range(10))
    files = []
    for number, image in enumerate(images[:count]):
        light = image if number % 2 else 255 - image
        picture = Image.fromarray(light.reshape(28, 28)).resize((100, 100))
        files.append(str(folder / f"digit {number}.png"))
        picture.save(files[-1])
    return files


def test_own_images_get_the_answer_of_the_original(model, medium_mnist, tmp_path, capsys):
    files = draw_test_images(medium_mnist, tmp_path, 20)
    assert predict.main([*files, "--model-dir", model, "--json"]) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [answer["file"] for answer in said] == files
    Y, _ = outputs_in_numpy(model, medium_mnist)
    agreed = [answer["digit"] == y.argmax() for answer, y in zip(said, Y[:20], strict=True)]
    assert sum(agreed) >= 18
    for answer in said:
        assert list(answer["outputs"]) == [str(digit) for digit in range(10)]
        ranking = sorted(answer["outputs"], key=answer["outputs"].get, reverse=True)
        assert ranking[:2] == [str(answer["digit"]), str(answer["runner_up"])]
        assert answer["unsure"] is (answer["reason"] is not None)
    assert sum(answer["unsure"] for answer in said) <= 4  # after only four epochs


def test_a_bad_file_is_told_in_one_line_and_the_others_are_answered(
    model, medium_mnist, tmp_path, capsys
):
    files = draw_test_images(medium_mnist, tmp_path, 2)
    text, blank = tmp_path / "notes.png", tmp_path / "blank.png"
    text.write_text("not an image")
    Image.new("L", (40, 40), 255).save(blank)
    missing = tmp_path / "missing.png"
    words = [files[0], text, blank, missing, files[1]]
    assert predict.main([str(word) for word in words] + ["--model-dir", model]) == 1
    said = capsys.readouterr()
    rows = [row for row in said.out.splitlines() if not row.startswith("  unsure: ")]
    assert len(rows) == 3  # a heading and two answers
    for line, file in zip(said.err.splitlines(), (text, blank, missing), strict=True):
        assert line.startswith(f"error: {file}: ")
    assert predict.main([str(missing), "--model-dir", model]) == 1
    assert capsys.readouterr().out == "", "a heading of nothing"


def test_show_draws_what_the_network_saw(model, medium_mnist, tmp_path):
    files = draw_test_images(medium_mnist, tmp_path, 7)
    places = ["--model-dir", model, "--plots-dir", str(tmp_path)]
    assert predict.main([*files, *places, "--show"]) == 0
    with Image.open(tmp_path / "inputs.png") as picture:
        assert picture.width > 600


def test_a_user_trains_then_scores_then_asks_for_the_digit_in_an_image(small_mnist, tmp_path):
    """As one types it. The image needs neither Spark nor Java: there is none then."""

    def typed(*words: str, **variables: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, str(ROOT / words[0]), *words[1:]],
            env=as_a_person(**variables),
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, ""), done.stdout
        return done.stdout.splitlines()

    said = typed("train.py", "--data", small_mnist, "--epochs", "3", "--score")
    epochs = [line for line in said if line.startswith("epoch ")]
    assert len(epochs) == 3 and epochs[-1].startswith("epoch 3/3  cost 0.")
    assert any(re.match(r"accuracy .*: 0\.\d{4}$", line) for line in said)
    model = {"parameters.npz", "history.csv", "settings.json", "checkpoint.npz", "metrics.json"}
    assert set(os.listdir(tmp_path / "model")) == model | {"doubt.npz"}
    drawn = {"cost.png", "accuracy.png", "hidden_units.png", "confusion_matrix.png"}
    drawn |= {"predictions.png", "mistakes.png", "network.html"}
    assert set(os.listdir(tmp_path / "plots")) == drawn
    files = draw_test_images(small_mnist, tmp_path, 2)
    (tmp_path / "pyspark.py").write_text("raise ImportError('an image must not ask for Spark')")
    nowhere = {"PYTHONPATH": str(tmp_path), "JAVA_HOME": "/nowhere", "PATH": "", "COLUMNS": "400"}
    known, *rows = typed("predict.py", *files, **nowhere)
    assert known == "this network knows only the digits 0 and 1"
    assert [row.split("  ")[0] for row in rows[1:] if "unsure" not in row] == files


UNSURE = {
    # sigmoid: the outputs are independent of each other; softmax: they add up to 1
    (0.97, 0.02, 0.1): None,
    (0.7, 0.3, 0.0): None,
    (0.49, 0.01, 0.02): "the output is low",
    (0.4, 0.35, 0.25): "the output is low",
    (0.95, 0.02, 0.9): "the runner-up is close",
    (0.55, 0.44, 0.01): "the runner-up is close",
}


@pytest.mark.parametrize(("outputs", "reason"), UNSURE.items())
def test_outputs_decide_what_is_unsure(
    model, medium_mnist, tmp_path, capsys, monkeypatch, outputs, reason
):
    Y = np.zeros((1, 10))
    Y[0, [7, 1, 3]] = outputs
    monkeypatch.setattr(labels, "outputs_of", lambda *_: Y)
    monkeypatch.setattr(doubt, "load", lambda *_: doubt.fixed(10))
    file = draw_test_images(medium_mnist, tmp_path, 1)[0]
    assert predict.main([file, "--model-dir", model, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    second = 1 if outputs[1] > outputs[2] else 3
    assert (answer["digit"], answer["runner_up"]) == (7, second)
    assert (answer["unsure"], answer["reason"]) == (reason is not None, reason)
    assert predict.main([file, "--model-dir", model]) == 0
    row, *below = capsys.readouterr().out.splitlines()[1:]
    assert f"7  {outputs[0]:6.3f}  {second} ({max(outputs[1:]):.3f})" in row
    assert below == ([f"  unsure: {reason}"] if reason else [])


def two_digits(folder: Path) -> str:
    picture = Image.new("L", (200, 120), 255)
    picture.paste(0, (50, 20, 60, 100))
    picture.paste(0, (120, 20, 130, 100))
    picture.save(folder / "two ones.png")
    return str(folder / "two ones.png")


def test_pictures_decide_what_is_unsure_too(model, tmp_path, capsys):
    file = two_digits(tmp_path)
    assert predict.main([file, "--model-dir", model, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["unsure"], answer["reason"]) == (True, "several pieces of ink")


def test_the_table_of_answers_fits_40_columns(model, medium_mnist, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.chdir(tmp_path)
    draw_test_images(medium_mnist, tmp_path, 2)
    two_digits(tmp_path)
    long = "a name that is longer than the table.png"
    os.rename("digit 1.png", long)
    assert predict.main(["digit 0.png", long, "two ones.png", "--model-dir", model]) == 0
    said = capsys.readouterr().out.splitlines()
    assert max(map(len, said)) <= 40
    end = said[0].index("digit") + 5
    rows = [row for row in said[1:] if row != long and not row.startswith("  unsure: ")]
    assert len(rows) == 3 and all(row[end - 1].isdigit() and row[end] == " " for row in rows)
    assert rows[0].startswith("digit 0.png ") and said[said.index(long) + 1] == rows[1]


def test_the_table_of_scores_fits_40_columns():
    scores = metrics(np.full((10, 4), 10_000), np.eye(10) * 1000, list("0123456789"))
    narrow = metrics_table(scores, 40).splitlines()
    wide = metrics_table(scores).splitlines()
    assert max(map(len, narrow)) <= 40 < max(map(len, wide)) <= 80
    assert [row.split()[-3:] for row in narrow[1:-1]] == [row.split()[-3:] for row in wide[1:-1]]


def test_a_file_name_cannot_forge_a_row(model, medium_mnist, tmp_path, capsys):
    forged = str(tmp_path / "x\nreal.png   7   0.999  1 (0.000)")
    os.rename(draw_test_images(medium_mnist, tmp_path, 1)[0], forged)
    assert predict.main([forged, "--model-dir", model]) == 0
    assert not any(line.startswith("real.png") for line in capsys.readouterr().out.splitlines())


@pytest.mark.long
def test_a_file_name_that_is_no_text_is_answered(model, medium_mnist, tmp_path):
    file = os.fsencode(draw_test_images(medium_mnist, tmp_path, 1)[0])
    os.rename(file, file[:-4] + b"\xff.png")
    done = subprocess.run(
        [sys.executable, str(ROOT / "predict.py"), file[:-4] + b"\xff.png", "--model-dir", model],
        capture_output=True,
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_data_that_nobody_named_is_said_to_be_that_of_the_training(model, tmp_path, capsys):
    shutil.copytree(model, tmp_path / "model")
    settings = json.loads((tmp_path / "model" / "settings.json").read_text())
    assert os.path.isabs(settings["data"]["place"])
    settings["data"]["place"] = "/moved/away"
    (tmp_path / "model" / "settings.json").write_text(json.dumps(settings))
    assert predict.main(["--model-dir", str(tmp_path / "model")]) == 1
    said = capsys.readouterr().err
    assert "--data (by default, that of the training) /moved/away: no such folder" in said


@pytest.mark.parametrize("images", [[], ["digit.png"]])
def test_without_a_trained_network_it_says_what_to_run(tmp_path, capsys, images):
    assert predict.main([*images, "--model-dir", str(tmp_path)]) == 1
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == f"error: {tmp_path}: there is no trained network; run train.py first"


@pytest.mark.parametrize("switch", ["--json", "--show"])
def test_switches_of_own_images_without_an_image_are_refused(switch, capsys):
    with pytest.raises(SystemExit) as stopped:
        predict.main([switch])
    assert stopped.value.code == 2
    assert "need the names of image files" in capsys.readouterr().err
