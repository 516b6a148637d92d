"""A folder of photographs with the defects of PBC planted in it."""

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from labkit.display import track
from labkit.files import atomic_folder

FOLDERS = {  # class folder: prefix of its file names, in the order of the classes
    "basophil": "BA",
    "eosinophil": "EO",
    "erythroblast": "ERB",
    "ig": "IG",
    "lymphocyte": "LY",
    "monocyte": "MO",
    "neutrophil": "NEUTROPHIL",
    "platelet": "PLATELET",
}
SIDE, USUAL = 363, (360, 363)  # pixels; (width, height)
ODD_SIZES = 3 * [(366, 369)] + 2 * [(360, 360)] + [(360, 361), (362, 360), (359, 360), (361, 360)]
BROKEN = "neutrophil/.DS_169665.jpg"  # macOS leaves such files behind; this one got a cell's suffix


@dataclass(frozen=True)
class PlantedDefects:
    """What is wrong with a folder of drawn photographs, on purpose."""

    odd_sizes: dict[str, tuple[int, int]]  # file to (width, height), where it is not 360x363
    duplicate: tuple[str, str]  # two files with the same bytes and different labels
    broken: str  # the file that is no image


def save_photographs(
    path: Path, chunks: Iterable[np.ndarray], per_class: int, seed: int
) -> PlantedDefects:
    """Save images as a folder of JPEG photographs and plant the defects; all of it or nothing.

    The images are uint8 arrays (n, 3, 363, 363), sorted by class; the seed numbers the files.
    Returns and raises what `write_photo_folder` does.
    """
    if path.exists():
        raise FileExistsError(f"{path} exists; remove it to draw the photographs anew.")
    if per_class < 2:
        raise ValueError(f"per_class is {per_class}; the defects need at least 2.")
    with atomic_folder(path) as folder:  # another process may be quicker, with the same cells
        planted = _write(folder, chunks, _names(per_class, seed))
    return planted


def _write(folder: Path, chunks: Iterable[np.ndarray], names: list[str]) -> PlantedDefects:
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    spread = np.linspace(0, len(names) - 1, len(ODD_SIZES)).astype(int)
    odd = {names[i]: size for i, size in zip(spread, ODD_SIZES, strict=True)}
    images = (image for chunk in chunks for image in chunk)
    for name, image in zip(track(names, "drawing photographs"), images, strict=True):
        _save(folder / name, image, odd.get(name, USUAL))
    original = next(n for n in reversed(names) if n.startswith("neutrophil") and n not in odd)
    twin = "eosinophil/EO_225902.jpg"  # a number of six digits that `_names` leaves out
    shutil.copyfile(folder / original, folder / twin)
    (folder / BROKEN).write_bytes(b"\0\0\0\1Bud1" + bytes(6140))
    return PlantedDefects(odd, (original, twin), BROKEN)


def _names(per_class: int, seed: int) -> list[str]:
    pool = np.delete(np.arange(100_000, 1_000_000), 225_902 - 100_000)
    numbers = np.random.default_rng([seed, 3]).choice(pool, len(FOLDERS) * per_class, replace=False)
    prefixes = [f"{folder}/{prefix}" for folder, prefix in FOLDERS.items()]
    return [f"{prefixes[i // per_class]}_{number}.jpg" for i, number in enumerate(numbers)]


def _save(path: Path, image: np.ndarray, size: tuple[int, int]) -> None:
    photo = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
    width, height = size
    if max(size) > SIDE:
        photo = photo.resize((max(size), max(size)))
    left, top = (photo.width - width) // 2, (photo.height - height) // 2
    photo.crop((left, top, left + width, top + height)).save(path, quality=90)
