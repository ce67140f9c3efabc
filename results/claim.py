"""The claim on a model folder: only one run writes to it, the last one that claimed it.

running.json names that run and holds its token. A run reads the file before each write and stops if
it finds another token. So --resume can safely take over from a run that was cut off.

In a local folder a run also locks a file. The system releases the lock when the process ends, so
the next run knows whether this one is still alive. Hadoop's file systems have no locks.
"""

import contextlib
import json
import os
import re
import secrets
import socket
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from runtime import storage
from runtime.command_line import UserError, say

RUNNING = "running.json"


class Claim(NamedTuple):
    """The model folder, and what this run wrote into its running.json."""

    folder: str
    content: bytes

    def own_folder(self) -> str:
        """The folder, if this run still owns it. Raises UserError if it does not."""
        now = _read(self.folder)
        if now == self.content:
            return self.folder
        other = _parse(now)
        if other is None:
            what = f"{RUNNING} of this run is missing: another run or a user deleted it"
        else:
            what = f"{_described(other)} has taken over"
        raise UserError(f"{self.folder}: {what}; this run stops and writes nothing more")


@contextlib.contextmanager
def held(folder: str, resumed: bool) -> Iterator[Claim]:
    """Claim a model folder for the length of a `with` block; the folder is created.

    With `resumed`, this run takes over from a run that may still be alive. Otherwise such a run
    raises UserError. So does a folder that cannot be written.
    """
    was_there = storage.exists(folder)
    other = _parse(_read(folder))
    alive = False if other is None else _lives(folder, other)
    if other is not None and alive is not False:
        if not resumed:
            raise UserError(_refusal(folder, other, alive))
        say(
            f"note: taking over {folder} from {_described(other)}; if that run is still alive, it "
            "stops before its next write"
        )
    if alive is False:
        _sweep(folder)
    run = {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "since": datetime.now().astimezone().isoformat(" ", "seconds"),
        "token": secrets.token_hex(16),
    }
    claim = Claim(folder, (json.dumps(run, indent=2) + "\n").encode())
    storage.check_writable(folder)
    lock = _lock(folder, run)
    try:
        storage.write(storage.join(folder, RUNNING), claim.content)
        yield claim
    finally:
        # Where another run has taken over, running.json is no longer ours to delete.
        with contextlib.suppress(UserError):
            storage.delete(storage.join(claim.own_folder(), RUNNING))
        with contextlib.suppress(UserError):
            if lock is not None:
                storage.delete(lock.lock_file)
                lock.release()
            if not was_there and not storage.names(folder):
                storage.delete(folder)


def _lock(folder: str, run: dict[str, Any]) -> FileLock | None:
    """The lock of a run in a local folder. None, with a note, where locks do not work."""
    if storage.is_uri(folder):
        return None
    lock = FileLock(_lock_file(folder, run))
    try:
        os.makedirs(folder, exist_ok=True)
        lock.acquire(blocking=False)
    except (OSError, NotImplementedError) as error:
        say(
            f"note: {folder} cannot be locked ({error}); if this run is killed, the next one will "
            f"ask you to delete {storage.join(folder, RUNNING)}"
        )
        return None
    return lock


def _lock_file(folder: str, run: dict[str, Any]) -> str:
    """The file that a run locks; it has a temporary name, so `_sweep` deletes it."""
    return storage.join(folder, f"{RUNNING}.{run['token'][:8]}.tmp")


def _lives(folder: str, run: dict[str, Any]) -> bool | None:
    """Whether a run's process is alive; None if this machine cannot tell."""
    place = _lock_file(folder, run)
    if storage.is_uri(folder) or not os.path.exists(place):
        return None
    try:
        with FileLock(place, timeout=0):
            pass
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # a file of another account, or no locks here
        return None
    # On a network mount, the locks of another machine may not be seen from this one.
    return False if run["host"] == socket.gethostname() else None


def _sweep(folder: str) -> None:
    """Delete unfinished files of runs that were killed."""
    for name in storage.names(folder):
        if storage.is_temporary(name) and not name.startswith("metrics"):  # predict.py may use it
            storage.delete(storage.join(folder, name))


def _read(folder: str) -> bytes | None:
    place = storage.join(folder, RUNNING)
    return storage.read(place) if storage.exists(place) else None


def _parse(content: bytes | None) -> dict[str, Any] | None:
    """The content of a running.json; None if no run wrote it."""
    try:
        said = json.loads(content or b"")
        told = f"{said['host']} {said['process']:d} {said['since']}"
        if re.fullmatch("[0-9a-f]{32}", said["token"]) is None:
            return None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return said if told.isprintable() else None


def _described(run: dict[str, Any]) -> str:
    return f"the run on {run['host']} (process {run['process']}, since {run['since']})"


def _refusal(folder: str, other: dict[str, Any], alive: bool | None) -> str:
    if alive:
        return (
            f"{folder}: {_described(other)} is writing to it; wait until that run ends, give "
            "another --model-dir, or take over with --resume"
        )
    return (
        f"{folder}: {_described(other)} is writing to it, or was killed; {socket.gethostname()} "
        f"cannot tell which. If it has ended, delete {storage.join(folder, RUNNING)}, or continue "
        "it with --resume; otherwise give another --model-dir"
    )
