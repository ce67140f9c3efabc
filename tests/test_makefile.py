"""What the Makefile itself decides: what scoring is told, and which files are too large."""

import shutil
import subprocess
from pathlib import Path

import pytest

import train

ROOT = Path(__file__).resolve().parent.parent


def make(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`make` with nothing installed, in a folder that holds the Makefile."""
    shutil.copy(ROOT / "Makefile", folder)
    command = ["make", "--silent", "-o", ".venv/program", "-o", ".venv/tests", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.fixture
def argv(tmp_path):
    """Gives what `make run` tells train.py and predict.py: two lists of words."""
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@" >> told; echo >> told\n')
    (tmp_path / "python").chmod(0o755)

    def told(ARGS: str) -> list[list[str]]:
        done = make(tmp_path, "run", "PYTHON_HERE=./python", f"ARGS={ARGS}")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        lines = (tmp_path / "told").read_text().removesuffix("\n\n")
        return [words.split("\n") for words in lines.split("\n\n")]

    return told


@pytest.mark.parametrize(
    ("ARGS", "training", "scoring"),
    [
        ("", [], []),
        ("--epochs 5 --digits 3 7", ["--epochs", "5", "--digits", "3", "7"], []),
        ("--plots-dir 'my plots'", ["--plots-dir", "my plots"], ["--plots-dir", "my plots"]),
        ('--plots-dir "my plots"', ["--plots-dir", "my plots"], ["--plots-dir", "my plots"]),
        ("--plots-dir='my plots'", ["--plots-dir=my plots"], ["--plots-dir=my plots"]),
        ("--model-dir my\\ model", ["--model-dir", "my model"], ["--model-dir", "my model"]),
        (
            "--data 'a  b' --digits all --model-dir=\"it's\" --hidden 4 --plots p --partitions 2",
            ["--data", "a  b", "--digits", "all", "--model-dir=it's", "--hidden", "4"]
            + ["--plots", "p", "--partitions", "2"],
            ["--data", "a  b", "--model-dir=it's", "--plots", "p"],
        ),
    ],
)
def test_scoring_looks_where_training_put_its_results(argv, ARGS, training, scoring):
    assert argv(ARGS) == [["train.py", *training], ["predict.py", *scoring]]


def test_scoring_is_told_no_other_option_of_training(argv):
    options = [action.option_strings[-1] for action in train.arguments()._actions]
    places = ["--data", "--model-dir", "--plots-dir"]
    _, scoring = argv(" ".join(f"{option} x" for option in options))
    assert scoring == ["predict.py", *(word for place in places for word in (place, "x"))]


@pytest.mark.parametrize(
    ("size", "named", "status"), [(600_000, "", 0), (600_001, "", 2), (600_001, "film.gif", 0)]
)
def test_lint_refuses_a_large_file_unless_it_is_named(tmp_path, size, named, status):
    (tmp_path / "film.gif").write_bytes(bytes(size))
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/lint-imports").symlink_to(shutil.which("true"))
    for words in (["init", "-q"], ["add", "film.gif"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    done = make(tmp_path, "lint", "PYTHON_HERE=true", "NPX=true", f"LARGE={named}")
    assert done.returncode == status, done.stderr
    assert ("larger than 600 KB: film.gif" in done.stdout) == (status != 0)
