"""Every static figure of the labs: plain arrays or labkit's objects in, a matplotlib figure out.

A figure names its data; a stand-in is marked in red. Nothing is shown here: a figure appears
when it is the last expression of a cell.
"""

from collections.abc import Mapping, Sequence
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.data.image_data import ImageData, ImageSplit
from labkit.history import History
from labkit.metrics import Predictions

# Okabe and Ito (2008): eight colours that people with any colour blindness tell apart
PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#000000")
WIDTH = 9.0  # inches: fills a notebook of 900 pixels


def new_figure(
    rows: int = 1, columns: int = 1, height: float = 3.6, origin: str = "", **options: object
) -> tuple[Figure, np.ndarray]:
    """Make a figure of notebook width whose bottom line names the data.

    Args:
        rows: rows of panels.
        columns: columns of panels.
        height: in inches.
        origin: which data the figure shows.
        **options: passed on to ``matplotlib.pyplot.subplots``.

    Returns:
        The figure, and its axes as an array (rows, columns).

    Example:
        >>> figure, axes = new_figure(1, 2, origin="my data")
        >>> axes.shape
        (1, 2)
    """
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(WIDTH, height),
        dpi=80,
        squeeze=False,
        layout="constrained",
        **options,
    )
    plt.close(figure)  # else the notebook would show it twice
    if origin:
        stand_in = origin.startswith("STAND-IN")
        colour, weight = ("#b3261e", "bold") if stand_in else ("0.4", "normal")
        figure.supxlabel(f"data: {origin}", fontsize=8, color=colour, weight=weight)
    return figure, axes


def image_grid(
    images: torch.Tensor | np.ndarray,
    titles: Sequence[str] = (),
    columns: int = 8,
    title: str = "",
    origin: str = "",
) -> Figure:
    """Show images side by side.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; one channel is shown grey.
        titles: up to N captions.
        columns: images a row.
        title: above the figure.
        origin: which data these are.

    Returns:
        The figure.

    Example:
        >>> figure = image_grid(torch.rand(4, 3, 28, 28), ["a", "b", "c", "d"], columns=4)
    """
    images = torch.as_tensor(images)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    caption_lines = max((fill(t, 16).count("\n") + 1 for t in titles), default=0)
    side = WIDTH / columns
    height = rows * (side + 0.17 * caption_lines) + 0.3 * bool(title) + 0.3 * bool(origin)
    figure, axes = new_figure(rows, columns, height, origin)
    smoothing = "nearest" if max(images.shape[2:]) <= 64 else None  # small images: show the pixels
    for position, ax in enumerate(axes.flat):
        ax.set_axis_off()
        if position < len(images):
            ax.imshow(
                images[position].permute(1, 2, 0).squeeze(-1).numpy(),
                cmap="gray",
                interpolation=smoothing,
            )
            if position < len(titles):
                width = max(10, int(1.6 * 72 * side / 9))
                ax.set_title(fill(titles[position], width), fontsize=9)
    figure.suptitle(title)
    if smoothing is None:
        figure.set_dpi(70)  # photographs fill a notebook file quickly
    return figure


def class_distribution(data: ImageSplit | ImageData) -> Figure:
    """Draw how many images each class has, with counts and per cents."""
    counts = data.counts()
    if isinstance(data, ImageData):
        counts = counts["all"].drop("all classes")
    figure, axes = new_figure(height=3.4, origin=data.origin)
    ax, names = axes[0, 0], list(counts.index)
    bars = ax.barh(names, counts, color=PALETTE[0])
    shares = [f"{n:,} ({100 * n / counts.sum():.1f} %)" for n in counts]
    ax.bar_label(bars, shares, padding=3, fontsize=9)
    ax.set(xlabel="images", xlim=(0, 1.2 * counts.max()), title="Images of each class")
    ax.invert_yaxis()
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def split_proportions(counts: pd.DataFrame, origin: str = "") -> Figure:
    """Draw the class shares of each split beside each other; equal bars mean a stratified split.

    Args:
        counts: images by class (rows) and split (columns).
        origin: which data these are.

    Returns:
        The figure.

    Example:
        >>> figure = split_proportions(pd.DataFrame({"train": [7, 14], "test": [2, 4]}))
    """
    figure, axes = new_figure(height=3.6, origin=origin)
    (100 * counts / counts.sum()).plot.bar(ax=axes[0, 0], color=PALETTE, width=0.8)
    axes[0, 0].set(ylabel="share of the split in %", title="Class shares in each split")
    axes[0, 0].set_xticklabels(counts.index, rotation=25, ha="right")
    sizes = [f"{name} ({n:,})" for name, n in counts.sum().items()]
    axes[0, 0].legend(sizes, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    axes[0, 0].spines[["top", "right"]].set_visible(False)
    return figure


def draw_confusion_matrix(ax: Axes, matrix: np.ndarray, classes: Sequence[str]) -> None:
    """Draw counts (C, C) on given axes, coloured and labelled with per cents of each row."""
    shares = 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=100)
    for row, column in np.ndindex(*matrix.shape):
        if matrix[row, column]:
            value = shares[row, column]
            text = f"{value:.0f}" if value >= 1 else "<1"
            colour = "white" if value > 55 else "black"
            ax.text(column, row, text, ha="center", va="center", fontsize=8, color=colour)
    names = [name.replace("immature granulocyte", "immature gran.") for name in classes]
    ax.set_xticks(range(len(names)), names, rotation=40, ha="right", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlabel="predicted", ylabel="true")


