import contextlib
import errno
import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import zipfile

import pytest

from labkit.files import (
    DiskError,
    atomic,
    is_whole_gzip,
    is_whole_zip,
    sha256,
    this_machine,
    unzip,
)

HERE = this_machine()


def make_zip(path, members):
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in members.items():
            bundle.writestr(name, content)
    return path


def test_atomic_replaces_the_file_and_makes_its_folder(tmp_path):
    path = tmp_path / "new" / "file"
    for text in ("one", "two"):
        with atomic(path) as temporary:
            temporary.write_text(text)
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_atomic_leaves_the_old_file_and_nothing_else_after_an_exception(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def fail():
        with atomic(path) as temporary:
            temporary.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_atomic_keeps_rights_and_links_and_gives_new_files_those_of_any_other(tmp_path):
    path, link, plain = tmp_path / "file", tmp_path / "link", tmp_path / "plain"
    plain.touch()
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.stat().st_mode == plain.stat().st_mode
    path.chmod(0o640)
    link.symlink_to(path)
    with atomic(link) as temporary:
        temporary.write_text("newer")
    assert link.is_symlink()
    assert path.read_text() == "newer"
    assert path.stat().st_mode & 0o777 == 0o640


def test_atomic_removes_what_killed_writers_left_and_nothing_else(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=1)
    dead = int(done.stdout)
    stays = [
        f".a.labkit-{HERE}-{os.getpid()}-0123abcd",  # of a living writer
        f".a.labkit-{HERE}-1-0123abcd",  # of somebody else's
        f"a.labkit-{HERE}-{dead}-0123abcd",
        f".a.labkit-0badcafe-{dead}-0123abcd",  # of another machine that shares the folder
        ".config.settings",
        ".ipynb_checkpoints",
    ]
    goes = [f".a.labkit-{HERE}-{dead}-0123abcd", f".b.labkit-0badcafe-{dead}-0123abcd"]
    goes += [f".a.labkit-{dead}-0123abcd"]  # of an earlier version
    for name in (*stays, *goes):
        (tmp_path / name).touch()
    os.utime(tmp_path / goes[1], (0, 0))  # there, only its age tells
    with atomic(tmp_path / "b"):
        assert {path.name for path in tmp_path.iterdir()} >= {*stays}
    assert {path.name for path in tmp_path.iterdir()} == {*stays, "b"}


def test_unzip_removes_the_folders_that_killed_ones_left(tmp_path):
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=1)
    left = tmp_path / f".cells.labkit-{HERE}-{int(done.stdout)}-0123abcd"
    left.mkdir()
    (left / "half.jpg").touch()
    archive = make_zip(tmp_path / "a.zip", {"x": ""})
    unzip(archive, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zip", "out"]


@pytest.mark.parametrize("write", [lambda p: atomic(p / "b"), lambda p: atomic(p / "b" / "c")])
def test_a_folder_that_is_a_file_is_named(tmp_path, monkeypatch, write):
    place = tmp_path / "a file"
    place.touch()
    with pytest.raises(
        DiskError, match=r"a file.* cannot be written \(a file .*: choose another place"
    ) as caught:
        write(place).__enter__()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(DiskError, match="LABKIT_DATA"):
        write(place).__enter__()
    assert caught.value.strerror == "a file stands where a folder should"


def test_a_disk_that_fills_is_named_and_the_old_file_stays(tmp_path):
    (tmp_path / "a").write_text("old")

    def fill():
        with atomic(tmp_path / "a") as temporary:
            temporary.write_text("new")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(DiskError, match=r"cannot be written \(No space left on device\)"):
        fill()
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a full disk: Linux has /dev/full")
def test_the_systems_own_error_of_a_full_disk_is_understood(tmp_path):
    def fill():
        with atomic(tmp_path / "a"), open("/dev/full", "wb") as full:
            full.write(bytes(1 << 20))

    with pytest.raises(DiskError, match="No space left on device"):
        fill()


def test_a_whole_gzip_file_is_told_from_half_of_one(tmp_path):
    path, whole = tmp_path / "a.gz", gzip.compress(os.urandom(1000))
    for content, expected in ((whole, True), (whole[:-1], False), (b"<html>", False)):
        path.write_bytes(content)
        assert is_whole_gzip(path) is expected


def test_atomic_says_of_a_link_that_leads_to_itself_what_it_is(tmp_path):
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    try:
        with atomic(loop) as temporary:
            temporary.write_text("new")
    except OSError as error:
        said = str(error)
        assert "leads back to itself: delete it" in said
    else:
        assert loop.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_sha256_is_that_of_hashlib(tmp_path):
    (tmp_path / "file").write_bytes(b"cells")
    assert sha256(tmp_path / "file") == hashlib.sha256(b"cells").hexdigest()


def test_unzip_unpacks_all_members_or_the_chosen_ones(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x/1.txt": "1", "x/2.txt": "2"})
    assert (unzip(archive, tmp_path / "all") / "x" / "2.txt").read_text() == "2"
    chosen = unzip(archive, tmp_path / "some", ["x/1.txt"])
    assert [file.name for file in (chosen / "x").iterdir()] == ["1.txt"]


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "/tmp/labkit_evil.txt"])
def test_unzip_refuses_members_that_leave_the_folder_and_leaves_nothing(tmp_path, name):
    archive = make_zip(tmp_path / "a.zip", {"good.txt": "1", name: "2"})
    with pytest.raises(ValueError, match="leaves the folder"):
        unzip(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_unzip_names_a_file_that_is_no_whole_zip(tmp_path):
    archive = make_zip(tmp_path / "a.zip", {"x": "1" * 500})
    archive.write_bytes(archive.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"a\.zip is not a whole zip file"):
        unzip(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


def test_unzip_keeps_the_folder_of_a_quicker_process(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "theirs").write_text("")
    unzip(make_zip(tmp_path / "a.zip", {"ours": ""}), tmp_path / "out")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["theirs"]


def test_unzip_refuses_what_the_disk_cannot_hold_before_it_writes(tmp_path, monkeypatch):
    archive = make_zip(tmp_path / "a.zip", {"x": "1" * 500})
    space = shutil.disk_usage(tmp_path)._replace(free=400)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: space)
    with pytest.raises(ValueError, match=r"a\.zip unpacks to .* are free"):
        unzip(archive, tmp_path / "out")
    assert list(tmp_path.iterdir()) == [archive]


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_file_that_was_altered_anywhere_is_not_whole(tmp_path, method):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", method) as bundle:
        bundle.writestr("é.txt", bytes(range(256)) * 40)
    whole = path.read_bytes()
    assert is_whole_zip(path)
    path.write_bytes(whole[20:])  # its head is gone
    assert not is_whole_zip(path)
    found = []
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        found.append(is_whole_zip(path))  # an answer, whatever zipfile raises
    assert not all(found)


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(os, "fsync", lambda number: seen.append((tmp_path / "a").exists()))
    with atomic(tmp_path / "a") as temporary:
        temporary.write_text("x")
    assert seen == [False] and (tmp_path / "a").read_text() == "x"


@pytest.mark.parametrize(("code", "fine"), [(errno.ENOTSUP, True), (errno.ENOSPC, False)])
def test_a_file_system_that_cannot_be_asked_to_write_now_writes_later(
    tmp_path, monkeypatch, code, fine
):
    def refuse(number):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with contextlib.nullcontext() if fine else pytest.raises(DiskError), atomic(tmp_path / "a"):
        pass
    assert (tmp_path / "a").exists() is fine


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root may give a file away")
def test_a_file_of_somebody_elses_stays_theirs(tmp_path):
    (tmp_path / "a").touch()
    os.chown(tmp_path / "a", 12345, 23456)
    with atomic(tmp_path / "a") as temporary:
        temporary.write_text("x")
    found = (tmp_path / "a").stat()
    assert (found.st_uid, found.st_gid) == (12345, 23456)
