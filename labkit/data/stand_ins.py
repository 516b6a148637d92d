"""What the labs run on when the real data cannot be had: drawn cells and real but tiny digits."""

from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import zoom

from labkit import settings
from labkit.data.catalog import Entry, entry
from labkit.data.image_data import ImageSplit
from labkit.data.splits import split_indices
from labkit.files import atomic

SEED = 0
LARGE = 64  # above this size a tenth of the cells is drawn: all of them would take minutes


def stand_in(item: Entry, size: int) -> tuple[dict[str, ImageSplit], str]:
    """Make the stand-in of a data set, with its classes and image shape.

    Args:
        item: the data set to stand in for.
        size: pixels a side.

    Returns:
        The three splits, and a sentence that says what they are.

    Example:
        >>> splits, what = stand_in(entry("mnist"), 28)
        >>> len(splits["train"]) + len(splits["val"]) + len(splits["test"])
        1797
    """
    if item.name == "mnist":
        return _digits(size), "scikit-learn's 1,797 real 8x8 digits, enlarged"
    if item.name == "bloodcells":
        return _grey_cells(item, size), "grey cells drawn by labkit"
    share = "" if size <= LARGE else "a tenth of the cells, "
    return _drawn_cells(size), f"cells drawn by labkit ({share}seed {SEED})"


def photo_folder() -> Path:
    """The folder of drawn photographs that stands in for PBC; drawn at the first call."""
    from labkit.data import synthetic

    folder = settings.data_dir() / "stand-in" / "pbc"
    if not folder.exists():
        synthetic.write_photo_folder(folder, seed=SEED)
    return folder


def _drawn_cells(size: int) -> dict[str, ImageSplit]:
    """Draw all splits, or read them back: drawing takes seconds, reading a fraction of one."""
    from labkit.data import synthetic

    path = settings.data_dir() / "stand-in" / f"cells_{size}_v{synthetic.VERSION}.npz"
    if not path.exists():
        counts = synthetic.COUNTS
        if size > LARGE:
            counts = {name: tuple(n // 10 for n in counts[name]) for name in counts}
        arrays = {}
        for name, cells in synthetic.draw_splits(size, SEED, counts).items():
            for part in ("images", "labels", "nucleus", "cell"):
                arrays[f"{name}_{part}"] = getattr(cells, part)
        with atomic(path) as temporary, open(temporary, "wb") as stream:
            np.savez(stream, **arrays)
    with np.load(path, allow_pickle=False) as file:
        return {
            name: ImageSplit(
                torch.from_numpy(file[f"{name}_images"]),
                torch.from_numpy(file[f"{name}_labels"]),
                entry("synthetic").classes,
                masks={part: file[f"{name}_{part}"] for part in ("nucleus", "cell")},
            )
            for name in ("train", "val", "test")
        }


def _grey_cells(item: Entry, size: int) -> dict[str, ImageSplit]:
    from labkit.data import synthetic

    splits = {}
    for number, (name, per_class) in enumerate({"train": 400, "val": 60, "test": 120}.items()):
        random = np.random.default_rng([SEED, number])
        labels = random.permutation(np.repeat(np.arange(len(item.classes)), per_class))
        cells = synthetic.draw_grey_cells(labels, size=size, seed=SEED + number)
        splits[name] = ImageSplit(
            torch.from_numpy(cells.images),
            torch.from_numpy(cells.labels),
            item.classes,
            masks={"nucleus": cells.nucleus, "cell": cells.cell},
        )
    return splits


def _digits(size: int) -> dict[str, ImageSplit]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    scale = size / 8
    enlarged = zoom(digits.images / 16, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    images = torch.from_numpy((enlarged * 255).round().astype(np.uint8))[:, None]
    whole = ImageSplit(images, torch.from_numpy(digits.target), tuple("0123456789"))
    parts = split_indices(digits.target, seed=SEED)
    return {
        name: whole.subset(rows) for name, rows in zip(("train", "val", "test"), parts, strict=True)
    }
