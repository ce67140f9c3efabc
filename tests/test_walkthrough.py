"""The notebook runs on the code as it is now, and shows what it is stored with."""

import base64
import os
import re
from pathlib import Path

import pytest
from test_figures import png_size

pytestmark = pytest.mark.long
ROOT = Path(__file__).parent.parent
RENEW = ".venv/bin/jupyter nbconvert --to notebook --execute --inplace walkthrough.ipynb"


@pytest.fixture(scope="module")
def stored():
    import nbformat  # here, as it takes seconds

    return nbformat.read(ROOT / "walkthrough.ipynb", as_version=4)


@pytest.fixture
def rerun(stored, monkeypatch):
    """Runs the notebook on a data folder and gives it with its new outputs."""

    import nbformat
    from nbclient import NotebookClient

    def run(folder: str):
        monkeypatch.setenv("WALKTHROUGH_DATA", folder)
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        fresh = nbformat.from_dict(stored)
        for cell in code(fresh):
            cell["outputs"] = []
        where = {"metadata": {"path": os.fspath(ROOT)}}
        return NotebookClient(fresh, timeout=900, resources=where).execute()

    return run


def code(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def said(cell) -> str:
    """What a cell prints, without how long it took."""
    printed = [output.text for output in cell.outputs if output.get("name") == "stdout"]
    return re.sub(r"[\d.]+ s\b", "some s", "".join(printed))


def pictures(cell) -> list[tuple[int, int]]:
    """Width and height of each picture that a cell shows."""
    shown = [output.get("data", {}).get("image/png") for output in cell.outputs]
    return [png_size(base64.b64decode(content)) for content in shown if content]


def test_the_notebook_runs_from_top_to_bottom_on_any_data(stored, rerun, small_mnist, monkeypatch):
    monkeypatch.setenv("WALKTHROUGH_EPOCHS", "2")
    fresh = rerun(small_mnist)
    for then, now in zip(code(stored), code(fresh), strict=True):
        assert len(pictures(now)) == len(pictures(then))


def test_the_notebook_shows_what_it_is_stored_with(stored, rerun, real_mnist):
    fresh = rerun(real_mnist)
    for then, now in zip(code(stored), code(fresh), strict=True):
        assert said(now) == said(then), f"stored with old outputs; run it on MNIST: {RENEW}"
        for size, old_size in zip(pictures(now), pictures(then), strict=True):
            assert size == pytest.approx(old_size, rel=0.02), (
                f"stored with old pictures; run it on MNIST: {RENEW}"
            )


def test_the_notebook_is_stored_with_its_outputs_on_mnist(stored):
    cells = code(stored)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert sum(len(pictures(cell)) for cell in cells) == 7
    assert any("MNIST: 12,665 images" in said(cell) for cell in cells)
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
