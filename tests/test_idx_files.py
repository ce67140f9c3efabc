import gzip
import hashlib
import io
import os
import re
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from images import idx_files
from images.download import SHA256
from images.idx_files import encode, read_images, read_labels
from runtime.command_line import UserError

CASES = int(os.environ.get("HYPOTHESIS_CASES", "300"))
READERS = {"images": read_images, "labels": read_labels}
IMAGES = np.random.default_rng(1).integers(256, size=(5, 784), dtype=np.uint8)
LABELS = np.array([5, 0, 4, 1, 9], np.uint8)


def images_file(count: int = 5, height: int = 28, width: int = 28, magic: int = 2051) -> bytes:
    """Five images under a header that may promise something else."""
    return struct.pack(">4I", magic, count, height, width) + IMAGES.tobytes()


def labels_file(count: int = 5, labels: bytes = LABELS.tobytes(), magic: int = 2049) -> bytes:
    return struct.pack(">2I", magic, count) + labels


def gzipped(content: bytes, level: int = 9) -> bytes:
    """The same bytes at any time: names of tests come from them."""
    return gzip.compress(content, level, mtime=0)


IMAGES_GZ, LABELS_GZ = gzipped(images_file()), gzipped(labels_file())


def failure(kind: str, content: bytes) -> str:
    """The text of the error that reading ends in; one line that begins with the file's name."""
    with pytest.raises(UserError) as caught:
        READERS[kind](content, "folder/some-ubyte.gz")
    text = str(caught.value)
    assert text.startswith("folder/some-ubyte.gz: ") and text.isprintable()
    return text


@pytest.mark.parametrize("pack", [bytes, gzipped, lambda content: gzipped(content, 0)])
def test_images_and_labels_are_read_as_written_plain_and_gzipped(pack):
    images = read_images(pack(encode(IMAGES)), "images")
    labels = read_labels(pack(encode(LABELS)), "labels")
    assert images.dtype == labels.dtype == np.uint8
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)


def test_written_bytes_are_those_of_the_format():
    header = bytes.fromhex("00000803 00000005 0000001c 0000001c")
    assert encode(IMAGES) == header + b"".join(bytes(image.tolist()) for image in IMAGES)
    assert encode(LABELS) == bytes.fromhex("00000801 00000005 05 00 04 01 09")


def test_gzip_files_of_several_members_are_read_whole():
    parts = [images_file()[:1000], images_file()[1000:]]
    np.testing.assert_array_equal(read_images(b"".join(map(gzipped, parts)), "images"), IMAGES)


@pytest.mark.parametrize(("part", "count"), [("train", 60_000), ("t10k", 10_000)])
def test_real_mnist_has_the_published_counts_and_hashes(real_mnist, part, count):
    for kind, shape in (("images-idx3", (count, 784)), ("labels-idx1", (count,))):
        name = f"{part}-{kind}-ubyte"
        content = Path(real_mnist, f"{name}.gz").read_bytes()
        values = READERS[kind[:6]](content, name)
        assert values.shape == shape
        assert idx_files.sha256(values) == SHA256[name]
        assert hashlib.sha256(gzip.decompress(content)).hexdigest() == SHA256[name]


