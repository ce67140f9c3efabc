"""Wrong input, as a person meets it: one line that says what is wrong, and an exit status."""

import argparse
import io
import itertools
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import data_loader
import predict
import train
from nn_math import initial_parameters
from results.checkpoints import Progress
from results.model_files import Epoch
from runtime.command_line import (
    UserError,
    counted,
    exit_status,
    number_within,
    whole_number,
)
from training import progress, run
from training.settings import complete, from_command_line

ROOT = Path(train.__file__).parent
MAINS = {"train": train.main, "predict": predict.main}
STEMS = {"train": "train", "predict": "t10k"}  # of the files that a script reads


@pytest.fixture
def folder(tmp_path, small_mnist) -> Path:
    """A data folder of its own for each test, to be damaged."""
    return Path(shutil.copytree(small_mnist, tmp_path / "data"))


@pytest.fixture(scope="module")
def trained(spark, small_mnist, tmp_path_factory) -> Path:
    """A model folder as train.py leaves it."""
    place = tmp_path_factory.mktemp("trained")
    words = ["--data", small_mnist, "--epochs", "1", "--hidden", "2", "--plots-dir", str(place)]
    assert train.main([*words, "--model-dir", str(place / "model")]) == 0
    return place / "model"


@pytest.fixture
def model(tmp_path, trained) -> Path:
    """A model folder of its own for each test, to be damaged."""
    return Path(shutil.copytree(trained, tmp_path / "model"))


@pytest.fixture
def refusal(spark, folder, model, capsys):
    """Run a script that has to end with status 1, one line on stderr and nothing saved."""

    def run(script: str, *words) -> str:
        places = ["--data", folder, "--model-dir", model]
        if script == "train":
            shutil.rmtree(model, ignore_errors=True)
            places += ["--plots-dir", model]
        capsys.readouterr()
        status = MAINS[script]([str(word) for word in (*places, *words)])
        _, errors = capsys.readouterr()
        assert status == 1
        assert errors.startswith("error: ") and errors.endswith("\n")
        assert errors[:-1].isprintable(), "more than one line"
        assert script == "predict" or not model.exists()
        assert not (model / "metrics.json").exists()
        return errors

    return run


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


@pytest.mark.parametrize("script", MAINS)
@pytest.mark.parametrize(
    ("kind", "damage", "said"),
    [
        ("images-idx3", cut_in_half, "is cut off"),
        ("labels-idx1", lambda content: b"<html>Log in</html>", "but is a web page"),
    ],
)
def test_a_broken_file_is_named(refusal, folder, script, kind, damage, said):
    file = folder / f"{STEMS[script]}-{kind}-ubyte"
    file.write_bytes(damage(file.read_bytes()))
    text = refusal(script)
    assert f"{file}: " in text and said in text


@pytest.mark.parametrize("script", MAINS)
@pytest.mark.parametrize("place", ["nowhere", "file:///nowhere/mnist", "nosuchscheme://host/mnist"])
def test_a_data_folder_that_is_not_there_is_named(refusal, script, place):
    assert place in refusal(script, "--data", place)


@pytest.mark.parametrize("script", MAINS)
@pytest.mark.parametrize("start", ["", "file://"], ids=["path", "URI"])
def test_a_file_in_the_place_of_the_data_folder_is_named(refusal, folder, script, start):
    place = folder / "t10k-labels-idx1-ubyte"
    text = refusal(script, "--data", f"{start}{place}")
    assert f"{start}{place}: a file; name the folder that it lies in, {start}{folder}\n" in text


@pytest.mark.parametrize("option", ["--model-dir", "--plots-dir"])
def test_a_place_that_cannot_be_written_is_found_out_before_spark_starts(
    folder, tmp_path, option, monkeypatch, capsys
):
    monkeypatch.setattr(run, "spark_context", None)
    place = folder / "t10k-labels-idx1-ubyte" / "deeper"
    places = {"--data": folder, "--model-dir": tmp_path / "m", "--plots-dir": tmp_path / "p"}
    words = itertools.chain.from_iterable((places | {option: place}).items())
    assert train.main([str(word) for word in words]) == 1
    assert capsys.readouterr().err == f"error: cannot write {place}: Not a directory\n"


