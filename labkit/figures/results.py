"""Figures of a training and of predictions: curves, confusion matrix, reliability."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import auc, roc_curve

from labkit.data.classes import short_name
from labkit.figures.base import PALETTE, new_figure
from labkit.liveplot.painting import per_cent, row_shares
from labkit.metrics import Predictions
from labkit.training.history import History


def draw_confusion_matrix(ax: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    """Draw counts (C, C) on given axes, coloured and labelled with per cents of each row."""
    shares = row_shares(matrix)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*matrix.shape):
        if matrix[row, column]:
            share = shares[row, column]
            ink = {"fontsize": 8, "color": "white" if share > 0.55 else "black"}
            ax.text(column, row, per_cent(share), ha="center", va="center", **ink)
    names = [short_name(name) for name in classes]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlabel="predicted", ylabel="true")


def confusion_matrix(
    result: Predictions,
    title: str = "Confusion matrix",
    interval: tuple[float, float] | None = None,
) -> Figure:
    """Draw the confusion matrix: rows are true classes, numbers are per cents of a row.

    Args:
        interval: of the accuracy, low and high end in [0, 1]; default Wilson's, as in
            ``lk.report_result``.
    """
    figure, axes = new_figure(height=4.8, origin=result.origin)
    draw_confusion_matrix(axes[0, 0], result.confusion_matrix(), result.classes)
    low, high = interval or result.accuracy_interval()
    axes[0, 0].set_title(
        f"{title} (% of each true class)\naccuracy {100 * result.accuracy:.1f} %, "
        f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {len(result.labels):,}",
        fontsize=10,
    )
    return figure


def draw_curves(ax: Axes, histories: Mapping[str, History], metric: str) -> None:
    """Draw a metric over the epochs: training dashed, validation solid, a colour a run."""
    for (name, history), colour in zip(histories.items(), cycle(PALETTE), strict=False):
        for part, style in (("train", "--"), ("val", "-")):
            if history and f"{part}_{metric}" in history[0]:
                label = f"{name} {'training' if part == 'train' else 'validation'}".strip()
                values = history.column(f"{part}_{metric}")
                epochs = history.column("epoch")
                marker = "o" if len(values) < 3 else None
                ax.plot(epochs, values, style, color=colour, label=label, marker=marker)
    ax.set(xlabel="epoch", ylabel=metric, title=metric.capitalize())
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)


def run_summary(history: History, result: Predictions) -> Figure:
    """Sum up a run in one figure: curves, validation metrics, confusion matrix and settings."""
    figure, axes = new_figure(2, 2, 7.6, result.origin)
    draw_curves(axes[0, 0], {"": history}, "loss")
    draw_curves(axes[0, 1], {"": history}, "accuracy")
    for metric, colour in zip(("precision", "recall", "f1"), PALETTE, strict=False):
        values = history.column(f"val_{metric}")
        axes[1, 0].plot(history.column("epoch"), values, color=colour, label=f"macro {metric}")
    axes[1, 0].set(xlabel="epoch", ylabel="share", title="Validation, mean over classes")
    axes[1, 0].xaxis.get_major_locator().set_params(integer=True)
    axes[1, 0].legend(fontsize=8, loc="upper right")
    axes[1, 0].grid(alpha=0.3)
    draw_confusion_matrix(axes[1, 1], result.confusion_matrix(), result.classes)
    axes[1, 1].set_title("Test set, % of each true class", fontsize=10)
    setup = history.setup | {"epochs": _epochs(history)}
    lines = [
        f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}"
        for name, value in setup.items()
    ]
    low, high = result.accuracy_interval()
    lines.append(f"test accuracy: {100 * result.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f})")
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.6", "alpha": 0.9}
    axes[1, 0].text(
        0.03, 0.97, "\n".join(lines), transform=axes[1, 0].transAxes, va="top", fontsize=8, bbox=box
    )
    low_value, high_value = axes[1, 0].get_ylim()
    axes[1, 0].set_ylim(low_value, high_value + 1.4 * (high_value - low_value))
    ticks = axes[1, 0].get_yticks()  # above them stands the box; no share is larger than 1
    axes[1, 0].set_yticks(ticks[(ticks >= low_value) & (ticks <= 1)])
    return figure


def _epochs(history: History) -> str:
    """How many were trained, of how many planned, and whose weights were kept."""
    done, planned = len(history), history.planned_epochs
    text = f"{done}" if done >= planned else f"{done} of {planned}"
    return f"{text}, weights of {history.kept_epoch}" if history.kept_epoch else text


def reliability_diagram(results: Mapping[str, Predictions], bins: int = 15) -> Figure:
    """Draw accuracy against confidence; on the diagonal, 90 % sure means right 9 times in 10.

    Args:
        results: predictions by name.
        bins: bins of equal width.

    Returns:
        The figure; the area of a point shows how many images it stands for.

    Example:
        >>> figure = reliability_diagram({"net": Predictions([[1, 0]], [0], ("a", "b"))})
    """
    origin = next(iter(results.values())).origin
    figure, axes = new_figure(height=4.2, origin=origin)
    ax = axes[0, 0]
    ax.plot([0, 1], [0, 1], color="0.5", linestyle=":", label="perfectly calibrated")
    for (name, result), colour in zip(results.items(), cycle(PALETTE), strict=False):
        table = result.calibration_bins(bins)
        label = f"{name}: calibration error {result.calibration_error(bins):.3f}"
        ax.plot(table["confidence"], table["accuracy"], color=colour, label=label)
        area = 300 * table["n"] / len(result.labels)
        ax.scatter(table["confidence"], table["accuracy"], s=area + 4, color=colour, alpha=0.6)
    ax.set(
        xlabel="confidence (probability of the predicted class)",
        ylabel="accuracy",
        title="Reliability",
    )
    ax.legend(fontsize=9)
    ax.grid(alpha=0.3)
    return figure


def roc_curves(result: Predictions) -> Figure:
    """Draw a ROC curve a class and the micro-average, and the two rates against the threshold.

    The score of a class is its probability.

    Example:
        >>> figure = roc_curves(Predictions([[2, 0], [0, 1], [3, 1]], [0, 1, 1], ("a", "b")))
    """
    figure, axes = new_figure(1, 2, 4.4, result.origin)
    left, right = axes[0]
    truth = np.eye(len(result.classes), dtype=bool)[result.labels]
    for number, name in enumerate(result.classes):
        if 0 < truth[:, number].sum() < len(truth):
            style = {"color": PALETTE[number % 8], "linestyle": ("-", "-.", ":")[number // 8 % 3]}
            _roc(left, truth[:, number], result.probabilities[:, number], name, style)
    every, black = (truth.ravel(), result.probabilities.ravel()), {"color": "k", "linestyle": "--"}
    false, true, limit = _roc(left, *every, "micro-average", black)
    left.plot([0, 1], [0, 1], color="0.6", linestyle=":", linewidth=1)
    left.set(xlabel="false-positive rate", ylabel="true-positive rate")
    left.set_title("ROC curves, one class against the rest", fontsize=10)
    left.legend(fontsize=7, title="AUC", title_fontsize=7, loc="lower right")
    right.plot(limit[1:], true[1:], color=PALETTE[0], label="true-positive rate")
    right.plot(limit[1:], false[1:], color=PALETTE[5], linestyle="--", label="false-positive rate")
    right.set(xlabel="threshold on the probability", ylabel="rate", xlim=(0, 1))
    right.set_title("Micro-average: both rates against the threshold", fontsize=10)
    right.legend(fontsize=8)
    for ax in (left, right):
        ax.grid(alpha=0.3)
    return figure


def _roc(
    ax: Axes, truth: np.ndarray, score: np.ndarray, name: str, style: dict[str, str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    false, true, limit = roc_curve(truth, score)
    label = f"{auc(false, true):.3f} {name}"
    ax.plot(false, true, linewidth=1.5, label=label, **style)
    return false, true, limit
