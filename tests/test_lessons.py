"""The lessons: each exercise has a solution and a check, and with the solutions all of them run."""

import contextlib
import io
import json
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import IPython.core.events
import matplotlib.pyplot as plt
import numpy as np
import pytest
import start
from checks import check
from pyspark import SparkContext
from test_makefile import make

from nn_math import initial_parameters, sigmoid, sigmoid_prime

ROOT = Path(__file__).resolve().parent.parent
LESSONS = sorted((ROOT / "lessons").glob("*.ipynb"))
MOST_IMPORTS = 6  # in one cell

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)


def read(lesson: Path) -> dict:
    """A notebook; the source of each cell as one text."""
    notebook = json.loads(lesson.read_text())
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
    return notebook


def is_exercise(cell) -> bool:
    return "exercise" in cell["metadata"].get("tags", [])


def exercises(notebook) -> list[tuple]:
    """Each exercise with the two cells after it: its solution and its check."""
    cells = notebook["cells"]
    return [cells[i : i + 3] for i, cell in enumerate(cells) if is_exercise(cell)]


def code_in(solution) -> str:
    """The code of a folded solution."""
    (code,) = re.findall(r"<details>.*?```python\n(.*?)```.*?</details>", solution["source"], re.S)
    return code


def checked(cell) -> tuple[str, str]:
    """Of `check.map_1(my_map)`: the check, and the function that it is given."""
    return re.fullmatch(r"check\.(\w+)\((\w+)\)", cell["source"]).groups()


def names_at_hand() -> dict:
    """What an exercise may use of the cells above it."""
    W1, B1, W2, B2 = initial_parameters(1, 64, 2)
    parameters = {"W1": W1, "B1": B1, "W2": W2, "B2": B2, "W": W1[:, :1], "B": B1[:, :1]}
    return {"np": np, "sigmoid": sigmoid, "sigmoid_prime": sigmoid_prime} | parameters


def test_there_are_seven_lessons_in_their_order():
    assert [path.name[:2] for path in LESSONS] == [f"{number}_" for number in range(1, 8)]


