"""Data of one's own: split without leaks, named classes, nothing in silence."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image

import labkit as lk
from labkit.data.own import find_leaks, split_data


def distinct(count, classes=2, size=4):
    images = torch.arange(count * 3 * size * size).view(count, 3, size, size) % 251
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.arange(count) % 256, torch.arange(count) // 256
    return lk.ImageSplit(
        images.byte(), torch.arange(count) % classes, [f"c{i}" for i in range(classes)]
    )


def parts_of(data, whole):
    """For each image of the whole, the part that it is in."""
    found = {}
    for name, split in data.splits.items():
        for image in split.images:
            found.setdefault(image.numpy().tobytes(), set()).add(name)
    return [found[image.numpy().tobytes()] for image in whole.images]


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 99), patients=st.integers(8, 30))
def test_groups_and_identical_images_are_never_divided(seed, patients):
    random = np.random.default_rng(seed)
    whole = distinct(90)
    copies = whole.images.clone()
    copies[80:] = copies[random.integers(0, 40, 10)]  # ten copies, also of other patients
    whole = lk.ImageSplit(copies, whole.labels, whole.classes)
    groups = random.permutation(np.arange(90) % patients)
    try:
        data = split_data(whole, groups=[f"p{g}" for g in groups], seed=seed)
    except ValueError:  # a class that fell into too few groups
        assume(False)
    where = parts_of(data, whole)
    assert all(len(parts) == 1 for parts in where) and find_leaks(data).empty
    for group in range(patients):
        assert len(set.union(*(where[row] for row in np.flatnonzero(groups == group)))) == 1
    assert sum(map(len, data.splits.values())) == 90


def test_a_split_is_stratified_repeatable_and_says_how_it_was_made():
    whole = distinct(200, classes=4)
    data, again, other = (split_data(whole, seed=seed) for seed in (1, 1, 2))
    assert [len(s) for s in data.splits.values()] == [140, 30, 30]
    assert data.train.counts().tolist() == [35] * 4
    assert torch.equal(data.test.images, again.test.images)
    assert not torch.equal(data.test.images, other.test.images)
    assert "seed 1" in data.notes[0] and "not stated" in repr(data)


def test_every_image_in_two_parts_is_found_and_copies_within_one_are_not():
    data = split_data(distinct(200))
    data.test.images[3] = data.train.images[5]
    data.test.images[4] = data.val.images[2]
    data.train.images[9] = data.train.images[8]
    table = find_leaks(data)
    assert table[["part", "row", "also in", "its row"]].values.tolist() == [
        ["test", 3, "train", 5],
        ["test", 4, "val", 2],
    ]
    assert table["same label"].tolist() == [
        bool(data.test.labels[3] == data.train.labels[5]),
        bool(data.test.labels[4] == data.val.labels[2]),
    ]


@pytest.mark.parametrize("patients", [3, 4, 5, 20])
@pytest.mark.parametrize("by_class", [True, False])
def test_patients_with_images_of_every_class_are_divided(patients, by_class):
    whole, groups = distinct(300, classes=3), np.arange(300) // 3 % patients
    order = np.argsort(whole.labels.numpy(), kind="stable") if by_class else np.arange(300)
    data = split_data(whole.subset(order), groups=groups[order])
    counts = np.array([split.counts() for split in data.splits.values()])
    assert (counts > 0).all() and counts.sum() == 300
    assert np.ptp(counts / counts.sum(0), axis=1).max() < 0.05  # the classes are alike
    assert patients == 3 or len(data.train) > len(data.val) == len(data.test)
    assert patients < 20 or [len(split) for split in data.splits.values()] == [210, 45, 45]


def test_patients_of_unequal_size_are_divided_by_images():
    groups = np.random.default_rng(0).geometric(0.07, 240)
    data = split_data(distinct(240, classes=3), groups=groups)
    assert abs(len(data.train) - 168) < 8 and abs(len(data.val) - 36) < 8


def test_patients_of_one_class_each_and_of_unequal_size_are_divided_by_images():
    sizes = np.tile([60, *[2] * 9], 3)
    labels, groups = np.repeat(np.arange(30) // 10, sizes), np.repeat(np.arange(30), sizes)
    whole = distinct(len(labels), classes=3)
    whole = lk.ImageSplit(whole.images, torch.from_numpy(labels), whole.classes)
    for seed in range(5):
        counts = np.array(
            [s.counts() for s in split_data(whole, groups, seed=seed).splits.values()]
        )
        assert (counts[0] >= 60).all() and (counts[1:] >= 4).all()


def test_two_patients_cannot_be_in_three_parts():
    with pytest.raises(ValueError, match="class 0 has 2, if what stays together counts once"):
        split_data(distinct(60), groups=np.arange(60) // 30)


def test_a_whole_data_set_has_its_split_already():
    with pytest.raises(TypeError, match="images is of type ImageData; give an ImageSplit"):
        split_data(split_data(distinct(60)))


def test_groups_of_another_length_are_refused():
    with pytest.raises(ValueError, match="20 images but 3 groups"):
        split_data(distinct(20), groups=[1, 2, 3])


@pytest.fixture
def photographs(tmp_path):
    random = np.random.default_rng(0)
    for name in ("healthy", "ill"):
        (tmp_path / "own" / name).mkdir(parents=True)
        for number in range(20):
            pixels = random.integers(0, 256, (12, 12, 3), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "own" / name / f"{number:02}.png")
    copy = tmp_path / "own" / "ill" / "00.png"
    (tmp_path / "own" / "healthy" / "copy.png").write_bytes(copy.read_bytes())
    (tmp_path / "own" / "ill" / "broken.png").write_bytes(b"not an image")
    return tmp_path / "own"


def test_a_folder_is_a_data_set_split_without_leaks(photographs):
    data = lk.load_dataset(photographs, size=8)
    assert sum(map(len, data.splits.values())) == 41 and find_leaks(data).empty
    assert (data.title, data.origin, data.classes) == (
        "own",
        "photographs of own",
        ("healthy", "ill"),
    )
    assert data.train.images.shape[1:] == (3, 8, 8) and data.licence == "not stated"
    notes = " ".join(data.notes)
    assert "1 files: left out" in notes and "1 files: kept; keep both in one split" in notes


def test_classes_can_be_named(photographs, tmp_path):
    assert lk.load_dataset(str(photographs), classes=["well", "sick"]).classes == ("well", "sick")
    with pytest.raises(ValueError, match="classes has 1 names for the folders healthy, ill"):
        lk.load_dataset(photographs, classes=["well"])
    with pytest.raises(ValueError, match="give classes with a file or folder only"):
        lk.load_dataset("synthetic", classes=["well"])


def save(path, whole=True, **more):
    random = np.random.default_rng(1)
    images, labels = random.integers(0, 256, (60, 9, 9), np.uint8), np.arange(60) % 3
    if whole:
        np.savez(path, images=images, labels=labels, **more)
    else:
        rows = {"train": slice(0, 30), "val": slice(30, 45), "test": slice(44, 60)}
        made = {f"{s}_images": images[r] for s, r in rows.items()}
        np.savez(path, **made, **{f"{s}_labels": labels[r] for s, r in rows.items()})
    return path


def test_a_file_without_splits_is_split(tmp_path):
    data = lk.load_dataset(save(tmp_path / "scans.npz"), classes=("a", "b", "c"))
    assert [len(s) for s in data.splits.values()] == [42, 9, 9]
    assert data.title == "scans" and data.origin == data.test.origin == "file scans.npz"
    assert data.classes == ("a", "b", "c") and find_leaks(data).empty
    assert data.train.images.shape[1:] == (1, 9, 9)
    with pytest.raises(ValueError, match=r"scans\.npz has images of 9 pixels, not 64"):
        lk.load_dataset(tmp_path / "scans.npz", size=64)
    with pytest.raises(ValueError, match="2 classes"):
        lk.load_dataset(tmp_path / "scans.npz", classes=("a", "b"))


def test_a_file_whose_splits_share_an_image_says_so_on_its_card(tmp_path):
    data = lk.load_dataset(save(tmp_path / "leaky.npz", whole=False), classes=("a", "b", "c"))
    assert any("LEAK: 1 images are in two parts" in note for note in data.notes)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([None, "p"] * 10, "10 of 20 groups are not known"),
        ([float("nan"), *range(19)], "1 of 20 groups are not known"),
        (["", " ", *"abcdefghijklmnopqr"], r"2 of 20 groups are not known \(empty, None or NaN"),
        (np.zeros((20, 2)), r"groups has the shape \(20, 2\)"),
        ("p" * 20, r"groups has the shape \(\)"),
    ],
    ids=["None", "NaN", "empty", "table", "text"],
)
def test_groups_that_are_none_are_named(groups, message):
    with pytest.raises(ValueError, match=message):
        split_data(distinct(20), groups=groups)


@pytest.mark.parametrize("classes", ["abc", {"a", "b", "c"}, {0: "a"}, ["a", "b", "a"], [0, 1, 2]])
def test_names_without_an_order_or_twice_are_refused(tmp_path, classes):
    with pytest.raises(ValueError, match="give a list of different names, in order"):
        lk.load_dataset(save(tmp_path / "scans.npz"), classes=classes)


def test_names_may_be_an_array_and_a_suffix_in_capitals(tmp_path):
    path = save(tmp_path / "scans.npz").rename(tmp_path / "SCANS.NPZ")
    assert lk.load_dataset(path, classes=np.array(["a", "b", "c"])).classes == ("a", "b", "c")


def test_images_that_are_not_square_have_no_size(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 20), np.uint8)
    np.savez(tmp_path / "wide.npz", images=images, labels=np.arange(60) % 3)
    assert lk.load_dataset(tmp_path / "wide.npz").train.images.shape[1:] == (1, 8, 20)
    with pytest.raises(ValueError, match="images of 8 x 20 pixels, not 20"):
        lk.load_dataset(tmp_path / "wide.npz", size=20)
