"""Divide a data set into training, validation and test, with equal class shares and no leaks."""

import hashlib
from collections.abc import Sequence
from numbers import Integral

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold, train_test_split


def duplicate_groups(images: Sequence) -> np.ndarray:
    """Number the images so that identical ones share a number.

    Args:
        images: arrays or tensors, one per image, on the CPU.

    Returns:
        int64 (N,): the group of each image; as many groups as there are different images.

    Example:
        >>> duplicate_groups(np.array([[1, 2], [3, 4], [1, 2]]))
        array([0, 1, 0])
    """
    seen: dict[bytes, int] = {}
    digests = (hashlib.sha256(np.ascontiguousarray(image)).digest() for image in images)
    return np.array([seen.setdefault(digest, len(seen)) for digest in digests])


def split_indices(
    labels: Sequence[int],
    groups: Sequence[int] | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a stratified training, validation and test split; a group is never divided.

    Args:
        labels: (N,) the class of each image.
        groups: (N,) images with the same number stay together; None: each is on its own.
        fractions: the shares of training, validation and test; they add up to 1.
        seed: another seed draws another split.

    Returns:
        Three sorted int64 arrays of indices; together they are 0 … N − 1.

    Raises:
        ValueError: for fractions that do not add up to 1, a class too small to divide, or groups
            that are not known.

    Example:
        >>> train, val, test = split_indices([0] * 20 + [1] * 20)
        >>> len(train), len(val), len(test)
        (28, 6, 6)
    """
    _check_shares(fractions, seed)
    labels = np.asarray(labels)
    groups = np.arange(len(labels)) if groups is None else known_groups(groups)
    if len(groups) != len(labels):
        raise ValueError(f"There are {len(labels)} labels but {len(groups)} groups.")
    units, unit_labels = _units(labels, groups)
    share = fractions[2] / (fractions[1] + fractions[2])
    try:
        train, rest = train_test_split(
            units, train_size=fractions[0], stratify=unit_labels, random_state=seed
        )
        rest_labels = unit_labels[np.searchsorted(units, rest)]
        val, test = train_test_split(rest, test_size=share, stratify=rest_labels, random_state=seed)
    except ValueError as error:
        raise ValueError(f"A class has too few separate images for {fractions}: {error}") from None
    parts = tuple(np.flatnonzero(np.isin(groups, part)) for part in (train, val, test))
    if any(len(np.unique(labels[part])) < len(np.unique(labels)) for part in parts):
        return deal_groups(labels, groups, fractions, seed)  # a rare class was rounded away
    return parts


def known_groups(groups: Sequence[int | str]) -> np.ndarray:
    """Groups (N,) as an array.

    Raises:
        ValueError: for another shape, or where a group is None, NaN or an empty text: all of them
            would pass for one, or for none.
    """
    if np.ndim(groups) != 1:
        raise ValueError(f"groups has the shape {np.shape(groups)}; give one group an image, (N,).")
    # a table that is read without pandas has empty texts where nothing was known
    each = groups.tolist() if hasattr(groups, "tolist") else groups  # a number, not a tensor of one
    known = [not ((isinstance(g, str) and not g.strip()) or pd.isna(g)) for g in each]
    if unknown := len(known) - sum(known):
        raise ValueError(
            f"{unknown} of {len(groups)} groups are not known (empty, None or NaN): leave these "
            "images out, or give each a group of its own if nothing else shows the same."
        )
    return np.asarray(groups)


def _check_shares(fractions: tuple[float, float, float], seed: int) -> None:
    if np.shape(fractions) != (3,) or min(fractions) <= 0 or not abs(sum(fractions) - 1) <= 1e-9:
        raise ValueError(f"fractions are {fractions}; give three positive shares that add up to 1.")
    if not (isinstance(seed, Integral) and 0 <= seed < 2**32):
        raise ValueError(f"seed is {seed!r}; it must be a whole number from 0 to {2**32 - 1}.")


def _units(labels: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The groups, and the class of each: that of its first image."""
    units, first = np.unique(groups, return_index=True)
    unit_labels = labels[first]
    # of all classes: images that are copies of another one's make no unit of their own
    _check_separate({name: int((unit_labels == name).sum()) for name in np.unique(labels)})
    return units, unit_labels


def _check_separate(units_of: dict[int, int]) -> None:
    """Raise ValueError where a class, with its number of groups, cannot be in all three parts."""
    name = min(units_of, key=units_of.__getitem__, default=None)
    if name is None:
        raise ValueError("There are no labels, so that there is nothing to split.")
    if units_of[name] < 3:
        raise ValueError(
            f"A class has fewer than 3 separate images: class {name} has "
            f"{units_of[name]}, if what stays together counts once, and cannot be in every part. "
            "Add images of it, or leave it out."
        )


def deal_groups(
    labels: np.ndarray,
    groups: np.ndarray,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As ``split_indices``, for groups that hold several classes each, such as patients.

    The largest first, each group goes where the images that it has are lacking most. Groups count
    as equally large up to twice the size, so that another seed divides them in another way.

    Args:
        labels: (N,) the class of each image.
        groups: (N,) what stays together.
        fractions: the shares of training, validation and test.
        seed: another seed deals groups of about one size in another order.

    Returns:
        Three sorted int64 arrays of indices.

    Raises:
        ValueError: for a class that fewer than three groups have, or that a part would lack.

    Example:
        >>> labels, patients = np.tile([0, 1], 20), np.repeat(np.arange(20), 2)
        >>> [np.bincount(labels[rows]).tolist() for rows in deal_groups(labels, patients)]
        [[14, 14], [3, 3], [3, 3]]
    """
    _check_shares(fractions, seed)
    classes, label = np.unique(labels, return_inverse=True)
    units, unit = np.unique(groups, return_inverse=True)
    table = np.zeros((len(units), len(classes)))  # images by group and class
    np.add.at(table, (unit, label), 1)
    _check_separate(dict(zip(classes.tolist(), (table > 0).sum(0).tolist(), strict=True)))
    order = np.random.default_rng(seed).permutation(len(units))
    order = order[np.argsort(-np.floor(np.log2(table[order].sum(1))), kind="stable")]
    for lacking_first in (False, True):
        part_of, filled = _deal(table, np.outer(fractions, table.sum(0)), order, lacking_first)
        if filled.all():
            break
    else:
        part, name = np.argwhere(filled == 0)[0]
        raise ValueError(
            f"No way was found to give {('training', 'validation', 'test')[part]} an image of "
            f"class {classes[name]}: try another seed or other fractions, or add groups."
        )
    return tuple(np.flatnonzero(part_of[unit] == part) for part in range(3))


def _deal(
    table: np.ndarray, wanted: np.ndarray, order: np.ndarray, lacking_first: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The part of each group (G,), and the images of each part by class (3, C)."""
    part_of, filled = np.empty(len(table), int), np.zeros_like(wanted)
    for row in order:
        # how much nearer to its share of each class a part comes
        gain = table[row] * (2 * (wanted - filled) - table[row]) / wanted**2
        if lacking_first:
            gain = gain + np.where((filled == 0) & (table[row] > 0), 1e9, 0)
        part_of[row] = gain.sum(1).argmax()
        filled[part_of[row]] += table[row]
    return part_of, filled


def grouped_splits(
    labels: Sequence[int], groups: Sequence[int], folds: int = 5, repeats: int = 1, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Repeated, stratified cross-validation in which identical images stay together.

    In each repeat every image is tested once, by what was fitted on the other folds.

    Args:
        labels: (N,).
        groups: (N,), identical images share a number: ``duplicate_groups(images)``.
        folds: parts of each repeat.
        repeats: how often to shuffle and divide anew.
        seed: of the shuffling.

    Returns:
        ``folds * repeats`` pairs of row numbers: (training, test).

    Raises:
        ValueError: for fewer groups than folds, or groups that are not known.

    Example:
        >>> splits = grouped_splits([0, 1] * 10, range(20), folds=5, repeats=2)
        >>> len(splits), len(splits[0][0]), len(splits[0][1])
        (10, 16, 4)
    """
    labels, groups = np.asarray(labels), known_groups(groups)
    return [
        pair
        for repeat in range(repeats)
        for pair in StratifiedGroupKFold(folds, shuffle=True, random_state=seed + repeat).split(
            labels, labels, groups
        )
    ]
