"""Who writes in a model folder: one run at a time, the one that claimed it last.

running.json names that run and holds a token of it. A run reads it again before each of its writes,
and stops where it finds another: one that was cut off and taken for dead does no harm when it comes
back. That needs no lock, which Hadoop's file systems do not have.
"""

import contextlib
import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from runtime import storage
from runtime.command_line import UserError

RUNNING = "running.json"


class Claim(NamedTuple):
    """What this run wrote into running.json, and where that is."""

    folder: str
    content: bytes

    def own_folder(self) -> str:
        """The folder, to write in at once. Raises UserError unless it still is this run's own."""
        now = _read(self.folder)
        if now == self.content:
            return self.folder
        other = _parse(now)
        if other is None:
            what = f"{RUNNING} of this run is gone: another run was here, or somebody deleted it"
        else:
            what = f"{_described(other)} has taken over"
        raise UserError(f"{self.folder}: {what}; this run stops and writes nothing more")


@contextlib.contextmanager
def held(folder: str, resumed: bool) -> Iterator[Claim]:
    """The claim of a model folder, for the length of a `with` block; the folder is made.

    A run that is `resumed` takes over from one that may still live. Raises UserError if there is
    such a one and it is not resumed, or if the folder cannot be written.
    """
    was_there = storage.exists(folder)
    other = _parse(_read(folder))
    alive = False if other is None else _lives(other)
    if other is not None and alive is not False:
        if not resumed:
            raise UserError(_refusal(folder, other, alive))
        print(
            f"note: taking over {folder} from {_described(other)}; if it still runs, it stops "
            "before its next write",
            flush=True,
        )
    if alive is False:
        _sweep(folder)
    since = datetime.now().astimezone().isoformat(" ", "seconds")
    said = {**_this_process(), "since": since, "token": secrets.token_hex(16)}
    claim = Claim(folder, (json.dumps(said, indent=2) + "\n").encode())
    storage.write(storage.join(folder, RUNNING), claim.content)
    try:
        yield claim
    finally:
        # Whatever is left here is that of a dead run, which is in nobody's way.
        with contextlib.suppress(UserError):
            storage.delete(storage.join(claim.own_folder(), RUNNING))
            if not was_there and not storage.names(folder):
                storage.delete(folder)


def _sweep(folder: str) -> None:
    """Delete what runs were writing when they were killed."""
    for name in storage.names(folder):
        if storage.is_temporary(name) and not name.startswith("metrics"):  # predict.py may be at it
            storage.delete(storage.join(folder, name))


def _read(folder: str) -> bytes | None:
    place = storage.join(folder, RUNNING)
    return storage.read(place) if storage.exists(place) else None


def _parse(content: bytes | None) -> dict[str, Any] | None:
    """What a running.json says; None of one that no run wrote."""
    try:
        said = json.loads(content or b"")
        told = f"{said['host']} {said['process']:d} {said['since']}"
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return said if told.isprintable() else None


def _described(run: dict[str, Any]) -> str:
    return f"the run on {run['host']} (process {run['process']}, since {run['since']})"


def _refusal(folder: str, other: dict[str, Any], alive: bool | None) -> str:
    if alive:
        return (
            f"{folder}: {_described(other)} writes here; wait for its end, name another "
            "--model-dir, or take over from it with --resume"
        )
    return (
        f"{folder}: {_described(other)} writes here, or was killed, which cannot be seen from "
        f"{socket.gethostname()}; if it has ended, delete {storage.join(folder, RUNNING)}, or go "
        "on where it was with --resume; else name another --model-dir"
    )


def _lives(run: dict[str, Any]) -> bool | None:
    """Whether a run's process is still there; None where that cannot be seen from here."""
    here = _this_process()
    if run["host"] != here["host"]:
        return None
    if run.get("boot") != here["boot"]:
        return False
    if run.get("namespace") != here["namespace"]:
        return None
    if run["process"] == here["process"]:
        return False  # there is no other run in this process: it is an earlier one's claim
    if not run.get("started"):
        return None
    return _started(run["process"]) == run["started"]


def _this_process() -> dict[str, Any]:
    """What tells this process from all others, on all machines, of all times."""
    boot, namespace = Path("/proc/sys/kernel/random/boot_id"), "/proc/self/ns/pid"
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "namespace": os.readlink(namespace) if os.path.lexists(namespace) else "",
        "process": os.getpid(),
        "started": _started(os.getpid()),
    }


def _started(process: int) -> str:
    """When a process of this machine was started, as its system says it; empty if it has ended."""
    with contextlib.suppress(OSError):
        if not os.path.exists("/proc/self/stat"):
            ps = subprocess.run(["ps", "-o", "lstart=", "-p", str(process)], capture_output=True)
            return " ".join(ps.stdout.decode(errors="replace").split())
        # After the name, in brackets, which may hold anything: state, ..., start time.
        state, *others = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return "" if state in "ZX" else others[18]
    return ""
