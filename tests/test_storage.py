import errno
import os
from pathlib import Path

import pytest

from runtime import storage
from runtime.command_line import UserError


@pytest.fixture(params=["folder with a space", "URI with a space", "another scheme"])
def folder(request, tmp_path, spark, mounted) -> tuple[str, Path]:
    """A folder as it is named to storage, and its local path."""
    path = tmp_path / ("a folder" if "space" in request.param else "folder")
    if request.param == "another scheme":
        return mounted(tmp_path) + "/folder", path
    return (f"file://{path}" if "URI" in request.param else str(path)), path


def visible(path: Path) -> list[str]:
    """The names in a folder, without the check sums that Hadoop hides in it."""
    return sorted(name for name in os.listdir(path) if not name.endswith(".crc"))


def refusal(what, *arguments) -> str:
    """The text of the UserError; one line."""
    with pytest.raises(UserError) as caught:
        what(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize(
    "content",
    [b"", bytes(range(256)), os.urandom(300_000)],
    ids=lambda content: len(content),
)
def test_what_was_written_is_read(folder, content):
    place = storage.join(folder[0], "file.bin")
    storage.write(place, content)
    assert storage.read(place) == content == (folder[1] / "file.bin").read_bytes()
    assert visible(folder[1]) == ["file.bin"]


def test_a_file_replaces_the_one_in_its_place_and_nothing_else_is_left(folder):
    place = storage.join(folder[0], "file.bin")
    for content in (b"a long first version", b"2nd", b""):
        storage.write(place, content)
        assert storage.read(place) == content
    assert storage.names(folder[0]) == visible(folder[1]) == ["file.bin"]


def test_folders_on_the_way_are_made(folder):
    place = storage.join(storage.join(folder[0], "runs"), "1/model.npz")
    storage.write(place, b"content")
    assert (folder[1] / "runs/1/model.npz").read_bytes() == b"content"


def test_names_are_sorted_and_those_of_files_and_folders(folder):
    for name in ("b", "a", "c/d", "Z"):
        storage.write(storage.join(folder[0], name), b"")
    assert storage.names(folder[0]) == ["Z", "a", "b", "c"]


def test_there_are_no_names_where_there_is_no_folder(folder):
    assert storage.names(folder[0]) == []


def test_a_file_has_no_names_in_it(folder):
    storage.write(storage.join(folder[0], "file"), b"")
    assert storage.names(storage.join(folder[0], "file")) == []


def test_files_and_folders_exist_once_they_are_written(folder):
    place = storage.join(folder[0], "file")
    assert not storage.exists(place) and not storage.exists(folder[0])
    storage.write(place, b"")
    assert storage.exists(place) and storage.exists(folder[0])


def test_only_a_file_is_a_file(folder):
    place = storage.join(folder[0], "file")
    assert not storage.is_file(place)
    storage.write(place, b"")
    assert storage.is_file(place) and not storage.is_file(folder[0])


def test_files_and_empty_folders_are_deleted_and_full_ones_are_not(folder):
    place = storage.join(folder[0], "file")
    storage.write(place, b"")
    assert refusal(storage.delete, folder[0]).startswith(f"cannot delete {folder[0]}: ")
    for gone in (place, folder[0]):
        storage.delete(gone)
        assert not storage.exists(gone)
        storage.delete(gone)


@pytest.mark.parametrize(("deeper", "present"), [("", True), ("/not/yet", True), ("/not", False)])
def test_a_folder_that_can_be_written_is_tried_without_a_trace(folder, tmp_path, deeper, present):
    if present:
        folder[1].mkdir()
    storage.check_writable(folder[0] + deeper)
    assert list(tmp_path.rglob("*")) == [folder[1]] * present


def test_a_folder_below_a_file_cannot_be_written(folder):
    storage.write(folder[0], b"kept")
    for place in (folder[0], storage.join(folder[0], "deeper")):
        text = refusal(storage.check_writable, "somewhere", place)
        assert text.startswith(f"cannot write {place}: ")
    assert folder[1].read_bytes() == b"kept"


@pytest.mark.skipif(not os.path.exists("/proc/self"), reason="no folder that nobody may write to")
@pytest.mark.parametrize("start", ["", "file://"], ids=["path", "URI"])
def test_a_folder_in_which_nobody_may_write_is_named(spark, start):
    place = f"{start}/proc/model"
    assert refusal(storage.check_writable, place).startswith(f"cannot write {place}: ")


def test_a_folder_of_somebody_else_is_named(tmp_path, unprivileged):
    for folder in (tmp_path / "mine", tmp_path / "closed"):
        folder.mkdir()
    (tmp_path / "closed").chmod(0o555)
    (tmp_path / "mine").chmod(0o777)
    with unprivileged(tmp_path):
        storage.check_writable(str(tmp_path / "mine"))
        for place in (tmp_path / "closed", tmp_path / "closed/model", tmp_path / "closed/a/b"):
            text = refusal(storage.check_writable, str(place))
            assert text == f"cannot write {place}: Permission denied"


def test_a_name_that_is_too_long_is_found_out(tmp_path):
    text = refusal(storage.check_writable, f"{tmp_path}/{'a' * 300}")
    assert text.endswith(": File name too long")


def test_a_uri_is_tried_only_when_spark_runs(monkeypatch):
    from pyspark import SparkContext

    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    storage.check_writable("hdfs://nowhere:1/model")


def test_an_object_store_is_tried_in_the_folder_itself(mounted, tmp_path, monkeypatch):
    """One may well be allowed to write under a prefix only; there are no folders to be made."""
    monkeypatch.setattr(storage, "OBJECT_STORES", {"viewfs"})
    (tmp_path / "prefix").touch()
    uri = mounted(tmp_path) + "/prefix"
    assert refusal(storage.check_writable, uri).startswith(f"cannot write {uri}: ")
    storage.check_writable(f"{mounted(tmp_path)}/other")


def test_join_does_not_double_the_slash(folder):
    assert storage.join(folder[0] + "/", "file") == storage.join(folder[0], "file")
    assert storage.join(folder[0], "file") == folder[0] + "/file"


def test_reading_what_is_not_there_is_an_error_that_names_it(folder):
    place = storage.join(folder[0], "missing")
    assert refusal(storage.read, place).startswith(f"cannot read {place}: ")


def test_reading_a_folder_is_an_error_that_names_it(folder):
    storage.write(storage.join(folder[0], "folder/file"), b"")
    place = storage.join(folder[0], "folder")
    assert refusal(storage.read, place).startswith(f"cannot read {place}: ")


def test_a_folder_in_the_place_of_a_file_stays_whole(folder):
    place = storage.join(folder[0], "model.npz")
    storage.write(storage.join(place, "inside"), b"kept")
    assert refusal(storage.write, place, b"new").startswith(f"cannot write {place}: ")
    assert visible(folder[1]) == ["model.npz"]
    assert storage.read(storage.join(place, "inside")) == b"kept"


def test_a_file_where_a_folder_belongs_stays_whole(folder):
    blocking = storage.join(folder[0], "model")
    storage.write(blocking, b"a file")
    place = storage.join(blocking, "parameters.npz")
    assert refusal(storage.write, place, b"new").startswith(f"cannot write {place}: ")
    assert storage.read(blocking) == b"a file"
    assert visible(folder[1]) == ["model"]


def test_two_runs_that_write_a_file_at_once_do_not_share_what_is_unfinished(folder, monkeypatch):
    place, step = storage.join(folder[0], "file"), "replace" if folder[0][0] == "/" else "_replace"
    module = os if step == "replace" else storage
    original = getattr(module, step)

    def other_first(*words):
        monkeypatch.setattr(module, step, original)
        storage.write(place, b"the other's")
        original(*words)

    monkeypatch.setattr(module, step, other_first)
    storage.write(place, b"the one's")
    assert storage.read(place) == b"the one's"
    assert visible(folder[1]) == ["file"]


def test_what_is_unfinished_is_known_by_its_name():
    assert storage.is_temporary(storage._temporary("checkpoint.npz"))
    assert storage._temporary("file") != storage._temporary("file")
    for name in ("checkpoint.npz", "history.csv", "notes.tmp", "a.0123abcd.tmp.gz"):
        assert not storage.is_temporary(name)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("before", [None, b"the old content"])
def test_content_that_does_not_fit_leaves_what_was_there(folder, before, monkeypatch):
    place = storage.join(folder[0], "file")
    folder[1].mkdir()
    if before is not None:
        storage.write(place, before)
    monkeypatch.setattr(storage, "_temporary", lambda name: f"{name}.tmp")
    (folder[1] / "file.tmp").symlink_to("/dev/full")
    text = refusal(storage.write, place, bytes(100_000))
    assert "No space left on device" in text and text.startswith(f"cannot write {place}: ")
    assert visible(folder[1]) == ["file"] * (before is not None)
    assert before is None or storage.read(place) == before


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("before", [None, b"the old content"])
def test_a_disk_that_fills_up_at_the_last_step_leaves_what_was_there(
    tmp_path, monkeypatch, step, before
):
    place = tmp_path / "file"
    if before is not None:
        place.write_bytes(before)

    def full(*_):
        assert list(tmp_path.glob("*.tmp")), "the content is not written beside its place"
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, full)
        text = refusal(storage.write, str(place), b"the new content")
    assert text == f"cannot write {place}: No space left on device"
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [before] * (before is not None)


