"""``History``: the record of a training, and ``EarlyStopping``, the rule that ends it."""

from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import pandas as pd

from labkit.data.origin import Origin

METRICS = ("loss", "accuracy", "precision", "recall", "f1")


def check_column(column: str, argument: str, validates: bool) -> None:
    """Raise ValueError unless a training, with or without validation, records this column."""
    parts = ("train", "val") if validates else ("train",)
    known = [f"{part}_{metric}" for part in parts for metric in METRICS]
    if column not in (*known, "learning_rate", "seconds"):
        remedy = ": give val as well" if str(column).startswith("val_") and not validates else ""
        raise ValueError(f"{argument} is {column!r}{remedy}; choose one of {', '.join(known)}.")


def higher_is_better(column: str) -> bool:
    """Whether a larger value of a history column is the better one (not so for a loss)."""
    return not column.endswith(("loss", "seconds", "error"))


class History(list):
    """A list of epochs, each a dict of ``epoch``, ``train_loss``, ``val_accuracy`` and so on.

    Args:
        epochs: the records so far.
        classes: the class names.
        origin: which data were used.
        planned_epochs: how many epochs were asked for.
        setup: what was trained and how, as shown in the summary figure.

    Attributes:
        confusion_matrices: int (C, C) for each epoch, of the validation images (of the training
            images where there is no validation).
        batch_losses: the training losses of each epoch, one a batch.
        kept_epoch: the epoch whose weights the network has, where that is not simply the last one.

    Example:
        >>> history = History([{"epoch": 1, "val_loss": 0.9}, {"epoch": 2, "val_loss": 0.7}])
        >>> history.best("val_loss")["epoch"]
        2
    """

    def __init__(
        self,
        epochs: Iterable[dict] = (),
        classes: tuple[str, ...] = (),
        origin: str = "",
        planned_epochs: int = 0,
        setup: dict | None = None,
    ) -> None:
        super().__init__(epochs)
        self.classes, self.origin = classes, Origin(origin)
        self.planned_epochs, self.setup = planned_epochs, setup or {}
        self.confusion_matrices: list[np.ndarray] = []
        self.batch_losses: list[list[float]] = []
        self.kept_epoch: int | None = None

    def to_frame(self) -> pd.DataFrame:
        """The record as a table, one row an epoch."""
        return pd.DataFrame(list(self))

    def _short(self) -> pd.DataFrame:
        """What a cell shows: loss, accuracy and time, of at most ten epochs."""
        frame = self.to_frame()
        rows = [*range(len(frame))]
        rows = rows if len(rows) <= 10 else rows[:3] + rows[-7:]
        shown = [c for c in frame if c.endswith(("epoch", "loss", "accuracy", "seconds"))]
        short = frame[shown].iloc[rows].round(4)
        return short.set_index("epoch") if "epoch" in short else short

    def __repr__(self) -> str:
        if not self:
            return "History: no epoch has ended"
        return f"History of {len(self)} epochs\n{self._short()}"

    def _repr_html_(self) -> str:
        return f"History of {len(self)} epochs{self._short().to_html() if self else ''}"

    def column(self, name: str) -> list[float]:
        """One column as a list.

        Raises:
            ValueError: for an unknown column; lists those there are.
        """
        if self and name not in self[0]:
            raise ValueError(f"There is no column {name!r}; there are {', '.join(self[0])}.")
        return [epoch[name] for epoch in self]

    def best(self, column: str) -> dict:
        """The epoch in which a column was best: largest, or for a loss smallest.

        Raises:
            ValueError: for an unknown column, or when no epoch has ended.
        """
        values = self.column(column)
        if not values:
            raise ValueError("No epoch has ended yet, so there is no best one.")
        choose = np.argmax if higher_is_better(column) else np.argmin
        return self[int(choose(values))]


@dataclass
class EarlyStopping:
    """Stop when a column of the history has not improved for some epochs.

    Args:
        monitor: the column to watch; for a loss smaller is better, otherwise larger.
        patience: stop after so many epochs without improvement.
        min_delta: what counts as an improvement.
        restore_best: give the network its weights of the best epoch when training ends.

    Raises:
        ValueError: for a patience below 1 or a negative min_delta.

    Example:
        >>> rule = EarlyStopping(monitor="val_loss", patience=2)
        >>> rule.should_stop(History([{"val_loss": x} for x in (0.9, 0.8, 0.8, 0.8)]))
        True
    """

    monitor: str = "val_loss"
    patience: int = 5
    min_delta: float = 0.0
    restore_best: bool = True

    def __post_init__(self) -> None:
        whole = isinstance(self.patience, Integral) and not isinstance(self.patience, bool)
        least = self.min_delta if isinstance(self.min_delta, Real) else -1
        if not (whole and self.patience >= 1 and least >= 0):  # NaN is not
            raise ValueError(
                f"patience is {self.patience!r} and min_delta {self.min_delta!r}; they must be a "
                "whole number from 1, and at least 0."
            )

    def best_index(self, history: History) -> int:
        """The position of the last epoch that improved by more than ``min_delta``."""
        sign = 1 if higher_is_better(self.monitor) else -1
        best, position = -np.inf, 0
        for index, value in enumerate(history.column(self.monitor)):
            if sign * value > best + self.min_delta:
                best, position = sign * value, index
        return position

    def should_stop(self, history: History) -> bool:
        """Whether the last ``patience`` epochs brought no improvement."""
        return len(history) - 1 - self.best_index(history) >= self.patience
