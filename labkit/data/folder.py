"""Folders of photographs, one sub-folder a class: read them whole, and report what is wrong."""

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from PIL import Image

from labkit.data.image_data import ImageSplit
from labkit.data.origin import read_origin
from labkit.display import track

SHORT_NAMES = {"ig": "immature granulocyte"}  # folder names that say too little
# what Pillow raises for damaged files of one format or another
_UNREADABLE = (
    *(OSError, SyntaxError, ValueError, EOFError, struct.error),
    Image.DecompressionBombError,
)
COLUMNS = ["file", "class", "problem", "action"]


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
        ValueError: when there is no such folder, or no readable image in any class folder.

    Example:
        >>> images, problems = load_folder("data/pbc")  # doctest: +SKIP
    """
    root = Path(path)
    files = _class_files(root)
    photographs, rows = {}, []
    for file, name in track(files.items(), f"reading {root.name}"):
        try:
            with Image.open(file) as image:
                photographs[file] = np.asarray(image.convert("RGB"))
                if image.mode != "RGB":
                    rows.append((file, name, f"colour mode {image.mode}", "converted to RGB"))
        except _UNREADABLE as error:
            problem = f"not a readable image ({type(error).__name__})"
            rows.append((file, name, problem, "left out"))
    if not photographs:
        raise ValueError(f"{root} holds no readable image: {len(files)} files were tried.")
    common = Counter(photo.shape[:2] for photo in photographs.values()).most_common(1)[0][0]
    strays = sorted(file for file in root.rglob("*") if file.is_file() and file not in files)
    rows += [(file, "", "in no class folder", "left out") for file in strays]
    rows += _odd_sizes(photographs, files, common, size)
    rows += _duplicates(root, photographs, files)
    classes = tuple(dict.fromkeys(files.values()))
    labels = [classes.index(files[file]) for file in photographs]
    images = np.stack([_fit(photo, size or common) for photo in photographs.values()])
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


def _class_files(root: Path) -> dict[Path, str]:
    if not root.is_dir():
        raise ValueError(f"There is no folder {root}. Give a folder with one sub-folder a class.")
    folders = sorted(f for f in root.iterdir() if f.is_dir() and not f.name.startswith("."))
    files = {
        file: SHORT_NAMES.get(folder.name, folder.name.replace("_", " "))
        for folder in folders
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }
    if not files:
        raise ValueError(f"{root} has no sub-folders with files; it needs one sub-folder a class.")
    return files


def _odd_sizes(
    photographs: dict[Path, np.ndarray],
    files: dict[Path, str],
    common: tuple[int, int],
    size: int | tuple[int, int] | None,
) -> list[tuple]:
    action = "scaled like all others" if isinstance(size, int) else "edges cut or padded"
    return [
        (
            file,
            files[file],
            f"size {photo.shape[1]}x{photo.shape[0]} instead of {common[1]}x{common[0]}",
            action,
        )
        for file, photo in photographs.items()
        if photo.shape[:2] != common
    ]


def _duplicates(
    root: Path, photographs: dict[Path, np.ndarray], files: dict[Path, str]
) -> list[tuple]:
    same: dict[bytes, list[Path]] = {}
    for file in photographs:
        same.setdefault(file.read_bytes(), []).append(file)
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
