"""Files at a place: a local path, or any URI that the cluster's Hadoop knows (hdfs://, gs://, s3a://).

A local path is read and written by Python alone. A URI, anything with a scheme such as `file://`,
goes through Spark's own Hadoop file systems, with the credentials that Spark was given, and needs
a running SparkContext. A file is first written under a temporary name in the same folder, and then
renamed, so that a reader never sees an incomplete file. In an object store it is written directly:
there, a file appears only when it is complete, and renaming would copy it.
"""

import os
import re
import secrets
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote

from runtime.command_line import UserError

MOST_BYTES = 2**30  # of a file whose reader gives no tighter bound
OBJECT_STORES = {"s3a", "s3", "gs", "wasb", "wasbs", "oss", "obs", "cosn"}


def is_uri(place: str) -> bool:
    """Whether a place names a Hadoop file system; one letter and a colon is a drive, no scheme."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", place) is not None


def is_remote(place: str) -> bool:
    """Whether a place is on another system than this machine's own files."""
    return is_uri(place) and not place.startswith("file:")


def absolute(place: str) -> str:
    """The place, so that it means the same in any current folder."""
    return place if is_uri(place) else os.path.abspath(place)


def join(folder: str, name: str) -> str:
    """The place of a file in a folder."""
    return f"{folder.rstrip('/')}/{name}" if is_uri(folder) else os.path.join(folder, name)


def for_spark(place: str) -> str:
    """What Spark's own readers take for a place; a local path becomes a URI. Raises UserError."""
    uri = _as_hadoop_has_it(place) if is_uri(place) else f"file://{os.path.abspath(place)}"
    # Hadoop takes these characters for a pattern or a separator; `?` matches each of them.
    glob = re.sub(r"[][*?{}\\,]", "?", uri)
    if glob != uri:
        path, system = _hadoop(glob)
        if len(system.globStatus(path) or ()) > 1:
            raise UserError(f"{place}: Spark cannot tell it from others named alike; rename it")
    return glob


def names(folder: str) -> list[str]:
    """The names in a folder, sorted; none if there is no such folder. Raises UserError."""
    with _told_plainly("cannot list", folder):
        if is_uri(folder):
            path, system = _hadoop(folder)
            if not (system.exists(path) and system.getFileStatus(path).isDirectory()):
                return []
            return sorted(status.getPath().getName() for status in system.listStatus(path))
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []


def exists(place: str) -> bool:
    """Whether there is a file or a folder. Raises UserError where that cannot be found out."""
    with _told_plainly("cannot look at", place):
        if is_uri(place):
            path, system = _hadoop(place)
            return system.exists(path)
        return os.path.exists(place)


def is_file(place: str) -> bool:
    """Whether there is a file, and no folder. Raises UserError where that cannot be found out."""
    with _told_plainly("cannot look at", place):
        if is_uri(place):
            path, system = _hadoop(place)
            return system.exists(path) and system.getFileStatus(path).isFile()
        return os.path.isfile(place)


def size(place: str) -> int:
    """The number of bytes in a file. Raises UserError where it is missing."""
    with _told_plainly("cannot read", place):
        if is_uri(place):
            path, system = _hadoop(place)
            return system.getFileStatus(path).getLen()
        return os.path.getsize(place)


def read(place: str, most: int = MOST_BYTES) -> bytes:
    """The bytes of a regular file of `most` bytes at most. Raises UserError."""
    there = size(place)
    if there > most:
        raise UserError(
            f"cannot read {place}: it has {there:,} bytes, more than the {most:,} "
            "that such a file may have"
        )
    return read_start(place, most)


def read_start(place: str, most: int) -> bytes:
    """The first bytes of a regular file, `most` at most. Raises UserError."""
    if not is_uri(place):
        with open_regular(place) as file:
            return file.read(most)
    with _told_plainly("cannot read", place):
        path, system = _hadoop(place)
        io = _spark()._jvm.org.apache.commons.io
        stream = system.open(path)
        try:
            return bytes(io.IOUtils.toByteArray(io.input.BoundedInputStream(stream, most)))
        finally:
            stream.close()


def open_regular(place: str) -> BinaryIO:
    """A local file, open for reading. Raises UserError for a pipe, a device or a folder."""
    with _told_plainly("cannot read", place):
        # Without O_NONBLOCK, to open a pipe waits for its writer; to read a device has no end.
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    kind = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(kind):
        os.close(descriptor)
        what = "a folder" if stat.S_ISDIR(kind) else "a pipe or a device"
        raise UserError(f"cannot read {place}: it is {what}, not a regular file")
    return os.fdopen(descriptor, "rb")


def write(place: str, content: bytes) -> None:
    """Put bytes at a place, whole or not at all; its folder is made. Raises UserError."""
    with _told_plainly("cannot write", place):
        if is_uri(place):
            _write_hadoop(place, content)
        else:
            _write_local(Path(place), content)