@pytest.mark.parametrize(
    ("kind", "content", "said"),
    [
        ("images", b"", "be an IDX file of images, but is an empty file"),
        ("labels", b"", "be an IDX file of labels, but is an empty file"),
        ("images", gzipped(b""), "but is an empty file in a gzip file"),
        ("images", images_file()[:15], "ends inside its header"),
        ("labels", labels_file()[:7], "ends inside its header"),
        ("images", images_file(magic=2052), "of an unknown kind, which begins with 00 00 08 04"),
        ("labels", labels_file(magic=0), "of an unknown kind, which begins with 00 00 00 00"),
        ("images", LABELS_GZ, "but is an IDX file of labels in a gzip file"),
        ("images", labels_file(labels=bytes(100)), "of images, but is an IDX file of labels"),
        ("labels", images_file(), "of labels, but is an IDX file of images"),
        ("labels", IMAGES_GZ, "of labels, but is an IDX file of images in a gzip file"),
        ("images", images_file(height=27), "images are 27x28; this network reads 28x28"),
        ("images", images_file(width=27), "images are 28x27; this network reads 28x28"),
        ("images", images_file(height=0), "images are 0x28; this network reads 28x28"),
        ("images", images_file(count=0), "holds no images"),
        ("labels", labels_file(count=0), "holds no labels"),
        ("labels", labels_file(count=0, labels=b""), "holds no labels"),
        ("images", images_file(count=6), "is cut off: its header promises 6 images"),
        ("images", images_file()[:-1], "is cut off: its header promises 5 images"),
        ("images", gzipped(images_file()[:-1]), "is cut off: its header promises 5 images"),
        ("labels", labels_file(count=6), "is cut off: its header promises 6 labels"),
        ("images", images_file(count=2**32 - 1), "is cut off: .* 4,294,967,295 images"),
        ("images", images_file(count=4), "is too long: its header promises 4 images"),
        ("labels", labels_file() + b"\0", "is too long: its header promises 5 labels"),
        ("labels", gzipped(labels_file() + b"\0"), "is too long: .* promises 5 labels"),
        ("images", IMAGES_GZ + b"a tail", "damaged gzip file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(kind, content, said):
    assert re.search(said, failure(kind, content))


@pytest.mark.parametrize("cut", [2, 3, 9, 10, 11, 40, len(IMAGES_GZ) // 2, -9, -8, -4, -1])
def test_a_gzip_file_cut_off_anywhere_is_refused(cut):
    assert "damaged gzip file" in failure("images", IMAGES_GZ[:cut])


@pytest.mark.parametrize(("cut", "found"), [(0, "an empty file"), (1, "begins with 1f")])
def test_a_gzip_file_of_which_no_header_is_left_is_refused(cut, found):
    assert found in failure("images", IMAGES_GZ[:cut])


WRONG_FILES = {
    "a web page; fetch the file again": b"\n<!DOCTYPE html><title>Log in</title>",
    "a Git LFS pointer; run `git lfs pull`": b"version https://git-lfs.github.com/spec/v1\noid sha",
    "a zip archive; unpack it": b"PK\3\4" + bytes(300),
    "a tar archive; unpack it": b"data" + bytes(253) + b"ustar" + bytes(50),
    "a NumPy array": b"\x93NUMPY\1\0v\0{'descr'",
    "a Parquet file": b"PAR1" + bytes(30),
    "a PNG image": b"\x89PNG\r\n",
    "a text file": b"label,1x1,1x2\n5,0,0\n",
    "nothing but zeros": bytes(100),
}


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize(("found", "content"), WRONG_FILES.items(), ids=WRONG_FILES)
def test_a_file_of_another_kind_is_told_by_what_it_is(found, content, kind):
    said = failure(kind, content)
    assert said.endswith(f": it should be an IDX file of {kind}, but is {found}")
    found, _, advice = found.partition(";")
    assert f"but is {found} in a gzip file" in failure(kind, gzipped(content))


def test_a_gzip_file_in_a_gzip_file_is_told():
    said = failure("images", gzipped(IMAGES_GZ))
    assert said.endswith("but is a gzip file in a gzip file; unpack it")


@pytest.mark.parametrize("label", [10, 61, 255])
def test_a_label_may_be_any_byte(label):
    assert read_labels(labels_file(labels=bytes([1, 2, label, 3, 4])), "labels")[2] == label


@pytest.mark.parametrize("pack", [bytes, gzipped])
def test_a_stream_gives_the_same_in_pieces(pack):
    images = list(idx_files.stream(pack(encode(IMAGES)), "images", idx_files.IMAGES, 2))
    labels = list(idx_files.stream(pack(encode(LABELS)), "labels", idx_files.LABELS, 2))
    assert [len(piece) for piece in images] == [len(piece) for piece in labels] == [2, 2, 1]
    np.testing.assert_array_equal(np.concatenate(images), IMAGES)
    np.testing.assert_array_equal(np.concatenate(labels), LABELS)


def test_more_images_than_memory_is_meant_for_are_refused_unread():
    class Large(io.BytesIO):
        """The header of ten gigabytes of images, and nothing else."""

        def seek(self, place, whence=io.SEEK_SET):
            where = super().seek(place, whence)
            return 16 + 13_000_000 * 784 if whence == io.SEEK_END else where

    with pytest.raises(UserError, match="13,000,000 images are too many to be read at once"):
        read_images(Large(images_file(13_000_000)[:16]), "large")


@pytest.mark.parametrize("place", range(-8, 0))
def test_a_gzip_file_with_a_wrong_check_sum_or_length_is_refused(place):
    damaged = bytearray(LABELS_GZ)
    damaged[place] ^= 1
    assert "damaged gzip file" in failure("labels", bytes(damaged))


def test_a_flipped_bit_in_a_stored_gzip_file_is_found_by_its_check_sum():
    damaged = bytearray(gzipped(images_file(), 0))
    damaged[len(damaged) // 2] ^= 1  # a pixel, as level 0 stores the content as it is
    assert "damaged gzip file" in failure("images", bytes(damaged))


@pytest.mark.parametrize(
    ("count", "said"),
    [
        (5 + 500 * 1024, "would unpack to"),  # the truth
        (2**32 - 1, "would unpack to"),
        (5, "is too long"),
    ],
)
def test_a_gzip_bomb_is_refused_without_being_unpacked(count, said):
    bomb = gzipped(images_file(count)) + gzipped(bytes(1024 * 784)) * 500
    assert len(bomb) < 500_000  # for 400 MB of images
    tracemalloc.start()
    text = failure("images", bomb)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert said in text
    assert peak < 2**20


def test_a_blank_data_set_is_no_bomb():
    blank = struct.pack(">4I", 2051, 60_000, 28, 28) + bytes(60_000 * 784)
    assert not read_images(gzipped(blank, 1), "blank").any()


def unpacked(content: bytes) -> bytes:
    """The content of a file, gzipped or not, by zlib alone: what gzip wraps is not believed."""
    plain = b""
    while content[:2] == b"\x1f\x8b":
        stream = zlib.decompressobj(wbits=31)
        plain += stream.decompress(content)
        content = stream.unused_data.lstrip(b"\0")
    return plain or content


def edited(content: bytes, edits: list[tuple]) -> bytes:
    """A file after flips of bits, cuts, insertions and new numbers in its header."""
    for edit, where, what in edits:
        place = where % (len(content) + 1)
        if edit == "flip" and content:
            place = where % len(content)
            content = content[:place] + bytes([content[place] ^ what]) + content[place + 1 :]
        elif edit == "cut":
            content = content[:place]
        elif edit == "insert":
            content = content[:place] + what + content[place:]
        elif edit == "number":
            place = where % 4 * 4
            content = content[:place] + struct.pack(">I", what) + content[place + 4 :]
    return content


places = st.integers(0, 40) | st.integers(0, 4000)
numbers = st.sampled_from([0, 1, 4, 5, 6, 10, 28, 784, 2049, 2051]) | st.integers(0, 2**32 - 1)
edits = st.lists(
    st.tuples(st.just("flip"), places, st.integers(1, 255))
    | st.tuples(st.just("cut"), places, st.none())
    | st.tuples(st.just("insert"), places, st.binary(min_size=1, max_size=800))
    | st.tuples(st.just("number"), places, numbers),
    max_size=4,
)
mutated = st.builds(
    lambda own, before, pack, after: (own[0], edited(pack(edited(own[1], before)), after)),
    st.sampled_from([("images", images_file()), ("labels", labels_file())]),
    edits,
    st.sampled_from([bytes, gzipped]),
    st.just([]) | edits,
)
unrelated = st.tuples(st.sampled_from(["images", "labels"]), st.binary(max_size=3000))


@settings(max_examples=CASES, deadline=None)
@given(mutated | unrelated)
def test_any_bytes_end_in_an_error_for_a_person_or_in_what_their_header_promises(file):
    kind, content = file
    tracemalloc.start()
    try:
        values = READERS[kind](content, "some-ubyte")
    except UserError as error:
        assert str(error).startswith("some-ubyte: ") and str(error).isprintable()
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2**19 + 16 * len(content), "memory beyond what the file holds"
    plain = unpacked(content)
    count = int.from_bytes(plain[4:8], "big")
    if kind == "images":
        assert plain[:4] == bytes.fromhex("00000803")
        assert plain[8:16] == bytes.fromhex("0000001c 0000001c")
        assert values.shape == (count, 784) and values.tobytes() == plain[16:]
    else:
        assert plain[:4] == bytes.fromhex("00000801")
        assert values.shape == (count,) and values.tobytes() == plain[8:]
    assert count > 0 and values.dtype == np.uint8
