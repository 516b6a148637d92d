import errno
import gzip
import hashlib
import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from labkit.data import download, kept, stream
from labkit.data.catalog import RemoteFile
from labkit.data.download import DataFolderError, UnavailableError, fetch


def _zip(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        bundle.writestr(zipfile.ZipInfo("cells.npy"), content)  # with no time of day
    return file.getvalue()


CONTENT = _zip(bytes(range(256)) * 400)
SHA = hashlib.sha256(CONTENT).hexdigest()
KNOWN = f"sha256:{SHA}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        kind = self.path.strip("/").split("/")[0]
        body = self.server.bodies.get(self.path, CONTENT)
        if kind == "missing":
            return self.send_error(404)
        if kind == "busy" and self.server.asked.count(self.path) == 1:
            self.send_response(429)
            if self.server.retry_after:
                self.send_header("Retry-After", self.server.retry_after)
            return self.end_headers()
        if kind == "no_length":
            self.send_response(200)
            self.send_header("Content-Length", "abc")
            self.end_headers()
            return self.wfile.write(body)
        if kind == "endless":
            self.send_response(200)
            self.end_headers()
            while not self.server.closing.is_set():
                self.wfile.write(bytes(1 << 16))
            return None
        if kind == "slow_chunks":
            self.protocol_version = "HTTP/1.1"
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(self.server.before_the_drip)
            while not self.server.closing.wait(0.05):
                self.wfile.write(self.server.drip)
            return None
        if kind == "slow_headers":
            self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Slow: ")
            while not self.server.closing.wait(0.05):
                self.wfile.write(b"a")
            return None
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + (1000 if kind == "cut" else 0)))
        self.end_headers()
        if kind == "stall":
            self.wfile.write(body[:1000])
            self.server.closing.wait(20)
        elif kind == "drip":
            for start in range(0, len(body), 100):
                if self.server.closing.wait(0.05):
                    break
                self.wfile.write(body[start : start + 100])
        elif kind == "altered":
            self.wfile.write(body[::-1])
        else:
            self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    retry_after = "1"
    before_the_drip, drip = b"", b"0"

    def handle_error(self, request, client_address):
        pass  # the client hung up, as it should


@pytest.fixture(scope="module")
def server():
    server = Server(("127.0.0.1", 0), Handler)
    server.closing, server.asked, server.bodies = threading.Event(), [], {}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.closing.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setattr(stream, "READ_SECONDS", 0.3)
    monkeypatch.setattr(download, "_SILENT", {})
    return tmp_path / "data"


@pytest.fixture
def remote(server, folder):
    server.asked.clear()
    server.bodies.clear()

    def make(*kinds, known=KNOWN):
        base = f"http://127.0.0.1:{server.server_port}"
        urls = tuple(f"{base}/{kind}/cells.npz" for kind in kinds)
        return RemoteFile("cells", "cells.npz", urls, known, 1)

    return make


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def make_mirror(folder, content=CONTENT, sha=SHA, note="", key="cells"):
    folder.mkdir()
    (folder / "blood.bin").write_bytes(content)
    entry = f'["{key}"]\nfile = "blood.bin"\nsha256 = "{sha}"\nnote = "{note}"\n'
    (folder / "mirror.toml").write_text(entry)
    return folder


def test_a_download_is_whole_verified_recorded_and_cached(server, remote, folder):
    first = fetch(remote("good"))
    assert first.path == folder / "cells.npz" and first.path.read_bytes() == CONTENT
    assert (first.source, first.sha256) == ("official", SHA)
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]
    assert fetch(remote("good")) == first
    assert server.asked == ["/good/cells.npz"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("stall", "timed out"),
        ("cut", "cut off|IncompleteRead|more expected"),
        ("altered", "hash|SHA256"),
        ("missing", "404"),
    ],
)
def test_a_source_that_fails_is_named_and_leaves_nothing(remote, folder, kind, reason):
    with pytest.raises(UnavailableError, match=f"127.0.0.1.*({reason})") as caught:
        fetch(remote(kind))
    assert "cells cannot be had" in str(caught.value)
    assert "LABKIT_MIRROR" in str(caught.value)
    assert names(folder) == []


