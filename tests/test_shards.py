"""A training set in shards: read by the executors, whole and in order, or refused by name."""

import gzip
import hashlib
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from test_data_loader import assert_same, joined, raw_files

import data_loader
import predict
import train
from images import idx_files, sources
from runtime.command_line import UserError
from runtime.spark import spark_context
from training.recipes import STRATEGIES

NAMES = sources.IDX_NAMES["train"]
SHARDS = 7  # of 600 images: 85 or 86 each


@pytest.fixture(scope="module")
def made(small_mnist, tmp_path_factory) -> Path:
    """A data folder whose training set `shard` has split."""
    folder = tmp_path_factory.mktemp("made") / "a folder, [with] {odd} characters"
    assert data_loader.main(["shard", small_mnist, str(folder), "--shards", str(SHARDS)]) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path) -> Path:
    """A folder of shards of its own for each test, to be damaged."""
    return shutil.copytree(made, tmp_path / "shards")


def load(spark, folder: Path | str, digits=range(10), *more) -> data_loader.Split:
    return data_loader.load(spark, str(folder), "train", digits, *more)


def refusal(spark, folder: Path, *more) -> str:
    with pytest.raises(UserError) as caught:
        load(spark, folder, *more)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_shards_are_numbered_pairs_beside_the_test_set(made):
    numbered = {f"{name}-{shard:05}.gz" for name in NAMES for shard in range(SHARDS)}
    tests = {f"{name}.gz" for name in sources.IDX_NAMES["test"]}
    assert {path.name for path in made.iterdir()} == numbered | tests


def test_shards_in_their_order_are_the_files_that_were_split(made, small_mnist):
    images, labels = (
        np.concatenate(
            [read(gzip.decompress(p.read_bytes()), p.name) for p in sorted(made.glob(f"{name}-*"))]
        )
        for name, read in zip(NAMES, (idx_files.read_images, idx_files.read_labels), strict=True)
    )
    assert_same((images, labels), raw_files(small_mnist, "train"))
    sizes = [len(gzip.decompress(p.read_bytes())) - 8 for p in sorted(made.glob("train-labels-*"))]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("start", "partitions"), [("", 1), ("", 3), ("", SHARDS), ("file://", 3)])
