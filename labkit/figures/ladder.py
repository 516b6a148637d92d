"""Figures of lab 05: windows, shapes, feature maps, seeds, the ladder, the trials of a search."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import NullFormatter
from torch import Tensor, nn

from labkit.figures.base import PALETTE, new_figure
from labkit.inference import device_of, evaluating

_KINDS = {nn.Conv2d: "conv", nn.MaxPool2d: "pool", nn.AdaptiveAvgPool2d: "mean"}


def windows(cases: Sequence[tuple[int, int, int, int]]) -> Figure:
    """Draw where a window fits into a row of pixels, seen from above in two dimensions.

    Args:
        cases: a tuple a panel: side of the image, of the window, padding, stride; in pixels.

    Returns:
        The figure: pixels white, padding grey, the first two windows outlined, a dot for each
        place of a window.

    Example:
        >>> figure = windows([(5, 3, 0, 1), (5, 3, 1, 2)])
    """
    figure, axes = new_figure(1, len(cases), 9.0 / len(cases) + 0.6)
    for ax, (side, kernel, padding, stride) in zip(axes[0], cases, strict=True):
        for row, column in np.ndindex(side + 2 * padding, side + 2 * padding):
            inside = all(0 <= place - padding < side for place in (row, column))
            face = "white" if inside else "0.85"
            ax.add_patch(Rectangle((column, row), 1, 1, facecolor=face, edgecolor="0.7"))
        places = range(0, side + 2 * padding - kernel + 1, stride)
        for number, place in enumerate(places[:2]):
            corner, colour = (place + 0.04, 0.04), PALETTE[5 * number]
            box = Rectangle(corner, kernel - 0.08, kernel - 0.08, fill=False, ec=colour, lw=3)
            ax.add_patch(box)
        x, y = np.meshgrid(*2 * [np.array(places) + kernel / 2])
        ax.plot(x.ravel(), y.ravel(), "o", color="black", markersize=4)
        title = f"{side} → {len(places)}\npadding {padding}, stride {stride}"
        ax.set_title(f"window {kernel}: {title}", fontsize=10)
        ax.set(xlim=(-0.2, side + 2 * padding + 0.2), ylim=(side + 2 * padding + 0.2, -0.2))
        ax.set_aspect("equal")
        ax.set_axis_off()
    return figure


def spread(table: pd.DataFrame, label: str, origin: str = "") -> Figure:
    """Draw what each of several seeds reached, a row a variant.

    Args:
        table: a row a variant (the index names it), a column a seed.
        label: what was measured, for the axis.

    Returns:
        The figure: a dot a seed, a bar at their mean; the first row's range is shaded.

    Example:
        >>> figure = spread(pd.DataFrame({42: [85.0], 43: [86.1]}, index=["a"]), "accuracy in %")
    """
    figure, axes = new_figure(height=0.42 * len(table) + 1.2, origin=origin)
    ax, rows = axes[0, 0], np.arange(len(table))
    values = table.to_numpy(float)
    ax.axvspan(values[0].min(), values[0].max(), color="0.92")
    for number, seed in enumerate(table.columns):
        ax.plot(values[:, number], rows, "o", color=PALETTE[number % 8], label=f"seed {seed}")
    ax.plot(values.mean(1), rows, "|", color="black", markersize=18, label="mean")
    ax.set_yticks(rows, table.index)
    ax.set(xlabel=label, ylim=(len(table) - 0.5, -0.5))
    ax.grid(alpha=0.3)
    ax.legend(fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    return figure


def shape_trace(model: nn.Module, image: Tensor, title: str = "") -> Figure:
    """Draw how height and width shrink, and channels grow, on the way through a network.

    Args:
        model: a network with convolutions and poolings.
        image: (C, H, W), any values.

    Returns:
        The figure: one square a layer, as wide as its feature maps.

    Example:
        >>> figure = shape_trace(lk.models.SimpleCNN(), torch.zeros(3, 28, 28))
    """
    stages = [("image", image.shape), *_stages(model, image)]
    figure, axes = new_figure(height=2.4)
    ax, largest = axes[0, 0], max(shape[1] for _, shape in stages)
    for number, (kind, (channels, height, width)) in enumerate(stages):
        colour = {"conv": PALETTE[0], "image": "0.6"}.get(kind, PALETTE[1])
        middle = 1.25 * largest * number
        corner = (middle - width / 2, -height / 2)
        ax.add_patch(Rectangle(corner, width, height, color=colour, alpha=0.8))
        text = f"{channels} map{'s' * (channels > 1)}\n{height}×{width}"
        ax.text(middle, -largest / 2 - 2, text, ha="center", va="top", fontsize=8)
        ax.text(middle, largest / 2 + 2, kind, ha="center", fontsize=8)
    right = 1.25 * largest * (len(stages) - 0.5)
    ax.set(xlim=(-0.6 * largest, right), ylim=(-1.1 * largest, 0.8 * largest), aspect="equal")
    ax.set_axis_off()
    figure.suptitle(title or f"Shapes on the way through {type(model).__name__}")
    return figure


def _stages(model: nn.Module, image: Tensor) -> list[tuple[str, tuple[int, ...]]]:
    """Kind and output shape (C, H, W) of each convolution and pooling, in order."""
    stages = []

    def keep(layer: nn.Module, _: tuple, out: Tensor) -> None:
        stages.append((_KINDS[type(layer)], tuple(out.shape[1:])))

    with ExitStack() as hooks, evaluating(model), torch.no_grad():
        for layer in model.modules():
            if type(layer) in _KINDS:
                hooks.callback(layer.register_forward_hook(keep).remove)
        model(image[None].to(device_of(model)))
    return stages


def feature_maps(
    image: Tensor, maps: Mapping[str, Tensor], columns: int = 9, origin: str = ""
) -> Figure:
    """Show an image and what some filters make of it.

    Args:
        image: uint8 or float (C, H, W).
        maps: by the name of the layer, the feature maps (K, H', W') of this image.
        columns: so many maps of each layer are shown.

    Returns:
        The figure: a row a layer, each map scaled on its own from dark (low) to light (high).

    Example:
        >>> figure = feature_maps(torch.rand(3, 28, 28), {"first": torch.rand(9, 28, 28)})
    """
    figure, axes = new_figure(len(maps), columns + 1, 1.15 * len(maps) + 0.5, origin)
    for row, (name, layer) in zip(axes, maps.items(), strict=True):
        row[0].imshow(torch.as_tensor(image).permute(1, 2, 0).squeeze(-1).cpu().numpy())
        row[0].set_title(name, fontsize=8, loc="left")
        for ax, one in zip(row[1:], layer.detach().float().cpu(), strict=False):
            ax.imshow(one.numpy(), cmap="gray", interpolation="nearest")
        for ax in row:
            ax.set_axis_off()
    figure.suptitle("One image, and its feature maps", fontsize=11)
    return figure


def ladder_chart(table: pd.DataFrame, origin: str = "") -> Figure:
    """Draw the test accuracy of each rung, with its interval, against its parameters.

    Args:
        table: a row a rung (the index names it), with ``parameters``, and ``accuracy``, ``low``
            and ``high`` in per cent.

    Returns:
        The figure: all rungs, and the upper ones enlarged; bars are the intervals.

    Example:
        >>> row = {"parameters": 1373, "accuracy": 55.0, "low": 53.3, "high": 56.7}
        >>> figure = ladder_chart(pd.DataFrame([row], index=["one filter"]))
    """
    figure, axes = new_figure(1, 2, 4.2, origin)
    upper = table["accuracy"] > table["high"].max() - 8
    for i, (name, row) in enumerate(table.iterrows()):
        x, y = row["parameters"], row["accuracy"]
        error = [[y - row["low"]], [row["high"] - y]]
        label, colour = f"{i + 1}  {name}: {y:.1f} %", PALETTE[i % len(PALETTE)]
        marker = "os^D"[i // len(PALETTE) % 4]  # where the colours begin again
        near = table[np.abs(np.log(table["parameters"] / x)) < np.log(1.5)]["accuracy"]
        place = (0, 6) if y == near.max() else (0, -6) if y == near.min() else (-12, 0)
        lines = {"va": "bottom" if place[1] > 0 else "top" if place[1] else "center"}
        for ax in axes[0][: 1 + upper.iloc[i]]:
            ax.errorbar(x, y, yerr=error, fmt=marker, color=colour, capsize=4, label=label)
            end = {6: row["high"], -6: row["low"], 0: y}[place[1]]
            where = {"xytext": place, "textcoords": "offset points", "ha": "center"} | lines
            ax.annotate(str(i + 1), (x, end), **where)
    for ax in axes[0]:
        ax.margins(x=0.1, y=0.15)
    axes[0, 0].set(ylabel="test accuracy in %", title="All rungs")
    axes[0, 1].set(title="The top of the ladder, enlarged")
    for ax in axes[0]:
        ax.set(xscale="log", xlabel="parameters (logarithmic)")
        ax.grid(alpha=0.3)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="outside upper center", ncols=3, frameon=False)
    return figure


def search_results(
    trials: pd.DataFrame, settings: Sequence[str], value: str = "value", origin: str = ""
) -> Figure:
    """Draw the trials of a hyper-parameter search: in order, and against each setting.

    Args:
        trials: a row a trial, in order.
        settings: columns with the settings; those that span more than a factor of 50 get a
            logarithmic axis.
        value: the column with the result in per cent.

    Returns:
        The figure: first the best so far, then a panel a setting; the best trial is marked.

    Example:
        >>> frame = pd.DataFrame({"rate": [1e-4, 1e-2], "value": [80.0, 85.0]})
        >>> figure = search_results(frame, ["rate"])
    """
    panels = len(settings) + 1
    columns = 3
    rows = math.ceil(panels / columns)
    figure, axes = new_figure(rows, columns, 2.5 * rows + 0.3, origin, sharey=True)
    number, best = np.arange(1, len(trials) + 1), int(np.nanargmax(trials[value]))
    first, *others = list(axes.flat)
    first.plot(number, trials[value], "o", color=PALETTE[0], label="trial")
    first.plot(number, trials[value].cummax(), color=PALETTE[5], label="best so far")
    first.set(xlabel="trial", title="In order")
    first.plot(
        best + 1, trials[value].iloc[best], "*", color=PALETTE[5], markersize=14, label="best"
    )
    first.legend(fontsize=8, loc="lower right")
    for ax, name in zip(others, settings, strict=False):
        values = trials[name].to_numpy()
        ax.scatter(values, trials[value], c=number, cmap="viridis", s=24)
        ax.plot(values[best], trials[value].iloc[best], "*", color=PALETTE[5], markersize=14)
        numbers = np.issubdtype(values.dtype, np.number)
        if numbers and values.min() > 0 and values.max() / values.min() > 50:
            ax.set_xscale("log")
            ax.xaxis.set_minor_formatter(NullFormatter())  # its labels would overlap
        ax.set(xlabel=name, title=f"Against {name}")
    for ax in others[len(settings) :]:
        ax.set_axis_off()
    for ax in axes.flat:
        ax.grid(alpha=0.3)
    for ax in axes[:, 0]:
        ax.set_ylabel(f"{value} in %")
    return figure
