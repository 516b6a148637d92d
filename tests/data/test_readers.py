import gzip
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest

from labkit.data import readers
from labkit.data.readers import read_mnist, read_npz
from labkit.files import DiskError


def arrays(size=8, count=6, channels=(3,), seed=0):
    random = np.random.default_rng(seed)
    result = {}
    for split in ("train", "val", "test"):
        result[f"{split}_images"] = random.integers(
            0, 256, (count, size, size, *channels), np.uint8
        )
        result[f"{split}_labels"] = np.arange(count)[:, None] % 3
    return result


@pytest.mark.parametrize("channels", [(), (3,)])
@pytest.mark.parametrize("size", [8, 128])
def test_images_and_labels_are_those_of_the_file_also_when_mapped(tmp_path, channels, size):
    made = arrays(size, channels=channels)
    np.savez_compressed(tmp_path / "a.npz", **made)
    for name, split in read_npz(tmp_path / "a.npz").items():
        expected = made[f"{name}_images"].reshape(6, size, size, -1).transpose(0, 3, 1, 2)
        assert np.array_equal(split.images.numpy(), expected)
        assert split.labels.tolist() == made[f"{name}_labels"][:, 0].tolist()
        assert split.classes == ("class 0", "class 1", "class 2")
    assert (len(list(tmp_path.iterdir())) == 2) is (size == 128)


@pytest.mark.parametrize("seconds", [100, -100])  # `mv` and `cp -p` bring an older time
def test_another_file_replaces_the_unpacked_images_and_no_other_folder(tmp_path, seconds):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mine.jpg").touch()
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(128))
    read_npz(path)
    made = arrays(128, seed=1)
    np.savez(path, **made)
    time = path.stat().st_mtime + seconds
    os.utime(path, (time, time))
    images = read_npz(path)["train"].images
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), made["train_images"])
    assert (tmp_path / "a" / "mine.jpg").exists() and len(list(tmp_path.glob("*.unpacked"))) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"val_labels": None}, "lacks val_labels; it has train_images"),
        ({"train_images": np.zeros((6, 8), np.uint8)}, r"train_images of uint8 \(6, 8\)"),
        ({"train_images": np.zeros((6, 8, 8, 4), np.uint8)}, "labkit needs uint8"),
        ({"train_images": np.zeros((6, 8, 8))}, "train_images of float64"),
        ({"test_labels": np.zeros(6)}, "labels of float64"),
        ({"test_labels": np.zeros((6, 2), int)}, r"labels of int64 \(6, 2\)"),
        ({"test_labels": np.zeros(5, int)}, "split 'test': There are 6 images, but labels"),
        ({"test_labels": np.full(6, 9)}, "split 'test': Labels go from 9 to 9, but there are 3"),
        ({"val_images": np.zeros((0, 8, 8), np.uint8), "val_labels": np.zeros(0, int)}, "is empty"),
    ],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, change, message):
    made = {key: part for key, part in (arrays() | change).items() if part is not None}
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "a.npz", ("a", "b", "c"))


def spoilt(content):
    middle = len(content) // 8
    return content[:middle] + bytes(200) + content[middle + 200 :]


@pytest.mark.parametrize("damage", [lambda b: b[:-100], lambda b: b"", lambda b: b"text", spoilt])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, **arrays(32))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.npz is not a whole \.npz file"):
        read_npz(path)


@pytest.mark.parametrize("damage", ["cut off", "missing"])
def test_unpacked_images_that_are_damaged_are_unpacked_again(tmp_path, damage):
    path, made = tmp_path / "a.npz", arrays(128)
    np.savez(path, **made)
    read_npz(path)
    (member,) = tmp_path.glob("a.npz.*.unpacked/train_images.npy")
    if damage == "missing":
        member.unlink()
    else:
        os.truncate(member, 5000)
    images = read_npz(path)["train"].images
    assert np.array_equal(images.permute(0, 2, 3, 1).numpy(), made["train_images"])


READ = """
import sys, time
from pathlib import Path
from labkit.data.readers import read_npz

Path(sys.argv[2]).touch()
while not Path(sys.argv[3]).exists():
    time.sleep(0.001)
assert int(read_npz(Path(sys.argv[1]))["train"].images.sum()) == int(sys.argv[4])
"""


def test_processes_that_find_one_damaged_unpacked_folder_all_read_the_images(tmp_path):
    path, made, go = tmp_path / "a.npz", arrays(128), tmp_path / "go"
    np.savez(path, **made)
    read_npz(path)
    for member in tmp_path.glob("a.npz.*.unpacked/*"):
        os.truncate(member, 100)
    ready = [tmp_path / str(number) for number in range(5)]
    end = [go, str(int(made["train_images"].sum()))]
    processes = [subprocess.Popen([sys.executable, "-c", READ, path, one, *end]) for one in ready]
    while not all(one.exists() for one in ready):
        assert {process.poll() for process in processes} == {None}
        time.sleep(0.01)
    go.touch()
    assert [process.wait(60) for process in processes] == [0] * 5
    assert not list(tmp_path.glob(".*"))


def test_a_lost_race_for_the_unpacked_folder_is_run_again(tmp_path, monkeypatch):
    path, made, load, lost = tmp_path / "a.npz", arrays(128), np.load, []
    np.savez(path, **made)

    def quicker(member, **options):
        """Another process puts the folder away in the last moment, once."""
        if "mmap_mode" in options and not lost:
            lost.append(member)
            shutil.rmtree(member.parent)
        return load(member, **options)

    monkeypatch.setattr(np, "load", quicker)
    images = read_npz(path)["train"].images
    assert lost and np.array_equal(images.permute(0, 2, 3, 1).numpy(), made["train_images"])