@pytest.mark.parametrize("option", ["--model-dir", "--plots-dir"])
def test_a_uri_that_cannot_be_written_is_found_out_before_the_data_is_read(
    spark, folder, tmp_path, option, monkeypatch, capsys
):
    monkeypatch.setattr(data_loader, "load", None)
    place = f"file://{folder}/t10k-labels-idx1-ubyte/deeper"
    places = {"--data": folder, "--model-dir": tmp_path / "m", "--plots-dir": tmp_path / "p"}
    words = itertools.chain.from_iterable((places | {option: place}).items())
    assert train.main([str(word) for word in words]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {place}") and line.isprintable()
    assert not (tmp_path / "m").exists()


@pytest.mark.parametrize("hidden", [10**12, 10**30])
def test_a_network_that_no_memory_holds_is_refused(spark, folder, tmp_path, capsys, hidden):
    words = ["--data", folder, "--model-dir", tmp_path / "model", "--hidden", hidden]
    try:
        status = train.main([str(word) for word in words])
    except SystemExit as stopped:
        status = stopped.code
    assert status in (1, 2)
    assert "error: " in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def npz(**changed) -> bytes:
    content = io.BytesIO()
    np.savez(content, **{**initial_parameters(1, 2, 2)._asdict(), **changed})
    return content.getvalue()


class Trap:
    """What would create a folder in the working folder, were it ever unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("parameters.npz", cut_in_half(npz()), "cut off"),
        ("parameters.npz", npz(B1=np.array([[Trap(), 0.0]], object)), "B1 holds object"),
        ("settings.json", b"{}", "not the settings of a run"),
    ],
)
def test_a_broken_model_is_refused_and_nothing_of_it_run(
    refusal, model, monkeypatch, name, content, said
):
    monkeypatch.chdir(model)
    (model / name).write_bytes(content)
    text = refusal("predict")
    assert f"{model / name}: " in text and said in text
    assert not (model / "sprung").exists()


def test_a_model_without_its_parameters_is_refused(refusal, model):
    (model / "parameters.npz").unlink()
    assert f"cannot read {model}/parameters.npz: " in refusal("predict")


def test_a_model_without_its_settings_is_no_model_yet(refusal, model):
    (model / "settings.json").unlink()
    told = refusal("predict")
    assert f"{model}: there is no trained network; run train.py first" in told
    assert "(parameters.npz is there, but no settings.json)" in told


def test_a_model_folder_that_is_not_there_is_named(refusal, tmp_path):
    said = refusal("predict", "--model-dir", tmp_path / "nowhere")
    assert f"{tmp_path}/nowhere: there is no trained network; run train.py first" in said


@pytest.mark.parametrize(
    ("script", "words", "said"),
    [
        ("train", "--fraction 0", "argument --fraction: '0' is not a number above 0"),
        ("train", "--fraction 1.01", "argument --fraction: '1.01' is not a number above 0"),
        ("train", "--fraction nan", "argument --fraction: 'nan' is not a number"),
        ("train", "--fraction inf", "argument --fraction: 'inf' is not a number"),
        ("train", "--fraction half", "argument --fraction: 'half' is not a number"),
        ("train", "--learning-rate -0.1", "argument --learning-rate: "),
        ("train", "--learning-rate=-0.1", "argument --learning-rate: '-0.1' is not a number"),
        ("train", "--learning-rate 0", "argument --learning-rate: '0' is not a number above 0"),
        ("train", "--learning-rate nan", "argument --learning-rate: 'nan' is not a number"),
        ("train", "--learning-rate inf", "argument --learning-rate: 'inf' is not a number"),
        ("train", "--learning-rate 1e999", "argument --learning-rate: '1e999' is not a number"),
        ("train", "--hidden 0", "argument --hidden: '0' is not a whole number of 1 or more"),
        ("train", "--hidden -3", "argument --hidden: "),
        ("train", "--hidden 2.5", "argument --hidden: '2.5' is not a whole number"),
        ("train", "--epochs 0", "argument --epochs: '0' is not a whole number of 1 or more"),
        ("train", "--partitions 0", "argument --partitions: '0' is not a whole number"),
        ("train", "--seed=-1", "argument --seed: '-1' is not a whole number of 0 or more"),
        ("train", "--digits 1", "argument --digits: give at least two different digits"),
        ("train", "--digits 1 1", "argument --digits: give at least two different digits"),
        ("train", "--digits x", "argument --digits: 'x' is not a digit from 0 to 9"),
        ("train", "--digits 1 10", "argument --digits: '10' is not a digit from 0 to 9"),
        ("train", "--digits 3,x", "argument --digits: 'x' is not a digit from 0 to 9"),
        ("train", "--digits 3,", "argument --digits: give at least two different digits"),
        ("train", "--digits ,", "argument --digits: give at least two different digits"),
        ("train", "--digits 38", "argument --digits: '38' is not a digit from 0 to 9"),
        ("train", "--digits all 3", "argument --digits: 'all' is not a digit from 0 to 9"),
        ("train", "--digits 1 01", "argument --digits: '01' is not a digit from 0 to 9"),
        ("train", "--digits", "argument --digits: expected at least one argument"),
        ("train", "--dtype float16", "argument --dtype: invalid choice: 'float16'"),
        ("train", "--no-such-option", "unrecognized arguments: --no-such-option"),
        ("predict", "--no-such-option", "unrecognized arguments: --no-such-option"),
    ],
)
def test_unusable_arguments_end_with_status_2_before_anything_is_read(
    script, words, said, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        MAINS[script](words.split())
    output, errors = capsys.readouterr()
    assert caught.value.code == 2
    (line,) = errors.splitlines()
    assert line.startswith(f"error: {said}") and line.endswith(f"; see {script}.py --help")
    assert output == "" and not list(tmp_path.iterdir())


@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("columns", [200, 97, 96, 80, 69, 68, 40])
def test_the_progress_bar_fits_its_terminal_and_tells_cost_and_accuracy(
    monkeypatch, columns, validated
):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    chosen = complete({"epochs": 1000, "validation": 0.1 * validated})
    with progress.bar(Progress((), {}, []), chosen) as show:
        for epoch in range(1, 1001):
            validation = (0.345678, 0.765432) if validated else ()
            show(Epoch(epoch, 0.123456, 0.987654, 100, 1.0, *validation))
    lines = terminal.getvalue().rstrip().split("\r")
    assert max(map(len, lines)) < columns
    assert "1000/1000" in lines[-1]
    assert "cost 0.1235  accuracy 0.9877" in lines[-1]
    assert ("validation 0.3457  0.7654" in lines[-1]) == (validated and columns > 67)
    assert ("| 00:00 left" in lines[-1]) == (columns > (96 if validated else 68))


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 shards"), (1, "1 shard"), (2, "2 shards"), (1000, "1,000 shards")]
)
def test_of_one_thing_one_speaks_in_the_singular(number, said):
    assert counted(number, "shard") == said


@pytest.mark.parametrize(
    ("words", "said"),
    [([], "2 digits in 1 partition; network"), (["--partitions", "2"], " 2 partitions; network")],
)
def test_the_first_line_counts_partitions_as_one_speaks(
    spark, folder, tmp_path, capsys, without_figures, words, said
):
    places = ["--data", str(folder), "--model-dir", str(tmp_path), "--plots-dir", str(tmp_path)]
    assert train.main([*places, "--epochs", "1", "--strategy", "partitions", *words]) == 0
    assert said in capsys.readouterr().out.splitlines()[0]


def run_python(*words) -> subprocess.CompletedProcess:
    """The program as a person starts it: in a process and a Spark of its own."""
    command = [sys.executable, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.long
def test_a_script_of_its_own_says_one_line_and_exits_with_1(folder, tmp_path):
    file = folder / "train-images-idx3-ubyte"
    file.write_bytes(cut_in_half(file.read_bytes()))
    done = run_python("train.py", "--data", folder, "--model-dir", tmp_path / "model")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {file}: is cut off")
    assert len(done.stderr.splitlines()) == 1


BOTH_SCRIPTS = """
import sys, train, predict
data, model, plots = sys.argv[1:]
places = ["--data", data, "--model-dir", model]
failed = train.main([*places, "--plots-dir", plots, "--epochs", "1", "--hidden", "2"])
sys.exit(failed or predict.main(places))
"""


@pytest.mark.long
def test_every_place_can_be_a_uri(folder, tmp_path):
    places = [f"file://{tmp_path}/{name}" for name in ("data", "model", "plots")]
    done = run_python("-c", BOTH_SCRIPTS, *places)
    assert (done.returncode, done.stderr) == (0, "")
    assert {"parameters.npz", "metrics.json"} <= set(os.listdir(tmp_path / "model"))
    assert "cost.png" in os.listdir(tmp_path / "plots")


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (UserError("data: no such folder"), 1, "error: data: no such folder\n"),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C\n"),
    ],
)
def test_a_main_that_fails_returns_its_status_after_one_line(capsys, error, status, said):
    @exit_status
    def main(argv=None):
        raise error

    assert main([]) == status
    assert capsys.readouterr() == ("", said)


def test_a_main_that_succeeds_returns_its_own_status_and_sees_its_arguments():
    @exit_status
    def main(argv=None):
        return argv

    assert main([3]) == [3] and main() is None


def test_a_mistake_of_the_program_is_not_taken_for_one_of_a_person():
    @exit_status
    def main(argv=None):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main([])


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("007", 7), (str(10**30), 10**30)])
def test_whole_numbers_are_read(text, number):
    assert whole_number(1)(text) == number


@pytest.mark.parametrize("text", ["", "0", "-1", "1.0", "1e3", "one", "9" * 5000, "0x10"])
def test_what_is_no_whole_number_of_1_or_more_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a whole number of 1 or more"):
        whole_number(1)(text)


@pytest.mark.parametrize(
    ("low", "high", "low_allowed", "taken", "refused"),
    [
        (0, 1, False, ["1", "0.7", "5e-324"], ["0", "-0.0", "1.0000001", "nan", "-1", "inf", "x"]),
        (0, math.inf, False, ["1e-9", "1e308"], ["0", "inf", "1e309", "nan", "-inf", ""]),
        (0, math.inf, True, ["0", "0.1"], ["-1e-9", "inf", "nan"]),
    ],
)
def test_numbers_are_taken_within_their_bounds_only(low, high, low_allowed, taken, refused):
    parse = number_within(low, high, low_allowed)
    assert [parse(text) for text in taken] == [float(text) for text in taken]
    for text in refused:
        with pytest.raises(argparse.ArgumentTypeError, match="is not a number"):
            parse(text)


@pytest.mark.parametrize(
    ("words", "digits"),
    [
        ("0 1", [0, 1]),
        ("9 3 3", [3, 9]),
        ("7 2 1", [1, 2, 7]),
        ("3,8", [3, 8]),
        ("8, 3", [3, 8]),
        ("1,2 9,", [1, 2, 9]),
        *((text, list(range(10))) for text in ("all", "ALL", "All")),
    ],
)
def test_digits_come_out_ascending_and_once(words, digits):
    assert from_command_line(["--digits", *words.split()])[0].digits == digits