def confusion_matrix(result: Predictions, title: str = "Confusion matrix") -> Figure:
    """Draw the confusion matrix: rows are true classes, numbers are per cents of a row."""
    figure, axes = new_figure(height=4.8, origin=result.origin)
    draw_confusion_matrix(axes[0, 0], result.confusion_matrix(), result.classes)
    low, high = result.accuracy_interval()
    axes[0, 0].set_title(
        f"{title} (% of each true class)\naccuracy {100 * result.accuracy:.1f} %, "
        f"95 % interval {100 * low:.1f}–{100 * high:.1f} %, n = {len(result.labels):,}",
        fontsize=10,
    )
    return figure


def draw_curves(ax: Axes, histories: Mapping[str, History], metric: str) -> None:
    """Draw a metric over the epochs: training dashed, validation solid, a colour a run."""
    for (name, history), colour in zip(histories.items(), PALETTE * 9, strict=False):
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


def training_curves(
    histories: History | Mapping[str, History], metrics: Sequence[str] = ("loss", "accuracy")
) -> Figure:
    """Draw one or several trainings over the epochs.

    Args:
        histories: one history, or several by name.
        metrics: which metrics, a panel each (``"loss"``, ``"accuracy"``, ``"f1"``, …).

    Returns:
        The figure: training dashed, validation solid.

    Example:
        >>> figure = training_curves(History([{"epoch": 1, "train_loss": 1.0}]), ["loss"])
    """
    if isinstance(histories, History):
        histories = {"": histories}
    origin = next(iter(histories.values())).origin
    figure, axes = new_figure(1, len(metrics), 3.3, origin)
    for ax, metric in zip(axes[0], metrics, strict=True):
        draw_curves(ax, histories, metric)
    return figure


def run_summary(history: History, result: Predictions) -> Figure:
    """Sum up a run in one figure: curves, validation metrics, confusion matrix and settings."""
    figure, axes = new_figure(2, 2, 7.6, result.origin)
    draw_curves(axes[0, 0], {"": history}, "loss")
    draw_curves(axes[0, 1], {"": history}, "accuracy")
    for metric, colour in zip(("precision", "recall", "f1"), PALETTE, strict=False):
        values = history.column(f"val_{metric}")
        axes[1, 0].plot(history.column("epoch"), values, color=colour, label=f"macro {metric}")
    axes[1, 0].set(xlabel="epoch", title="Validation, mean over classes")
    axes[1, 0].legend(fontsize=8, loc="upper right")
    axes[1, 0].grid(alpha=0.3)
    draw_confusion_matrix(axes[1, 1], result.confusion_matrix(), result.classes)
    axes[1, 1].set_title("Test set, % of each true class", fontsize=10)
    lines = [
        f"{name}: {value:,}" if isinstance(value, int) else f"{name}: {value}"
        for name, value in history.setup.items()
    ]
    low, high = result.accuracy_interval()
    lines.append(f"test accuracy: {100 * result.accuracy:.1f} % ({100 * low:.1f}–{100 * high:.1f})")
    box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.6", "alpha": 0.9}
    axes[1, 0].text(
        0.03, 0.97, "\n".join(lines), transform=axes[1, 0].transAxes, va="top", fontsize=8, bbox=box
    )
    low_value, high_value = axes[1, 0].get_ylim()
    axes[1, 0].set_ylim(low_value, high_value + 1.4 * (high_value - low_value))
    return figure


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
    for (name, result), colour in zip(results.items(), PALETTE, strict=False):
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
