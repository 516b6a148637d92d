"""``ImageData``: a data set of three splits, and the card that describes it."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape

import pandas as pd
from torch import Tensor

from labkit.data.image_split import ImageSplit
from labkit.data.loaders import BatchLoader, fast_rows
from labkit.data.origin import Origin
from labkit.data.transforms import Normalize
from labkit.display import STAND_IN_COLOUR

FAST_IMAGES = {"train": 1024, "val": 256, "test": 256}


@dataclass(eq=False, repr=False)
class ImageData:
    """A data set with its three splits and its card (shown when it stands last in a cell).

    Args:
        title: its name for people.
        train: the training split.
        val: the validation split, which chooses.
        test: the test split, which only reports.
        origin: which data this is: official, rebuilt, or a stand-in.
        licence: of the images.
        citation: of the images.
        notes: known defects, and what the data cannot show.

    Raises:
        ValueError: when the splits differ in their classes or in the shape of their images.
    """

    title: str
    train: ImageSplit
    val: ImageSplit
    test: ImageSplit
    origin: Origin | str
    licence: str = "not stated"
    citation: str = "not stated"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.origin = Origin(self.origin)
        for name, split in self.splits.items():
            if split.classes != self.classes:
                raise ValueError(
                    f"{name} has the classes {', '.join(split.classes)}, and train "
                    f"{', '.join(self.classes)}: one number would mean two classes. Give all three "
                    "the same names in the same order, and labels that count along them."
                )
            if split.images.shape[1:] != self.train.images.shape[1:]:
                raise ValueError(
                    f"Images of {name} are {tuple(split.images.shape[1:])}, of train "
                    f"{tuple(self.train.images.shape[1:])}: load them in one size."
                )

    @property
    def stand_in(self) -> bool:
        """Whether this replaces data that could not be had."""
        return self.origin.stand_in

    @property
    def classes(self) -> tuple[str, ...]:
        """The short class names, the same in every split."""
        return self.train.classes

    @property
    def splits(self) -> dict[str, ImageSplit]:
        """The three splits by name."""
        return {"train": self.train, "val": self.val, "test": self.test}

    def counts(self) -> pd.DataFrame:
        """Images by class (rows) and split (columns), with the totals."""
        table = pd.DataFrame({name: split.counts() for name, split in self.splits.items()})
        table["all"] = table.sum(axis=1)
        table.loc["all classes"] = table.sum()
        return table

    def loaders(
        self,
        batch_size: int = 64,
        normalize: Normalize = "half",
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> tuple[BatchLoader, BatchLoader, BatchLoader]:
        """Make the batch loaders of the three splits; only training is shuffled and augmented.

        In fast mode (``LABKIT_FAST=1``) each uses a fixed random part of its split.

        Args:
            batch_size: images a batch.
            normalize: ``"half"``, ``"none"``, ``"per_image"``, ``"imagenet"`` or (mean, std).
            augment: for the training images, for instance ``lk.Augment(flip=True)``.

        Returns:
            Loaders for training, validation and test, with batches on the lab's device.

        Example:
            >>> train, val, test = blood.loaders(batch_size=64)  # doctest: +SKIP
        """
        return tuple(
            split.loader(
                batch_size,
                shuffle=name == "train",
                normalize=normalize,
                augment=augment if name == "train" else None,
                indices=fast_rows(len(split), FAST_IMAGES[name]),
            )
            for name, split in self.splits.items()
        )

    def __repr__(self) -> str:
        banner = ["*** STAND-IN DATA: not the real images ***"] if self.stand_in else []
        shape = "x".join(map(str, self.train.images.shape[1:]))
        lines = [f"{self.title}: {len(self.classes)} classes, images {shape}", *banner]
        facts = [f"{name}: {text}" for name, text in self._facts()]
        return "\n".join([*lines, self.counts().to_string(), *facts])

    def _repr_html_(self) -> str:
        banner = (
            f"<p style='background:{STAND_IN_COLOUR};color:white;padding:4px 8px;"
            "display:inline-block'>"
            "<b>Stand-in data</b>: not the real images</p>"
            if self.stand_in
            else ""
        )
        shape = " × ".join(map(str, self.train.images.shape[1:]))
        facts = "".join(f"<li><b>{name}:</b> {escape(text)}</li>" for name, text in self._facts())
        return (
            f"<h4>{escape(self.title)}</h4>{banner}<p>{len(self.classes)} classes, images of "
            f"{shape} (channels × height × width)</p>{self.counts().to_html()}<ul>{facts}</ul>"
        )

    def _facts(self) -> list[tuple[str, str]]:
        facts = [("Origin", self.origin), ("Licence", self.licence), ("Source", self.citation)]
        return facts + [("Note", note) for note in self.notes]
