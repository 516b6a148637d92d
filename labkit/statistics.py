"""How far chance reaches: intervals for shares and means, a paired test of two networks."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from scipy.stats import binomtest
from scipy.stats import t as student_t

__all__ = [
    "Interval",
    "McNemar",
    "bootstrap_interval",
    "mcnemar",
    "mean_interval",
    "wilson_interval",
]


def __dir__() -> list[str]:  # what Tab shows after the module's name
    return __all__


class Interval(NamedTuple):
    """A mean and the two ends of its 95 % interval."""

    mean: float
    low: float
    high: float


def wilson_interval(hits: float, n: int) -> Interval:
    """A share and its 95 % Wilson interval.

    Args:
        hits: how many of ``n`` (rounded to a whole number for the interval).
        n: how many in all.

    Raises:
        ValueError: when ``n`` is 0, or ``hits`` not within 0 and ``n``.

    Example:
        >>> [round(v, 2) for v in wilson_interval(5, 10)]
        [0.5, 0.24, 0.76]
    """
    if n < 1 or n % 1 or not -1e-6 <= hits <= n + 1e-6:
        raise ValueError(f"hits is {hits} and n is {n}; give n of 1 or more, and hits from 0 to n.")
    interval = binomtest(round(hits), int(n)).proportion_ci(0.95, method="wilson")
    return Interval(float(hits / n), float(interval.low), float(interval.high))


def bootstrap_interval(values: np.ndarray, draws: int = 2000, seed: int = 0) -> Interval:
    """The mean of values and its 95 % bootstrap interval over images.

    Args:
        values: (N,), one an image.
        draws: how often N images are drawn with repetition.
        seed: of the draws.

    Raises:
        ValueError: when there are no values, or not one an image.

    Example:
        >>> bootstrap_interval(np.ones(5))
        Interval(mean=1.0, low=1.0, high=1.0)
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or not len(values):
        raise ValueError(f"values has the shape {values.shape}; give (N,), at least one number.")
    if draws < 1:
        raise ValueError(f"draws is {draws}; it must be at least 1.")
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    low, high = np.quantile(values[rows].mean(1), [0.025, 0.975])
    return Interval(float(values.mean()), float(low), float(high))


def mean_interval(values: Sequence[float], test_share: float) -> Interval:
    """Mean and 95 % interval of a number measured on several splits of the same images.

    The training parts overlap, so the values are less independent than they look. Nadeau and
    Bengio's correction widens the interval for that.

    Args:
        values: one number a split, at least two; for a comparison, the paired differences.
        test_share: test images divided by training images of a split: 0.25 in five folds.

    Source:
        Nadeau and Bengio, Inference for the generalization error, Machine Learning 52, 2003.

    Example:
        >>> mean, low, high = mean_interval([0.80, 0.82, 0.81, 0.83, 0.79], test_share=0.25)
        >>> round(mean, 2), round(low, 3), round(high, 3)
        (0.81, 0.781, 0.839)
    """
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"values has the shape {values.shape}; give at least two numbers.")
    if not test_share >= 0:
        raise ValueError(f"test_share is {test_share}; give test images / training images.")
    n, mean = len(values), float(values.mean())
    half = student_t.ppf(0.975, n - 1) * np.sqrt((1 / n + test_share) * values.var(ddof=1))
    return Interval(mean, mean - float(half), mean + float(half))


class Judged(Protocol):
    """Predictions of some images, as far as a comparison needs them."""

    labels: np.ndarray
    indices: np.ndarray

    @property
    def correct(self) -> np.ndarray:
        """Bool (N,): whether each prediction is right."""


class McNemar(NamedTuple):
    """What McNemar's test found: images that only one network got right, and the p-value."""

    only_a: int
    only_b: int
    p_value: float


def mcnemar(a: Judged, b: Judged) -> McNemar:
    """Test whether two networks differ on the same images (McNemar's exact test, two-sided).

    Args:
        a: one network's ``Predictions``.
        b: the other's, for the same images in the same order.

    Raises:
        ValueError: when the images are not the same.
        TypeError: for anything but predictions.

    Source: McNemar (1947), Psychometrika 12, 153–157.

    Example:
        >>> a = lk.Predictions([[1, 0]] * 6, [0] * 6, ("a", "b"))
        >>> b = lk.Predictions([[0, 1]] * 6, [0] * 6, ("a", "b"))
        >>> mcnemar(a, b)
        McNemar(only_a=6, only_b=0, p_value=0.03125)
    """
    for name, given in (("a", a), ("b", b)):
        if not hasattr(given, "correct"):
            raise TypeError(
                f"{name} is {given!r:.60}; give what lk.evaluate returns: the test goes by the "
                "answer to each image, which an accuracy no longer tells."
            )
    if not (np.array_equal(a.labels, b.labels) and np.array_equal(a.indices, b.indices)):
        raise ValueError(
            f"The two predictions, of {len(a.labels):,} and {len(b.labels):,} images, are not of "
            "the same images in the same order: evaluate both networks on one split."
        )
    only_a, only_b = int((a.correct & ~b.correct).sum()), int((b.correct & ~a.correct).sum())
    p = 1.0 if only_a + only_b == 0 else binomtest(only_a, only_a + only_b).pvalue
    return McNemar(only_a, only_b, float(p))