def test_every_image_is_there_once_and_in_order(spark, made, small_mnist, partitions, start):
    split = load(spark, f"{start}{made}", range(10), partitions)
    assert split.blocks.getNumPartitions() == partitions
    assert_same(joined(split.blocks), raw_files(small_mnist, "train"))
    sizes = split.blocks.mapPartitions(lambda own: [sum(len(b[1]) for b in own)]).collect()
    assert min(sizes) >= 85 * (SHARDS // partitions)
    assert split.size == 600


def test_some_digits_of_shards_are_those_of_the_whole_set(spark, made, small_mnist):
    split, whole = load(spark, made, [3, 7]), load(spark, small_mnist, [3, 7])
    assert_same(joined(split.blocks), joined(whole.blocks))
    assert (split.size, split.digits) == (whole.size, whole.digits)


def test_gzipped_and_plain_shards_may_stand_together(spark, folder, small_mnist):
    before = load(spark, folder).sha256
    for shard in (0, 4):
        for name in NAMES:
            packed = folder / f"{name}-{shard:05}.gz"
            (folder / packed.stem).write_bytes(gzip.decompress(packed.read_bytes()))
            packed.unlink()
    split = load(spark, folder)
    assert_same(joined(split.blocks), raw_files(small_mnist, "train"))
    assert split.sha256 == before


def test_hashes_are_those_of_the_list_that_sha256sum_prints(spark, made):
    for name in NAMES:
        text = "".join(
            f"{hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()}  {path.stem}\n"
            for path in sorted(made.glob(f"{name}-*"))
        )
        assert load(spark, made).sha256[name] == hashlib.sha256(text.encode()).hexdigest()


def test_a_shard_without_any_of_the_digits_is_no_mistake(spark, folder, without_figures):
    images, labels = np.full((5, 784), 9, np.uint8), np.full(5, 9, np.uint8)
    before = load(spark, folder, [0, 1])
    for name, values in zip(NAMES, (images, labels), strict=True):
        (folder / f"{name}-{SHARDS:05}").write_bytes(idx_files.encode(values))
    after = load(spark, folder, [0, 1], SHARDS + 1)
    assert after.size == before.size
    assert_same(joined(after.blocks), joined(before.blocks))
    for strategy in STRATEGIES:
        words = ["--data", folder, "--strategy", strategy, "--epochs", 1, "--partitions", 8]
        places = ["--model-dir", folder.parent, "--plots-dir", folder.parent]
        assert train.main([str(word) for word in (*words, *places)]) == 0


def test_files_of_other_names_are_left_alone(spark, folder, small_mnist):
    for name in ("train-images-idx3-ubyte-00007.gz.tmp", "train-images-idx3-ubyte-1", "README"):
        (folder / name).write_text("something else")
    assert_same(joined(load(spark, folder).blocks), raw_files(small_mnist, "train"))


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_one_more(content: bytes) -> bytes:
    return gzip.compress(gzip.decompress(content) + b"\3")


@pytest.mark.parametrize(
    ("name", "damage", "said"),
    [
        ("train-images-idx3-ubyte-00005.gz", cut, "damaged gzip file"),
        ("train-labels-idx1-ubyte-00005.gz", cut, "damaged gzip file"),
        ("train-images-idx3-ubyte-00000.gz", lambda content: b"", "but is an empty file"),
        ("train-labels-idx1-ubyte-00006.gz", with_one_more, "is too long"),
        ("train-images-idx3-ubyte-00003.gz", lambda content: b"<html>Log in", "but is a web page"),
    ],
)
def test_a_broken_shard_is_named(spark, folder, name, damage, said, capfd):
    (folder / name).write_bytes(damage((folder / name).read_bytes()))
    text = refusal(spark, folder)
    assert text.startswith(f"{folder}/{name}: ") and said in text
    assert capfd.readouterr().err == ""


def test_a_broken_shard_at_a_uri_is_named(spark, folder):
    name = f"{NAMES[0]}-00005.gz"
    (folder / name).write_bytes(cut((folder / name).read_bytes()))
    assert refusal(spark, f"file://{folder}").startswith(f"file://{folder}/{name}: damaged gzip")


def test_of_several_broken_shards_the_first_is_named_and_the_others_counted(spark, folder):
    for shard in (2, 4, 5):
        (folder / f"{NAMES[0]}-{shard:05}.gz").write_bytes(b"broken")
    text = refusal(spark, folder)
    assert text.startswith(f"{folder}/{NAMES[0]}-00002.gz: ")
    assert text.endswith("(and 2 more errors)")


def test_a_shard_of_other_labels_is_named(spark, folder):
    shutil.copy(folder / f"{NAMES[1]}-00000.gz", folder / f"{NAMES[1]}-00001.gz")
    text = refusal(spark, folder)  # 85 and 86 images
    assert f"{NAMES[0]}-00001.gz: 86 images but 85 labels in" in text


def test_a_shard_that_breaks_after_it_was_read_is_not_skipped(spark, folder):
    """As when an executor is lost with its blocks, and the file has changed meanwhile."""
    blocks = load(spark, folder, range(10), 3).blocks
    place = folder / f"{NAMES[0]}-00004.gz"
    place.write_bytes(b"broken")
    assert blocks.count() > 0, "Spark keeps them"
    blocks.prev.unpersist(True)
    with pytest.raises(UserError) as caught, spark_context("again"):
        blocks.count()
    assert str(caught.value).startswith(f"{place}: ")


def test_a_relative_path_is_that_of_the_driver(spark, folder, monkeypatch, small_mnist):
    monkeypatch.chdir(folder.parent)
    split = load(spark, "shards")
    assert split.name == split.place == "shards"
    assert_same(joined(split.blocks), raw_files(small_mnist, "train"))


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        (f"{NAMES[0]}-00003.gz", f"{NAMES[0]}-00003 (or {NAMES[0]}-00003.gz) is missing"),
        (f"{NAMES[1]}-00003.gz", f"{NAMES[1]}-00003 (or {NAMES[1]}-00003.gz) is missing"),
        (f"{NAMES[0]}-00000.gz", f"{NAMES[0]}-00000 (or {NAMES[0]}-00000.gz) is missing"),
    ],
)
def test_a_missing_file_of_a_shard_is_named(spark, folder, missing, said):
    (folder / missing).unlink()
    text = refusal(spark, folder)
    assert text.startswith(f"{folder}: ") and said in text