@pytest.mark.parametrize("kind", ["stall", "cut", "altered", "missing"])
def test_the_second_source_serves_when_the_first_fails(server, remote, folder, kind):
    assert fetch(remote(kind, "good")).path.read_bytes() == CONTENT
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]
    assert server.asked[-1] == "/good/cells.npz"


def test_a_line_that_only_drips_meets_the_deadline(remote, folder, monkeypatch):
    monkeypatch.setattr(download, "deadline_seconds", lambda megabytes: 0.2)
    with pytest.raises(UnavailableError, match="not finished after 0 s"):
        fetch(remote("drip"))
    assert names(folder) == []


@pytest.mark.parametrize(
    ("before", "drip"), [(b"", b"0"), (b"4\r\ncell\r\n0\r\n", b"X: y\r\n"), (b"4;", b"x")]
)
def test_a_drip_between_the_chunks_meets_the_deadline(
    server, remote, folder, monkeypatch, before, drip
):
    monkeypatch.setattr(server, "before_the_drip", before)
    monkeypatch.setattr(server, "drip", drip)
    monkeypatch.setattr(download, "deadline_seconds", lambda megabytes: 0.4)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="not finished after 0 s"):
        fetch(remote("slow_chunks"))
    assert time.monotonic() - begin < 5 and names(folder) == []
    assert len(server.asked) == 1  # time was the fault: not asked a second time


def test_a_server_that_sends_too_little_is_left_for_the_next(server, remote, monkeypatch):
    monkeypatch.setattr(stream, "SLOW_SECONDS", 0.3)
    assert fetch(remote("drip", "good")).sha256 == SHA
    assert [path.split("/")[1] for path in server.asked] == ["drip", "good"]


def test_all_sources_share_one_deadline(server, remote, monkeypatch):
    monkeypatch.setattr(download, "deadline_seconds", lambda megabytes: 0.4)
    begin = time.monotonic()
    with pytest.raises(UnavailableError, match="no time left"):
        fetch(remote("drip", "slow_headers", "good"))
    assert time.monotonic() - begin < 2


def test_headers_get_less_time_than_the_whole(remote, monkeypatch):
    monkeypatch.setattr(stream, "HEADER_SECONDS", 0.3)
    with pytest.raises(UnavailableError, match="no answer after 0 s"):
        fetch(remote("slow_headers"))


def test_what_the_labs_load_by_default_takes_minutes_at_the_most():
    assert download.deadline_seconds(35) < 240 and download.deadline_seconds(270) <= 1020  # minutes


def test_the_deadline_grows_with_the_file():
    assert download.deadline_seconds(1540) > download.deadline_seconds(35) > 120


def test_a_host_that_refuses_is_named(folder):
    file = RemoteFile("cells", "cells.npz", ("http://127.0.0.1:9/cells.npz",), KNOWN, 1)
    with pytest.raises(UnavailableError, match=r"network: 127\.0\.0\.1:9"):
        fetch(file)


def test_offline_asks_nobody(server, remote, monkeypatch):
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="LABKIT_OFFLINE is set"):
        fetch(remote("good"))
    assert server.asked == []


def test_an_unknown_hash_is_recorded_and_verified_from_then_on(server, remote, folder):
    file = remote("good", known=None)
    assert fetch(file).sha256 == SHA
    assert json.loads((folder / "cells.npz.origin.json").read_text())["sha256"] == SHA
    fetch(file)
    assert len(server.asked) == 1
    (folder / "cells.npz").write_bytes(CONTENT[:-1])
    with pytest.warns(UserWarning, match="truncated or altered"):
        assert fetch(file).path.read_bytes() == CONTENT


@pytest.mark.parametrize("recorded", [True, False])
def test_a_truncated_file_is_set_aside_with_a_warning_and_fetched_again(remote, folder, recorded):
    file = remote("good")
    path = fetch(file).path
    path.write_bytes(CONTENT[:1000])
    if not recorded:
        (folder / "cells.npz.origin.json").unlink()
    with pytest.warns(UserWarning, match=r"set aside as cells\.npz\.damaged"):
        assert fetch(file).path.read_bytes() == CONTENT
    assert (folder / "cells.npz.damaged").read_bytes() == CONTENT[:1000]


