"""Downloads from a server on this machine that does everything a server may do, and data written from what came."""

import contextlib
import hashlib
import http.client
import inspect
import os
import random
import re
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import requests
import sklearn.datasets
from PIL import Image

from hw8.base.errors import InputError, Interrupted
from hw8.base.lock import locked
from hw8.commands import download_data
from hw8.data.lfw import write_lfw
from hw8.data.sources import Source
from hw8.download import homework as download
from hw8.download import transfer
from hw8.download.homework import HOMEWORK, RemoteFile, download_files, download_from_kaggle

SCRIPT = Path(__file__).parents[2] / "scripts" / "download_data.py"
BODY = random.Random(0).randbytes(300_000)
SIZE = len(BODY)
FILE = RemoteFile("trainingset.npy", SIZE, hashlib.sha256(BODY).hexdigest())
SMALL = b"the test images"
SECOND = RemoteFile("testingset.npy", len(SMALL), hashlib.sha256(SMALL).hexdigest())
BODIES = {f"/data/{FILE.name}": BODY, f"/data/{SECOND.name}": SMALL}


class Handler(BaseHTTPRequestHandler):
    """One request, answered by the server's next answer; the last one answers all that follow."""

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Range")))
        answer = server.answers[min(len(server.asked), len(server.answers)) - 1]
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer(self)

    def log_message(self, *words):
        pass

    def head(self, status, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, answers, host):
        super().__init__((host, 0), Handler)
        self.answers = answers
        self.asked = []
        self.base = f"http://{host}:{self.server_port}/data"

    @property
    def ranges(self):
        return [header for _, header in self.asked]


def part_asked_for(handler):
    return BODIES[handler.path], range_start(handler.headers.get("Range", "bytes=0-"))


def range_start(header):
    return int(re.fullmatch(r"bytes=(\d+)-", header)[1])


def good(handler):
    """Any range, as a good server gives it."""
    body, start = part_asked_for(handler)
    if start:
        span = f"bytes {start}-{len(body) - 1}/{len(body)}"
        handler.head(206, Content_Length=len(body) - start, Content_Range=span)
    else:
        handler.head(200, Content_Length=len(body))
    handler.wfile.write(body[start:])


def slow(handler):
    """Ten kilobytes in twenty milliseconds."""
    body, _ = part_asked_for(handler)
    handler.head(200, Content_Length=len(body))
    for start in range(0, len(body), 10_000):
        handler.wfile.write(body[start : start + 10_000])
        time.sleep(0.02)