def delete(place: str) -> None:
    """Delete a file or an empty folder, if it is there. Raises UserError."""
    with _told_plainly("cannot delete", place):
        if is_uri(place):
            path, system = _hadoop(place)
            system.delete(path, False)
        elif os.path.isdir(place):
            os.rmdir(place)
        else:
            Path(place).unlink(missing_ok=True)


def check_writable(*folders: str) -> None:
    """Raise UserError unless files can be put into these folders, which need not be there yet.

    A URI is passed over until Spark runs. Nothing is left behind.
    """
    for folder in folders:
        with _told_plainly("cannot write", folder):
            if not is_uri(folder):
                _try_local(Path(folder))
            elif _running_spark() is not None:
                _try_hadoop(folder)


def _try_local(folder: Path) -> None:
    """Write an unnamed file into the folder, or into the parent where it will be made."""
    for present in (folder, *folder.absolute().parents):
        try:
            os.stat(present)
        except FileNotFoundError:
            if present.is_symlink():
                target = os.readlink(present)
                raise UserError(
                    f"cannot write {present}: it links to {target}, which is missing"
                ) from None
            continue
        with tempfile.TemporaryFile(dir=present) as file:
            file.write(b"anything")
        return


def _try_hadoop(folder: str) -> None:
    path, system = _hadoop(folder)
    if path.toUri().getScheme() not in OBJECT_STORES:  # they have no folders to be made
        while path.getParent() is not None and not system.exists(path):
            path = path.getParent()
    trial = _spark()._jvm.org.apache.hadoop.fs.Path(path, _temporary("trial"))
    system.create(trial, False).close()
    system.delete(trial, False)


def _temporary(name: str) -> str:
    """A name that no other run writes to; see `is_temporary`."""
    return f"{name}.{secrets.token_hex(4)}.tmp"


def is_temporary(name: str) -> bool:
    """Whether a file has the name of one that is being written, or was when its run was killed."""
    return re.search(r"\.[0-9a-f]{8}\.tmp$", name) is not None


def _write_local(place: Path, content: bytes) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    temporary = place.with_name(_temporary(place.name))
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # or a power cut can leave the new name on an empty file
        # With an old checksum that Hadoop wrote, it would report the new file as damaged.
        place.with_name(f".{place.name}.crc").unlink(missing_ok=True)
        os.replace(temporary, place)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _write_hadoop(place: str, content: bytes) -> None:
    path, system = _hadoop(place)
    if path.toUri().getScheme() in OBJECT_STORES:
        stream = system.create(path, True)
        stream.write(content)
        stream.close()
        return
    temporary = _spark()._jvm.org.apache.hadoop.fs.Path(
        path.getParent(), _temporary(path.getName())
    )
    try:
        stream = system.create(temporary, True)
        try:
            stream.write(content)
        finally:
            stream.close()
        _replace(system, temporary, path)
    except BaseException:
        system.delete(temporary, False)
        raise


def _replace(system, temporary, path) -> None:
    """Rename over what is there, which FileSystem.rename refuses: on HDFS this is one step."""
    spark = _spark()
    hadoop = spark._jvm.org.apache.hadoop.fs
    options = spark._gateway.new_array(hadoop.Options.Rename, 1)
    options[0] = hadoop.Options.Rename.OVERWRITE
    files = hadoop.FileContext.getFileContext(path.toUri(), system.getConf())
    files.rename(temporary, path, options)


def _running_spark():
    from pyspark import SparkContext  # here, because a local path is read without Spark

    return SparkContext._active_spark_context


def _spark():
    context = _running_spark()
    if context is None:
        raise UserError("a URI needs Spark, and Spark is not running; give a local path")
    return context


def _hadoop(place: str):
    """The Hadoop path of a URI and the file system that it lies in."""
    spark = _spark()
    path = spark._jvm.org.apache.hadoop.fs.Path(_as_hadoop_has_it(place))
    system = path.getFileSystem(spark._jsc.hadoopConfiguration())
    return system.makeQualified(path), system  # hdfs:///folder names no host: the system does


def _as_hadoop_has_it(uri: str) -> str:
    """The URI with %20 decoded if it is a `file:` URI, because Hadoop does not decode it."""
    return unquote(uri) if uri.startswith("file:") else uri


@contextmanager
def _told_plainly(what: str, place: str):
    """Turn the errors of both kinds of storage into a one-line message."""
    try:
        yield
    except OSError as error:
        raise UserError(f"{what} {place}: {error.strerror or error}") from None
    except Exception as error:
        if not hasattr(error, "java_exception"):
            raise
        reason = str(error.java_exception).strip().splitlines()[0]
        raise UserError(f"{what} {place}: {reason}") from None