def test_a_file_put_there_by_hand_is_taken_when_its_hash_is_right(server, remote, folder):
    folder.mkdir()
    (folder / "cells.npz").write_bytes(CONTENT)
    assert fetch(remote("good")).source == "official"
    assert server.asked == []


def test_a_mirror_folder_serves_also_offline_and_its_note_is_kept(
    server, remote, tmp_path, monkeypatch
):
    mirror = make_mirror(
        tmp_path / "mirror", CONTENT[::-1], _sha(CONTENT[::-1]), "rebuilt; smaller"
    )
    monkeypatch.setenv("LABKIT_MIRROR", str(mirror))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    fetched = fetch(remote("good"))
    assert fetched.path.read_bytes() == CONTENT[::-1]  # a rebuilt file has a hash of its own
    assert (fetched.source, fetched.note) == ("mirror", "rebuilt; smaller")
    assert fetch(remote("good")) == fetched
    assert server.asked == []


def _sha(content):
    return hashlib.sha256(content).hexdigest()


def test_an_altered_mirror_file_is_refused_and_the_network_serves(
    remote, folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("LABKIT_MIRROR", str(make_mirror(tmp_path / "mirror", CONTENT[:-1])))
    with pytest.warns(UserWarning, match="truncated or altered"):
        fetched = fetch(remote("good"))
    assert (fetched.source, fetched.path.read_bytes()) == ("official", CONTENT)
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]


def test_a_mirror_that_lacks_the_file_lets_the_network_serve(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_MIRROR", str(make_mirror(tmp_path / "mirror", key="other")))
    assert fetch(remote("good")).source == "official"
    with pytest.raises(UnavailableError, match="the mirror does not have cells"):
        fetch(RemoteFile("cells", "else.npz", (), KNOWN, 1))


def test_a_mirror_folder_without_an_index_says_what_to_correct(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_MIRROR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"LABKIT_MIRROR is .*no mirror\.toml"):
        fetch(remote("good"))


def test_a_mirror_url_serves(server, remote, folder, monkeypatch):
    index = f'[cells]\nfile = "b/blood.bin"\nsha256 = "{SHA}"\nnote = "copy"\n'
    server.bodies["/m/mirror.toml"] = index.encode()
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}/m/")
    fetched = fetch(remote("missing"))
    assert (fetched.source, fetched.note) == ("mirror", "copy")
    assert fetched.path.read_bytes() == CONTENT
    assert server.asked == ["/m/mirror.toml", "/m/b/blood.bin"]
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]


def test_a_mirror_in_the_room_serves_offline_and_one_in_the_internet_is_not_asked(
    server, remote, monkeypatch
):
    server.bodies["/m/mirror.toml"] = f'[cells]\nfile = "a.npz"\nsha256 = "{SHA}"\n'.encode()
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.setenv("LABKIT_MIRROR", "https://example.org/m")
    with pytest.raises(UnavailableError, match="is in the internet"):
        fetch(remote("good"))
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}/m")
    assert fetch(remote("good")).source == "mirror"


def test_a_mirror_that_is_silent_is_asked_once(server, remote, monkeypatch):
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}/slow_headers")
    with pytest.warns(UserWarning, match="failed"):
        fetch(remote("good"))
    first = len(server.asked)
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    with pytest.raises(UnavailableError, match="did not answer a moment ago"):
        fetch(RemoteFile("other", "other.npz", (), None, 1))
    assert len(server.asked) == first


@pytest.mark.parametrize("kind", ["stall", "cut", "altered", "missing"])
def test_the_network_serves_when_a_mirror_url_fails(server, remote, monkeypatch, kind):
    index = f'[cells]\nfile = "{kind}/blood.bin"\nsha256 = "{SHA}"\n'
    server.bodies["/mirror.toml"] = index.encode()
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}")
    with pytest.warns(UserWarning, match=r"the mirror http.* failed"):
        fetched = fetch(remote("good"))
    assert (fetched.source, fetched.path.read_bytes()) == ("official", CONTENT)


