"""Fetch MNIST's four files from the mirrors that publish them, checked by hash."""

import contextlib
import gzip
import hashlib
import os
import threading
import zlib
from collections.abc import Sequence
from pathlib import Path

from runtime.command_line import UserError, say

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Of the uncompressed content, because a mirror may have compressed a file again.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# Bytes, uncompressed, in the same order.
SIZES = dict(zip(SHA256, (47_040_016, 60_008, 7_840_016, 10_008), strict=True))
SLOWEST = 20_000  # bytes per second; a slower mirror is given up
MOST = 50_000_000  # bytes that a mirror may send for one file


def download_mnist(folder: Path, mirrors: Sequence[str] = MIRRORS, timeout: float = 10.0) -> None:
    """Fetch the four .gz files into folder, except those that are there with the right content.

    timeout: seconds to wait for all mirrors together if none answers. Raises UserError if no mirror
    serves a file, or if the folder cannot be written.
    """
    patience = timeout / len(mirrors)
    folder_is_new = not os.path.exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHA256:
            archive = folder / f"{name}.gz"
            if not archive.is_file() or _fault(archive, name):
                served = _fetch(archive, mirrors, patience)
                # Ask this mirror first from now on, so that a dead one costs its time only once.
                mirrors = [served, *(mirror for mirror in mirrors if mirror != served)]
    except OSError as error:
        raise UserError(
            f"cannot keep MNIST in {folder}: {error.strerror or error}; make room or allow "
            "writing there, or name the folder that holds its four files with --data FOLDER"
        ) from error
    finally:
        if folder_is_new:  # an empty one would look like a folder with data
            with contextlib.suppress(OSError):
                folder.rmdir()


def _fetch(archive: Path, mirrors: Sequence[str], patience: float) -> str:
    """Put one file in its place, and return the mirror that served it."""
    # The process id keeps the files of two downloads at the same time apart.
    part = archive.with_name(f"{archive.name}.{os.getpid()}.part")
    failures = []
    say(f"downloading {archive}")
    for mirror in mirrors:
        try:
            fault = _download(f"{mirror.rstrip('/')}/{archive.name}", part, patience)
            fault = fault or _fault(part, archive.stem)
            if fault is None:
                part.replace(archive)
                return mirror
        finally:
            part.unlink(missing_ok=True)
        failures.append(f"{_source(mirror)} {fault}")
    raise UserError(
        f"no mirror serves {archive.name}: {'; '.join(failures)}. Bring MNIST's four .gz files "
        f"into {archive.parent}, or name the folder that holds them with --data FOLDER"
    )


def _download(url: str, part: Path, patience: float) -> str | None:
    """Write what a mirror sends to part. Returns what went wrong, or None.

    pooch bounds each wait for bytes, but neither their sum nor the look-up of the mirror's name. So
    it runs in a thread, and this one looks at the size of the file every `patience` seconds.
    """
    from pooch import HTTPDownloader  # here, because it takes time, and only a download needs it

    as_it_is = {"Accept-Encoding": "identity"}
    fetch = HTTPDownloader(progressbar=os.isatty(2), timeout=2 * patience, headers=as_it_is)
    errors: list[Exception] = []

    def receive() -> None:
        try:
            fetch(url, file, None)
        except Exception as error:  # of requests, urllib3, http.client or our own file
            errors.append(error.with_traceback(None))  # which would keep the connection open

    with part.open("wb") as file:
        receiver = threading.Thread(target=receive, daemon=True)
        receiver.start()
        before = 0
        receiver.join(patience)
        while receiver.is_alive():
            received, before = file.tell() - before, file.tell()
            if before > MOST:
                return f"sent more than {MOST:,} bytes"
            if received < SLOWEST * patience:
                return f"sent only {received:,} bytes in {patience:g} s"
            receiver.join(patience)
    if not errors:
        return None
    if isinstance(errors[0], OSError) and not hasattr(errors[0], "response"):
        raise errors[0]  # about our file: requests wraps those about the network
    return _reason(errors[0])


def _reason(error: BaseException) -> str:
    """Why a mirror could not be read, in a few words."""
    response = getattr(error, "response", None)
    if response is not None:
        return f"answered HTTP {response.status_code}"
    while error.__context__ is not None:  # requests and urllib3 wrap the real reason
        error = error.__context__
    text = getattr(error, "strerror", None) or str(error)
    if not text.isprintable():
        text = type(error).__name__
    return f"failed ({text[:100]})"


def _source(mirror: str) -> str:
    """Where the answer comes from: the mirror, or the proxy that is set in the environment."""
    from requests.utils import get_environ_proxies, select_proxy  # what pooch fetches with

    proxy = select_proxy(mirror, get_environ_proxies(mirror))
    if not proxy:
        return mirror
    address = proxy.rpartition("//")[2].rpartition("@")[2]  # without a password
    return f"the proxy {address} ({mirror.partition(':')[0]}_proxy), asked for {mirror},"


def _fault(archive: Path, name: str) -> str | None:
    """What is wrong with the content of a .gz file, or None if it is MNIST's file `name`."""
    try:
        with gzip.open(archive) as content:
            found = content.read(SIZES[name] + 1)  # no more, however much the archive holds
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "sent no gzip file, or one that is cut short or damaged"
    if hashlib.sha256(found).hexdigest() == SHA256[name]:
        return None
    return "sent content with the wrong SHA-256"
