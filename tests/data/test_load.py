import hashlib
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import labkit as lk
from labkit.data import load, origin, stand_ins
from labkit.data.classes import BLOOD_CLASSES
from labkit.data.download import UnavailableError
from labkit.data.load import StandInWarning
from labkit.files import DiskError


def save(path, count=16):
    made = {}
    for split in ("train", "val", "test"):
        made[f"{split}_images"] = np.zeros((count, 28, 28, 3), np.uint8)
        made[f"{split}_labels"] = np.arange(count)[:, None] % 8
    np.savez(path, **made)
    return path


def test_any_npz_file_is_a_data_set(tmp_path):
    data = lk.load_dataset(save(tmp_path / "mine.npz"))
    assert (data.title, data.origin, data.test.origin) == ("mine", *["file mine.npz"] * 2)
    assert len(data.classes) == 8 and not data.stand_in


def test_a_path_may_begin_at_home_and_a_folder_bear_a_known_name(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))  # Windows
    save(tmp_path / "mine.npz")
    assert lk.load_dataset("~/mine.npz").title == "mine"
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 4, 3), np.uint8)
    for name, photos in zip("ab", pixels, strict=True):
        (tmp_path / "mnist" / name).mkdir(parents=True)
        for number, photo in enumerate(photos):
            Image.fromarray(photo).save(tmp_path / "mnist" / name / f"{number}.png")
    assert lk.load_dataset("~/mnist").classes == ("a", "b")
    assert lk.load_folder("~/mnist")[0].classes == ("a", "b")
    monkeypatch.chdir(tmp_path)
    assert lk.load_dataset(Path("mnist")).classes == ("a", "b")  # a path is no name
    assert len(lk.load_dataset("mnist").classes) == 10


def test_another_size_than_that_of_the_file_is_an_error(tmp_path):
    path = save(tmp_path / "mine.npz")
    assert lk.load_dataset(path, size=28).train.images.shape[-1] == 28
    with pytest.raises(ValueError, match=r"mine\.npz has images of 28 pixels, not 64"):
        lk.load_dataset(path, size=64)


def test_wrong_names_sizes_and_paths_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no data set 'blod'.*bloodmnist, mnist"):
        lk.load_dataset("blod")
    with pytest.raises(ValueError, match="choose one of 28, 64, 128, 224"):
        lk.load_dataset("bloodmnist", size=30)
    with pytest.raises(ValueError, match="There is no file"):
        lk.load_dataset(tmp_path / "none.npz")
    with pytest.raises(ValueError, match="only 'pbc' does"):
        lk.dataset_folder("mnist")


@pytest.mark.parametrize("name", ["bloodmnist", "mnist", "pbc", "bloodcells"])
def test_strict_raises_instead_of_a_stand_in(name):
    with pytest.raises(UnavailableError, match="LABKIT_OFFLINE is set") as caught:
        lk.load_dataset(name, strict=True)
    assert isinstance(caught.value, OSError)


@pytest.fixture
def no_folder(tmp_path, monkeypatch):
    (tmp_path / "a file").touch()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "a file"))
    monkeypatch.setenv("LABKIT_FAST", "1")


@pytest.mark.parametrize("name", ["bloodmnist", "mnist", "pbc"])
def test_a_data_folder_that_cannot_be_written_is_named_and_nothing_stands_in(no_folder, name):
    for call in (lk.load_dataset, lk.dataset_folder)[: 1 + (name == "pbc")]:
        with pytest.raises(DiskError, match=r"a file.* cannot be written .*: set LABKIT_DATA"):
            call(name)


def test_drawn_cells_need_no_folder(no_folder):
    with pytest.warns(UserWarning, match="drawn cells are not kept.*LABKIT_DATA"):
        data = lk.load_dataset("synthetic", size=28)
    assert len(data.train) > 1000 and data.train.masks


