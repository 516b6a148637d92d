"""Data of one's own: split without leaks, and looked at for those that are there already."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from labkit.data.image_data import ImageData
from labkit.data.image_split import ImageSplit
from labkit.data.splits import deal_groups, duplicate_groups, known_groups, split_indices


def split_data(
    images: ImageSplit,
    groups: Sequence[int | str] | None = None,
    fractions: tuple[float, float, float] = (0.7, 0.15, 0.15),
    seed: int = 0,
    title: str = "Own data",
) -> ImageData:
    """Divide images into training, validation and test: stratified, and without leaks.

    Identical images always stay in one part, and so do images of one group.

    Args:
        images: all of them, as `lk.load_folder` gives them.
        groups: (N,) what must stay together, such as the patient of each image; None if nothing
            but identical images must.
        fractions: the shares of training, validation and test; they add up to 1.
        seed: another seed draws another split.
        title: the name on the card.

    Returns:
        The data with their card, on which licence and citation are yours to fill.

    Raises:
        ValueError: for a class with fewer than three separate groups, or groups of another length.

    Example:
        >>> cells = lk.load_dataset("synthetic").val
        >>> data = split_data(cells, groups=[row // 2 for row in range(len(cells))])
        >>> find_leaks(data).empty
        True
    """
    if not isinstance(images, ImageSplit):
        kind = type(images).__name__
        raise TypeError(f"images is of type {kind}; give an ImageSplit, as lk.load_folder does.")
    together, labels, divide = duplicate_groups(images.images), images.labels.numpy(), split_indices
    if groups is not None:
        if len(groups) != len(images):
            raise ValueError(f"There are {len(images)} images but {len(groups)} groups.")
        numbers = pd.factorize(known_groups(groups))[0]
        mixed = len(set(zip(numbers.tolist(), labels.tolist(), strict=True))) > numbers.max() + 1
        if mixed or np.ptp(np.bincount(numbers)):  # else a group is as good as an image
            split_indices(labels, together, fractions, seed)  # a class of copies is refused
            divide = deal_groups
        together = _joined(together, numbers)
    rows = divide(labels, together, fractions, seed)
    parts = (replace(images.subset(part), answers=set()) for part in rows)
    what = "identical images" if groups is None else "identical images and those of one group"
    note = f"Split by labkit (seed {seed}): stratified; {what} are in one part."
    return ImageData(title, *parts, images.origin, notes=(note,))


def find_leaks(data: ImageData) -> pd.DataFrame:
    """The images of one part whose pixels are also in another one: none, if all is well.

    Args:
        data: all three parts are compared.

    Returns:
        A row for each such image: its ``part`` and ``row``, the part before it that it is ``also
        in``, ``its row`` there, and whether they have the ``same label``.

    Raises:
        TypeError: for anything but an ImageData.

    Example:
        >>> find_leaks(lk.load_dataset("synthetic")).empty
        True
    """
    if not isinstance(data, ImageData):
        kind = type(data).__name__
        raise TypeError(f"data is of type {kind}; give an ImageData, with its three parts.")
    splits = data.splits
    whole = [(name, row) for name, split in splits.items() for row in range(len(split))]
    labels = np.concatenate([split.labels for split in splits.values()])
    groups = duplicate_groups([image for split in splits.values() for image in split.images])
    first, pairs = {}, []
    for place, group in enumerate(groups):
        other = first.setdefault(group, place)
        if whole[other][0] != whole[place][0]:
            pairs.append((*whole[place], *whole[other], labels[other] == labels[place]))
    return pd.DataFrame(pairs, columns=["part", "row", "also in", "its row", "same label"])


def _joined(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Groups (N,) that keep together whatever either of two groupings keeps together."""
    count = len(first)
    ends = np.concatenate([count + first, count + first.max() + 1 + second])
    edges = (np.ones(2 * count), (np.tile(np.arange(count), 2), ends))
    size = int(ends.max()) + 1
    return connected_components(coo_array(edges, shape=(size, size)), directed=False)[1][:count]
