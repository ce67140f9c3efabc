"""s3a:// against a server that speaks S3, also when connections break in the midst of a write.

`make test-hadoop` runs these: Maven fetches Hadoop's S3 client, once.
"""

import socket
import subprocess
import threading
from pathlib import Path

import pytest
from on_a_cluster import QUICK

import data_loader
import train
from cluster.hadoop import fetch_jars
from cluster.processes import environment, submit_command
from results import contents

pytestmark = pytest.mark.hadoop
BUCKET, WHOLE, SHARDS = "digits", "s3a://digits/data", "s3a://digits/shards"
KEYS = {"AWS_ACCESS_KEY_ID": "anybody", "AWS_SECRET_ACCESS_KEY": "anything"}


class Wire:
    """A connection to the server that can be told to break in the midst of an upload.

    The next `breaks` uploads of an object whose name ends in `name` break after 4 kB.
    """

    def __init__(self, server: tuple[str, int]):
        self.server, self.name, self.breaks = server, "checkpoint.npz", 0
        self.broken = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return  # it was closed
            server = socket.create_connection(self.server)
            for ends in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, upwards: bool):
        try:
            while chunk := source.recv(4096):
                first_line = chunk.partition(b"\r\n")[0]
                upload = first_line.startswith(b"PUT ") and self.name.encode() in first_line
                target.sendall(chunk)
                if upwards and upload and self.broken < self.breaks:
                    self.broken += 1
                    target.sendall(source.recv(4096))
                    break
        except OSError:
            pass  # the other direction has ended it
        for end in (source, target):
            end.close()


@pytest.fixture(scope="module")
def s3(small_mnist):
    """The wire to a server with a bucket that holds a small cut of MNIST, and a client of it."""
    import boto3  # here, as both take seconds
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    wire = Wire(server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url="http://{}:{}".format(*wire.server),
        region_name="us-east-1",
        aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=BUCKET)
    for file in Path(small_mnist).iterdir():
        client.upload_file(str(file), BUCKET, f"data/{file.name}")
    yield wire, client
    wire.listener.close()
    server.stop()


def content(client, key: str) -> bytes:
    return client.get_object(Bucket=BUCKET, Key=key)["Body"].read()


def names(client, folder: str) -> set[str]:
    found = client.list_objects_v2(Bucket=BUCKET, Prefix=f"{folder}/").get("Contents", [])
    return {one["Key"].removeprefix(f"{folder}/") for one in found}


@pytest.fixture
def submit(s3, tmp_path):
    """Run a script of the project's with the bucket at hand; gives what it said."""
    wire, _ = s3
    settings = {
        "spark.hadoop.fs.s3a.endpoint": f"http://127.0.0.1:{wire.port}",
        "spark.hadoop.fs.s3a.endpoint.region": "us-east-1",
        "spark.hadoop.fs.s3a.path.style.access": "true",
        "spark.ui.enabled": "false",
    }

    def run(script: str, *words, status: int = 0, **more: str) -> str:
        options = ["--jars", ",".join(map(str, fetch_jars().glob("*.jar")))]
        for name, value in {**settings, **more}.items():
            options += ["--conf", f"{name}={value}"]
        command = submit_command("local[2]", script, [str(word) for word in words], None, options)
        done = subprocess.run(
            command, cwd=tmp_path, env=environment() | KEYS | QUICK, capture_output=True, text=True
        )
        assert done.returncode == status, done.stdout + done.stderr[-3000:]
        return done.stdout + done.stderr

    return run


def here(tmp_path, *words) -> bytes:
    """The parameters of the same training on local files."""
    folder = tmp_path / "here"
    words = [str(word) for word in (*words, "--model-dir", folder, "--plots-dir", folder)]
    assert train.main(words) == 0
    return (folder / "parameters.npz").read_bytes()


def places(name: str) -> list[str]:
    return ["--model-dir", f"s3a://{BUCKET}/{name}", "--plots-dir", f"s3a://{BUCKET}/{name}/plots"]


def test_train_resume_and_predict_at_s3a(s3, submit, spark, small_mnist, tmp_path, without_figures):
    _, client = s3
    submit("train.py", "--data", WHOLE, "--epochs", 2, *places("model"))
    said = submit("train.py", "--data", WHOLE, "--epochs", 4, "--resume", *places("model"))
    assert "continuing after epoch 2" in said
    reference = here(tmp_path, "--data", small_mnist, "--epochs", 4)
    assert content(client, "model/parameters.npz") == reference
    submit("predict.py", "--data", WHOLE, *places("model"))
    expected = {"checkpoint.npz", "history.csv", "metrics.json", "parameters.npz", "settings.json"}
    expected |= {"doubt.npz"}
    assert expected | {"plots/cost.png", "plots/confusion_matrix.png"} <= names(client, "model")
    assert not [name for name in names(client, "model") if "tmp" in name]


def test_shards_at_s3a(s3, submit, spark, small_mnist, tmp_path, without_figures):
    _, client = s3
    submit("data_loader.py", "shard", WHOLE, SHARDS, "--shards", 5)
    words = ["--strategy", "partitions", "--digits", "all", "--epochs", 2]
    submit("train.py", "--data", SHARDS, *words, *places("sharded"))
    local = str(tmp_path / "shards")
    assert data_loader.main(["shard", small_mnist, local, "--shards", "5"]) == 0
    assert content(client, "sharded/parameters.npz") == here(tmp_path, "--data", local, *words)


def test_a_connection_that_breaks_in_the_midst_of_a_write_leaves_the_last_checkpoint_whole(
    s3, submit, spark, small_mnist, tmp_path, without_figures
):
    wire, client = s3
    words = ["--data", WHOLE, "--checkpoint-every", 1, *places("broken")]
    submit("train.py", *words, "--epochs", 2)
    before = content(client, "broken/checkpoint.npz")

    wire.broken, wire.breaks = 0, 1_000_000
    retries = {"spark.hadoop.fs.s3a.attempts.maximum": "1", "spark.hadoop.fs.s3a.retry.limit": "1"}
    said = submit("train.py", *words, "--epochs", 4, "--resume", status=1, **retries)
    assert wire.broken and f"error: cannot write s3a://{BUCKET}/broken/checkpoint.npz" in said
    assert content(client, "broken/checkpoint.npz") == before
    assert len(contents.arrays_of(before, ["history"])[0]) == 2

    wire.broken, wire.breaks = 0, 1  # once: the client tries again
    submit("train.py", *words, "--epochs", 4, "--resume")
    assert wire.broken == 1
    reference = here(tmp_path, "--data", small_mnist, "--epochs", 4)
    assert content(client, "broken/parameters.npz") == reference
    (last,) = contents.arrays_of(content(client, "broken/checkpoint.npz"), ["history"])
    assert len(last) == 4
