"""A network on its device, in its precision; and what one pass over a loader adds up to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from labkit.inference import output_of
from labkit.training.batches import (
    NO_BATCH,
    check_labels,
    check_logits,
    class_names,
    read_batch,
)
from labkit.training.randomness import random_state, set_random_state

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class Engine:
    """Where and how a network computes; it is moved to the device."""

    model: nn.Module
    device: torch.device
    precision: str  # "fp32", "bf16" or "fp16"
    layout: torch.memory_format = field(init=False)

    def __post_init__(self) -> None:
        convolutional = any(isinstance(module, nn.Conv2d) for module in self.model.modules())
        deep = any(parameter.ndim > 4 for parameter in self.model.parameters())
        last = convolutional and not deep  # the quicker layout, which only images can have
        self.layout = torch.channels_last if last else torch.contiguous_format
        self.model.to(self.device, memory_format=self.layout)
        self._tried = not last

    def close(self) -> None:
        """Give the network the layout back that its user's own code may count on."""
        if self.layout == torch.channels_last:
            self.model.to(memory_format=torch.contiguous_format)

    def batches(self, loader: Iterable) -> Iterator[tuple[Tensor, Tensor]]:
        """The loader's batches on the device, labels as int64 (B,)."""
        classes = class_names(loader)
        # a copy to the CPU that nobody waits for would be read before it has arrived
        options = {"device": self.device, "non_blocking": self.device.type != "cpu"}
        for batch in loader:
            images, labels = read_batch(batch)
            if classes and labels.device.type == "cpu":  # on a GPU this would wait for the device
                check_labels(labels, len(classes))
            images = images.to(**options)
            if images.ndim == 4:
                images = images.contiguous(memory_format=self.layout)
            yield images, labels.to(**options).long()

    def logits(self, images: Tensor) -> Tensor:
        """Logits (B, C) of a batch, in full precision: a softmax in bf16 would blur the loss."""
        with torch.autocast(
            self.device.type, _DTYPES.get(self.precision), enabled=self.precision in _DTYPES
        ):
            logits = output_of(self.model, images) if self._tried else self._try(images)
        return logits.float() if self.precision in _DTYPES else logits

    def _try(self, images: Tensor) -> Tensor:
        """The first batch: a forward that asks for `view` cannot have the quicker layout."""
        self._tried, before = True, ([b.clone() for b in self.model.buffers()], random_state([]))
        try:
            return output_of(self.model, images)
        except RuntimeError as error:
            if "view size is not compatible" not in str(error):
                raise
        with torch.no_grad():  # the first try may have moved running means
            for buffer, old in zip(self.model.buffers(), before[0], strict=True):
                buffer.copy_(old)
        set_random_state(before[1], [])
        self.close()
        self.layout = torch.contiguous_format
        return output_of(self.model, images.contiguous())


@dataclass
class PassResult:
    """What one pass over a loader gave."""

    loss: float  # the mean over images
    matrix: np.ndarray  # int (C, C), rows true, columns predicted
    batch_losses: list[float]

    def metrics(self) -> dict[str, float]:
        """Loss, accuracy, and macro precision, recall and F1; a class without hits counts as 0."""
        hits = np.diag(self.matrix).astype(float)
        precision = hits / np.maximum(self.matrix.sum(0), 1)
        recall = hits / np.maximum(self.matrix.sum(1), 1)
        both = precision + recall
        f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
        return {
            "loss": self.loss,
            "accuracy": float(hits.sum() / self.matrix.sum()),
            "precision": float(precision.mean()),
            "recall": float(recall.mean()),
            "f1": float(f1.mean()),
        }


class PassTotals:
    """Adds up the batches of one pass.

    Losses and predictions stay on the device until the pass ends, so that no batch waits for the
    processor to hand a number back. The loader's classes say how many logits there must be.
    """

    def __init__(self, loader: Iterable) -> None:
        self._classes = class_names(loader)
        self._losses: list[Tensor] = []
        self._weights: list[Tensor | int] = []
        self._predicted: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._columns = 0

    def check(self, logits: Tensor, labels: Tensor) -> None:
        """Raise ValueError where logits and labels of a batch do not fit together."""
        if not self._columns:
            check_logits(logits, labels, self._classes)
            self._columns = logits.shape[1]
        elif not self._classes and labels.device.type == "cpu":
            check_labels(labels, self._columns)

    def add(
        self, loss: Tensor, logits: Tensor, labels: Tensor, weight: Tensor | int | None = None
    ) -> None:
        """Take in a batch: its mean loss, its logits (B, C) and labels (B,).

        The weight is what the mean was divided by; the number of images if not given.
        """
        self._losses.append(loss.detach())
        self._weights.append(len(labels) if weight is None else weight)
        self._predicted.append(logits.detach().argmax(1))
        self._labels.append(labels)

    def result(self) -> PassResult:
        """Loss and confusion matrix of the pass.

        Raises:
            ValueError: when there was no batch.
            NotFiniteLossError: when a loss is NaN or infinite.
        """
        if not self._losses:
            raise ValueError(NO_BATCH)
        losses = torch.stack(self._losses).cpu().double()  # Apple's chips have no float64
        if not losses.isfinite().all():
            raise NotFiniteLossError(int((~losses.isfinite()).nonzero()[0]), len(losses))
        on_device = isinstance(self._weights[0], Tensor)
        weights = torch.stack(self._weights).cpu() if on_device else torch.tensor(self._weights)
        pairs = torch.cat(self._labels) * self._columns + torch.cat(self._predicted)
        matrix = torch.bincount(pairs, minlength=self._columns**2)
        return PassResult(
            float(torch.dot(losses, weights.double()) / weights.sum()),
            matrix.reshape(self._columns, self._columns).cpu().numpy(),
            losses.tolist(),
        )


class NotFiniteLossError(FloatingPointError):
    """A loss is NaN or infinite; carries the number of the batch, from 0."""

    def __init__(self, batch: int, batches: int) -> None:
        super().__init__(f"batch {batch + 1} of {batches}")