def test_an_object_store_gets_a_file_in_one_piece(mounted, tmp_path, monkeypatch):
    """To rename is to copy and delete there: between the two there would be no file at all."""
    monkeypatch.setattr(storage, "OBJECT_STORES", {"viewfs"})
    monkeypatch.setattr(storage, "_replace", None)
    place = mounted(tmp_path) + "/file"
    for content in (b"a long first version", b"2nd"):
        storage.write(place, content)
        assert storage.read(place) == content
    assert visible(tmp_path) == ["file"]


def test_ctrl_c_while_writing_leaves_what_was_there(tmp_path, monkeypatch):
    def interrupted(_):
        raise KeyboardInterrupt

    (tmp_path / "file").write_bytes(b"the old content")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "fsync", interrupted)
        storage.write(str(tmp_path / "file"), b"the new content")
    assert visible(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"the old content"


def test_content_reaches_the_disk_before_its_name(tmp_path, monkeypatch):
    steps = []
    for step in ("fsync", "replace"):
        original = getattr(os, step)
        monkeypatch.setattr(
            os, step, lambda *given, s=step, do=original: (steps.append(s), do(*given))
        )
    storage.write(str(tmp_path / "file"), b"content")
    assert steps == ["fsync", "replace"]


@pytest.mark.parametrize(
    "place",
    [
        "file:///data",
        "file:/data",
        "hdfs://node:8020/data",
        "s3a://bucket/k",
        "gs://b",
        "v2.x+y-z:/a",
    ],
)
def test_a_scheme_makes_a_uri(place):
    assert storage.is_uri(place)


@pytest.mark.parametrize(
    "place",
    [
        "C:/data",
        "c:\\data",
        "/data",
        "data/mnist",
        "./hdfs://node/x",
        "data",
        "",
        "a:b",
        "host:port",
    ],
)
def test_drive_letters_and_paths_are_no_uris(place):
    assert not storage.is_uri(place)


@pytest.mark.parametrize("act", [storage.read, storage.names, storage.exists])
def test_a_uri_of_a_scheme_that_hadoop_does_not_know_is_named(spark, act):
    text = refusal(act, "nosuchscheme://host/data")
    assert "nosuchscheme://host/data" in text and "nosuchscheme" in text.split(": ", 1)[1]


def test_of_what_hadoop_says_the_first_line_is_told(monkeypatch):
    class JavaError(Exception):
        java_exception = "java.io.IOException: Connection refused\n\tat java.base/java.net.Socket"

    def refused(place):
        raise JavaError

    monkeypatch.setattr(storage, "_hadoop", refused)
    text = refusal(storage.read, "hdfs://node:8020/data")
    assert text == "cannot read hdfs://node:8020/data: java.io.IOException: Connection refused"


def test_a_uri_without_spark_is_an_error_that_says_so(monkeypatch):
    from pyspark import SparkContext

    monkeypatch.setattr(SparkContext, "_active_spark_context", None)
    assert "Spark is not running" in refusal(storage.read, "file:///data")


@pytest.mark.parametrize("name", ["with space", "100%", "ümlaut", "a%20b", "a+b"])
def test_a_file_uri_may_be_percent_encoded(spark, tmp_path, name):
    folder = (tmp_path / name).as_uri()
    storage.write(storage.join(folder, "file"), b"content")
    assert (tmp_path / name / "file").read_bytes() == b"content"
    assert storage.read(storage.join(folder, "file")) == b"content"
    files = spark.binaryFiles(storage.join(storage.for_spark(folder), "f*")).values().collect()
    assert files == [b"content"]


def test_in_other_uris_a_percent_sign_is_one(mounted, tmp_path):
    storage.write(f"{mounted(tmp_path)}/day=1%2F2/file", b"content")
    assert (tmp_path / "day=1%2F2/file").read_bytes() == b"content"


def test_a_file_that_a_path_replaced_is_not_taken_for_damaged_by_its_uri(spark, tmp_path):
    place = str(tmp_path / "file")
    for start, content in (("file://", b"first"), ("", b"second"), ("file://", b"third")):
        storage.write(start + place, content)
        assert storage.read(place) == storage.read("file://" + place) == content


def test_a_file_that_is_damaged_under_its_check_sum_is_refused(spark, tmp_path):
    place = f"file://{tmp_path}/file"
    storage.write(place, b"content")
    (tmp_path / "file").write_bytes(b"c0ntent")
    assert refusal(storage.read, place).startswith(f"cannot read {place}: ")


def test_a_link_to_a_folder_that_is_missing_is_named(tmp_path):
    (tmp_path / "model").symlink_to(tmp_path / "not mounted")
    with pytest.raises(UserError, match="model: it links to .*/not mounted, which is missing"):
        storage.check_writable(str(tmp_path / "model"))
