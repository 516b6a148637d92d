"""What a loader gives, and whether a network can be trained on it: the usual slips, by name."""

import traceback
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.data import BatchSampler, Dataset

from labkit.data.image_data import ImageData, ImageSplit

NO_BATCH = "The loader gives no batch: the split is empty."


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
    elif not isinstance(loader, Iterable):
        found = f"of type {type(loader).__name__}, which gives no batches (images, labels)"
    else:
        return
    raise TypeError(f"{name} is {found}.")


def check_last_batch(loader: Iterable, model: nn.Module) -> None:
    """Raise ValueError where a last batch of one image would stop batch normalisation."""
    if not any(isinstance(module, nn.BatchNorm1d) for module in model.modules()):
        return
    plan = getattr(loader, "batch_sampler", None)
    plan = loader if plan is None else plan
    if isinstance(plan, list | tuple) and any(len(rows) == 1 for rows in plan):
        raise ValueError(_one_image("One batch of the batch_sampler"))
    if isinstance(plan, BatchSampler) and type(plan) is not BatchSampler:
        return  # of the user's own: only it knows its batches
    size = getattr(plan, "batch_size", None)
    drawn = getattr(plan, "sampler", getattr(plan, "indices", None))  # not all images may be drawn
    if not isinstance(size, int) or not hasattr(drawn, "__len__"):
        return
    if size == 1 or (len(drawn) % size == 1 and not getattr(plan, "drop_last", False)):
        one = f"With {len(drawn):,} images in batches of {size}, one batch"
        raise ValueError(_one_image(one))


def _one_image(which: str) -> str:
    return (
        f"{which} has a single image, and batch normalisation has no spread to work with: choose "
        "another batch_size (or drop_last=True in a DataLoader)."
    )


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
        raise ValueError(f"The labels are {_kind(labels)}; class numbers are whole: labels.long().")
    return images, labels


def _kind(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def explain_failure(error: Exception, model: nn.Module, images: Tensor) -> None:
    """Raise what is behind an error of a network's forward pass, or add a note to it."""
    weights = next((p for p in model.parameters() if p.is_floating_point()), images)
    if not images.is_floating_point():
        raise ValueError(
            f"The images are {_kind(images)}, and the network computes with {_kind(weights)}: "
            "divide them by 255 (images.float() / 255), or normalise them."
        ) from error
    if images.dtype != weights.dtype:
        raise ValueError(
            f"The images are {_kind(images)}, and the network's weights {_kind(weights)}: "
            f"turn them with images.to(torch.{_kind(weights)})."
        ) from error
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] not in (1, 3):
        raise ValueError(
            f"A batch has the shape {tuple(images.shape)}, with the colours last; PyTorch wants "
            "(batch, channels, height, width): images.permute(0, 3, 1, 2)."
        ) from error
    normalises = any(isinstance(module, _BatchNorm) for module in model.modules())
    if normalises and len(images) == 1 and model.training:
        raise ValueError(_one_image("A batch")) from error
    error.add_note(f"The batch has the shape {tuple(images.shape)}, {_kind(images)}.")


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
    """The class names of a loader's data set; empty where it has none, or only their number."""
    classes = getattr(getattr(loader, "dataset", None), "classes", ())
    return tuple(map(str, classes)) if isinstance(classes, Iterable) else ()


def origin_of(loader: Iterable) -> str:
    """Which data a loader gives; "" where its data set does not say."""
    return getattr(getattr(loader, "dataset", None), "origin", "")


def count_answers(loader: Iterable, predicted: np.ndarray | None = None) -> None:
    """Tell a loader's split that answers, or a whole training, are compared with its labels."""
    split = getattr(loader, "dataset", None)
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


def check_output(output: object) -> None:
    """Raise TypeError unless a network gave one tensor."""
    if not isinstance(output, Tensor):
        kind = "nothing" if output is None else f"a {type(output).__name__}"
        raise TypeError(
            f"The model gives {kind}; its forward must return one tensor, the logits "
            "(batch, classes)."
        )


def check_loss(loss: object, logits: Tensor, criterion: nn.Module) -> None:
    """Raise ValueError unless a batch's loss can be learnt from; warn of a softmax too many."""
    if not isinstance(loss, Tensor) or loss.ndim:
        shape = "type " + type(loss).__name__
        shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else shape
        raise ValueError(
            f"The criterion gives a loss of {shape}; it must be a tensor of shape (), the mean "
            "over the batch: loss.mean()."
        )
    if not loss.requires_grad:
        raise ValueError(
            "The loss depends on no parameter that is trained, so nothing would be learnt: does "
            "the model or the criterion cut the gradients, with detach, torch.no_grad or argmax?"
        )
    logits = logits.detach()
    off = float((logits.exp().sum(1) - 1).abs().max())
    # both bounds leave room for what bf16 rounds: a 256th of a probability, a 64th of a logarithm
    if isinstance(criterion, nn.NLLLoss) and not off < 0.03:
        raise ValueError(
            "NLLLoss takes log-probabilities, and the model gives none: for logits take "
            "torch.nn.CrossEntropyLoss()."
        )
    adds_up = bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 2**-8).all())
    if isinstance(criterion, nn.CrossEntropyLoss) and adds_up and logits.shape[1] > 1:
        warnings.warn(
            "The model gives probabilities (each row adds up to 1), and CrossEntropyLoss takes a "
            "softmax itself: leave the Softmax out of the model, else it learns slowly and all "
            "confidences are too low.",
            stacklevel=5,
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
