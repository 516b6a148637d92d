"""One pass over a loader: batches to the device, forward, backward, and one confusion matrix."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn


@contextmanager
def evaluating(model: nn.Module) -> Iterator[nn.Module]:
    """Put a network into ``eval`` mode; afterwards each of its modules has its own mode back."""
    training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield model
    finally:
        for module, state in training:
            module.training = state


_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Engine:
    """Where and how a network computes.

    Args:
        model: the network; it is moved to the device.
        device: where it runs.
        precision: ``"fp32"``, ``"bf16"`` or ``"fp16"``.
    """

    model: nn.Module
    device: torch.device
    precision: str
    layout: torch.memory_format = field(init=False)

    def __post_init__(self) -> None:
        convolutional = any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        self.layout = torch.channels_last if convolutional else torch.contiguous_format
        self.model.to(self.device, memory_format=self.layout)

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, C) of a batch, in full precision: a softmax in bf16 would blur the loss."""
        if self.precision == "fp32":
            return self.model(images)
        with torch.autocast(self.device.type, _DTYPES[self.precision]):
            return self.model(images).float()

    def batches(self, loader: Iterable) -> Iterator[tuple[Tensor, Tensor]]:
        """The loader's batches on the device, labels as int64 (B,)."""
        classes = class_names(loader)
        for images, labels in loader:
            if labels.ndim == 2 and labels.shape[1] == 1:
                labels = labels[:, 0]
            if classes and labels.device.type == "cpu":  # on a GPU this would wait for the device
                check_labels(labels, len(classes))
            images = images.to(self.device, non_blocking=True)
            if images.ndim == 4:
                images = images.contiguous(memory_format=self.layout)
            yield images, labels.to(self.device, non_blocking=True).long()


@dataclass
class PassResult:
    """What one pass over a loader gave.

    Args:
        loss: the mean loss over images.
        matrix: int (C, C), rows true, columns predicted.
        batch_losses: one loss a batch.
    """

    loss: float
    matrix: np.ndarray
    batch_losses: list[float]


def run_pass(
    engine: Engine,
    loader: Iterable,
    criterion: nn.Module,
    learn: Callable[[Tensor], None] | None = None,
    after_batch: Callable[[], None] = lambda: None,
) -> PassResult:
    """Send every batch of a loader through the network once.

    Losses and predictions stay on the device until the pass ends, so that no batch waits for the
    processor to hand a number back.

    Args:
        engine: the network and where it runs.
        loader: batches of (images, labels).
        criterion: the loss, a mean over the batch.
        learn: takes a batch's loss and updates the weights; None for validation.
        after_batch: called once a batch, for a progress bar.

    Returns:
        Loss and confusion matrix.

    Raises:
        ValueError: when the loader is empty or the logits do not fit the classes.
        NotFiniteLossError: when a loss is NaN or infinite.
    """
    engine.model.train(learn is not None)
    losses, sizes, predicted, truth = [], [], [], []
    classes = class_names(loader)
    with torch.set_grad_enabled(learn is not None):
        for images, labels in engine.batches(loader):
            logits = engine.logits(images)
            if not losses:
                check_logits(logits, labels, classes)
            elif not classes and labels.device.type == "cpu":
                check_labels(labels, logits.shape[1])
            loss = criterion(logits, labels)
            if learn is not None:
                learn(loss)
            losses.append(loss.detach().float())
            sizes.append(len(labels))
            predicted.append(logits.detach().argmax(1))
            truth.append(labels)
            after_batch()
    if not losses:
        raise ValueError("The loader gives no batch: the split is empty.")
    values = torch.stack(losses).double().cpu()
    if not values.isfinite().all():
        raise NotFiniteLossError(int((~values.isfinite()).nonzero()[0]), len(values))
    columns = logits.shape[1]
    pairs = torch.cat(truth) * columns + torch.cat(predicted)
    matrix = torch.bincount(pairs, minlength=columns**2).reshape(columns, columns)
    mean = torch.dot(values, torch.tensor(sizes).double()) / sum(sizes)
    return PassResult(float(mean), matrix.cpu().numpy(), values.tolist())


class NotFiniteLossError(FloatingPointError):
    """A loss is NaN or infinite; carries the number of the batch, from 0."""

    def __init__(self, batch: int, batches: int) -> None:
        super().__init__(f"batch {batch + 1} of {batches}")


def matrix_metrics(matrix: np.ndarray) -> dict[str, float]:
    """Accuracy and macro precision, recall and F1 of a confusion matrix.

    Args:
        matrix: counts (C, C), rows true, columns predicted.

    Returns:
        ``accuracy``, ``precision``, ``recall`` and ``f1``, from 0 to 1; a class that was never
        predicted, or never there, counts as 0.

    Example:
        >>> matrix_metrics(np.array([[2, 0], [1, 1]]))["accuracy"]
        0.75
    """
    hits = np.diag(matrix).astype(float)
    precision = hits / np.maximum(matrix.sum(0), 1)
    recall = hits / np.maximum(matrix.sum(1), 1)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return {
        "accuracy": float(hits.sum() / matrix.sum()),
        "precision": float(precision.mean()),
        "recall": float(recall.mean()),
        "f1": float(f1.mean()),
    }


def class_names(loader: Iterable) -> tuple[str, ...]:
    """The class names of a loader's data set; empty where it has none."""
    return tuple(getattr(getattr(loader, "dataset", None), "classes", ()))


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