def cut(handler):
    """Ends after two thirds of what it announced."""
    body, start = part_asked_for(handler)
    span = f"bytes {start}-{len(body) - 1}/{len(body)}"
    handler.head(206 if start else 200, Content_Length=len(body) - start, **({"Content_Range": span} if start else {}))
    handler.wfile.write(body[start : start + (len(body) - start) * 2 // 3])


def stalls(handler):
    """Sends a half, and then nothing."""
    handler.head(200, Content_Length=SIZE)
    handler.wfile.write(BODY[: SIZE // 2])
    handler.wfile.flush()
    time.sleep(1)


def whole(handler):
    """Ignores what range is asked for."""
    handler.head(200, Content_Length=SIZE)
    handler.wfile.write(BODY)


def wrong(handler):
    handler.head(200, Content_Length=SIZE)
    handler.wfile.write(BODY[:-1] + b"?")


def endless(handler):
    handler.head(200)
    while True:
        handler.wfile.write(bytes(100_000))


def says(status, body=b"", **headers):
    """An answer of this status, with these headers and this body."""

    def answer(handler):
        handler.head(status, **headers)
        handler.wfile.write(body)

    return answer


@pytest.fixture
def serve():
    """Start servers on this machine; they end with the test."""
    servers = []

    def start(*answers, host="127.0.0.1"):
        server = Server(answers, host)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def at_once(monkeypatch, caplog):
    """No pause between attempts; what is said is recorded."""
    monkeypatch.setattr(transfer, "PAUSE", 0)
    caplog.set_level("INFO")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


def part_of(out):
    return out / f"{FILE.name}.part"


def start_with(out, content):
    out.mkdir(exist_ok=True)
    part_of(out).write_bytes(content)


def assert_only(out, *names):
    assert sorted(path.name for path in out.iterdir()) == sorted(names)


def assert_whole(out):
    """The file is there, right, and nothing else is."""
    assert (out / FILE.name).read_bytes() == BODY
    assert_only(out, FILE.name)


def assert_refused(out, server, pattern, *left):
    """The download fails with one line that matches, and leaves these names and no final one."""
    with pytest.raises(InputError, match=pattern) as caught:
        download_files(out, server.base, [FILE])
    assert "\n" not in str(caught.value)
    if left or out.exists():
        assert_only(out, *left)


def test_files_get_their_names_when_they_are_verified(serve, out, caplog):
    server = serve(good)
    download_files(out / "deeper", f"{server.base}/", [FILE, SECOND])
    assert (out / "deeper" / FILE.name).read_bytes() == BODY
    assert (out / "deeper" / SECOND.name).read_bytes() == SMALL
    assert_only(out / "deeper", FILE.name, SECOND.name)
    assert server.asked == [(f"/data/{FILE.name}", None), (f"/data/{SECOND.name}", None)]
    assert "300,000 bytes, verified" in caplog.text


def test_progress_and_time_left_are_shown(serve, out, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    download_files(out, serve(slow).base, [FILE])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert re.search(r"trainingset\.npy: +[1-9]\d%\|.*\[00:00<00:0\d, .*B/s\]", shown.err), "half-way, with time left"
    assert "trainingset.npy: 100%" in shown.err


def test_a_cut_download_is_resumed_where_it_ended(serve, out):
    server = serve(cut, good)
    download_files(out, server.base, [FILE])
    assert_whole(out)
    first, second = server.ranges
    assert first is None
    assert 200_000 - transfer.CHUNK < range_start(second) <= 200_000


def test_a_stalled_download_is_resumed(serve, out, monkeypatch):
    monkeypatch.setattr(transfer, "TIMEOUTS", (1.0, 0.2))
    server = serve(stalls, good)
    download_files(out, server.base, [FILE])
    assert_whole(out)
    assert SIZE // 2 - transfer.CHUNK < range_start(server.ranges[1]) <= SIZE // 2


def test_five_attempts_are_made_and_what_came_is_kept(serve, out):
    server = serve(cut)
    assert_refused(
        out, server, r"5 attempts failed, .*2\d\d,\d+ of 300,000 bytes are kept in .*part", part_of(out).name
    )
    assert len(server.asked) == 5
    kept = part_of(out).stat().st_size
    assert part_of(out).read_bytes() == BODY[:kept]
    server.answers = [good]
    download_files(out, server.base, [FILE])
    assert server.ranges[-1] == f"bytes={kept}-"
    assert_whole(out)


def test_a_server_that_ignores_the_range_is_read_from_the_start(serve, out, caplog):
    start_with(out, BODY[:1000])
    server = serve(whole)
    download_files(out, server.base, [FILE])
    assert server.ranges == ["bytes=1000-"]
    assert_whole(out)
    assert "does not resume from byte 1,000" in caplog.text


@pytest.mark.parametrize("status", [429, 503])
def test_a_server_that_is_busy_is_asked_again(serve, out, status):
    server = serve(says(status), good)
    download_files(out, server.base, [FILE])
    assert len(server.asked) == 2
    assert_whole(out)


def test_wrong_bytes_are_deleted(serve, out):
    assert_refused(out, serve(wrong), r"/trainingset\.npy: trainingset\.npy came with the wrong bytes .* deleted")


def test_a_part_of_something_else_is_found_out(serve, out):
    start_with(out, b"x" + BODY[1:1000])
    server = serve(good)
    assert_refused(out, server, "came with the wrong bytes")
    assert server.ranges == ["bytes=1000-"]
    download_files(out, server.base, [FILE])
    assert_whole(out)


@pytest.mark.parametrize("length", [SIZE - 1, SIZE + 1, 10**15])
def test_another_length_is_refused_before_anything_is_taken(serve, out, length):
    server = serve(says(200, BODY, Content_Length=length))
    assert_refused(
        out, server, rf"announces other bytes than the 300,000 of trainingset\.npy \(Content-Length {length}"
    )
    assert len(server.asked) == 1


def test_a_rest_of_another_length_is_refused_and_the_part_kept(serve, out):
    start_with(out, BODY[:1000])
    server = serve(says(206, BODY[1000:], Content_Range=f"bytes 1000-{SIZE}/{SIZE + 1}", Content_Length=SIZE - 999))
    assert_refused(out, server, "announces other bytes", part_of(out).name)
    assert part_of(out).read_bytes() == BODY[:1000]


def test_no_more_is_taken_than_the_file_has(serve, out, monkeypatch):
    largest = 0
    plain = transfer.progress_bar

    def watching(*words, **options):
        bar = plain(*words, **options)
        update = bar.update

        def look(count):
            nonlocal largest
            largest = max(largest, part_of(out).stat().st_size)
            update(count)

        bar.update = look
        return bar

    monkeypatch.setattr(transfer, "progress_bar", watching)
    assert_refused(out, serve(endless), r"sends more than the 300,000 bytes of trainingset\.npy")
    assert 0 < largest <= SIZE + transfer.CHUNK


@pytest.mark.parametrize("status", [401, 403, 404, 410, 204])
def test_a_file_that_is_not_there_is_not_asked_for_again(serve, out, status):
    server = serve(says(status))
    assert_refused(out, server, rf"127\.0\.0\.1.*trainingset\.npy: the server answered {status} \w+.*`url`")
    assert len(server.asked) == 1


def test_an_unsatisfied_range_starts_again(serve, out):
    start_with(out, BODY[:1000])
    server = serve(says(416), good)
    download_files(out, server.base, [FILE])
    assert server.ranges == ["bytes=1000-", None]
    assert_whole(out)


@pytest.fixture
def requested(monkeypatch):
    """The addresses that requests are sent to."""
    addresses = []
    send = requests.Session.send

    def noting(self, request, **options):
        addresses.append(request.url)
        return send(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", noting)
    return addresses


def test_redirects_are_followed(serve, out):
    goal = serve(good)
    server = serve(says(302, Location="/data/elsewhere"), says(307, Location=f"{goal.base}/{FILE.name}"))
    start_with(out, BODY[:1000])
    download_files(out, server.base, [FILE])
    assert_whole(out)
    assert goal.ranges == ["bytes=1000-"]


def test_nothing_is_taken_from_plain_http_elsewhere(serve, out):
    elsewhere = serve(good, host="127.0.0.2")
    server = serve(says(302, Location=f"{elsewhere.base}/{FILE.name}"))
    assert_refused(out, server, r"http://127\.0\.0\.2:\d+/data/trainingset\.npy: is not HTTPS")


def test_a_redirect_loop_ends(serve, out):
    assert_refused(out, serve(says(302, Location=f"/data/{FILE.name}")), "Exceeded 30 redirects.*check the address")


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/", "http://127.0.0.1.example.org/", "http://127.0.0.1@example.org", "http://127.0.0.2/",
        "ftp://example.org/", "file:///etc/passwd", "/etc/passwd", "example.org", "https://", "", "http://[::1",
    ],
)  # fmt: skip
def test_addresses_without_https_are_refused(out, requested, address):
    with pytest.raises(InputError, match="https://"):
        download_files(out, address, [FILE])
    assert requested == []
    assert not out.exists()


@pytest.mark.parametrize(
    "address", ["https://example.org/x", "HTTPS://example.org", "http://LOCALHOST:8", "http://[::1]:8"]
)
def test_addresses_that_may_be_asked(address):
    transfer.check_address(address)


def test_a_proxy_is_not_asked_for_this_machine(serve, out, monkeypatch):
    proxy, server = serve(says(500)), serve(good)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, proxy.base)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    download_files(out, server.base, [FILE])
    assert_whole(out)
    assert proxy.asked == []


def test_no_password_is_printed(serve, out):
    server = serve(says(404))
    with pytest.raises(InputError, match=r"http://127\.0\.0\.1:\d+/data/trainingset\.npy: the server") as caught:
        download_files(out, server.base.replace("127", "me:secret@127"), [FILE])
    assert "secret" not in str(caught.value)
    with pytest.raises(InputError, match="check the address") as caught:
        download_files(out, "https://me:secret@exa_mple.invalid:99999/x", [FILE])
    assert "secret" not in str(caught.value)


def test_a_verified_file_is_kept(serve, out, caplog):
    server = serve(good)
    download_files(out, server.base, [FILE])
    stamp = (out / FILE.name).stat()
    os.link(out / FILE.name, part_of(out))  # left over, the file having come from elsewhere
    download_files(out, server.base, [FILE])
    assert (out / FILE.name).stat().st_mtime_ns == stamp.st_mtime_ns
    assert len(server.asked) == 1
    assert_whole(out)
    assert "is there already, and verified; kept" in caplog.text


@pytest.mark.parametrize("content", [b"mine", bytes(SIZE)])
def test_another_file_of_that_name_is_left_alone(serve, out, content):
    out.mkdir()
    (out / FILE.name).write_bytes(content)
    server = serve(good)
    with pytest.raises(InputError, match=r"trainingset\.npy: is there, but is not the file .* left unchanged"):
        download_files(out, server.base, [SECOND, FILE])
    assert (out / FILE.name).read_bytes() == content
    assert server.asked == [], "refused before anything is fetched"


def test_a_folder_of_that_name_is_left_alone(serve, out):
    (out / FILE.name).mkdir(parents=True)
    assert_refused(out, serve(good), "is there, but is not the file", FILE.name)


def test_a_complete_part_needs_no_server(serve, out):
    server = serve(says(500))
    start_with(out, BODY)
    download_files(out, server.base, [FILE])
    assert_whole(out)
    assert server.asked == []


def test_a_complete_part_of_wrong_bytes_is_deleted(serve, out):
    start_with(out, bytes(SIZE))
    assert_refused(out, serve(says(500)), "came with the wrong bytes")


def test_free_space_is_looked_at_first(serve, out, monkeypatch):
    server = serve(good)
    start_with(out, BODY[:1000])
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=SIZE - 1001))
    assert_refused(out, server, r"0\.00 GB are needed and 0\.00 GB are free", part_of(out).name)
    assert server.asked == []
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=SIZE - 1000))
    download_files(out, server.base, [FILE])
    assert_whole(out)


