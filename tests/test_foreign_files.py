"""Files from other people: little memory, one true line, nothing printed raw, nothing run."""

import io
import json
import os
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

import predict
import train
from network.sequential import initial_parameters, parameter_names, read
from results import checkpoints, model_files
from results.loading import load_model, place_of_data
from runtime import storage
from runtime.command_line import UserError, exit_status, printable, say

ROOT = Path(train.__file__).parent
NETWORK = "dense 4, sigmoid, dense 2, sigmoid"


@pytest.fixture
def model(tmp_path) -> Path:
    """A model folder as train.py leaves it, without a checkpoint."""
    network = read(NETWORK, 2)
    model_files.save_parameters(str(tmp_path), initial_parameters(network, 1))
    model_files.save_json(str(tmp_path), "settings.json", a_run())
    return tmp_path


def a_run(**changed) -> dict:
    settings = {"digits": [0, 1], "network": NETWORK, "epochs": 2, "learning_rate": 0.1}
    run = {"data": {"name": "x", "place": "offline", "sha256": {}}, "versions": {}, "images": 9}
    run["settings"] = settings
    for path, value in changed.items():
        inner = run
        *outer, last = path.split(".")
        for name in outer:
            inner = inner[name]
        inner[last] = value
    return run


def refusal(function, *arguments) -> str:
    with pytest.raises(UserError) as raised:
        function(*arguments)
    text = str(raised.value)
    assert text.isprintable() and len(text) < 1000
    return text


