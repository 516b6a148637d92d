"""What a loader gives, and whether a network can be trained on it: the usual slips, by name."""

import itertools
import traceback
import warnings
from collections.abc import Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from operator import length_hint
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    SequentialSampler,
    Subset,
)

from labkit.data.image_data import ImageData
from labkit.data.image_split import ImageSplit
from labkit.data.loaders import BatchLoader
from labkit.inference import dtype_name, frozen_norms, one_image

NO_BATCH = (
    "The loader gives no batch: the split is empty, or with drop_last=True smaller than a batch, "
    "or what the loader goes through was used up before."
)


def check_loader(loader: object, name: str) -> None:
    """Raise TypeError unless the object can be a loader; the message says how to make one."""
    if isinstance(loader, ImageData):
        found = "a whole data set: give it one of its parts in batches, such as"
        found += " data.train.loader(64)"
    elif isinstance(loader, Dataset):
        found = "a split, which gives one image at a time: give it in batches, such as"
        found += " data.train.loader(64) or torch.utils.data.DataLoader(…, batch_size=64)"
    elif isinstance(loader, str | Path):
        found = f"the text {str(loader)!r}: load the data first, with lk.load_dataset(…), then make"
        found += " batches with data.train.loader(64)"
    elif isinstance(loader, np.ndarray | Tensor) or (
        isinstance(loader, tuple | list)
        and len(loader) == 2
        and all(isinstance(part, np.ndarray | Tensor) for part in loader)
    ):
        found = "arrays: put tensors into torch.utils.data.TensorDataset(images, labels), and that"
        found += " into torch.utils.data.DataLoader(…, batch_size=64)"
    elif _never_ends(loader):
        found = f"a {type(loader).__name__} of itertools, which never ends: give what it goes"
        found += " through, such as data.train.loader(64)"
    elif not isinstance(loader, Iterable):
        found = f"of type {type(loader).__name__}, which gives no batches (images, labels)"
    else:
        return
    raise TypeError(f"{name} is {found}.")


def _never_ends(loader: object) -> bool:
    """Whether this is one of the endless iterators of Python's itertools."""
    endless = isinstance(loader, itertools.repeat) and length_hint(loader, -1) < 0
    return endless or isinstance(loader, itertools.cycle | itertools.count)


def check_last_batch(loader: Iterable, model: nn.Module) -> None:
    """Raise ValueError where a last batch of one image would stop batch normalisation."""
    norms = {module for module in model.modules() if isinstance(module, nn.BatchNorm1d)}
    if not norms.difference(frozen_norms(model)):
        return
    plan = getattr(loader, "batch_sampler", None)
    plan = loader if plan is None else plan
    if isinstance(plan, list | tuple) and any(len(rows) == 1 for rows in plan):
        raise ValueError(one_image("One batch of the batch_sampler"))
    if isinstance(plan, BatchSampler) and type(plan) is not BatchSampler:
        return  # of the user's own: only it knows its batches
    size = getattr(plan, "batch_size", None)
    drawn = getattr(plan, "sampler", getattr(plan, "indices", None))  # not all images may be drawn
    if not isinstance(size, int) or not hasattr(drawn, "__len__"):
        return
    if size == 1 or (len(drawn) % size == 1 and not getattr(plan, "drop_last", False)):
        one = f"With {len(drawn):,} images in batches of {size}, one batch"
        raise ValueError(one_image(one))


def read_batch(batch: object) -> tuple[Tensor, Tensor]:
    """Images (B, …) and labels (B,) of one batch of a loader.

    Raises:
        TypeError: where the batch is no pair of tensors.
        ValueError: where the labels are no class numbers; the message says how to make them.
    """
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        count = f"{len(batch)} parts" if isinstance(batch, tuple | list) else "one part"
        raise TypeError(f"A batch has {count} ({type(batch).__name__}); give (images, labels).")
    for part, name in zip(batch, ("images", "labels"), strict=True):
        if not isinstance(part, Tensor):
            raise TypeError(
                f"The {name} of a batch are of type {type(part).__name__}; give tensors: "
                f"torch.as_tensor({name})."
            )
    images, labels = batch
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or len(labels) != len(images):
        one_hot = "; one-hot labels become class numbers with labels.argmax(1)"
        raise ValueError(
            f"A batch of {len(images)} images has labels of shape {tuple(labels.shape)}; it must "
            f"be ({len(images)},), a class number an image{one_hot if labels.ndim == 2 else ''}."
        )
    if not len(labels):
        raise ValueError("A batch has no image: leave empty batches out.")
    if labels.is_floating_point() or labels.is_complex():
        raise ValueError(
            f"The labels are {dtype_name(labels)}; class numbers are whole: labels.long()."
        )
    return images, labels