def test_a_folder_that_cannot_be_made_is_named(serve, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write here"):
        download_files(tmp_path / "file", serve(good).base, [FILE])


def test_a_full_disk_is_one_line_and_keeps_the_part(serve, out, monkeypatch):
    def full(*words, **options):
        raise OSError(28, "No space left on device")

    start_with(out, BODY[:1000])
    monkeypatch.setattr(transfer, "progress_bar", full)
    assert_refused(out, serve(good), "No space left on device; make room", part_of(out).name)


def test_nobody_answers(out):
    with pytest.raises(InputError, match=r"5 attempts failed, the last because: .*[Rr]efused;"):
        download_files(out, "http://127.0.0.1:9/data", [FILE])
    assert not out.exists()


def test_a_second_download_into_one_folder_is_refused(serve, out):
    with locked(out), pytest.raises(InputError, match="in use by process"):
        download_files(out, serve(good).base, [FILE])


def test_ctrl_c_keeps_what_has_come(serve, out):
    def stopped(handler):
        cut(handler)
        handler.wfile.flush()
        while not part_of(out).exists() or part_of(out).stat().st_size < 65536:
            time.sleep(0.005)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)

    server = serve(stopped, good)
    with pytest.raises(Interrupted, match=f"kept in {re.escape(str(out))}: the same command resumes"):
        download_files(out, server.base, [FILE])
    assert_only(out, part_of(out).name)
    kept = part_of(out).stat().st_size
    download_files(out, server.base, [FILE])
    assert server.ranges == [None, f"bytes={kept}-"]
    assert_whole(out)


