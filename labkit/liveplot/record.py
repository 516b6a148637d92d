"""What a live plot shows, as plain Python: curves, a confusion matrix, and where training is."""

import math
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from labkit.data.classes import short_name
from labkit.display import duration
from labkit.training.history import History, higher_is_better

VALIDATION = "validation images"


@dataclass
class Curve:
    """One line of the plot."""

    panel: str  # the metric it belongs to, "loss"
    name: str  # what the legend calls it, "validation"
    part: str  # "training" or "validation", which decides its style
    number: int = 0  # 0, 1, … for the first, second run, which decides its colour
    x: list[float] = field(default_factory=list)  # epochs or steps
    y: list[float] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """The name with the metric: "validation loss"."""
        return self.name if self.panel in self.name.lower() else f"{self.name} {self.panel}"


class Record:
    """All that a plot knows: the histories of ``fit``, and the values that a loop reported.

    Its arguments are those of ``LivePlot``.
    """

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        matrix_name: str = VALIDATION,
        metric: str = "accuracy",
    ) -> None:
        self.class_names = None if class_names is None else [str(name) for name in class_names]
        self.matrix_name, self.metric = matrix_name, metric
        self.histories: dict[str, History] = {}
        self.current = ""  # the run that is training now, or was the last to
        self.reported: dict[str, Curve] = {}
        self.reported_matrix: np.ndarray | None = None
        self.position = self.limit = 0
        self.started = time.perf_counter()
        self.finished = False

    @property
    def history(self) -> History | None:
        """The history of the current run."""
        return self.histories.get(self.current)

    @property
    def origin(self) -> str:
        """Which data the runs were trained on."""
        return self.history.origin if self.history is not None else ""

    @property
    def unit(self) -> str:
        """What the horizontal axis counts."""
        return "epoch" if self.histories else "step"

    @property
    def kept_epoch(self) -> int | None:
        """The epoch whose weights one finished training has, where it is not the last one."""
        if not self.finished or len(self.histories) != 1 or self.history.kept_epoch is None:
            return None
        return self.history.kept_epoch if self.history.kept_epoch < len(self.history) else None

    def add_value(self, name: str, value: float) -> None:
        """Add a reported value to its curve, at the present step or one after its last."""
        words = re.findall(r"[^\W_]+", name.lower()) or ["value"]  # also val_loss and Loss/train
        parts = [word for word in words if word.startswith(("train", "val", "test"))]
        metric = [word for word in words if word not in parts] or words
        panel = "loss" if "loss" in words else metric[-1]
        part = "training" if any(word.startswith("train") for word in parts) else "validation"
        if name not in self.reported:
            alike = [c for c in self.reported.values() if (c.panel, c.part) == (panel, part)]
            self.reported[name] = Curve(panel, name, part, len(alike))
        curve = self.reported[name]
        after_last = curve.x[-1] + 1 if curve.x else 1
        curve.x.append(max(self.position, after_last))
        curve.y.append(float(value))

    def curves(self) -> list[Curve]:
        """Every line."""
        curves = []
        for number, (run, history) in enumerate(self.histories.items()):
            for metric in ("loss", self.metric):
                for short, part in (("train", "training"), ("val", "validation")):
                    if history and f"{short}_{metric}" in history[0]:
                        x, y = history.column("epoch"), history.column(f"{short}_{metric}")
                        curves.append(Curve(metric, f"{run} {part}".strip(), part, number, x, y))
        return curves + list(self.reported.values())

    def legend(self) -> list[Curve]:
        """An entry a line; with several trainings one for each, and one for each style."""
        styles = [Curve("", part, part, 7) for part in ("training", "validation")]
        if len(self.histories) > 1:
            runs = [Curve("", run, "validation", n) for n, run in enumerate(self.histories)]
            return [*runs, *styles]
        shown = self.panels()
        names = {curve.name: curve for curve in self.curves() if curve.panel in shown}
        return list(names.values()) or [
            Curve("", part, part) for part in ("training", "validation")
        ]

    def panels(self) -> list[str]:
        """The metrics that have a panel: the loss first, then at most two others."""
        return self._metrics()[:3]

    def _metrics(self) -> list[str]:
        names = dict.fromkeys(curve.panel for curve in self.curves())
        if len(names) < 2:  # their place is kept from the first moment
            names |= {"loss": None, self.metric: None}
        return sorted(names, key=lambda name: name != "loss")

    def span(self) -> tuple[float, float]:
        """The ends of the horizontal axis: to the planned end, or the present one where unknown."""
        ends = [curve.x[-1] for curve in self.curves() if curve.x]
        ends += [history.planned_epochs for history in self.histories.values()]
        last = max([self.limit, *ends, 1])
        if self.finished and len(self.histories) == 1:
            last = max(len(self.history), 1)  # after an early end: what there was
        return (1.0, float(last)) if last > 1 else (0.5, 1.5)

    def matrix(self) -> np.ndarray | None:
        """The latest confusion matrix, or that of the kept epoch; int (C, C), rows true."""
        if self.history is None:
            return self.reported_matrix
        matrices = self.history.confusion_matrices
        return matrices[(self.kept_epoch or 0) - 1] if matrices else None

    def shows_matrix(self) -> bool:
        """Whether there is a matrix, or will be one."""
        known = self.class_names or self.reported_matrix is not None
        return self.history is not None or bool(known)

    def matrix_title(self) -> str:
        """What the matrix shows, and of which epoch."""
        epoch = ""
        if self.history:
            kept = self.kept_epoch
            epoch = f", epoch {kept} (kept)" if kept else f", epoch {len(self.history)}"
        return f"{self._matrix_of()}, % of a row{epoch}"

    def _matrix_of(self) -> str:
        trained = self.history and "val_loss" not in self.history[0]
        return "training images" if trained and self.matrix_name == VALIDATION else self.matrix_name

    def matrix_labels(self) -> list[str]:
        """The class names of the matrix, short enough for its axes."""
        classes = self.history.classes if self.history is not None else ()
        matrix = self.matrix()
        names = self.class_names or classes or range(0 if matrix is None else len(matrix))
        return [short_name(str(name)) for name in names]

    def headline(self) -> str:
        """Where training is and its best epoch; for a loop of one's own the time left, too."""
        if self.history is not None:
            done, planned = len(self.history), self.history.planned_epochs
            parts = [f"epoch {done} of {planned}" if done else "waiting for the first epoch"]
            parts += [self._best()] if done else []
        else:
            total = f" of {self.limit}" if self.limit else ""
            done = int(max([self.position, *(curve.x[-1] for curve in self.reported.values())]))
            parts = [f"step {done}{total}" if done else "waiting for the first value"]
            seconds = (time.perf_counter() - self.started) / max(done, 1) * (self.limit - done)
            if done and seconds > 0 and not self.finished:
                parts.append(f"about {duration(seconds)} left")
        if not all(drawable(y) for curve in self.curves() for y in curve.y):
            parts.append("some values are NaN, infinite or too large to draw")
        if left_out := self._metrics()[3:]:
            parts.append(f"no room for {', '.join(left_out)}")
        return " · ".join(([self.current] if self.current else []) + parts)

    def _best(self) -> str:
        columns = (f"val_{self.metric}", f"train_{self.metric}", "val_loss", "train_loss")
        column = next(column for column in columns if column in self.history[0])
        best, (part, _, metric) = self.history.best(column), column.partition("_")
        share = higher_is_better(column) and 0 <= best[column] <= 1
        value = f"{100 * best[column]:.1f} %" if share else f"{best[column]:.4g}"
        part = "validation" if part == "val" else "training"
        return f"best {part} {metric} {value} (epoch {best['epoch']})"

    def description(self) -> str:
        """The plot in words, for those who cannot see it and for files without pictures."""
        last = [f"{curve.full_name} {curve.y[-1]:.4g}" for curve in self.curves() if curve.y]
        text = f"Training curves. {self.headline()}."
        if last:
            text += f" Last values: {', '.join(last)}."
        matrix = self.matrix()
        if matrix is not None and matrix.size:
            recall = np.where(matrix.sum(1) > 0, np.diag(row_shares(matrix)), np.inf)
            worst = self.matrix_labels()[int(recall.argmin())]
            text += f" Confusion matrix of {int(matrix.sum()):,} {self._matrix_of()}:"
            text += f" the lowest recall is {100 * recall.min():.0f} %, of {worst}."
        return text


