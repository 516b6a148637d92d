"""Archives of photographs, unpacked once into a folder beside them."""

import os
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
    archive = _inner_archive(path)
    with zipfile.ZipFile(archive) as bundle:
        chosen = _select_photographs(bundle.namelist())
    if not any(name.lower().endswith(IMAGES) for name in chosen):
        raise ValueError(f"{path.name} holds no folders of photographs.")
    folder = unpack_once(archive, unpacked(path), chosen)
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
    """Unpack an archive, unless all of it lies there; a folder of other files is put aside.

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
    files = ((folder / one.filename, one) for one in wanted if not one.is_dir())
    if all(file.is_file() and file.stat().st_size == one.file_size for file, one in files):
        return folder
    try:
        _put_aside(folder)
    except OSError as error:
        raise DiskError(folder.parent, f"{error.strerror}, and {folder.name} is damaged") from error
    return unzip(archive, folder, members)


def unpacked(path: Path) -> Path:
    """The folder that an archive of photographs is unpacked to."""
    return path.with_suffix("")


def forget_unpacked(path: Path) -> None:
    """Put away what was unpacked from an archive, so that it is unpacked again."""
    remove(path.with_suffix(".outer"))
    _put_aside(unpacked(path))


def _put_aside(folder: Path) -> None:
    if folder.is_dir():
        aside = folder.with_name(f"{folder.name}.damaged")
        remove(aside)
        with suppress(FileNotFoundError):  # another process was quicker
            os.replace(folder, aside)


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
