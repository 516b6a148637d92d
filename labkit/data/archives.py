"""Archives of photographs, unpacked once into a folder beside them."""

import os
import warnings
import zipfile
from contextlib import suppress
from pathlib import Path

from labkit.files import DiskError, remove, unzip

PHOTOS_PER_CLASS = 150
IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp")


def holds_photographs(path: Path) -> bool:
    """Whether a zip file has images in it, or a zip file; a quick look at its list of names."""
    try:
        with zipfile.ZipFile(path) as bundle:
            return any(name.lower().endswith((*IMAGES, ".zip")) for name in bundle.namelist())
    except zipfile.BadZipFile:
        return False


def unpack_photographs(path: Path) -> Path:
    """Unpack the PBC archive once: 150 photographs a class, evenly spaced, and hidden files."""
    try:
        archive = _inner_archive(path)
    except DiskError:  # a shared cache without it, where nothing can be written
        if unpacked(path).is_dir():
            return _only_folder(unpacked(path))
        raise
    with zipfile.ZipFile(archive) as bundle:
        chosen = _select_photographs(bundle.namelist())
    if not any(name.lower().endswith(IMAGES) for name in chosen):
        raise ValueError(f"{path.name} holds no folders of photographs.")
    return _only_folder(unpack_once(archive, unpacked(path), chosen))


def _only_folder(folder: Path) -> Path:
    inner = [child for child in folder.iterdir() if child.is_dir()]
    return inner[0] if len(inner) == 1 else folder


def _inner_archive(path: Path) -> Path:
    """PBC's second source is a zip file that holds the zip file."""
    with zipfile.ZipFile(path) as bundle:
        inner = [name for name in bundle.namelist() if name.endswith(".zip")]
    if not inner:
        return path
    archive = unpack_once(path, path.with_suffix(".outer"), inner) / inner[0]
    if not zipfile.is_zipfile(archive):
        raise ValueError(f"{path.name} holds {inner[0]}, which is no whole zip file.")
    return archive


def unpack_once(archive: Path, folder: Path, members: list[str] | None = None) -> Path:
    """Unpack an archive, unless its images lie there already, by their names and sizes.

    A folder that holds others, or not all of them, is put aside with a warning.

    Args:
        archive: the zip file.
        folder: where its content goes.
        members: the names to unpack; None for all.

    Returns:
        The folder.

    Raises:
        ValueError: when the archive is not whole.
        DiskError: when the folder cannot be written.
    """
    with zipfile.ZipFile(archive) as bundle:
        wanted = [bundle.getinfo(name) for name in members or bundle.namelist()]
    if folder.is_dir():
        sizes = {folder / one.filename: one.file_size for one in wanted}
        there = {file: file.stat().st_size for file in folder.rglob("*") if file.is_file()}
        if _of_images(there) == _of_images(sizes):
            return folder
        try:
            aside = _put_aside(folder)
        except OSError as error:
            why = f"{error.strerror}, and {folder.name} in it is not what {archive.name} holds"
            raise DiskError(folder.parent, why) from error
        said = f"{folder} was not what {archive.name} holds; it was put aside as {aside.name}"
        warnings.warn(said, stacklevel=4)
    return unzip(archive, folder, members)


def _of_images(sizes: dict[Path, int]) -> dict[Path, int]:
    """Those of images and archives; systems add and remove hidden files of their own."""
    kinds = (*IMAGES, ".zip")
    return {
        file: size
        for file, size in sizes.items()
        if file.suffix.lower() in kinds and not file.name.startswith(".")
    }


def unpacked(path: Path) -> Path:
    """The folder that an archive of photographs is unpacked to."""
    return path.with_suffix("")


def forget_unpacked(path: Path) -> None:
    """Put away what was unpacked from an archive, so that it is unpacked again."""
    remove(path.with_suffix(".outer"))
    if unpacked(path).is_dir():
        _put_aside(unpacked(path))


def _put_aside(folder: Path) -> Path:
    aside = folder.with_name(f"{folder.name}.damaged")
    remove(aside)
    with suppress(FileNotFoundError):  # another process was quicker
        os.replace(folder, aside)
    return aside


def _select_photographs(names: list[str]) -> list[str]:
    by_class: dict[str, list[str]] = {}
    for name in sorted(names):
        if not name.endswith("/") and "/" in name:
            by_class.setdefault(name.split("/")[-2], []).append(name)
    chosen = []
    for members in by_class.values():
        hidden = [name for name in members if Path(name).name.startswith(".")]
        regular = [name for name in members if name not in hidden]
        if len(regular) > PHOTOS_PER_CLASS + 10:  # fewer: a sample already, taken as it is
            step = len(regular) / PHOTOS_PER_CLASS
            regular = [regular[int(i * step)] for i in range(PHOTOS_PER_CLASS)]
        chosen += hidden + regular
    return chosen
