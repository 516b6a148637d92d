"""Folders of photographs, one sub-folder a class: read them whole, and report what is wrong."""

import os
import re
import unicodedata
from collections import Counter
from numbers import Integral
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image, ImageOps

from labkit import settings
from labkit.data.image_split import ImageSplit
from labkit.data.origin import read_origin
from labkit.display import track
from labkit.files import sha256

SHORT_NAMES = {"ig": "immature granulocyte"}  # folder names that say too little
COLUMNS = ["file", "class", "problem", "action"]
PARTS = {"train", "training", "val", "valid", "validation", "test", "testing"}
ORIENTATION = 0x0112  # of EXIF: how the camera was held; 1 is upright


def load_folder(
    path: str | Path, size: int | tuple[int, int] | None = None
) -> tuple[ImageSplit, pd.DataFrame]:
    """Read a folder of images, ``path/<class>/<image>``, and list everything irregular in it.

    Nothing is skipped in silence: each file is either among the images or in the table, and a
    file that is kept in spite of a defect is in both.

    Args:
        path: the folder; each sub-folder is a class.
        size: None gives every image the most common size, cutting or padding the edges of the
            others without scaling. A number cuts the largest central square and scales it to that
            many pixels a side. A pair (height, width) cuts or pads to it.

    Returns:
        The images with their file names, and a table with one row a defect: ``file``, ``class``,
        ``problem`` and ``action`` (``"left out"`` or what was done to keep it).

    Raises:
        ValueError: when there is no such folder or size, a class folder has no readable image, two
            folders are one class, or the folders are a split or lie deeper.

    Example:
        >>> images, problems = load_folder("data/pbc")  # doctest: +SKIP
    """
    root = settings.expanded(os.fspath(path))
    _check_size(size)
    files = _class_files(root)
    photographs, shapes, rows = {}, {}, []
    for file, name in track(files.items(), f"reading {root.name}"):
        photo, defects = _read(file)
        rows += [(file, name, *defect) for defect in defects]
        if photo is not None:
            shapes[file] = photo.shape[:2]
            # made small at once: a few hundred photographs of a telephone fill a memory
            photographs[file] = photo if size is None else _fit(photo, size)
    _check_each_class(root, files, photographs, rows)
    common = Counter(shapes.values()).most_common(1)[0][0]
    strays = [file for file in _below(root, hidden=True) if file not in files]
    rows += [
        (file, "", "in no class folder", "left out")
        for file in strays
        if file.parent != root or not file.is_dir()  # a link may be a class folder
    ]
    rows += _odd_sizes(shapes, files, common, size)
    rows += _duplicates(root, photographs, files)
    classes = tuple(dict.fromkeys(files.values()))
    labels = [classes.index(files[file]) for file in photographs]
    images = np.stack([_fit(p, common) if size is None else p for p in photographs.values()])
    split = ImageSplit(
        torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
        torch.tensor(labels),
        classes,
        origin=read_origin(root),
        files=[str(file.relative_to(root)) for file in photographs],
    )
    problems = pd.DataFrame(rows, columns=COLUMNS)
    problems["file"] = [str(file.relative_to(root)) for file in problems["file"]]
    return split, problems.sort_values(["problem", "file"], ignore_index=True)


def _check_size(size: int | tuple[int, int] | None) -> None:
    sides = size if isinstance(size, tuple) and len(size) == 2 else (size,)
    if size is not None and not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ValueError(
            f"size is {size!r}; give None, a number of pixels from 1, or a pair (height, width)."
        )


def _below(folder: Path, hidden: bool = False) -> list[Path]:
    """The files below a folder, and links to folders, which are not followed."""

    def cannot(error: OSError) -> None:  # else what lies there were left out in silence
        raise error

    found = []
    for place, folders, names in os.walk(folder, onerror=cannot):
        inside = [Path(place, name) for name in names + folders]
        found += [file for file in inside if file.is_file() or file.is_symlink()]
        folders[:] = [name for name in folders if hidden or not name.startswith(".")]
    return sorted(found)


def _class_files(root: Path) -> dict[Path, str]:
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}. Give a folder with one sub-folder a class.")
    others = (".", "__MACOSX")  # the second is in zip files of macOS, beside the folders
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith(others))
    if len(folders) > 1 and {folder.name.lower() for folder in folders} <= PARTS:
        raise ValueError(
            f"{root} is split already, into {', '.join(folder.name for folder in folders)}, which "
            "are no classes: load each of them on its own, or put the images of a class together."
        )
    files, named = {}, {}
    for folder in folders:
        if not (inside := _below(folder)):
            continue
        # composed, as one types it: macOS takes letters and accents apart
        name = unicodedata.normalize("NFC", folder.name)
        name = SHORT_NAMES.get(name, name.replace("_", " "))
        same = " ".join(name.casefold().split())  # RBC, rbc, and one with a blank behind it
        if same in named:
            raise ValueError(
                f"{root} has two folders of the class {name!r}, {named[same].name!r} and "
                f"{folder.name!r}: put their images into one of them, or rename one."
            )
        named[same] = folder
        files |= dict.fromkeys(inside, name)
    if not files:
        raise ValueError(f"{root} has no sub-folders with files; it needs one sub-folder a class.")
    if len(named) == 1 and not any(file.parent in named.values() for file in files):
        raise ValueError(
            f"{root} has one class folder only, {folder.name}, with nothing but folders in it: "
            "give the folder whose sub-folders are the classes."
        )
    return files


