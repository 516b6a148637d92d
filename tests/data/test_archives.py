"""Whole archives that are not the data: served over local HTTP, refused, and asked for again."""

import io
import threading
import warnings
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import labkit as lk
from labkit import doctor
from labkit.classroom.mirror import make_mirror
from labkit.data import load
from labkit.data.archives import unpack_photographs
from labkit.data.catalog import entry
from labkit.data.download import UnavailableError
from labkit.data.load import StandInWarning

CLASSES = ("basophil", "eosinophil", "ig")


def packed(members):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return file.getvalue()


def photograph(value):
    file = io.BytesIO()
    Image.fromarray(np.full((40, 40, 3), value, np.uint8)).save(file, "PNG")
    return file.getvalue()


GOOD = packed(
    {
        f"pbc/{name}/{number}.png": photograph(50 * row + number)
        for row, name in enumerate(CLASSES)
        for number in range(8)
    }
)
PAGE = b"<html>log in first</html>"
JUNK = {
    "a page in a zip": packed({"index.html": PAGE}),
    "an empty zip": packed({}),
    "other files": packed({f"notes/{number}.txt": "cells" for number in range(9)}),
    "pages called images": packed({f"pbc/{name}/1.jpg": PAGE for name in CLASSES}),
    "a page called a zip": packed({"PBC.zip": PAGE}),
    "a zip within that is cut": packed({"PBC.zip": GOOD[:-100]}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked += 1
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.server.body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server in the place of PBC's, and an empty data folder; the network is on."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.body, server.asked = GOOD, 0
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/pbc.zip"
    real = entry("pbc")
    (file,) = real.files(28)
    item = replace(real, files=lambda size: (replace(file, urls=(url,)),))
    monkeypatch.setattr(load, "entry", lambda name: item if name == "pbc" else entry(name))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.delenv("LABKIT_OFFLINE")
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", JUNK)
def test_a_whole_zip_that_is_not_the_data_does_not_stay_and_is_asked_for_again(
    server, tmp_path, kind
):
    server.body = JUNK[kind]
    for asked in (1, 2):
        with pytest.raises(UnavailableError, match=r"pbc\.zip came, but it is not the data set"):
            lk.load_dataset("pbc", size=28, strict=True)
        assert server.asked == asked
        assert not (tmp_path / "pbc.zip").exists() and not (tmp_path / "pbc").exists()
    server.body = GOOD
    assert lk.load_dataset("pbc", size=28, strict=True).classes[:2] == CLASSES[:2]


def test_a_stand_in_follows_where_the_archive_is_not_the_data(server):
    server.body = JUNK["a page called a zip"]
    with pytest.warns(StandInWarning, match="not the data set"):
        folder = lk.dataset_folder("pbc")
    assert folder.parent.name == "stand-in"
    server.body = GOOD
    assert lk.dataset_folder("pbc", strict=True).name == "pbc"


def test_what_was_recorded_and_cannot_be_read_is_fetched_again(server, tmp_path):
    """As labkit 0.1 did: any whole zip was recorded as official."""
    from labkit.data.kept import Fetched, keep_record
    from labkit.files import sha256

    path = tmp_path / "pbc.zip"
    path.write_bytes(JUNK["other files"])
    keep_record(Fetched(path, "official", sha256(path)))
    assert len(lk.load_dataset("pbc", size=28, strict=True).classes) == 3
    assert server.asked == 1


def test_an_unpacked_folder_that_is_damaged_is_unpacked_again_without_a_request(server, tmp_path):
    lk.load_dataset("pbc", size=28, strict=True)
    for file in (tmp_path / "pbc").rglob("*.png"):
        file.write_bytes(PAGE)
    with pytest.warns(UserWarning, match=r"put aside as pbc\.damaged"):
        assert len(lk.load_dataset("pbc", size=28, strict=True).classes) == 3
    assert server.asked == 1
    assert (tmp_path / "pbc.damaged").is_dir()


@pytest.mark.parametrize("change", [Path.unlink, lambda file: file.write_bytes(b"")])
def test_one_photograph_that_is_gone_or_cut_off_is_unpacked_again(server, tmp_path, change):
    whole = lk.load_dataset("pbc", size=28, strict=True).counts()
    change(sorted((tmp_path / "pbc").rglob("*.png"))[0])
    with pytest.warns(UserWarning, match=r"not what pbc\.zip holds"):
        assert lk.load_dataset("pbc", size=28, strict=True).counts().equals(whole)
    (tmp_path / "pbc" / ".DS_Store").touch()  # what a system adds is no damage
    lk.load_dataset("pbc", size=28, strict=True)
    assert server.asked == 1


def test_photographs_of_another_archive_are_not_taken_for_its_own(tmp_path):
    old = {f"pbc/{name}/{number}.png": photograph(number) for name in CLASSES for number in (1, 99)}
    for members in (old, dict(list(old.items())[1:])):  # the second: cleaned of one image
        (tmp_path / "pbc.zip").write_bytes(packed(members))
        with warnings.catch_warnings(record=True):
            folder = unpack_photographs(tmp_path / "pbc.zip")
        found = {file.relative_to(tmp_path / "pbc").as_posix() for file in folder.rglob("*.png")}
        assert found == {*members}


def test_somebodys_own_file_is_set_aside_and_not_deleted(server, tmp_path):
    (tmp_path / "pbc.zip").write_bytes(JUNK["other files"])
    assert len(lk.load_dataset("pbc", size=28, strict=True).classes) == 3
    assert (tmp_path / "pbc.zip.damaged").read_bytes() == JUNK["other files"]


def test_a_zip_within_a_zip_is_unpacked(tmp_path):
    (tmp_path / "pbc.zip").write_bytes(packed({"PBC.zip": GOOD}))
    folder = unpack_photographs(tmp_path / "pbc.zip")
    assert sorted(child.name for child in folder.iterdir()) == sorted(CLASSES)


@pytest.mark.parametrize("content", [PAGE, b""])
def test_doctor_does_not_call_a_page_a_file_of_arrays(tmp_path, monkeypatch, content):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    (tmp_path / "bloodmnist.npz").write_bytes(content)
    (wrong, said, remedy), _ = doctor._data_sets()
    assert not wrong and "bloodmnist.npz holds no arrays" in said and "fetches it again" in remedy


def test_a_zip_file_of_other_things_is_not_handed_on_as_a_data_set(server, tmp_path):
    (tmp_path / "pbc.zip").write_bytes(JUNK["other files"])
    ((fine, said),) = make_mirror(tmp_path / "mirror", ["pbc"])
    assert not fine and "pbc.zip holds no photographs" in said
    assert (tmp_path / "pbc.zip").read_bytes() == JUNK["other files"]


@pytest.mark.parametrize("content", [JUNK["other files"], PAGE])
def test_doctor_does_not_call_such_a_file_a_data_set(tmp_path, monkeypatch, content):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    (tmp_path / "pbc.zip").write_bytes(content)
    (wrong, said, remedy), (fine, others, _) = doctor._data_sets()
    assert not wrong and "pbc.zip holds no photographs" in said and "fetches it again" in remedy
    assert fine and "pbc" not in others
    (tmp_path / "pbc.zip").write_bytes(GOOD)
    ((fine, said, _),) = doctor._data_sets()
    assert fine and "pbc 360 px" in said