@each_lesson
def test_a_lesson_is_stored_small_and_without_outputs(lesson):
    assert lesson.stat().st_size < 200_000
    for cell in read(lesson)["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


@each_lesson
def test_no_cell_of_a_lesson_imports_much(lesson):
    for cell in read(lesson)["cells"]:
        imports = re.findall(r"^(?:import|from) ", cell["source"], re.M)
        assert cell["cell_type"] != "code" or len(imports) <= MOST_IMPORTS


@each_lesson
def test_each_exercise_has_a_gap_a_solution_that_is_right_and_a_check(lesson):
    found = exercises(read(lesson))
    assert len(found) >= 2
    for gap, solution, call in found:
        name, function = checked(call)
        names = names_at_hand()
        exec(code_in(solution), names)
        assert getattr(check, name).answer(names[function]) == "right"
        assert "..." in gap["source"]


@each_lesson
def test_an_exercise_that_is_not_solved_yet_is_told_so(lesson):
    for gap, _, call in exercises(read(lesson)):
        name, function = checked(call)
        names = names_at_hand()
        exec(gap["source"], names)
        answer = getattr(check, name).answer(names[function])
        assert re.search("it (returns nothing yet|is still `...`|is unchanged|is all 0)", answer)


def test_every_check_is_called_in_a_lesson():
    called = [checked(call)[0] for path in LESSONS for _, _, call in exercises(read(path))]
    assert sorted(called) == sorted(vars(check))


def solved(lesson: Path):
    """A lesson with its solutions in place of the gaps."""
    notebook = read(lesson)
    for gap, solution, _ in exercises(notebook):
        gap["source"] = code_in(solution)
    return notebook


# What the text of a lesson promises: lines that its cells print, and numbers within bounds.
LINES = {
    1: ["the count fails with", "ValueError: matmul"],
    4: ["same seed, same partitions: equal bits? True"],
    5: [
        "eight maps, reduce: 1 stage(s), tasks: [8]",
        "images of each digit: 2 stage(s), tasks: [8, 8]",
        "partition 3: attempt 1",
        "equal bits in spite of it? True",
        "treeReduce: 2 stage(s)",
    ],
    7: ["It is a 0."],
}
NUMBERS = {
    3: [(r"differs by ([\d.e-]+) at most", 0, 1e-8)],
    4: [(r"epoch 10: .* accuracy ([\d.]+)%", 97, 100)],
    5: [(r"pass 3: .* accuracy ([\d.]+)%", 99, 100)],
    6: [(r"epoch 10: .* accuracy ([\d.]+)%", 97, 100), (r"([\d.]+)% of .* test images", 93, 100)],
    7: [
        (r"digit 0: precision ([\d.]+)", 0.97, 1),
        (r"digit 1: precision .* recall ([\d.]+)", 0.97, 1),
        (r"the network is off by ([\d.]+)", 0, 0.12),
    ],
}
# Seconds of a slow way and of a fast one.
FASTER = {
    1: (r"first count: +([\d.]+) s", r"second count: +([\d.]+) s"),
    5: (r"eight maps, image by image +([\d.]+) s", r"stored as blocks +([\d.]+) s"),
}


def run_in_jupyter(lesson: Path, notebook: dict) -> list[str]:
    """What each cell prints, in a kernel of its own, as for who takes the course."""
    import nbformat  # here, because it takes seconds
    from nbclient import NotebookClient

    run = nbformat.from_dict(notebook)
    where = {"metadata": {"path": str(lesson.parent)}}
    NotebookClient(run, timeout=600, resources=where).execute()
    return ["".join(out.get("text", "") for out in cell.get("outputs", [])) for cell in run.cells]


def run_here(notebook: dict) -> list[str]:
    """What each cell prints, in the suite's Spark, which takes a third of the time."""
    names, printed = {"__name__": "a lesson"}, []
    for cell in notebook["cells"]:
        with contextlib.redirect_stdout(io.StringIO()) as output:
            if cell["cell_type"] == "code":
                exec(cell["source"], names)
        printed.append(output.getvalue())
    return printed


def assert_promises_kept(lesson: Path, notebook: dict, printed: list[str]) -> None:
    for place, cell in enumerate(notebook["cells"]):
        if is_exercise(cell):
            assert printed[place + 2] == "right\n"
    number, text = int(lesson.name[0]), "".join(printed)
    for line in LINES.get(number, []):
        assert line in text
    for pattern, least, most in NUMBERS.get(number, []):
        values = [float(value) for value in re.findall(pattern, text)]
        assert values and least <= min(values) and max(values) <= most, pattern
    if number in FASTER:
        slow, fast = (float(re.search(pattern, text)[1]) for pattern in FASTER[number])
        assert fast < slow / 2


@pytest.mark.long
@pytest.mark.parametrize(
    ("lesson", "data"),
    [*((lesson, "MNIST") for lesson in LESSONS), (LESSONS[-1], "offline")],
    ids=lambda value: getattr(value, "stem", value),
)
def test_a_lesson_runs_with_its_solutions_and_keeps_its_promises(
    lesson, data, spark, monkeypatch, request
):
    """The last one also on drawn digits: it loads, trains and scores."""
    place = request.getfixturevalue("real_mnist") if data == "MNIST" else data
    monkeypatch.setenv("MNIST_DATA", place)
    monkeypatch.setattr(SparkContext, "stop", lambda _: None)  # the other tests need it
    monkeypatch.setattr(plt, "show", lambda: plt.close("all"))
    notebook = solved(lesson)
    assert_promises_kept(lesson, notebook, run_here(notebook))


@pytest.mark.long
def test_a_lesson_runs_in_jupyter(mnist, monkeypatch):
    monkeypatch.setenv("MNIST_DATA", mnist)
    notebook = solved(LESSONS[2])
    assert_promises_kept(LESSONS[2], notebook, run_in_jupyter(LESSONS[2], notebook))


def test_a_cell_that_is_interrupted_ends_its_jobs(spark, monkeypatch):
    events = IPython.core.events.EventManager(None, {"post_run_cell": lambda result: None})
    monkeypatch.setattr(start, "get_ipython", lambda: SimpleNamespace(events=events))
    start.start_spark("a lesson")
    try:
        with ThreadPoolExecutor() as threads:
            job = threads.submit(spark.parallelize([1], 1).foreach, lambda _: time.sleep(30))
            while not spark.statusTracker().getActiveJobsIds():
                time.sleep(0.1)
            events.trigger("post_run_cell", SimpleNamespace(error_in_exec=KeyboardInterrupt()))
            assert "cancelled" in str(job.exception(timeout=20))
    finally:
        start._running.close()
    assert events.callbacks["post_run_cell"] == []


def test_make_notebook_opens_the_first_lesson_on_this_machine_only(tmp_path):
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@" > told\n')
    (tmp_path / "python").chmod(0o755)
    done = make(tmp_path, "notebook", "PYTHON_HERE=./python")
    assert (done.returncode, done.stderr) == (0, "")
    told = (tmp_path / "told").read_text().splitlines()
    assert told[:3] == ["-m", "notebook", "--ip=127.0.0.1"]
    assert ("--allow-root" in told) == (os.geteuid() == 0)  # Jupyter asks root for it
    (opened,) = [word for word in told if "default_url" in word]
    assert opened.endswith(f"=/notebooks/lessons/{LESSONS[0].name}")