def test_a_shard_that_is_there_twice_is_named(spark, folder):
    (folder / f"{NAMES[0]}-00002").write_bytes(b"the same, unpacked")
    assert f"{NAMES[0]}-00002 and {NAMES[0]}-00002.gz are the same shard" in refusal(spark, folder)


def test_a_whole_set_beside_its_shards_is_refused(spark, folder, small_mnist):
    shutil.copy(Path(small_mnist, NAMES[0]), folder)
    text = refusal(spark, folder)
    assert text == f"{folder}/{NAMES[0]} is there as a whole and in shards; keep one of them"


def test_a_digit_that_is_in_no_shard_is_named(spark, folder):
    for path in folder.glob("train-labels-*"):
        labels = gzip.decompress(path.read_bytes())
        path.write_bytes(gzip.compress(labels[:8] + labels[8:].replace(b"\7", b"\1")))
    text = refusal(spark, folder, [1, 7])
    where = f"digit 7 does not occur in the train set of {folder}"
    assert text == f"{where}, only 0, 1, 2, 3, 4, 5, 6, 8, 9; see --digits"


def test_more_partitions_than_shards_are_refused(spark, folder):
    text = refusal(spark, folder, range(10), SHARDS + 1)
    assert text == f"--partitions {SHARDS + 1}: the train set has only {SHARDS} shards"


@pytest.mark.long
def test_a_run_with_every_place_in_a_hadoop_file_system_is_scored(
    folder, mounted, tmp_path, capsys, without_scores_drawn
):
    results = mounted(tmp_path)
    places = ["--data", mounted(folder), "--model-dir", f"{results}/m", "--plots-dir", results]
    assert train.main([*places, "--epochs", "1", "--strategy", "partitions"]) == 0
    assert train.main([*places, "--epochs", "2", "--strategy", "partitions", "--resume"]) == 0
    assert predict.main(places) == 0
    assert "test images" in capsys.readouterr().out
    assert {"parameters.npz", "metrics.json"} <= {path.name for path in (tmp_path / "m").iterdir()}
    assert (tmp_path / "cost.png").exists()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("shard {source} {target} --shards 601", 1, "--shards 601: there are only 600 training"),
        ("shard {source}/nowhere {target}", 1, "SRC {source}/nowhere: no such folder"),
        ("shard {source} ''", 2, "argument DST: the place is empty"),
        ("shard {source} {source}", 1, "{source}: holds files of a data set already"),
        ("shard {source} {made}", 1, "{made}: holds files of a data set already"),
        ("shard {source} {target} --shards 0", 2, "'0' is not a whole number of 1 or more"),
        ("shard {source} {target} --shards 100001", 2, "'100001' is more than 100000"),
        ("shard {source}", 2, "the following arguments are required: DST"),
        ("", 2, "the following arguments are required: COMMAND"),
        ("split {source} {target}", 2, "invalid choice: 'split'"),
    ],
)
def test_what_cannot_be_sharded_is_told_in_one_line(
    made, small_mnist, tmp_path, capsys, words, status, said
):
    places = {"source": small_mnist, "target": str(tmp_path / "new"), "made": "{made}"}
    argv = [word.format(**places).replace("{made}", str(made)) for word in shlex.split(words)]
    try:
        found = data_loader.main(argv)
    except SystemExit as stopped:
        found = stopped.code
    error = capsys.readouterr().err
    assert found == status
    assert error.startswith("error: ") and len(error.splitlines()) == 1
    assert said.format(**places).replace("{made}", str(made)) in error
    assert not (tmp_path / "new").exists()


def test_sharding_twice_gives_the_same_bytes(made, small_mnist, tmp_path):
    words = ["shard", small_mnist, tmp_path.as_uri() + "/again", "--shards", str(SHARDS)]
    assert data_loader.main(words) == 0
    for path in made.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
