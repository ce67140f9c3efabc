import gzip
import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest

from data_loader import default_partitions, find_data, image_label_pairs, load
from images import download, sources
from runtime.command_line import UserError

NAMES = list(download.SHA256)
# Of digits 0 and 1, as published.
COUNTS = {"train": [5923, 6742], "test": [980, 1135]}


def raw_files(folder: str, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (n, 784) and labels (n,) of a data folder, cut out of the bytes themselves."""
    contents = []
    for name in sources.IDX_NAMES[part]:
        plain, packed = Path(folder, name), Path(folder, f"{name}.gz")
        contents.append(plain.read_bytes() if plain.exists() else gzip.open(packed).read())
    images, labels = (np.frombuffer(content, np.uint8) for content in contents)
    return images[16:].reshape(-1, 784), labels[8:]


def chosen(folder: str, part: str, digits: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Images of some digits, in the order of the files, and the position of each one's digit."""
    images, labels = raw_files(folder, part)
    rows = [row for row, label in enumerate(labels.tolist()) if label in digits]
    return images[rows], np.array([digits.index(labels[row]) for row in rows])


def joined(blocks) -> tuple[np.ndarray, np.ndarray]:
    """All images and all labels of an RDD of blocks, in its order."""
    images, labels = zip(*blocks.collect(), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def assert_same(found, expected):
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def splits(spark, mnist):
    """The article's data: digits 0 and 1."""
    both = {part: load(spark, mnist, part, [0, 1]) for part in COUNTS}
    yield both
    for split in both.values():
        split.blocks.unpersist()


@pytest.mark.parametrize("part", COUNTS)
def test_zeros_and_ones_of_mnist_have_the_published_counts(real_mnist, splits, part):
    pairs = image_label_pairs(splits[part], "float32")
    labels = pairs.map(lambda pair: tuple(pair[1][0].tolist())).countByValue()
    assert labels == dict(zip([(1.0, 0.0), (0.0, 1.0)], COUNTS[part], strict=True))
    assert splits[part].size == sum(COUNTS[part])


@pytest.mark.parametrize("part", COUNTS)
def test_blocks_hold_every_image_once_in_the_order_of_the_files(splits, mnist, part):
    blocks = splits[part].blocks
    assert_same(joined(blocks), chosen(mnist, part, [0, 1]))
    assert {(a.dtype, b.dtype) for a, b in blocks.collect()} == {(np.dtype("uint8"),) * 2}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pairs_are_pixels_divided_by_255_and_one_hot_labels(splits, mnist, dtype):
    pairs = image_label_pairs(splits["test"], dtype).collect()
    images, labels = chosen(mnist, "test", [0, 1])
    assert {(x.shape, y.shape) for x, y in pairs} == {((1, 784), (1, 2))}
    assert {x.dtype for x, _ in pairs} == {y.dtype for _, y in pairs} == {np.dtype(dtype)}
    shade = np.array([level / 255 for level in range(256)]).astype(dtype)
    assert_same((np.concatenate([x for x, _ in pairs]),), (shade[images],))
    assert [y.tolist() for _, y in pairs] == [[[1 - label, label]] for label in labels.tolist()]


@pytest.mark.parametrize("digits", [[7, 3], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], [9, 4, 5]])
def test_a_label_is_the_position_of_its_digit_among_those_asked_for(spark, small_mnist, digits):
    split = load(spark, small_mnist, "test", digits)
    images, positions = chosen(small_mnist, "test", digits)
    assert_same(joined(split.blocks), (images, positions))
    assert (split.digits, split.size) == (tuple(digits), len(images))
    for (x, y), image, position in zip(
        image_label_pairs(split, "float64").collect(), images, positions, strict=True
    ):
        assert y.tolist() == [[float(place == position) for place in range(len(digits))]]
        assert (x[0] == image / 255).all()


@pytest.mark.parametrize("partitions", [1, 2, 7, 40])
def test_every_image_is_there_once_for_any_number_of_partitions(spark, small_mnist, partitions):
    split = load(spark, small_mnist, "test", range(10), partitions)
    assert split.blocks.getNumPartitions() == partitions
    assert_same(joined(split.blocks), raw_files(small_mnist, "test"))
    sizes = split.blocks.mapPartitions(lambda own: [sum(len(b[1]) for b in own)]).collect()
    assert max(sizes) - min(sizes) <= 1


def test_a_long_partition_comes_in_several_blocks_and_nothing_is_lost(spark, mnist):
    split = load(spark, mnist, "test", range(10), 2)
    assert split.blocks.count() > 2
    assert_same(joined(split.blocks), raw_files(mnist, "test"))


def test_default_partitions_depend_on_the_number_of_images_as_documented():
    assert default_partitions(12_665) == 8  # the article's training set
    assert default_partitions(60_000) == 20
    found = [default_partitions(images) for images in range(1, 130_000)]
    assert found[0] == 1
    assert all(one <= other for one, other in itertools.pairwise(found))
    assert default_partitions(12_665, 6000, 12_000) == 2
    assert default_partitions(60_000, 6000, 12_000) == 8
    assert default_partitions(600_000, 6000, 12_000) == 50
    assert default_partitions(60_000, 30_000, 30_000) == 2
    for images, partitions in enumerate(found, 1):
        assert images < 3000 or 1500 <= images / partitions
        assert images < 12_000 or images / partitions <= 3000


def test_default_partitions_are_those_of_the_data_not_of_the_machine(splits, spark):
    assert spark.defaultParallelism < 8, "on such a machine the test would prove nothing"
    assert splits["train"].blocks.getNumPartitions() == 8
    assert splits["test"].blocks.getNumPartitions() == 1


@pytest.mark.parametrize("packed", [NAMES, NAMES[:1] + NAMES[3:]])
def test_plain_and_gzipped_folders_give_the_same_blocks_and_hashes(
    spark, small_mnist, tmp_path, packed
):
    for name in NAMES:
        content = Path(small_mnist, name).read_bytes()
        if name in packed:
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (tmp_path / name).write_bytes(content)
    for part in COUNTS:
        plain = load(spark, small_mnist, part, [0, 1])
        mixed = load(spark, str(tmp_path), part, [0, 1])
        assert_same(joined(plain.blocks), joined(mixed.blocks))
        assert plain.sha256 == mixed.sha256
        assert list(plain.sha256) == list(sources.IDX_NAMES[part])


def test_a_folder_can_be_given_as_a_uri(spark, small_mnist):
    by_uri = load(spark, Path(small_mnist).as_uri(), "test", [0, 1])
    by_path = load(spark, small_mnist, "test", [0, 1])
    assert_same(joined(by_uri.blocks), joined(by_path.blocks))
    assert (by_uri.sha256, by_uri.name) == (by_path.sha256, Path(small_mnist).as_uri())


def test_published_bits_are_named_mnist_with_their_hashes(real_mnist, splits):
    for part, split in splits.items():
        expected = {name: download.SHA256[name] for name in sources.IDX_NAMES[part]}
        assert (split.name, split.sha256) == ("MNIST", expected)


@pytest.mark.parametrize("changed", sources.IDX_NAMES["test"])
def test_one_other_bit_and_it_is_no_longer_called_mnist(spark, real_mnist, tmp_path, changed):
    for name in sources.IDX_NAMES["test"]:
        content = bytearray(gzip.open(Path(real_mnist, f"{name}.gz")).read())
        content[-1] ^= name == changed
        (tmp_path / name).write_bytes(content)
    split = load(spark, str(tmp_path), "test", [0, 1])
    assert split.name == split.place == str(tmp_path)
    assert split.sha256[changed] != download.SHA256[changed]


def test_cached_blocks_take_a_byte_a_pixel_at_most(spark, splits):
    blocks = splits["train"].blocks
    assert blocks.count() == 8
    (info,) = [one for one in spark._jsc.sc().getRDDStorageInfo() if one.id() == blocks.id()]
    assert info.numCachedPartitions() == 8
    assert 0 < info.memSize() <= 1.05 * splits["train"].size * 784


def test_offline_digits_are_never_called_mnist(spark):
    split = load(spark, "offline", "test", [0, 1])
    assert split.size == sum(COUNTS["test"])
    assert "not MNIST" in split.name and not split.sha256


def refusal(spark, place: Path, *arguments) -> str:
    """The text of the UserError that loading ends in; one line."""
    with pytest.raises(UserError) as caught:
        load(spark, str(place), *arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_uri_of_no_folder_is_named_as_soon_as_spark_can_look(spark, downloads, tmp_path):
    place = f"{tmp_path.as_uri()}/nowhere"
    assert find_data(place) == place
    assert refusal(spark, place, "train", [0, 1]).startswith(f"{place}: ")
    assert downloads[1] == []


@pytest.mark.parametrize("name", sources.IDX_NAMES["train"])
def test_a_missing_file_is_named_with_its_folder(spark, small_mnist, tmp_path, name):
    place = shutil.copytree(small_mnist, tmp_path / "data")
    (place / name).unlink()
    assert f"{place}: {name} (or {name}.gz) is missing" in refusal(spark, place, "train", [0, 1])
    assert load(spark, str(place), "test", [0, 1]).size > 0, "the test set is whole"


def test_files_that_do_not_belong_together_are_told_by_their_counts(spark, small_mnist, tmp_path):
    place = shutil.copytree(small_mnist, tmp_path / "data")
    shutil.copy(place / "t10k-labels-idx1-ubyte", place / "train-labels-idx1-ubyte")
    text = refusal(spark, place, "train", [0, 1])
    assert "600 images but 300 labels" in text and str(place) in text


def test_a_digit_that_does_not_occur_is_named(spark, small_mnist, tmp_path):
    place = shutil.copytree(small_mnist, tmp_path / "data")
    labels = place / "t10k-labels-idx1-ubyte"
    labels.write_bytes(labels.read_bytes().replace(b"\7", b"\1"))
    text = refusal(spark, place, "test", [1, 7])
    assert f"digit 7 does not occur in the test set of {place}" in text


def test_more_partitions_than_images_are_refused(spark, small_mnist):
    text = refusal(spark, small_mnist, "test", range(10), 301)
    assert text == "--partitions 301: the test set has only 300 images"


@pytest.mark.parametrize(
    ("digits", "partitions", "said"),
    [
        ([], None, "digits are different numbers from 0 to 255, not []"),
        ([0, 0, 1], None, "not [0, 0, 1]"),
        ([0, 300], None, "not [0, 300]"),
        ([-1, 1], None, "not [-1, 1]"),
        ([0, 1], 0, "--partitions 0: there is at least 1"),
    ],
)
def test_wrong_digits_and_partitions_are_told(spark, small_mnist, digits, partitions, said):
    assert said in refusal(spark, small_mnist, "train", digits, partitions)


@pytest.fixture
def downloads(monkeypatch, tmp_path, small_mnist):
    """A working folder without data; how a download will end ("fails" or "works"); its calls."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources.modules, "ROOT", tmp_path)

    def download_mnist(folder, *_):
        calls.append(str(folder))
        if outcome == ["fails"]:
            raise UserError("no mirror serves train-images-idx3-ubyte.gz: no network")
        shutil.copytree(small_mnist, folder, dirs_exist_ok=True)

    calls, outcome = [], ["fails"]
    monkeypatch.setattr(download, "download_mnist", download_mnist)
    return outcome, calls


def test_a_folder_that_was_given_is_taken_and_nothing_else_searched(downloads, small_mnist):
    shutil.copytree(small_mnist, "data/mnist")
    assert find_data(small_mnist) == small_mnist
    assert downloads[1] == []


@pytest.mark.parametrize("asked", [None, "mnist"])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_data_mnist_is_taken_where_it_is_without_a_download(downloads, small_mnist, asked, ending):
    Path("data/mnist").mkdir(parents=True)
    for name in NAMES:
        shutil.copy(Path(small_mnist, name), f"data/mnist/{name}{ending}")
    assert find_data(asked) == "data/mnist"
    assert downloads[1] == []


@pytest.mark.parametrize("asked", [None, "mnist"])
@pytest.mark.parametrize("present", [[], NAMES[:3]])
def test_mnist_is_downloaded_where_a_file_of_it_is_missing(downloads, small_mnist, asked, present):
    outcome, calls = downloads
    outcome[:] = ["works"]
    Path("data/mnist").mkdir(parents=True)
    for name in present:
        shutil.copy(Path(small_mnist, name), "data/mnist")
    assert find_data(asked) == "data/mnist"
    assert calls == ["data/mnist"]


def test_without_mnist_the_offline_digits_serve_with_a_notice(downloads, capsys):
    assert find_data(None) == "offline"
    notice = capsys.readouterr().out
    assert "NOT MNIST" in notice and "no mirror serves" in notice
    assert len(notice.splitlines()) >= 3, "a line alone could be missed"
    assert downloads[1] == ["data/mnist"]


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_the_notice_fits_its_box_and_the_box_the_terminal(downloads, capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    find_data(None)
    top, *lines, bottom = capsys.readouterr().out.splitlines()
    assert top == bottom == "!" * len(top)
    assert len(top) <= columns and max(map(len, lines)) <= len(top)
    assert all(line.startswith("!! ") for line in lines)
    words = " ".join(line.removeprefix("!! ") for line in lines)
    assert "MNIST is not here. no mirror serves train-images-idx3-ubyte.gz: no network" in words


@pytest.mark.parametrize("place", ["file", "deeper/file"])
def test_a_file_in_place_of_a_folder_is_told_to_be_one(downloads, place):
    Path("deeper").mkdir()
    Path(place).touch()
    with pytest.raises(UserError) as caught:
        find_data(place)
    folder = {"file": ".", "deeper/file": "deeper"}[place]
    text = f"--data {place}: a file; name the folder that it lies in, {folder}"
    assert str(caught.value) == text


def test_a_folder_can_be_given_as_a_percent_encoded_uri(spark, small_mnist, tmp_path):
    place = tmp_path / "with space"
    place.symlink_to(small_mnist)
    assert "%20" in place.as_uri()
    split = load(spark, place.as_uri(), "test", [0, 1])
    assert_same(joined(split.blocks), joined(load(spark, small_mnist, "test", [0, 1]).blocks))


def test_who_insists_on_mnist_gets_it_or_an_error(downloads):
    with pytest.raises(UserError, match="no mirror serves"):
        find_data("mnist")


def test_who_asks_for_offline_digits_gets_them_without_a_download(downloads, capsys, small_mnist):
    shutil.copytree(small_mnist, "data/mnist")
    assert find_data("offline") == "offline"
    assert downloads[1] == []


@pytest.mark.parametrize("place", ["nowhere", "nowhere/deeper", ""])
def test_a_folder_that_is_not_there_is_an_error_and_no_download(downloads, place):
    with pytest.raises(UserError) as caught:
        find_data(place)
    assert f"--data {place}: no such folder" in str(caught.value)
    assert downloads[1] == []