def bomb(shape: tuple[int, ...], unpacked: int, dtype: str = "<f4") -> bytes:
    """A small .npz whose W1 claims a shape and unpacks to many zeros."""
    content, header = io.BytesIO(), io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("W1.npy", "w", force_zip64=True) as member:
            member.write(header.getvalue())
            for _ in range(unpacked // 2**20):
                member.write(bytes(2**20))
        others = zip(parameter_names(4), initial_parameters(read(NETWORK, 2), 1), strict=True)
        for name, array in list(others)[1:]:
            with archive.open(f"{name}.npy", "w") as member:
                np.save(member, array)
    return content.getvalue()


@pytest.mark.parametrize(
    "shape", [(784, 4), (2**26, 4), pytest.param((10**9, 10**9), marks=pytest.mark.long)]
)
def test_a_small_file_cannot_unpack_to_a_large_memory(model, shape):
    (model / "parameters.npz").write_bytes(bomb(shape, unpacked=2**28))
    tracemalloc.start()
    try:
        load_model(str(model))
    except UserError as error:
        assert shape != (784, 4) and f"{model}/parameters.npz: W1 has shape" in str(error)
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**24


def test_a_small_file_cannot_unpack_to_a_large_header(model):
    header = b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**28) + b" " * 2**28
    with zipfile.ZipFile(model / "parameters.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("W1.npy", header)
    tracemalloc.start()
    try:
        assert "cut off, or not a model file" in refusal(load_model, str(model))
    finally:
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 2**24


def test_a_file_that_is_larger_than_its_kind_may_be_is_not_read(model):
    for name, size in (("settings.json", 2**20), ("parameters.npz", 2**25)):
        content = (model / name).read_bytes()
        os.truncate(model / name, size + 1)  # a hole: it takes no room on the disk
        assert f"cannot read {model}/{name}: it has" in refusal(load_model, str(model))
        (model / name).write_bytes(content)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", ["settings.json", "parameters.npz", "checkpoint.npz"])
def test_a_pipe_a_device_or_a_folder_in_the_place_of_a_file_is_refused(model, name, kind):
    place = model / name
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    load = checkpoints.load if name.startswith("checkpoint") else load_model
    assert f"cannot read {place}: it is a" in refusal(load, str(model))


UNUSABLE = {
    "settings": [{}, [0, 1], None],
    "settings.digits": [
        *("Infinity", "01", None, 7, {}, {"0": 0}, [], [0]),
        *([True, 2], [False, True], [1, 0], [0, 0], [0, 256], [-1, 0], [0, 0.5], [0.0, 1.0]),
        *(["0", "1"], [[0], [1]]),
    ],
    "settings.network": [5, None, ["dense"], "no such layer"],
    "settings.transpose": ["false", 1, None],
    "settings.epochs": ["5", 0, -1, 1.5, True, [1], None],
    "settings.learning_rate": ["0.1", 0, -1, True, None],
    "data": [None, 5, [], "x"],
    "data.place": [None, ["x"]],
    "data.classes": [
        None,
        ["a", "a"],
        ["a", " "],
        ["a", "b" * 3000],
        ["a"],
        [1, 2],
        "ab",
        {"a": 1},
        ["a", "b\x1b[2J"],
    ],
    "data.counts": [
        None,
        [5],
        [5, 6, 7],
        [5, -1],
        [5, 6.0],
        [5, "6"],
        [True, 1],
        [5, 2**63],
        5,
        {},
    ],
    "data.sha256": [[], {"x": 5}],
    "data.name": [5],
    "versions": [[], {"numpy": 2}, None],
    "images": ["9", -1],
}


def unusable_runs():
    for path, values in UNUSABLE.items():
        for value in values:
            yield path, value


@pytest.mark.parametrize(("path", "value"), list(unusable_runs()))
def test_settings_and_checkpoints_of_others_are_refused_by_the_field(model, path, value):
    run = a_run(**{path: value})
    model_files.save_json(str(model), "settings.json", run)
    text = refusal(load_model, str(model))
    assert text.startswith(f"{model}/settings.json: ") and path.split(".")[-1] in text
    write_checkpoint(model, run=np.frombuffer(json.dumps(run).encode(), np.uint8))
    text = refusal(checkpoints.load, str(model))
    assert text.startswith(f"{model}/checkpoint.npz: ") and path.split(".")[-1] in text


@pytest.mark.parametrize("number", ["Infinity", "-Infinity", "NaN", "1e999"])
def test_numbers_that_json_does_not_know_are_refused(model, number):
    text = json.dumps(a_run()).replace("0.1", number)
    (model / "settings.json").write_text(text)
    assert "not JSON" in refusal(load_model, str(model))


def write_checkpoint(folder: Path, **changed) -> None:
    names, initial = parameter_names(4), initial_parameters(read(NETWORK, 2), 1)
    arrays = {
        f"{kind}.{name}": array
        for kind in ("parameters", "velocity")
        for name, array in zip(names, initial, strict=True)
    }
    arrays["history"] = np.array([[1, 0.5, 0.5, 10, 0.1, np.nan, np.nan]])
    arrays["run"] = np.frombuffer(json.dumps(a_run()).encode(), np.uint8)
    (folder / "checkpoint.npz").write_bytes(model_files.npz(arrays | changed))


def test_the_checkpoint_of_these_tests_is_one(model):
    write_checkpoint(model)
    progress, _ = checkpoints.load(str(model))
    assert list(progress.state) == ["velocity"] and len(progress.history) == 1


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"velocity.W1": np.full((784, 4), "x")}, "velocity.W1 holds"),
        ({"velocity.W1": np.full((784, 4), np.nan, "f4")}, "velocity.W1 holds numbers that are"),
        ({"velocity.W1": np.zeros((784, 4), complex)}, "velocity.W1 holds complex128"),
        ({"parameters.W1": np.zeros((784, 4), complex)}, "parameters.W1 holds complex128"),
        ({"velocity.B2": np.zeros((2, 1), "f4")}, "velocity.B2 has shape (2, 1) where (1, 2)"),
        ({"other.W1": np.zeros((784, 4), "f4")}, "it holds parameters, velocity, other"),
        ({"velocity.W9": np.zeros((784, 4), "f4")}, "not those of the network"),
        ({"history": np.array([[np.inf, 0.5, 0.5, 10, 0.1, 0, 0]])}, "history holds numbers"),
        ({"history": np.array([["x"] * 7])}, "history is not a table"),
        ({"history": np.zeros(7)}, "history is not a table"),
        ({"run": np.zeros(9, np.uint8)}, "not JSON"),
    ],
)
def test_arrays_that_no_checkpoint_holds_are_refused(model, changed, said):
    write_checkpoint(model, **changed)
    assert said in refusal(checkpoints.load, str(model))