def test_large_images_in_a_cache_that_cannot_be_written_are_read_into_memory(tmp_path, monkeypatch):
    def refuse(archive, folder):
        raise DiskError(folder.parent, "Read-only file system")

    np.savez(tmp_path / "a.npz", **arrays(128))
    monkeypatch.setattr(readers, "unzip", refuse)
    with pytest.warns(UserWarning, match="read into memory.*Read-only file system"):
        assert len(read_npz(tmp_path / "a.npz")["train"]) == 6


@pytest.mark.parametrize("damage", [lambda b: b[:-1], lambda b: b[:3], lambda b: b"<html>"])
def test_a_gzip_file_that_is_no_file_of_digits_is_named(tmp_path, damage):
    path = tmp_path / "train-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(damage(b"\0\0\x08\1\0\0\0\5" + bytes(5))))
    with pytest.raises(ValueError, match=r"train-labels.* is not a file of MNIST"):
        read_mnist([path])


def test_a_member_that_is_cut_off_in_a_whole_zip_is_named(tmp_path):
    np.savez(tmp_path / "whole.npz", **arrays())
    whole = zipfile.ZipFile(tmp_path / "whole.npz")
    members = {name[:-4]: whole.read(name) for name in whole.namelist()}
    members["train_images"] = members["train_images"][:-7]
    with pytest.raises(ValueError, match=r"a\.npz "):
        read_npz(written(tmp_path / "a.npz", members))


def test_a_page_before_the_zip_is_never_taken_for_a_pickle(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays())
    path.write_bytes(b"<html>" + path.read_bytes())
    with pytest.raises(ValueError, match=r"a\.npz is not a whole") as caught:
        read_npz(path)
    assert "pickle" not in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b.replace(b"'shape': (", b"'shape': ((((", 1),  # tokenize.TokenError
        lambda b: b.replace(b"PK\1\2-\3-\0\0", b"PK\1\2-\3-\0\1"),  # said to be encrypted
        lambda b: b.replace(b"PK\1\2-\3-\0\0\0\0", b"PK\1\2-\3-\0\0\0\x63"),  # unknown method
    ],
)
def test_what_zip_and_header_readers_raise_is_one_sentence(tmp_path, damage):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(32))
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert path.read_bytes() != whole
    with pytest.raises(ValueError, match=r"a\.npz (is not a whole|has no readable)") as caught:
        read_npz(path)
    assert "\n" not in str(caught.value)


def written(path, members):
    with zipfile.ZipFile(path, "w") as file:
        for key, content in members.items():
            file.writestr(f"{key}.npy", content)
    return path


def npy(array, version=None, shape=None):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    content = buffer.getvalue()
    if shape:  # the header keeps its length: spaces are taken from its end
        old, new = str(array.shape).encode(), shape.encode()
        longer = len(new) - len(old)
        content = content.replace(old, new, 1).replace(b" " * (longer + 1), b" ", 1)
    return content


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_numpys_format_is_read(tmp_path, version):
    members = {key: npy(array, version) for key, array in arrays().items()}
    assert len(read_npz(written(tmp_path / "a.npz", members))["train"]) == 6


@pytest.mark.parametrize("largest", [2**62, 2**31, 1000])
def test_labels_that_would_make_endless_classes_are_refused(tmp_path, largest):
    made = arrays()
    made["val_labels"] = made["val_labels"].astype(np.int64) * 0 + largest
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(ValueError, match=f"labels up to {largest}.*from 0"):
        read_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("key", ["train_images", "test_labels"])
@pytest.mark.parametrize("shape", ["(99999999999, 8, 8, 3)", "(7, 8, 8, 3)"])
def test_a_member_that_declares_more_than_it_holds_is_refused(tmp_path, key, shape):
    members = {name: npy(array) for name, array in arrays().items()}
    members[key] = npy(arrays()[key].astype(np.uint8), shape=shape)
    with pytest.raises(ValueError, match=rf"declares {key} .*cannot hold"):
        read_npz(written(tmp_path / "a.npz", members))


@pytest.mark.parametrize("other", [{"size": 9}, {"channels": ()}])
def test_splits_of_different_sizes_are_refused(tmp_path, other):
    made = arrays() | {"val_images": arrays(**other)["val_images"]}
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(ValueError, match="different sizes"):
        read_npz(tmp_path / "a.npz")


def test_an_object_array_is_never_unpickled(tmp_path):
    made = arrays() | {"train_labels": np.array([{}] * 6, object)}
    np.savez(tmp_path / "a.npz", **made)
    with pytest.raises(ValueError, match="declares train_labels as object"):
        read_npz(tmp_path / "a.npz")


def test_labels_from_1_are_refused_unless_the_classes_are_named(tmp_path):
    labels, images = np.arange(6) % 2 + 1, np.zeros((6, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with pytest.raises(ValueError, match="no image of class 0: number the classes from 0"):
        read_npz(tmp_path / "a.npz")
    assert read_npz(tmp_path / "a.npz", tuple("abc"))[""].labels.tolist() == labels.tolist()


def test_a_class_without_an_image_is_told(tmp_path):
    labels, images = np.arange(6) % 2 * 3, np.zeros((6, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    with pytest.warns(UserWarning, match="no image of class 1, 2: was it left out"):
        assert len(read_npz(tmp_path / "a.npz")[""].classes) == 4
