"""One local Spark for the whole suite, MNIST or what stands in for it, and a small cut of it."""

import contextlib
import os
import signal
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

import train
from images import idx_files, offline_digits, sources
from images.download import SHA256, download_mnist
from pictures import figures, report
from runtime import storage
from runtime.command_line import UserError
from runtime.spark import spark_context
from training.recipes import IN_PARTITION

ROOT = Path(__file__).resolve().parent.parent
# Where the suite runs in the background, Ctrl-C is ignored, and so it would be in what it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


# These files come first where the order is kept: at the end no process works alone for long.
SLOWEST = [
    "test_spark",
    "test_cluster",
    "test_page",
    "test_lessons",
    "test_own",
    "test_checkpoints",
]


def pytest_collection_modifyitems(items):
    place = {name: number for number, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(place)))


@pytest.fixture(scope="session")
def spark():
    os.environ.setdefault(
        "PYSPARK_SUBMIT_ARGS", "--master local[2] --conf spark.task.maxFailures=2 pyspark-shell"
    )
    with spark_context("tests") as context:
        yield context


def find_mnist() -> Path:
    """The folder of MNIST's four .gz files: MNIST_DATA, or ../shared/mnist, data/mnist, a download.

    Raises UserError if there is none.
    """
    told = os.environ.get("MNIST_DATA")
    folder = Path(told) if told else ROOT.parent / "shared" / "mnist"
    if all((folder / f"{name}.gz").is_file() for name in SHA256):
        return folder
    if told:
        raise UserError(f"no MNIST in {told}: set MNIST_DATA to the folder of its four .gz files")
    download_mnist(ROOT / "data" / "mnist")  # fetches only what is not there yet
    return ROOT / "data" / "mnist"


@pytest.fixture(scope="session")
def real_mnist() -> str:
    """The folder of MNIST itself, for tests of facts about it; without it they are skipped.

    With CI or MNIST_DATA set they fail: nobody there wants a suite that passes on less.
    The reason for skipping is one line of the summary, which names this line once.
    """
    try:
        return str(find_mnist())
    except UserError as error:
        if os.environ.get("CI") or os.environ.get("MNIST_DATA"):
            pytest.fail(str(error))
        pytest.skip("no MNIST: set MNIST_DATA to its folder")


@pytest.fixture(scope="session")
def mnist(request, tmp_path_factory) -> str:
    """A folder of four .gz files: MNIST, or where it cannot be had the offline digits."""
    try:
        return request.getfixturevalue("real_mnist")
    except pytest.skip.Exception:
        folder = tmp_path_factory.mktemp("offline_digits")
    for part, names in sources.IDX_NAMES.items():
        for name, values in zip(names, offline_digits.draw_part(part, range(10)), strict=True):
            (folder / f"{name}.gz").write_bytes(idx_files.pack(values))
    return str(folder)


@pytest.fixture(scope="session")
def ten_thousand(mnist) -> tuple[np.ndarray, np.ndarray]:
    """The test images (10000, 784) and their labels (10000,), all ten digits."""
    images, labels = (
        read(storage.read(f"{mnist}/t10k-{kind}-ubyte.gz"), kind)
        for kind, read in (
            ("images-idx3", idx_files.read_images),
            ("labels-idx1", idx_files.read_labels),
        )
    )
    return images, labels


@pytest.fixture(scope="session")
def few_images(ten_thousand) -> tuple[np.ndarray, np.ndarray]:
    """The first 900 test images (900, 784) and their labels (900,), all ten digits."""
    images, labels = ten_thousand
    return images[:900], labels[:900]


def write_data(folder: Path, images: np.ndarray, labels: np.ndarray, training: int) -> str:
    """A data folder, in plain IDX files: so many training images, the others to test with."""
    for stem, part in (("train", slice(training)), ("t10k", slice(training, None))):
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(idx_files.encode(images[part]))
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(idx_files.encode(labels[part]))
    return str(folder)


@pytest.fixture(scope="session")
def small_mnist(few_images, tmp_path_factory) -> str:
    """A data folder of 600 training and 300 test images."""
    return write_data(tmp_path_factory.mktemp("small_mnist"), *few_images, 600)


@pytest.fixture(scope="session")
def medium_mnist(ten_thousand, tmp_path_factory) -> str:
    """A data folder of 9,000 training and 1,000 test images: networks learn from it in seconds."""
    return write_data(tmp_path_factory.mktemp("medium_mnist"), *ten_thousand, 9000)


@pytest.fixture
def without_figures(monkeypatch):
    """Runs that draw nothing: a figure takes longer than an epoch on a few images."""
    monkeypatch.setattr(figures, "draw_training", lambda *_: None)
    monkeypatch.setattr(figures, "draw_scores", lambda *_: None)


@pytest.fixture
def without_scores_drawn(monkeypatch):
    """Scoring that draws neither figures nor the page."""
    monkeypatch.setattr(report, "draw", lambda *_: None)


@pytest.fixture
def small_copies(monkeypatch):
    """In averaging, 600 images are enough for three copies of the network."""
    import gated  # here, because a test uses this file alone

    monkeypatch.setitem(IN_PARTITION, "averaging", gated.SMALL_COPIES["averaging"])


@pytest.fixture
def undisturbed(spark, mnist, tmp_path, without_figures, small_copies):
    """The parameters of a run that nothing disturbs, on this machine's cores."""

    def run(*words) -> bytes:
        folder = tmp_path / "undisturbed"
        places = ["--model-dir", folder, "--plots-dir", folder]
        assert train.main([str(word) for word in (*words, *places)]) == 0
        return (folder / "parameters.npz").read_bytes()

    return run


@pytest.fixture
def mounted(spark):
    """Gives a local folder a URI of Hadoop's own scheme viewfs://, as hdfs:// is one of its own."""

    def mount(folder: Path) -> str:
        name = f"mount{abs(hash(folder))}"
        link = f"fs.viewfs.mounttable.{name}.link./mounted"
        spark._jsc.hadoopConfiguration().set(link, f"file://{folder}")
        return f"viewfs://{name}/mounted"

    return mount


@pytest.fixture
def unprivileged():
    """Gives a block in which this process is no longer root, who may write anywhere."""

    @contextlib.contextmanager
    def become(folder: Path):
        user = os.geteuid()
        if user == 0:
            base = Path(tempfile.gettempdir())
            for outer in (folder, *folder.parents):  # let that user pass
                if base not in outer.parents:
                    break
                outer.chmod(outer.stat().st_mode | stat.S_IXOTH | stat.S_IXGRP)
            os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(user)

    return become