@contextmanager
def explaining_memory(loader: Iterable) -> Iterator[None]:
    """Say of memory that ran out which batch size was too much; smaller batches then fit.

    What the failed batch holds is let go: else the error would keep it as long as a notebook shows
    it, and the next try would fail too.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not _is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        size = getattr(loader, "batch_size", None)
        of_size = f" of {size} images" if isinstance(size, int) else ""
        raise torch.OutOfMemoryError(
            f"The memory is too small for this network with batches{of_size}: choose a smaller "
            "batch_size, smaller images or a smaller network."
        ) from error


def _is_out_of_memory(error: Exception) -> bool:
    kinds = (torch.OutOfMemoryError, MemoryError)
    words = ("out of memory", "can't allocate memory", "not enough memory")  # of MPS and of the CPU
    return isinstance(error, kinds) or any(text in str(error) for text in words)


def class_names(loader: Iterable) -> tuple[str, ...]:
    """The class names of a loader's data set; empty where it has none, or none in an order."""
    classes = getattr(getattr(loader, "dataset", None), "classes", ())
    ordered = isinstance(classes, Iterable) and not isinstance(classes, Set | Mapping)
    return tuple(map(str, classes)) if ordered else ()


def source_of(loader: Iterable) -> tuple[object, np.ndarray | Tensor | None]:
    """The data set of a loader, below torch's Subsets, and its rows; None for all or unknown."""
    data, rows = getattr(loader, "dataset", None), getattr(loader, "indices", None)
    while isinstance(data, Subset):
        inner = np.asarray(data.indices)
        data, rows = data.dataset, inner if rows is None else inner[rows]
    return data, rows


def begins_again(loader: Iterable | None) -> bool:
    """Whether a loader can surely be gone through twice, and without worker processes."""
    if isinstance(loader, DataLoader):
        return not (isinstance(loader.dataset, IterableDataset) or loader.num_workers)
    return isinstance(loader, list | tuple | BatchLoader)


def warn_of_order(loader: Iterable) -> None:
    """Warn where row i of what a loader gives is not item i of its data set."""
    if isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset):
        plan = loader.batch_sampler
        plain = plan is None or type(plan) is BatchSampler
        if not (plain and isinstance(getattr(plan, "sampler", loader.sampler), SequentialSampler)):
            warnings.warn(
                "This DataLoader shuffles or chooses: row i of the predictions is not image i of "
                "its data set. Make it with shuffle=False and no sampler to look at single images.",
                stacklevel=3,
            )


def warn_of_augmenting(loader: Iterable) -> None:
    """Warn of a loader whose images are altered, where a network is judged on them."""
    if getattr(loader, "augment", None) is not None:
        warnings.warn(
            "This loader augments: the network is judged on images that are changed at random. "
            "Make a loader without augment to judge it on those that are there.",
            stacklevel=4,
        )


def origin_of(loader: Iterable) -> str:
    """Which data a loader gives; "" where its data set does not say."""
    return getattr(source_of(loader)[0], "origin", "")


def count_answers(loader: Iterable, predicted: np.ndarray | None = None) -> None:
    """Tell a loader's split that answers, or a whole training, are compared with its labels."""
    split, _ = source_of(loader)
    if isinstance(split, ImageSplit):
        split.note_answers(predicted)


def check_labels(labels: Tensor, classes: int) -> None:
    """Raise ValueError unless all labels (B,) lie in 0 … classes − 1."""
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"A batch has labels from {low} to {high}, but there are {classes} classes, so they "
            f"must lie in 0 … {classes - 1}."
        )


def check_logits(logits: Tensor, labels: Tensor, classes: tuple[str, ...]) -> None:
    """Raise ValueError unless the network's output (B, C) has a column for each class."""
    if logits.ndim != 2 or len(logits) != len(labels):
        raise ValueError(
            f"The model gives an output of shape {tuple(logits.shape)} for {len(labels)} images; "
            f"it must give logits (batch, classes). Is a Flatten or a Linear layer missing?"
        )
    if classes and logits.shape[1] != len(classes):
        raise ValueError(
            f"The model gives {logits.shape[1]} logits an image, but the data have {len(classes)} "
            f"classes ({', '.join(classes)}): give its last layer {len(classes)} outputs."
        )
    check_labels(labels, logits.shape[1])
