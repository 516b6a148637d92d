"""Archives of photographs, unpacked once into a folder beside them."""

import os
import zipfile
from pathlib import Path

from labkit.files import is_whole_zip, remove, unzip

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
    folder = unpacked(path)
    if not folder.exists():
        archive = _inner_archive(path)
        with zipfile.ZipFile(archive) as bundle:
            names = bundle.namelist()
        chosen = _select_photographs(names)
        if not any(name.lower().endswith(IMAGES) for name in chosen):
            raise ValueError(f"{path.name} holds no folders of photographs.")
        unzip(archive, folder, chosen)
    inner = [child for child in folder.iterdir() if child.is_dir()]
    return inner[0] if len(inner) == 1 else folder


def _inner_archive(path: Path) -> Path:
    """PBC's second source is a zip file that holds the zip file."""
    with zipfile.ZipFile(path) as bundle:
        inner = [name for name in bundle.namelist() if name.endswith(".zip")]
    if not inner:
        return path
    archive = unzip(path, path.with_suffix(".outer"), inner) / inner[0]
    if not is_whole_zip(archive):
        raise ValueError(f"{path.name} holds {inner[0]}, which is no whole zip file.")
    return archive


def unpacked(path: Path) -> Path:
    """The folder that an archive of photographs is unpacked to."""
    return path.with_suffix("")


def forget_unpacked(path: Path) -> None:
    """Put away what was unpacked from an archive, so that it is unpacked again."""
    remove(path.with_suffix(".outer"))
    folder = unpacked(path)
    if folder.is_dir():
        aside = folder.with_name(f"{folder.name}.damaged")
        remove(aside)
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
