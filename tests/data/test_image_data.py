import numpy as np
import pytest
import torch

import labkit as lk
from labkit.data import image_data
from labkit.data.image_data import ImageData
from labkit.data.image_split import ImageSplit
from labkit.data.loaders import BatchLoader
from labkit.data.origin import Origin

IMAGES = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (IMAGES[:0], [], "The split is empty"),
        (IMAGES[:, :, :0], [0, 1, 0], "The split is empty"),
        (IMAGES.float(), [0, 1, 0], r"they must be torch.uint8 \(N, C, H, W\)"),
        (IMAGES[:, 0], [0, 1, 0], r"they must be torch.uint8 \(N, C, H, W\)"),
        (IMAGES, [0, 1], "3 images, but labels of shape"),
        (IMAGES, [[0], [1], [0]], "3 images, but labels of shape"),
        (IMAGES, [0, 1, 2], r"from 0 to 2, but there are 2 classes \(a, b\)"),
        (IMAGES, [-1, 0, 1], "from -1 to 1"),
        (IMAGES, [0.5, 1.0, 0.0], "they must be whole numbers"),
        (torch.zeros(3, 9, 9, 3, dtype=torch.uint8), [0, 1, 0], r"images\.permute\(0, 3, 1, 2\)"),
    ],
)
def test_a_split_that_cannot_be_is_named(images, labels, message):
    with pytest.raises(ValueError, match=message):
        ImageSplit(images, torch.tensor(labels), ("a", "b"))


def test_names_in_place_of_numbers_and_a_set_of_names_are_refused():
    with pytest.raises(ValueError, match="the number of a class is its place in classes"):
        ImageSplit(IMAGES, ["a", "b", "a"], ("a", "b"))
    with pytest.raises(ValueError, match="a set, which has no order"):
        ImageSplit(IMAGES, torch.tensor([0, 1, 0]), {"a", "b"})


def test_splits_of_other_classes_or_sizes_make_no_data_set():
    labels = torch.tensor([0, 1, 2])
    one, other = ImageSplit(IMAGES, labels, "abc"), ImageSplit(IMAGES, labels, "acd")
    with pytest.raises(ValueError, match="test has the classes a, c, d, and train a, b, c"):
        ImageData("own", one, one, other, "own")
    wider = ImageSplit(IMAGES.repeat(1, 3, 1, 1), labels, "abc")
    with pytest.raises(ValueError, match=r"Images of val are \(3, 4, 4\), of train \(1, 4, 4\)"):
        ImageData("own", one, wider, one, "own")


def test_rows_of_every_whole_type_and_what_looks_like_a_mask():
    images = torch.zeros(300, 1, 2, 2, dtype=torch.uint8)
    split = ImageSplit(images, torch.arange(300) % 2, "ab", files=np.arange(300).astype(str))
    assert split.subset(np.array([255, 7], np.uint8)).files == ["255", "7"]
    for kind in (torch.uint8, torch.int64):
        with pytest.raises(ValueError, match="look like a mask: make it boolean"):
            split.subset((split.labels == 1).to(kind))
    for several in (slice(3), [1, 2], torch.tensor([0])):
        with pytest.raises(TypeError, match=r"split\.subset\(rows\)"):
            split[several]


def test_an_item_is_an_image_between_zero_and_one_and_a_plain_number(make_split):
    split = make_split(9)
    image, label = split[8]
    assert torch.equal(image, split.images[8] / 255) and image.max() <= 1
    assert (type(label), label) == (int, 0)
    assert len(split) == 9


def test_a_subset_has_the_rows_in_this_order_with_files_and_masks():
    images = torch.arange(3, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 4, 4)
    masks = {"cell": np.arange(3)[:, None, None] > np.zeros((3, 4, 4))}
    split = ImageSplit(images, torch.tensor([0, 1, 1]), ("a", "b"), "here", ["x", "y", "z"], masks)
    part = split.subset([2, 0])
    assert part.images[:, 0, 0, 0].tolist() == [2, 0]
    assert (part.labels.tolist(), part.files, part.origin) == ([1, 0], ["z", "x"], "here")
    assert part.masks["cell"].all((1, 2)).tolist() == [True, False]


