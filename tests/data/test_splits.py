import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.data.splits import deal_groups, duplicate_groups, grouped_splits, split_indices

COUNTS = st.lists(st.integers(14, 60), min_size=1, max_size=5)


def shuffled_labels(counts, seed):
    return np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))


@given(COUNTS, st.integers(0, 99))
def test_parts_are_disjoint_and_complete(counts, seed):
    labels = shuffled_labels(counts, seed)
    parts = split_indices(labels, seed=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(labels)))
    assert all((np.diff(part) > 0).all() for part in parts)


@given(COUNTS, st.integers(0, 99))
def test_every_class_has_its_share_in_every_part_within_rounding(counts, seed):
    labels = shuffled_labels(counts, seed)
    parts = split_indices(labels, seed=seed)
    for part, fraction in zip(parts, (0.7, 0.15, 0.15), strict=True):
        shares = np.bincount(labels[part], minlength=len(counts))
        assert (np.abs(shares - fraction * np.array(counts)) < 2).all()


@given(st.lists(st.integers(1, 4), min_size=40, max_size=80), st.integers(0, 99))
def test_a_group_is_never_divided(sizes, seed):
    random = np.random.default_rng(seed)
    groups = random.permutation(np.repeat(np.arange(len(sizes)) * 7, sizes))
    parts = split_indices(groups // 7 % 2, groups, seed=seed)
    assert sorted(np.concatenate(parts)) == list(range(len(groups)))
    owners = [set(groups[part]) for part in parts]
    assert not (owners[0] & owners[1] or owners[0] & owners[2] or owners[1] & owners[2])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_small_classes_are_divided_or_refused_with_the_reason(counts):
    labels = np.repeat(np.arange(len(counts)), counts)
    try:
        parts = split_indices(labels)
    except ValueError as error:
        reasons = ("A class has fewer than 3", "A class has too few")
        if not str(error).startswith(reasons):
            raise
        return
    assert sum(map(len, parts)) == len(labels)


def test_the_seed_decides_the_split():
    labels = [0] * 50 + [1] * 50
    one, same, other = (split_indices(labels, seed=seed)[0].tolist() for seed in (1, 1, 2))
    assert one == same != other


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.8, 0.1, 0.2), (1.0, 0.5, -0.5)])
def test_bad_fractions_are_named(fractions):
    with pytest.raises(ValueError, match="three positive shares that add up to 1"):
        split_indices([0] * 20, fractions=fractions)


def test_too_small_a_class_and_unequal_lengths_are_named():
    with pytest.raises(ValueError, match=r"fewer than 3 separate images: class 1 has 2,"):
        split_indices([0] * 20 + [1] * 2)
    with pytest.raises(ValueError, match="fewer than 3 separate images"):
        split_indices([0] * 20 + [1] * 9, [*range(20), *[20] * 9])
    with pytest.raises(ValueError, match="3 labels but 2 groups"):
        split_indices([0, 0, 0], [1, 2])


def test_a_class_that_rounding_would_lose_is_in_every_part():
    for labels, fractions in (
        ([0] * 200 + [1] * 4, (0.9, 0.05, 0.05)),
        ([0] * 200 + [1] * 6, (0.7, 0.25, 0.05)),
    ):
        for seed in range(5):
            parts = split_indices(labels, fractions=fractions, seed=seed)
            assert all({*np.array(labels)[part]} == {0, 1} for part in parts)
            assert sorted(np.concatenate(parts)) == list(range(len(labels)))


@pytest.mark.parametrize("divide", [split_indices, grouped_splits])
@pytest.mark.parametrize("unknown", [None, float("nan"), " "])
def test_unknown_groups_are_refused(divide, unknown):
    for groups in (
        [unknown] * 6 + list("abcdefghijklmn"),
        torch.tensor([float("nan")] * 6 + [1.0] * 14),
    ):
        with pytest.raises(ValueError, match="6 of 20 groups are not known"):
            divide([0, 1] * 10, groups)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30))
def test_identical_images_and_only_they_share_a_group(values):
    images = torch.tensor(values)[:, None, None, None].expand(-1, 3, 2, 2)
    groups = duplicate_groups(images.contiguous())
    for i, value in enumerate(values):
        assert [g == groups[i] for g in groups] == [other == value for other in values]
    assert set(groups) == set(range(len(set(values))))


def test_a_class_whose_images_are_all_copies_of_anothers_is_refused():
    labels, groups = [0] * 20 + [1] * 6, [*range(20), *range(6)]
    with pytest.raises(ValueError, match="fewer than 3 separate images: class 1 has 0, if what"):
        split_indices(labels, groups)


@pytest.mark.parametrize(
    ("labels", "options", "message"),
    [
        ([], {}, "no labels"),
        ([0, 1] * 20, {"seed": -1}, "seed is -1; it must be a whole number"),
        ([0, 1] * 20, {"seed": 0.5}, r"seed is 0\.5"),
        ([0, 1] * 20, {"fractions": (float("nan"), 0.5, 0.5)}, "fractions are"),
    ],
)
def test_no_labels_and_seeds_and_shares_that_are_none_are_named(labels, options, message):
    with pytest.raises(ValueError, match=message):
        split_indices(labels, **options)


@given(st.integers(3, 40), st.integers(0, 99))
def test_groups_of_several_classes_are_dealt_whole(groups, seed):
    random = np.random.default_rng(seed)
    labels, owner = random.integers(0, 3, 200), random.integers(0, groups, 200)
    parts = deal_groups(labels, owner, seed=seed)
    assert sorted(np.concatenate(parts)) == list(range(200))
    assert sum(len({*owner[part]}) for part in parts) == len({*owner})
    assert all({*labels[part]} == {0, 1, 2} for part in parts)
