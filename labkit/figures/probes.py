"""Figures of ``Probe`` tables: what happens to activations and gradients with depth."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.figures.base import PALETTE, new_figure

_SHARES = {"saturated": (PALETTE[5], "saturated"), "dead": (PALETTE[3], "dead")}


def layer_statistics(
    tables: Mapping[str, pd.DataFrame], title: str = "", origin: str = ""
) -> Figure:
    """Draw small multiples over depth: a column a network, a row a statistic.

    The rows are the activations (mean ± standard deviation), the shares of dead and saturated
    units, and the gradient norm on a log axis. A row has one scale, so that networks compare.

    Args:
        tables: what ``Probe.to_frame`` returned, by name.

    Example:
        >>> figure = layer_statistics({"He": probe.to_frame()})  # doctest: +SKIP
    """
    figure, axes = new_figure(3, len(tables), 6.2, origin, sharex="col", sharey="row")
    for column, (name, table) in zip(axes.T, tables.items(), strict=True):
        depth = np.arange(1, len(table) + 1)
        column[0].axhline(0, color="0.7", linewidth=0.8)
        column[0].errorbar(depth, table["mean"], table["std"], fmt="o", capsize=3, color=PALETTE[0])
        column[0].set_title(name, fontsize=10)
        _draw_shares(column[1], depth, table)
        _draw_log(column[2], depth, table["gradient_norm"], PALETTE[2], "gradient")
        column[2].set_xlabel("hidden layer")
        column[2].set_xticks(_ticks(len(table)))
    _at_least_two_decades(axes[2, 0])
    labels = ("activation:\nmean ± std", "share (%)", "gradient norm\n(log scale)")
    for ax, label in zip(axes[:, 0], labels, strict=True):
        ax.set_ylabel(label)
    axes[1, 0].set_ylim(-5, 105)
    _say_where_zero(axes[2], [table["gradient_norm"] for table in tables.values()])
    for ax in axes.flat:
        ax.grid(alpha=0.3)
    figure.suptitle(title, fontsize=11)
    return figure


def depth_curves(
    tables: Mapping[str, pd.DataFrame],
    columns: Mapping[str, str],
    title: str = "",
    origin: str = "",
) -> Figure:
    """Draw columns of ``Probe`` tables over depth on log axes, a line a network.

    Args:
        tables: what ``Probe.to_frame`` returned, by name.
        columns: the columns to draw, a panel each, with the labels of their axes.

    Returns:
        The figure; a value of exactly 0 has no place on a log axis and is not drawn.

    Example:
        >>> figure = depth_curves(tables, {"std": "standard deviation"})  # doctest: +SKIP
    """
    figure, axes = new_figure(1, len(columns), 3.5, origin)
    styles = [(marker, line) for line in ("-", "--") for marker in "os^D"]
    for ax, (column, label) in zip(axes[0], columns.items(), strict=True):
        for number, (name, table) in enumerate(tables.items()):
            marker, line = styles[number % len(styles)]
            colour = PALETTE[number % len(PALETTE)]
            depth = np.arange(1, len(table) + 1)
            _draw_log(ax, depth, table[column], colour, name, marker=marker, linestyle=line)
        ax.set(xlabel="hidden layer", ylabel=label)
        ax.set_xticks(_ticks(max(map(len, tables.values()))))
        ax.grid(alpha=0.3)
        _at_least_two_decades(ax)
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(title, fontsize=11)
    return figure


def _draw_shares(ax: Axes, depth: np.ndarray, table: pd.DataFrame) -> None:
    for column, (colour, label) in _SHARES.items():
        if table[column].notna().any():
            ax.bar(depth, 100 * table[column], color=colour, label=label)
    if ax.patches:
        ax.legend(fontsize=7, loc="upper right")


def _draw_log(
    ax: Axes, depth: np.ndarray, values: pd.Series, colour: str, label: str, **style: str
) -> None:
    ax.set_yscale("log")
    style = {"marker": "o", "markersize": 4, **style}
    ax.plot(depth, values.where(values > 0), color=colour, label=label, **style)


def _at_least_two_decades(ax: Axes) -> None:
    """Widen a log axis, or autoscaling makes a level line look like a mountain range."""
    low, high = np.log10(ax.get_ylim())
    if high - low < 2:
        ax.set_ylim(10 ** ((low + high) / 2 - 1), 10 ** ((low + high) / 2 + 1))


def _say_where_zero(axes: np.ndarray, columns: list[pd.Series]) -> None:
    for ax, values in zip(axes, columns, strict=True):
        if (values == 0).any():
            layers = "all layers" if (values == 0).all() else f"{(values == 0).sum()} layers"
            ax.text(0.5, 0.5, f"exactly 0\nin {layers}", transform=ax.transAxes, ha="center")


def _ticks(layers: int) -> np.ndarray:
    return np.arange(1, layers + 1) if layers <= 8 else np.unique([1, *range(5, layers + 1, 5)])
