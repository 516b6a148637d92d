import threading
import tomllib

import pytest

from labkit.classroom.mirror import COURSE, check_names, make_mirror, mirror_server
from labkit.data import catalog
from labkit.data.download import RemoteFile, fetch
from labkit.files import sha256

FILE = RemoteFile("bloodmnist", "bloodmnist.npz", (), None, 1)


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A mirror with one file, whose note has quotes and letters that are not ASCII."""
    folder = tmp_path / "source"
    folder.mkdir()
    file = folder / "b.bin"
    file.write_bytes(b"blood")
    note = 'rebuilt "as is", \\ Zellen: Größe'
    (folder / "mirror.toml").write_text(
        f"[bloodmnist]\nfile = 'b.bin'\nsha256 = '{sha256(file)}'\nnote = '{note}'\n"
    )
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LABKIT_MIRROR", str(folder))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    return note


def test_a_mirror_serves_another_machine_with_hash_and_note(source, tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    assert [fine for fine, _ in make_mirror(folder, ["bloodmnist", "synthetic"])] == [True, True]
    server, address = mirror_server(folder, port=0)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "laptop"))
    monkeypatch.setenv("LABKIT_MIRROR", f"http://127.0.0.1:{server.server_port}")
    fetched = fetch(FILE)
    server.shutdown()
    server.server_close()
    assert (fetched.path.read_bytes(), fetched.note) == (b"blood", source)
    assert address.endswith(f":{server.server_port}")


def test_what_cannot_be_had_is_named_and_what_was_there_stays(source, tmp_path):
    folder = tmp_path / "mirror"
    list(make_mirror(folder, ["bloodmnist"]))
    found = list(make_mirror(folder, ["pbc", "bloodmnist"]))
    assert [fine for fine, _ in found] == [False, True]
    assert "the mirror does not have pbc" in found[0][1]
    assert list(tomllib.loads((folder / "mirror.toml").read_text("utf-8"))) == ["bloodmnist"]


def test_what_a_mirror_holds_needs_no_source(source, tmp_path, monkeypatch):
    folder = tmp_path / "mirror"
    list(make_mirror(folder, ["bloodmnist"]))
    monkeypatch.delenv("LABKIT_MIRROR")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "laptop"))
    said = f"bloodmnist: 1 file in {folder} already"
    assert list(make_mirror(folder, ["bloodmnist"])) == [(True, said)]
    next(path for path in folder.rglob("*") if path.suffix == ".npz").write_bytes(b"altered")
    assert [fine for fine, _ in make_mirror(folder, ["bloodmnist"])] == [False]


def test_an_unknown_name_is_told_before_anything_is_fetched(source, tmp_path):
    with pytest.raises(ValueError, match="'blodmnist'"):
        list(make_mirror(tmp_path / "mirror", ["bloodmnist", "blodmnist"]))
    assert not (tmp_path / "mirror").exists()


def test_a_folder_without_index_is_not_served(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"mirror\.toml"):
        mirror_server(tmp_path)


def test_the_labs_data_are_in_the_catalogue():
    check_names(COURSE)
    assert set(COURSE) & set(catalog.NAMES) == {"bloodmnist", "mnist", "pbc"}
