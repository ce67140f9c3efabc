"""What the environment says of Java and Spark, and what is said of it before Java starts."""

import os
import socket
import subprocess
from pathlib import Path

import pyspark
import pytest

from runtime import java
from runtime.command_line import UserError


@pytest.fixture
def environment(monkeypatch):
    for name in ("PYSPARK_SUBMIT_ARGS", "SPARK_CONF_DIR", "SPARK_HOME", "SPARK_LOCAL_IP", "MASTER"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch.setenv


@pytest.mark.parametrize(
    ("told", "master"),
    [
        ("--master spark://a:7077 pyspark-shell", "spark://a:7077"),
        ("--master=local[2] pyspark-shell", "local[2]"),
        ("--conf spark.master=yarn pyspark-shell", "yarn"),
        ("--conf 'spark.master=yarn' pyspark-shell", "yarn"),
        ("--conf spark.ui.enabled=false pyspark-shell", "spark://from-file:7077"),
    ],
)
def test_the_master_is_that_of_the_arguments_or_of_the_file(environment, tmp_path, told, master):
    (tmp_path / "spark-defaults.conf").write_text(
        "# spark.master yarn\n  spark.master   spark://from-file:7077\nspark.ui.enabled false\n"
    )
    environment("SPARK_CONF_DIR", str(tmp_path))
    environment("PYSPARK_SUBMIT_ARGS", told)
    assert java.master_asked_for() == master


def test_the_file_of_spark_home_counts_too_and_without_any_there_is_no_master(
    environment, tmp_path
):
    environment("SPARK_HOME", str(tmp_path))
    assert java.master_asked_for() == ""
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/spark-defaults.conf").write_text("spark.master=yarn\n")
    assert java.master_asked_for() == "yarn"


def spark_home(folder: Path, version: str) -> str:
    for name in ("bin/spark-submit", f"jars/spark-core_2.13-{version}.jar"):
        (folder / name).parent.mkdir()
        (folder / name).touch()
    return str(folder)


def test_another_spark_in_spark_home_is_told_with_both_versions(environment, tmp_path):
    home = spark_home(tmp_path, "3.1.2")
    environment("SPARK_HOME", home)
    with pytest.raises(UserError) as caught:
        java.check_environment()
    said = f"SPARK_HOME={home} is Spark 3.1.2, and this Python has PySpark {pyspark.__version__}"
    assert str(caught.value).startswith(f"{said}: unset SPARK_HOME")


def test_the_same_spark_in_spark_home_is_fine(environment, tmp_path):
    environment("SPARK_HOME", spark_home(tmp_path, pyspark.__version__))
    java.check_environment()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SPARK_HOME", "/nowhere", "SPARK_HOME=/nowhere holds no Spark"),
        ("PYSPARK_SUBMIT_ARGS", "--master local[2]", '"--master local[2] pyspark-shell"'),
        ("PYSPARK_SUBMIT_ARGS", "", "has to end with the word pyspark-shell"),
        ("SPARK_LOCAL_IP", "192.0.2.9", "SPARK_LOCAL_IP=192.0.2.9 is no address of this machine"),
        ("SPARK_LOCAL_IP", "no.such.host.invalid", "is no address of this machine"),
    ],
)
def test_a_variable_that_keeps_spark_from_starting_is_named(environment, name, value, said):
    environment(name, value)
    with pytest.raises(UserError) as caught:
        java.check_environment()
    assert said in str(caught.value)


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "::1"])
def test_an_address_of_this_machine_is_fine(environment, address):
    if address == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    environment("SPARK_LOCAL_IP", address)
    java.check_environment()


def java_program(folder: Path, script: str) -> None:
    (folder / "bin").mkdir()
    program = folder / "bin/java"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'Unrecognized VM option Old' >&2; exit 1", "does not start: Unrecognized VM option"),
        ("echo 'Too small maximum heap'; exit 1", "does not start: Too small maximum heap"),
        ("exit 0", "does not start: it prints nothing"),
        ("""echo 'openjdk version "1.7.0_80"' >&2""", "is Java 7. To install it: "),
        (None, "there is none in JAVA_HOME={folder}. To install it: "),
    ],
)
def test_a_java_that_cannot_serve_is_told_with_the_cause(monkeypatch, tmp_path, script, said):
    if script is not None:
        java_program(tmp_path, script)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(UserError) as caught:
        java.find()
    assert said.format(folder=tmp_path) in str(caught.value)


def test_setup_and_the_program_say_the_same_of_a_missing_java(monkeypatch, tmp_path):
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    monkeypatch.setenv("VENV", str(tmp_path / "venv"))  # what is set up already needs no Java
    script = java.modules.ROOT / "setup.sh"
    done = subprocess.run(["sh", script], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 1
    assert done.stderr.strip().endswith(java._remedy().removeprefix(". "))
