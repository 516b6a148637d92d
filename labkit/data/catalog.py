"""What data sets exist: a name for each, and how its entry is made."""

from dataclasses import replace
from functools import cache, partial

from labkit.data import archives, medmnist_sets, readers, stand_ins
from labkit.data.classes import BLOOD_CLASSES, WHITE_CELL_CLASSES
from labkit.data.download import RemoteFile
from labkit.data.entries import DRAWN, Card, Entry

_PBC_CITATION = (
    "Acevedo et al. (2020), A dataset of microscopic peripheral blood cell images for "
    "development of automatic recognition systems, Data in Brief 30, 105474"
)
_BLOOD_NOTES = (
    "Immature granulocytes are myelocytes, metamyelocytes and promyelocytes together.",
    "One hospital, one stain, one microscope; which cells come from the same patient is not "
    "recorded. Healthy donors only. For learning, not for diagnosis.",
)
_PHOTO_SIZES = range(28, 364)  # pixels a side, as the photographs have


def _bloodmnist() -> Entry:
    item = medmnist_sets.entry("bloodmnist", BLOOD_CLASSES)
    card = Card(
        item.card.licence, f"{item.card.citation}; images from {_PBC_CITATION}", _BLOOD_NOTES
    )
    return replace(item, card=card, stand_in=stand_ins.drawn_cells)


def _mnist() -> Entry:
    # torchvision names the same mirrors and hashes, but takes seconds to import
    mirrors = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    )
    md5 = {
        "train-images-idx3-ubyte.gz": "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "train-labels-idx1-ubyte.gz": "md5:d53e105ee54ea40749a09fcbcd1e9432",
        "t10k-images-idx3-ubyte.gz": "md5:9fb629c4189551a2d022fa330f9573f3",
        "t10k-labels-idx1-ubyte.gz": "md5:ec29112dd5afa0611ce80d1b7f02629c",
    }
    files = tuple(
        RemoteFile(f"mnist/{name}", f"mnist/{name}", tuple(m + name for m in mirrors), hash_, 10)
        for name, hash_ in md5.items()
    )
    card = Card(
        "CC BY-SA 3.0",
        "LeCun, Cortes and Burges, The MNIST database of handwritten digits",
        ("Clean, centred digits of American writers of the 1990s; not a medical data set.",),
    )
    small = Card(
        "CC BY 4.0",
        "Alpaydin and Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine "
        "Learning Repository",
        ("Digits of 8x8 pixels, enlarged: easier to read than MNIST's, and 39 times fewer.",),
    )
    return Entry(
        "mnist",
        "MNIST",
        (28,),
        card,
        lambda size: files,
        lambda paths, size: readers.read_mnist(paths),
        stand_ins.digits,
        small,
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
        _PHOTO_SIZES,
        Card("CC BY 4.0", _PBC_CITATION, _BLOOD_NOTES),
        lambda size: (file,),
        lambda paths, size: readers.read_photographs(archives.unpack_photographs(paths[0]), size),
        lambda size: (
            readers.read_photographs(stand_ins.photograph_folder(), size),
            "photographs drawn by labkit",
        ),
        default_size=360,
    )


def _bloodcells() -> Entry:
    file = RemoteFile(
        key="bloodcells",
        path="bloodcells.zip",
        urls=("https://user.it.uu.se/~chrav452/workshop_NN_DL_cnn_data.zip",),
        known_hash=None,
        megabytes=50,
    )
    card = Card(
        "CC0 1.0 (BBBC045)",
        "Ljosa, Sokolnicki and Carpenter (2012), Annotated high-throughput microscopy image "
        "sets for validation, Nature Methods 9, 637; image set BBBC045",
        ("Small grey patches from an imaging flow cytometer; one instrument.",),
    )
    return Entry(
        "bloodcells",
        "White blood cells in brightfield (grey)",
        (32,),
        card,
        lambda size: (file,),
        lambda paths, size: readers.read_grey_patches(paths[0], WHITE_CELL_CLASSES),
        stand_ins.grey_cells,
        default_size=32,
    )


def _synthetic() -> Entry:
    sizes = _PHOTO_SIZES
    return Entry(
        "synthetic", "Drawn cells", sizes, DRAWN, lambda size: (), None, stand_ins.drawn_cells
    )


_ENTRIES = {
    "bloodmnist": _bloodmnist,
    "mnist": _mnist,
    "pbc": _pbc,
    "bloodcells": _bloodcells,
    "synthetic": _synthetic,
} | {name: partial(medmnist_sets.entry, name) for name in medmnist_sets.NAMES}
NAMES = tuple(_ENTRIES)


@cache
def entry(name: str) -> Entry:
    """Look up a data set by name.

    Raises:
        ValueError: for an unknown name (lists those there are), or a data set of MedMNIST with
            which the labs cannot work (says why).

    Example:
        >>> entry("bloodmnist").sizes
        (28, 64, 128, 224)
    """
    if name in medmnist_sets.REFUSED:
        raise ValueError(f"{name!r} cannot be used: {medmnist_sets.REFUSED[name]}")
    if name not in _ENTRIES:
        raise ValueError(
            f"There is no data set {name!r}. Choose one of {', '.join(NAMES)}, or give the path "
            "of an .npz file or of a folder with one sub-folder a class."
        )
    return _ENTRIES[name]()
