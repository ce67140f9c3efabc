"""Runs that do not learn: the ones that diverge end in a line, the ones that are stuck are told."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import train
from results import checkpoints
from results.model_files import Epoch
from training import verdict
from training.settings import from_command_line

ROOT = Path(train.__file__).parent


@pytest.fixture
def run(spark, small_mnist, tmp_path, capsys, without_figures):
    """Train in the suite's Spark; gives status and what was said."""

    def start(*words) -> tuple[int, str, str]:
        places = ["--data", small_mnist, "--model-dir", tmp_path / "model"]
        capsys.readouterr()
        status = train.main([str(word) for word in (*places, "--plots-dir", tmp_path, *words)])
        return status, *capsys.readouterr()

    return start


@pytest.mark.long
def test_a_run_that_diverges_ends_in_one_line_without_warnings_of_numpy(small_mnist, tmp_path):
    places = ["--data", small_mnist, "--model-dir", tmp_path / "model", "--plots-dir", tmp_path]
    words = "--strategy averaging --learning-rate 1e38 --epochs 3".split()
    command = [sys.executable, ROOT / "train.py", *places, *words]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(
        r"error: epoch [123]: .* the run diverges with --learning-rate 1e\+38; try a smaller one\n",
        done.stderr,
    )
    assert "saved" not in done.stdout
    assert not (tmp_path / "model/parameters.npz").exists()


@pytest.mark.parametrize(("broken", "value"), [("cost", np.nan), ("parameters", np.inf)])
def test_the_last_finite_checkpoint_stays(run, tmp_path, monkeypatch, broken, value):
    original = train.with_validation

    def diverges_in_the_third(epoch, held_out, parameters, settings):
        line = original(epoch, held_out, parameters, settings)
        if epoch.epoch == 3 and broken == "cost":
            return line._replace(cost=float(value))
        if epoch.epoch == 3:
            parameters[0][0, 0] = value
        return line

    monkeypatch.setattr(train, "with_validation", diverges_in_the_third)
    words = "--strategy partitions --checkpoint-every 1 --epochs 4 --learning-rate 0.5"
    status, said, error = run(*words.split())
    assert status == 1 and "epoch 2/4" in said and "epoch 3/4" not in said
    assert error.startswith("error: epoch 3: ") and "--learning-rate 0.5; " in error
    assert len(error.splitlines()) == 1
    progress, _ = checkpoints.load(str(tmp_path / "model"))
    assert len(progress.history) == 2
    assert all(np.isfinite(array).all() for array in progress.parameters)
    assert len((tmp_path / "model/history.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--strategy maps --learning-rate 1e30 --epochs 3", "smaller --learning-rate than 1e+30"),
        ("--strategy partitions --learning-rate 1e30", "smaller --learning-rate than 1e+30"),
        (
            "--strategy averaging --optimizer sgd --learning-rate 1e6",
            "smaller --learning-rate than 1e+06",
        ),
        (
            "--strategy partitions --optimizer sgd --learning-rate 1e4 --digits all",
            "smaller --learning-rate than",
        ),
        (
            "--strategy partitions --learning-rate 1e-9 --fraction 1",
            "larger --learning-rate than 1e-09",
        ),
    ],
)
def test_a_run_that_only_guesses_ends_with_what_to_try(run, words, said):
    status, lines, _ = run("--epochs", 6, *words.split())
    assert status == 0
    assert lines.count("the network has learned nothing") == 1
    assert lines.splitlines()[-1].startswith(
        "note: the network has learned nothing: the last cost is "
    )
    assert f"; try a {said}" in lines.splitlines()[-1]


@pytest.mark.parametrize(
    "words",
    [
        "--strategy partitions --epochs 1",
        "--strategy partitions --epochs 2",
        pytest.param("--strategy partitions --epochs 30", marks=pytest.mark.long),
        "--strategy partitions --epochs 3 --learning-rate 1",
        "--strategy partitions --epochs 6 --digits all",
        "--strategy averaging --epochs 2",
    ],
)
def test_a_run_that_learns_is_not_told_so(run, words):
    status, said, _ = run(*words.split())
    assert status == 0 and "the network has learned nothing" not in said


@pytest.mark.parametrize(
    ("lines", "rate", "said"),
    [
        ([], 9.0, ""),
        ([(0.5, 0.47)], 9.0, ""),
        ([(0.3, 0.5), (0.5, 0.47)], 9.0, "a smaller --learning-rate than 9, such as 0.1"),
        ([(0.3, 0.5), (0.5, 0.47)], 0.15, ""),
        ([(0.5, 0.53), (0.5, 0.53), (0.5, 0.53)], 9.0, "a smaller --learning-rate than 9, "),
        ([(0.3, 0.5), (0.3, 0.5), (0.3, 0.5)], 1e-3, "a larger --learning-rate than 0.001, "),
        ([(0.3, 0.5), (0.29, 0.5), (0.28, 0.5)], 1e-3, ""),
        ([(0.5, 0.5), (0.41, 0.5), (0.41, 0.5), (0.41, 0.5)], 9.0, "a smaller --learning-rate"),
        ([(0.3, 0.5), (0.5, 0.97), (0.5, 0.97)], 9.0, ""),
        ([(0.3, 0.5), (0.1, 0.97), (0.5, 0.47), (0.5, 0.47)], 9.0, "a smaller --learning-rate"),
    ],
)
def test_who_guesses_at_no_lower_cost_is_told_another_rate(lines, rate, said, capsys):
    words = ["--learning-rate", str(rate), "--epochs", str(len(lines) or 1)]
    settings = from_command_line(words)[0]
    history = [Epoch(n, *line, 100, 1.0) for n, line in enumerate(lines, 1)]
    verdict.tell_if_stuck(history, settings)
    told = capsys.readouterr().out
    assert said in told and len(told.splitlines()) == bool(said)
