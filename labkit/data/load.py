"""Load a data set by its name, or one's own: never in silence something else than was asked."""

import os
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile

from labkit import settings
from labkit.data import archives, readers, stand_ins
from labkit.data.catalog import NAMES, entry
from labkit.data.download import RemoteFile, UnavailableError, fetch
from labkit.data.entries import Card, Splits
from labkit.data.folder import load_folder
from labkit.data.image_data import ImageData
from labkit.data.kept import BY_HAND, Fetched, discard, set_aside
from labkit.data.origin import Origin, save_origin
from labkit.data.own import find_leaks, split_data
from labkit.files import DiskError

T = TypeVar("T")
# what readers raise for a whole archive that holds something else, or damaged members
_NOT_THE_DATA = (ValueError, OSError, LookupError, EOFError, BadZipFile, zlib.error)


class StandInWarning(UserWarning):
    """The data you see are not the real ones."""


def load_dataset(
    name: str | Path,
    size: int | None = None,
    strict: bool = False,
    classes: Sequence[str] | None = None,
) -> ImageData:
    """Load a data set: from the cache, else the mirror, else the network, else a stand-in.

    Args:
        name: ``"bloodmnist"`` or another two-dimensional data set of MedMNIST
            (`lk.data.medmnist_choices()` lists them), ``"mnist"``, ``"pbc"`` (photographs),
            ``"bloodcells"`` (grey 32x32), ``"synthetic"`` (drawn); the path of an ``.npz`` file; or
            that of a folder with one sub-folder a class. A folder, or a file with ``images`` and
            ``labels`` alone, is split 70/15/15, identical images kept together.
        size: pixels a side; None for the data set's own (28 for MedMNIST).
        strict: raise instead of using a stand-in.
        classes: names for the classes of an own file or folder, in the order of their numbers.

    Returns:
        The data with training, validation and test split.

    Raises:
        ValueError: for an unknown name or size, or a file that is not as it should be.
        UnavailableError: with ``strict=True``, when the real data cannot be had.
        DiskError: when the data folder cannot be written; names it.

    Example:
        >>> cells = load_dataset("synthetic", size=28)
        >>> len(cells.train), len(cells.classes)
        (11959, 8)
    """
    if classes is not None:
        classes = _names(classes)
    path = settings.expanded(str(name))
    if path.suffix.lower() == ".npz":
        return _load_file(path, size, classes)
    if (isinstance(name, Path) or name not in NAMES) and path.is_dir():
        return _load_own_folder(path, size, classes)
    if classes is not None:
        raise ValueError(f"{str(name)!r} has class names; give classes with a file or folder only.")
    item = entry(str(name))
    size = item.check_size(size)
    if item.read is None:
        splits, what = item.stand_in(size)
        return _describe(item.title, splits, Origin(f"{item.title} {size} px: {what}"), item.card)
    try:
        splits, fetched = _fetch_and_read(
            item.files(size), lambda paths: _of_size(item.read(paths, size), size)
        )
    except DiskError:  # what stands in could not be kept either
        raise
    except UnavailableError as error:
        if strict:
            raise
        splits, what = item.stand_in(size)
        _warn(name, what, error)
        origin = Origin(f"STAND-IN for {item.title} {size} px: {what}", stand_in=True)
        return _describe(item.title, splits, origin, item.stand_in_card)
    notes = [one.note for one in fetched if one.note]  # if one file has a note, it is said of all
    what, _, more = (notes[0] if notes else "official").partition("; ")
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
        DiskError: when the data folder cannot be written; names it.

    Example:
        >>> images, problems = lk.load_folder(dataset_folder("pbc"))  # doctest: +SKIP
    """
    if name != "pbc":
        raise ValueError(f"{name!r} does not come as a folder of photographs; only 'pbc' does.")
    item = entry(name)
    try:
        files = item.files(item.default_size)
        folder, (fetched,) = _fetch_and_read(
            files, lambda paths: archives.unpack_photographs(paths[0])
        )
    except DiskError:
        raise
    except UnavailableError as error:
        if strict:
            raise
        folder, what = stand_ins.photograph_folder(), "drawn photographs"
        _warn(name, what, error)
        origin = Origin(f"STAND-IN for the {item.title}: drawn cells", stand_in=True)
    else:
        origin = Origin(f"{item.title}, {fetched.note or 'official'}")
    save_origin(folder, origin)
    return folder


def _fetch_and_read(
    files: Sequence[RemoteFile], read: Callable[[list[Path]], T]
) -> tuple[T, list[Fetched]]:
    """Fetch files and read them; what lay in the cache and is not the data is fetched again.

    Without a published hash only reading shows what a file is. Where even a new one is not the
    data, it does not stay in the cache, so that the next call asks again.
    """
    for first in (True, False):
        places = [settings.data_dir() / file.path for file in files]
        cached = any(map(os.path.exists, places))  # False where one may not look
        unpacked = any(os.path.exists(archives.unpacked(place)) for place in places)
        fetched = [fetch(file) for file in files]
        try:
            return read([one.path for one in fetched]), fetched
        except (DiskError, PermissionError):  # no fault of the files
            raise
        except _NOT_THE_DATA as error:
            doubtful = [
                one
                for one, file in zip(fetched, files, strict=True)
                if not file.known_hash or one.source == "mirror"
            ]
            if not doubtful or isinstance(error.__cause__, MemoryError):
                raise
            _forget(doubtful, archive_too=not (unpacked and first))
            if not (cached and first):
                names = ", ".join(one.path.name for one in doubtful)
                why = " ".join(str(error).split()) or type(error).__name__
                raise UnavailableError(
                    f"{names} came, but it is not the data set ({why}). The next call asks again."
                ) from error
    raise AssertionError("the second round returns or raises")


def _of_size(splits: Splits, size: int) -> Splits:
    """The splits, if their images are of the size that was asked for."""
    side = next(iter(splits.values())).images.shape[-1]
    if side != size:
        raise ValueError(f"it holds images of {side} pixels, not {size}")
    return splits


def _forget(files: Sequence[Fetched], archive_too: bool) -> None:
    for one in files:
        with suppress(OSError):  # a cache that cannot be written
            archives.forget_unpacked(one.path)
            if archive_too and one.note == BY_HAND:  # somebody's own: nothing of theirs is deleted
                set_aside(one.path)
            elif archive_too:
                discard(one)


def _names(classes: Sequence[str]) -> tuple[str, ...]:
    ordered = not isinstance(classes, str | Mapping | Set)
    names = tuple(classes)
    if not (
        ordered and all(isinstance(name, str) for name in names) and len({*names}) == len(names)
    ):
        raise ValueError(f"classes is {classes!r}; give a list of different names, in order.")
    return names


def _load_file(path: Path, size: int | None, classes: tuple[str, ...] | None) -> ImageData:
    if not path.exists():
        raise ValueError(f"There is no file {path}. Give the path of a MedMNIST-style .npz file.")
    splits = readers.read_npz(path, classes)
    height, width = next(iter(splits.values())).images.shape[-2:]
    if size is not None and (height, width) != (size, size):
        pixels = width if height == width else f"{height} x {width}"
        raise ValueError(
            f"{path.name} has images of {pixels} pixels, not {size}: leave size out, or give the "
            "file of that size."
        )
    if "" in splits:
        return split_data(replace(splits[""], origin=f"file {path.name}"), title=path.stem)
    card = Card("not stated", "not stated", ())
    data = _describe(path.stem, splits, Origin(f"file {path.name}"), card)
    if count := len(find_leaks(data)):
        data.notes += (f"LEAK: {count:,} images are in two parts; see lk.data.find_leaks(data).",)
    return data


def _load_own_folder(path: Path, size: int | None, classes: tuple[str, ...] | None) -> ImageData:
    images, problems = load_folder(path, size)
    if classes is not None:
        if len(classes) != len(images.classes):
            found = ", ".join(images.classes)
            raise ValueError(f"classes has {len(classes)} names for the folders {found}.")
        images = replace(images, classes=classes)
    data = split_data(images, title=path.resolve().name)
    for action, rows in problems.groupby("action"):
        note = f"{len(rows)} files: {action}; the second thing lk.load_folder gives lists them."
        data.notes += (note,)
    return data


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
