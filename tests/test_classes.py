"""Data of other things than digits: classes.txt names them wherever they are told."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

import data_loader
import predict
import train
from images import classes, idx_files
from pictures import figures
from runtime.command_line import UserError
from training.run import settings_content
from training.settings import complete

CLOTHES = "T-shirt/top Trouser Pullover Dress Coat Sandal Shirt Sneaker Bag Boot".split()


@pytest.fixture
def clothes(small_mnist, tmp_path) -> str:
    """The small cut of MNIST, with other names."""
    shutil.copytree(small_mnist, tmp_path / "clothes")
    (tmp_path / "clothes" / "classes.txt").write_text("\n".join(CLOTHES) + "\n")
    return str(tmp_path / "clothes")


def test_a_run_and_its_scores_say_the_names_of_the_classes(
    spark, clothes, small_mnist, tmp_path, capsys, monkeypatch
):
    drawn = {}

    def keep(folder, name, figure):
        drawn[name] = texts(figure)

    monkeypatch.setattr(figures, "_save", keep)
    model, plots = str(tmp_path / "model"), str(tmp_path / "plots")
    places = ["--model-dir", model, "--plots-dir", plots]
    words = ["--data", clothes, "--digits", "1", "8", "9", "--epochs", "2", "--score", *places]
    assert train.main(words) == 0
    said = capsys.readouterr().out
    for name in ("cost.png", "confusion_matrix.png"):
        assert "classes Trouser, Bag and Boot" in " ".join(drawn[name]).replace("\n", " ")
    assert {"Trouser", "Bag", "Boot", "true class"} <= set(drawn["confusion_matrix.png"])
    assert any(text.endswith("truth Bag") for text in drawn["predictions.png"])
    rows = [line.split()[0] for line in said.splitlines() if line.split()]
    assert {"class", "Trouser", "Bag", "Boot"} <= set(rows) and "digit" not in rows
    scores = json.loads(Path(model, "metrics.json").read_text())
    assert list(scores["classes"]) == ["Trouser", "Bag", "Boot"]
    assert '"digits": ["Trouser", "Bag", "Boot"]' in Path(plots, "network.html").read_text()

    # An image file is answered by name where no data is at hand.
    shutil.rmtree(clothes)
    monkeypatch.chdir(tmp_path)  # a long path would stand above its row
    image = "one.png"
    pixels = idx_files.read_images(Path(small_mnist, "t10k-images-idx3-ubyte").read_bytes(), "")[2]
    Image.fromarray(255 - pixels.reshape(28, 28)).resize((140, 140)).save(image)
    assert predict.main([image, *places]) == 0
    known, heading, row, *_ = capsys.readouterr().out.splitlines()
    assert known == "this network knows only the classes Trouser, Bag and Boot"
    assert heading.split() == ["file", "class", "output", "runner-up"]
    assert row.split()[1] in CLOTHES and row.split()[3] in CLOTHES
    assert predict.main([image, *places, "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["class"] == CLOTHES[answer["digit"]]


def texts(figure) -> list[str]:
    return [found.get_text() for found in figure.findobj(Text)]


def test_shards_keep_the_names(clothes, tmp_path, spark):
    target = str(tmp_path / "sharded")
    assert data_loader.main(["shard", clothes, target, "--shards", "3"]) == 0
    split = data_loader.load(spark, target, "train", [0, 9])
    assert split.classes == ("T-shirt/top", "Boot")


def test_without_names_nothing_is_said_of_them(spark, small_mnist):
    split = data_loader.load(spark, small_mnist, "train", [0, 1])
    run = settings_content(complete({"digits": [0, 1]}), split)
    assert split.classes == () and "classes" not in run["data"]


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "0 such names among 0"),
        (b"one\n", "1 such names among 1"),
        ("\n".join(map(str, range(257))).encode(), "257 such names among 257"),
        ("\n".join([*CLOTHES[:9], "Bag"]).encode(), "9 such names among 10"),
        ("\n".join([*CLOTHES[:9], "\x1b[31mBoot"]).encode(), "9 such names among 10"),
        ("\n".join([*CLOTHES[:9], "x" * 25]).encode(), "9 such names among 10"),
        (np.arange(256, dtype=np.uint8).tobytes(), "0 such names among"),
    ],
)
def test_a_file_of_names_that_is_none_is_refused_in_a_line(tmp_path, content, what):
    (tmp_path / "classes.txt").write_bytes(content)
    with pytest.raises(UserError, match="expected 2 to 256 different names") as refused:
        classes.read_names(str(tmp_path), ["classes.txt"])
    said = str(refused.value)
    assert what in said and str(tmp_path / "classes.txt") in said and "\n" not in said
