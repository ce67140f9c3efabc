import contextlib
import gzip
import hashlib
import http.server
import os
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from images import download
from images.download import SHA256, SIZES, download_mnist
from runtime.command_line import UserError

NAMES = [f"{name}.gz" for name in SHA256]
FIRST, LABELS = NAMES[0], NAMES[-1]
PATIENCE = 0.5  # seconds for each mirror in the tests of slow ones

Answer = Callable[[http.server.BaseHTTPRequestHandler, str], None]


@pytest.fixture(scope="module")
def files(mnist) -> Iterator[dict[str, bytes]]:
    """The four files by name; what stands in for MNIST where it is not here has its sizes too."""
    contents = {name: Path(mnist, name).read_bytes() for name in NAMES}
    hashes = {
        Path(name).stem: hashlib.sha256(gzip.decompress(content)).hexdigest()
        for name, content in contents.items()
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "SHA256", hashes)
        yield contents


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for variable in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.upper(), raising=False)


@pytest.fixture
def labels_only(files, monkeypatch):
    """Let MNIST consist of its smallest file, where a test is about what befalls one file."""
    name = Path(LABELS).stem
    monkeypatch.setattr(download, "SHA256", {name: download.SHA256[name]})


@contextlib.contextmanager
def mirror(answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A mirror's address on loopback, and the names of the files it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.rsplit("/", 1)[-1]
            asked.append(name)
            with contextlib.suppress(ConnectionError):  # the client may have given up
                answer(self, name)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/mnist/", asked
    finally:
        server.shutdown()
        server.server_close()


def send(handler, body: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.wfile.write(body)


def serving(files: dict[str, bytes]) -> Answer:
    return lambda handler, name: send(handler, files[name])


def always(body: bytes) -> Answer:
    return lambda handler, name: send(handler, body)


def trickle(handler, body: bytes, size: int, pause: float) -> None:
    """Send size bytes at a time and rest for pause seconds."""
    for start in range(0, len(body), size):
        handler.wfile.write(body[start : start + size])
        time.sleep(pause)


@contextlib.contextmanager
def silent_mirror() -> Iterator[str]:
    """The kernel takes connections to it, and nobody ever answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/mnist/"


def closed_mirror() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"http://127.0.0.1:{listener.getsockname()[1]}/mnist/"


def failure(folder: Path, *mirrors: str, timeout: float = 5.0) -> str:
    """The text of the UserError that downloading ends in."""
    with pytest.raises(UserError) as caught:
        download_mnist(folder, mirrors, timeout)
    return str(caught.value)


def test_four_files_arrive_byte_for_byte_and_nothing_else(tmp_path, files):
    folder = tmp_path / "data" / "mnist"
    with mirror(serving(files)) as (url, asked):
        download_mnist(folder, [url])
    assert asked == NAMES
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_a_file_that_a_mirror_compressed_again_is_welcome(tmp_path, files, labels_only):
    content = gzip.decompress(files[LABELS])
    again = gzip.compress(content[:5000], 0) + gzip.compress(content[5000:], 0)  # and larger
    assert len(again) > len(content)
    with mirror(always(again)) as (url, _):
        download_mnist(tmp_path, [url])
    assert (tmp_path / LABELS).read_bytes() == again


def test_wrong_content_on_the_first_mirror_leads_to_the_second(tmp_path, files):
    wrong = dict(zip(NAMES, reversed(files.values()), strict=True))
    with mirror(serving(wrong)) as (bad, asked_bad), mirror(serving(files)) as (good, asked_good):
        download_mnist(tmp_path, [bad, good])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files
    assert asked_bad == [FIRST], "a mirror that failed is asked again before one that served"
    assert asked_good == NAMES


def test_where_every_mirror_is_wrong_the_error_says_why_and_nothing_is_left(tmp_path, files):
    folder = tmp_path / "mnist"
    with (
        mirror(always(files[LABELS])) as (other, asked),
        mirror(always(b"<html>Please log in</html>")) as (page, _),
        mirror(lambda handler, name: handler.send_error(404)) as (empty, _),
    ):
        text = failure(folder, other, page, empty)
    assert f"{other} sent content with the wrong SHA-256" in text
    assert f"{page} sent no gzip file" in text
    assert f"{empty} answered HTTP 404" in text
    assert FIRST in text and str(folder) in text and "--data FOLDER" in text
    assert "\n" not in text
    assert asked == [FIRST], "the first file that no mirror has must end it"
    assert not folder.exists()


def test_a_person_keeps_a_folder_and_the_files_that_arrived_before_a_failure(tmp_path, files):
    with mirror(serving(files | {LABELS: b""})) as (url, _):
        assert LABELS in failure(tmp_path, url)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(set(NAMES) - {LABELS})


@pytest.mark.parametrize("announced", ["the whole length", "the cut length"])
def test_a_body_cut_short_is_refused(tmp_path, files, announced):
    body = files[FIRST][:100_000]
    length = len(files[FIRST]) if announced == "the whole length" else len(body)
    with mirror(lambda handler, name: send(handler, body, length)) as (url, _):
        said = {"the whole length": "failed (IncompleteRead", "the cut length": "sent no gzip file"}
        assert f"{url} {said[announced]}" in failure(tmp_path, url)
    assert not list(tmp_path.iterdir())


def test_a_damaged_body_is_refused(tmp_path, files, labels_only):
    body = files[LABELS]
    damaged = body[:1000] + bytes(200) + body[1200:]
    with mirror(always(damaged)) as (url, _):
        assert f"{url} sent no gzip file, or one that is cut short" in failure(tmp_path, url)


def test_a_gzip_bomb_is_refused_one_byte_beyond_the_size(tmp_path, files, labels_only, monkeypatch):
    decompressed = []
    read = gzip.GzipFile.read

    def counted(self, size=-1):
        block = read(self, size)
        decompressed.append(len(block))
        return block

    monkeypatch.setattr(gzip.GzipFile, "read", counted)
    bomb = gzip.compress(gzip.decompress(files[LABELS]) + bytes(50_000_000))
    with mirror(always(bomb)) as (url, _):
        assert f"{url} sent content with the wrong SHA-256" in failure(tmp_path, url)
    assert sum(decompressed) == SIZES[Path(LABELS).stem] + 1
    assert not list(tmp_path.iterdir())


def test_a_body_without_an_end_is_refused_and_the_connection_closed(tmp_path, monkeypatch):
    closed = threading.Event()

    def answer(handler, name):
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(bytes(100_000))
        except ConnectionError:
            closed.set()

    monkeypatch.setattr(download, "MOST", 1_000_000)
    with mirror(answer) as (url, _):
        text = failure(tmp_path, url, timeout=PATIENCE)
        assert f"{url} sent more than 1,000,000 bytes" in text
        assert closed.wait(5)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("before", [0, 15_000])  # enough for the first half second
def test_a_mirror_that_drips_is_given_up(tmp_path, files, before):
    def answer(handler, name):
        send(handler, files[FIRST][:before], length=len(files[FIRST]))
        trickle(handler, files[FIRST][before : before + 300], size=1, pause=0.01)

    with mirror(answer) as (url, _):
        start = time.monotonic()
        text = failure(tmp_path, url, timeout=PATIENCE)
        assert time.monotonic() - start < 2 * PATIENCE + 0.5
    assert re.search(rf"{url} sent only \d+ bytes in {PATIENCE} s", text)
    assert not list(tmp_path.iterdir())


def test_a_mirror_above_the_slowest_rate_may_take_longer_than_its_share(
    tmp_path, files, labels_only, monkeypatch
):
    def answer(handler, name):
        send(handler, b"", length=len(files[name]))
        trickle(handler, files[name], size=300, pause=0.05)

    monkeypatch.setattr(download, "SLOWEST", 500)
    start = time.monotonic()
    with mirror(answer) as (url, _):
        download_mnist(tmp_path, [url], timeout=PATIENCE)
    assert time.monotonic() - start > PATIENCE
    assert (tmp_path / LABELS).read_bytes() == files[LABELS]


def test_silent_mirrors_share_one_time_out(tmp_path):
    with silent_mirror() as one, silent_mirror() as other:
        start = time.monotonic()
        text = failure(tmp_path, one, other, timeout=PATIENCE)
        assert time.monotonic() - start < PATIENCE + 0.5
    assert one in text and other in text
    assert not list(tmp_path.iterdir())


def test_a_name_look_up_that_hangs_ends_in_the_time_out_too(tmp_path, monkeypatch):
    released = threading.Event()

    def hanging(*_, **__):
        released.wait(5)
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", hanging)
    start = time.monotonic()
    text = failure(tmp_path, "http://127.0.0.1/mnist/", timeout=PATIENCE)
    assert time.monotonic() - start < PATIENCE + 0.5
    released.set()
    assert f"sent only 0 bytes in {PATIENCE} s" in text


def test_a_dead_mirror_is_waited_for_once(tmp_path, files):
    with silent_mirror() as dead, mirror(serving(files)) as (good, _):
        start = time.monotonic()
        download_mnist(tmp_path, [dead, good], timeout=4 * PATIENCE)
        assert time.monotonic() - start < 2 * (2 * PATIENCE) + 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(NAMES)


def test_a_refused_connection_is_found_at_once(tmp_path):
    url = closed_mirror()
    start = time.monotonic()
    assert f"{url} failed (Connection refused)" in failure(tmp_path, url, timeout=10)
    assert time.monotonic() - start < 1


def test_an_answer_that_is_not_http_is_one_clean_line(tmp_path):
    with mirror(lambda handler, name: handler.wfile.write(b"\x1b[2J nonsense\n\n")) as (url, _):
        text = failure(tmp_path, url)
    assert f"{url} failed (BadStatusLine)" in text and text.isprintable()


@pytest.mark.parametrize("url", ["{folder}", "ftp://127.0.0.1/mnist/"])
def test_only_http_and_https_addresses_are_opened(tmp_path, mnist, url):
    url = url.format(folder=Path(mnist).as_uri())
    assert f"{url} failed (No connection adapters were found" in failure(tmp_path, url)
    assert not list(tmp_path.iterdir())


def test_a_proxy_of_the_environment_is_used(tmp_path, files, labels_only, monkeypatch):
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    with mirror(serving(files)) as (proxy, asked):
        monkeypatch.setenv("http_proxy", proxy)
        download_mnist(tmp_path, [closed_mirror()])
    assert asked == [LABELS]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_dead_proxy_is_named_without_its_password(tmp_path, monkeypatch, scheme):
    address = closed_mirror().split("/")[2]
    monkeypatch.setenv(f"{scheme}_proxy", f"http://me:secret@{address}")
    text = failure(tmp_path, f"{scheme}://mnist.invalid/")
    source = f"the proxy {address} ({scheme}_proxy), asked for {scheme}://mnist.invalid/,"
    assert f"{source} failed (Connection refused)" in text and "secret" not in text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_refusal_by_the_proxy_is_called_its_own(tmp_path, monkeypatch, scheme):
    class Refusing(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(407)

        do_CONNECT = do_GET
        log_message = print

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    monkeypatch.setenv(f"{scheme}_proxy", f"http://127.0.0.1:{server.server_port}")
    text = failure(tmp_path, f"{scheme}://mnist.invalid/")
    server.shutdown()
    server.server_close()
    assert f"the proxy 127.0.0.1:{server.server_port} ({scheme}_proxy), asked for" in text
    assert "407" in text


def test_a_full_disk_is_named_and_no_mirror_blamed(tmp_path, files):
    most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, most[1]))
    try:
        with mirror(serving(files)) as (url, _):
            text = failure(tmp_path, url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, most)
    assert text.startswith(f"cannot keep MNIST in {tmp_path}: File too large; make room")
    assert url not in text and not list(tmp_path.iterdir())


def test_good_files_are_not_fetched_again_and_a_corrupt_one_is_replaced(tmp_path, files):
    for name in NAMES:
        (tmp_path / name).write_bytes(files[name])
    (tmp_path / LABELS).write_bytes(files[LABELS][:-1])
    with mirror(serving(files)) as (url, asked):
        download_mnist(tmp_path, [url])
        assert asked == [LABELS]
        download_mnist(tmp_path, [url])
        assert asked == [LABELS]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_an_existing_file_stays_until_a_better_one_is_there(tmp_path, files):
    (tmp_path / FIRST).write_bytes(b"an older attempt")
    with mirror(always(files[LABELS])) as (url, _):
        failure(tmp_path, url)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {
        FIRST: b"an older attempt"
    }


def test_ctrl_c_leaves_no_half_file(tmp_path, files):
    def answer(handler, name):
        send(handler, files[name][:1000], length=len(files[name]))
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(PATIENCE)

    with mirror(answer) as (url, _), pytest.raises(KeyboardInterrupt):
        download_mnist(tmp_path, [url])
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_named_and_no_mirror_asked(tmp_path, files):
    (tmp_path / "file").write_text("")
    with mirror(serving(files)) as (url, asked):
        text = failure(tmp_path / "file" / "mnist", url)
    assert str(tmp_path / "file" / "mnist") in text and "--data FOLDER" in text
    assert not asked


def test_each_file_is_announced_and_no_bar_drawn_where_stderr_is_no_terminal(
    tmp_path, files, labels_only, capfd
):
    with mirror(serving(files)) as (url, _):
        download_mnist(tmp_path, [url])
    assert capfd.readouterr() == (f"downloading {tmp_path / LABELS}\n", "")