def test_a_mirror_and_the_network_share_one_deadline(server, remote, monkeypatch):
    server.bodies["/mirror.toml"] = f'[cells]\nfile = "drip/b.bin"\nsha256 = "{SHA}"\n'.encode()
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(download, "deadline_seconds", lambda megabytes: 0.4)
    with (
        pytest.warns(UserWarning, match="not finished"),
        pytest.raises(UnavailableError, match=r"network: .*no time left"),
    ):
        fetch(remote("good"))


@pytest.mark.parametrize("known", [KNOWN, None], ids=["known", "unknown"])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_process_that_looks_at_any_moment_finds_the_file_whole(
    remote, folder, tmp_path, monkeypatch, known, mirrored
):
    """The file must not be there before its record: it would be taken for damaged."""
    if mirrored:
        mirror = make_mirror(tmp_path / "mirror", CONTENT[::-1], _sha(CONTENT[::-1]))
        monkeypatch.setenv("LABKIT_MIRROR", str(mirror))
    file, replace, looks = remote("good", known=known), os.replace, []

    def replace_and_look(source, target):
        replace(source, target)
        if str(target) == str(folder / "cells.npz"):
            looks.append(download._from_cache(file))

    monkeypatch.setattr(os, "replace", replace_and_look)
    assert looks == [] and fetch(file) == looks[0]


FETCH = """
import sys, time
from pathlib import Path
from labkit.data.catalog import RemoteFile
from labkit.data.download import fetch

Path(sys.argv[3]).touch()
while not Path(sys.argv[4]).exists():
    time.sleep(0.001)
fetch(RemoteFile("cells", "cells.npz", (sys.argv[1],), sys.argv[2] or None, 1))
"""


@pytest.mark.parametrize("known", [KNOWN, None], ids=["known", "unknown"])
def test_two_processes_at_once_both_succeed_and_leave_no_temporary_file(
    remote, folder, tmp_path, known
):
    ready, go = [tmp_path / "one", tmp_path / "two"], tmp_path / "go"
    command = [sys.executable, "-W", "error::UserWarning", "-c", FETCH]
    arguments = [*remote("good").urls, known or ""]
    processes = [subprocess.Popen([*command, *arguments, file, go]) for file in ready]
    while not all(file.exists() for file in ready):
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.01)
    go.touch()
    assert [process.wait(60) for process in processes] == [0, 0]
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]
    assert (folder / "cells.npz").read_bytes() == CONTENT


def test_five_processes_that_find_one_damaged_file_all_get_the_right_one(remote, folder, tmp_path):
    folder.mkdir()
    (folder / "cells.npz").write_bytes(CONTENT[:-1])
    ready, go = [tmp_path / str(number) for number in range(5)], tmp_path / "go"
    command = [sys.executable, "-c", FETCH, *remote("good").urls, KNOWN]
    processes = [
        subprocess.Popen([*command, file, go], stderr=subprocess.DEVNULL) for file in ready
    ]
    while not all(file.exists() for file in ready):
        assert {process.poll() for process in processes} == {None}
        time.sleep(0.01)
    go.touch()
    assert [process.wait(60) for process in processes] == [0] * 5
    assert (folder / "cells.npz").read_bytes() == CONTENT


@pytest.mark.parametrize("page", [b"<html>log in first</html>", b"", CONTENT[:-30]])
def test_junk_is_refused_where_no_hash_is_published_and_asked_for_again(
    server, remote, folder, page
):
    file = remote("good", known=None)
    server.bodies["/good/cells.npz"] = page
    with pytest.raises(UnavailableError, match=r"no whole \.npz file, perhaps a login page"):
        fetch(file)
    assert names(folder) == []
    server.bodies.clear()
    assert fetch(file).sha256 == SHA


def test_headers_that_only_drip_meet_the_deadline(remote, folder, monkeypatch):
    monkeypatch.setattr(download, "deadline_seconds", lambda megabytes: 0.4)
    with pytest.raises(UnavailableError, match="no answer after 0 s"):
        fetch(remote("slow_headers"))
    assert names(folder) == []


