import csv
import io
import json
import os
import platform
import random
import re
import zipfile
from pathlib import Path

import numpy as np
import pyspark
import pytest

from network.sequential import read
from nn_math import Parameters, initial_parameters
from results import model_files
from results.model_files import Epoch, load_settings, save_parameters
from runtime import storage
from runtime.command_line import UserError

HISTORY = [
    Epoch(1, 0.1 + 0.2, 1 / 3, 8865, 1.25),
    Epoch(2, 5e-324, 0.0, 1, 0.0000014),
    Epoch(3, 1.7976931348623157e308, 1.0, 2**40, 123456.7890124),
    Epoch(4, float(np.float32(0.1)), np.float64(2 / 3), 7, 1e-9),
]
NETWORK = "dense 2, sigmoid, dense 2, sigmoid"
SETTINGS = {
    "settings": {"digits": [0, 1], "seed": 1, "network": NETWORK},
    "data": {"place": "data/mnist"},
}


def load_parameters(folder: str, hidden: int = 2, outputs: int = 2) -> model_files.Arrays:
    """Those of the article's network of this width."""
    network = read(f"dense {hidden}, sigmoid, dense, sigmoid", outputs)
    return model_files.load_parameters(folder, network)


@pytest.fixture(params=["local path", "URI"])
def folder(request, tmp_path, spark) -> str:
    return tmp_path.as_uri() if request.param == "URI" else str(tmp_path)


def refusal(load, folder: Path, name: str, content: bytes) -> str:
    """The text of the UserError that loading this content ends in; one line with the place."""
    (folder / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        load(str(folder))
    text = str(caught.value)
    assert text.startswith(f"{folder / name}: ") and text.isprintable()
    return text


def npz(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return content.getvalue()


def zipped(entries: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry)
    return content.getvalue()


def npy(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def small(dtype: str = "float32") -> dict[str, np.ndarray]:
    """The arrays of a whole model of two hidden units, by name."""
    return initial_parameters(1, 2, 2, dtype)._asdict()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("hidden", "outputs"), [(64, 2), (1, 10)])
def test_parameters_are_read_as_the_bits_that_were_saved(folder, hidden, outputs, dtype):
    saved = initial_parameters(3, hidden, outputs, dtype)
    saved.W1[0, 0], saved.W2[0, 0] = -0.0, np.finfo(dtype).smallest_subnormal
    save_parameters(folder, saved)
    loaded = load_parameters(folder, hidden, outputs)
    for one, other in zip(saved, loaded, strict=True):
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
        assert one.tobytes() == other.tobytes()


def test_saved_parameters_open_with_numpy_alone_under_the_names_of_the_article(tmp_path):
    saved = initial_parameters(3, 4, 2)
    save_parameters(str(tmp_path), saved)
    with np.load(tmp_path / "parameters.npz", allow_pickle=False) as file:
        assert sorted(file.files) == ["B1", "B2", "W1", "W2"]
        for name in file.files:
            np.testing.assert_array_equal(file[name], getattr(saved, name))


def test_the_same_parameters_are_the_same_file(tmp_path):
    for folder in ("one", "other"):
        save_parameters(str(tmp_path / folder), initial_parameters(3, 4, 2))
    one, other = (tmp_path / folder / "parameters.npz" for folder in ("one", "other"))
    assert one.read_bytes() == other.read_bytes()
    with zipfile.ZipFile(one) as archive:  # no clock in it, which two quick writes would not show
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_history_is_csv_with_floats_to_the_last_bit(folder, tmp_path):
    model_files.save_history(folder, HISTORY)
    with (tmp_path / "history.csv").open(newline="") as file:
        header, *lines = csv.reader(file)
    assert header == ["epoch", "cost", "accuracy", "batch_size", "seconds"]
    assert len(lines) == len(HISTORY)
    for line, epoch in zip(lines, HISTORY, strict=True):
        assert line[0] == str(epoch.epoch) and line[3] == str(epoch.batch_size)
        assert [float(line[1]), float(line[2])] == [epoch.cost, epoch.accuracy]
        assert abs(float(line[4]) - epoch.seconds) <= 0.5e-6
        assert len(line[4].split(".")[1]) == 6


def test_a_longer_history_replaces_the_shorter_one(folder, tmp_path):
    for epochs in range(1, len(HISTORY) + 1):
        model_files.save_history(folder, HISTORY[:epochs])
        assert len((tmp_path / "history.csv").read_text().splitlines()) == 1 + epochs


def test_settings_are_read_as_saved_and_readable_by_a_person(folder, tmp_path):
    content = SETTINGS | {"name": "Ziffern – ½", "rate": 0.1 + 0.2, "nothing": None}
    model_files.save_json(folder, model_files.SETTINGS, content)
    assert load_settings(folder) == content
    text = (tmp_path / "settings.json").read_text()
    assert json.loads(text) == content
    assert len(text.splitlines()) > len(content) and text.endswith("}\n")


def of_data(name: str, place: str) -> dict:
    return SETTINGS | {"data": {"name": name, "place": place, "sha256": {}}}


@pytest.mark.parametrize(
    ("name", "place"), [("MNIST", "data/mnist"), ("MNIST", "/elsewhere"), ("own", "data/mnist")]
)
def test_the_scores_on_the_models_own_data_are_metrics_json(folder, tmp_path, name, place):
    model_files.save_json(folder, model_files.SETTINGS, of_data("MNIST", "data/mnist"))
    saved = model_files.save_metrics(folder, {"data": name}, place)
    assert saved == f"{folder}/metrics.json"
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"data": name}


@pytest.mark.parametrize(
    ("place", "file"),
    [
        ("offline", "metrics-offline.json"),
        ("../shared/fashion/", "metrics-..-shared-fashion.json"),
        ("hdfs://node:8020/data/x y", "metrics-hdfs-node-8020-data-x-y.json"),
        ("/" + "a" * 300, f"metrics-{'a' * 100}.json"),
    ],
)
def test_the_scores_on_other_data_leave_those_alone(folder, tmp_path, place, file):
    model_files.save_json(folder, model_files.SETTINGS, of_data("MNIST", "data/mnist"))
    model_files.save_metrics(folder, {"data": "MNIST"}, "data/mnist")
    saved = model_files.save_metrics(folder, {"data": "other"}, place)
    assert saved == f"{folder}/{file}"
    assert json.loads((tmp_path / file).read_text()) == {"data": "other"}
    assert json.loads((tmp_path / "metrics.json").read_text()) == {"data": "MNIST"}


def test_versions_are_those_that_run():
    expected = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyspark": pyspark.__version__,
    }
    assert expected.items() <= model_files.versions().items()


