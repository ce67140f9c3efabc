"""What Spark leaves to a person when a job fails."""

import subprocess
import sys
from pathlib import Path

import pytest

import train

ROOT = Path(train.__file__).parent

FAILING = """
import os, signal, sys
from command_line import UserError, exit_status
from spark_session import spark_context

def fail(number):
    if how == "broken shard":
        raise UserError("shards/train-labels-idx1-ubyte-00017.gz: is cut off")
    if how == "mistake":
        return number / 0
    if how == "killed worker":
        os.kill(os.getpid(), signal.SIGKILL)

@exit_status
def main(argv=None):
    with spark_context("failing") as spark:
        if how == "killed Java":
            spark._gateway.proc.kill()
        spark.parallelize(range(4), 2).map(fail).count()

how = sys.argv[1]
sys.exit(main())
"""


def run_failing(how: str) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, how], cwd=ROOT, capture_output=True, text=True
    )
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("broken shard", "error: shards/train-labels-idx1-ubyte-00017.gz: is cut off"),
        ("killed worker", "error: Spark gave up: "),
        ("killed Java", "error: Spark's Java process has ended"),
    ],
)
def test_a_job_that_spark_gives_up_is_told_in_one_line(how, said):
    status, errors = run_failing(how)
    assert (status, len(errors)) == (1, 1), errors
    assert errors[0].startswith(said)


def test_a_mistake_in_a_map_keeps_its_traceback():
    status, errors = run_failing("mistake")
    assert status == 1
    assert any(line.endswith("ZeroDivisionError: division by zero") for line in errors)
    assert any("in fail" in line for line in errors)
