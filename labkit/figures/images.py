"""Figures of images and of the data: grids, class counts, splits."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from labkit.data.image_data import ImageData
from labkit.data.image_split import ImageSplit
from labkit.figures.base import PALETTE, WIDTH, as_captions, as_images, new_figure


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

    Example:
        >>> figure = image_grid(torch.rand(4, 3, 28, 28), ["a", "b", "c", "d"], columns=4)
    """
    images = as_images(images)
    if not len(images):  # of a class without mistakes, say
        figure, axes = new_figure(height=0.9, origin=origin)
        axes[0, 0].set(xticks=[], yticks=[], xlabel="no images")
        figure.suptitle(title)
        return figure
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    side = WIDTH / columns
    width = max(10, int(1.6 * 72 * side / 9))  # letters of a caption's line
    captions = as_captions(titles, width)
    caption_lines = max((caption.count("\n") + 1 for caption in captions), default=0)
    height = rows * (side + 0.17 * caption_lines) + 0.3 * bool(title) + 0.3 * bool(origin)
    figure, axes = new_figure(rows, columns, height, origin)
    smoothing = "nearest" if max(images.shape[2:]) <= 64 else None  # small images: show the pixels
    white = 255 if images.dtype == torch.uint8 else 1  # a dark image must look dark
    for position, ax in enumerate(axes.flat):
        ax.set_axis_off()
        ax.set_anchor("S")  # what is too high is left above, where the captions are
        if position < len(images):
            ax.imshow(
                images[position].permute(1, 2, 0).squeeze(-1).numpy(force=True),
                cmap="gray",
                vmin=0,
                vmax=white,
                interpolation=smoothing,
            )
            if position < len(captions):
                ax.set_title(captions[position], fontsize=9)
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
        counts: images by class (rows) and split (columns), as in ``data.counts()``, whose totals
            are left out.

    Example:
        >>> figure = split_proportions(pd.DataFrame({"train": [7, 14], "test": [2, 4]}))
    """
    counts = counts.drop(index="all classes", columns="all", errors="ignore")
    figure, axes = new_figure(height=3.6, origin=origin)
    (100 * counts / counts.sum()).plot.bar(ax=axes[0, 0], color=PALETTE, width=0.8)
    axes[0, 0].set(ylabel="share of the split in %", title="Class shares in each split")
    axes[0, 0].set_xticklabels(counts.index, rotation=25, ha="right")
    sizes = [f"{name} ({n:,})" for name, n in counts.sum().items()]
    axes[0, 0].legend(sizes, frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    axes[0, 0].spines[["top", "right"]].set_visible(False)
    return figure