def test_a_busy_server_is_asked_again_when_it_said(server, remote, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    assert fetch(remote("busy")).sha256 == SHA
    assert waits == [1]


@pytest.mark.parametrize(("said", "waited"), [("1.5", 1.5), ("", 1)])
def test_a_busy_server_that_says_little_gets_a_second_once(
    server, remote, monkeypatch, said, waited
):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    monkeypatch.setattr(server, "retry_after", said)
    assert fetch(remote("busy")).sha256 == SHA
    assert waits == [waited]


def test_a_busy_mirror_is_asked_again_when_it_said(server, remote, monkeypatch):
    index = f'[cells]\nfile = "busy/blood.bin"\nsha256 = "{SHA}"\n'
    server.bodies["/mirror.toml"] = index.encode()
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}")
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    assert fetch(remote("missing")).source == "mirror"
    assert waits == [1]


def test_a_server_may_say_when_with_a_date(server, remote, monkeypatch):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    monkeypatch.setattr(server, "retry_after", formatdate(time.time() + 50, usegmt=True))
    assert fetch(remote("busy")).sha256 == SHA
    assert len(waits) == 1 and 0 < waits[0] <= 50


# the fourth is a digit, but no number
@pytest.mark.parametrize("said", ["Wed, 21 Oct 2015 07:28:00 GMT", "soon", "-5", "\u00b2", "inf"])
def test_a_wait_that_is_none_is_no_wait(server, remote, monkeypatch, said):
    waits = []
    monkeypatch.setattr(download.time, "sleep", waits.append)
    monkeypatch.setattr(server, "retry_after", said)
    assert fetch(remote("busy")).sha256 == SHA
    assert waits == [0]


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such rights")
@pytest.mark.parametrize(("mask", "rights"), [(0o002, 0o664), (0o077, 0o600)])
def test_a_download_has_the_rights_that_the_umask_leaves(remote, mask, rights):
    before = os.umask(mask)
    try:
        path = fetch(remote("good")).path
    finally:
        os.umask(before)
    for file in (path, kept.record_of(path)):
        assert file.stat().st_mode & 0o777 == rights


@pytest.mark.parametrize("said", ["61", "9" * 400, "Wed, 21 Oct 2099 07:28:00 GMT"])
def test_a_server_that_asks_for_too_much_time_is_left_for_the_next(
    server, remote, monkeypatch, said
):
    monkeypatch.setattr(server, "retry_after", said)
    assert fetch(remote("busy", "good")).sha256 == SHA
    assert [path.split("/")[1] for path in server.asked] == ["busy", "good"]


def test_a_body_without_end_is_left_before_it_fills_the_disk(remote, folder):
    with pytest.raises(UnavailableError, match="more than 13,000,000 bytes: not the file"):
        fetch(remote("endless"))
    assert names(folder) == []


def test_a_length_that_is_no_number_is_no_length(remote):
    assert fetch(remote("no_length")).sha256 == SHA


RECORD = '{"path": "cells.npz", "source": %s, "sha256": "%s", "note": %s}'
RECORDS = ["", "{}", "[]", "null", "3", '{"sha256": 1}', "\ud83d", "[" * 100_000]
RECORDS += [RECORD % ('"official"', "0" * 63, '""'), RECORD % ('"official"', "sha", '""')]
RECORDS += [RECORD % (5, SHA, '""'), RECORD % ('"official"', SHA, "[1]")]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_that_is_none_is_no_record(server, remote, folder, record):
    file = remote("good")
    fetch(file)
    (folder / "cells.npz.origin.json").write_text(record, errors="surrogatepass")
    assert fetch(file).source == "official"
    assert len(server.asked) == 1


@pytest.mark.parametrize("known", [None, "sha256:" + "0" * 64])
def test_a_whole_file_laid_there_by_hand_is_used_and_called_so(server, remote, folder, known):
    folder.mkdir()
    (folder / "cells.npz").write_bytes(CONTENT)
    fetched = fetch(remote("good", known=known))
    assert (fetched.sha256, fetched.note) == (SHA, "laid into the cache by hand")
    assert server.asked == []