def test_ctrl_c_while_verifying_loses_nothing(serve, out, monkeypatch):
    def stopped(*words):
        raise KeyboardInterrupt

    server = serve(good)
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr("hashlib.file_digest", stopped)
        download_files(out, server.base, [FILE])
    assert_only(out, part_of(out).name)
    download_files(out, server.base, [FILE])
    assert len(server.asked) == 1
    assert_whole(out)


FETCH = (
    "import sys; from pathlib import Path; from hw8.download.homework import RemoteFile, download_files\n"
    "download_files(Path(sys.argv[1]), sys.argv[2], [RemoteFile(sys.argv[3], int(sys.argv[4]), sys.argv[5])])"
)


def test_a_killed_download_is_resumed(serve, out):
    server = serve(slow, good)
    command = [sys.executable, "-c", FETCH, str(out), server.base, FILE.name, str(SIZE), FILE.sha256]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while not (part_of(out).exists() and part_of(out).stat().st_size) and time.monotonic() < deadline:
        assert not (out / FILE.name).exists()
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert not (out / FILE.name).exists()
    kept = part_of(out).stat().st_size
    assert 0 < kept < SIZE
    assert part_of(out).read_bytes() == BODY[:kept]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL, timeout=30)
    assert server.ranges == [None, f"bytes={kept}-"]
    assert_whole(out)


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """A stand-in for Kaggle's program: it notes its words, and gives the archive that it is told to."""
    programs = tmp_path / "programs"
    programs.mkdir()
    archive, words = tmp_path / "archive", tmp_path / "words"
    program = programs / "kaggle"
    program.write_text(
        f"#!{sys.executable}\n"
        "import shutil, sys\n"
        f"open({str(words)!r}, 'a').write(' '.join(sys.argv[1:]) + '\\n')\n"
        f"shutil.copy({str(archive)!r}, sys.argv[-2].removeprefix('--path=') + '/ml2023spring-hw8.zip')\n"
        "print('Downloading ml2023spring-hw8.zip')\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(programs))
    return SimpleNamespace(program=program, archive=archive, words=words)


def pack(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)


def test_kaggles_archive_is_unpacked_and_verified(kaggle, out, caplog, capfd):
    pack(kaggle.archive, [("sample.csv", "ID,score"), (f"x/{FILE.name}", BODY), (SECOND.name, SMALL)])
    download_from_kaggle(out, [FILE, SECOND])
    assert (out / FILE.name).read_bytes() == BODY
    assert (out / SECOND.name).read_bytes() == SMALL
    assert_only(out, FILE.name, SECOND.name)
    assert kaggle.words.read_text() == (
        f"competitions download --path={out / '.kaggle'} --competition=ml2023spring-hw8\n"
    )
    assert "no additional data, no pretrained models, five submissions a day" in caplog.text
    assert "competitions/ml2023spring-hw8/rules" in caplog.text
    shown = capfd.readouterr()
    assert "Downloading ml2023spring-hw8.zip" in shown.err
    assert shown.out == ""
    download_from_kaggle(out, [FILE, SECOND])
    assert len(kaggle.words.read_text().splitlines()) == 1, "what is there is not fetched again"


@pytest.mark.parametrize("name", [f"../../{FILE.name}", f"/tmp/{FILE.name}"])
def test_members_cannot_leave_the_folder(kaggle, out, tmp_path, name):
    pack(kaggle.archive, [(name, BODY), ("../escaped", "x"), (f"{tmp_path}/escaped", "x")])
    before = set(tmp_path.iterdir())
    download_from_kaggle(out, [FILE])
    assert_whole(out)
    assert set(tmp_path.iterdir()) - before == {out, kaggle.words}


@pytest.mark.parametrize(
    ("spoil", "pattern"),
    [
        (
            lambda path: pack(path, [(FILE.name, bytes(10_000_000))]),
            r"1 files named .* \(10,000,000 bytes\) in place of one of 300,000",
        ),
        (lambda path: pack(path, [(FILE.name, BODY), (f"a/{FILE.name}", BODY)]), "2 files named"),
        (lambda path: pack(path, [("other", BODY)]), "0 files named"),
        (lambda path: pack(path, [(FILE.name, bytes(SIZE))]), "came with the wrong bytes"),
        (lambda path: path.write_bytes(b"no archive"), "cannot be unpacked"),
    ],
)
def test_bad_archives_are_refused_and_deleted(kaggle, out, spoil, pattern):
    spoil(kaggle.archive)
    with pytest.raises(InputError, match=pattern) as caught:
        download_from_kaggle(out, [FILE])
    assert "\n" not in str(caught.value)
    left = list(out.glob("**/*")) if out.exists() else []
    assert [path for path in left if path.name != part_of(out).name] == []
    assert sum(path.stat().st_size for path in left) <= SIZE


def test_a_failure_of_kaggles_program_says_what_to_do(kaggle, out, capfd):
    kaggle.program.write_text('#!/bin/sh\necho "403 Client Error VERBOSE=$VERBOSE"\nexit 1\n')
    with pytest.raises(
        InputError,
        match=r"kaggle ended with code 1 and 0 archives .*`kaggle auth login`.* accept the rules on .*/rules",
    ):
        download_from_kaggle(out, [FILE])
    assert "403 Client Error VERBOSE=false" in capfd.readouterr().err, "its own words, without its requests and tokens"


def test_an_archive_that_kaggles_program_left_unfinished_is_not_opened(kaggle, out):
    pack(kaggle.archive, [(FILE.name, BODY)])
    kaggle.program.write_text(kaggle.program.read_text() + "sys.exit(1)\n")
    with pytest.raises(InputError, match="kaggle ended with code 1 and 1 archive in"):
        download_from_kaggle(out, [FILE])
    assert_only(out, ".kaggle")


def test_ctrl_c_ends_kaggles_program_and_keeps_its_archive(kaggle, out):
    kaggle.program.write_text(
        f"#!{sys.executable}\n"
        "import os, signal, sys, time\n"
        "open(sys.argv[-2].removeprefix('--path=') + '/ml2023spring-hw8.zip', 'w').write(str(os.getpid()))\n"
        "os.kill(os.getppid(), signal.SIGINT)\n"
        "time.sleep(30)\n"
    )
    started = time.monotonic()
    with pytest.raises(Interrupted, match="the same command resumes"):
        download_from_kaggle(out, [FILE])
    assert time.monotonic() - started < 10
    number = int((out / ".kaggle" / "ml2023spring-hw8.zip").read_text())
    with contextlib.suppress(ChildProcessError):
        assert os.WTERMSIG(os.waitpid(number, 0)[1]) == signal.SIGKILL


def test_kaggles_archive_needs_space_too(kaggle, out, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2 * SIZE - 1))
    with pytest.raises(InputError, match="GB are needed"):
        download_from_kaggle(out, [FILE])
    assert not kaggle.words.exists()
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=2 * SIZE))
    pack(kaggle.archive, [(FILE.name, BODY)])
    download_from_kaggle(out, [FILE])
    assert_whole(out)


