"""Figures of explanations: heat maps over pictures, signed attributions, curves."""

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import torch
from matplotlib.figure import Figure

from labkit.figures.base import PALETTE, WIDTH, new_figure, short_name

_HEAT = {"cmap": "inferno", "vmin": 0, "alpha": 0.6}


def _pictures(images: torch.Tensor | np.ndarray) -> np.ndarray:
    """(N, C, H, W), uint8 or float in [0, 1], to (N, H, W, 3) in [0, 1]."""
    images = torch.as_tensor(images)
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
    """Draw pictures in the first row and below them, a row a map, the map over the picture.

    Args:
        images: (N, C, H, W), uint8 or float in [0, 1]; at most about ten.
        maps: by name, (N, H, W); each is scaled to its own largest value.
        titles: up to N captions.
        signed: red for positive and blue for negative values; else negative ones count as zero.

    Example:
        >>> figure = overlays(torch.rand(2, 3, 8, 8), {"random": np.random.rand(2, 8, 8)})
    """
    pictures = _pictures(images)
    rows, columns = 1 + len(maps), len(pictures)
    side = min((WIDTH - 0.8) / columns, 1.6)
    lines = max((fill(t, 15).count("\n") + 1 for t in titles), default=0)
    height = rows * side + 0.17 * lines + 0.9
    figure, axes = new_figure(rows, columns, height, origin)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    for column, picture in enumerate(pictures):
        axes[0, column].imshow(picture, interpolation="nearest")
        if column < len(titles):
            axes[0, column].set_title(fill(titles[column], 15), fontsize=8)
        for row, values in enumerate(maps.values(), start=1):
            scaled = values[column] if signed else np.maximum(values[column], 0)
            scaled = scaled / max(float(np.abs(scaled).max()), 1e-12)
            axes[row, column].imshow(picture.mean(2), cmap="gray", vmin=0, vmax=1)
            look = {"cmap": "RdBu_r", "vmin": -1, "alpha": 0.8} if signed else _HEAT
            shown = axes[row, column].imshow(scaled, vmax=1, interpolation="nearest", **look)
    for row, name in enumerate(["picture", *maps]):
        axes[row, 0].set_ylabel(fill(name, 14, break_long_words=False), fontsize=8)
    bar = figure.colorbar(shown, ax=axes[1:, -1].tolist(), shrink=0.8, pad=0.03)
    bar.ax.tick_params(labelsize=7)
    bar.set_label("share of the map's peak", fontsize=7)
    figure.suptitle(title, fontsize=11)
    return figure


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
    attributions = np.asarray(attributions)
    if attributions.ndim == 5:
        attributions = attributions.sum(2)
    pictures = _pictures(images)
    rows, columns = len(pictures), 1 + attributions.shape[1]
    limit = max(float(np.quantile(np.abs(attributions), 0.995)), 1e-12)
    side = min((WIDTH - 1.2) / columns, 1.5)
    height = rows * (side + 0.05) + 1.1
    figure, axes = new_figure(rows, columns, height, origin)
    names = [short_name(name) for name in column_titles]
    width = max(8, int(13 * side))
    for row in range(rows):
        axes[row, 0].imshow(pictures[row], interpolation="nearest")
        if row < len(row_titles):
            axes[row, 0].set_ylabel(fill(row_titles[row], 14), fontsize=8)
        for k in range(columns - 1):
            axes[row, k + 1].imshow(pictures[row].mean(2), cmap="gray", vmin=0, vmax=1, alpha=0.25)
            shown = axes[row, k + 1].imshow(
                attributions[row, k],
                cmap="RdBu_r",
                vmin=-limit,
                vmax=limit,
                alpha=0.85,
                interpolation="nearest",
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
    styles = ("-", "--", "-.", ":") * 4
    panels = {"Deletion: low is good": deletion, "Insertion: high is good": insertion}
    for ax, (name, curves) in zip(axes[0], panels.items(), strict=True):
        for place, (method, (shares, values)) in enumerate(curves.items()):
            area = np.trapezoid(values.mean(0), shares)
            ax.plot(
                100 * shares,
                values.mean(0),
                styles[place],
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


def randomisation_curves(tables: Mapping[str, object], origin: str = "") -> Figure:
    """Draw how alike a method's maps stay while the weights are randomised from the top down.

    Args:
        tables: by method, what ``lk.explain.randomise_layers`` returned.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"layer": ["as trained", "top"], "rank_correlation": [1.0, 0.1]})
        >>> figure = randomisation_curves({"a": table})
    """
    figure, axes = new_figure(height=3.6, origin=origin)
    ax = axes[0, 0]
    for place, (method, table) in enumerate(tables.items()):
        ax.plot(
            range(len(table)),
            table["rank_correlation"],
            ("-", "--")[place % 2],  # two methods may lie on each other
            marker="os^Dv"[place % 5],
            markersize=10 - place,
            color=PALETTE[place % len(PALETTE)],
            label=method,
        )
    layers = list(next(iter(tables.values()))["layer"])
    ax.set_xticks(range(len(layers)), layers, rotation=20, ha="right", fontsize=8)
    ax.axhline(0, color="0.5", linewidth=0.8)
    ax.set(
        xlabel="randomised down to this layer (top first)",
        ylabel="rank correlation with the trained map",
        title="Does the map notice that the network has forgotten everything?",
    )
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8)
    return figure
