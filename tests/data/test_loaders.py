import re
from collections import Counter

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader
from torchvision.transforms import v2

import labkit as lk
from labkit.data import transforms
from labkit.data.image_split import ImageSplit
from labkit.data.loaders import BatchLoader
from labkit.data.transforms import Augment, normalizer


def numbered(count=23) -> ImageSplit:
    """Every image holds its own number, so that it can be followed."""
    images = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 3, 4, 4)
    return ImageSplit(images.contiguous(), torch.arange(count) % 5, tuple("abcde"))


def contents(loader):
    images, labels = (torch.cat(parts) for parts in zip(*loader, strict=True))
    return (images[:, 0, 0, 0] * 255).round().int().tolist(), labels.tolist()


@given(st.integers(1, 40), st.integers(1, 50), st.booleans())
def test_every_image_comes_once_an_epoch_with_its_label(count, batch_size, shuffle):
    loader = BatchLoader(numbered(count), batch_size, shuffle, normalize="none")
    numbers, labels = contents(loader)
    assert sorted(numbers) == list(range(count))
    assert labels == [number % 5 for number in numbers]
    sizes = [len(labels) for _, labels in loader]
    assert len(sizes) == len(loader) and set(sizes[:-1]) <= {batch_size}
    assert shuffle or numbers == list(range(count))


def test_the_global_seed_fixes_the_order_and_each_epoch_has_its_own():
    loader = BatchLoader(numbered(), 4, shuffle=True, normalize="none")
    lk.seed_everything(1)
    first, second = contents(loader)[0], contents(loader)[0]
    lk.seed_everything(1)
    assert contents(loader)[0] == first != second


def test_a_loader_without_shuffling_draws_nothing():
    state = torch.get_rng_state()
    list(BatchLoader(numbered(), 4))
    assert torch.equal(torch.get_rng_state(), state)


def test_only_the_given_rows_are_used():
    loader = BatchLoader(numbered(), 2, normalize="none", indices=torch.tensor([5, 2, 9]))
    assert contents(loader)[0] == [5, 2, 9] and len(loader) == 2


def test_a_batch_size_below_one_is_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        BatchLoader(numbered(), 0)


@pytest.mark.parametrize(
    ("normalize", "expected"),
    [
        ("none", lambda x: x),
        ("half", lambda x: (x - 0.5) / 0.5),
        ("imagenet", v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])),
        ((0.3, 0.2), v2.Normalize([0.3] * 3, [0.2] * 3)),
        (([0.1, 0.2, 0.3], [0.4, 0.5, 0.6]), v2.Normalize([0.1, 0.2, 0.3], [0.4, 0.5, 0.6])),
    ],
)
def test_normalisation_is_that_of_the_formula_or_torchvision(make_split, normalize, expected):
    split = make_split(6)
    (images, _), *_ = BatchLoader(split, 6, normalize=normalize)
    torch.testing.assert_close(images, expected(split.images.float() / 255))


def test_per_image_gives_each_image_zero_mean_and_unit_variance(make_split):
    (images, _), *_ = BatchLoader(make_split(6), 6, normalize="per_image")
    torch.testing.assert_close(images.mean((1, 2, 3)), torch.zeros(6), atol=1e-5, rtol=0)
    torch.testing.assert_close(images.var((1, 2, 3)), torch.ones(6))


def test_per_image_of_an_even_image_is_zero_not_nan():
    assert (normalizer("per_image")(torch.full((1, 3, 4, 4), 0.7)).abs() < 1).all()


@pytest.mark.parametrize("wrong", ["max", None, 0.5, (0.5,)])
def test_another_normalisation_is_refused(wrong):
    with pytest.raises(ValueError, match='choose "half", "none", "per_image"'):
        normalizer(wrong)


def test_a_standard_deviation_of_zero_is_refused():
    with pytest.raises(ValueError, match="it must be > 0"):
        normalizer((0.5, 0.0))


