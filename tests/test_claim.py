"""One run at a time writes in a model folder: who is let in, who has to go, what is left behind."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from results import claim
from runtime import storage
from runtime.command_line import UserError

ROOT = Path(claim.__file__).parent.parent
HOLD = """
import sys
from results import claim
with claim.held(sys.argv[1], False):
    print("held", flush=True)
    sys.stdin.read()
"""

AT_ONCE = """
import os, sys, time
from results import claim
from runtime.command_line import UserError
print("ready", flush=True)
while not os.path.exists(sys.argv[2]):
    pass
try:
    with claim.held(sys.argv[1], False) as held:
        time.sleep(1)
        held.own_folder()
        print("goes on", flush=True)
        sys.stdin.read()
except UserError:
    print("ends", flush=True)
"""


@pytest.fixture(params=["path", "URI"])
def folder(request, tmp_path, mounted) -> str:
    """A model folder, there already, as it is named to the program; it is `model` in tmp_path."""
    (tmp_path / "model").mkdir()
    place = tmp_path if request.param == "path" else mounted(tmp_path)
    return f"{place}/model"


in_a_local_folder = pytest.mark.parametrize("folder", ["path"], indirect=True)


class InThisProcess:
    """Another run, as a process would be one: a lock that was opened twice has two holders too."""

    pid = os.getpid()

    def __init__(self, folder: str, monkeypatch):
        locks, FileLock = [], claim.FileLock
        with monkeypatch.context() as patch:
            patch.setattr(
                claim, "FileLock", lambda *told: locks.append(FileLock(*told)) or locks[-1]
            )
            self.claim = claim.held(folder, False)
            self.claim.__enter__()
        self.lock = locks[-1]

    def communicate(self):
        self.claim.__exit__(None, None, None)

    def kill(self, *_):
        self.lock.release()  # as the system does

    def wait(self):
        pass

    send_signal = kill


@pytest.fixture(params=["run", pytest.param("process", marks=pytest.mark.long)])
def other(request, tmp_path, monkeypatch):
    """Another run that holds the claim of the folder, until it is told to end or killed."""
    folder = str(tmp_path / "model")
    if request.param == "run":
        yield InThisProcess(folder, monkeypatch)
        return
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def refusal(folder: str) -> str:
    """What a run without --resume is told; one line."""
    with pytest.raises(UserError) as caught, claim.held(folder, False):
        pass
    assert str(caught.value).isprintable()
    return str(caught.value)


def left(tmp_path) -> list[str]:
    return [name for name in os.listdir(tmp_path / "model") if not name.endswith(".crc")]


@in_a_local_folder
def test_a_second_run_is_told_who_writes_and_leaves_that_one_alone(folder, other, tmp_path):
    before = (tmp_path / "model/running.json").read_bytes()
    since = json.loads(before)["since"]
    assert refusal(folder) == (
        f"{folder}: the run on {socket.gethostname()} (process {other.pid}, since {since}) "
        "is writing to it; wait until that run ends, give another --model-dir, or take over with "
        "--resume"
    )
    assert (tmp_path / "model/running.json").read_bytes() == before


def test_a_run_that_has_ended_leaves_the_folder_free(folder, other, tmp_path):
    other.communicate()
    assert left(tmp_path) == []
    with claim.held(folder, False) as held:
        assert held.own_folder() == folder
        assert "running.json" in left(tmp_path)
    assert left(tmp_path) == []


@in_a_local_folder
@pytest.mark.parametrize(
    ("other", "waited"),
    [("run", True)]
    + [pytest.param("process", waited, marks=pytest.mark.long) for waited in (True, False)],
    indirect=["other"],
    ids=["run", "gone", "zombie"],
)
def test_a_run_that_was_killed_is_in_nobodys_way(folder, other, waited, tmp_path, capsys):
    other.send_signal(signal.SIGKILL)
    if waited:
        other.wait()
    else:
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)
    assert "running.json" in left(tmp_path)
    with claim.held(folder, False) as held:
        held.own_folder()
    assert left(tmp_path) == []
    assert capsys.readouterr().out == ""


def test_a_run_that_resumes_takes_over_and_says_so(folder, other, tmp_path, capsys):
    with claim.held(folder, True) as held:
        held.own_folder()
        assert f"taking over {folder} from the run on " in capsys.readouterr().out
        assert json.loads((tmp_path / "model/running.json").read_text())["process"] == os.getpid()
        other.communicate()
        held.own_folder()
    assert left(tmp_path) == [], "the older one deleted what was not its own, or nobody did"


def test_the_older_of_two_runs_is_told_who_took_over(folder):
    with claim.held(folder, False) as older, claim.held(folder, True) as newer:
        newer.own_folder()
        with pytest.raises(UserError) as caught:
            older.own_folder()
    text = str(caught.value)
    assert text.startswith(f"{folder}: the run on {socket.gethostname()} (process ")
    assert text.endswith(" has taken over; this run stops and writes nothing more")


def test_a_run_whose_claim_is_gone_stops(folder, tmp_path):
    with claim.held(folder, False) as held:
        storage.delete(storage.join(folder, "running.json"))
        with pytest.raises(UserError, match=r"running\.json of this run is missing"):
            held.own_folder()


def rewrite(tmp_path, **changed):
    """Change what a running.json says."""
    place = tmp_path / "model/running.json"
    place.write_text(json.dumps(json.loads(place.read_text()) | changed))
    (place.parent / ".running.json.crc").unlink(missing_ok=True)


@in_a_local_folder
@pytest.mark.parametrize("host", [socket.gethostname(), "elsewhere"])
def test_a_run_that_holds_its_lock_lives_wherever_it_is(folder, other, tmp_path, host):
    """In another container of the same machine, for instance."""
    rewrite(tmp_path, host=host)
    assert f"the run on {host} (process {other.pid}, " in refusal(folder)
    assert "wait until that run ends" in refusal(folder)


def assert_one_is_told_how_to_go_on(folder: str, capsys):
    text = refusal(folder)
    assert f"or was killed; {socket.gethostname()} cannot tell which" in text
    assert f"delete {folder}/running.json, or continue it with --resume" in text
    with claim.held(folder, True):
        assert "taking over" in capsys.readouterr().out
    with claim.held(folder, False):
        pass


@in_a_local_folder
def test_a_run_of_another_host_may_live_although_its_lock_is_free(folder, other, tmp_path, capsys):
    """The locks of a network mount may be those of one machine only."""
    other.kill()
    other.wait()
    rewrite(tmp_path, host="elsewhere")
    assert_one_is_told_how_to_go_on(folder, capsys)


@pytest.mark.parametrize("folder", ["URI"], indirect=True)
def test_at_a_uri_one_cannot_see_whether_a_run_lives(folder, other, capsys):
    other.kill()
    assert_one_is_told_how_to_go_on(folder, capsys)


@in_a_local_folder
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("no flock here")]
)
def test_where_there_are_no_locks_a_note_says_so_and_the_token_is_left(
    folder, tmp_path, capsys, monkeypatch, error
):
    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(claim.FileLock, "acquire", refuse)
    with claim.held(folder, False) as older:
        said = capsys.readouterr().out
        assert said.startswith(f"note: {folder} cannot be locked (")
        assert str(error) in said and said.count("\n") == 1
        assert "cannot tell which" in refusal(folder)
        with claim.held(folder, True), pytest.raises(UserError, match="has taken over"):
            older.own_folder()
    assert left(tmp_path) == []


@in_a_local_folder
@pytest.mark.long
def test_what_a_run_starts_does_not_keep_its_lock(folder, tmp_path):
    """As Java, which outlives a Python that is killed, would."""
    started = HOLD.replace(
        '    print("held"',
        '    subprocess.Popen(["sleep", "60"], close_fds=False)\n    print("held"',
    )
    process = subprocess.Popen(
        [sys.executable, "-c", "import subprocess\n" + started, folder],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout.readline() == b"held\n"
        process.kill()
        process.wait()
        os.killpg(process.pid, 0)  # the other process is still there
        with claim.held(folder, False) as held:
            held.own_folder()
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_folder_that_cannot_be_written_is_named_and_nothing_else(tmp_path, unprivileged, capsys):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o555)
    with unprivileged(tmp_path):
        assert refusal(str(closed)) == f"cannot write {closed}: Permission denied"
        text = refusal(str(closed / "model"))
        assert text == f"cannot write {closed}/model: Permission denied"
    assert capsys.readouterr().out == ""


@in_a_local_folder
@pytest.mark.long
def test_of_runs_that_start_at_once_one_goes_on(folder, tmp_path):
    """Each process claims the folder when all are there, and says whether it may write."""
    start = tmp_path / "start"
    words = [sys.executable, "-c", AT_ONCE, str(tmp_path / "model"), str(start)]
    processes = [
        subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    start.touch()
    said = [process.stdout.readline() for process in processes]
    for process in processes:
        process.communicate("\n")
    assert said.count("goes on\n") == 1, said
    assert left(tmp_path) == []


NOT_OF_A_RUN = [
    b"",
    b"{",
    b"[]",
    b"3",
    b"\xff",
    b'{"host": "x"}',
    b'{"host": "x", "process": "1", "since": 1}',
    b'{"host": "\\u001b[2J", "process": 1, "since": "now"}',
    b"[" * 100_000,
]


def test_what_no_run_has_written_is_in_nobodys_way(folder, tmp_path):
    for content in NOT_OF_A_RUN:
        (tmp_path / "model/running.json").write_bytes(content)
        with claim.held(folder, False) as held:
            held.own_folder()


def test_a_folder_that_a_run_made_and_left_empty_goes_with_it(folder):
    for name, content in (("empty", None), ("full", b"kept")):
        place = storage.join(folder, name)
        with pytest.raises(ZeroDivisionError), claim.held(place, False) as held:
            if content:
                storage.write(storage.join(held.own_folder(), "file"), content)
            raise ZeroDivisionError
        assert storage.names(place) == ["file"] * (content is not None)
    assert storage.names(folder) == ["full"]


def test_what_killed_runs_had_not_finished_does_not_pile_up(folder, other, tmp_path):
    finished = {"checkpoint.npz", "notes.tmp", "metrics.json.0123abcd.tmp"}
    unfinished = {"checkpoint.npz.0123abcd.tmp", "history.csv.89efcdab.tmp"}
    for name in finished | unfinished:
        (tmp_path / "model" / name).touch()
    with claim.held(folder, True):
        assert unfinished < set(left(tmp_path)), "the older one may still be at it"
    other.communicate()
    with claim.held(folder, False):
        assert not unfinished & set(left(tmp_path))
    assert set(left(tmp_path)) == finished