def row_shares(matrix: np.ndarray) -> np.ndarray:
    """A confusion matrix (C, C) as shares of each row; a class without images has a row of zeros.

    Example:
        >>> row_shares(np.array([[3, 1], [0, 0]])).tolist()
        [[0.75, 0.25], [0.0, 0.0]]
    """
    sums = matrix.sum(1, keepdims=True)
    return matrix / np.where(sums > 0, sums, 1)


def thin(x: Sequence[float], y: Sequence[float], limit: int = 300) -> tuple[list, list]:
    """Keep at most about `limit` points of a curve, its ends and every extreme among them.

    Args:
        x: positions (N,).
        y: values (N,); what cannot be drawn becomes None, a gap.
        limit: points to keep.

    Returns:
        The two lists, rounded to five digits: a message stays small however long the training.

    Example:
        >>> len(thin(range(10_000), range(10_000))[0]) <= 302
        True
    """
    keep = np.arange(len(y))
    if len(y) > limit:
        values = np.nan_to_num(np.asarray(y, float))
        buckets = np.array_split(keep, limit // 2)
        extremes = [b[[values[b].argmin(), values[b].argmax()]] for b in buckets]
        keep = np.unique(np.concatenate([[0], *extremes, [len(y) - 1]]))
    digits = [float(f"{x[i]:.6g}") for i in keep]
    return digits, [float(f"{y[i]:.5g}") if drawable(y[i]) else None for i in keep]


def drawable(value: float) -> bool:
    """Whether a value has a place on an axis: not NaN, infinite or beyond 1e30."""
    return math.isfinite(value) and abs(value) < 1e30
