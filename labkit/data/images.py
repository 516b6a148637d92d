"""Load a data set by name: the real one where it can be had, else a stand-in that says so."""

import warnings
from pathlib import Path

from labkit.data.catalog import BLOOD_LIMITS, Entry, check_size, entry
from labkit.data.download import Fetched, UnavailableError, fetch
from labkit.data.folder import load_folder
from labkit.data.image_data import ImageData, ImageSplit
from labkit.data.loaders import Augment, BatchLoader
from labkit.data.readers import (
    read_bloodcells,
    read_mnist,
    read_npz,
    read_pbc,
    unpack_photos,
)
from labkit.data.stand_ins import photo_folder, stand_in

__all__ = [
    "Augment",
    "BatchLoader",
    "ImageData",
    "ImageSplit",
    "dataset_folder",
    "load_dataset",
    "load_folder",
]


class StandInWarning(UserWarning):
    """The data you see are not the real ones."""


def load_dataset(name: str | Path, size: int | None = None, strict: bool = False) -> ImageData:
    """Load a data set: from the cache, else the mirror, else the network, else a stand-in.

    Args:
        name: ``"bloodmnist"``, ``"mnist"``, ``"pbc"`` (photographs), ``"bloodcells"`` (grey
            32x32), ``"synthetic"`` (drawn), or the path of a MedMNIST-style ``.npz`` file.
        size: pixels a side; None for the data set's own (28 for BloodMNIST).
        strict: raise instead of using a stand-in.

    Returns:
        The data with training, validation and test split.

    Raises:
        ValueError: for an unknown name or size, or a file that is not as it should be.
        UnavailableError: with ``strict=True``, when the real data cannot be had.

    Example:
        >>> cells = load_dataset("synthetic", size=28)
        >>> len(cells.train), len(cells.classes)
        (11959, 8)
    """
    if str(name).endswith(".npz"):
        return _load_file(Path(name))
    item = entry(str(name))
    size = check_size(item, size)
    if item.name == "synthetic":
        splits, what = stand_in(item, size)
        return _describe(item, splits, f"Drawn cells {size} px: {what}")
    try:
        splits, fetched = _read(item, size)
    except UnavailableError as error:
        if strict:
            raise
        return _describe_stand_in(item, size, str(error))
    what, _, more = (fetched.note or "official").partition("; ")
    return _describe(item, splits, f"{item.title} {size} px, {what}", notes=(more,) if more else ())


def dataset_folder(name: str = "pbc", strict: bool = False) -> Path:
    """The folder with the original photographs of a data set, one sub-folder a class.

    Args:
        name: ``"pbc"``, the only data set that comes as a folder.
        strict: raise instead of drawing stand-in photographs.

    Returns:
        The folder; its name is ``pbc`` under ``stand-in`` where the cells are drawn.

    Raises:
        ValueError: for another name.
        UnavailableError: with ``strict=True``, when the photographs cannot be had.

    Example:
        >>> images, problems = load_folder(dataset_folder("pbc"))  # doctest: +SKIP
    """
    if name != "pbc":
        raise ValueError(f"{name!r} does not come as a folder of photographs; only 'pbc' does.")
    try:
        return unpack_photos(fetch(entry("pbc").files[360][0]))
    except UnavailableError as error:
        if strict:
            raise
        _warn_stand_in("pbc", "drawn photographs", str(error))
        return photo_folder()


def _load_file(path: Path) -> ImageData:
    if not path.exists():
        raise ValueError(f"There is no file {path}. Give the path of a MedMNIST-style .npz file.")
    splits = read_npz(path)
    origin = f"file {path.name}"
    for split in splits.values():
        split.origin = origin
    return ImageData(path.stem, *splits.values(), origin=origin)


def _read(item: Entry, size: int) -> tuple[dict[str, ImageSplit], Fetched]:
    if item.name == "mnist":
        return read_mnist(item)
    if item.name == "bloodcells":
        return read_bloodcells(item)
    if item.name == "pbc":
        fetched = fetch(item.files[360][0])
        return read_pbc(unpack_photos(fetched), size), fetched
    fetched = fetch(item.files[size][0])
    return read_npz(fetched.path, item.classes), fetched


def _describe_stand_in(item: Entry, size: int, why: str) -> ImageData:
    if item.name == "pbc":
        splits, what = read_pbc(photo_folder(), size), "photographs drawn by labkit"
    else:
        splits, what = stand_in(item, size)
    _warn_stand_in(item.name, what, why)
    origin = f"STAND-IN for {item.title} {size} px: {what}"
    return _describe(item, splits, origin, is_stand_in=True)


def _warn_stand_in(name: str, what: str, why: str) -> None:
    message = f"Not the real data: {what} stand in for {name!r}, because {why}"
    warnings.warn(message, StandInWarning, stacklevel=4)


def _describe(
    item: Entry,
    splits: dict[str, ImageSplit],
    origin: str,
    notes: tuple[str, ...] = (),
    is_stand_in: bool = False,
) -> ImageData:
    for split in splits.values():
        split.origin = origin
    drawn = is_stand_in and item.limits == BLOOD_LIMITS
    return ImageData(
        item.title,
        splits["train"],
        splits["val"],
        splits["test"],
        origin=origin,
        full_names=item.full_names,
        licence="MIT (made by labkit)" if drawn else item.licence,
        citation="labkit.data.synthetic" if drawn else item.citation,
        notes=(*notes, entry("synthetic").limits if drawn else item.limits),
        stand_in=is_stand_in,
    )
