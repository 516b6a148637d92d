"""Read the files of each data set into ``ImageSplit``s."""

import gzip
import math
import re
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from labkit.data.archives import unpack_once, unpacked
from labkit.data.folder import load_folder
from labkit.data.image_split import ImageSplit
from labkit.data.splits import duplicate_groups, split_indices
from labkit.files import DiskError, remove, unzip

SPLITS = ("train", "val", "test")
WHOLE = {"images", "labels"}  # of a file that is not split
SPLIT_SEED = 0
MNIST_VALIDATION = 5000
LOST_RACES = 5
MOST_CLASSES = 1000  # of a file that does not name them
MAPPED_FROM = 128  # from this size on, images stay on disk and are memory-mapped


def read_npz(path: Path, classes: tuple[str, ...] | None = None) -> dict[str, ImageSplit]:
    """Read a MedMNIST-style ``.npz`` file, or one that is not yet split.

    Args:
        path: a file with ``train_images``, ``train_labels``, ``val_…`` and ``test_…``, or with
            ``images`` and ``labels`` alone; images uint8 (N, H, W) or (N, H, W, 3), labels whole
            numbers (N,) or (N, 1).
        classes: class names; None for "class 0", "class 1" and so on.

    Returns:
        The three splits by name; ``{"": images}`` of a file that is not split.

    Raises:
        ValueError: for another kind of file, missing keys, wrong shapes, an empty split or labels
            outside the classes; names what is wrong.

    Example:
        >>> read_npz(Path("data/bloodmnist.npz"))["train"]  # doctest: +SKIP
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not a whole .npz file: fetch it again.")
    try:
        with np.load(path, allow_pickle=False) as file:
            prefixes = {"": ""} if WHOLE <= {*file.files} else {s: f"{s}_" for s in SPLITS}
            wanted = [before + part for before in prefixes.values() for part in sorted(WHOLE)]
            if missing := [key for key in wanted if key not in file.files]:
                raise ValueError(
                    f"{path.name} lacks {', '.join(missing)}; it has {', '.join(file.files)}. "
                    "A MedMNIST-style file has train_, val_ and test_ images and labels; one that "
                    "labkit shall split has images and labels."
                )
            for key in wanted:
                _check_header(path, file, key)
            labels = {s: _flat_labels(file[f"{b}labels"], path) for s, b in prefixes.items()}
            images = {s: _member(path, file, f"{b}images") for s, b in prefixes.items()}
    except MemoryError as error:
        raise ValueError(f"{path.name} does not fit into this machine's memory.") from error
    except Exception as error:  # zipfile, numpy and each compressor raise their own
        if path.name in str(error):  # said here
            raise
        raise ValueError(
            f"{path} is not a whole .npz file ({type(error).__name__}): fetch it again."
        ) from error
    if classes is None:
        most = max((int(part.max()) for part in labels.values() if len(part)), default=0)
        if most >= MOST_CLASSES:
            raise ValueError(
                f"{path.name} has labels up to {most}; without class names, labels must lie in "
                f"0 … {MOST_CLASSES - 1}. Number the classes from 0."
            )
        classes = tuple(f"class {number}" for number in range(most + 1))
        _check_numbers(path, np.unique(np.concatenate([*labels.values()])))
    parts = {split: _split(path, split, images[split], labels[split], classes) for split in labels}
    sizes = {split: tuple(part.images.shape[1:]) for split, part in parts.items()}
    if len(set(sizes.values())) > 1:
        raise ValueError(f"{path.name} has images of different sizes: {sizes}.")
    return parts


def _check_numbers(path: Path, found: np.ndarray) -> None:
    """Refuse labels that begin after 0, and warn of a class between them without an image."""
    missing = sorted({*range(found.max(initial=0))} - {*found.tolist()})
    if 0 in missing:
        raise ValueError(
            f"{path.name} has labels from {found.min()} to {found.max()} and no image of class 0: "
            "number the classes from 0, or give their names with classes=[…]."
        )
    if missing:
        warnings.warn(
            f"{path.name} has labels up to {found.max()}, and no image of class "
            f"{', '.join(map(str, missing[:5]))}: was it left out, or are the labels wrong?",
            stacklevel=2,
        )


def _flat_labels(labels: np.ndarray, path: Path) -> torch.Tensor:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"{path.name} has labels of {labels.dtype} {labels.shape}; labkit needs one whole "
            "number an image, (N,) or (N, 1)."
        )
    return torch.from_numpy(labels.astype(np.int64))


def _header(file: np.lib.npyio.NpzFile, key: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type that a member declares."""
    with file.zip.open(f"{key}.npy") as stream:
        version = np.lib.format.read_magic(stream)
        formats = np.lib.format  # version 3 differs from 2 in the letters of field names only
        read = formats.read_array_header_1_0 if version == (1, 0) else formats.read_array_header_2_0
        shape, _, dtype = read(stream)
    return shape, dtype


def _check_header(path: Path, file: np.lib.npyio.NpzFile, key: str) -> None:
    """Refuse a member that declares more than it holds, before memory is asked for."""
    try:
        shape, dtype = _header(file, key)
    except Exception as error:  # of zipfile, struct, tokenize …
        raise ValueError(f"{path.name} has no readable array {key}: {error}") from error
    held = file.zip.getinfo(f"{key}.npy").file_size
    if dtype.hasobject:
        raise ValueError(
            f"{path.name} declares {key} as objects of Python, which labkit does not open: images "
            "are uint8, labels whole numbers from 0."
        )
    if math.prod(shape) * dtype.itemsize > held:
        raise ValueError(
            f"{path.name} declares {key} as {dtype} {shape}, which its {held:,} bytes cannot hold."
        )


