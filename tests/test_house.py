"""The rooms of the house: what the four files at the door import, and who sees that it stays so."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import mutations
import pytest
from tracked import ROOT, tracked

FILES = tracked()
PACKAGES = {name.split("/")[0] for name in FILES if re.fullmatch(r"\w+/__init__\.py", name)}
DOOR = {name.removesuffix(".py") for name in FILES if re.fullmatch(r"\w+\.py", name)}
MAY_IMPORT = {
    "nn_math": set(),
    "data_loader": {"images", "network", "nn_math", "runtime"},
    "train": PACKAGES - {"cluster"} | {"data_loader", "nn_math", "predict"},
    "predict": PACKAGES - {"cluster"} | {"data_loader", "nn_math"},
}


def imported(file: Path) -> set[str]:
    """The top-level names that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found.add(node.module.partition(".")[0])
    return found


def test_four_files_stand_at_the_door():
    if (ROOT / ".git").exists():
        assert set(MAY_IMPORT) == DOOR
    assert set(MAY_IMPORT) <= DOOR, "a user's own files may stand beside them"


def test_files_of_the_users_own_are_not_the_projects(tmp_path):
    for name in ("train.py", "own.py"):
        (tmp_path / name).touch()
    assert tracked(tmp_path) == {"train.py", "own.py"}, "without git all are"
    for words in (["init", "-q"], ["add", "train.py"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    assert tracked(tmp_path) == {"train.py"}
    assert tracked(ROOT) >= {"train.py", "tests/test_house.py"}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_run_downwards_at_the_door(name):
    own = imported(ROOT / f"{name}.py") & (PACKAGES | DOOR)
    assert own <= MAY_IMPORT[name]


@pytest.mark.parametrize("file", [ROOT / "nn_math.py", *(ROOT / "network").glob("*.py")])
def test_the_mathematics_needs_nothing_but_numpy(file):
    allowed = set(sys.stdlib_module_names) - {"argparse"} | {"numpy", "nn_math", "network"}
    assert imported(file) <= allowed


def test_each_mutation_finds_its_place_in_the_code():
    for mutation in mutations.MUTATIONS:
        assert mutations.mutated(mutation)  # it exits unless the old text is there once
