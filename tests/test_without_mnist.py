"""The tests where MNIST is not: they run on the offline digits, but not in silence."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TWO_TESTS = """
def test_a_fact(real_mnist): ...
def test_anything(small_mnist): ...
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("told", "outcome", "reason"),
    [
        ({}, "1 passed, 1 skipped", "no MNIST: set MNIST_DATA to its folder"),
        ({"CI": "true"}, "2 errors", "no mirror serves"),
        ({"MNIST_DATA": "nowhere"}, "2 errors", "no MNIST in nowhere: set MNIST_DATA"),
    ],
    ids=["nothing set", "CI", "MNIST_DATA"],
)
def test_without_mnist_facts_about_it_are_skipped_or_fail_where_it_must_be(
    tmp_path, told, outcome, reason
):
    tests = tmp_path / "alone" / "tests"
    tests.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "conftest.py", tests)
    (tests / "test_two.py").write_text(TWO_TESTS)
    environment = {name: os.environ[name] for name in os.environ.keys() - {"CI", "MNIST_DATA"}}
    # A proxy where nobody listens: there is no network.
    environment |= {"PYTHONPATH": str(ROOT), "https_proxy": "http://127.0.0.1:9"} | told
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rsE", "--rootdir", str(tests), str(tests)],
        cwd=tests,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert outcome in done.stdout and reason in done.stdout, done.stdout