def _weights(**options):
    file = io.BytesIO()
    torch.save({"a": torch.zeros(3)}, file, **options)
    return file.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "note"),
    [
        ("weights/tiny-%s.pth", _weights(_use_new_zipfile_serialization=False), ""),
        ("weights/tiny-00000000.pth", _weights(), "laid into the cache by hand"),
        ("mnist/labels.gz", gzip.compress(bytes(100), 1, mtime=0), "laid into the cache by hand"),
    ],
    ids=["weights with their hash", "weights", "digits"],  # torch.save may draw a number
)
def test_weights_and_digits_laid_there_by_hand_are_used(
    server, remote, folder, name, content, note
):
    path = folder / (name % _sha(content)[:8] if "%" in name else name)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    known = "md5:" + "0" * 32 if path.suffix == ".gz" else None
    file = RemoteFile("x", str(path.relative_to(folder)), remote("good").urls, known, 1)
    fetched = fetch(file)
    assert (fetched.sha256, fetched.note) == (_sha(content), note)
    assert server.asked == [] and not path.with_name(path.name + ".damaged").exists()


@pytest.mark.parametrize("name", ["tiny-00000000.pth", "labels.gz"])
def test_half_a_file_laid_there_by_hand_is_set_aside(remote, folder, name):
    whole = _weights() if name.endswith("pth") else gzip.compress(os.urandom(100), mtime=0)
    folder.mkdir()
    (folder / name).write_bytes(whole[:-20])
    with pytest.warns(UserWarning, match="set aside"):
        assert fetch(RemoteFile("x", name, remote("good").urls, None, 1)).sha256 == SHA


KILLED = """
import os, signal, sys
from labkit.data import download
from labkit.data.catalog import RemoteFile

def die(url, file, *args, **options):
    file.write_bytes(bytes(1000))
    os.kill(os.getpid(), signal.SIGKILL)

download.stream.stream = die
download.fetch(RemoteFile("cells", "cells.npz", (sys.argv[1],), None, 1))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signal")
def test_what_a_killed_download_left_is_cleared_at_the_next(remote, folder):
    file = remote("good")
    subprocess.run([sys.executable, "-c", KILLED, *file.urls])
    assert len(names(folder)) == 1
    fetch(file)
    assert names(folder) == ["cells.npz", "cells.npz.origin.json"]


def test_a_folder_in_a_files_place_is_set_aside(remote, folder):
    (folder / "cells.npz" / "mine").mkdir(parents=True)
    with pytest.warns(UserWarning, match="set aside as"):
        assert fetch(remote("good")).sha256 == SHA
    assert (folder / "cells.npz.damaged" / "mine").exists()


def test_a_read_only_cache_serves(remote, folder, monkeypatch):
    folder.mkdir()
    (folder / "cells.npz").write_bytes(CONTENT)

    def refuse(fetched):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(kept, "keep_record", refuse)
    assert fetch(remote("good")).path.read_bytes() == CONTENT


def test_a_file_that_may_not_be_read_is_set_aside_or_named(remote, folder, monkeypatch):
    def refuse(path, known_hash=None):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    fetch(remote("good"))
    monkeypatch.setattr(download, "recognised", refuse)
    with pytest.warns(UserWarning, match=r"cells\.npz in the cache may not be read; it was set"):
        assert fetch(remote("good")).sha256 == SHA
    monkeypatch.setattr(download, "set_aside", refuse)
    with pytest.raises(
        DataFolderError, match=r"and cells\.npz in it may not be read\).*LABKIT_DATA"
    ):
        fetch(remote("good"))


@pytest.mark.parametrize("fault", ["a file", "full while written"])
def test_a_data_folder_that_cannot_be_written_is_named_and_no_source_asked_again(
    server, remote, tmp_path, monkeypatch, fault
):
    if fault == "a file":
        (tmp_path / "a file").write_text("")
        monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "a file"))
    else:

        def full(*_args, **_kwargs):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(download.stream, "stream", full)
    with pytest.raises(UnavailableError, match=r"cannot be written .*LABKIT_DATA") as caught:
        fetch(remote("good"))
    assert "Connect to the network" not in str(caught.value)
    assert server.asked == []