@pytest.mark.parametrize("load", [load_parameters, load_settings])
def test_a_model_folder_that_is_not_there_is_named(folder, load):
    with pytest.raises(UserError) as caught:
        load(f"{folder}/nowhere")
    assert str(caught.value).startswith(f"cannot read {folder}/nowhere/")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.9999])
def test_parameters_cut_off_anywhere_are_refused(tmp_path, share):
    content = npz(**small())
    refusal(load_parameters, tmp_path, "parameters.npz", content[: int(share * len(content))])


def test_parameters_with_any_bit_flipped_are_refused_or_whole(tmp_path):
    content = npz(**small())
    pixels_of_W1 = range(400, 6000)  # the middle of the weights, where one byte is like another
    places = [place for place in range(len(content)) if place not in pixels_of_W1]
    rng = random.Random(1)
    for place in places + rng.sample(pixels_of_W1, 50):
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        (tmp_path / "parameters.npz").write_bytes(damaged)
        try:
            loaded = load_parameters(str(tmp_path))
        except UserError as error:
            assert str(error).isprintable()
        else:
            for one, other in zip(loaded, small().values(), strict=True):
                np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"W1": np.zeros((783, 2))}, r"W1 has shape \(783, 2\) where \(784, 2\) belongs"),
        ({"W1": np.zeros((784, 3))}, r"W1 has shape \(784, 3\) where \(784, 2\) belongs"),
        ({"W1": np.zeros((2, 784))}, r"W1 has shape \(2, 784\)"),
        ({"W1": np.zeros(1568)}, r"W1 has shape \(1568,\)"),
        ({"B1": np.zeros((1, 3))}, "has shape"),
        ({"B1": np.zeros(2)}, r"B1 has shape \(2,\) where \(1, 2\) belongs"),
        ({"B1": np.zeros((2, 2))}, r"B1 has shape \(2, 2\) where \(1, 2\) belongs"),
        ({"B1": np.float32(1)}, "has shape"),
        ({"W2": np.zeros((2, 3))}, r"W2 has shape \(2, 3\) where \(2, 2\) belongs"),
        ({"B2": np.zeros((1, 10))}, "has shape"),
        ({"B2": np.zeros(())}, "has shape"),
        ({"B2": np.zeros((1, 0)), "W2": np.zeros((2, 0))}, "has shape"),
        ({"B1": np.zeros((1, 0)), "W1": np.zeros((784, 0)), "W2": np.zeros((0, 2))}, "has shape"),
        ({"W2": np.zeros((2, 2), int)}, "W2 holds int64, not float32 or float64"),
        ({"W2": np.zeros((2, 2), "complex64")}, "W2 holds complex64"),
        ({"W2": np.zeros((2, 2), "S4")}, "W2 holds"),
        ({"W2": np.zeros((2, 2), [("a", "f4")])}, "W2 holds"),
        ({"W1": np.full((784, 2), np.nan)}, "W1 holds numbers that are not finite"),
        ({"B1": np.array([[0, np.inf]])}, "B1 holds numbers that are not finite"),
        ({"B2": np.array([[-np.inf, 0]])}, "B2 holds numbers that are not finite"),
    ],
)
def test_parameters_that_make_no_network_are_refused(tmp_path, changed, said):
    text = refusal(load_parameters, tmp_path, "parameters.npz", npz(**small("float64") | changed))
    assert re.search(said, text)


