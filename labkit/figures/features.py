"""Figures of features: HOG, neighbours, projections, explained variance, a decision tree."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.tree import DecisionTreeClassifier, plot_tree

from labkit.data.classes import short_name
from labkit.figures.base import PALETTE, new_figure

MARKERS = "osD^vP*X"  # a second way, besides colour, to tell classes apart
PHOTO_PIXELS = 120  # photographs fill a notebook file quickly


def _photo(image: torch.Tensor, pixels: int = PHOTO_PIXELS) -> np.ndarray:
    small = F.interpolate(image[None].float() / 255, (pixels, pixels), mode="area")
    return small[0].permute(1, 2, 0).numpy()


def hog_triple(
    image: torch.Tensor, picture: np.ndarray, title: str = "", origin: str = ""
) -> Figure:
    """Show a photograph, its grey version, and the picture of its HOG.

    Args:
        image: uint8 (3, H, W).
        picture: (H, W) from ``hog_picture``.

    Example:
        >>> figure = hog_triple(torch.zeros(3, 40, 40, dtype=torch.uint8), np.zeros((40, 40)))
    """
    figure, axes = new_figure(1, 3, 3.5, origin)
    photo = _photo(image, 240)
    panels = {"photograph": photo, "grey": photo.mean(2), "HOG: strength by direction": picture}
    for ax, (name, panel) in zip(axes[0], panels.items(), strict=True):
        ax.imshow(panel, cmap="gray", vmin=0, vmax=1)
        ax.set_title(name, fontsize=10)
        ax.set_axis_off()
    figure.suptitle(title)
    return figure


def neighbour_grid(
    images: torch.Tensor,
    labels: Sequence[int],
    classes: Sequence[str],
    neighbours: Mapping[int, Sequence[int]],
    title: str = "",
    origin: str = "",
) -> Figure:
    """Show queries at the left and their neighbours beside them; a red frame: another class.

    Args:
        images: uint8 (N, 3, H, W).
        labels: (N,) class numbers.
        classes: class names.
        neighbours: for the row of each query, the rows of its neighbours.

    Example:
        >>> cells = torch.zeros(3, 3, 40, 40, dtype=torch.uint8)
        >>> figure = neighbour_grid(cells, [0, 0, 1], ("a", "b"), {0: [1, 2]})
    """
    columns = 1 + max(len(rows) for rows in neighbours.values())
    figure, axes = new_figure(len(neighbours), columns, 1.75 * len(neighbours) + 0.6, origin)
    for line, (query, rows) in zip(axes, neighbours.items(), strict=True):
        for ax, row in zip(line, [query, *rows], strict=False):
            ax.imshow(_photo(images[int(row)]))
            name = classes[int(labels[int(row)])]
            wrong = labels[int(row)] != labels[query]
            ax.set_title(f"query: {name}" if row == query else name, fontsize=8)
            ax.set(xticks=[], yticks=[])
            colour = PALETTE[5] if wrong else PALETTE[7] if row == query else "0.8"
            for spine in ax.spines.values():
                spine.set(color=colour, linewidth=3 if wrong or row == query else 1)
    figure.suptitle(title, fontsize=11)
    return figure


def projections(
    coordinates: Mapping[str, np.ndarray],
    labels: Sequence[int],
    classes: Sequence[str],
    origin: str = "",
) -> Figure:
    """Draw projections (N, 2) side by side, a colour and a shape for each class.

    Args:
        coordinates: by name, (N, 2).
        labels: (N,) the number of each one's class.
        classes: their names; up to 64 can be told apart.

    Raises:
        ValueError: for labels that are no numbers of classes.

    Example:
        >>> figure = projections({"PCA": np.zeros((2, 2))}, [0, 1], ("a", "b"))
    """
    labels = np.asarray(labels)
    if not np.isin(labels, range(len(classes))).all():
        raise ValueError(f"labels must be numbers from 0 to {len(classes) - 1}, one a point.")
    figure, axes = new_figure(1, len(coordinates), 4.6, origin)
    for ax, (name, points) in zip(axes[0], coordinates.items(), strict=True):
        for number, label in enumerate(classes):
            chosen = points[labels == number]
            ax.scatter(
                *chosen.T,
                s=14,
                color=PALETTE[number % 8],
                marker=MARKERS[(number + number // 8) % 8],  # other pairs beyond eight classes
                alpha=0.75,
                edgecolors="0.3",
                linewidths=0.2,
                label=label,
            )
        ax.set(title=name, xlabel="first coordinate", ylabel="second coordinate")
        ax.tick_params(labelsize=8)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, ncols=4, fontsize=8, loc="outside upper center", markerscale=1.8)
    return figure


def variance_curve(
    shares: Mapping[str, np.ndarray], marks: Sequence[float] = (0.95, 0.99), origin: str = ""
) -> Figure:
    """Draw how much of the variance the first components explain together, with marks.

    Args:
        shares: by name, the share of each component, the largest first.
        marks: the sums whose number of components is written out.

    Example:
        >>> figure = variance_curve({"features": np.array([0.9, 0.08, 0.02])})
    """
    figure, axes = new_figure(height=3.6, origin=origin)
    ax = axes[0, 0]
    for (name, share), colour in zip(shares.items(), cycle(PALETTE), strict=False):
        total = np.cumsum(share)
        reached = [mark for mark in marks if mark - 1e-9 <= total[-1]]
        counts = np.array([np.searchsorted(total, mark - 1e-9) + 1 for mark in reached], int)
        text = ", ".join(f"{100 * m:.0f} % at {n:,}" for m, n in zip(reached, counts, strict=True))
        numbers = np.arange(1, len(total) + 1)
        ax.plot(numbers, 100 * total, color=colour, label=f"{name}: {text}")
        ax.plot(counts, 100 * total[counts - 1], "o", color=colour)
    for mark in marks:
        ax.axhline(100 * mark, color="0.7", linestyle=":", linewidth=1)
    ax.set(
        xlabel="principal components",
        ylabel="variance explained in %",
        title="How many directions hold the variance?",
        xscale="log",
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=9, loc="lower right")
    return figure


def decision_tree(
    tree: DecisionTreeClassifier, classes: Sequence[str], depth: int = 3, origin: str = ""
) -> Figure:
    """Draw the first levels of a fitted tree: the question, and the class that leads there.

    Args:
        tree: fitted on numbers of classes or on their names.
        classes: the name of each number.
        depth: levels to draw.
    """
    named = [short_name(k if isinstance(k, str) else classes[int(k)]) for k in tree.classes_]
    figure, axes = new_figure(height=4.6, origin=origin)
    FigureCanvasAgg(figure)  # plot_tree measures its boxes
    levels = tree.get_depth() + 1  # a tree without a question has one
    boxes = plot_tree(
        tree,
        max_depth=depth - 1,
        class_names=named,  # of the classes that it was fitted on, not of all
        feature_names=[f"feature {i}" for i in range(tree.n_features_in_)],
        impurity=False,
        label="none",
        rounded=True,
        fontsize=8,
        ax=axes[0, 0],
    )
    for box in boxes:  # the counts of eight classes would not fit
        lines = [line for line in box.get_text().split("\n") if not line.startswith("[")]
        box.set_text("\n".join(f"{x} images" if x.isdigit() else x for x in lines))
    axes[0, 0].set_title(
        f"The first {min(depth, levels)} of {levels} levels, {tree.get_n_leaves()} leaves: "
        "the question, how many images, the leading class",
        fontsize=10,
    )
    return figure