def _read(file: Path) -> tuple[np.ndarray | None, list[tuple[str, str]]]:
    """The pixels of a file, or None; what was wrong with it, and what was done."""
    defects = []
    try:
        if not (file.is_file() or file.is_dir()):  # a link to nothing, or to what never answers
            raise FileNotFoundError
        with Image.open(file) as image:
            if _wide(image):  # Pillow would make them white, or almost black
                return None, [(f"colour mode {image.mode}: more than 8 bits a colour", "left out")]
            if image.mode != "RGB":
                defects.append((f"colour mode {image.mode}", "converted to RGB"))
            if (count := getattr(image, "n_frames", 1)) > 1:
                defects.append((f"{count} pictures in one file", "the first one kept"))
            if image.getexif().get(ORIENTATION) in range(2, 9):
                defects.append(("the camera was turned (EXIF)", "turned upright"))
            return np.asarray(ImageOps.exif_transpose(image).convert("RGB")), defects
    except Exception as error:  # each of Pillow's formats raises its own
        return None, [(f"not a readable image ({type(error).__name__})", "left out")]


def _wide(image: Image.Image) -> bool:
    """Whether the file has more than 8 bits a colour, as it is stored: RGB is opened as 8."""
    stored = image.tile[0][3] if image.tile else ""
    kind, *rest = stored if isinstance(stored, tuple) else (stored,)
    many = image.format == "PPM" and any(isinstance(most, int) and most > 255 for most in rest)
    return image.mode.startswith(("I", "F")) or many or bool(re.search(";16[BLN]", str(kind)))


def _check_each_class(
    root: Path, files: dict[Path, str], photographs: dict[Path, np.ndarray], rows: list[tuple]
) -> None:
    """Raise ValueError where a class has no image: no network could learn it."""
    missing = set(files.values()) - {files[file] for file in photographs}
    for file, name, problem, _ in reversed(rows):  # hidden files come first
        if name in missing:
            folder = root / file.relative_to(root).parts[0]
            tried = list(files.values()).count(name)
            raise ValueError(
                f"{folder} holds no readable image: {tried} files were tried, such as {file.name} "
                f"({problem}). Save them as JPEG or PNG, or move the folder away."
            )


def _odd_sizes(
    shapes: dict[Path, tuple[int, int]],
    files: dict[Path, str],
    common: tuple[int, int],
    size: int | tuple[int, int] | None,
) -> list[tuple]:
    action = "scaled like all others" if isinstance(size, Integral) else "edges cut or padded"
    return [
        (
            file,
            files[file],
            f"size {shape[1]}x{shape[0]} instead of {common[1]}x{common[0]}",
            action,
        )
        for file, shape in shapes.items()
        if shape != common
    ]


def _duplicates(
    root: Path, photographs: dict[Path, np.ndarray], files: dict[Path, str]
) -> list[tuple]:
    same: dict[str, list[Path]] = {}
    for file in photographs:
        same.setdefault(sha256(file), []).append(file)
    rows = []
    for twins in same.values():
        first = twins[0].relative_to(root)
        for file in twins[1:]:
            other = "" if files[file] == files[twins[0]] else ", under another label"
            problem = f"same bytes as {first}{other}"
            rows.append((file, files[file], problem, "kept; keep both in one split"))
    return rows


def _fit(photo: np.ndarray, size: int | tuple[int, int]) -> np.ndarray:
    if isinstance(size, tuple):
        return _cut_or_pad(photo, *size)
    side = min(photo.shape[:2])
    square = Image.fromarray(_cut_or_pad(photo, side, side))
    return np.asarray(square.resize((size, size), Image.Resampling.BILINEAR))


def _cut_or_pad(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    for axis, wanted in enumerate((height, width)):
        spare = photo.shape[axis] - wanted
        if spare > 0:
            photo = photo.take(range(spare // 2, spare // 2 + wanted), axis)
        elif spare < 0:
            before = -spare // 2
            pads = [(0, 0)] * 3
            pads[axis] = (before, -spare - before)
            photo = np.pad(photo, pads, mode="edge")
    return photo