@pytest.mark.parametrize("name", Parameters._fields)
def test_a_missing_array_is_named(tmp_path, name):
    rest = {other: array for other, array in small().items() if other != name}
    text = refusal(load_parameters, tmp_path, "parameters.npz", npz(**rest))
    assert f"{name} is missing" in text


def claiming(shape: str) -> bytes:
    """A model whose W1 claims a shape that no memory holds."""
    content = npy(np.zeros((784, 2), "float32"))
    place = content.index(b"(784, 2)")
    claim = shape.encode()
    rest = content[place + len("(784, 2)") :].replace(b" " * (len(claim) - 8), b"", 1)
    entries = {f"{name}.npy": npy(array) for name, array in small().items()}
    return zipped(entries | {"W1.npy": content[:place] + claim + rest})


@pytest.mark.parametrize(
    "content",
    [
        b"<html>Please log in</html>",
        b"\x80\x04N.",  # a pickle of None
        b"PK\x05\x06" + bytes(18),  # a zip file of nothing
        npy(np.zeros((784, 2))),  # one array that was not zipped
        zipped(dict.fromkeys(("W1", "B1", "W2", "B2"), b"no arrays")),
        zipped(dict.fromkeys(("W1.npy", "B1.npy", "W2.npy", "B2.npy"), b"no arrays")),
        claiming("(1000000000000, 2)"),
        claiming("(10000000000000000000000000, 2)"),
        claiming("(-784, 2)"),
    ],
    ids=["html", "pickle", "empty", "npy", "text", "npy text", "vast", "beyond", "negative"],
)
def test_files_of_another_kind_are_refused(tmp_path, content):
    refusal(load_parameters, tmp_path, "parameters.npz", content)


class Trap:
    """What would create a file, were it ever unpickled."""

    def __init__(self, place: Path):
        self.place = place

    def __reduce__(self):
        return os.mkdir, (str(self.place),)


def test_nothing_is_unpickled(tmp_path):
    sprung = tmp_path / "sprung"
    objects = np.array([[Trap(sprung), 0.0]], object)
    content = npz(**small() | {"B1": objects})
    refusal(load_parameters, tmp_path, "parameters.npz", content)
    assert not sprung.exists()
    with np.load(io.BytesIO(content), allow_pickle=True) as file:
        file["B1"]
    assert sprung.exists(), "the trap was none"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        json.dumps(SETTINGS).encode()[:-5],
        b"\xff\xfe\x00",
        b"null",
        b"[]",
        b'"settings"',
        b"[" * 100_000,
    ],
    ids=lambda content: repr(content[:20]),
)
def test_settings_that_are_no_json_object_are_refused(tmp_path, content):
    text = refusal(load_settings, tmp_path, "settings.json", content)
    assert "not the settings of a run" in text


def test_settings_without_a_place_of_the_data_are_refused(tmp_path):
    content = json.dumps(SETTINGS | {"data": {}}).encode()
    assert "data.place is missing" in refusal(load_settings, tmp_path, "settings.json", content)


def test_a_new_run_keeps_the_network_that_it_replaces(tmp_path, capsys):
    folder = str(tmp_path / "model")
    model_files.keep_previous(folder)
    assert not (tmp_path / "model").exists() and capsys.readouterr().out == ""
    for content in (b"first", b"second"):
        storage.write(f"{folder}/parameters.npz", content)
        storage.write(f"{folder}/settings.json", content)
        storage.write(f"{folder}/doubt.npz", content)
        model_files.keep_previous(folder)
        assert f"it is kept in {folder}/previous" in capsys.readouterr().out
        for name in ("parameters.npz", "settings.json", "doubt.npz"):
            assert (tmp_path / "model/previous" / name).read_bytes() == content
    (tmp_path / "model/doubt.npz").unlink()
    model_files.keep_previous(folder)
    assert not (tmp_path / "model/previous/doubt.npz").exists(), "it is of another network"
