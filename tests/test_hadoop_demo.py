"""The demonstration on HDFS and YARN, as a user runs it; `make test-hadoop` runs these tests."""

import re
import subprocess
import sys

import numpy as np
import pytest
from from_outside import wait_until
from on_a_cluster import group
from test_hadoop import EXECUTOR

pytestmark = pytest.mark.hadoop


def test_the_demonstration_trains_on_yarn_scores_and_leaves_no_process(
    small_mnist, few_images, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    tested = np.count_nonzero(few_images[1][600:] < 2)
    words = ["--data", small_mnist, "--strategy", "partitions", "--epochs", "2"]
    demo = [sys.executable, "-m", "cluster.hadoop_demo", *words]
    done = subprocess.run(demo, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("epoch 2/2") == 2 and f" {tested} test images" in done.stdout
    for file in ("data/digits/train-images-idx3-ubyte-00007.gz", "client/plots/cost.png"):
        assert f"/{file}\n" in done.stdout
    assert "/cluster/model/metrics.json\n" in done.stdout
    pids = re.findall(r"runs as process (\d+)", done.stdout)
    assert len(pids) == 5 and not any(group(int(pid)) for pid in pids)


def test_a_demonstration_that_is_killed_stops_its_servers_and_containers(
    small_mnist, tmp_path, monkeypatch
):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    words = ["--data", small_mnist, "--epochs", "100000"]
    command = [sys.executable, "-m", "cluster.hadoop_demo", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        pids = []
        while len(pids) < 5:
            line = demo.stdout.readline()
            assert line, "it has ended before its servers ran"
            pids += [int(pid) for pid in re.findall(r"runs as process (\d+)", line)]

        def executor_runs() -> bool:
            return any(EXECUTOR in line for pid in pids for line in group(pid).values())

        wait_until(executor_runs, 300)
        assert all(group(pid) for pid in pids)
        demo.kill()
    wait_until(lambda: not any(group(pid) for pid in pids))


def test_without_maven_the_demonstration_says_in_one_line_what_to_install(
    tmp_path, monkeypatch, capsys
):
    from cluster import hadoop_demo

    java = subprocess.run(["which", "java"], capture_output=True, text=True).stdout.strip()
    (tmp_path / "java").symlink_to(java)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("cluster.hadoop.KEPT", tmp_path / "kept")
    assert hadoop_demo.main(["--data", "offline"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and "apt install maven" in error and error.count("\n") == 1
