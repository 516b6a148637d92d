"""MedMNIST's data sets by name: fetched from a real server, verified, or replaced by a stand-in."""

import hashlib
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import medmnist
import numpy as np
import pytest

import labkit as lk
from labkit.data import catalog, medmnist_sets
from labkit.data.download import UnavailableError
from labkit.data.load import StandInWarning

ALL = ("bloodmnist", *medmnist_sets.NAMES)
CASES = [(name, 28) for name in ALL] + [("retinamnist", s) for s in (64, 128, 224)]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    """A server with files of MedMNIST's names, keys, shapes and types, to which INFO leads."""
    (tmp_path / "files").mkdir()
    handler = partial(Quiet, directory=tmp_path / "files")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.delenv("LABKIT_OFFLINE")

    def offer(name, size):
        info, random = medmnist.INFO[name], np.random.default_rng(size)
        classes, made = len(info["label"]), {}
        for split in ("train", "val", "test"):
            colour = (3,) if info["n_channels"] == 3 else ()
            shape = (2 * classes, size, size, *colour)
            made[f"{split}_images"] = random.integers(0, 256, shape, np.uint8)
            made[f"{split}_labels"] = np.arange(2 * classes, dtype=np.uint8)[:, None] % classes
        suffix = "" if size == 28 else f"_{size}"
        path = tmp_path / "files" / f"{name}{suffix}.npz"
        np.savez_compressed(path, **made)
        monkeypatch.setitem(
            info,
            f"url{suffix}",
            f"http://127.0.0.1:{server.server_port}/{path.name}?download=1",
        )
        monkeypatch.setitem(info, f"MD5{suffix}", hashlib.md5(path.read_bytes()).hexdigest())
        return path, made

    catalog.entry.cache_clear()
    yield offer
    catalog.entry.cache_clear()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(("name", "size"), CASES)
def test_a_data_set_comes_from_the_server_as_the_file_has_it(zenodo, name, size):
    path, made = zenodo(name, size)
    data = lk.load_dataset(name, size=size, strict=True)
    info = medmnist.INFO[name]
    assert data.origin == f"{info['python_class']} {size} px, official" and not data.stand_in
    assert data.train.images.shape[1:] == (info["n_channels"], size, size)
    images = made["test_images"]
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    assert np.array_equal(data.test.images, images)
    assert np.array_equal(data.val.labels, made["val_labels"][:, 0])
    assert len(data.classes) == len(set(data.classes)) == len(info["label"])
    assert max(map(len, data.classes)) <= 30
    path.unlink()  # from now on the cache has it
    assert lk.load_dataset(name, size=size, strict=True).origin == data.origin


def test_a_file_with_another_hash_is_refused(zenodo):
    path, _ = zenodo("breastmnist", 28)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UnavailableError, match="breastmnist"):
        lk.load_dataset("breastmnist", strict=True)


def test_a_file_that_is_not_there_is_replaced_and_that_is_said(zenodo):
    path, _ = zenodo("breastmnist", 28)
    path.unlink()
    with pytest.warns(StandInWarning, match="Not the real data: .*'breastmnist', because"):
        data = lk.load_dataset("breastmnist")
    assert data.stand_in and "STAND-IN DATA" in repr(data)


@pytest.mark.parametrize("name", medmnist_sets.NAMES)
def test_a_stand_in_has_the_classes_and_shapes_of_what_it_replaces(name, monkeypatch):
    monkeypatch.setattr("labkit.data.stand_ins.MOST_DRAWN", 60)
    info = medmnist.INFO[name]
    with pytest.warns(StandInWarning):
        data = lk.load_dataset(name)
    assert data.stand_in and data.origin.startswith(f"STAND-IN for {info['python_class']} 28 px")
    assert len(data.classes) == len(info["label"])
    for split in data.splits.values():
        assert split.images.shape[1:] == (info["n_channels"], 28, 28)
        assert (split.counts() > 0).all()
    assert lk.data.find_leaks(data).empty


def test_every_set_of_medmnist_is_offered_or_refused_with_a_reason():
    assert {*ALL, *medmnist_sets.REFUSED} == set(medmnist.INFO)
    assert set(ALL) <= set(catalog.NAMES)
    for name in medmnist_sets.REFUSED:
        with pytest.raises(ValueError, match=f"'{name}' cannot be used: its images"):
            lk.load_dataset(name)


def test_hashes_addresses_and_sizes_are_those_of_medmnist():
    for name in ALL:
        info, item = medmnist.INFO[name], catalog.entry(name)
        for size, suffix in ((28, ""), (64, "_64"), (128, "_128"), (224, "_224")):
            (file,) = item.files(size)
            assert file.known_hash == f"md5:{info[f'MD5{suffix}']}"
            assert file.urls == (info[f"url{suffix}"],)
            assert f"/{file.path}?" in info[f"url{suffix}"]
        with pytest.raises(ValueError, match="choose one of 28, 64, 128, 224"):
            item.check_size(32)


def test_ordered_classes_are_named_as_grades_and_the_card_says_what_that_means():
    item = catalog.entry("retinamnist")
    assert any("ordered" in note and "quadratic" in note for note in item.card.notes)
    names = medmnist_sets.class_names(medmnist.INFO["retinamnist"])
    assert names == tuple(f"grade {number}" for number in range(5))


def test_the_table_of_choices_counts_as_medmnist_does():
    table = lk.data.medmnist_choices()
    assert list(table.index) == sorted(
        ALL, key=lambda n: sum(medmnist.INFO[n]["n_samples"].values())
    )
    assert table.loc["retinamnist", "task"] == "ordered classes"
    assert table.loc["pathmnist", ["classes", "images"]].tolist() == [9, 107_180]


def test_shortened_names_stand_in_full_on_the_card():
    notes = " ".join(catalog.entry("dermamnist").card.notes)
    assert "actinic keratosis = actinic keratoses and intraepithelial carcinoma" in notes
    full = {label for info in medmnist.INFO.values() for label in info["label"].values()}
    assert set(medmnist_sets.SHORT) <= full