EVERYTHING = {"flip": True, "turn": True, "rotate": 180, "shift": 3, "brightness": 0.5}


@given(st.integers(0, 10**6))
def test_augmented_images_stay_between_zero_and_one(seed):
    torch.manual_seed(seed)
    images = torch.randint(0, 2, (8, 3, 9, 9)).float()
    result = Augment(**EVERYTHING)(images)
    assert result.shape == images.shape
    assert 0 <= result.min() and result.max() <= 1


@pytest.mark.parametrize("change", [{"flip": True}, {"turn": True}, {"flip": True, "turn": True}])
def test_flips_and_turns_keep_the_pixels_and_give_every_position(change):
    torch.manual_seed(0)
    image = torch.rand(1, 3, 5, 5)
    results = Augment(**change)(image.expand(400, -1, -1, -1))
    assert torch.equal(
        results.flatten(2).sort(2)[0], image.flatten(2).sort(2)[0].expand(400, -1, -1)
    )
    seen = Counter(np.asarray(result).tobytes() for result in results)
    expected = {4} if len(change) == 1 else {8}
    assert {len(seen)} == expected
    possible = [torch.rot90(x, k, (2, 3)) for x in (image, image.flip(3)) for k in range(4)]
    assert set(seen) <= {np.ascontiguousarray(x[0]).tobytes() for x in possible}
    assert len(change) == 2 or min(seen.values()) > 60


def test_no_change_is_the_identity():
    images = torch.rand(4, 3, 6, 9)
    assert torch.equal(Augment()(images), images)


def test_rotating_by_a_quarter_is_rot90(monkeypatch):
    monkeypatch.setattr(transforms, "_uniform", lambda images, n: torch.ones(len(images), n))
    images = torch.rand(2, 3, 7, 7)
    result = Augment(rotate=90)(images)
    turned = [torch.rot90(images, k, (2, 3)) for k in (1, 3)]
    assert any(torch.allclose(result, turn, atol=1e-4) for turn in turned)


def test_rotation_does_not_shear_images_that_are_not_square(monkeypatch):
    monkeypatch.setattr(transforms, "_uniform", lambda images, n: torch.ones(len(images), n))
    images = v2.functional.gaussian_blur(torch.rand(1, 1, 24, 40), 7)
    result = Augment(rotate=30)(images)
    options = {"interpolation": v2.InterpolationMode.BILINEAR}
    turned = [v2.functional.rotate(images, angle, **options) for angle in (30, -30)]
    gaps = [(result - turn)[..., 8:16, 14:26].abs().max().item() for turn in turned]
    assert min(gaps) < 1e-3 < max(gaps)


def test_a_shift_moves_by_whole_pixels_and_repeats_the_edge():
    torch.manual_seed(0)
    image = torch.rand(1, 3, 6, 8)
    padded = F.pad(image, (2, 2, 2, 2), mode="replicate")
    possible = {
        np.asarray(padded[0, :, down : down + 6, across : across + 8]).tobytes()
        for down in range(5)
        for across in range(5)
    }
    seen = {np.asarray(x).tobytes() for x in Augment(shift=2)(image.expand(400, -1, -1, -1))}
    assert len(possible) == 25
    assert seen == possible


@pytest.mark.parametrize("change", [{"rotate": 20}, {"shift": 14}, {"brightness": 0.3}])
def test_each_image_gets_a_draw_of_its_own(change):
    torch.manual_seed(0)
    images = torch.rand(1, 3, 32, 32).expand(10, -1, -1, -1) * 0.5
    results = Augment(**change)(images)
    assert len({np.asarray(result).tobytes() for result in results}) == 10


def test_turning_needs_square_images():
    with pytest.raises(ValueError, match=r"turn needs square images, not \(4, 6\): crop them"):
        Augment(turn=True)(torch.rand(1, 3, 4, 6))


