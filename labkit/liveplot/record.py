"""What a live plot shows, as plain Python: curves, a confusion matrix, and where training is."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from labkit.training.history import History, higher_is_better


@dataclass
class Curve:
    """One line of the plot.

    Args:
        panel: the metric it belongs to, "loss".
        name: what the legend calls it, "validation".
        part: ``"training"``, ``"validation"`` or ``"batches"``, which decides its style.
        number: 0, 1, … for the first, second run, which decides its colour.
        x: epochs or steps.
        y: values.
    """

    panel: str
    name: str
    part: str
    number: int = 0
    x: list[float] = field(default_factory=list)
    y: list[float] = field(default_factory=list)

    @property
    def full_name(self) -> str:
        """The name with the metric: "validation loss"."""
        return self.name if self.panel in self.name.lower() else f"{self.name} {self.panel}"


class Record:
    """All that a plot knows: the histories of ``fit``, and the values that a loop reported.

    Args:
        class_names: names for the matrix; None for those of the data.
        matrix_name: what the matrix shows.
        metric: the metric of the second panel.
        batches: whether to show the loss of every batch.
    """

    def __init__(
        self,
        class_names: Sequence[str] | None = None,
        matrix_name: str = "validation images",
        metric: str = "accuracy",
        batches: bool = False,
    ) -> None:
        self.class_names = class_names and [str(name) for name in class_names]
        self.matrix_name, self.metric, self.batches = matrix_name, metric, batches
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

    def add_value(self, name: str, value: float) -> None:
        """Add a reported value to its curve, at the present step or one after its last."""
        words = name.lower().split() or ["value"]
        panel = "loss" if "loss" in words else words[-1]
        part = "training" if words[0].startswith("train") else "validation"
        if name not in self.reported:
            alike = [c for c in self.reported.values() if (c.panel, c.part) == (panel, part)]
            self.reported[name] = Curve(panel, name, part, len(alike))
        curve = self.reported[name]
        after_last = curve.x[-1] + 1 if curve.x else 1
        curve.x.append(max(self.position, after_last))
        curve.y.append(float(value))

    def curves(self) -> list[Curve]:
        """Every line, background first."""
        curves = []
        for number, (run, history) in enumerate(self.histories.items()):
            if self.batches and history.batch_losses:
                x, y = _every_batch(history.batch_losses)
                curves.append(Curve("loss", f"{run} batches".strip(), "batches", number, x, y))
            for metric in ("loss", self.metric):
                for short, part in (("train", "training"), ("val", "validation")):
                    if history and f"{short}_{metric}" in history[0]:
                        x, y = history.column("epoch"), history.column(f"{short}_{metric}")
                        curves.append(Curve(metric, f"{run} {part}".strip(), part, number, x, y))
        return curves + list(self.reported.values())

    def legend(self) -> list[Curve]:
        """Entries of a still legend: one a line, or with several trainings one for each of them."""
        if len(self.histories) < 2:
            return list({curve.name: curve for curve in self.curves()}.values())
        runs = [Curve("", run, "validation", n) for n, run in enumerate(self.histories)]
        return [
            *runs,
            Curve("", "training", "training", 7),
            Curve("", "validation", "validation", 7),
        ]

    def panels(self) -> list[str]:
        """The metrics that have a panel: the loss first, then at most two others."""
        names = dict.fromkeys(curve.panel for curve in self.curves())
        names = names or {"loss": None, self.metric: None}
        return sorted(names, key=lambda name: name != "loss")[:3]

    def matrix(self) -> np.ndarray | None:
        """The latest confusion matrix, int (C, C), rows true; None before the first."""
        if self.history is not None and self.history.confusion_matrices:
            return self.history.confusion_matrices[-1]
        return self.reported_matrix

    def matrix_labels(self) -> list[str]:
        """The class names of the matrix, short enough for its axes."""
        classes = self.history.classes if self.history is not None else ()
        names = self.class_names or classes or range(len(self.matrix()))
        return [str(name).replace("immature granulocyte", "immature gran.") for name in names]

    def headline(self) -> str:
        """Where training is, its best epoch, and how long it will take, in one line."""
        if self.history is None:
            total = f" of {self.limit}" if self.limit else ""
            done = int(max([self.position, *(curve.x[-1] for curve in self.reported.values())]))
            parts = [f"step {done}{total}" if done else "waiting for the first value"]
            elapsed = time.perf_counter() - self.started
            seconds = elapsed / max(done, 1) * (self.limit - done)
        else:
            done, planned = len(self.history), self.history.planned_epochs
            total = f" of {planned}" if planned else ""
            parts = [f"epoch {done}{total}" if done else "waiting for the first epoch"]
            parts += [self._best()] if done else []
            seconds = (planned - done) * _recent_seconds(self.history)
        if done and seconds > 0 and not self.finished:
            parts.append(f"about {duration(seconds)} left")
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
        last = [
            f"{curve.full_name} {curve.y[-1]:.4g}"
            for curve in self.curves()
            if curve.y and curve.part != "batches"
        ]
        text = f"Training curves. {self.headline()}."
        if last:
            text += f" Last values: {', '.join(last)}."
        matrix = self.matrix()
        if matrix is not None:
            recall = np.diag(matrix) / np.maximum(matrix.sum(1), 1)
            worst = self.matrix_labels()[int(recall.argmin())]
            text += (
                f" Confusion matrix of {int(matrix.sum()):,} {self.matrix_name}: the lowest recall "
                f"is {100 * recall.min():.0f} %, of {worst}."
            )
        return text


def _every_batch(epochs: list[list[float]]) -> tuple[list[float], list[float]]:
    x = [
        epoch + (batch + 1) / len(losses)
        for epoch, losses in enumerate(epochs)
        for batch in range(len(losses))
    ]
    return x, [loss for losses in epochs for loss in losses]


def _recent_seconds(history: History) -> float:
    recent = history[-5:]
    return sum(epoch.get("seconds", 0.0) for epoch in recent) / max(len(recent), 1)


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Example:
        >>> duration(100)
        '1 min 40 s'
    """
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes} min {rest} s" if minutes else f"{max(rest, 1)} s"


def thin(x: Sequence[float], y: Sequence[float], limit: int = 300) -> tuple[list, list]:
    """Keep at most about `limit` points of a curve, its ends and every extreme among them.

    Args:
        x: positions (N,).
        y: values (N,); NaN and infinite ones become None, a gap.
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
    return digits, [float(f"{y[i]:.5g}") if math.isfinite(y[i]) else None for i in keep]