def _member(path: Path, file: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    """One array of the file; large ones are unpacked once and mapped, not read into memory."""
    shape, _ = _header(file, key)
    if len(shape) < 3 or shape[1] < MAPPED_FROM:
        return file[key]
    for left in reversed(range(LOST_RACES)):
        try:
            return _mapped(path, file, key)
        except FileNotFoundError:  # another process has just put the folder away, damaged
            if not left:
                raise
        except DiskError as error:  # a shared cache may be read-only
            warnings.warn(f"The images are read into memory. {error}", stacklevel=2)
            return file[key]
    raise AssertionError("the last round returns or raises")


def _mapped(path: Path, file: np.lib.npyio.NpzFile, key: str) -> np.ndarray:
    # the content is part of the name: a folder of another file is never taken for this one's
    content = zlib.crc32(repr([(one.filename, one.CRC) for one in file.zip.infolist()]).encode())
    folder = path.with_name(f"{path.name}.{content:08x}.unpacked")
    member = folder / f"{key}.npy"
    if not (member.exists() and member.stat().st_size == file.zip.getinfo(member.name).file_size):
        for other in path.parent.iterdir():  # damaged, or of an older file
            if re.fullmatch(rf"{re.escape(path.name)}(\.[0-9a-f]{{8}})?\.unpacked", other.name):
                remove(other)
        unzip(path, folder)
    # copy-on-write: PyTorch warns of read-only arrays
    return np.load(member, mmap_mode="c", allow_pickle=False)


def _split(
    path: Path, split: str, images: np.ndarray, labels: torch.Tensor, classes: tuple[str, ...]
) -> ImageSplit:
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or images.shape[3:] not in ((), (3,)):
        key = f"{split}_images" if split else "images"
        raise ValueError(
            f"{path.name} has {key} of {images.dtype} {images.shape}; labkit needs uint8 "
            "(N, H, W) or (N, H, W, 3)."
        )
    tensor = torch.from_numpy(images)
    tensor = tensor.unsqueeze(1) if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2)
    mapped = isinstance(images, np.memmap)
    try:
        return ImageSplit(tensor if mapped else tensor.contiguous(), labels, classes)
    except ValueError as error:
        which = f", split {split!r}" if split else ""
        raise ValueError(f"{path.name}{which}: {error}") from None


def read_mnist(paths: list[Path]) -> dict[str, ImageSplit]:
    """Read MNIST; 5,000 of the 60,000 training digits (stratified) become the validation split."""
    arrays = {path.name.split(".")[0]: _read_idx(path) for path in paths}
    train, test = (
        ImageSplit(
            arrays[f"{part}-images-idx3-ubyte"][:, None],
            arrays[f"{part}-labels-idx1-ubyte"],
            tuple("0123456789"),
        )
        for part in ("train", "t10k")
    )
    kept, val = _hold_out(train, MNIST_VALIDATION / len(train))
    return {"train": kept, "val": val, "test": test}


def _read_idx(path: Path) -> torch.Tensor:
    data = gzip.decompress(path.read_bytes())
    dims = data[3] if len(data) > 3 else 0  # idx: two zero bytes, type, number of dimensions
    begin = 4 + 4 * dims
    shape = struct.unpack(f">{dims}I", data[4:begin]) if len(data) >= begin else ()
    if not shape or len(data) != begin + math.prod(shape):
        raise ValueError(f"{path.name} is not a file of MNIST: fetch it again.")
    return torch.from_numpy(np.frombuffer(data, np.uint8, offset=begin).reshape(shape).copy())


def _hold_out(split: ImageSplit, share: float) -> tuple[ImageSplit, ImageSplit]:
    """Divide a split in two: what stays, and a stratified share that becomes validation."""
    parts = split_indices(
        split.labels, fractions=(1 - share, share / 2, share / 2), seed=SPLIT_SEED
    )
    return split.subset(parts[0]), split.subset(np.sort(np.concatenate(parts[1:])))


def read_photographs(folder: Path, size: int) -> dict[str, ImageSplit]:
    """Read the PBC photographs and split them 70/15/15; identical images stay together."""
    images, _ = load_folder(folder, size=size)
    groups = duplicate_groups(images.images)
    parts = split_indices(images.labels, groups, seed=SPLIT_SEED)
    return {name: images.subset(rows) for name, rows in zip(SPLITS, parts, strict=True)}


def read_grey_patches(archive: Path, classes: tuple[str, ...]) -> dict[str, ImageSplit]:
    """Read the grey white-cell patches; a sixth of the training folder becomes validation."""
    folder = unpack_once(archive, unpacked(archive))
    root = next(folder.rglob("bloodcells_small"), folder)
    parts = {}
    for part in ("train", "test"):
        split, _ = load_folder(root / part, size=32)
        order = sorted(range(len(split.classes)), key=lambda i: re.sub(r"\W", "", split.classes[i]))
        labels = torch.tensor([order.index(label) for label in split.labels.tolist()])
        parts[part] = ImageSplit(split.images[:, :1].contiguous(), labels, classes)
    train, val = _hold_out(parts["train"], 1 / 6)
    return {"train": train, "val": val, "test": parts["test"]}
