"""The rooms of the house: what the four files at the door import, and who sees that it stays so."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {path.parent.name for path in ROOT.glob("*/__init__.py")}
DOOR = {path.stem for path in ROOT.glob("*.py")}
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
    assert {f"{name}.py" for name in MAY_IMPORT} == {path.name for path in ROOT.glob("*.py")}


@pytest.mark.parametrize("name", MAY_IMPORT)
def test_imports_run_downwards_at_the_door(name):
    own = imported(ROOT / f"{name}.py") & (PACKAGES | DOOR)
    assert own <= MAY_IMPORT[name]


@pytest.mark.parametrize("file", [ROOT / "nn_math.py", *(ROOT / "network").glob("*.py")])
def test_the_mathematics_needs_nothing_but_numpy(file):
    allowed = set(sys.stdlib_module_names) - {"argparse"} | {"numpy", "nn_math", "network"}
    assert imported(file) <= allowed
