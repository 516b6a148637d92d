"""Drawn blood cells with exact masks: the stand-in for BloodMNIST and the PBC photographs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.data.classes import BLOOD_CLASSES, WHITE_CELL_CLASSES
from labkit.data.drawn.paint import paint_chunks
from labkit.data.drawn.photographs import SIDE, PlantedDefects, save_photographs

VERSION = 1  # part of the cache's file name: raise it whenever a drawing changes
COUNTS = {  # BloodMNIST's own
    "train": (852, 2181, 1085, 2026, 849, 993, 2330, 1643),
    "val": (122, 312, 155, 290, 122, 143, 333, 235),
    "test": (244, 624, 311, 579, 243, 284, 666, 470),
}
SMALLEST, LARGEST = 28, 363  # pixels a side
PHOTO_FIELD = 1.8  # BloodMNIST is cut from the middle 200 of 360 pixels


@dataclass(frozen=True)
class DrawnCells:
    """Drawn cells and the masks they were drawn from."""

    images: np.ndarray  # uint8 (N, 3, size, size), or (N, 1, size, size) for grey cells
    labels: np.ndarray  # int64 (N,), indices into BLOOD_CLASSES or WHITE_CELL_CLASSES
    nucleus: np.ndarray  # bool (N, size, size), inside `cell`; empty for platelets
    cell: np.ndarray  # bool (N, size, size)


def draw_cells(labels: Sequence[int] | np.ndarray, size: int = 28, seed: int = 0) -> DrawnCells:
    """Draw one coloured cell a label; cell i depends on the seed, i and its label alone.

    Args:
        labels: class indices (N,), 0 to 7 in the order of ``BLOOD_CLASSES``.
        size: pixels a side, 28 to 363; the same cells are drawn at every size.
        seed: which cells; the same seed gives the same bytes.

    Returns:
        The images, uint8 (N, 3, size, size), with their labels and masks.

    Raises:
        ValueError: when a label or the size is out of range.

    Example:
        >>> draw_cells([0, 7], size=28).images.shape
        (2, 3, 28, 28)
    """
    labels = _checked(labels, size, BLOOD_CLASSES)
    return _gather(labels, paint_chunks(labels, size, seed), (len(labels), 3, size, size))


def draw_grey_cells(
    labels: Sequence[int] | np.ndarray, size: int = 32, seed: int = 0
) -> DrawnCells:
    """Draw grey, faint cells without red cells around them, as in brightfield.

    They are the coloured cells' shapes and densities, summed over the colours and weakened. B and
    T cells are two lymphocytes: B cells somewhat larger, with more cytoplasm and granules.

    As ``draw_cells``, with labels 0 to 4 in the order of ``WHITE_CELL_CLASSES`` and images uint8
    (N, 1, size, size).

    Example:
        >>> draw_grey_cells([0, 1, 2]).images.shape
        (3, 1, 32, 32)
    """
    labels = _checked(labels, size, WHITE_CELL_CLASSES)
    kinds = np.array([8, 9, 1, 5, 6])[labels]
    chunks = paint_chunks(kinds, size, seed, grey=True)
    return _gather(labels, chunks, (len(labels), 1, size, size))


def draw_splits(
    size: int = 28, seed: int = 0, counts: Mapping[str, Sequence[int]] = COUNTS
) -> dict[str, DrawnCells]:
    """Draw shuffled splits that share no cell.

    Args:
        size: pixels a side, 28 to 363.
        seed: which cells, and their order.
        counts: cells of each of the 8 classes, for each split.

    Example:
        >>> draw_splits(counts={"train": [2] * 8})["train"].images.shape
        (16, 3, 28, 28)
    """
    splits = {}
    for number, (name, per_class) in enumerate(counts.items()):
        own_seed, order = np.random.SeedSequence([seed, number]).generate_state(2)
        labels = np.repeat(np.arange(len(per_class)), per_class)
        labels = np.random.default_rng(order).permutation(labels)
        splits[name] = draw_cells(labels, size, int(own_seed))
    return splits


def write_photo_folder(path: str | Path, per_class: int = 150, seed: int = 0) -> PlantedDefects:
    """Draw a folder of JPEG photographs like PBC's, with the kinds of defects that PBC has.

    The folder appears whole or not at all, also when the run is killed. As in PBC, a photograph
    shows more around the cell than a BloodMNIST image, which is cut from its middle.

    Args:
        path: the folder to make, ``path/<class>/<prefix>_<number>.jpg``; it must not exist.
        per_class: photographs a class, at least 2; the duplicate and the broken file are extra.
        seed: which cells.

    Returns:
        What was planted, with file names relative to ``path``.

    Raises:
        FileExistsError: when ``path`` exists.
        ValueError: when ``per_class`` is below 2.

    Example:
        >>> write_photo_folder("data/stand-in/pbc").broken  # doctest: +SKIP
        'neutrophil/.DS_169665.jpg'
    """
    kinds = np.repeat(np.arange(len(BLOOD_CLASSES)), max(per_class, 0))
    drawn = (images for _, images, *_ in paint_chunks(kinds, SIDE, seed, field=PHOTO_FIELD))
    return save_photographs(Path(path), drawn, per_class, seed)


def _checked(labels: Sequence[int] | np.ndarray, size: int, classes: tuple[str, ...]) -> np.ndarray:
    if not SMALLEST <= size <= LARGEST:
        raise ValueError(f"size is {size}; cells are drawn at {SMALLEST} to {LARGEST} pixels.")
    labels = np.asarray(labels, dtype=np.int64).reshape(-1)
    wrong = labels[(labels < 0) | (labels >= len(classes))]
    if len(wrong):
        names = ", ".join(f"{i} {name}" for i, name in enumerate(classes))
        raise ValueError(f"There is no class {wrong[0]}. The classes are {names}.")
    return labels


def _gather(labels: np.ndarray, chunks: Iterator, shape: tuple[int, ...]) -> DrawnCells:
    count, _, size, _ = shape
    images = np.empty(shape, np.uint8)
    nucleus, cell = (np.empty((count, size, size), bool) for _ in range(2))
    for rows, *drawn in chunks:
        images[rows], nucleus[rows], cell[rows] = drawn
    return DrawnCells(images, labels, nucleus, cell)
