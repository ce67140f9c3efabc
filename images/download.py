"""Fetch MNIST's four files from the mirrors that publish them, checked by hash."""

import contextlib
import gzip
import hashlib
import http.client
import os
import queue
import threading
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from tqdm import tqdm

from runtime.command_line import UserError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
# Of the uncompressed content: a mirror may have compressed a file again.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
# Bytes, uncompressed, in the same order.
SIZES = dict(zip(SHA256, (47_040_016, 60_008, 7_840_016, 10_008), strict=True))
BLOCK = 1 << 16  # bytes read at once, and what gzip may add to content that does not compress
SLOWEST = 20_000  # bytes per second that a mirror must keep up


class MirrorError(Exception):
    """What a mirror did wrong, in a few words."""


def download_mnist(folder: Path, mirrors: Sequence[str] = MIRRORS, timeout: float = 10.0) -> None:
    """Fetch the four .gz files into folder, except those that are there with the right content.

    timeout: seconds after which a network without any answer is given up; each mirror has its
    share. Raises UserError where no mirror serves a file, or the folder cannot be written.
    """
    patience = timeout / len(mirrors)
    folder_is_new = not os.path.exists(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in SHA256:
            archive = folder / f"{name}.gz"
            if not archive.is_file() or _fault(archive, name):
                served = _fetch(archive, mirrors, patience)
                # The mirror that served goes first from now on: a dead one is waited for once.
                mirrors = [served, *(mirror for mirror in mirrors if mirror != served)]
    except OSError as error:
        raise UserError(
            f"cannot keep MNIST in {folder}: {error.strerror or error}; make room for it there, "
            "or name the folder that holds its four files with --data FOLDER"
        ) from error
    finally:
        if folder_is_new:  # left empty, it would pass for a folder with data
            with contextlib.suppress(OSError):
                folder.rmdir()


def _fetch(archive: Path, mirrors: Sequence[str], patience: float) -> str:
    """Put one file in its place, and return the mirror that served it."""
    # The process id keeps two runs that download at once apart.
    part = archive.with_name(f"{archive.name}.{os.getpid()}.part")
    failures = []
    for mirror in mirrors:
        try:
            _download(f"{mirror.rstrip('/')}/{archive.name}", part, archive.stem, patience)
            part.replace(archive)
            return mirror
        except MirrorError as error:
            failures.append(f"{mirror} {error}")
        finally:
            part.unlink(missing_ok=True)
    raise UserError(
        f"no mirror serves {archive.name}: {'; '.join(failures)}. Bring MNIST's four .gz files "
        f"into {archive.parent}, or name the folder that holds them with --data FOLDER"
    )


def _download(url: str, part: Path, name: str, patience: float) -> None:
    """Write what a mirror sends to part; MirrorError unless it holds MNIST's file `name`."""
    with (
        part.open("wb") as file,
        tqdm(desc=f"{name}.gz", unit="B", unit_scale=True, disable=None) as bar,
    ):
        for block in _blocks(url, SIZES[name] + BLOCK, patience, bar):
            file.write(block)
            bar.update(len(block))
    if fault := _fault(part, name):
        raise MirrorError(f"sent {fault}")


def _blocks(url: str, limit: int, patience: float, bar: tqdm) -> Iterator[bytes]:
    """Yield what url sends, at most limit bytes; MirrorError where it fails or is too slow.

    Each byte extends the wait by 1/SLOWEST of a second, up to patience seconds from now.
    A thread receives, as the time-out of urlopen bounds each address and each read but neither
    their sum nor the look-up of the host's name.
    """
    arrived: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()
    abandoned = threading.Event()

    def receive() -> None:
        try:
            with urllib.request.urlopen(url, timeout=patience) as response:
                bar.total = response.length
                while not abandoned.is_set():
                    arrived.put(block := response.read1(BLOCK))
                    if not block:
                        break
        except Exception as error:  # whatever it is, it must reach the thread that waits
            arrived.put(error)

    if not url.startswith(("http://", "https://")):
        raise MirrorError("is not an http or https address")
    threading.Thread(target=receive, daemon=True).start()
    received, deadline = 0, time.monotonic() + patience
    try:
        while block := arrived.get(timeout=max(0.0, deadline - time.monotonic())):
            if isinstance(block, Exception):
                raise MirrorError(_reason(block)) from block
            received += len(block)
            if received > limit:
                raise MirrorError(f"sent more than {limit} bytes")
            deadline = min(deadline + len(block) / SLOWEST, time.monotonic() + patience)
            yield block
    except queue.Empty:
        slow = f"fell below {SLOWEST} bytes a second" if received else "did not answer"
        raise MirrorError(f"{slow} for {patience:g} s") from None
    finally:
        abandoned.set()


def _reason(error: Exception) -> str:
    """Why a mirror could not be read, in a few words."""
    if isinstance(error, urllib.error.HTTPError):
        return f"answered HTTP {error.code}"
    if isinstance(error, http.client.HTTPException):
        return f"broke HTTP's rules ({type(error).__name__})"
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    return f"failed ({getattr(cause, 'strerror', None) or cause})"


def _fault(archive: Path, name: str) -> str | None:
    """What is wrong with the content of a .gz file, None where it is MNIST's file `name`.

    Reading ends one byte beyond the size of MNIST's file, however much the archive holds.
    """
    digest, left = hashlib.sha256(), SIZES[name] + 1
    try:
        with gzip.open(archive) as content:
            while block := content.read(min(BLOCK, left)):
                digest.update(block)
                left -= len(block)
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return "no gzip file, or one that is cut short or damaged"
    return None if digest.hexdigest() == SHA256[name] else "content with the wrong SHA-256"
