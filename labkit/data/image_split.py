"""``ImageSplit``: labelled images in memory, of one part of a data set."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.utils.data import Dataset

from labkit.data.loaders import BatchLoader, row_numbers
from labkit.data.origin import Origin
from labkit.data.transforms import Normalize
from labkit.device import get_device


@dataclass(eq=False, repr=False)
class ImageSplit(Dataset):
    """Labelled images: ``split[i]`` is a float image in [0, 1] and its class number.

    Args:
        images: uint8 (N, C, H, W).
        labels: int64 (N,), from 0 to ``len(classes) - 1``.
        classes: short class names.
        origin: which data this is, as shown in every figure and result.
        files: (N,) the file of each image, where there is one.
        masks: bool (N, H, W) by name (``"nucleus"``, ``"cell"``), for drawn cells.
        answers: what was compared with the labels, see ``times_judged``; shared by subsets.

    Raises:
        ValueError: for an empty split, wrong shapes or dtypes, or labels outside the classes.

    Example:
        >>> images = torch.zeros(2, 3, 28, 28, dtype=torch.uint8)
        >>> image, label = ImageSplit(images, torch.tensor([0, 1]), ("a", "b"))[1]
        >>> image.shape, label
        (torch.Size([3, 28, 28]), 1)
        >>> ImageSplit(images, torch.tensor([0, 1]), ("a", "b"), origin="drawn")
        2 images 3x28x28 of 2 classes; drawn
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    origin: Origin | str = ""
    files: Sequence[str] | None = None
    masks: dict[str, np.ndarray] | None = None
    answers: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        if isinstance(self.classes, set | frozenset):
            raise ValueError("classes are a set, which has no order; give a list of names.")
        try:
            self.images, self.labels = torch.as_tensor(self.images), torch.as_tensor(self.labels)
        except (TypeError, ValueError) as error:  # names of classes, say
            raise ValueError(
                f"images and labels must be arrays of numbers ({error}); the number of a class is "
                "its place in classes, from 0."
            ) from None
        self.classes, self.origin = tuple(self.classes), Origin(self.origin)
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(
                f"images are {self.images.dtype} {tuple(self.images.shape)}; "
                "they must be torch.uint8 (N, C, H, W)."
            )
        if 0 in self.images.shape:
            raise ValueError(
                f"The split is empty: its images have the shape {tuple(self.images.shape)}."
            )
        if self.images.shape[1] > 4 >= self.images.shape[3]:
            raise ValueError(
                f"images have the shape {tuple(self.images.shape)}, the colours last; turn them "
                "round: images.permute(0, 3, 1, 2)."
            )
        if self.labels.is_floating_point():
            raise ValueError(f"labels are {self.labels.dtype}; they must be whole numbers.")
        self.labels = self.labels.long()
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"There are {len(self.images)} images, but labels of shape "
                f"{tuple(self.labels.shape)}; there must be one label an image."
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise ValueError(
                f"Labels go from {low} to {high}, but there are {len(self.classes)} classes "
                f"({', '.join(self.classes)}), so they must lie in 0 … {len(self.classes) - 1}."
            )

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.images.shape[1:]))
        origin = f"; {self.origin}" if self.origin else ""
        return f"{len(self):,} images {shape} of {len(self.classes)} classes{origin}"

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        if np.ndim(index) or isinstance(index, slice):
            raise TypeError("split[i] is one image: split.subset(rows) has several, or a mask's.")
        return self.images[index].float().div_(255), int(self.labels[index])

    @property
    def times_judged(self) -> int:
        """How many different sets of answers were compared with this split's labels.

        ``lk.evaluate`` counts each once, however often its cell runs, and ``lk.fit`` each training
        that it validates on the split. It is kept in memory: loading the data anew starts at 0, and
        what is computed from ``labels`` by other means is not seen.
        """
        return len(self.answers)

    def note_answers(self, predicted: np.ndarray | None = None) -> None:
        """Count predicted classes (N,), or None for a whole training, as ``times_judged`` says."""
        training = f"training {len(self.answers)}"
        self.answers.add(training if predicted is None else sha256(predicted.tobytes()).hexdigest())

    def subset(self, indices: Sequence[int] | np.ndarray | Tensor) -> "ImageSplit":
        """Return the split that has only these rows, in this order, or those of a mask (N,)."""
        rows = row_numbers(indices, len(self))
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            files=None if self.files is None else [self.files[i] for i in rows.tolist()],
            masks=self.masks and {name: mask[rows.numpy()] for name, mask in self.masks.items()},
        )

    def loader(
        self,
        batch_size: int = 64,
        shuffle: bool = False,
        normalize: Normalize = "half",
        augment: Callable[[Tensor], Tensor] | None = None,
        indices: Sequence[int] | np.ndarray | Tensor | None = None,
    ) -> BatchLoader:
        """Make a batch loader of this split on the lab's device; settings as in ``BatchLoader``.

        A batch is float (B, C, H, W), normalised, and int64 (B,), its labels.

        Example:
            >>> train = blood.train.loader(batch_size=64, shuffle=True)  # doctest: +SKIP
        """
        return BatchLoader(self, batch_size, shuffle, normalize, augment, get_device(), indices)

    def counts(self) -> pd.Series:
        """The number of images of each class."""
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        return pd.Series(counts.tolist(), index=list(self.classes), name="images")
