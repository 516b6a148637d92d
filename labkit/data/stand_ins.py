"""What the labs run on when the real data cannot be had: drawn cells and real but tiny digits."""

import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import zoom

from labkit import settings
from labkit.data.classes import BLOOD_CLASSES, WHITE_CELL_CLASSES
from labkit.data.drawn import cells as drawn
from labkit.data.image_split import ImageSplit
from labkit.data.splits import split_indices
from labkit.files import DiskError, atomic, is_whole_zip

SEED = 0
MOST_DRAWN = 6_000  # training images of a stand-in for MedMNIST; a tenth of it above LARGE pixels
LARGE = 64  # above this size a tenth of the cells is drawn: all of them would take minutes
PHOTOGRAPHS, FAST_PHOTOGRAPHS = 150, 64  # a class


def photograph_folder() -> Path:
    """The folder of drawn photographs that stands in for PBC; drawn at the first call."""
    name, per_class = ("pbc_fast", FAST_PHOTOGRAPHS) if settings.fast() else ("pbc", PHOTOGRAPHS)
    folder = settings.data_dir() / "stand-in" / name
    if folder.exists():
        return folder
    try:
        drawn.write_photo_folder(folder, per_class, seed=SEED)
    except DiskError as error:
        warnings.warn(f"The drawn photographs are not kept. {error}", stacklevel=2)
        folder = _passing_folder() / name
        if not folder.exists():
            drawn.write_photo_folder(folder, per_class, seed=SEED)
    return folder


@cache
def _passing_folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="labkit-"))


def drawn_cells(size: int) -> tuple[dict[str, ImageSplit], str]:
    """Draw all splits, or read them back: drawing takes seconds, reading a fraction of one."""
    path = settings.data_dir() / "stand-in" / f"cells_{size}_v{drawn.VERSION}.npz"
    counts = drawn.COUNTS
    if size > LARGE:
        counts = {name: tuple(n // 10 for n in counts[name]) for name in counts}
    arrays = _kept_cells(path, size, counts)
    if not arrays:
        arrays = _draw_cells(size, counts)
        try:
            with atomic(path) as temporary, open(temporary, "wb") as stream:
                np.savez(stream, **arrays)
        except DiskError as error:
            warnings.warn(f"The drawn cells are not kept. {error}", stacklevel=2)
    splits = {
        name: ImageSplit(
            torch.from_numpy(arrays[f"{name}_images"]),
            torch.from_numpy(arrays[f"{name}_labels"]),
            BLOOD_CLASSES,
            masks={part: arrays[f"{name}_{part}"] for part in ("nucleus", "cell")},
        )
        for name in ("train", "val", "test")
    }
    share = "" if size <= LARGE else "a tenth of the cells, "
    return splits, f"cells drawn by labkit ({share}seed {SEED})"


def _kept_cells(path: Path, size: int, counts: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """What was drawn before; nothing where it is not there, not whole, or something else."""
    if not path.exists() or not is_whole_zip(path):
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
    except ValueError:  # objects of Python
        return {}
    forms = {
        "images": ((3, size, size), np.uint8),
        "labels": ((), np.int64),
        "nucleus": ((size, size), np.bool_),
        "cell": ((size, size), np.bool_),
    }
    wanted = {
        f"{name}_{part}": ((sum(counts[name]), *shape), np.dtype(kind))
        for name in counts
        for part, (shape, kind) in forms.items()
    }
    made = {key: np.asarray(array) for key, array in arrays.items()}  # what is no .npy is bytes
    found = {key: (array.shape, array.dtype) for key, array in made.items()}
    return arrays if found == wanted else {}


def _draw_cells(size: int, counts: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    arrays = {}
    for name, cells in drawn.draw_splits(size, SEED, counts).items():
        for part in ("images", "labels", "nucleus", "cell"):
            arrays[f"{name}_{part}"] = getattr(cells, part)
    return arrays


def drawn_classes(
    name: str, classes: tuple[str, ...], channels: int, counts: dict[str, int], size: int
) -> tuple[dict[str, ImageSplit], str]:
    """Draw something for each class of any data set: cells, from the ninth class on as negatives.

    Args:
        name: of the data set; other names, other drawings.
        classes: their names; any number up to sixteen.
        channels: 3 for colour, 1 for grey.
        counts: images of each split; where there are many, all are reduced by one factor.
        size: pixels a side.

    Returns:
        The splits, with about equally many images a class, and what they are.
    """
    most = MOST_DRAWN if size <= LARGE else MOST_DRAWN // 10
    share = min(1.0, most / counts["train"])
    splits, kinds = {}, len(BLOOD_CLASSES)
    for number, (split, count) in enumerate(counts.items()):
        seed = [SEED, number, *name.encode()]
        drawn_count = max(3 * len(classes), round(share * count))
        labels = np.random.default_rng(seed).permutation(np.arange(drawn_count) % len(classes))
        cells = drawn.draw_cells(
            labels % kinds, size, int(np.random.SeedSequence(seed).generate_state(1)[0])
        )
        images = cells.images
        if channels == 1:
            images = images.mean(1, keepdims=True).astype(np.uint8)
        images = np.where((labels >= kinds)[:, None, None, None], 255 - images, images)
        splits[split] = ImageSplit(torch.from_numpy(images), torch.from_numpy(labels), classes)
    part = "" if share == 1 else f", {sum(map(len, splits.values())):,} images only"
    return splits, f"drawn blood cells in place of its {len(classes)} classes{part}"


def grey_cells(size: int) -> tuple[dict[str, ImageSplit], str]:
    """Draw grey cells of five classes: 400 a class for training, 60 and 120 for the rest."""
    splits = {}
    for number, (name, per_class) in enumerate({"train": 400, "val": 60, "test": 120}.items()):
        random = np.random.default_rng([SEED, number])
        labels = random.permutation(np.repeat(np.arange(len(WHITE_CELL_CLASSES)), per_class))
        cells = drawn.draw_grey_cells(labels, size=size, seed=SEED + number)
        splits[name] = ImageSplit(
            torch.from_numpy(cells.images),
            torch.from_numpy(cells.labels),
            WHITE_CELL_CLASSES,
            masks={"nucleus": cells.nucleus, "cell": cells.cell},
        )
    return splits, "grey cells drawn by labkit"


def digits(size: int) -> tuple[dict[str, ImageSplit], str]:
    """Enlarge scikit-learn's digits and split them 70/15/15."""
    from sklearn.datasets import load_digits

    small = load_digits()
    scale = size / 8
    enlarged = zoom(small.images / 16, (1, scale, scale), order=1, grid_mode=True, mode="nearest")
    images = torch.from_numpy((enlarged * 255).round().astype(np.uint8))[:, None]
    whole = ImageSplit(images, torch.from_numpy(small.target), tuple("0123456789"))
    parts = zip(("train", "val", "test"), split_indices(small.target, seed=SEED), strict=True)
    splits = {name: whole.subset(rows) for name, rows in parts}
    return splits, "scikit-learn's 1,797 real 8x8 digits, enlarged"
