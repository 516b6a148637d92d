"""What data sets exist: where each comes from, its hashes, licence, citation and limits."""

from dataclasses import dataclass, field
from functools import cache

BLOOD_CLASSES = (
    "basophil",
    "eosinophil",
    "erythroblast",
    "immature granulocyte",
    "lymphocyte",
    "monocyte",
    "neutrophil",
    "platelet",
)
_IMMATURE = "immature granulocyte (myelocytes, metamyelocytes and promyelocytes)"
BLOOD_FULL_NAMES = tuple(
    _IMMATURE if name.startswith("immature") else name for name in BLOOD_CLASSES
)
BLOOD_LIMITS = (
    "One hospital, one stain, one microscope; which cells come from the same patient is not "
    "recorded. Healthy donors only. For learning, not for diagnosis."
)
_PBC_CITATION = (
    "Acevedo et al. (2020), A dataset of microscopic peripheral blood cell images for "
    "development of automatic recognition systems, Data in Brief 30, 105474"
)
_MEDMNIST_CITATION = (
    "Yang et al. (2023), MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D "
    "biomedical image classification, Scientific Data 10, 41"
)


@dataclass(frozen=True)
class RemoteFile:
    """One file that can be downloaded.

    Args:
        key: its name in a mirror's ``mirror.toml``.
        path: where it is kept, relative to the data folder.
        urls: the sources, tried in this order.
        known_hash: ``"md5:…"`` or ``"sha256:…"``; None where none is published (the hash is
            then recorded at the first download and verified from then on).
        megabytes: about how much there is to download.
    """

    key: str
    path: str
    urls: tuple[str, ...]
    known_hash: str | None
    megabytes: int


@dataclass(frozen=True)
class Entry:
    """One data set: its files by image size, and what its card says."""

    name: str
    title: str
    classes: tuple[str, ...]
    full_names: tuple[str, ...]
    sizes: tuple[int, ...]
    default_size: int
    licence: str
    citation: str
    limits: str
    files: dict[int, tuple[RemoteFile, ...]] = field(default_factory=dict)
    any_size: bool = False


def _bloodmnist() -> Entry:
    from medmnist import INFO

    info = INFO["bloodmnist"]
    megabytes = {28: 35, 64: 150, 128: 480, 224: 1540}
    files = {}
    for size, expected in megabytes.items():
        suffix = "" if size == 28 else f"_{size}"
        files[size] = (
            RemoteFile(
                key=f"bloodmnist{suffix}",
                path=f"bloodmnist{suffix}.npz",
                urls=(info[f"url{suffix}"],),
                known_hash=f"md5:{info[f'MD5{suffix}']}",
                megabytes=expected,
            ),
        )
    return Entry(
        "bloodmnist",
        "BloodMNIST",
        BLOOD_CLASSES,
        BLOOD_FULL_NAMES,
        tuple(megabytes),
        28,
        info["license"],
        f"{_MEDMNIST_CITATION}; images from {_PBC_CITATION}",
        BLOOD_LIMITS,
        files,
    )


def _mnist() -> Entry:
    from torchvision.datasets import MNIST

    files = tuple(
        RemoteFile(
            key=f"mnist/{name}",
            path=f"mnist/{name}",
            urls=tuple(mirror + name for mirror in MNIST.mirrors),
            known_hash=f"md5:{md5}",
            megabytes=10,
        )
        for name, md5 in MNIST.resources
    )
    digits = tuple("0123456789")
    return Entry(
        "mnist",
        "MNIST",
        digits,
        digits,
        (28,),
        28,
        "CC BY-SA 3.0",
        "LeCun, Cortes and Burges, The MNIST database of handwritten digits",
        "Clean, centred digits of American writers of the 1990s; not a medical data set.",
        {28: files},
    )


def _pbc() -> Entry:
    base = "https://data.mendeley.com/public-files/datasets/snkd93bnjr/files"
    file = RemoteFile(
        key="pbc",
        path="pbc.zip",
        urls=(
            f"{base}/2fc38728-2ae7-4a62-a857-032af82334c3/file_downloaded",
            "https://prod-dcd-datasets-cache-zipfiles.s3.eu-west-1.amazonaws.com/snkd93bnjr-1.zip",
        ),
        known_hash=None,
        megabytes=270,
    )
    return Entry(
        "pbc",
        "PBC photographs",
        BLOOD_CLASSES,
        BLOOD_FULL_NAMES,
        (360,),
        360,
        "CC BY 4.0",
        _PBC_CITATION,
        BLOOD_LIMITS,
        {360: (file,)},
        any_size=True,
    )


def _bloodcells() -> Entry:
    classes = ("B cell", "T cell", "eosinophil", "monocyte", "neutrophil")
    file = RemoteFile(
        key="bloodcells",
        path="bloodcells.zip",
        urls=("https://user.it.uu.se/~chrav452/workshop_NN_DL_cnn_data.zip",),
        known_hash=None,
        megabytes=50,
    )
    return Entry(
        "bloodcells",
        "White blood cells in brightfield (grey)",
        classes,
        classes,
        (32,),
        32,
        "CC0 1.0 (BBBC045)",
        "Ljosa, Sokolnicki and Carpenter (2012), Annotated high-throughput microscopy image "
        "sets for validation, Nature Methods 9, 637; image set BBBC045",
        "Small grey patches from an imaging flow cytometer; one instrument.",
        {32: (file,)},
    )


def _synthetic() -> Entry:
    return Entry(
        "synthetic",
        "Drawn cells",
        BLOOD_CLASSES,
        BLOOD_FULL_NAMES,
        (28, 64, 128, 224),
        28,
        "MIT (made by labkit)",
        "labkit.data.synthetic",
        "Drawn by a program: good for testing methods, says nothing about real blood.",
        any_size=True,
    )


_ENTRIES = {
    "bloodmnist": _bloodmnist,
    "mnist": _mnist,
    "pbc": _pbc,
    "bloodcells": _bloodcells,
    "synthetic": _synthetic,
}
NAMES = tuple(_ENTRIES)


@cache
def entry(name: str) -> Entry:
    """Look up a data set by name.

    Args:
        name: one of ``NAMES``.

    Returns:
        Its catalogue entry.

    Raises:
        ValueError: for an unknown name; lists those there are.

    Example:
        >>> entry("bloodmnist").sizes
        (28, 64, 128, 224)
    """
    if name not in _ENTRIES:
        raise ValueError(
            f"There is no data set {name!r}. Choose one of {', '.join(NAMES)}, or give the path "
            "of a MedMNIST-style .npz file."
        )
    return _ENTRIES[name]()


def check_size(item: Entry, size: int | None) -> int:
    """Return the image size to use, or say which sizes there are.

    Args:
        item: the data set.
        size: pixels a side; None for the data set's own default.

    Returns:
        The size in pixels.

    Raises:
        ValueError: when the data set does not come in this size.

    Example:
        >>> check_size(entry("mnist"), None)
        28
    """
    if size is None:
        return item.default_size
    if item.any_size:
        if 28 <= size <= 363:
            return size
        raise ValueError(f"{item.title} has no size {size}; choose any from 28 to 363 pixels.")
    if size not in item.sizes:
        sizes = ", ".join(map(str, item.sizes))
        raise ValueError(f"{item.title} has no size {size}; choose one of: {sizes}.")
    return size
