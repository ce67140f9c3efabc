"""What the Makefile itself decides: what training is told, and which files are too large."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def make(folder: Path, *words: str) -> subprocess.CompletedProcess:
    """`make` with nothing installed, in a folder that holds the Makefile."""
    shutil.copy(ROOT / "Makefile", folder)
    command = ["make", "--silent", "-o", ".venv/program", "-o", ".venv/tests", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


def test_make_alone_lists_every_target(tmp_path):
    done = make(tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    listed = re.findall(r"^make (\S+)  *[a-z]", done.stdout, re.MULTILINE)
    phony = re.search(r"\.PHONY: ((?:\\\n|.)*)", (ROOT / "Makefile").read_text())[1]
    assert sorted(listed) == sorted(set(phony.replace("\\", " ").split()) - {"help"})


@pytest.mark.parametrize(
    ("ARGS", "words"),
    [
        ("", []),
        ("--epochs 5 --digits 3 7", ["--epochs", "5", "--digits", "3", "7"]),
        ("--plots-dir 'my plots'", ["--plots-dir", "my plots"]),
        ('--plots-dir "my plots"', ["--plots-dir", "my plots"]),
        ("--plots-dir='my plots'", ["--plots-dir=my plots"]),
        ("--model-dir my\\ model", ["--model-dir", "my model"]),
        ("--data 'a  b' --model-dir=\"it's\"", ["--data", "a  b", "--model-dir=it's"]),
    ],
)
def test_make_run_tells_its_words_as_a_shell_would(tmp_path, ARGS, words):
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > told\n')
    (tmp_path / "python").chmod(0o755)
    done = make(tmp_path, "run", "PYTHON_HERE=./python", f"ARGS={ARGS}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    told = (tmp_path / "told").read_text().removesuffix("\n").split("\n")
    assert told == ["train.py", "--score", *words]


def test_make_clean_keeps_trained_networks_and_says_so(tmp_path):
    (tmp_path / ".venv").mkdir()
    (tmp_path / "model").mkdir()
    done = make(tmp_path, "clean")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "model").exists() and not (tmp_path / ".venv").exists()
    assert done.stdout == "model/ is kept: rm -r model deletes the trained networks\n"


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