def test_augmentation_comes_before_normalisation_and_keeps_order_and_labels():
    seen = []

    def augment(images):
        seen.append((images.min().item(), images.max().item()))
        return Augment(flip=True, turn=True)(images)

    loader = BatchLoader(numbered(), 6, normalize="half", augment=augment)
    images = torch.cat([images for images, _ in loader])
    assert ((images[:, 0, 0, 0] / 2 + 0.5) * 255).round().int().tolist() == list(range(23))
    assert len(seen) == 4 and all(0 <= low <= high <= 1 for low, high in seen)


def test_loading_leaves_the_split_as_it_is():
    split = numbered()
    before = split.images.clone()
    list(BatchLoader(split, 5, augment=Augment(**EVERYTHING)))
    assert torch.equal(split.images, before)


def test_a_split_works_with_a_plain_dataloader(make_split):
    split = make_split(10)
    batches = list(DataLoader(split, batch_size=4))
    ours = list(BatchLoader(split, batch_size=4, normalize="none"))
    for (images, labels), (same, also) in zip(batches, ours, strict=True):
        assert torch.equal(images, same) and torch.equal(labels, also)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int64)


@pytest.mark.parametrize("batch_size", [2.5, "8", None, float("inf")])
def test_a_batch_size_that_is_no_whole_number_is_refused(batch_size):
    with pytest.raises(ValueError, match=r"batch_size is .*; it must be a whole number from 1"):
        BatchLoader(numbered(4), batch_size)


def test_a_batch_size_may_be_one_of_numpys():
    assert [len(y) for _, y in BatchLoader(numbered(5), np.int64(2))] == [2, 2, 1]


def test_no_rows_are_no_loader():
    with pytest.raises(ValueError, match="indices choose no image"):
        BatchLoader(numbered(4), indices=[])


@pytest.mark.parametrize("augment", [Augment, "flip", 3])
def test_what_cannot_augment_is_named(augment):
    with pytest.raises(ValueError, match=r"augment is .*; give a function, such as Augment"):
        BatchLoader(numbered(4), augment=augment)


@pytest.mark.parametrize("normalize", [(float("nan"), 1), (0, float("nan")), (0, float("inf"))])
def test_a_normalisation_that_is_not_finite_is_refused(normalize):
    with pytest.raises(ValueError, match="mean and standard deviation must be finite"):
        normalizer(normalize)


@pytest.mark.parametrize(
    "change",
    [
        *({"shift": value} for value in (-1, 2.5, "2", None, (2, 2))),
        *({"brightness": value} for value in (5, -0.2, float("nan"), "x")),
        *({"rotate": value} for value in (float("nan"), float("inf"), "30", (0, 30))),
        *({"flip": 0.5}, {"turn": "no"}),
    ],
    ids=str,
)
def test_an_augmentation_out_of_range_is_named(change):
    ((name, value),) = change.items()
    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}; it must be ")):
        Augment(**change)


@pytest.mark.parametrize(
    ("augment", "found"),
    [
        (lambda images: None, "a NoneType of 4 images"),
        (lambda images: images[:2], r"float32 \(2, 3, 2, 2\) of 4 images"),
        (lambda images: images[0], r"float32 \(3, 2, 2\)"),
        (lambda images: (images * 255).byte(), r"uint8 \(4, 3, 2, 2\)"),
    ],
    ids=["nothing", "some", "one", "bytes"],
)
def test_an_augmentation_that_gives_something_else_is_named(augment, found):
    split = ImageSplit(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), torch.arange(4), "abcd")
    with pytest.raises(ValueError, match=f"augment made {found}.*it must give as many"):
        next(iter(BatchLoader(split, augment=augment)))


@pytest.mark.parametrize("normalize", [([0.1, 0.2], 1), (0, [1, 1]), ([0] * 4, [1] * 4)])
def test_a_normalisation_of_other_channels_is_named(normalize):
    with pytest.raises(ValueError, match=r"values for [24] channels, and the images have 3"):
        normalizer(normalize)(torch.rand(2, 3, 4, 4))
