"""One local Spark for the whole suite, real MNIST, and a small cut of it."""

import os
from pathlib import Path

import numpy as np
import pytest

from images import idx_files
from results import figures
from runtime import storage
from runtime.spark import spark_context

MNIST = Path(os.environ.get("MNIST_DATA", Path(__file__).parent.parent.parent / "shared/mnist"))


@pytest.fixture(scope="session")
def spark():
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    with spark_context("tests") as context:
        yield context


@pytest.fixture(scope="session")
def mnist() -> str:
    """The folder of real MNIST; without it the suite fails rather than pass on less."""
    if not (MNIST / "t10k-images-idx3-ubyte.gz").exists():
        pytest.fail(f"no MNIST in {MNIST}: set MNIST_DATA to the folder of its four files")
    return str(MNIST)


@pytest.fixture(scope="session")
def few_images(mnist) -> tuple[np.ndarray, np.ndarray]:
    """The first 900 test images of MNIST (900, 784) and their labels (900,), all ten digits."""
    images, labels = (
        read(storage.read(f"{mnist}/t10k-{kind}-ubyte.gz"), kind)
        for kind, read in (
            ("images-idx3", idx_files.read_images),
            ("labels-idx1", idx_files.read_labels),
        )
    )
    return images[:900], labels[:900]


@pytest.fixture(scope="session")
def small_mnist(few_images, tmp_path_factory) -> str:
    """A data folder of 600 training and 300 test images of MNIST, in plain IDX files."""
    folder = tmp_path_factory.mktemp("small_mnist")
    images, labels = few_images
    for stem, part in (("train", slice(0, 600)), ("t10k", slice(600, 900))):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_files.encode(images[part]))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_files.encode(labels[part]))
    return str(folder)


@pytest.fixture
def without_figures(monkeypatch):
    """Runs that draw nothing: a figure takes longer than an epoch on a few images."""
    monkeypatch.setattr(figures, "draw_training", lambda *_: None)


@pytest.fixture
def mounted(spark):
    """Gives a local folder a URI of Hadoop's own scheme viewfs://, as hdfs:// is one of its own."""

    def mount(folder: Path) -> str:
        name = f"mount{abs(hash(folder))}"
        link = f"fs.viewfs.mounttable.{name}.link./mounted"
        spark._jsc.hadoopConfiguration().set(link, f"file://{folder}")
        return f"viewfs://{name}/mounted"

    return mount