def test_a_mask_chooses_rows_and_what_is_neither_is_named(make_split):
    split = make_split(16)
    part = split.subset(split.labels == 1)
    assert part.labels.tolist() == [1, 1]
    assert split.loader(indices=(split.labels == 1).numpy()).indices.tolist() == [1, 9]
    assert split.subset([-1]).labels.tolist() == [7] and len(split.loader(indices=[0, 3])) == 1
    assert BatchLoader(split, indices=split.labels == 1).indices.tolist() == [1, 9]
    for wrong, error, words in (
        ([True], ValueError, "16 images"),
        ([0.5], ValueError, "row numbers"),
        ([16], IndexError, "no row 16"),
    ):
        with pytest.raises(error, match=words):
            split.subset(wrong)


def test_a_split_is_shown_in_one_line(make_split):
    assert repr(make_split(16)) == "16 images 3x8x8 of 8 classes; random"


def test_counts_have_a_row_for_every_class_and_add_up(tiny):
    counts = tiny.counts()
    assert counts.loc["all classes"].tolist() == [40, 16, 16, 72]
    assert counts.index[:-1].tolist() == list(tiny.classes)
    for name, split in tiny.splits.items():
        for number, label in enumerate(tiny.classes):
            assert counts.loc[label, name] == (split.labels == number).sum()


def test_the_card_says_everything_and_escapes_it(tiny):
    data = ImageData(
        "<Cells>", *tiny.splits.values(), "made & up", "CC0", "Nobody (2020)", ("a defect",)
    )
    text, html = repr(data), data._repr_html_()
    for fact in ("8 classes", "Origin: made & up", "Licence: CC0", "Source: Nobody", "Note: a def"):
        assert fact in text
    for fact in ("&lt;Cells&gt;", "made &amp; up", "3 × 8 × 8", "basophil", "a defect"):
        assert fact in html
    assert "tand-in" not in html and "STAND-IN" not in text


def test_the_card_of_a_stand_in_says_so(tiny):
    data = ImageData("Cells", *tiny.splits.values(), origin=Origin("drawn", stand_in=True))
    assert "STAND-IN DATA: not the real images" in repr(data)
    assert "Stand-in data</b>: not the real images" in data._repr_html_()


def test_a_stand_in_stays_one_when_more_is_said_of_it():
    for stand_in in (True, False):
        more = Origin("drawn", stand_in) + ", cue planted"
        assert (more, more.stand_in) == ("drawn, cue planted", stand_in)


def test_only_training_is_shuffled_and_augmented(tiny, monkeypatch):
    monkeypatch.setenv("LABKIT_DEVICE", "cpu")
    loaders = tiny.loaders(batch_size=16, normalize="none", augment=torch.zeros_like)
    assert [loader.shuffle for loader in loaders] == [True, False, False]
    assert [loader.augment is None for loader in loaders] == [False, True, True]
    assert [len(loader) for loader in loaders] == [3, 1, 1]
    (images, labels), *_ = loaders[2]
    assert torch.equal(images, tiny.test.images / 255) and torch.equal(labels, tiny.test.labels)
    assert [loader.indices.tolist() for loader in loaders] == [list(range(n)) for n in (40, 16, 16)]


def test_fast_mode_uses_a_fixed_part_and_knows_which(tiny, monkeypatch):
    monkeypatch.setenv("LABKIT_FAST", "1")
    monkeypatch.setattr(image_data, "FAST_IMAGES", {"train": 10, "val": 16, "test": 5})
    state = torch.get_rng_state()
    first, again = tiny.loaders(normalize="none"), tiny.loaders()
    assert torch.equal(torch.get_rng_state(), state)
    assert [len(loader.indices) for loader in first] == [10, 16, 5]
    for one, other in zip(first, again, strict=True):
        assert torch.equal(one.indices, other.indices) and len(set(one.indices.tolist()))
    (images, labels), *_ = first[2]
    assert torch.equal(images.cpu(), tiny.test.images[first[2].indices] / 255)
    assert torch.equal(labels.cpu(), tiny.test.labels[first[2].indices])
    assert len(tiny.train) == 40 and tiny.counts().loc["all classes", "train"] == 40


def test_each_set_of_answers_counts_once_and_a_training_each_time(tiny):
    torch.manual_seed(0)
    networks = [torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 8)) for _ in range(2)]
    train, _, test = tiny.loaders(batch_size=8)
    assert tiny.test.times_judged == 0
    for network in (networks[0], networks[0], networks[1]):
        lk.evaluate(network, test)
    assert tiny.test.times_judged == 2
    lk.evaluate(networks[0], tiny.test.subset(range(8)).loader())
    assert tiny.test.times_judged == 3, "a part of the test split is the test split"
    lk.fit(networks[0], train, test, epochs=2, progress=False)
    assert (tiny.test.times_judged, tiny.val.times_judged) == (4, 0)
