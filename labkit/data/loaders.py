"""Batches from memory: sliced, normalised and augmented as whole tensors, on the device.

There are no worker processes and there is no PIL: 28-pixel images fit in memory, and a batch is
one index operation. That is several times faster than ``DataLoader`` on one image at a time.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from labkit import settings
from labkit.data.transforms import Normalize, normalizer


class LabelledImages(Protocol):
    """What a ``BatchLoader`` needs of a data set; ``ImageSplit`` is one."""

    images: Tensor  # uint8 (N, C, H, W)
    labels: Tensor  # int64 (N,)


class BatchLoader:
    """Iterate over a split in ready batches.

    Random order and augmentation use PyTorch's global generator, so that ``seed_everything``
    fixes them and a resumed training continues them.

    Args:
        dataset: the split.
        batch_size: images a batch; the last one may be smaller.
        shuffle: a new random order in each epoch.
        normalize: see ``normalizer``.
        augment: a function of float images (B, C, H, W) in [0, 1], or None.
        device: where the batches are wanted.
        indices: use only these rows of the split (N',), or those of a mask (N,); None for all.

    Example:
        >>> images, labels = torch.zeros(10, 3, 28, 28, dtype=torch.uint8), torch.zeros(10).long()
        >>> loader = BatchLoader(lk.ImageSplit(images, labels, ("cell",)), batch_size=4)
        >>> [len(y) for x, y in loader]
        [4, 4, 2]
    """

    def __init__(
        self,
        dataset: LabelledImages,
        batch_size: int = 64,
        shuffle: bool = False,
        normalize: Normalize = "half",
        augment: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | str = "cpu",
        indices: Sequence[int] | np.ndarray | Tensor | None = None,
    ) -> None:
        if not (hasattr(dataset, "images") and hasattr(dataset, "labels")):
            kind = type(dataset).__name__
            raise TypeError(
                f"dataset is of type {kind}; give an ImageSplit, or a part of one, "
                "split.subset(rows). Others go into torch.utils.data.DataLoader(dataset, …)."
            )
        if not isinstance(batch_size, Integral) or batch_size < 1:
            raise ValueError(f"batch_size is {batch_size!r}; it must be a whole number from 1.")
        batch_size = int(batch_size)  # PyTorch takes none of NumPy's
        if augment is not None and (isinstance(augment, type) or not callable(augment)):
            raise ValueError(
                f"augment is {augment!r}; give a function, such as Augment(flip=True)."
            )
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.augment, self.normalize = augment, normalizer(normalize)
        self._settings = {"batch_size": batch_size, "shuffle": shuffle, "normalize": normalize}
        count = len(dataset.labels)
        self.indices = torch.arange(count) if indices is None else row_numbers(indices, count)
        if not len(self.indices):
            raise ValueError("indices choose no image; give at least one row.")
        self.device = torch.device(device)
        fits = dataset.images.nbytes < 1 << 30
        self._images = dataset.images.to(self.device) if fits else dataset.images
        self._labels = dataset.labels.to(self.device)

    def __repr__(self) -> str:
        settings = {**self._settings, "augment": self.augment}
        return f"BatchLoader({', '.join(f'{k}={v!r}' for k, v in settings.items())})"

    def __len__(self) -> int:
        return -(-len(self.indices) // self.batch_size)

    def in_order(self) -> "BatchLoader":
        """The same batches without shuffling, so that answers can be put beside their images."""
        loader = copy.copy(self)
        loader.shuffle = False
        return loader

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self.indices
        if self.shuffle:
            order = order[torch.randperm(len(order))]
        order = order.to(self._images.device)  # once: a copy a batch would wait for the device
        for rows in order.split(self.batch_size):
            # index_select copies whole images; indexing with [rows] takes ten times as long
            images = self._images.index_select(0, rows).to(self.device).float().div_(255)
            if self.augment is not None:
                images = _augmented(self.augment, images)
            yield self.normalize(images), self._labels.index_select(0, rows.to(self.device))


def _augmented(augment: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    changed = augment(images)
    if not isinstance(changed, Tensor):
        found = f"a {type(changed).__name__}"
    elif not changed.is_floating_point() or changed.ndim != 4 or len(changed) != len(images):
        found = f"{changed.dtype} {tuple(changed.shape)}".removeprefix("torch.")
    else:
        return changed
    raise ValueError(
        f"augment made {found} of {len(images)} images; it must give as many, as a tensor of "
        "floats from 0 to 1, (batch, channels, height, width)."
    )


def row_numbers(indices: Sequence[int] | np.ndarray | Tensor, images: int) -> Tensor:
    """Row numbers, also of a mask."""
    found = np.asarray(indices)
    if found.dtype == bool:
        if found.shape != (images,):
            raise ValueError(f"The mask has the shape {found.shape}; there are {images} images.")
        found = np.flatnonzero(found)
    if found.size and (found.dtype.kind not in "iu" or found.ndim != 1):
        raise ValueError(
            f"indices are {found.dtype} {found.shape}; give row numbers, a list of whole numbers, "
            f"or a mask of {images} booleans."
        )
    if images > 8 and found.shape == (images,) and set(np.unique(found).tolist()) <= {0, 1}:
        raise ValueError(
            f"indices are {images} numbers 0 and 1, one an image, which look like a mask: make it "
            "boolean, as in mask == 1."
        )
    found = found.astype(np.int64)  # a uint8 cannot hold the number of images
    outside = found[(found < -images) | (found >= images)]
    if outside.size:
        raise IndexError(f"There is no row {outside[0]}: the split has {images} images, from 0.")
    return torch.as_tensor(found % images if found.size else [], dtype=torch.long)


def fast_rows(images: int, wanted: int) -> Tensor | None:
    """A fixed random part of so many images in fast mode; None for all."""
    if not settings.fast() or images <= wanted:
        return None
    # a generator of its own: fast mode must not change what the lab draws afterwards
    return torch.randperm(images, generator=torch.Generator().manual_seed(0))[:wanted]
