"""``Predictions``: what a network said of a split, and every question one may ask of it."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from numbers import Integral

import numpy as np
import pandas as pd
from scipy.special import log_softmax, softmax
from sklearn.metrics import classification_report, f1_score
from sklearn.metrics import confusion_matrix as count_confusions

from labkit.arrays import to_numpy, warn_of_probabilities
from labkit.data.origin import Origin
from labkit.statistics import wilson_interval


@dataclass(eq=False)
class Predictions:
    """The logits of a network for each image of a split, with the true classes.

    Args:
        logits: float (N, C), before the softmax.
        labels: int (N,), the true classes.
        classes: the C class names.
        origin: which data were used.
        indices: int (N,), the rows of the split; None for 0 … N − 1.

    Raises:
        ValueError: where the shapes do not fit together, or logits are NaN.

    Example:
        >>> result = Predictions([[2.0, 0.0], [0.0, 1.0], [3.0, 1.0]], [0, 1, 1], ("a", "b"))
        >>> round(result.accuracy, 3)
        0.667
    """

    logits: np.ndarray
    labels: np.ndarray
    classes: Sequence[str]
    origin: Origin | str = ""
    indices: np.ndarray | None = None

    def __post_init__(self) -> None:
        self.logits, labels = to_numpy(self.logits).astype(float), to_numpy(self.labels)
        if labels.dtype.kind not in "biuf" or (labels % 1 != 0).any():
            raise ValueError("labels are no whole numbers; give class numbers, from 0.")
        self.labels = labels.astype(int)
        if isinstance(self.classes, Set):
            raise ValueError(f"classes is {self.classes!r}, which has no order; give a list.")
        self.classes, self.origin = tuple(self.classes), Origin(self.origin)
        expected = (len(self.labels), len(self.classes))
        if self.logits.shape != expected or not self.logits.size:
            raise ValueError(
                f"logits have the shape {self.logits.shape}; with {expected[0]} labels and "
                f"{expected[1]} classes it must be {expected}, and not be empty."
            )
        if lost := int((~np.isfinite(self.logits.max(1))).sum()):
            raise ValueError(
                f"The logits of {lost:,} of {expected[0]:,} images are NaN or infinite, so they "
                "predict nothing. Did the training diverge, or are there NaN in the images?"
            )
        if self.labels.ndim != 1 or not 0 <= self.labels.min() <= self.labels.max() < expected[1]:
            raise ValueError(
                f"labels have the shape {self.labels.shape}, {self.labels.min()} … "
                f"{self.labels.max()}; it must be ({expected[0]},), 0 … {expected[1] - 1}."
            )
        self.indices = np.arange(expected[0]) if self.indices is None else np.asarray(self.indices)
        if self.indices.shape != self.labels.shape:
            raise ValueError(f"There are {expected[0]} labels but {len(self.indices)} indices.")
        warn_of_probabilities(self.logits)

    def __repr__(self) -> str:
        low, high = self.accuracy_interval()
        return (
            f"Predictions: accuracy {100 * self.accuracy:.2f} % "
            f"(95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {len(self.labels):,}), "
            f"macro F1 {self.macro_f1:.3f}; data: {self.origin or 'not stated'}"
        )

    @property
    def probabilities(self) -> np.ndarray:
        """Float (N, C): the softmax of the logits."""
        return softmax(self.logits, axis=1)

    @property
    def predicted(self) -> np.ndarray:
        """Int (N,): the class with the largest logit."""
        return self.logits.argmax(axis=1)

    @property
    def confidence(self) -> np.ndarray:
        """Float (N,): the probability of the predicted class."""
        return self.probabilities.max(axis=1)

    @property
    def correct(self) -> np.ndarray:
        """Bool (N,): whether the prediction is right."""
        return self.predicted == self.labels

    @property
    def accuracy(self) -> float:
        """The share of right predictions."""
        return float(self.correct.mean())

    @property
    def macro_f1(self) -> float:
        """The mean of the classes' F1 scores, each class counting the same."""
        classes = range(len(self.classes))
        return float(
            f1_score(self.labels, self.predicted, labels=classes, average="macro", zero_division=0)
        )

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        rows = np.arange(len(self.labels))
        return float(-log_softmax(self.logits, axis=1)[rows, self.labels].mean())

    def accuracy_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the accuracy: how far chance in the test images reaches."""
        return wilson_interval(int(self.correct.sum()), len(self.labels))[1:]

    def confusion_matrix(self, normalize: str | None = None) -> np.ndarray:
        """Count how often each true class was predicted as each class.

        Args:
            normalize: None for counts; ``"true"`` for shares of each row (a class without
                images has a row of zeros).

        Returns:
            (C, C), rows true, columns predicted; int, or float for shares.

        Example:
            >>> Predictions([[1, 0], [1, 0]], [0, 1], ("a", "b")).confusion_matrix()
            array([[1, 0],
                   [1, 0]])
        """
        if normalize not in (None, "true"):
            raise ValueError(f'normalize is {normalize!r}; choose None or "true".')
        return count_confusions(
            self.labels, self.predicted, labels=range(len(self.classes)), normalize=normalize
        )

    def most_confused(self, n: int = 2) -> list[tuple[str, str, int]]:
        """The n most frequent mistakes: (true class, predicted class, how often)."""
        errors = self.confusion_matrix()
        np.fill_diagonal(errors, -1)
        order = np.argsort(-errors, axis=None, kind="stable")[: (errors >= 0).sum()][:n]
        pairs = zip(*np.unravel_index(order, errors.shape), strict=True)
        return [(self.classes[t], self.classes[p], int(errors[t, p])) for t, p in pairs]

    def report(self) -> pd.DataFrame:
        """Precision, recall, f1 and support by class, then ``macro avg`` and ``weighted avg``."""
        numbers = range(len(self.classes))
        table = classification_report(
            self.labels, self.predicted, labels=numbers, output_dict=True, zero_division=0
        )
        frame = pd.DataFrame(table).T.drop(index=["accuracy", "micro avg"], errors="ignore")
        frame.index = [*self.classes, "macro avg", "weighted avg"]  # names may be like these, too
        return frame.rename(columns={"f1-score": "f1"}).astype({"support": int})

    @property
    def lowest_recall_class(self) -> str:
        """The name of the class whose images are missed most often (of those with images)."""
        classes = self.report().iloc[: len(self.classes)]
        return str(classes["recall"][classes["support"] > 0].idxmin())

    def misclassified(self, name: str | None = None, n: int | None = None) -> np.ndarray:
        """Find wrongly classified images, the most confident mistakes first.

        Args:
            name: only images of this true class; None for all.
            n: at most so many; None for all.

        Returns:
            int: rows of these predictions; ``result.indices[rows]`` are those of the split.

        Example:
            >>> Predictions([[1, 0], [5, 0]], [1, 1], ("a", "b")).misclassified("b")
            array([1, 0])
        """
        wrong = ~self.correct
        if name is not None:
            if name not in self.classes:
                known = ", ".join(self.classes)
                raise ValueError(f"There is no class {name!r}; the classes are: {known}.")
            wrong &= self.labels == self.classes.index(name)
        rows = np.flatnonzero(wrong)
        return rows[np.argsort(-self.confidence[rows], kind="stable")][:n]

    def confidence_quadrants(self, high: float = 0.9, low: float = 0.6) -> dict[str, np.ndarray]:
        """Sort images by confidence and correctness; those between the two limits are left out.

        Args:
            high: from this probability on, a prediction is confident.
            low: below it, a prediction is unsure.

        Returns:
            "confident correct", "confident wrong", "unsure correct", "unsure wrong": rows of these
            predictions; ``result.indices[rows]`` are those of the split.

        Example:
            >>> quadrants = Predictions([[9, 0], [9, 0]], [0, 1], ("a", "b")).confidence_quadrants()
            >>> {name: len(rows) for name, rows in quadrants.items() if len(rows)}
            {'confident correct': 1, 'confident wrong': 1}
        """
        if not 0 <= low <= high <= 1:
            raise ValueError(f"low is {low} and high is {high}; they need 0 ≤ low ≤ high ≤ 1.")
        levels = {"confident": self.confidence >= high, "unsure": self.confidence < low}
        outcomes = {"correct": self.correct, "wrong": ~self.correct}
        return {
            f"{level} {outcome}": np.flatnonzero(chosen & right)
            for level, chosen in levels.items()
            for outcome, right in outcomes.items()
        }

    def calibration_bins(self, bins: int = 15) -> pd.DataFrame:
        """Compare confidence with accuracy in bins of equal width.

        Args:
            bins: how many bins divide (0, 1], at least 1.

        Returns:
            A row for each bin with images: ``low``, ``high``, ``confidence``, ``accuracy``, ``n``.
        """
        if not isinstance(bins, Integral) or bins < 1:
            raise ValueError(f"bins is {bins!r}; it must be a whole number, at least 1.")
        # a bin is (low, high], so that a confidence of exactly 1 falls into the last one
        number = np.clip(np.ceil(self.confidence * bins).astype(int) - 1, 0, bins - 1)
        columns = {"confidence": self.confidence, "accuracy": self.correct, "n": 1}
        table = (
            pd.DataFrame(columns)
            .groupby(number)
            .agg({"confidence": "mean", "accuracy": "mean", "n": "sum"})
        )
        table.insert(0, "low", table.index / bins)
        table.insert(1, "high", (table.index + 1) / bins)
        return table.reset_index(drop=True)

    def calibration_error(self, bins: int = 15) -> float:
        """The expected calibration error: mean ``|accuracy − confidence|``, weighted by bin size.

        Source: Guo et al. (2017), On Calibration of Modern Neural Networks, ICML.
        """
        table = self.calibration_bins(bins)
        gaps = (table["accuracy"] - table["confidence"]).abs()
        return float(np.average(gaps, weights=table["n"]))
