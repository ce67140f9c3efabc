"""Data as people have it: every layout gives the same images as MNIST's own files."""

import gzip
import io
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from test_data_loader import assert_same, joined, raw_files

import data_loader
from images import classes, csv_files, found, sources
from images.decode import decoded
from images.idx_files import encode
from runtime.command_line import UserError

TEN = range(10)
NAMES = [name for names in sources.IDX_NAMES.values() for name in names]
SETS = {"train": "train", "test": "t10k"}


@pytest.fixture(scope="module")
def parts(small_mnist) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The first 100 training and 60 test images of the small cut: each class is in both parts."""
    sizes = {"train": 100, "test": 60}
    return {
        part: tuple(values[: sizes[part]] for values in raw_files(small_mnist, part))
        for part in sizes
    }


def idx_as(parts, folder: Path, name: str, pack=bytes) -> None:
    """Write IDX files; `name` is made of {set}, {kind} and {dim}."""
    for part, pair in parts.items():
        for kind, dim, values in zip(("images", "labels"), (3, 1), pair, strict=True):
            file = folder / name.format(set=SETS[part], part=part, kind=kind, dim=dim)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(pack(encode(values)))


def write_csv(parts, folder: Path, header: bool = True, name: str = "mnist_{part}.csv") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for part, (images, labels) in parts.items():
        lines = [",".join(map(str, row)) for row in np.column_stack([labels, images]).tolist()]
        if header:
            lines.insert(0, ",".join(["label", *(f"{y}x{x}" for y in TEN for x in TEN)]))
        (folder / name.format(part=part)).write_text("\n".join(lines) + "\n")


def write_npz(parts, folder: Path) -> None:
    arrays = {}
    for part, (images, labels) in parts.items():
        arrays |= {f"x_{part}": images.reshape(-1, 28, 28), f"y_{part}": labels}
    np.savez_compressed(folder / "mnist.npz", **arrays)


def png(image: np.ndarray) -> bytes:
    content = io.BytesIO()
    Image.fromarray(image.reshape(28, 28)).save(content, "PNG")
    return content.getvalue()


def write_folders(parts, folder: Path, names: Sequence[str] = "0123456789") -> None:
    for part, (images, labels) in parts.items():
        for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
            file = folder / part / names[label] / f"img_{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(image))


@pytest.fixture(scope="module")
def parquet(spark, parts, tmp_path_factory) -> Path:
    """As Hugging Face has it: a struct of `bytes` and `path`, and a label."""
    from pyspark.sql import SparkSession

    session = SparkSession.builder.getOrCreate()
    folder = tmp_path_factory.mktemp("hub")
    schema = "image struct<bytes: binary, path: string>, label int"
    for part, (images, labels) in parts.items():
        rows = [
            ((png(image), None), int(label)) for image, label in zip(images, labels, strict=True)
        ]
        made = folder / "made" / part
        session.createDataFrame(rows, schema).coalesce(1).write.parquet(made.as_uri())
        (file,) = made.glob("*.parquet")
        (folder / "hub" / "mnist").mkdir(parents=True, exist_ok=True)
        file.rename(folder / "hub" / "mnist" / f"{part}-00000-of-00001.parquet")
    return folder / "hub"


def assert_holds(spark, place, parts, ordered=True, partitions=3, **how) -> None:
    """The data at a place are these images, in order, in so many partitions, of any digits."""
    for part, digits in (("train", list(TEN)), ("test", [7, 2])):
        images, labels = parts[part]
        split = data_loader.load(spark, str(place), part, digits, partitions, **how)
        chosen = np.isin(labels, digits)
        positions = np.array([digits.index(label) for label in labels[chosen].tolist()])
        expected = images[chosen], positions
        found = joined(split.blocks)
        if not ordered:
            expected, found = in_any_order(*expected), in_any_order(*found)
        assert_same(found, expected)
        assert split.size == chosen.sum()
        assert split.counts == tuple(np.bincount(positions))
        assert split.blocks.getNumPartitions() == partitions
        split.blocks.unpersist()


def in_any_order(images: np.ndarray, labels: np.ndarray) -> tuple[list]:
    return (sorted((label, bytes(image)) for image, label in zip(images, labels, strict=True)),)


IDX_LAYOUTS = {
    "Kaggle's dots": "{set}-{kind}.idx{dim}-ubyte",
    "Kaggle's folders": "{set}-{kind}-idx{dim}-ubyte/{set}-{kind}-idx{dim}-ubyte",
    "folders with dots inside": "{set}-{kind}-idx{dim}-ubyte/{set}-{kind}.idx{dim}-ubyte",
    ".GZ": "{set}-{kind}-idx{dim}-ubyte.GZ",
    "a second download": "{set}-{kind}-idx{dim}-ubyte (1).gz",
    "a second download without a space": "{set}-{kind}-idx{dim}-ubyte(2).gz",
    "a second download of a plain file": "{set}-{kind}-idx{dim}-ubyte (1)",
    "torchvision": "MNIST/raw/{set}-{kind}-idx{dim}-ubyte",
    "torchvision's MNIST": "raw/{set}-{kind}-idx{dim}-ubyte.gz",
    "a folder below": "archive/{set}-{kind}.idx{dim}-ubyte",
    "a prefix": "digits_{part}-{kind}-idx{dim}-ubyte",
}


@pytest.mark.parametrize("name", IDX_LAYOUTS.values(), ids=IDX_LAYOUTS)
def test_idx_files_are_found_in_every_naming(parts, tmp_path, name):
    idx_as(parts, tmp_path, name, gzip.compress if name.lower().endswith("gz") else bytes)
    for part, pair in parts.items():
        images, labels, hashes = sources.find(str(tmp_path), part).read(range(10))
        assert_same((images, labels), pair)
        assert list(hashes) == list(sources.IDX_NAMES[part])


def test_kaggles_mnist_with_folders_and_files_side_by_side_is_read(parts, tmp_path):
    idx_as(parts, tmp_path, IDX_LAYOUTS["Kaggle's folders"])
    idx_as(parts, tmp_path, IDX_LAYOUTS["Kaggle's dots"])
    assert_same(sources.find(str(tmp_path), "train").read(range(10))[:2], parts["train"])


def test_a_copy_is_read_only_where_there_is_nothing_else(parts, tmp_path):
    idx_as(parts, tmp_path, "{set}-{kind}-idx{dim}-ubyte.gz", gzip.compress)
    for kind in ("images-idx3", "labels-idx1"):
        (tmp_path / f"train-{kind}-ubyte (1).gz").write_text("half a download")
    assert_same(sources.find(str(tmp_path), "train").read(range(10))[:2], parts["train"])


@pytest.mark.parametrize("naming", [*IDX_LAYOUTS.values(), "npz", "csv", "folders"])
def test_data_mnist_is_never_passed_over_for_drawn_digits(parts, tmp_path, monkeypatch, naming):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources.modules, "ROOT", tmp_path)
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    writers = {"npz": write_npz, "csv": write_csv, "folders": write_folders}
    if naming in writers:
        writers[naming](parts, folder)
    else:
        idx_as(parts, folder, naming, gzip.compress if naming.lower().endswith("gz") else bytes)
    monkeypatch.setattr(sources.download, "download_mnist", None)
    assert sources.find_data(None) == sources.find_data("mnist") == "data/mnist"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("mnist.zip", b"PK\3\4" + bytes(99), "mnist.zip (a zip archive; unpack it)"),
        ("index.html", b"<html>", "index.html (a web page; fetch the file again)"),
        ("train-images-idx3-ubyte.gz", b"\x1f\x8b", "train-labels-idx1-ubyte (or train-labels-idx"),
    ],
)
def test_what_lies_in_data_mnist_and_cannot_be_used_is_named(
    tmp_path, monkeypatch, capsys, name, content, said
):
    def no_network(folder):
        raise UserError("no mirror serves anything")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sources.modules, "ROOT", tmp_path)
    monkeypatch.setattr(sources.download, "download_mnist", no_network)
    Path("data/mnist").mkdir(parents=True)
    Path("data/mnist", name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        sources.find_data(None)
    assert said in str(caught.value) and "no mirror serves" in str(caught.value)
    assert capsys.readouterr().out == "", "no notice of drawn digits"


def test_data_mnist_is_the_projects_own_from_any_folder(tmp_path, monkeypatch):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    monkeypatch.setattr(sources.modules, "ROOT", project)
    monkeypatch.chdir(project)
    assert sources.default_folder() == Path("data/mnist")
    monkeypatch.chdir(elsewhere)
    assert sources.default_folder() == project / "data/mnist"
    monkeypatch.setattr(sources.modules, "ROOT", tmp_path / "modules.zip")
    assert sources.default_folder() == Path("data/mnist"), "in the folder of a cluster's driver"


def test_several_sets_in_a_folder_are_named_and_one_can_be_chosen(parts, tmp_path):
    other = {part: (255 - images, labels) for part, (images, labels) in parts.items()}
    idx_as(parts, tmp_path, "first-{part}-{kind}-idx{dim}-ubyte")
    idx_as(other, tmp_path, "second-{part}-{kind}-idx{dim}-ubyte")
    with pytest.raises(UserError, match="holds several data sets: first, second; choose one"):
        sources.find(str(tmp_path), "train")
    for name, expected in (("first", parts), ("second", other)):
        place = sources.find_data(f"{tmp_path}/{name}")
        assert_same(sources.find(place, "test").read(range(10))[:2], expected["test"])


def test_several_sets_in_folders_below_are_named(parts, tmp_path):
    for name in ("MNIST", "FashionMNIST"):
        idx_as(parts, tmp_path / name, "raw/{set}-{kind}-idx{dim}-ubyte")
    with pytest.raises(UserError, match="name one of .*/FashionMNIST/raw, .*/MNIST/raw"):
        sources.find(str(tmp_path), "train")


def on_their_side(parts):
    turned = {}
    for part, (images, labels) in parts.items():
        turned[part] = images.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, 784), labels
    return turned


def test_emnist_is_set_upright(spark, parts, tmp_path):
    emnist = tmp_path / "gzip"
    idx_as(
        on_their_side(parts), emnist, "emnist-digits-{part}-{kind}-idx{dim}-ubyte.gz", gzip.compress
    )
    write_csv(on_their_side(parts), tmp_path / "csv", name="emnist-mnist-{part}.csv")
    assert_holds(spark, emnist, parts)
    assert_holds(spark, tmp_path / "csv", parts)
    found = data_loader.load(spark, str(emnist), "train", TEN, transpose=False)
    assert_same(joined(found.blocks), on_their_side(parts)["train"])


def test_other_images_are_set_upright_where_that_is_asked_for(spark, parts, tmp_path):
    idx_as(on_their_side(parts), tmp_path, "{set}-{kind}-idx{dim}-ubyte")
    assert_holds(spark, tmp_path, parts, transpose=True)


@pytest.mark.parametrize(("header", "start", "partitions"), [(True, "", 1), (False, "file://", 5)])
def test_csv_files_are_read_by_the_executors(spark, parts, tmp_path, header, start, partitions):
    folder = tmp_path / "a folder, [with] {odd} characters"
    write_csv(parts, folder, header)
    assert_holds(spark, f"{start}{folder}", parts, partitions=partitions)


def test_windows_line_ends_and_empty_lines_in_csv_change_nothing(spark, parts, tmp_path):
    write_csv(parts, tmp_path)
    for file in tmp_path.iterdir():
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n") + b"\r\n")
    assert_holds(spark, tmp_path, parts)


@pytest.mark.parametrize(
    "start", ["", pytest.param("file://", marks=pytest.mark.long)], ids=["path", "URI"]
)
def test_folders_of_images_are_read_by_the_executors(spark, parts, tmp_path, start):
    folder = tmp_path / "a folder, [with] {odd} characters"
    write_folders(parts, folder)
    assert_holds(spark, f"{start}{folder}", parts, ordered=False)


def test_an_image_file_that_is_too_large_is_refused_before_it_is_read(spark, parts, tmp_path):
    write_folders(parts, tmp_path)
    image = next((tmp_path / "train").rglob("*.png"))
    os.truncate(image, 2**26 + 1)  # sparse: it takes no disk
    with pytest.raises(UserError, match="it has 67,108,865 bytes, more than the 67,108,864"):
        data_loader.load(spark, str(tmp_path), "train", TEN)


def test_folders_of_images_have_the_same_partitions_at_a_path_and_at_a_uri(spark, parts, tmp_path):
    write_folders(parts, tmp_path)
    places = str(tmp_path), tmp_path.as_uri()
    loaded = [data_loader.load(spark, place, "train", TEN, 3) for place in places]
    at_path, at_uri = (split.blocks.collect() for split in loaded)
    for one, other in zip(at_path, at_uri, strict=True):
        assert_same(one, other)
    (tmp_path / "train" / "3" / "_1.png").touch()  # Hadoop does not show it
    counts = [sources.find(place, "train").count(spark).sum() for place in places]
    assert counts == [101, 100]


@pytest.mark.long  # the first table takes Spark ten seconds
@pytest.mark.parametrize("start", ["", "file://"], ids=["path", "URI"])
def test_parquet_files_are_read_by_the_executors_in_order(spark, parts, parquet, start):
    assert_holds(spark, f"{start}{parquet}", parts)


def test_kerass_npz_is_read(spark, parts, tmp_path):
    write_npz(parts, tmp_path)
    assert_holds(spark, tmp_path, parts)


def test_the_order_of_folders_of_images_mixes_the_classes_and_stays(spark, parts, tmp_path):
    write_folders(parts, tmp_path)
    one, other = (data_loader.load(spark, str(tmp_path), "train", TEN, 4) for _ in range(2))
    assert_same(joined(one.blocks), joined(other.blocks))
    for labels in one.blocks.map(lambda block: block[1]).collect():
        assert len(set(labels.tolist())) > 5, "a partition of few classes trains badly"


def test_the_hash_of_a_table_depends_on_its_images_alone(spark, parts, tmp_path):
    write_csv(parts, tmp_path / "csv")
    write_folders(parts, tmp_path / "folders")
    places = [(tmp_path / "csv", 1), (tmp_path / "csv", 4), (tmp_path / "folders", 3)]
    one, again, other = (
        data_loader.load(spark, str(place), "train", [3, 8], partitions).sha256
        for place, partitions in places
    )
    assert one == again == other and one
    assert data_loader.load(spark, str(tmp_path / "csv"), "train", [3, 9]).sha256 != one


def test_classes_are_named_after_their_folders(spark, parts, tmp_path):
    fruit = "apple banana cherry date elder fig grape hazel iris juniper".split()
    write_folders(parts, tmp_path, fruit)
    split = data_loader.load(spark, str(tmp_path), "test", [1, 9])
    assert split.classes == ("banana", "juniper")
    assert data_loader.find_labels(spark, str(tmp_path), "train", ["fig", "date"]) == [3, 5]


def test_images_of_other_sizes_are_scaled_and_said_so(spark, parts, tmp_path, capsys):
    write_folders(parts, tmp_path)
    large = Image.new("RGB", (40, 80), (250, 250, 250))
    large.paste((10, 10, 10), (0, 30, 40, 50))
    large.save(tmp_path / "train" / "3" / "large.jpg")
    before = len(parts["train"][1])
    split = data_loader.load(spark, str(tmp_path), "train", TEN)
    assert split.size == before + 1
    assert "1 image not of 28x28 pixels: scaled to fit" in capsys.readouterr().out
    images, _ = joined(split.blocks)
    known = {bytes(image) for image in parts["train"][0]}
    (scaled,) = [image.reshape(28, 28) for image in images if bytes(image) not in known]
    assert scaled[:, :5].min() > 240, "beside the picture lies its border's colour"
    assert scaled[14, 14] < 20


LINE = ",".join(map(str, [7, *range(256), *[1] * 528]))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            LINE.replace(",0,", ",256,", 1),
            "holds '256'; labels and pixels are whole numbers from 0",
        ),
        (LINE.replace(",0,", ",0.5,", 1), "holds '0.5'; labels"),
        ("-" + LINE, "holds '-7'; labels"),
        (LINE + ",1", "has 786 fields; a label and 784 pixels make 785"),
        (LINE.replace(",", ";"), "has 1 fields"),
        (LINE.partition(",")[2], "has 784 numbers: pixels without a label"),
    ],
)
def test_a_wrong_line_of_a_csv_file_is_told_by_its_place(line, said):
    good = ",".join(["3"] * 785)
    rows = [(0, good), (1571, good), (3142, line), (9999, line)]
    with pytest.raises(UserError) as caught:
        csv_files.numbers_in("some.csv", rows)
    assert str(caught.value).startswith(f"some.csv: the line at byte 3,142 {said}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("<html>", "should be a CSV file, but is a web page"),
        ("label,1x1\n", "holds no images"),
        ("pixel1,pixel2,class\n0,0,3\n", "the column 'class' comes last; it should be the first"),
        (",".join(["3"] * 784), "has 784 numbers: pixels without a label"),
        (",".join(["3"] * 784 + ["300"]), "holds '300'; labels and pixels"),
    ],
)
def test_a_wrong_csv_file_is_named(spark, parts, tmp_path, content, said, capfd):
    (tmp_path / "train.csv").write_text(content)
    with pytest.raises(UserError) as caught:
        data_loader.load(spark, str(tmp_path), "train", [3])
    assert f"{tmp_path}/train.csv: " in str(caught.value) and said in str(caught.value)
    assert capfd.readouterr().err == ""


def refusal(spark, folder: Path, part: str = "train") -> str:
    with pytest.raises(UserError) as caught:
        data_loader.load(spark, str(folder), part, TEN)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("write", [write_csv, write_folders])
def test_a_part_that_is_not_there_is_named(spark, parts, tmp_path, write):
    write({"train": parts["train"]}, tmp_path)
    assert "test set" in refusal(spark, tmp_path, "test")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x89PNG and no more", "it is a PNG image"),
        (b"<html>", "it is a web page"),
        (b"", "it is an empty file"),
        (png(np.random.default_rng(0).integers(0, 256, 784, np.uint8))[:99], "a damaged image"),
    ],
)
def test_a_broken_image_of_a_folder_is_named(spark, parts, tmp_path, content, said, capfd):
    write_folders(parts, tmp_path)
    (tmp_path / "train" / "5" / "broken.png").write_bytes(content)
    text = refusal(spark, tmp_path)
    assert f"{tmp_path}/train/5/broken.png: " in text and said in text
    assert capfd.readouterr().err == ""


def npz(**arrays) -> bytes:
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


SEVEN = np.zeros((7, 28, 28), np.uint8)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<html>", "should be an .npz file, but is a web page"),
        (npz(x_train=SEVEN), "has no array y_train"),
        (npz(x_train=SEVEN[:, 1:], y_train=np.zeros(7, int)), "x_train is 7x27x28 uint8"),
        (npz(x_train=SEVEN / 255, y_train=np.zeros(7, int)), "x_train is 7x28x28 float64"),
        (npz(x_train=SEVEN, y_train=np.zeros(6, int)), "y_train is 6 int64, not one label"),
        (npz(x_train=SEVEN, y_train=np.full(7, 256)), "labels outside 0 to 255"),
        (npz(x_train=SEVEN, y_train=np.array(["a"] * 7, object)), "holds Python objects"),
        (npz(x_train=np.zeros((200_000, 28, 28), np.uint8)), "too many"),
        (npz(x_train=SEVEN, y_train=np.zeros(7, int))[:-40], "cannot be read"),
    ],
)
def test_what_is_wrong_in_an_npz_file_is_said(spark, tmp_path, content, said):
    (tmp_path / "mnist.npz").write_bytes(content)
    text = refusal(spark, tmp_path)
    assert text.startswith(f"{tmp_path}/mnist.npz: ") and said in text


@pytest.mark.long
def test_a_parquet_file_of_other_columns_is_told_by_them(spark, tmp_path):
    from pyspark.sql import SparkSession

    made = tmp_path / "made"
    SparkSession.builder.getOrCreate().range(3).write.parquet(made.as_uri())
    (file, *_) = made.glob("*.parquet")
    shutil.copy(file, tmp_path / "train.parquet")
    assert "but has id (bigint)" in refusal(spark, tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1" + bytes(50) + b"PAR1")
    assert "a damaged Parquet file" in refusal(spark, tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    assert "but is a Git LFS pointer; run `git lfs pull`" in refusal(spark, tmp_path)
    rows = [((None, f"{label}.png"), label) for label in range(10)]
    frame = SparkSession.builder.getOrCreate().createDataFrame(
        rows, "image struct<bytes: binary, path: string>, label int"
    )
    frame.coalesce(1).write.mode("overwrite").parquet(made.as_uri())
    (file,) = made.glob("*.parquet")
    shutil.copy(file, tmp_path / "train.parquet")
    assert "image 0 has no bytes, only a path perhaps" in refusal(spark, tmp_path)


@pytest.mark.parametrize("name", [*NAMES[:2], "classes.txt", "train.csv", "mnist.npz"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_what_is_no_file_is_named_and_not_waited_for(spark, parts, tmp_path, name, kind):
    if name in (*NAMES, "classes.txt"):
        idx_as(parts, tmp_path, "{set}-{kind}-idx{dim}-ubyte")
    place = tmp_path / name
    place.unlink(missing_ok=True)
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "device":
        place.symlink_to("/dev/zero")
    else:
        place.mkdir()
    assert str(tmp_path) in refusal(spark, tmp_path)


def test_ten_gigabytes_under_a_small_header_are_not_read(spark, parts, tmp_path):
    idx_as(parts, tmp_path, "{set}-{kind}-idx{dim}-ubyte")
    os.truncate(tmp_path / NAMES[0], 10 * 2**30)
    assert "is too long: its header promises 100 images" in refusal(spark, tmp_path)


def test_labels_of_any_byte_can_be_told_apart(spark, parts, tmp_path):
    other = {part: (images, labels * 25 + 30) for part, (images, labels) in parts.items()}
    idx_as(other, tmp_path, "{set}-{kind}-idx{dim}-ubyte")
    split = data_loader.load(spark, str(tmp_path), "train", [255, 30])
    chosen = np.isin(parts["train"][1], [0, 9])
    expected = parts["train"][0][chosen], np.where(parts["train"][1][chosen] == 9, 0, 1)
    assert_same(joined(split.blocks), expected)
    present = ", ".join(str(25 * digit + 30) for digit in TEN)
    with pytest.raises(UserError, match=f"digit 7 does not occur in .*, only {present}"):
        data_loader.load(spark, str(tmp_path), "train", [255, 7])


NAMED = {1: "A", 2: "b", 3: "7", 12: "two words"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["all"], [1, 2, 3, 7, 12]),
        (["1", "12"], [1, 12]),
        (["12,1"], [1, 12]),
        (["A", "b"], [1, 2]),
        (["a", "B"], [1, 2]),
        (["two words", "A"], [1, 12]),
        (["7", "1"], [1, 3]),  # a name wins over a label
    ],
)
def test_words_mean_labels_or_names(words, expected):
    assert classes.choose_labels(words, [1, 2, 3, 7, 12], NAMED, "here") == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["A", "x"], "'x' is no class of here, which has A, b,"),
        (["A"], "at least two"),
        (["A", "1"], "at least two"),
    ],
)
def test_words_that_mean_no_two_classes_are_refused(words, said):
    with pytest.raises(UserError, match=said):
        classes.choose_labels(words, [1, 2, 3, 7, 12], NAMED, "here")


def test_emnists_mapping_names_the_labels(spark, parts, tmp_path):
    letters = {part: (images, labels + 1) for part, (images, labels) in parts.items()}
    idx_as(letters, tmp_path, "emnist-letters-{part}-{kind}-idx{dim}-ubyte")
    mapping = "".join(f"{label} {64 + label} {96 + label}\n" for label in range(1, 27))
    (tmp_path / "emnist-letters-mapping.txt").write_text(mapping)
    assert data_loader.load(spark, str(tmp_path), "test", [1, 3]).classes == ("A", "C")
    assert data_loader.find_labels(spark, str(tmp_path), "test", ["a", "J"]) == [1, 10]
    (tmp_path / "emnist-letters-mapping.txt").write_text("1 x\n")
    with pytest.raises(UserError, match="mapping.txt: each line should be a label and"):
        sources.find(str(tmp_path), "test")


@pytest.mark.long
def test_shards_can_be_made_of_parquet_files(spark, parts, parquet, tmp_path):
    assert data_loader.main(["shard", str(parquet), str(tmp_path), "--shards", "5"]) == 0
    assert_holds(spark, tmp_path, parts, partitions=5)


@pytest.mark.parametrize(
    "layout",
    ["csv", "emnist", *(pytest.param(one, marks=pytest.mark.long) for one in ("npz", "folders"))],
)
def test_shards_can_be_made_of_any_layout(spark, parts, tmp_path, layout):
    place = tmp_path / "source"
    place.mkdir()
    if layout == "emnist":
        idx_as(on_their_side(parts), place, "emnist-digits-{part}-{kind}-idx{dim}-ubyte")
    else:
        {"npz": write_npz, "csv": write_csv, "folders": write_folders}[layout](parts, place)
    target = str(tmp_path / "target")
    assert data_loader.main(["shard", str(place), target, "--shards", "5"]) == 0
    assert_holds(spark, target, parts, ordered=layout != "folders", partitions=5)


def test_look_says_what_is_there_and_draws_ten_of_each_class(spark, parts, tmp_path, capsys):
    idx_as(parts, tmp_path, "{set}-{kind}.idx{dim}-ubyte")
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghij"))
    words = ["look", str(tmp_path), "--plots-dir", str(tmp_path / "plots")]
    assert data_loader.main(words) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].split() == ["part", "layout", "images", "classes", "size", "files"]
    assert "IDX files" in said[1] and " 100 " in said[1] and "train-images.idx3-ubyte" in said[1]
    counts = {part: np.bincount(labels, minlength=10) for part, (_, labels) in parts.items()}
    rows = [line.split() for line in said if line[:1].isdigit()]
    assert rows == [
        [str(digit), "abcdefghij"[digit], str(counts["train"][digit]), str(counts["test"][digit])]
        for digit in TEN
    ]
    with Image.open(tmp_path / "plots" / "data.png") as picture:
        sheet = np.asarray(picture)
    images, labels = parts["train"]
    for digit in TEN:
        for column, image in enumerate(images[labels == digit][:10]):
            large = np.kron(image.reshape(28, 28), np.ones((2, 2), np.uint8))
            top, left = 4 + digit * 60, sheet.shape[1] - 600 + column * 60
            np.testing.assert_array_equal(sheet[top : top + 56, left : left + 56], large)


@pytest.mark.parametrize("write", [write_csv, write_folders])
def test_look_works_where_executors_read(spark, parts, tmp_path, write, capsys):
    write(parts, tmp_path)
    assert data_loader.main(["look", str(tmp_path), "--plots-dir", str(tmp_path)]) == 0
    assert " 100 " in capsys.readouterr().out
    assert (tmp_path / "data.png").exists()


# ---- Sets as they lie about.


def test_a_validation_set_is_the_test_set_only_where_there_is_no_other(spark, parts, tmp_path):
    write_csv({"val": parts["train"], **parts}, tmp_path)
    write_folders({"val": parts["train"], **parts}, tmp_path / "folders")
    for folder in (tmp_path, tmp_path / "folders"):
        assert data_loader.load(spark, str(folder), "test", TEN).size == 60
    (tmp_path / "mnist_test.csv").unlink()
    (tmp_path / "fashion_test.csv").touch()  # of another set
    assert sources.find(f"{tmp_path}/mnist", "test").files == (f"{tmp_path}/mnist_val.csv",)
    shutil.rmtree(tmp_path / "folders" / "test")
    (tmp_path / "folders" / "test").mkdir()  # as Kaggle has it, with images of no class
    (tmp_path / "folders" / "test" / "1.png").touch()
    assert data_loader.load(spark, str(tmp_path / "folders"), "test", TEN).size == 100


def test_images_and_labels_are_of_one_set(parts, tmp_path):
    idx_as(parts, tmp_path, "{part}-{kind}-idx{dim}-ubyte")
    idx_as({"test": parts["train"]}, tmp_path, "val-{kind}-idx{dim}-ubyte")
    assert_same(sources.find(str(tmp_path), "test").read(TEN)[:2], parts["test"])
    (tmp_path / "test-labels-idx1-ubyte").unlink()
    assert_same(sources.find(str(tmp_path), "test").read(TEN)[:2], parts["train"])


def test_parquet_files_are_complete_and_not_counted_twice(tmp_path):
    for name in ("train-00000-of-00002", "train-00000-of-00002 (1)", "test", "validation"):
        (tmp_path / f"{name}.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="only 1 of its 2 pieces are there"):
        sources.find(str(tmp_path), "train")
    assert sources.find(str(tmp_path), "test").files == (f"{tmp_path}/test.parquet",)
    shutil.move(tmp_path / "train-00000-of-00002.parquet", tmp_path / "other.txt")
    for folder in ("train", "test", "val"):
        (tmp_path / "below" / folder).mkdir(parents=True)
        (tmp_path / "below" / folder / "0.parquet").write_bytes(b"PAR1")
    assert sources.find(str(tmp_path / "below"), "test").files == (
        f"{tmp_path}/below/test/0.parquet",
    )
    (tmp_path / "train-00001-of-00002.parquet").write_bytes(b"PAR1")  # and the first as a copy
    assert len(sources.find(str(tmp_path), "train").files) == 2
    (tmp_path / "train-00001-of-00002-0a1b.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="pieces of two data sets; keep those of one"):
        sources.find(str(tmp_path), "train")
    for number in (1, 2):
        (tmp_path / "below" / "train" / f"train-{number}-of-2.parquet").write_bytes(b"PAR1")
    assert len(sources.find(str(tmp_path / "below"), "train").files) == 3  # counted from 1


@pytest.mark.long
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ("id bigint, image binary, Label bigint", ""),
        ("image binary, digit int, id int", ""),
        ("image binary, label int, labels int", ""),
        ("id int, image binary, species int", "call the labels' column `label`"),
        ("image binary, label string, fold int", "call the labels' column `label`"),
    ],
)
def test_the_column_of_labels_is_known_by_its_name(spark, parts, tmp_path, columns, said):
    from pyspark.sql import SparkSession

    images, labels = parts["train"]
    names = [column.split()[0] for column in columns.split(", ")]
    rows = []
    for number, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        values = {"id": number, "fold": number % 5, "labels": 0, "image": png(image)}
        row = [values.get(name, label) for name in names]
        rows.append(
            tuple(
                str(value) if "string" in kind else value
                for value, kind in zip(row, columns.split(", "), strict=True)
            )
        )
    frame = SparkSession.builder.getOrCreate().createDataFrame(rows, columns)
    frame.coalesce(1).write.parquet((tmp_path / "made").as_uri())
    (file,) = (tmp_path / "made").glob("*.parquet")
    shutil.copy(file, tmp_path / "train.parquet")
    if said:
        assert said in refusal(spark, tmp_path)
    else:
        assert_same(
            joined(data_loader.load(spark, str(tmp_path), "train", TEN).blocks), (images, labels)
        )


def test_names_of_classes_may_lie_above_the_data(spark, parts, tmp_path):
    idx_as(parts, tmp_path, "MNIST/raw/{set}-{kind}-idx{dim}-ubyte")
    (tmp_path / "classes.txt").write_text("\n".join("abcdefghij"))
    assert data_loader.load(spark, str(tmp_path), "test", [1, 9]).classes == ("b", "j")


def test_the_parts_may_lie_side_by_side_in_folders_of_their_own(parts, tmp_path):
    for part in ("train", "test"):
        idx_as({part: parts[part]}, tmp_path, f"a_{part}/{{set}}-{{kind}}-idx{{dim}}-ubyte")
        assert_same(sources.find(str(tmp_path), part).read(TEN)[:2], parts[part])
    (tmp_path / "a_train").rename(tmp_path / "one")
    (tmp_path / "a_test").rename(tmp_path / "two")
    with pytest.raises(UserError, match="t10k-images-idx3-ubyte .*is missing"):
        sources.find(str(tmp_path), "test")


def test_an_npz_file_beside_a_data_set_is_passed_over(parts, tmp_path):
    write_csv(parts, tmp_path)
    np.savez(tmp_path / "my_weights.npz", W=np.zeros(3))
    assert sources.find(str(tmp_path), "train").layout == "CSV"
    write_npz(parts, tmp_path)
    assert sources.find(str(tmp_path), "train").layout == "Keras's mnist.npz"


def test_classes_numbered_beyond_a_byte_keep_their_numbers_as_names(spark, parts, tmp_path):
    write_folders(parts, tmp_path, [str(1000 + digit) for digit in TEN])
    assert data_loader.load(spark, str(tmp_path), "test", [3, 5]).classes == ("1003", "1005")


def test_only_emnist_itself_is_set_upright():
    names = "emnist-letters-train.csv", "gzip_emnist_train.csv", "chinesemnist_train.csv"
    assert [found.is_emnist(name) for name in names] == [True, True, False]


def test_a_folder_that_spark_takes_for_a_pattern_is_not_mixed_with_another(spark, parts, tmp_path):
    write_csv(parts, tmp_path / "m[1]")
    assert data_loader.load(spark, str(tmp_path / "m[1]"), "test", TEN).size == 60
    write_csv(parts, tmp_path / "mx1y")
    assert "named alike" in refusal(spark, tmp_path / "m[1]")


def test_a_colon_in_a_name_is_named_as_the_cause(spark, parts, tmp_path):
    write_csv(parts, tmp_path, name="10:30_{part}.csv")
    argv = ["look", str(tmp_path), "--plots-dir", str(tmp_path)]
    with pytest.raises(UserError, match="Hadoop reads no file with a colon in its name: 10:30_tr"):
        with data_loader.spark_context("look"):
            data_loader.main.__wrapped__(argv)


def digit_as(mode: str, image: np.ndarray) -> tuple[bytes, np.ndarray]:
    """The content of an image file of a digit in some form, and the pixels that it should give."""
    levels, content = image.reshape(28, 28), io.BytesIO()
    if mode == "ink on nothing":
        rgba = np.zeros((28, 28, 4), np.uint8)
        rgba[..., 3] = levels
        Image.fromarray(rgba).save(content, "PNG")
        return content.getvalue(), 255 - image
    if mode == "held sideways":
        exif = Image.Exif()
        exif[0x0112] = 6  # to be turned clockwise
        Image.fromarray(np.rot90(levels).copy()).save(content, "PNG", exif=exif)
    elif mode == "odd notes of a camera":
        exif = Image.Exif()
        exif[0x0112], exif[0x0128] = 6, "inch"  # ResolutionUnit should be a number
        Image.fromarray(np.rot90(levels).copy()).save(content, "PNG", exif=exif)
    elif mode == "faint light ink on nothing":
        grey, image = levels // 3 * 2, image // 3 * 2
        Image.fromarray(np.dstack([grey, 255 * (grey > 0).astype(np.uint8)])).save(content, "PNG")
    elif mode == "TIFF held sideways":
        exif = Image.Exif()
        exif[0x0112] = 6
        Image.fromarray(np.rot90(levels).copy()).save(content, "TIFF", exif=exif)
    elif mode == "dark ink cut out of paper":
        image = 255 - image
        alpha = np.where(levels > 0, 255, 0).astype(np.uint8)
        Image.fromarray(np.dstack([255 - levels, alpha])).save(content, "PNG")
    elif mode == "16 bits":
        Image.fromarray(levels.astype(np.uint16) * 257).save(content, "PNG")
    elif mode == "bytes in 16 bits":
        Image.fromarray(levels.astype(np.uint16)).save(content, "PNG")
    elif mode == "shares":
        Image.fromarray((levels / np.float32(255)).astype(np.float32)).save(content, "TIFF")
    return content.getvalue(), image


@pytest.mark.parametrize(
    "mode",
    [
        *("ink on nothing", "faint light ink on nothing", "held sideways", "odd notes of a camera"),
        *("TIFF held sideways", "dark ink cut out of paper"),
        *("16 bits", "bytes in 16 bits", "shares"),
    ],
)
def test_an_image_file_of_any_form_gives_its_digit(parts, mode):
    content, expected = digit_as(mode, parts["train"][0][0])
    pixels, was_scaled = decoded(content, "a file")
    np.testing.assert_allclose(pixels, expected, atol=1)
    assert not was_scaled


@pytest.mark.parametrize("side", [2100, 20_000])
def test_an_image_of_too_many_pixels_is_told_the_limit(side):
    content = io.BytesIO()
    Image.new("1", (side, side)).save(content, "PNG")
    with pytest.raises(UserError, match="pixels are too many; at most 4,000,000 are read: shrink"):
        decoded(content.getvalue(), "large.png")


def test_look_names_what_is_missing_and_shards_are_not_made_of_half_a_set(parts, tmp_path, capsys):
    idx_as(parts, tmp_path, "{set}-{kind}-idx{dim}-ubyte")
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    assert data_loader.main(["look", str(tmp_path), "--plots-dir", str(tmp_path)]) == 0
    assert f"note: {tmp_path}: t10k-labels-idx1-ubyte (or t10k" in capsys.readouterr().out
    assert data_loader.main(["shard", str(tmp_path), str(tmp_path / "new")]) == 1
    assert "t10k-labels-idx1-ubyte (or t10k" in capsys.readouterr().err