@pytest.mark.parametrize(
    "line", ["inf,0.5,0.5,10,0.1", "1,nan,0.5,10,0.1", "1,0.5", "1,0.5,0.5,1e999,0.1", "x"]
)
def test_a_history_with_numbers_that_no_run_has_is_refused(model, line):
    header = ",".join(model_files.Epoch._fields[:5])
    (model / "history.csv").write_text(f"{header}\n{line}\n")
    assert "not the history of a run" in refusal(model_files.load_history, str(model))


def test_a_model_of_others_does_not_connect_to_another_system(model):
    model_files.save_json(
        str(model), "settings.json", a_run(**{"data.place": "hdfs://192.0.2.1:8020/digits"})
    )
    _, run = load_model(str(model))
    text = refusal(place_of_data, run, str(model))
    assert "give --data hdfs://192.0.2.1:8020/digits" in text
    assert place_of_data(run, "hdfs://here/model") == run["data"]["place"]
    for place in ("data/mnist", "file:///data/mnist"):
        assert place_of_data({"data": {"place": place}}, str(model)) == place


# What is printed


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[2J", "\\x1b[2J"),
        ("a\nb\r\0", "a\\nb\\r\\x00"),
        (os.fsdecode(b"7\xff.png"), "7\\udcff.png"),
        ("七.png", "七.png"),
        ("\u202egnp.7", "\\u202egnp.7"),
    ],
)
def test_foreign_text_is_printed_escaped(text, shown):
    assert printable(text) == shown


def test_foreign_text_is_printed_shortened():
    assert len(printable("x" * 10_000)) < 500


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8:strict"])
def test_no_letter_fails_to_print_in_any_encoding(encoding):
    program = (
        "from runtime.command_line import exit_status, say, UserError\n"
        "@exit_status\n"
        "def main():\n"
        "    say('七')\n"
        "    raise UserError('\\udcff 七')\n"
        "raise SystemExit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONIOENCODING": encoding},
        cwd=ROOT,
        capture_output=True,
    )
    assert done.returncode == 1
    assert b"Traceback" not in done.stderr and done.stderr.startswith(b"error: ")


OUTPUT = """
from runtime.command_line import exit_status, say
@exit_status
def main():
    say("first")
    say("second")
    open("done", "w").close()
    return 0
raise SystemExit(main())
"""


@pytest.mark.parametrize(("redirection", "status"), [("> /dev/full", 1), (">&-", 0), ("2>&-", 0)])
def test_output_that_cannot_be_written_does_not_end_the_work(tmp_path, redirection, status):
    done = subprocess.run(
        ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, OUTPUT],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (tmp_path / "done").exists()
    assert done.returncode == status and "Traceback" not in done.stderr
    if status:
        assert done.stderr == "error: the output could not be written: No space left on device\n"


@pytest.mark.parametrize("option", ["--model-dir", "--plots-dir", "--data"])
@pytest.mark.parametrize("main", [train.main, predict.main], ids=["train", "predict"])
def test_an_empty_place_is_refused(main, option, capsys):
    with pytest.raises(SystemExit) as stopped:
        main([option, ""])
    assert stopped.value.code == 2 and "the place is empty" in capsys.readouterr().err


def test_reading_has_a_bound(tmp_path):
    (tmp_path / "file").write_bytes(bytes(100))
    assert len(storage.read(str(tmp_path / "file"), 100)) == 100
    assert "more than the 99 that" in refusal(storage.read, str(tmp_path / "file"), 99)


def test_what_is_said_is_escaped_but_for_its_lines(capsys):
    exit_status(lambda: say("line\nof a name: \x1b[2J") or 0)()
    assert capsys.readouterr().out == "line\nof a name: \\x1b[2J\n"