def test_kaggles_program_is_found_beside_python(kaggle, out, monkeypatch, tmp_path):
    pack(kaggle.archive, [(FILE.name, BODY)])
    monkeypatch.setattr(sys, "executable", str(kaggle.program.parent / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    download_from_kaggle(out, [FILE])
    assert_whole(out)


def test_without_kaggles_program(out, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(InputError, match="the official client is not installed; pip install kaggle six, then: "):
        download_from_kaggle(out, [FILE])
    assert not out.exists()


PEOPLE = 20
SIGNATURE = inspect.signature(sklearn.datasets.fetch_lfw_people)


@pytest.fixture
def lfw(monkeypatch):
    """A stand-in for LFW: three images of each of twenty people, each of one's own grey."""
    asked = []
    people = SimpleNamespace(
        target=np.repeat(np.arange(PEOPLE), 3),
        target_names=np.array([f"Person {number}" for number in range(PEOPLE)]),
        images=np.repeat(np.arange(PEOPLE), 3)[:, None, None, None] * np.full((64, 64, 3), 10 / 255, np.float32),
    )

    def fetch(**options):
        asked.append(SIGNATURE.bind(**options).arguments)
        return people

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fetch)
    monkeypatch.setattr("hw8.data.lfw.PHOTOGRAPHS", len(people.target))
    return SimpleNamespace(asked=asked, people=people)


@pytest.mark.parametrize("highest", [1, 255])
def test_lfw_is_split_by_people(lfw, tmp_path, highest):
    lfw.people.images = (lfw.people.images * highest - 1e-4).astype(np.float32)  # arithmetic may end a little below
    folder = write_lfw(tmp_path / "deeper" / "lfw")
    source = Source("lfw", folder)
    train, test, labels = source.training(), source.testing(), source.labels()
    assert train.array_NHWC.shape == (48, 64, 64, 3)
    assert test.array_NHWC.shape == (24, 64, 64, 3)
    known = set(train.array_NHWC[:, 0, 0, 0].tolist())
    normal = test.array_NHWC[labels.label_N == 0]
    others = set(normal[:, 0, 0, 0].tolist())
    assert len(known) == 16
    assert len(others) == 4
    assert known | others == {10 * number for number in range(PEOPLE)}, "every person once, every pixel rounded"
    assert (normal == normal[:, :1, :1, :1]).all()
    kinds, counts = np.unique(labels.kind_N, return_counts=True)
    assert dict(zip(kinds.tolist(), counts.tolist(), strict=True)) == {
        "normal": 12, "relit": 3, "displaced": 3, "cartoon": 3, "cat": 3,
    }  # fmt: skip
    assert (labels.label_N == (labels.kind_N != "normal")).all()
    assert len(set(labels.label_N[:12].tolist())) == 2, "shuffled"
    assert [path.name for path in folder.parent.iterdir()] == ["lfw"], "nothing is left aside"


def test_lfw_is_written_once(lfw, tmp_path, caplog):
    folder = write_lfw(tmp_path / "lfw")
    write_lfw(folder)
    assert len(lfw.asked) == 1
    other = write_lfw(tmp_path / "other")
    for path in folder.iterdir():
        assert path.read_bytes() == (other / path.name).read_bytes()


def test_lfw_leaves_other_things_alone(lfw, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something else"):
        write_lfw(tmp_path)
    assert_only(tmp_path, "notes.txt")
    assert lfw.asked == []


def test_lfw_appears_whole_or_not_at_all(lfw, tmp_path, monkeypatch):
    def fail(*words):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("hw8.data.lfw.demo_images", fail)
    with pytest.raises(InputError, match=r"lfw: cannot be written here \(No space left on device\)"):
        write_lfw(tmp_path / "lfw")
    assert_only(tmp_path)


def test_lfw_that_another_process_has_just_written_is_kept(lfw, tmp_path, monkeypatch):
    def slow(**options):
        monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", lambda **options: lfw.people)
        write_lfw(tmp_path / "lfw")
        return lfw.people

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", slow)
    assert write_lfw(tmp_path / "lfw") == tmp_path / "lfw"
    assert_only(tmp_path, "lfw")


def test_lfw_of_which_scikit_learn_has_a_part_is_refused(lfw, tmp_path, monkeypatch):
    """Stopped while it unpacks, scikit-learn takes what is there for all of it the next time."""
    monkeypatch.setattr("hw8.data.lfw.PHOTOGRAPHS", 13_233)
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"60 of 13,233 photographs.* delete .*cache/lfw_home and run the command"):
        write_lfw(tmp_path / "lfw")
    assert not (tmp_path / "lfw").exists()


@pytest.mark.parametrize(
    "error",
    [
        requests.ConnectionError("no\nroute"), tarfile.ReadError("no\nroute"), EOFError("no\nroute"),
        zlib.error("no\nroute"), http.client.HTTPException("no\nroute"),
    ],
)  # fmt: skip
def test_lfw_without_a_connection(monkeypatch, tmp_path, error):
    def fail(**options):
        raise error

    monkeypatch.setattr("sklearn.datasets.fetch_lfw_people", fail)
    with pytest.raises(InputError, match=r"scikit-learn could not fetch it \(no route\)"):
        write_lfw(tmp_path / "lfw")
    assert_only(tmp_path)


def test_lfw_as_scikit_learn_reads_it(tmp_path, monkeypatch):
    """The real function, on photographs in the folder that it looks at before it fetches anything."""
    home = tmp_path / "cache" / "lfw_home"
    for number in range(5):
        person = home / "lfw_funneled" / f"Some_Body_{number}"
        person.mkdir(parents=True)
        photograph = np.zeros((250, 250, 3), np.uint8)
        photograph[61:189, 61:189] = (200, 40 * number, 20)
        Image.fromarray(photograph).save(person / "1.jpg", quality=100, subsampling=0)
    for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"):
        (home / name).touch()
    monkeypatch.setenv("SCIKIT_LEARN_DATA", str(tmp_path / "cache"))
    monkeypatch.setattr("hw8.data.lfw.PHOTOGRAPHS", 5)
    source = Source("lfw", write_lfw(tmp_path / "lfw"))
    train = source.training().array_NHWC
    assert train.shape == (4, 64, 64, 3)
    centre = train[:, 8:56, 8:56].astype(int)
    assert (abs(centre[..., 0] - 200) <= 3).all()
    assert (abs(centre[..., 2] - 20) <= 3).all()
    assert (train[:, 0, :, 0] > 100).all(), "the square ends where the photograph's centre does"


def call(*words, cwd, code):
    process = subprocess.run(
        [sys.executable, str(SCRIPT), *words], cwd=cwd, capture_output=True, text=True, timeout=60, check=False
    )
    assert process.returncode == code, process.stderr
    return process


@pytest.mark.parametrize(
    ("words", "pattern"),
    [
        (["hw8", "--url", "http://example.org"], "http://example.org: is not HTTPS"),
        (["lfw", "--url", "https://example.org"], "--url https://example.org: is for the homework"),
        (["lfw", "--source", "kaggle"], "--source kaggle: is for the homework"),
        (["hw9"], "hw9"),
    ],
)
def test_the_script_refuses_in_one_line(tmp_path, words, pattern):
    process = call(*words, cwd=tmp_path, code=2)
    assert process.stdout == ""
    (line,) = process.stderr.splitlines()
    assert re.match(f"error: .*{pattern}", line)
    assert list(tmp_path.iterdir()) == []


def test_the_script_refuses_a_mirror_of_something_else(serve, tmp_path):
    """The real table of files: 1.2 GB are announced as 300 kB."""
    process = call("hw8", "--url", serve(whole).base, cwd=tmp_path, code=2)
    assert "announces other bytes than the 1,228,800,128 of trainingset.npy" in process.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "called", "end"),
    [
        (["hw8"], ("download_files", "data", download.HOME), "--data hw8"),
        (
            ["hw8", "--out", "my data", "--url", "https://x.org"],
            ("download_files", "my data", "https://x.org"),
            "'my data'",
        ),
        (["hw8", "--source", "kaggle"], ("download_from_kaggle", "data"), "--data hw8"),
        (["lfw"], ("write_lfw", "data/lfw"), "--data data/lfw"),
        (["lfw", "--out", "lfw"], ("write_lfw", "lfw"), "--data ./lfw"),
        (["hw8", "--out=-x"], ("download_files", "-x", download.HOME), "--data ./-x"),
    ],
)
def test_the_script_ends_with_the_next_command(monkeypatch, capsys, words, called, end):
    calls = []
    for name, module in (
        ("download_files", "hw8.download"),
        ("download_from_kaggle", "hw8.download"),
        ("write_lfw", "hw8.data.lfw"),
    ):

        def note(folder, *more, name=name):
            calls.append((name, str(folder), *more))
            return folder

        monkeypatch.setattr(f"{module}.{name}", note)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *words])
    download_data.main()
    assert calls == [called]
    assert capsys.readouterr().out.splitlines()[-1].endswith(end)


def test_nothing_heavy_is_imported_before_it_is_needed():
    for module, heavy in (
        ("hw8.commands.download_data", {"requests", "sklearn", "numpy"}), ("hw8.data.lfw", {"requests", "sklearn"}),
    ):  # fmt: skip
        code = f"import sys, {module}; print({heavy} & set(sys.modules))"
        process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert process.stdout == "set()\n"


def test_the_table_is_the_homeworks():
    """A .npy file of uint8 has a header of 128 bytes."""
    assert {file.name: file.size - 128 for file in HOMEWORK} == {
        "trainingset.npy": 100_000 * 64 * 64 * 3,
        "testingset.npy": 19_636 * 64 * 64 * 3,
    }
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in HOMEWORK)
    assert download.HOME.startswith("https://")
