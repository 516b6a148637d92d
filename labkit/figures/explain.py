"""Figures of explanations: heat maps over pictures, signed attributions, curves."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from labkit.arrays import to_numpy
from labkit.data.classes import short_name
from labkit.figures.base import PALETTE, WIDTH, as_captions, as_images, new_figure

STYLES = ("-", "--", "-.", ":")  # the lines of two methods may lie on each other
_HEAT = {"cmap": "inferno", "vmin": 0, "alpha": 0.6}


def _pictures(images: torch.Tensor | np.ndarray) -> np.ndarray:
    """(N, C, H, W), uint8 or float in [0, 1], to (N, H, W, 3) in [0, 1]."""
    images = as_images(images)
    images = images.float() / 255 if images.dtype == torch.uint8 else images.float()
    return images.expand(-1, 3, -1, -1).permute(0, 2, 3, 1).clamp(0, 1).numpy(force=True)


def overlays(
    images: torch.Tensor | np.ndarray,
    maps: Mapping[str, np.ndarray],
    titles: Sequence[str] = (),
    title: str = "",
    origin: str = "",
    signed: bool = False,
) -> Figure:
    """Draw pictures and, beside each, the maps over it.

    The longer side of the grid lies across: a column a picture, or a column a map where there are
    more maps than pictures.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; at most about ten.
        maps: by name, (N, H, W), of the pictures' size or smaller, then enlarged; each is scaled to
            its own largest values, the 99.5th percentile.
        titles: up to N captions.
        signed: red for positive and blue for negative values; else negative ones count as zero.

    Raises:
        ValueError: for images or maps of another shape.

    Example:
        >>> figure = overlays(torch.rand(2, 3, 8, 8), {"random": np.random.rand(2, 8, 8)})
    """
    if not isinstance(maps, Mapping):
        raise ValueError('maps must have names: give {"Grad-CAM": maps}.')
    pictures, names = _pictures(images), ["picture", *maps]
    maps = {name: to_numpy(each) for name, each in maps.items()}
    for name, each in maps.items():
        if each.ndim != 3 or len(each) != len(pictures):
            raise ValueError(
                f"The maps {name!r} have the shape {each.shape}; it must be (N, H, W), one for "
                f"each of {len(pictures)} pictures."
            )
    across = len(maps) < len(pictures)  # the pictures go across, the maps down
    shape = (len(names), len(pictures)) if across else (len(pictures), len(names))
    side = min((WIDTH - 1.3) / shape[1], 1.6)
    figure, axes = new_figure(*shape, 1.0, origin)
    grid = axes if across else axes.T
    look = {"cmap": "RdBu_r", "vmin": -1, "alpha": 0.8} if signed else _HEAT
    for column, picture in enumerate(pictures):
        grid[0, column].imshow(picture, interpolation="nearest")
        for ax, values in zip(grid[1:, column], maps.values(), strict=True):
            shown = _heat(ax, picture, values[column], signed, look)
    above, left = (titles, names) if across else (names, titles)
    width = max(8, int(15 * side))
    above, left = (as_captions(part, width, whole_words=True) for part in (above, left))
    for ax, words in zip(axes[0], above, strict=False):
        ax.set_title(words, fontsize=8)
    for ax, words in zip(axes[:, 0], left, strict=False):
        ax.set_ylabel(words, fontsize=8)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    lines = max((words.count("\n") + 1 for words in above), default=0)
    figure.set_figheight(shape[0] * side + 0.17 * lines + 0.9)
    bar = figure.colorbar(shown, ax=axes.ravel().tolist(), shrink=0.8, pad=0.02, aspect=30)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("share of the map's largest values", fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


def _heat(ax: Axes, picture: np.ndarray, values: np.ndarray, signed: bool, look: dict) -> AxesImage:
    """One map over its picture in grey."""
    scaled = values if signed else np.maximum(values, 0)
    largest = float(np.quantile(np.abs(scaled), 0.995))  # one extreme pixel must not hide the rest
    scaled = scaled / max(largest or float(np.abs(scaled).max()), 1e-12)
    ax.imshow(picture.mean(2), cmap="gray", vmin=0, vmax=1)
    return ax.imshow(scaled, vmax=1, interpolation="nearest", extent=_sides(picture), **look)


def _sides(picture: np.ndarray) -> tuple[float, float, float, float]:
    """Where a picture (H, W, 3) lies in its panel: a smaller map must cover all of it."""
    return (-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5)


def attribution_grid(
    images: torch.Tensor | np.ndarray,
    attributions: np.ndarray,
    row_titles: Sequence[str] = (),
    column_titles: Sequence[str] = (),
    title: str = "",
    origin: str = "",
    unit: str = "logits a pixel",
) -> Figure:
    """Draw signed attributions, all on one scale: red speaks for the class, blue against it.

    Args:
        images: (R, C, H, W), uint8 or float in [0, 1], the picture of each row.
        attributions: (R, K, H, W) or (R, K, C, H, W), which is summed over the colours.
        row_titles: R names.
        column_titles: K names, usually the classes.
        unit: of the attributions.

    Returns:
        The figure; the scale ends at the 99.5th percentile of the absolute values.

    Example:
        >>> figure = attribution_grid(torch.rand(2, 3, 8, 8), np.random.randn(2, 4, 8, 8))
    """
    attributions = to_numpy(attributions)
    if attributions.ndim == 5:
        attributions = attributions.sum(2)
    pictures = _pictures(images)
    rows, columns = len(pictures), 1 + attributions.shape[1]
    limit = max(float(np.quantile(np.abs(attributions), 0.995)), 1e-12)
    side = min((WIDTH - 1.2) / columns, 1.5)
    height = rows * (side + 0.05) + 1.1
    figure, axes = new_figure(rows, columns, height, origin)
    names, row_titles = [short_name(name) for name in column_titles], as_captions(row_titles, 14)
    width = max(8, int(13 * side))
    for row in range(rows):
        axes[row, 0].imshow(pictures[row], interpolation="nearest")
        if row < len(row_titles):
            axes[row, 0].set_ylabel(row_titles[row], fontsize=8)
        for k in range(columns - 1):
            axes[row, k + 1].imshow(pictures[row].mean(2), cmap="gray", vmin=0, vmax=1, alpha=0.25)
            shown = axes[row, k + 1].imshow(
                attributions[row, k],
                cmap="RdBu_r",
                vmin=-limit,
                vmax=limit,
                alpha=0.85,
                interpolation="nearest",
                extent=_sides(pictures[row]),
            )
            if row == 0 and k < len(names):
                axes[0, k + 1].set_title(fill(names[k], width, break_long_words=False), fontsize=7)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    bar = figure.colorbar(shown, ax=axes[:, -1].tolist(), shrink=0.8, pad=0.04)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(f"against  ←  {unit}  →  for", fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


def faithfulness_curves(
    deletion: Mapping[str, tuple[np.ndarray, np.ndarray]],
    insertion: Mapping[str, tuple[np.ndarray, np.ndarray]],
    origin: str = "",
) -> Figure:
    """Draw the mean deletion and insertion curves of several methods.

    Args:
        deletion: by method, what ``lk.explain.deletion_curve`` returned.
        insertion: by method, what ``lk.explain.insertion_curve`` returned.

    Returns:
        The figure; the legend gives the mean area under each curve.

    Example:
        >>> curve = np.array([0.0, 1.0]), np.array([[1.0, 0.0]])
        >>> figure = faithfulness_curves({"a": curve}, {"a": curve})
    """
    figure, axes = new_figure(1, 2, 3.7, origin)
    panels = {"Deletion: low is good": deletion, "Insertion: high is good": insertion}
    for ax, (name, curves) in zip(axes[0], panels.items(), strict=True):
        for place, (method, (shares, values)) in enumerate(curves.items()):
            area = np.trapezoid(values.mean(0), shares)
            ax.plot(
                100 * shares,
                values.mean(0),
                STYLES[place % 4],
                color=PALETTE[place % len(PALETTE)],
                label=f"{method}: {area:.2f}",
            )
        count = len(next(iter(curves.values()))[1])
        verb = "blurred" if curves is deletion else "restored"
        ax.set(xlabel=f"pixels {verb} in %", ylabel="probability of the class", ylim=(0, 1.02))
        ax.set_title(f"{name} (mean of {count} images)", fontsize=10)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=7, title="area under the curve", title_fontsize=7)
    return figure


def randomisation_curves(
    table: pd.DataFrame, panels: Mapping[str, Sequence[str]], origin: str = ""
) -> Figure:
    """Draw how alike a method's maps stay while the weights are randomised from the top down.

    Args:
        table: what ``lk.explain.randomise_layers`` returned.
        panels: a title, and the methods that are compared there: like with like.

    Returns:
        The figure: lines are means over the draws, bands go from the lowest draw to the highest.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"draw": 0, "layer": ["as trained", "top"], "method": "a"})
        >>> table["rank_correlation"] = [1.0, 0.1]
        >>> figure = randomisation_curves(table, {"signed": ["a"]})
    """
    figure, axes = new_figure(1, len(panels), 3.9, origin, sharey=True)
    layers = list(dict.fromkeys(table["layer"]))
    for ax, (title, methods) in zip(axes[0], panels.items(), strict=True):
        for place, method in enumerate(methods):
            rows = table[table["method"] == method]
            draws = rows.pivot(index="layer", columns="draw", values="rank_correlation").loc[layers]
            look = {"color": PALETTE[place % len(PALETTE)]}
            line = {"linestyle": STYLES[place % 4], "marker": "os^Dv"[place % 5], "label": method}
            ax.plot(draws.mean(axis=1), **line, **look)
            ax.fill_between(
                range(len(layers)), draws.min(axis=1), draws.max(axis=1), alpha=0.15, **look
            )
        ax.set_xticks(range(len(layers)), layers, rotation=30, ha="right", fontsize=8)
        ax.axhline(0, color="0.5", linewidth=0.8)
        ax.set_title(title, fontsize=10)
        ax.grid(alpha=0.3)
        ax.legend(fontsize=7)
    axes[0, 0].set_ylabel("rank correlation with the trained map")
    figure.suptitle(
        f"Random weights down to this layer: mean of {table['draw'].nunique()} draws, band from "
        "lowest to highest",
        fontsize=11,
    )
    return figure
