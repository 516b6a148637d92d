"""Load a data set by name: the real one where it can be had, else a stand-in that says so."""

import warnings
from pathlib import Path

from labkit.data import readers, stand_ins
from labkit.data.catalog import Card, Splits, entry
from labkit.data.download import UnavailableError, fetch
from labkit.data.image_data import ImageData
from labkit.data.origin import Origin, save_origin


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
        return _load_file(Path(name), size)
    item = entry(str(name))
    size = item.check_size(size)
    if item.read is None:
        splits, what = item.stand_in(size)
        return _describe(item.title, splits, Origin(f"{item.title} {size} px: {what}"), item.card)
    try:
        fetched = [fetch(file) for file in item.files(size)]
        splits = item.read([file.path for file in fetched], size)
    except UnavailableError as error:
        if strict:
            raise
        splits, what = item.stand_in(size)
        _warn(name, what, error)
        origin = Origin(f"STAND-IN for {item.title} {size} px: {what}", stand_in=True)
        return _describe(item.title, splits, origin, item.stand_in_card)
    what, _, more = (fetched[-1].note or "official").partition("; ")
    origin = Origin(f"{item.title} {size} px, {what}")
    return _describe(item.title, splits, origin, item.card, (more,) if more else ())


def dataset_folder(name: str = "pbc", strict: bool = False) -> Path:
    """The folder with the original photographs of a data set, one sub-folder a class.

    Args:
        name: ``"pbc"``, the only data set that comes as a folder.
        strict: raise instead of drawing stand-in photographs.

    Returns:
        The folder; a note beside it tells `load_folder` where the photographs are from.

    Raises:
        ValueError: for another name.
        UnavailableError: with ``strict=True``, when the photographs cannot be had.

    Example:
        >>> images, problems = lk.load_folder(dataset_folder("pbc"))  # doctest: +SKIP
    """
    if name != "pbc":
        raise ValueError(f"{name!r} does not come as a folder of photographs; only 'pbc' does.")
    item = entry(name)
    try:
        (fetched,) = [fetch(file) for file in item.files(item.default_size)]
    except UnavailableError as error:
        if strict:
            raise
        folder, what = stand_ins.photograph_folder(), "drawn photographs"
        _warn(name, what, error)
        origin = Origin(f"STAND-IN for the {item.title}: drawn cells", stand_in=True)
    else:
        folder = readers.unpack_photographs(fetched.path)
        origin = Origin(f"{item.title}, {fetched.note or 'official'}")
    save_origin(folder, origin)
    return folder


def _load_file(path: Path, size: int | None) -> ImageData:
    if not path.exists():
        raise ValueError(f"There is no file {path}. Give the path of a MedMNIST-style .npz file.")
    splits = readers.read_npz(path)
    side = splits["train"].images.shape[-1]
    if size not in (None, side):
        raise ValueError(f"{path.name} has images of {side} pixels, not {size}: leave size out.")
    card = Card("not stated", "not stated", ())
    return _describe(path.stem, splits, Origin(f"file {path.name}"), card)


def _warn(name: str | Path, what: str, why: Exception) -> None:
    message = f"Not the real data: {what} stand in for {str(name)!r}, because {why}"
    warnings.warn(message, StandInWarning, stacklevel=3)


def _describe(
    title: str, splits: Splits, origin: Origin, card: Card, notes: tuple[str, ...] = ()
) -> ImageData:
    for split in splits.values():
        split.origin = origin
    parts = (splits[name] for name in ("train", "val", "test"))
    return ImageData(title, *parts, origin, card.licence, card.citation, notes + card.notes)