def test_a_file_of_another_size_laid_there_by_hand_is_not_taken_for_the_data(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    monkeypatch.delenv("LABKIT_MIRROR", raising=False)
    arrays = {
        f"{part}_{kind}": np.zeros((8, *shape), np.uint8)
        for part in ("train", "val", "test")
        for kind, shape in (("images", (64, 64, 3)), ("labels", (1,)))
    }
    np.savez(tmp_path / "bloodmnist.npz", **arrays)
    with pytest.warns(StandInWarning, match="LABKIT_OFFLINE"):
        data = lk.load_dataset("bloodmnist")
    assert data.stand_in and (tmp_path / "bloodmnist.npz.damaged").exists()


def test_drawn_cells_whose_file_is_damaged_are_drawn_again(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    whole = lk.load_dataset("synthetic", size=28).train.images
    (file,) = (tmp_path / "stand-in").glob("cells_28_*.npz")
    file.write_bytes(file.read_bytes()[:-500])
    for _ in range(2):  # drawn, and then read back
        assert lk.load_dataset("synthetic", size=28).train.images.equal(whole)


def test_drawn_photographs_need_no_folder_and_stay_a_stand_in(no_folder, monkeypatch):
    def unavailable(file):
        raise UnavailableError("no network")

    monkeypatch.setattr(load, "fetch", unavailable)
    with (
        pytest.warns(StandInWarning),
        pytest.warns(UserWarning, match="drawn photographs are not kept"),
    ):
        folder = lk.dataset_folder("pbc")
    assert lk.load_folder(folder, size=28)[0].origin.stand_in


def test_a_note_that_cannot_be_written_is_kept_in_memory(tmp_path, monkeypatch):
    def refuse(path):
        raise DiskError(path.parent, "Read-only file system")

    monkeypatch.setattr(origin, "atomic", refuse)
    origin.save_origin(tmp_path / "x", origin.Origin("STAND-IN", stand_in=True))
    assert origin.read_origin(tmp_path / "x").stand_in


@pytest.mark.parametrize("name", ["bloodmnist", "mnist"])
def test_a_stand_in_says_so_everywhere(name):
    with pytest.warns(StandInWarning, match=f"Not the real data: .*'{name}', because"):
        data = lk.load_dataset(name)
    assert data.stand_in and data.origin.startswith("STAND-IN for ")
    assert all(split.origin == data.origin for split in data.splits.values())
    assert "STAND-IN DATA" in repr(data) and "Stand-in data" in data._repr_html_()
    assert data.train.images.shape[2:] == (28, 28)


@pytest.mark.parametrize(
    ("note", "what", "more"),
    [("", "official", False), ("rebuilt from PBC; split is our own", "rebuilt from PBC", True)],
)
def test_the_origin_is_official_or_what_the_mirror_says(tmp_path, monkeypatch, note, what, more):
    path = save(tmp_path / "b.npz")
    sha = hashlib.sha256(path.read_bytes()).hexdigest()
    index = f'[bloodmnist]\nfile = "b.npz"\nsha256 = "{sha}"\nnote = "{note}"\n'
    (tmp_path / "mirror.toml").write_text(index)
    monkeypatch.setenv("LABKIT_MIRROR", str(tmp_path))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    data = lk.load_dataset("bloodmnist", strict=True)
    assert data.origin == f"BloodMNIST 28 px, {what}" and not data.stand_in
    assert (data.notes[0] == "split is our own") is more
    assert data.classes == BLOOD_CLASSES and "STAND-IN" not in repr(data)


@pytest.mark.parametrize("size", [28.0, 64.0, True, "28", float("nan")])
@pytest.mark.parametrize("name", ["bloodmnist", "synthetic", "pbc"])
def test_a_size_that_is_no_whole_number_is_named(name, size):
    with pytest.raises(ValueError, match=f"no size {size!r}; choose"):
        lk.load_dataset(name, size=size)


@pytest.mark.parametrize(
    "change", ["no masks", "fewer cells", "other types", "objects", "no arrays"]
)
def test_kept_cells_that_are_something_else_are_drawn_again(tmp_path, monkeypatch, change):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    monkeypatch.setattr(stand_ins.drawn, "COUNTS", {s: (2,) * 8 for s in ("train", "val", "test")})
    whole = lk.load_dataset("synthetic")
    (path,) = (tmp_path / "stand-in").iterdir()
    arrays = dict(np.load(path))
    if change == "no arrays":
        with zipfile.ZipFile(path, "w") as bundle:
            bundle.writestr("page.html", "<html>")
    else:
        changed = {
            "no masks": {k: a for k, a in arrays.items() if not k.endswith("nucleus")},
            "fewer cells": {k: a[:5] for k, a in arrays.items()},
            "other types": arrays | {"val_images": arrays["val_images"].astype(float)},
            "objects": arrays | {"val_labels": np.array([{}] * 16, object)},
        }
        np.savez(path, **changed[change])
    assert torch.equal(lk.load_dataset("synthetic").train.images, whole.train.images)
    assert dict(np.load(path)).keys() == arrays.keys()
