"""``Entry``: all that a data set is, also its files, its reader and its stand-in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

from labkit.data.download import RemoteFile
from labkit.data.image_split import ImageSplit

Splits = dict[str, ImageSplit]


@dataclass(frozen=True)
class Card:
    """What must be said wherever the images are used."""

    licence: str
    citation: str
    notes: tuple[str, ...]


DRAWN = Card(
    "MIT (made by labkit)",
    "labkit.data.drawn",
    ("Drawn by a program: good for testing methods, says nothing about real images.",),
)


@dataclass(frozen=True)
class Entry:
    """One data set."""

    name: str  # what `load_dataset` is asked for
    title: str  # its name for people
    sizes: Sequence[int]  # pixels a side that there are; a range where any size can be made
    card: Card  # of the real images
    files: Callable[[int], tuple[RemoteFile, ...]]  # what must be there to read a size
    # from the paths of those files and the size to the splits; None where they are always drawn
    read: Callable[[list[Path], int], Splits] | None
    # from a size to splits that replace the real ones, and a phrase that says what they are
    stand_in: Callable[[int], tuple[Splits, str]]
    stand_in_card: Card = DRAWN
    default_size: int = 28

    def check_size(self, size: int | None) -> int:
        """The size to use: the default for None.

        Raises:
            ValueError: when the data set does not come in this size; says which there are.
        """
        size = self.default_size if size is None else size
        if isinstance(size, Integral) and size in self.sizes:
            return int(size)
        if isinstance(self.sizes, range):
            allowed = f"any from {self.sizes[0]} to {self.sizes[-1]} pixels"
        else:
            allowed = f"one of {', '.join(map(str, self.sizes))}"
        raise ValueError(f"{self.title} has no size {size!r}; choose {allowed}.")
