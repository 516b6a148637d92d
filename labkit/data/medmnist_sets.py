"""The two-dimensional data sets of MedMNIST, as the package ``medmnist`` describes them."""

import pandas as pd

from labkit.data import readers, stand_ins
from labkit.data.download import RemoteFile
from labkit.data.entries import Card, Entry

SIZES = (28, 64, 128, 224)
NAMES = (  # those of one class an image; bloodmnist has an entry with more to say
    *("pathmnist", "dermamnist", "octmnist", "pneumoniamnist", "retinamnist", "breastmnist"),
    *("tissuemnist", "organamnist", "organcmnist", "organsmnist"),
)
_THREE_D = "its images are volumes, and the networks of this course take pictures."
REFUSED = {
    "chestmnist": "its images have several labels at once, or none (14 findings, each yes or no). "
    "The networks, the cross-entropy and the measures of this course are for one class an image.",
} | {
    f"{kind}mnist3d": _THREE_D
    for kind in ("organ", "nodule", "adrenal", "fracture", "vessel", "synapse")
}
SHORT = {  # full names stand on the card
    "actinic keratoses and intraepithelial carcinoma": "actinic keratosis",
    "cancer-associated stroma": "cancer stroma",
    "choroidal neovascularization": "neovascularization",
    "colorectal adenocarcinoma epithelium": "cancer epithelium",
    "normal, benign": "normal or benign",
    "Collecting Duct, Connecting Tubule": "collecting duct",
    "Glomerular endothelial cells": "glomerular endothelium",
    "Interstitial endothelial cells": "interstitial endothelium",
}
_CITATION = (
    "Yang et al. (2023), MedMNIST v2: a large-scale lightweight benchmark for 2D and 3D "
    "biomedical image classification, Scientific Data 10, 41"
)
_PATIENTS = (
    "The file does not say which images are of one person, so whether they lie in one split cannot "
    "be checked with it. For learning, not for diagnosis."
)
_ORDERED = (
    "The classes are ordered: to be wrong by one grade is a smaller mistake than by four. Accuracy "
    "does not see that; sklearn.metrics.cohen_kappa_score(…, weights='quadratic') does."
)
_LESIONS = (
    "Photographs of one lesion lie in several splits: results are too good (Abhishek, Jain and "
    "Hamarneh, Investigating the quality of DermaMNIST and Fitzpatrick17k dermatological image "
    "datasets, Scientific Data, 2025)."
)


def entry(name: str, classes: tuple[str, ...] | None = None) -> Entry:
    """Make the entry of one of MedMNIST's data sets.

    Args:
        name: such as ``"pathmnist"``.
        classes: short names; None for MedMNIST's own, the longest of them shortened.

    Example:
        >>> entry("breastmnist").title
        'BreastMNIST'
    """
    from medmnist import INFO

    info = INFO[name]
    classes = classes or class_names(info)
    counts = info["n_samples"]

    def files(size: int) -> tuple[RemoteFile, ...]:
        suffix = "" if size == 28 else f"_{size}"
        raw = sum(counts.values()) * info["n_channels"] * size**2  # files are 0.6 to 0.9 of it
        key, hash_ = f"{name}{suffix}", f"md5:{info[f'MD5{suffix}']}"
        file = RemoteFile(key, f"{key}.npz", (info[f"url{suffix}"],), hash_, 1 + raw // 10**6)
        return (file,)

    return Entry(
        name,
        info["python_class"],
        SIZES,
        Card(info["license"], _CITATION, _notes(name, info, classes)),
        files,
        lambda paths, size: readers.read_npz(paths[0], classes),
        lambda size: stand_ins.drawn_classes(name, classes, info["n_channels"], counts, size),
    )


def class_names(info: dict) -> tuple[str, ...]:
    """Short names of the classes, in the order of their numbers; grades where they are numbers."""
    names = [info["label"][str(number)] for number in range(len(info["label"]))]
    if info["task"] == "ordinal-regression":
        names = [f"grade {name}" if name.isdigit() else name for name in names]
    return tuple(SHORT.get(name, name) for name in names)


def medmnist_choices() -> pd.DataFrame:
    """What there is to choose from: a row for each two-dimensional data set of MedMNIST.

    Returns:
        By name: ``task``, ``classes``, ``colour``, ``images`` (of all splits), ``licence``.

    Example:
        >>> int(medmnist_choices().loc["breastmnist", "images"])
        780
    """
    from medmnist import INFO

    rows = {
        name: {
            "task": INFO[name]["task"].replace("ordinal-regression", "ordered classes"),
            "classes": len(INFO[name]["label"]),
            "colour": INFO[name]["n_channels"] == 3,
            "images": sum(INFO[name]["n_samples"].values()),
            "licence": INFO[name]["license"],
        }
        for name in ("bloodmnist", *NAMES)
    }
    return pd.DataFrame.from_dict(rows, orient="index").sort_values("images")


def _notes(name: str, info: dict, classes: tuple[str, ...]) -> tuple[str, ...]:
    full = [info["label"][str(number)] for number in range(len(classes))]
    longer = [
        f"{short} = {long}" for short, long in zip(classes, full, strict=True) if short != long
    ]
    notes = [info["description"], f"Task: {info['task']}."]
    notes += [_ORDERED] if info["task"] == "ordinal-regression" else []
    notes += [f"Class names: {'; '.join(longer)}."] if longer else []
    notes += [_LESIONS] if name == "dermamnist" else []
    return (*notes, _PATIENTS)
