"""The notebook runs from top to bottom, on the code as it is now."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def committed():
    return nbformat.read(ROOT / "walkthrough.ipynb", as_version=4)


def pictures(cell) -> int:
    return sum("image/png" in output.get("data", {}) for output in cell.get("outputs", []))


def test_the_notebook_runs_from_top_to_bottom(committed, small_mnist, monkeypatch):
    monkeypatch.setenv("WALKTHROUGH_DATA", small_mnist)
    monkeypatch.setenv("WALKTHROUGH_EPOCHS", "2")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    fresh = nbformat.from_dict(committed)
    for cell in fresh.cells:
        cell["outputs"] = [] if cell.cell_type == "code" else cell.get("outputs")
    NotebookClient(fresh, timeout=300, resources={"metadata": {"path": os.fspath(ROOT)}}).execute()
    for then, now in zip(committed.cells, fresh.cells, strict=True):
        if then.cell_type == "code":
            assert pictures(now) == pictures(then)


def test_the_notebook_is_committed_with_its_outputs_on_mnist(committed):
    cells = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(map(pictures, cells)) >= 6
    assert "MNIST: 12,665 images" in str(cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
